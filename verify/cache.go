package verify

import (
	"crypto/rand"
	"crypto/sha256"
	"sync/atomic"

	"github.com/maypok86/otter/v2"
)

// A digest stands for a token in caches, which never hold the token itself.
type digest = [sha256.Size]byte

// digest returns the SHA-256 of the verifier's secret and the whole token,
// signature included: nobody outside can tell which tokens would collide in a
// table, and a dump of the memory names no token.
func (v *Verifier) digest(token string) digest {
	var room [sha256.Size + usualSize]byte
	b := append(room[:0], v.secret[:]...)
	if len(token) <= usualSize {
		return sha256.Sum256(append(b, token...))
	}
	// A long one goes through in parts, so that no copy of it is made.
	h := sha256.New()
	for rest := token; ; {
		n := min(len(rest), usualSize)
		h.Write(append(b, rest[:n]...))
		if b, rest = b[:0], rest[n:]; rest == "" {
			return digest(h.Sum(nil))
		}
	}
}

// An entry is a token that has verified, with what decides whether it still
// does.
type entry struct {
	token  Token // its copies go to callers
	issuer *issuer
	key    *key    // that has signed it
	set    *KeySet // that had the key
	noKid  bool
	times  times
	asked  atomic.Pointer[judgement] // what introspection made of it last
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
	// entryOverhead is what an entry takes beside its claims, about.
	entryOverhead = 800
)

func newCache(size int) *cache {
	return &cache{otter.Must(&otter.Options[digest, *entry]{
		MaximumWeight: uint64(size),
		Weigher: func(_ digest, e *entry) uint32 {
			return uint32((len(e.token.claims) + entryOverhead + entrySize - 1) / entrySize)
		},
	})}
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
	set, err := e.issuer.keys.KeySet()
	if err != nil {
		return nil // whoever looks again finds out what it means
	}
	if set != e.set && (e.noKid || !set.has(e.key)) || e.times.check(v.now(), v.leeway) != nil {
		v.cache.entries.Invalidate(d)
		return nil
	}
	return e
}

func (v *Verifier) remember(d digest, e *entry) {
	if v.cache != nil {
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
