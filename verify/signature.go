package verify

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/bearerkit/bearerkit/internal/jose"
)

// maxTries bounds the signature checks that one token may cost with one key set
// where no kid says which key is meant.
const maxTries = 4

// errNoKeySet marks that there is no key set to verify with.
var errNoKeySet = errors.New("no key set")

// checkSignature finds the key and checks the signature; it returns the key and
// the set that has it.
func checkSignature(ctx context.Context, source KeySource, p *jose.JWS) (*key, *KeySet, error) {
	set, err := keySetOf(source)
	if err != nil {
		// The source may be fetching its first set this moment.
		set, err = refreshed(ctx, source, Demand{Satisfied: func(s *KeySet) bool { return s != nil }})
		if err != nil {
			return nil, nil, unavailable(fmt.Errorf("%w: %w", errNoKeySet, err))
		}
	}
	var room [maxTries]*key
	keys, ok := set.find(room[:0], p)
	if !ok {
		return nil, nil, refuseKey("kid", set)
	}
	for _, k := range keys {
		if k.verifies(p) {
			return k, set, nil
		}
	}
	return checkNewer(ctx, source, *p, set, slices.Clone(keys))
}

// checkNewer is checkSignature for a token that no key of the set has signed. The
// key may be due to a rotation that has not been noticed yet: the source is asked
// for a newer set, and the keys that it brought are tried, once. A token with a
// kid costs one check more if a key of that kid was withdrawn lately, and one if
// a key of that kid has just come.
func checkNewer(ctx context.Context, source KeySource, p jose.JWS, set *KeySet, failed []*key) (*key, *KeySet, error) {
	former := set.formerSigner(&p, failed)
	// untried returns the keys of a set that may have signed the token after all.
	untried := func(s *KeySet) (keys []*key, ok bool) {
		keys, ok = s.find(nil, &p)
		return slices.DeleteFunc(keys, func(k *key) bool { return slices.ContainsFunc(failed, k.sameMaterial) }), ok
	}
	newer, err := refreshed(ctx, source, Demand{
		Satisfied: func(s *KeySet) bool {
			if s == nil {
				return false
			}
			keys, ok := untried(s)
			return len(keys) > 0 || !ok
		},
		Withdrawn: former != nil,
	})
	// named says that the token's kid is that of a key which has not signed it.
	named := !p.NoKeyID && len(failed) > 0 && failed[0].id != ""
	switch {
	case err == nil:
		keys, ok := untried(newer)
		if !ok {
			return nil, nil, refuseKey("kid", newer)
		}
		for _, k := range keys {
			// A key that has come back need not be tried again.
			if former != nil && k.sameMaterial(former) || former == nil && k.verifies(&p) {
				return k, newer, nil
			}
		}
	case !named:
		// The issuer cannot be asked for a key that was never published here, so
		// nobody knows whether the token is good.
		return nil, nil, unavailable(err)
	}
	if named || p.NoKeyID && len(failed) > 0 {
		return nil, nil, refuse(ErrSignature, "")
	}
	return nil, nil, refuseKey("", newer)
}
