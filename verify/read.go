package verify

import (
	"context"
	"errors"
	"strings"
)

// evidence is what proves the claims of a token.
type evidence int

const (
	signed  evidence = iota // its signature
	claimed                 // nothing: it is a JWT, but there is no key set to check it with
	opaque                  // nothing: it is not a JWT, and says nothing itself
)

// read checks what a token says itself, without asking its server. It returns the
// entry of a token that has verified, now or before; or, if the server has to be asked
// because the signature cannot be checked, an entry whose evidence is claimed or
// opaque. The issuer is returned beside an error as well, if it is known. The digest
// is that of the token, if it is needed.
func (v *Verifier) read(ctx context.Context, token string) (e *entry, iss *issuer, d digest, err error) {
	if v.opaque != nil && formOf(token) != formJWS {
		return v.opaque, v.opaque.issuer, v.digest(token), nil
	}
	if (v.cache != nil || v.introspects) && strings.Count(token, ".") == 2 { // others are not remembered
		d = v.digest(token)
		if e = v.remembered(d); e != nil {
			return e, e.issuer, d, nil
		}
	}
	var p parsed
	if err = v.parse(token, &p); err != nil {
		return nil, nil, d, err
	}
	iss, times, bound, err := v.checkClaims(ctx, &p)
	if err != nil {
		return nil, iss, d, err
	}
	key, set, err := checkSignature(ctx, iss.keys, &p.JWS)
	switch {
	case err == nil:
		e = &entry{key: key, set: set, noKid: p.NoKeyID || key.id == ""}
	case errors.Is(err, errNoKeySet) && iss.introspection != nil:
		e = &entry{evidence: claimed}
	default:
		return nil, iss, d, err
	}
	e.issuer, e.times, e.bound, e.cnf = iss, times, bound, p.claims.cnf
	if e.evidence == claimed {
		unverified := *iss
		unverified.isMachine = nil // which gets verified tokens only
		e.token, err = p.claims.token(&unverified, p.Payload)
		return e, iss, d, err
	}
	if iss.found != nil {
		v.finder.proved(iss.found)
	}
	if e.token, err = p.claims.token(iss, p.Payload); err != nil {
		return nil, iss, d, err
	}
	e.token.bound = bound.keys
	if iss.introspection == nil || !iss.introspection.Always { // else the conditions watch the token that an answer completes
		if err = e.watch(); err != nil {
			return nil, nil, d, err
		}
	}
	v.reader.Headers.Learn(&p.JWS, v.now())
	v.remember(d, e)
	return e, iss, d, nil
}

// checkClaims makes every check that needs no key.
func (v *Verifier) checkClaims(ctx context.Context, p *parsed) (*issuer, validity, confirmation, error) {
	c := &p.claims
	var t validity
	var bound confirmation
	name, ok := c.iss.Text()
	if !ok {
		return nil, t, bound, refuseClaim("iss", c.iss)
	}
	iss := v.issuers[name]
	if iss == nil {
		var err error
		if iss, err = v.findIssuer(ctx, name, c); err != nil {
			return nil, t, bound, err
		}
	}
	marked := c.idToken != "" && p.Type != typAccessToken
	if marked && !iss.idTokenClaims {
		return iss, t, bound, refuseType(c.idToken, p.Type, v.profile)
	}
	t, err := c.readTimes(v.profile)
	if err != nil {
		return iss, t, bound, err
	}
	if err := t.check(v.now(), v.leeway); err != nil {
		return iss, t, bound, err
	}
	itself := iss // what the token must say itself; an answer may complete it
	if iss.whenAsked != nil {
		itself = iss.whenAsked
	}
	if err := c.checkAudience(itself, p.Payload); err != nil {
		return iss, t, bound, err
	}
	if err := c.checkIdentity(itself, v.profile); err != nil {
		return iss, t, bound, err
	}
	if marked && !iss.clientAudience && c.isForItsClient(iss) {
		return iss, t, bound, refuseIDToken(c.idToken, p.Type)
	}
	bound, err = iss.confirmed(c.cnf)
	return iss, t, bound, err
}
