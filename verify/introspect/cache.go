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
	recordSize       = 2048 // bytes that count as one
	recordOverhead   = 512
)

// A record is an answer that was given.
type record struct {
	answer *verify.Answer
	graced *verify.Answer // the same, for when it is reused for too long; nil if that is not allowed
	until  time.Time      // when the question must be put again
	// begun and ended say, by the cache's own count, when the question was put
	// and when the answer was here: clocks may stand still.
	begun, ended uint64
}

type digest = [32]byte

// A cache remembers answers. Those about tokens that were never active are apart:
// anybody can make such tokens up, and they must not push out the others.
type cache struct {
	good, bad *otter.Cache[digest, *record]
	ticks     atomic.Uint64
	mu        sync.Mutex // for writing
}

// tick returns a number that is higher than all before.
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

// wasActive reports whether the server is remembered to have said that a token is
// active.
func (c *cache) wasActive(d digest) bool {
	_, ok := c.good.GetIfPresent(d)
	return ok
}

// put remembers an answer and returns the one that counts: of two that cross, the
// one whose question was put later. But an answer that a token is active counts
// only if its question was put after an earlier denial was here: which of two
// questions that overlap has reached the server first, nobody knows.
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
