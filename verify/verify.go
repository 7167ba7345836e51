package verify

import (
	"context"
	"crypto/sha256"
	"errors"
	"strings"
	"time"

	"github.com/bearerkit/bearerkit/internal/jose"
)

// A Verifier finds out whether access tokens are good. It is safe for
// concurrent use.
type Verifier struct {
	issuers     map[string]*issuer // by each value of "iss"
	list        []*issuer
	issuersText string  // for logs
	opaque      *issuer // whose introspection gets tokens that are no JWTs; nil if none does
	introspects bool    // some issuer can be asked
	finder      *finder // nil: all issuers are configured
	reader      jose.Reader
	leeway      time.Duration
	maxSize     int
	profile     bool
	checks      []func(context.Context, *Token) error
	now         func() time.Time

	secret  [sha256.Size]byte // keys the digests of this verifier
	cache   *cache            // nil: none
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
// Most calls do not wait for anything. One may wait for a key that is not at hand,
// for the authorization server's answer to an introspection, and for
// Config.FindIssuer, within their bounds and those of ctx.
func (v *Verifier) Verify(ctx context.Context, token string) (*Token, error) {
	return v.verify(ctx, &Request{Token: token})
}

func (v *Verifier) verify(ctx context.Context, r *Request) (*Token, error) {
	if len(r.Token) > v.maxSize {
		return nil, refuse(ErrTooLarge, "")
	}
	if r.Scheme != "" && jose.Lower(r.Scheme) != "bearer" {
		// Only a token that is bound to a key comes with another scheme, and
		// those are refused.
		return nil, refuse(ErrBound, "")
	}
	t, err := v.judge(ctx, r.Token, r.Fresh)
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

// maxJudgements bounds how often a token is judged because its issuer was replaced
// meanwhile.
const maxJudgements = 5

func (v *Verifier) judge(ctx context.Context, token string, fresh bool) (*Token, error) {
	for n := 1; ; n++ {
		t, is, err := v.judgeOnce(ctx, token, fresh)
		switch {
		case err == nil || is == nil || is.found == nil:
			return t, err
		case !is.gone() || n == maxJudgements:
			v.finder.failed(ctx, is, err)
			return nil, err
		}
		// The issuer was dropped or replaced meanwhile, and its key source
		// closed.
	}
}

// judgeOnce judges a token, and also returns its issuer, if it has come that far.
func (v *Verifier) judgeOnce(ctx context.Context, token string, fresh bool) (*Token, *issuer, error) {
	if v.opaque != nil && formOf(token) != formJWS {
		t, err := v.judgeOpaque(ctx, &Query{Token: token, Digest: v.digest(token), Fresh: fresh})
		return t, v.opaque, err
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
			return nil, nil, err
		}
		is, times, err := v.checkClaims(ctx, &p)
		if err != nil {
			return nil, is, err
		}
		key, set, err := checkSignature(ctx, is.keys, &p.JWS)
		switch {
		case err == nil:
		case errors.Is(err, errNoKeySet) && is.introspection != nil:
			t, err := v.judgeUnverified(ctx, is, times, &p, &Query{Token: token, Digest: d, Fresh: fresh})
			return t, is, err
		default:
			return nil, is, err
		}
		if is.found != nil {
			v.finder.proved(is.found)
		}
		e = &entry{issuer: is, times: times, key: key, set: set, noKid: p.NoKeyID || key.id == ""}
		if e.token, err = p.claims.token(e.issuer, p.Payload); err != nil {
			return nil, is, err
		}
		v.reader.Headers.Learn(&p.JWS, v.now())
		v.remember(d, e)
	}
	if e.issuer.introspection != nil || fresh {
		t, err := v.judgeAsked(ctx, e, &Query{Token: token, Digest: d, Fresh: fresh})
		return t, e.issuer, err
	}
	return v.own(e), e.issuer, nil
}

// checkClaims makes every check that needs no key.
func (v *Verifier) checkClaims(ctx context.Context, p *parsed) (*issuer, times, error) {
	c := &p.claims
	name, ok := c.iss.Text()
	if !ok {
		return nil, times{}, refuseClaim("iss", c.iss)
	}
	is := v.issuers[name]
	if is == nil {
		var err error
		if is, err = v.findIssuer(ctx, name, c); err != nil {
			return nil, times{}, err
		}
	}
	marked := c.idToken != "" && p.Type != typAccessToken
	if marked && !is.idTokenClaims {
		return is, times{}, refuseType(c.idToken, p.Type, v.profile)
	}
	t, err := c.readTimes(v.profile)
	if err != nil {
		return is, t, err
	}
	if err := t.check(v.now(), v.leeway); err != nil {
		return is, t, err
	}
	itself := is // what the token must say itself; an answer may complete it
	if is.whenAsked != nil {
		itself = is.whenAsked
	}
	if err := c.checkAudience(itself, p.Payload); err != nil {
		return is, t, err
	}
	if err := c.checkIdentity(itself, v.profile); err != nil {
		return is, t, err
	}
	if marked && !is.clientAudience && c.isForItsClient(is) {
		return is, t, refuseIDToken(c.idToken, p.Type)
	}
	if c.cnf != "" {
		return is, t, refuseBound(c.cnf)
	}
	return is, t, nil
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
