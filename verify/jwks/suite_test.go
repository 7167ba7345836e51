package jwks_test

import (
	"testing"

	"github.com/bearerkit/bearerkit/verify"
	"github.com/bearerkit/bearerkit/verify/jwks"
	"github.com/bearerkit/bearerkit/verify/verifytest"
)

func TestKeySources(t *testing.T) {
	for name, newSource := range map[string]func(*verifytest.Server) verify.KeySource{
		"URL": func(s *verifytest.Server) verify.KeySource {
			return jwks.New(jwks.Config{URL: s.JWKSURL(), Logger: quiet()})
		},
		"metadata": func(*verifytest.Server) verify.KeySource { return jwks.New(jwks.Config{Logger: quiet()}) },
		"static": func(s *verifytest.Server) verify.KeySource {
			var keys []verify.Key
			for _, k := range s.Keys() {
				keys = append(keys, verify.Key{ID: k.ID, Algorithm: k.Algorithm, Public: k.Public()})
			}
			return jwks.Static(keys...)
		},
	} {
		t.Run(name, func(t *testing.T) {
			if err := verifytest.TestKeySource(newSource); err != nil {
				t.Error(err)
			}
		})
	}
}
