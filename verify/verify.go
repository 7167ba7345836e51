package verify

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// A Verifier finds out whether access tokens are good. It is safe for
// concurrent use.
type Verifier struct {
	issuers     map[string]*issuer // by each value of "iss"
	list        []*issuer
	issuersText string  // for logs
	opaque      *issuer // whose introspection gets tokens that are no JWTs; nil if none does
	introspects bool    // some issuer can be asked
	algs        map[string]*algorithm
	leeway      time.Duration
	maxSize     int
	profile     bool
	checks      []func(context.Context, *Token) error
	now         func() time.Time

	secret  [sha256.Size]byte // keys the digests of this verifier
	headers headers
	cache   *cache // nil: none
	denials denials
}

// Verify checks an access token: its form (RFC 7515, strictly), its type, its
// issuer, its times, its audience, and last its signature with a key of that
// issuer (RFC 9068 section 4, RFC 8725). It returns the verified token, or an
// [*Error]. The token is what followed "Bearer ", nothing more.
//
// A token that has verified is remembered: as long as its key is in the
// issuer's set, it is only compared with the clock when it comes again, and
// Config.Checks are made. The token that is returned is the caller's own.
//
// Most calls do not wait for anything. One that needs a key which is not at
// hand may wait for the key source, and one that needs the authorization
// server's word for introspection, within their bounds and those of ctx.
func (v *Verifier) Verify(ctx context.Context, token string) (*Token, error) {
	return v.verify(ctx, token, false)
}

// VerifyFresh is Verify, but the authorization server is asked about the token
// now, whatever it has said before; what it says counts for later calls of
// Verify too. Issuers without [Introspection] cannot be asked: their tokens are
// refused with ErrUnavailable.
func (v *Verifier) VerifyFresh(ctx context.Context, token string) (*Token, error) {
	return v.verify(ctx, token, true)
}

func (v *Verifier) verify(ctx context.Context, token string, fresh bool) (*Token, error) {
	if len(token) > v.maxSize {
		return nil, refuse(ErrTooLarge, "")
	}
	t, err := v.judge(ctx, token, fresh)
	if err != nil {
		return nil, err
	}
	for _, check := range v.checks {
		if err := check(ctx, t); err != nil {
			return nil, checkFailed(err)
		}
	}
	return t, nil
}

func (v *Verifier) judge(ctx context.Context, token string, fresh bool) (*Token, error) {
	if v.opaque != nil && formOf(token) != formJWS {
		return v.judgeOpaque(ctx, &Query{Token: token, Digest: v.digest(token), Fresh: fresh})
	}
	var d digest
	var e *entry
	// What is no JWS cannot have been remembered.
	if (v.cache != nil || v.introspects) && strings.Count(token, ".") == 2 {
		d = v.digest(token)
		e = v.remembered(d)
	}
	if e == nil {
		var p parsed
		if err := v.parse(token, &p); err != nil {
			return nil, err
		}
		is, times, err := v.checkClaims(&p)
		if err != nil {
			return nil, err
		}
		key, set, err := checkSignature(ctx, is.keys, &p)
		switch {
		case err == nil:
		case errors.Is(err, errNoKeySet) && is.introspection != nil:
			return v.judgeUnverified(ctx, is, times, &p, &Query{Token: token, Digest: d, Fresh: fresh})
		default:
			return nil, err
		}
		e = &entry{issuer: is, times: times, key: key, set: set, noKid: p.noKid}
		if e.token, err = p.claims.token(e.issuer, p.payload); err != nil {
			return nil, err
		}
		v.headers.learn(&p, v.now())
		v.remember(d, e)
	}
	if e.issuer.introspection != nil || fresh {
		return v.judgeAsked(ctx, e, &Query{Token: token, Digest: d, Fresh: fresh})
	}
	return v.own(e), nil
}

// checkClaims makes every check that needs no key.
func (v *Verifier) checkClaims(p *parsed) (*issuer, times, error) {
	c := &p.claims
	name, ok := c.iss.Text()
	if !ok {
		return nil, times{}, refuseClaim("iss", c.iss)
	}
	is := v.issuers[name]
	if is == nil {
		return nil, times{}, refuseIssuer(v.issuersText, c.iss)
	}
	marked := c.idToken != "" && p.typ != typAccessToken
	if marked && !is.idTokenClaims {
		return nil, times{}, refuseType(c.idToken, p.typ, v.profile)
	}
	t, err := c.readTimes(v.profile)
	if err != nil {
		return nil, t, err
	}
	if err := t.check(v.now(), v.leeway); err != nil {
		return nil, t, err
	}
	if err := c.checkAudience(is, p.payload); err != nil {
		return nil, t, err
	}
	if err := c.checkIdentity(is, v.profile); err != nil {
		return nil, t, err
	}
	if marked && !is.clientAudience && c.isForItsClient(is) {
		return nil, t, refuseType(c.idToken, p.typ, v.profile)
	}
	if c.cnf != "" {
		return nil, t, refuseBound(c.cnf)
	}
	return is, t, nil
}

// maxTries bounds the signature checks that one token without a kid may cost
// with one key set.
const maxTries = 4

// errNoKeySet marks that there is no key set to judge by.
var errNoKeySet = errors.New("no key set")

// checkSignature finds the key and checks the signature; it returns the key and
// the set that has it.
func checkSignature(ctx context.Context, source KeySource, p *parsed) (*key, *KeySet, error) {
	set, err := keySetOf(source)
	if err != nil {
		// The source may be fetching its first set this moment.
		set, err = refreshed(ctx, source, Demand{Good: func(s *KeySet) bool { return s != nil }})
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

// checkNewer is checkSignature where the set at hand was not enough. A key that
// is not in it, or one whose signature does not verify, may be due to a rotation
// that has not been noticed yet: the source is asked for a newer set, and the
// keys that it brought are tried, once.
func checkNewer(ctx context.Context, source KeySource, p parsed, set *KeySet, tried []*key) (*key, *KeySet, error) {
	untried := func(s *KeySet) (keys []*key, ok bool) {
		keys, ok = s.find(nil, &p)
		return slices.DeleteFunc(keys, func(k *key) bool {
			return slices.ContainsFunc(tried, func(t *key) bool { return t.fingerprint == k.fingerprint })
		}), ok
	}
	newer, err := refreshed(ctx, source, Demand{
		Good: func(s *KeySet) bool {
			if s == nil {
				return false
			}
			keys, ok := untried(s)
			return len(keys) > 0 || !ok
		},
		Withdrawn: set.formerly(&p),
	})
	switch {
	case err == nil:
		keys, ok := untried(newer)
		if !ok {
			return nil, nil, refuseKey("kid", newer)
		}
		for _, k := range keys {
			if k.verifies(&p) {
				return k, newer, nil
			}
		}
	case len(tried) == 0 || p.noKid:
		// The issuer cannot be asked for a key that we have never seen, so
		// nobody knows whether the token is good.
		return nil, nil, unavailable(err)
	}
	if len(tried) == 0 {
		return nil, nil, refuseKey("", newer)
	}
	return nil, nil, refuse(ErrSignature, "")
}

// checkFailed turns the error of an additional check into that of the verifier.
// Only a Reason says something about the token; a database that does not answer
// says nothing.
func checkFailed(err error) error {
	var r Reason
	var e *Error
	if !errors.Is(err, ErrUnavailable) && (errors.As(err, &r) || errors.As(err, &e)) {
		return &Error{Reason: ErrRejected, Cause: err}
	}
	return &Error{Reason: ErrUnavailable, Part: "check", Cause: err}
}
