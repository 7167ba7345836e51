package jwks

import (
	"context"
	"sync"

	"github.com/bearerkit/bearerkit/internal/faults"
	"github.com/bearerkit/bearerkit/verify"
)

// Static returns a source of keys that never change, for tests and for issuers whose
// keys are part of the configuration ([Parse] reads them from a JWK Set). A key
// that cannot be used is a fault of the configuration. A key without an ID, such
// as one from a PEM file, is tried for tokens whose "kid" no other key has.
func Static(keys ...verify.Key) verify.KeySource {
	s := &static{}
	set, skipped := verify.NewKeySet(keys)
	s.set, s.skipped = set.TryUnnamed(), skipped
	return s
}

type static struct {
	set     *verify.KeySet
	skipped []verify.SkippedKey

	mu     sync.Mutex
	issuer string // that the source is bound to
	bound  int    // how many times; several verifiers may share the source
}

func (s *static) Check(issuer string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.check(issuer)
}

func (s *static) Bind(issuer string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.check(issuer); err != nil {
		return err
	}
	s.issuer = issuer
	s.bound++
	return nil
}

func (s *static) Unbind() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bound > 0 {
		if s.bound--; s.bound == 0 {
			s.issuer = ""
		}
	}
}

// Same reports whether another static source has the same keys.
func (s *static) Same(other verify.KeySource) bool {
	o, ok := other.(*static)
	return ok && s.set.Equal(o.set) && len(s.skipped)+len(o.skipped) == 0
}

func (s *static) check(issuer string) error {
	var bad faults.List[verify.Fault]
	for _, k := range s.skipped {
		bad.Add("Static", "%v", k)
	}
	if s.set.Len() == 0 && len(s.skipped) == 0 {
		bad.Add("Static", "needs at least one key")
	}
	if s.issuer != "" && s.issuer != issuer {
		bad.Add("Static", "is already bound to another issuer: keys belong to one issuer")
	}
	return bad.Err()
}

func (s *static) KeySet() (*verify.KeySet, error) { return s.set, nil }

func (s *static) Refresh(context.Context, verify.Demand) (*verify.KeySet, error) {
	return s.set, nil
}
