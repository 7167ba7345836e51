package verify

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/bearerkit/bearerkit/internal/jose"
	"github.com/bearerkit/bearerkit/internal/strictjson"
)

// An Opener opens JWTs that are not access tokens for a part of a verifier that is
// bound to it. [*Verifier] is one.
type Opener interface {
	// Open checks a JWT of an issuer, which is given by its identifier or another
	// value of "iss": its form, its type, its issuer, its audience, its times, and
	// last its signature with a key of the issuer. It returns the claims, one strict
	// JSON object. The error is an [*Error].
	Open(ctx context.Context, issuer, jws string, k Kind) (claims string, err error)
	// Audience returns what [Issuer.Audience] of an issuer is.
	Audience(issuer string) []string
	// Algorithms returns the accepted values of "alg".
	Algorithms() []string
	// Leeway returns the clock difference that is tolerated, and Now the time.
	Leeway() time.Duration
	Now() time.Time
}

// A Kind is a kind of JWT that is not an access token: a signed introspection answer,
// a logout token, a security event.
type Kind struct {
	// Types are the media types of which "typ" must be one, without "application/":
	// "logout+jwt". They are compared without regard to case. An empty one stands for
	// a JWT without "typ". Required.
	Types []string
	// Audience are the values of which "aud" must have one. NoAudience accepts any
	// "aud", and none.
	Audience   []string
	NoAudience bool
	// MaxAge is for how long a JWT is good after "iat", which is required then, with
	// the verifier's leeway. Zero: "exp" is required in its place. In either case a
	// JWT whose "exp" has passed is refused, and so is one whose "nbf" or "iat" is in
	// the future.
	MaxAge time.Duration
}

// Open implements [Opener].
func (v *Verifier) Open(ctx context.Context, issuer, jws string, k Kind) (string, error) {
	iss := v.issuerOf(issuer)
	if iss == nil {
		return "", unavailable(fmt.Errorf("verify: the issuer %q is not in use", issuer))
	}
	var p jose.JWS
	if err := v.parseJWS(jws, &p); err != nil {
		return "", err
	}
	if !slices.ContainsFunc(k.Types, func(t string) bool { return jose.MediaType(t) == p.Type }) {
		return "", refuse(ErrType, "typ")
	}
	var name, aud, exp, nbf, iat strictjson.Value
	err := strictjson.Object(p.Payload, func(member string, value strictjson.Value) {
		switch member {
		case "iss":
			name = value
		case "aud":
			aud = value
		case "exp":
			exp = value
		case "nbf":
			nbf = value
		case "iat":
			iat = value
		}
	})
	if err != nil {
		return "", refuse(ErrMalformed, "claims")
	}
	if text, ok := name.Text(); !ok || !iss.hasName(text) {
		return "", refuse(ErrIssuer, "")
	}
	if !k.NoAudience {
		if accepted, ok := accepts(k.Audience, aud); !ok || !accepted {
			return "", refuse(ErrAudience, "")
		}
	}
	if err := v.checkTimes(exp, nbf, iat, k.MaxAge); err != nil {
		return "", err
	}
	if err := refuseJWS(jws, p.Algorithm.CheckSize(p.Signature)); err != nil {
		return "", err
	}
	if _, _, err := checkSignature(ctx, iss.keys, &p); err != nil {
		return "", err
	}
	return p.Payload, nil
}

// checkTimes checks the times of a JWT that is not an access token.
func (v *Verifier) checkTimes(exp, nbf, iat strictjson.Value, maxAge time.Duration) error {
	t := unbounded
	for _, d := range []struct {
		name     string
		value    strictjson.Value
		to       *float64
		required bool
	}{{"exp", exp, &t.exp, maxAge <= 0}, {"nbf", nbf, &t.nbf, false}, {"iat", iat, &t.iat, maxAge > 0}} {
		if d.value == "" && !d.required {
			continue
		}
		f, ok := numericDate(d.value)
		if !ok {
			return refuse(ErrClaim, d.name)
		}
		*d.to = f
	}
	now := v.now()
	if err := t.check(now, v.leeway); err != nil {
		return err
	}
	if maxAge > 0 && t.iat < float64(now.Add(-v.leeway-maxAge).UnixNano())/1e9 {
		return refuse(ErrExpired, "iat")
	}
	return nil
}

// issuerOf returns the issuer of a name that is in use, or nil.
func (v *Verifier) issuerOf(name string) *issuer {
	if iss := v.issuers[name]; iss != nil || v.finder == nil {
		return iss
	}
	return v.finder.inUse(name)
}

// Audience implements [Opener].
func (v *Verifier) Audience(issuer string) []string {
	if iss := v.issuerOf(issuer); iss != nil {
		return slices.Clone(iss.audience)
	}
	return nil
}

// Algorithms returns the names of the algorithms that are accepted.
func (v *Verifier) Algorithms() []string {
	var names []string
	for _, n := range Algorithms() {
		if v.reader.Algorithms[n] != nil {
			names = append(names, n)
		}
	}
	return names
}
