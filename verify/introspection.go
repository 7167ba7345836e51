package verify

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/bearerkit/bearerkit/internal/jose"
	"github.com/bearerkit/bearerkit/internal/strictjson"
)

// Introspection says how an issuer is asked about tokens (RFC 7662).
//
// What cannot be decided here is always asked: a token that is not a JWS (an
// opaque one, or an encrypted JWT), and a JWT of the issuer while its keys cannot
// be had. A JWT that can be checked here is checked here first; if it fails,
// nobody is asked. A JWT that was refused because of an answer is asked about
// until it expires.
//
// What the server says must not contradict a JWT that it is asked about: "iss",
// "sub" and "client_id" must be equal where both have them; of two "exp" the
// earlier one counts. For everything else that both have the answer counts,
// scopes included: it is the younger of the two. "aud", "nbf", "iat" and "jti"
// are the token's own; but a JWT that has no "aud" or no subject gets the
// answer's, which with Always is enough.
type Introspection struct {
	// Introspector asks; package
	// [github.com/bearerkit/bearerkit/verify/introspect] has one. Required.
	Introspector Introspector
	// Always asks about every JWT that verifies here, too, so that a
	// revocation counts as soon as answers are no longer reused. Default: a
	// JWT that verifies here is good until it expires.
	Always bool
	// TakesOpaque sends tokens that are not a JWS to this issuer, encrypted ones
	// included. With several issuers at most one can have it, and if none does
	// such tokens are refused. A single issuer does not need it. An issuer of
	// Config.FindIssuer cannot have it: such tokens name no issuer.
	TakesOpaque bool
	// InsecureNoAudience believes answers about tokens that are not a JWS even
	// if they have no "aud": any opaque token of the issuer opens this service
	// then, unless the server looks at who is asking (RFC 7662 section 4). So
	// does a refresh token, at a server whose answers have no "token_type"
	// either. A JWT never passes by it.
	InsecureNoAudience bool
}

// An Introspector asks one authorization server about tokens. It must be safe
// for concurrent use. It may also have these methods:
//
//   - Check(issuer string) error reports every fault that Bind would, joined,
//     and changes nothing. Without it, [Config.Validate] cannot see them.
//   - Unbind() undoes Bind, because the [New] that bound the introspector has
//     failed.
//   - Ready() error says why questions cannot be answered now; [Verifier.Ready]
//     asks where every token needs an answer.
//   - NeedsAudience() bool reports that it takes signed answers only, and that
//     their "aud" has to be one of the issuer's: without one it is a fault.
//   - Close() error ends it.
//   - Same(Introspector) bool reports whether another one, which is not bound,
//     would ask the same; see [Config].FindIssuer.
type Introspector interface {
	// Bind ties the introspector to the one issuer that it asks and to the
	// one verifier that open belongs to; open is for signed answers. The error
	// joins every reason why it cannot be: faults of its configuration, each a
	// [*Fault], that it is closed, or that it is bound already. Bind starts
	// nothing.
	Bind(issuer string, open Opener) error
	// Introspect returns what the server says, or what it has said lately. An
	// error says that it cannot be asked. It returns nil and no error only if
	// q.CacheOnly is set and nothing is known.
	Introspect(ctx context.Context, q *Query) (*Answer, error)
}

// An Opener checks a JWT of the issuer that is no access token: its form, its
// "typ", its issuer, that its "aud" has one of the issuer's configured audiences
// or of the given ones, that it was made within the last minute or so ("iat"),
// and its signature. It returns the claims, one strict JSON object.
type Opener func(ctx context.Context, jws, typ string, audience ...string) (claims string, err error)

// A Query is what is asked about a token.
type Query struct {
	Token string
	// Digest stands for the token where it must be remembered. It is keyed
	// and tells nothing about the token.
	Digest [32]byte
	// Verified says that the token is a JWT whose signature has been checked:
	// it was not made up.
	Verified bool
	// Fresh demands that the server is asked now, whatever it has said before.
	Fresh bool
	// CacheOnly demands that the server is not asked: the answer is one that is
	// remembered and may still be reused, or none.
	CacheOnly bool
}

// An Answer is what an authorization server says of a token.
type Answer struct {
	// Active is whether the server says that the token is active, and nothing
	// is wrong with the form of what it says.
	Active bool
	// Claims is the answer, one strict JSON object, if Active.
	Claims string
	// At is when the question was put.
	At time.Time
	// Stale reports that the answer is reused for longer than normal, because
	// the server cannot be reached.
	Stale bool

	judged atomic.Pointer[judgement]
}

// A judgement is what an answer means; it is made once for each.
type judgement struct {
	answer *Answer
	issuer *issuer // whose configuration it goes by
	token  Token
	times  times
	err    error
	lacks  error // err is for what the answer does not say; this says more
	memo   memo  // of token

	cleared atomic.Uint64 // at which number of denials it was found to count
}

// still returns the token if the judgement still holds.
func (j *judgement) still(now time.Time, leeway time.Duration) (*Token, error) {
	if j.err != nil {
		return nil, j.err
	}
	if err := j.times.check(now, leeway); err != nil {
		return nil, err
	}
	return j.token.clone(), nil
}

// judgeAsked judges a JWT that has verified, with what the server says of it.
func (v *Verifier) judgeAsked(ctx context.Context, e *entry, q *Query) (*Token, error) {
	in := e.issuer.introspection
	if in == nil {
		return nil, unavailable(errNotIntrospected)
	}
	q.Verified = true
	q.CacheOnly = !in.Always && !q.Fresh && !v.isDenied(e, q.Token)
	var start time.Time
	if !q.CacheOnly {
		start = time.Now()
	}
	began := v.denials.number.Load()
	a, err := in.ask(ctx, q)
	switch {
	case err != nil:
		return nil, err
	case a == nil:
		return e.token.clone(), nil
	}
	j := e.asked.Load()
	if j == nil || j.answer != a {
		j = e.consider(a)
		e.asked.Store(j)
		e.reweigh()
	}
	t, err := j.still(v.now(), v.leeway)
	if err != nil {
		var took time.Duration
		if !q.CacheOnly {
			took = time.Since(start)
		}
		v.deny(q, a, took, e.times.exp, err)
		return nil, err
	}
	if v.overrules(j, q, began) {
		return nil, refuse(ErrInactive, "")
	}
	return t, nil
}

var (
	errNotIntrospected = errors.New("verify: the issuer's tokens are not introspected")
	errNoAnswer        = errors.New("verify: the introspector has no answer that could be read")
)

// ask puts a question. There is no answer only where none was demanded: an
// introspector that forgets to give one opens nothing.
func (in *Introspection) ask(ctx context.Context, q *Query) (*Answer, error) {
	known := q.CacheOnly
	a, err := introspected(ctx, in.Introspector, q)
	switch {
	case err != nil:
		return nil, unavailable(err)
	case a == nil && !known:
		return nil, unavailable(errNoAnswer)
	}
	return a, nil
}

// consider holds an answer against the JWT that it is about.
func (e *entry) consider(a *Answer) *judgement {
	j := &judgement{answer: a, issuer: e.issuer}
	var c claims
	if j.times, j.err = c.readAnswer(e.issuer, a); j.err != nil {
		return j
	}
	if j.err = c.contradicts(&e.token); j.err != nil {
		return j
	}
	if c.aud != "" && !e.issuer.anyAudience {
		// Only what it says counts; what it leaves out the token has said.
		if named, _ := e.issuer.accepts(c.aud); !named {
			j.err = refuseAudience(e.issuer, "aud", c.aud)
			return j
		}
	}
	j.times = times{exp: min(e.times.exp, j.times.exp), nbf: max(e.times.nbf, j.times.nbf), iat: max(e.times.iat, j.times.iat)}
	merged := e.issuer.merge(e.token.claims, a.Claims)
	var m claims
	if j.err = m.parse(merged); j.err != nil {
		return j
	}
	// The answer may have changed the claim that stands in for the audience,
	// or supplied what the token left to it.
	if j.err = m.checkAudience(e.issuer, merged); j.err == nil {
		j.err = m.checkIdentity(e.issuer, false)
	}
	if j.err != nil {
		return j
	}
	if j.token, j.err = m.token(e.issuer, merged); j.err != nil {
		return j
	}
	if d := date(c.exp); c.exp != "" && d.Before(j.token.Expiry) {
		j.token.Expiry = d
	}
	j.token.Introspected, j.token.Stale = a.At, a.Stale
	j.memo.entry, j.token.memo = e, &j.memo
	return j
}

// contradicts finds what an answer says otherwise than the token.
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
func (c *claims) readAnswer(is *issuer, a *Answer) (times, error) {
	t := always
	if !a.Active {
		return t, refuse(ErrInactive, "")
	}
	if err := c.parse(a.Claims); err != nil {
		return t, unavailable(errNoAnswer)
	}
	if c.otherKind != "" {
		return t, refuse(ErrType, c.otherKind)
	}
	if c.tokenType != "" && !isAnyOf(c.tokenType, "bearer", "access_token", "urn:ietf:params:oauth:token-type:access_token") {
		return t, refuse(ErrType, "token_type")
	}
	if c.tokenUse != "" && !isAnyOf(c.tokenUse, "access", "access_token") {
		return t, refuse(ErrType, "token_use")
	}
	if c.username != "" && c.username.Kind() != strictjson.String {
		return t, refuse(ErrClaim, "username")
	}
	if c.cnf != "" {
		return t, ofAnswer(refuseBound(c.cnf))
	}
	if c.iss != "" {
		name, ok := c.iss.Text()
		if !ok {
			return t, ofAnswer(refuseClaim("iss", c.iss))
		}
		if !is.isNamed(name) {
			return t, refuseIssuer(is.namesText, c.iss)
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
			return t, ofAnswer(refuseClaim(d.name, d.value))
		}
		*d.to = f
	}
	if c.aud != "" {
		if _, ok := is.accepts(c.aud); !ok {
			return t, ofAnswer(refuseClaim("aud", c.aud))
		}
		if list, ok := c.aud.Texts(); ok && len(list) == 0 {
			c.aud = "" // how ory/hydra says that there is none
		}
	}
	loose := *is
	loose.allowNoSubject = true
	return t, ofAnswer(c.checkIdentity(&loose, false))
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

// judgeOpaque judges a token that only its server can read by what the server
// says of it.
func (v *Verifier) judgeOpaque(ctx context.Context, q *Query) (*Token, error) {
	is := v.opaque
	a, err := is.introspection.ask(ctx, q)
	if err != nil {
		return nil, err
	}
	j := a.judged.Load()
	if j == nil || j.issuer != is { // verifiers may share an introspector
		j = is.judgeAnswer(a, is.introspection.InsecureNoAudience)
		a.judged.Store(j)
	}
	return j.still(v.now(), v.leeway)
}

// judgeUnverified judges a JWT whose signature cannot be checked, because there
// is no key set of its issuer. What the server says must not contradict it, and
// counts alone: nobody has verified the rest. If it does not say for whom the
// token is and whose, the token cannot be judged: with keys it might be good.
func (v *Verifier) judgeUnverified(ctx context.Context, is *issuer, t times, p *parsed, q *Query) (*Token, error) {
	began, start := v.denials.number.Load(), time.Now()
	a, err := is.introspection.ask(ctx, q)
	if err != nil {
		return nil, err
	}
	j := is.judgeAnswer(a, false)
	if j.lacks != nil {
		return nil, unavailable(fmt.Errorf("%w, and %w", errNoKeySet, j.lacks))
	}
	if j.err == nil {
		j.err = j.compare(is, t, p)
	}
	got, err := j.still(v.now(), v.leeway)
	if err != nil {
		if e := v.recall(q.Digest); e != nil { // while there were keys it has verified
			v.deny(q, a, time.Since(start), e.times.exp, err)
		}
		return nil, err
	}
	if v.overrules(j, q, began) {
		return nil, refuse(ErrInactive, "")
	}
	return got, nil
}

// compare holds what an answer says against the JWT that it is about, whose
// signature nobody has checked.
func (j *judgement) compare(is *issuer, t times, p *parsed) error {
	unverified := *is
	unverified.isMachine = nil // which is told of verified tokens only
	claimed, err := p.claims.token(&unverified, p.Payload)
	if err != nil {
		return err
	}
	var c claims
	if _, err := c.readAnswer(is, j.answer); err != nil {
		return err
	}
	if err := c.contradicts(&claimed); err != nil {
		return err
	}
	if t.exp < j.times.exp {
		j.times.exp, j.token.Expiry = t.exp, claimed.Expiry
	}
	j.times.nbf = max(j.times.nbf, t.nbf)
	return nil
}

// judgeAnswer makes a token of an answer alone. noAudience accepts an answer
// that does not say for whom the token is.
func (is *issuer) judgeAnswer(a *Answer, noAudience bool) *judgement {
	j := &judgement{answer: a, issuer: is}
	var c claims
	if j.times, j.err = c.readAnswer(is, a); j.err != nil {
		return j
	}
	lacking := func(member, setting string) *judgement {
		e := errLacking(member, setting)
		j.err, j.lacks = e, e.Cause
		return j
	}
	unnamed := c.aud == "" && !is.anyAudience
	switch {
	case c.sub == "" && !is.allowNoSubject:
		setting := "Issuer.SubjectClaim can name another member, Issuer.AllowNoSubject accepts that"
		if c.username != "" {
			setting += `; the answer has a "username"`
		}
		return lacking(cmp.Or(is.subjectClaim, "sub"), setting)
	case unnamed && is.audienceClaim != "" && member(a.Claims, is.audienceClaim) == "":
		return lacking(is.audienceClaim, "it is Issuer.AudienceClaim")
	case unnamed && is.audienceClaim == "" && noAudience:
	case unnamed && is.audienceClaim == "":
		return lacking("aud", "Issuer.AudienceClaim can name a member that stands in for it; for opaque tokens, Introspection.InsecureNoAudience accepts that")
	default:
		if j.err = c.checkAudience(is, a.Claims); j.err != nil {
			return j
		}
	}
	if j.token, j.err = c.token(is, a.Claims); j.err != nil {
		return j
	}
	j.token.Introspected, j.token.Stale, j.token.memo = a.At, a.Stale, &j.memo
	return j
}

// isNamed reports whether a value of "iss" is the issuer's.
func (is *issuer) isNamed(name string) bool { return slices.Contains(is.allNames, name) }

// tokensOwn are the members that a JWT knows best itself, and those that say something
// of the answer rather than of the token.
var tokensOwn = []string{"iss", "exp", "nbf", "iat", "jti", "active", "token_type"}

// merge returns the claims of a token with those of an answer over them. Both
// are strict JSON objects. What is null says nothing. Of the subject and "aud" the
// answer's counts only where the token names none: Keycloak's lightweight access
// tokens leave them to the answer.
func (is *issuer) merge(token, answer string) string {
	subject := cmp.Or(is.subjectClaim, "sub")
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
		case slices.Contains(tokensOwn, name), value.Kind() == strictjson.Null:
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

// maxAnswerAge bounds how old a signed answer may be.
const maxAnswerAge = time.Minute

// opener returns the Opener of an issuer's introspector.
func (v *Verifier) opener(is *issuer) Opener {
	return func(ctx context.Context, jws, typ string, audience ...string) (string, error) {
		is := is.current()
		var p jose.JWS
		if err := v.parseJWS(jws, &p); err != nil {
			return "", err
		}
		if p.Type != typ {
			return "", refuse(ErrType, "typ")
		}
		var iss, aud, iat strictjson.Value
		err := strictjson.Object(p.Payload, func(name string, value strictjson.Value) {
			switch name {
			case "iss":
				iss = value
			case "aud":
				aud = value
			case "iat":
				iat = value
			}
		})
		if err != nil {
			return "", refuse(ErrMalformed, "claims")
		}
		if name, ok := iss.Text(); !ok || !is.isNamed(name) {
			return "", refuse(ErrIssuer, "")
		}
		meant := &issuer{audience: slices.Concat(is.audience, audience)}
		if named, ok := meant.accepts(aud); !ok || !named {
			return "", refuse(ErrAudience, "")
		}
		made, ok := numericDate(iat)
		if !ok {
			return "", refuse(ErrClaim, "iat")
		}
		n := float64(v.now().UnixNano()) / 1e9
		slack := v.leeway.Seconds()
		if made > n+slack || made < n-slack-maxAnswerAge.Seconds() {
			return "", refuse(ErrExpired, "iat")
		}
		if err := refuseJWS(jws, p.Algorithm.CheckSize(p.Signature)); err != nil {
			return "", err
		}
		if _, _, err := checkSignature(ctx, is.keys, &p); err != nil {
			return "", err
		}
		return p.Payload, nil
	}
}
