package contender

import (
	"context"

	"github.com/bearerkit/bearerkit/bench/token"
	"github.com/bearerkit/bearerkit/verify"
	"github.com/bearerkit/bearerkit/verify/jwks"
)

// kit verifies every token anew, as the peers do.
func kit(_ context.Context, is *token.Issuer) (Verify, error) {
	v, err := NewKit(is, verify.NoCache)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, raw string) error {
		_, err := v.Verify(ctx, raw)
		return err
	}, nil
}

func kitDecoding(_ context.Context, is *token.Issuer) (Verify, error) {
	v, err := NewKit(is, verify.NoCache)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, raw string) error {
		t, err := v.Verify(ctx, raw)
		if err != nil {
			return err
		}
		var c token.Claims
		return t.Claims(&c)
	}, nil
}

// NewKit sets a verifier up for the tokens of one issuer, with a cache of a size.
func NewKit(is *token.Issuer, cacheSize int) (*verify.Verifier, error) {
	return verify.New(KitConfig(is, cacheSize))
}

// KitConfig is what NewKit makes a verifier of.
func KitConfig(is *token.Issuer, cacheSize int) verify.Config {
	return verify.Config{
		Issuers: []verify.Issuer{{
			Issuer:   token.IssuerURL,
			Audience: []string{token.Audience},
			Keys:     jwks.Static(KitKey(is)),
		}},
		Algorithms: []string{is.Algorithm},
		CacheSize:  cacheSize,
	}
}

// KitKey is the issuer's key.
func KitKey(is *token.Issuer) verify.Key {
	return verify.Key{ID: is.KeyID, Algorithm: is.Algorithm, Public: is.Public}
}
