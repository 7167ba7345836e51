package verify

import (
	"crypto/rand"
	"crypto/sha256"
	"strings"
	"sync/atomic"

	"github.com/maypok86/otter/v2"
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

// An entry is a token that has verified, with what decides whether it still
// does.
type entry struct {
	token  Token // its copies go to callers
	issuer *issuer
	key    *key    // that has signed it
	set    *KeySet // that had the key
	// noKid says that no kid names this key.
	noKid bool
	times times
	asked atomic.Pointer[judgement] // what introspection made of it last
	memo  memo                      // of token

	cache  *cache // that has it, if any
	digest digest

	cleared atomic.Uint64 // at which value of denials.added it was found not to be denied
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
	// judgementOverhead is the same for what introspection made of it.
	judgementOverhead = 1000
)

func newCache(size int) *cache {
	return &cache{otter.Must(&otter.Options[digest, *entry]{
		MaximumWeight: uint64(size),
		Weigher:       func(_ digest, e *entry) uint32 { return uint32((e.size() + entrySize - 1) / entrySize) },
		// Upkeep is a moment's work for whoever writes. A goroutine for it
		// would cost ten times as much, at every new token.
		Executor: func(upkeep func()) { upkeep() },
	})}
}

// size returns how many bytes an entry takes, about.
func (e *entry) size() int {
	n := entryOverhead + e.token.size() + e.memo.size()
	if j := e.asked.Load(); j != nil {
		n += judgementOverhead + len(j.answer.Claims) + j.token.size() + j.memo.size()
	}
	return n
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
		return nil // whoever looks again finds out what it means
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

// own returns the entry's token for a caller to have and to change.
func (v *Verifier) own(e *entry) *Token {
	if v.cache == nil {
		return &e.token // nobody else has it
	}
	return e.token.clone()
}

func newSecret() (s [sha256.Size]byte) {
	_, _ = rand.Read(s[:]) // never fails
	return s
}
