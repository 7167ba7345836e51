package verify

import (
	"context"
	"errors"
	"slices"
	"time"
)

// A Verifier finds out whether access tokens are good. It is safe for
// concurrent use.
type Verifier struct {
	issuers map[string]*issuer // by each value of "iss"
	names   []string
	sources []KeySource
	algs    map[string]*algorithm
	leeway  time.Duration
	maxSize int
	profile bool
	checks  []func(context.Context, *Token) error
	now     func() time.Time
}

// Verify checks an access token: its form (RFC 7515, strictly), its type, its
// issuer, its times, its audience, and last its signature with a key of that
// issuer (RFC 9068 section 4, RFC 8725). It returns the verified token, or an
// [*Error]. The token is what followed "Bearer ", nothing more.
//
// Most calls do not wait for anything. One that needs a key which is not at
// hand may wait for the key source, within its bounds and those of ctx.
func (v *Verifier) Verify(ctx context.Context, token string) (*Token, error) {
	p, err := v.parse(token)
	if err != nil {
		return nil, err
	}
	is, err := v.checkClaims(p)
	if err != nil {
		return nil, err
	}
	if err := checkSignature(ctx, is.keys, p); err != nil {
		return nil, err
	}
	t := p.claims.token(is, p.payload)
	for _, check := range v.checks {
		if err := check(ctx, t); err != nil {
			return nil, rejected(err)
		}
	}
	return t, nil
}

// checkClaims makes every check that needs no key.
func (v *Verifier) checkClaims(p *parsed) (*issuer, error) {
	c := &p.claims
	if c.iss == nil {
		return nil, refuse(ErrClaim, "iss")
	}
	name, ok := c.iss.Text()
	if !ok {
		return nil, refuse(ErrClaim, "iss")
	}
	is := v.issuers[name]
	if is == nil {
		return nil, refuse(ErrIssuer, "")
	}
	if c.nonce && !p.typed && !is.allowNonce {
		return nil, refuse(ErrType, "nonce")
	}
	if err := c.checkTime(v.now(), v.leeway, v.profile); err != nil {
		return nil, err
	}
	if err := c.checkAudience(is, p.payload); err != nil {
		return nil, err
	}
	if err := c.checkIdentity(is, v.profile); err != nil {
		return nil, err
	}
	if c.act != nil {
		if _, ok := actor(c.act); !ok {
			return nil, refuse(ErrClaim, "act")
		}
	}
	if c.cnf != nil {
		return nil, refuse(ErrBound, "")
	}
	return is, nil
}

// maxTries bounds the signature checks that one token without a kid may cost.
const maxTries = 4

// checkSignature finds the key and checks the signature. A key that is not in
// the set, or one whose signature does not verify, may be due to a rotation
// that has not been noticed yet: then the source is asked for a newer set, and
// the keys that it brought are tried, once.
func checkSignature(ctx context.Context, source KeySource, p *parsed) error {
	set, err := source.KeySet()
	if err != nil {
		// The source may be fetching its first set this moment.
		set, err = source.Refresh(ctx, Demand{Good: func(*KeySet) bool { return true }})
		if err != nil {
			return unavailable(err)
		}
	}
	var tried []*key
	untried := func(s *KeySet) []*key {
		found := s.find(nil, p.kid, !p.noKid, p.alg)
		return slices.DeleteFunc(found, func(k *key) bool {
			return slices.ContainsFunc(tried, func(t *key) bool { return t.fingerprint == k.fingerprint })
		})
	}
	try := func(keys []*key) bool {
		for _, k := range keys {
			tried = append(tried, k)
			if p.alg.method.Verify(p.signed, p.signature, k.public) == nil {
				return true
			}
		}
		return false
	}
	keys := untried(set)
	if len(keys) > maxTries {
		return refuse(ErrUnknownKey, "kid")
	}
	if try(keys) {
		return nil
	}
	newer, err := source.Refresh(ctx, Demand{
		Good:      func(s *KeySet) bool { return len(untried(s)) > 0 },
		Withdrawn: set.formerly(p),
	})
	switch {
	case err == nil:
		if keys = untried(newer); len(keys) <= maxTries-len(tried) && try(keys) {
			return nil
		}
	case len(tried) == 0:
		// The issuer cannot be asked for a key that we have never seen, so
		// nobody knows whether the token is good.
		return unavailable(err)
	}
	if len(tried) == 0 {
		return refuse(ErrUnknownKey, "")
	}
	return refuse(ErrSignature, "")
}

// rejected wraps the error of an additional check.
func rejected(err error) error {
	if errors.Is(err, ErrUnavailable) {
		return unavailable(err)
	}
	return &Error{Reason: ErrRejected, Cause: err}
}
