package verify

import (
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"slices"

	"github.com/bearerkit/bearerkit/internal/jose"
)

// A KeySource has an issuer's key set and keeps it fresh. Package
// [github.com/bearerkit/bearerkit/verify/jwks] has the usual ones. A source must
// be safe for concurrent use. It may also have these methods:
//
//   - Check(issuer string) error reports every fault that Bind would, joined,
//     and changes nothing. Without it, [Config.Validate] cannot see them.
//   - Unbind() undoes one call of Bind, because a [New] that bound the source
//     has failed.
//   - Close() error ends the source.
//   - Same(KeySource) bool reports whether another source, which is not bound,
//     would have the same keys; see [Config].FindIssuer.
type KeySource interface {
	// Bind ties the source to the one issuer whose keys it has. The error
	// joins every reason why it cannot be: faults of the source's
	// configuration, each a [*Fault], that it is closed, or that it is bound
	// to another issuer (RFC 8725 section 3.8: keys belong to one issuer). It
	// may be bound to the same issuer again, by another verifier. Bind starts
	// nothing.
	Bind(issuer string) error

	// KeySet returns the key set to use now. It never waits; a source that
	// has work to do in the background starts it at the first call. The error
	// says why there is no set that may be used. No set and no error counts
	// as an error.
	KeySet() (*KeySet, error)

	// Refresh is called when the set that KeySet returned was not enough. It
	// may wait, within the bounds of ctx and its own, for a set that meets the
	// demand, and returns the newest one it has, whether it does or not.
	// Whether and when it asks the issuer is its own decision. The error says
	// that there is no usable set, or that the issuer could not be asked, so
	// that nobody knows whether it has the key.
	Refresh(ctx context.Context, d Demand) (*KeySet, error)
}

// A Demand is what a token needs that the current set does not have.
type Demand struct {
	// Satisfied reports whether a set may have it; a nil set has nothing.
	Satisfied func(*KeySet) bool
	// Withdrawn says that the token was signed with a key that the issuer has
	// withdrawn since. That may have been a mistake, but callers with such
	// tokens must not use up the requests that the tokens of a new key may need.
	Withdrawn bool
}

// A Key is one public key of an issuer.
type Key struct {
	// ID is the key's "kid"; empty if it has none.
	ID string
	// Algorithm is the one JWS algorithm that the key serves ("alg"). If it
	// is empty the key serves the algorithms that fit its type and curve.
	Algorithm string
	// Public is an *rsa.PublicKey of 2048 to 8192 bits, an *ecdsa.PublicKey
	// on P-256, P-384 or P-521, or an ed25519.PublicKey.
	Public crypto.PublicKey
}

// A KeySet is an immutable set of keys that were checked.
type KeySet struct {
	byID    map[string][]*key
	all     []*key
	former  []*key // withdrawn lately, the last one first
	unnamed bool   // see TryUnnamed
}

// A SkippedKey is a key that did not get into a set.
type SkippedKey struct {
	ID     string // the key's "kid", as far as it is known
	Reason string // why, in a few words
}

func (s SkippedKey) String() string { return fmt.Sprintf("key %q: %s", s.ID, s.Reason) }

type key struct {
	id          string
	alg         *jose.Algorithm // nil: any that fits
	public      crypto.PublicKey
	fingerprint [sha256.Size]byte // of the material alone, whatever it is called
}

func (k *key) serves(alg *jose.Algorithm) bool {
	if k.alg != nil {
		return k.alg == alg
	}
	return alg.Fits(k.public)
}

// NewKeySet makes a set of the keys that can be used and says which were
// skipped: those too weak or too large, off their curve, of a type that no
// accepted algorithm uses, with an algorithm that does not fit them, and
// different keys under one ID for one algorithm, all of them, because nobody
// can say which is meant (RFC 7517 section 4.5).
func NewKeySet(keys []Key) (*KeySet, []SkippedKey) {
	var skipped []SkippedKey
	var sound []*key
	for _, k := range keys {
		alg, err := jose.CheckKey(k.Public, k.Algorithm)
		if err != nil {
			skipped = append(skipped, SkippedKey{k.ID, err.Error()})
			continue
		}
		der, err := x509.MarshalPKIXPublicKey(k.Public)
		if err != nil {
			skipped = append(skipped, SkippedKey{k.ID, "not encodable"})
			continue
		}
		sound = append(sound, &key{k.ID, alg, jose.CloneKey(k.Public), sha256.Sum256(der)})
	}
	byID := map[string][]*key{}
	for _, k := range sound {
		byID[k.id] = append(byID[k.id], k)
	}
	set := &KeySet{byID: map[string][]*key{}}
	for _, k := range sound {
		switch kept := set.byID[k.id]; {
		case k.id != "" && slices.ContainsFunc(byID[k.id], k.clashes):
			skipped = append(skipped, SkippedKey{k.id, "another key has the same kid and algorithm"})
		case slices.ContainsFunc(kept, func(o *key) bool { return o.fingerprint == k.fingerprint && o.alg == k.alg }):
			// published twice; once is enough
		default:
			set.byID[k.id] = append(kept, k)
			set.all = append(set.all, k)
		}
	}
	return set, skipped
}

// clashes reports whether k and o, under one ID, are different keys for
// one algorithm.
func (k *key) clashes(o *key) bool {
	if k.fingerprint == o.fingerprint {
		return false
	}
	return slices.ContainsFunc(jose.Algorithms, func(a *jose.Algorithm) bool { return k.serves(a) && o.serves(a) })
}

// Len returns the number of keys.
func (s *KeySet) Len() int { return len(s.all) }

// IDs returns the keys' IDs, sorted; keys without one do not show.
func (s *KeySet) IDs() []string {
	var ids []string
	for id := range s.byID {
		if id != "" {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// Equal reports whether two sets have the same keys under the same IDs.
func (s *KeySet) Equal(o *KeySet) bool {
	if s == nil || o == nil {
		return s == o
	}
	if len(s.all) != len(o.all) {
		return false
	}
	for _, k := range s.all {
		if !o.has(k) {
			return false
		}
	}
	return true
}

// maxFormer bounds how many withdrawn keys are remembered.
const maxFormer = 16

// After returns s as the successor of old: the same keys, and beside them a memory
// of those that old had and s has not. See [Demand.Withdrawn].
func (s *KeySet) After(old *KeySet) *KeySet {
	if old == nil || s == old {
		return s
	}
	next := &KeySet{byID: s.byID, all: s.all, unnamed: s.unnamed}
	for _, k := range slices.Concat(old.all, old.former) {
		same := func(o *key) bool { return o.id == k.id && o.sameMaterial(k) }
		if len(next.former) < maxFormer && !slices.ContainsFunc(s.all, same) && !slices.ContainsFunc(next.former, same) {
			next.former = append(next.former, k)
		}
	}
	return next
}

// formerSigner returns the withdrawn key that has signed the token, or nil. To
// bound what a forged token costs, it tries only the last key with the token's
// kid or with none. For a token without kid it tries the last keys that serve the
// algorithm, as many as are left of maxTries after those that have failed, and at
// least one.
func (s *KeySet) formerSigner(p *jose.JWS, failed []*key) *key {
	left := 1
	if p.NoKeyID {
		left = max(1, maxTries-len(failed))
	}
	for _, k := range s.former {
		if left == 0 {
			break
		}
		if !k.serves(p.Algorithm) || !p.NoKeyID && k.id != p.KeyID && k.id != "" || slices.ContainsFunc(failed, k.sameMaterial) {
			continue
		}
		if k.verifies(p) {
			return k
		}
		left--
	}
	return nil
}

// TryUnnamed returns a copy of the set for keys that somebody has configured. A
// token whose "kid" none of them has may be of one that was configured without an
// ID: up to four of those are tried. In a set that an issuer publishes this holds
// for a single key alone: its other keys are the issuer's own to name.
func (s *KeySet) TryUnnamed() *KeySet {
	set := *s
	set.unnamed = true
	return &set
}

// find appends to dst the keys that may have made a token's signature: with an
// ID the ones of that name, without one all that serve the algorithm. The same
// key under two names is one of them. It reports false if a token without an ID
// fits more than may be tried.
func (s *KeySet) find(dst []*key, p *jose.JWS) (keys []*key, ok bool) {
	from := s.all
	if !p.NoKeyID {
		from = s.byID[p.KeyID]
		if len(from) == 0 && (s.unnamed || len(s.all) == 1) {
			from = s.byID[""]
		}
	}
	for _, k := range from {
		if !k.serves(p.Algorithm) || slices.ContainsFunc(dst, k.sameMaterial) {
			continue
		}
		if len(dst) == maxTries {
			return nil, !p.NoKeyID
		}
		dst = append(dst, k)
	}
	return dst, true
}

func (k *key) sameMaterial(o *key) bool { return k.fingerprint == o.fingerprint }

// has reports whether the set has a key of another set: the same material under
// the same ID, for the same algorithm.
func (s *KeySet) has(k *key) bool {
	return slices.ContainsFunc(s.byID[k.id], func(o *key) bool { return o == k || o.fingerprint == k.fingerprint && o.alg == k.alg })
}

// verifies reports whether the key has signed the token.
func (k *key) verifies(p *jose.JWS) bool {
	return p.Algorithm.Verifies(p.Signed, p.Signature, k.public)
}
