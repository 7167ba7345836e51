package contender

import (
	"context"
	"errors"

	"github.com/bearerkit/bearerkit/bench/token"
	"github.com/bearerkit/bearerkit/verify"
)

func kit(_ context.Context, is *token.Issuer) (Verify, error) {
	v, err := NewKit(is)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, raw string) error {
		_, err := v.Verify(ctx, raw)
		return err
	}, nil
}

// NewKit sets a verifier up for the tokens of one issuer.
func NewKit(is *token.Issuer) (*verify.Verifier, error) {
	set, skipped := verify.NewKeySet([]verify.Key{{ID: is.KeyID, Algorithm: is.Algorithm, Public: is.Public}})
	if len(skipped) > 0 {
		return nil, errors.New(skipped[0].String())
	}
	return verify.New(verify.Config{
		Issuer:     token.IssuerURL,
		Audience:   []string{token.Audience},
		Keys:       fixed{set},
		Algorithms: []string{is.Algorithm},
	})
}

// fixed is a key source whose set never changes.
type fixed struct{ set *verify.KeySet }

func (f fixed) Bind(string) error               { return nil }
func (f fixed) KeySet() (*verify.KeySet, error) { return f.set, nil }
func (f fixed) Refresh(context.Context, verify.Demand) (*verify.KeySet, error) {
	return f.set, nil
}
