package introspect

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/maypok86/otter/v2"

	"github.com/bearerkit/bearerkit/verify"
)

const (
	defaultCacheSize = 16384
	recordSize       = 2048 // bytes that count as one entry
	recordOverhead   = 512
)

// A record is an answer in the cache.
type record struct {
	answer *verify.Answer
	stale  *verify.Answer // the same, marked as stale; nil if it may not be reused longer
	until  time.Time      // when the server has to be asked again
	// begun and ended are the ticks at which the call began and the answer
	// arrived. Clocks may stand still, ticks do not.
	begun, ended uint64
}

type digest = [32]byte

// A cache remembers answers. Those about tokens that were never active are kept
// separately: anyone can make up such tokens, and they must not evict the others.
type cache struct {
	good, bad *otter.Cache[digest, *record]
	ticks     atomic.Uint64
	mu        sync.Mutex // for writing
}

// tick returns a number higher than all earlier ones.
func (c *cache) tick() uint64 { return c.ticks.Add(1) }

func newCache(size int) *cache {
	if size <= 0 {
		size = defaultCacheSize
	}
	return &cache{
		good: otter.Must(&otter.Options[digest, *record]{
			MaximumWeight: uint64(size),
			Weigher: func(_ digest, r *record) uint32 {
				return uint32((len(r.answer.Claims) + recordOverhead + recordSize - 1) / recordSize)
			},
		}),
		bad: otter.Must(&otter.Options[digest, *record]{MaximumSize: max(size/4, 1)}),
	}
}

func (c *cache) get(d digest) *record {
	if r, ok := c.good.GetIfPresent(d); ok {
		return r
	}
	r, _ := c.bad.GetIfPresent(d)
	return r
}

// wasActive reports whether the cache knows that the token is, or once was, active.
func (c *cache) wasActive(d digest) bool {
	_, ok := c.good.GetIfPresent(d)
	return ok
}

// put adds an answer and returns the one that counts. Of two calls about one token the
// later one counts. But if they overlapped, an inactive answer outweighs an active
// one, because it is not known in which order the server handled them.
func (c *cache) put(d digest, r *record) *verify.Answer {
	c.mu.Lock()
	defer c.mu.Unlock()
	r.ended = c.tick()
	if old := c.get(d); old != nil && (old.begun > r.begun || r.answer.Active && !old.answer.Active && old.ended > r.begun) {
		return old.answer
	}
	if r.answer.Active || c.wasActive(d) {
		c.bad.Invalidate(d)
		c.good.Set(d, r)
	} else {
		c.bad.Set(d, r)
	}
	return r.answer
}
