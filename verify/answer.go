package verify

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/bearerkit/bearerkit/internal/jose"
	"github.com/bearerkit/bearerkit/internal/strictjson"
)

// The functions in this file find out what an introspection answer means for a
// token. They call functions of the configuration at most, and change nothing but the
// grant that they make.

// weigh returns what an answer makes of a token.
func (e *entry) weigh(a *Answer) *grant {
	g := &grant{issuer: e.issuer, answer: a}
	var c claims
	g.times, g.bound, g.err = c.readAnswer(e.issuer, a, e.cnf)
	if g.err == nil {
		if e.evidence == signed {
			g.err = g.complete(e, &c)
		} else {
			g.err = g.replace(e, &c)
		}
	}
	if g.err != nil {
		return g
	}
	g.token.Introspected, g.token.Stale, g.token.memo = a.At, a.Stale, &g.memo
	g.token.bound = g.bound.keys
	g.err = g.watch()
	return g
}

// complete makes the grant of a JWT that has verified out of its claims and those of
// an answer, c.
func (g *grant) complete(e *entry, c *claims) error {
	iss := e.issuer
	if err := c.contradicts(&e.token); err != nil {
		return err
	}
	if c.aud != "" && !iss.anyAudience {
		// An answer that names no audience leaves it to the token.
		if accepted, _ := accepts(iss.audience, c.aud); !accepted {
			return refuseAudience(iss, "aud", c.aud)
		}
	}
	g.times = validity{exp: min(e.times.exp, g.times.exp), nbf: max(e.times.nbf, g.times.nbf), iat: max(e.times.iat, g.times.iat)}
	merged := iss.merge(e.token.claims, g.answer.Claims)
	var m claims
	if err := m.parse(merged); err != nil {
		return err
	}
	// The answer may have changed the claim that stands in for the audience, or
	// supplied what the token left to it.
	if err := m.checkAudience(iss, merged); err != nil {
		return err
	}
	if err := m.checkIdentity(iss, false); err != nil {
		return err
	}
	var err error
	if g.token, err = m.token(iss, merged); err != nil {
		return err
	}
	if d := date(c.exp); c.exp != "" && d.Before(g.token.Expiry) {
		g.token.Expiry = d
	}
	g.memo.entry = e
	return nil
}

// replace makes the grant of a token that nobody has verified: of the answer alone,
// c, which must not contradict what the token claims, if that is a JWT.
func (g *grant) replace(e *entry, c *claims) error {
	iss, answer := e.issuer, g.answer.Claims
	lacking := func(member, setting string) error {
		err := errLacking(member, setting)
		g.lacks = err.Cause
		return err
	}
	noAudience := c.aud == "" && !iss.anyAudience
	switch {
	case c.sub == "" && !iss.allowNoSubject:
		setting := "Issuer.SubjectClaim can name another member, Issuer.AllowNoSubject accepts that"
		if c.username != "" {
			setting += `; the answer has a "username"`
		}
		return lacking(cmp.Or(iss.subjectClaim, "sub"), setting)
	case noAudience && iss.audienceClaim != "" && member(answer, iss.audienceClaim) == "":
		return lacking(iss.audienceClaim, "it is Issuer.AudienceClaim")
	case noAudience && iss.audienceClaim == "" && e.evidence == opaque && iss.introspection.InsecureNoAudience:
	case noAudience && iss.audienceClaim == "":
		return lacking("aud", "Issuer.AudienceClaim can name a member that stands in for it; for opaque tokens, Introspection.InsecureNoAudience accepts that")
	default:
		if err := c.checkAudience(iss, answer); err != nil {
			return err
		}
	}
	var err error
	if g.token, err = c.token(iss, answer); err != nil || e.evidence == opaque {
		return err
	}
	if err := c.contradicts(&e.token); err != nil {
		return err
	}
	if e.times.exp < g.times.exp {
		g.times.exp, g.token.Expiry = e.times.exp, e.token.Expiry
	}
	g.times.nbf = max(g.times.nbf, e.times.nbf)
	return nil
}

// contradicts returns an error if an answer names another subject or client than the
// token does.
func (c *claims) contradicts(t *Token) error {
	if c.sub != "" && t.Subject != "" && !c.sub.Is(t.Subject) {
		return refuse(ErrInactive, "sub")
	}
	if c.clientID != "" && t.ClientID != "" && !c.clientID.Is(t.ClientID) {
		return refuse(ErrInactive, "client_id")
	}
	return nil
}

// readAnswer checks an answer as far as it stands by itself (RFC 7662 section
// 2.2). Answers need not have any member but "active"; those they have must be
// right.
//
// cnf is what the token says itself of the keys that it is bound to; the answer may
// name more of them.
func (c *claims) readAnswer(iss *issuer, a *Answer, cnf strictjson.Value) (t validity, bound confirmation, err error) {
	t = unbounded
	if !a.Active {
		return t, bound, refuse(ErrInactive, "")
	}
	if err := c.parse(a.Claims); err != nil {
		return t, bound, unavailable(errNoAnswer)
	}
	if c.otherKind != "" {
		return t, bound, refuse(ErrType, c.otherKind)
	}
	bound, unbound := iss.confirmed(cnf, c.cnf)
	if c.tokenType != "" && (bound.scheme == "" || !isAnyOf(c.tokenType, bound.scheme)) && !isAnyOf(c.tokenType, "bearer", "access_token", "urn:ietf:params:oauth:token-type:access_token") {
		return t, bound, refuse(ErrType, "token_type")
	}
	if c.tokenUse != "" && !isAnyOf(c.tokenUse, "access", "access_token") {
		return t, bound, refuse(ErrType, "token_use")
	}
	if c.username != "" && c.username.Kind() != strictjson.String {
		return t, bound, refuse(ErrClaim, "username")
	}
	if unbound != nil {
		return t, bound, ofAnswer(unbound)
	}
	if c.iss != "" {
		name, ok := c.iss.Text()
		if !ok {
			return t, bound, ofAnswer(refuseClaim("iss", c.iss))
		}
		if !iss.hasName(name) {
			return t, bound, refuseIssuer(iss.namesText, c.iss)
		}
	}
	for _, d := range []struct {
		name  string
		value strictjson.Value
		to    *float64
	}{{"exp", c.exp, &t.exp}, {"nbf", c.nbf, &t.nbf}, {"iat", c.iat, &t.iat}} {
		if d.value == "" {
			continue
		}
		f, ok := numericDate(d.value)
		if !ok {
			return t, bound, ofAnswer(refuseClaim(d.name, d.value))
		}
		*d.to = f
	}
	if c.aud != "" {
		if _, ok := accepts(iss.audience, c.aud); !ok {
			return t, bound, ofAnswer(refuseClaim("aud", c.aud))
		}
		if list, ok := c.aud.Texts(); ok && len(list) == 0 {
			c.aud = "" // how ory/hydra says that there is none
		}
	}
	anySubject := *iss
	anySubject.allowNoSubject = true
	return t, bound, ofAnswer(c.checkIdentity(&anySubject, false))
}

// ofAnswer makes an error about a claim of a token one about a member of an
// answer.
func ofAnswer(err error) error {
	if e, ok := err.(*Error); ok {
		e.says = strings.Replace(e.says, "claim of the token", "member of the introspection answer", 1)
	}
	return err
}

// isAnyOf compares a string without regard to the case of ASCII letters.
func isAnyOf(v strictjson.Value, list ...string) bool {
	s, ok := v.Text()
	return ok && slices.Contains(list, jose.Lower(s))
}

// errLacking is for an answer that leaves out a member which is required. The
// cause is for the log: it says what to set for a server that answers so.
func errLacking(member, setting string) *Error {
	return &Error{
		Reason: ErrClaim, Part: member,
		Cause: fmt.Errorf("verify: the introspection answer has no %q: %s", member, setting),
		says:  "the introspection answer lacks a member that is required",
	}
}

// keptFromToken are the members that a JWT keeps, whatever an answer says, and those
// that describe the answer rather than the token.
var keptFromToken = []string{"iss", "exp", "nbf", "iat", "jti", "active", "token_type"}

// merge returns the claims of a token with those of an answer over them. Both
// are strict JSON objects. What is null says nothing. Of the subject and "aud" the
// answer's counts only where the token names none: Keycloak's lightweight access
// tokens leave them to the answer.
func (iss *issuer) merge(token, answer string) string {
	subject := cmp.Or(iss.subjectClaim, "sub")
	var b strings.Builder
	b.Grow(len(token) + len(answer))
	taken := map[string]bool{}
	sep := byte('{')
	add := func(name string, value strictjson.Value) {
		b.WriteByte(sep)
		sep = ','
		b.WriteString(strictjson.Quote(name))
		b.WriteByte(':')
		b.WriteString(string(value))
		taken[name] = true
	}
	for name, value := range strictjson.Value(strings.TrimSpace(answer)).Members() {
		switch {
		case slices.Contains(keptFromToken, name), value.Kind() == strictjson.Null:
		case name == "cnf":
			add(name, mergeObjects(member(token, name), value))
		case (name == "sub" || name == "aud" || name == subject) && (!namesAnything(value) || namesAnything(member(token, name))):
		default:
			add(name, value)
		}
	}
	if taken["scope"] || taken["scp"] { // two names of one thing
		taken["scope"], taken["scp"] = true, true
	}
	for name, value := range strictjson.Value(strings.TrimSpace(token)).Members() {
		if !taken[name] {
			add(name, value)
		}
	}
	b.WriteByte('}')
	return b.String()
}

// mergeObjects returns a JSON object with the members of two, where those of the
// first one count. The first may be missing.
func mergeObjects(first, second strictjson.Value) strictjson.Value {
	if first == "" {
		return second
	}
	var b strings.Builder
	sep := byte('{')
	names := map[string]bool{}
	for _, object := range [...]strictjson.Value{first, second} {
		for name, value := range object.Members() {
			if names[name] {
				continue
			}
			names[name] = true
			b.WriteByte(sep)
			sep = ','
			b.WriteString(strictjson.Quote(name) + ":" + string(value))
		}
	}
	if sep == '{' {
		return first
	}
	return strictjson.Value(b.String() + "}")
}
