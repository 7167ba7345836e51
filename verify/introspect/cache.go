package introspect

import (
	"sync"
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
	begun  time.Time      // when the question was put
	until  time.Time      // when it must be put again
}

type digest = [32]byte

// A cache remembers answers. Active and inactive ones are apart: anybody can
// make up tokens that are inactive.
type cache struct {
	good, bad *otter.Cache[digest, *record]
	mu        sync.Mutex // for writing
}

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
	return c.inactive(d)
}

func (c *cache) inactive(d digest) *record {
	r, _ := c.bad.GetIfPresent(d)
	return r
}

// put remembers an answer and returns the one that counts: the question that was
// put later, if two answers cross.
func (c *cache) put(d digest, r *record) *verify.Answer {
	c.mu.Lock()
	defer c.mu.Unlock()
	if old := c.get(d); old != nil && old.begun.After(r.begun) {
		return old.answer
	}
	into, outOf := c.good, c.bad
	if !r.answer.Active {
		into, outOf = c.bad, c.good
	}
	outOf.Invalidate(d)
	into.Set(d, r)
	return r.answer
}
