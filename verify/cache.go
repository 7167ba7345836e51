package verify

import (
	"crypto/rand"
	"crypto/sha256"
	"strings"
	"sync/atomic"

	"github.com/maypok86/otter/v2"

	"github.com/bearerkit/bearerkit/internal/strictjson"
)

// A digest stands for a token in caches, which never hold the token itself.
type digest = [sha256.Size]byte

// digest returns the SHA-256 of the verifier's secret and the whole token,
// signature included: nobody outside can tell which tokens would collide in a
// table, and a dump of the memory names no token.
func (v *Verifier) digest(token string) (d digest) {
	h := sha256.New()
	// The hash wants bytes: they go through here, so that no copy of the
	// token is made.
	var room [1024]byte
	for n := copy(room[:], v.secret[:]); n > 0 || token != ""; n = 0 {
		k := copy(room[n:], token)
		h.Write(room[:n+k])
		token = token[k:]
	}
	h.Sum(d[:0])
	return d
}

// An entry is a token that was read: what it says itself, as a grant, and what
// decides whether that still counts. Those of signed tokens are remembered.
type entry struct {
	grant
	evidence evidence
	cnf      strictjson.Value // of its claims

	key *key    // that has signed it
	set *KeySet // that had the key
	// noKid says that no kid names this key.
	noKid    bool
	answered atomic.Pointer[grant] // what introspection made of it last

	cache  *cache // that has it, if any
	digest digest
}

// A cache holds tokens that have verified. The library's admission policy keeps
// tokens that come often when a flood of others passes through once.
type cache struct {
	entries *otter.Cache[digest, *entry]
}

const (
	defaultCacheSize = 16384
	// entrySize is how many bytes of memory count as one entry; a larger
	// token takes the place of several.
	entrySize = 2048
	// entryOverhead is what an entry takes beside its claims and its lists,
	// with its place in the table and the policy's queues, about.
	entryOverhead = 800
	// grantOverhead is the same for what introspection made of it.
	grantOverhead = 1000
	// watchedOverhead is the same for the copy that conditions watch.
	watchedOverhead = 500
)

func newCache(size int) *cache {
	return &cache{otter.Must(&otter.Options[digest, *entry]{
		MaximumWeight: uint64(size),
		Weigher:       func(_ digest, e *entry) uint32 { return uint32((e.size() + entrySize - 1) / entrySize) },
		// Upkeep is a moment's work for the goroutine that writes. One just for it
		// would cost ten times as much, at every new token.
		Executor: func(upkeep func()) { upkeep() },
	})}
}

// size returns how many bytes an entry takes, about.
func (e *entry) size() int {
	n := entryOverhead + e.token.size() + e.memo.size()
	if g := e.answered.Load(); g != nil {
		n += grantOverhead + len(g.answer.Claims) + g.token.size() + g.memo.size() + g.watchedSize()
	}
	return n + e.watchedSize()
}

// watchedSize returns how many bytes conditions take, about.
func (g *grant) watchedSize() int {
	if len(g.still) == 0 {
		return 0
	}
	return watchedOverhead
}

// size returns how many bytes a token takes beside its fields, about.
func (t *Token) size() int {
	const header, actor = 16, 48           // of a string, of an Actor
	n := len(t.claims) + len(t.claims)/8 + // memory comes in sizes
		header*(cap(t.Audience)+cap(t.permissions))
	if strings.IndexByte(t.claims, '\\') >= 0 {
		n += len(t.claims) // what has escapes is decoded into a string of its own
	}
	if !strings.Contains(t.claims, t.Scope) {
		n += len(t.Scope) // put together from an array
	}
	for a := t.Actor; a != nil; a = a.Actor {
		n += actor
	}
	return n
}

// reweigh has the cache weigh an entry that has grown.
func (e *entry) reweigh() {
	if e.cache == nil {
		return
	}
	e.cache.entries.ComputeIfPresent(e.digest, func(old *entry) (*entry, otter.ComputeOp) {
		if old != e {
			return nil, otter.CancelOp
		}
		return e, otter.WriteOp
	})
}

// remembered returns the entry of a token that verified before and still does:
// by the clock, and by the keys of its issuer. It returns nil if the token has
// to be looked at again.
func (v *Verifier) remembered(d digest) *entry {
	if v.cache == nil {
		return nil
	}
	e, ok := v.cache.entries.GetIfPresent(d)
	if !ok {
		return nil
	}
	if !e.issuer.inUse() {
		v.cache.entries.Invalidate(d)
		return nil
	}
	set, err := keySetOf(e.issuer.keys)
	if err != nil {
		return nil // the verification that follows reports it
	}
	if set != e.set && (e.noKid || !set.has(e.key)) || e.times.check(v.now(), v.leeway) != nil {
		v.cache.entries.Invalidate(d)
		return nil
	}
	return e
}

// recall returns the entry of a token that has verified before, whether or not
// it still does.
func (v *Verifier) recall(d digest) *entry {
	if v.cache == nil {
		return nil
	}
	e, _ := v.cache.entries.GetIfPresent(d)
	return e
}

func (v *Verifier) remember(d digest, e *entry) {
	e.memo.entry, e.token.memo = e, &e.memo
	if v.cache != nil {
		e.cache, e.digest = v.cache, d
		v.cache.entries.Set(d, e)
	}
}

func newSecret() (s [sha256.Size]byte) {
	_, _ = rand.Read(s[:]) // never fails
	return s
}
