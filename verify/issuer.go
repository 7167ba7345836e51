package verify

import (
	"fmt"
	"slices"
	"strings"
)

// Issuer describes one trusted authorization server. docs/issuers.md says which
// servers need which fields.
type Issuer struct {
	// Issuer is the authorization server's identifier, compared with the "iss"
	// claim byte for byte (RFC 9068 section 4): no slash is added or taken away.
	// Required.
	Issuer string
	// Audience has the identifiers by which tokens name this resource server;
	// one of them must be in "aud" (RFC 7519 section 4.1.3). Required, unless
	// InsecureNoAudience is set.
	Audience []string
	// Keys has the issuer's keys. Required.
	Keys KeySource
	// Introspection asks the issuer about tokens (RFC 7662). Default: none;
	// tokens are good until they expire, and those that are not JWTs are
	// refused.
	Introspection *Introspection

	// Alternates are other values of "iss" under which the same authorization
	// server issues tokens with the same keys, compared exactly as well. A
	// token that bears one belongs to Issuer: [Token.Issuer] says so.
	Alternates []string
	// AudienceClaim names the claim that stands in for "aud" at an issuer
	// whose access tokens have none: "client_id" for Amazon Cognito and
	// AuthKit sessions, say. One of its values must be in Audience; an "aud"
	// that is there nevertheless must pass too. Default: none.
	AudienceClaim string
	// InsecureNoAudience accepts tokens whatever their audience: any service
	// that the issuer serves can then replay a token of its users here.
	InsecureNoAudience bool
	// AllowIDTokenClaims accepts untyped tokens (a typ that is missing or JWT)
	// with "nonce", "at_hash", "c_hash" or "s_hash". These mark an ID token
	// (OpenID Connect Core sections 2 and 3.3.2.11), but Dex, authentik, Azure
	// AD B2C, ForgeRock and Keycloak before version 25 put one or the other
	// into access tokens. Other kinds of token stay refused, and so does a
	// token whose audience is its own client: see AllowClientAudience.
	AllowIDTokenClaims bool
	// AllowClientAudience accepts what AllowIDTokenClaims does even if the
	// audience that matches is the client's own ID, as the token shows it in
	// "client_id", "azp", "cid" or ClientIDClaim. An ID token's audience is
	// always the client, so nothing tells the two apart any more: anyone who
	// has an ID token of that client can use it here. Set it only where the
	// issuer has no other audience for access tokens (authentik).
	AllowClientAudience bool
	// AllowNoSubject accepts tokens without a subject, which an empty string
	// counts as too.
	AllowNoSubject bool
	// SubjectClaim names the claim that says who the subject is, in tokens
	// and in introspection answers: "oid" at Microsoft Entra, "username" in
	// the answers of Django OAuth Toolkit. It must be as unique at the issuer
	// and as stable as "sub", and a user must not be able to choose it.
	// Default: "sub".
	SubjectClaim string
	// ClientIDClaim names the claim that has the ID of the client, in tokens
	// and in introspection answers: "appid" in version 1 tokens of Microsoft
	// Entra. Default: "client_id", else "azp", else "cid".
	ClientIDClaim string
	// IsMachine reports whether a token was issued to a client on its own
	// behalf, and decides what [Token.IsMachine] says. Within the function,
	// t.IsMachine() says what the default is. It is called once for each token
	// that has verified, and again for a new introspection answer; it must be
	// safe for concurrent use and must not keep the token. Default: the subject
	// is the client (RFC 9068 section 2.2).
	IsMachine func(*Token) bool

	// Bindings and Conditions are for tokens of this issuer, beside those of
	// [Config]. They belong to the issuer and are closed with it: what several
	// issuers share is for Config. Issuers of Config.FindIssuer cannot have Bindings.
	Bindings   []Binding
	Conditions []Condition
}

// issuer is an Issuer made ready.
type issuer struct {
	name           string
	names          []string // the alternates included
	audience       []string
	namesText      string // names, for logs
	audienceText   string // the same
	audienceClaim  string
	anyAudience    bool
	idTokenClaims  bool
	clientAudience bool
	allowNoSubject bool
	subjectClaim   string // empty: "sub"
	clientIDClaim  string // empty: the usual ones
	isMachine      func(*Token) bool
	profile        bool    // RFC 9068
	lateAudience   bool    // a token without "aud" is asked about
	whenAsked      *issuer // what a token must say itself if every use of it is asked about; nil: all of it
	keys           KeySource
	introspection  *Introspection
	bindings       []*binding  // those of the configuration included
	conditions     []Condition // the same
	own            []any       // bindings and conditions of this issuer alone
	field          string      // where it stands in the configuration: "Issuers[1]."

	found *found // nil if it is configured
}

// addIssuer takes in an issuer of the configuration.
func (v *Verifier) addIssuer(field string, c Issuer, bad *faultList) {
	iss := v.newIssuer(field, c, bad)
	for i, name := range iss.names {
		if v.issuers[name] != nil {
			bad.Add(iss.nameField(i), "%q is listed twice", name)
		} else if name != "" {
			v.issuers[name] = iss
		}
	}
	iss.checkParts(nil, v.list, bad)
	v.introspects = v.introspects || iss.introspection != nil
	v.list = append(v.list, iss)
}

// newIssuer prepares an issuer. It does not check whether other issuers have its
// names, nor its key source and introspector.
func (v *Verifier) newIssuer(prefix string, c Issuer, bad *faultList) *issuer {
	iss := &issuer{
		name:           c.Issuer,
		names:          append([]string{c.Issuer}, c.Alternates...),
		audience:       slices.Clone(c.Audience),
		audienceText:   listed(c.Audience, maxExpected),
		audienceClaim:  c.AudienceClaim,
		anyAudience:    c.InsecureNoAudience,
		idTokenClaims:  c.AllowIDTokenClaims,
		clientAudience: c.AllowClientAudience,
		allowNoSubject: c.AllowNoSubject,
		subjectClaim:   c.SubjectClaim,
		clientIDClaim:  c.ClientIDClaim,
		isMachine:      c.IsMachine,
		profile:        v.profile,
		keys:           c.Keys,
		field:          prefix,
	}
	if iss.subjectClaim == "sub" {
		iss.subjectClaim = ""
	}
	iss.namesText = listed(iss.names, maxExpected)
	for i, name := range iss.names {
		switch {
		case name == "":
			bad.Add(iss.nameField(i), "is required")
		case strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r == 0x7f }):
			bad.Add(iss.nameField(i), "%q has white space or control characters", name)
		case strings.ContainsAny(name, "{}"):
			bad.Add(iss.nameField(i), "%q is a template, and \"iss\" is compared byte for byte; use Config.FindIssuer for many issuers of one form", name)
		}
	}
	switch {
	case c.InsecureNoAudience && (len(c.Audience) > 0 || c.AudienceClaim != ""):
		bad.Add(prefix+"InsecureNoAudience", "contradicts Audience and AudienceClaim")
	case !c.InsecureNoAudience && len(c.Audience) == 0:
		bad.Add(prefix+"Audience", "is required: without it, tokens for other services open this one")
	case slices.Contains(c.Audience, ""):
		bad.Add(prefix+"Audience", "has an empty value")
	}
	checkClaimName(bad, prefix+"AudienceClaim", c.AudienceClaim, "exp", "nbf", "iat", "iss", "jti", "aud")
	checkClaimName(bad, prefix+"SubjectClaim", c.SubjectClaim, "exp", "nbf", "iat", "iss", "jti", "aud")
	checkClaimName(bad, prefix+"ClientIDClaim", c.ClientIDClaim, "exp", "nbf", "iat", "iss", "jti", "aud")
	if c.AllowClientAudience && !c.AllowIDTokenClaims {
		bad.Add(prefix+"AllowClientAudience", "means nothing without AllowIDTokenClaims")
	}
	iss.bindings = newBindings(v.bindings, c.Bindings, prefix+"Bindings", bad)
	iss.conditions = newConditions(v.conditions, c.Conditions, prefix+"Conditions", bad)
	iss.own = partsOf(iss.bindings[len(v.bindings):], iss.conditions[len(v.conditions):])
	if c.Introspection != nil {
		in := *c.Introspection
		iss.introspection = &in
		if in.Always && !v.profile {
			asked := *iss
			asked.allowNoSubject, asked.lateAudience = true, true
			iss.whenAsked = &asked
		}
	}
	return iss
}

// nameField returns the configuration's field of names[i].
func (iss *issuer) nameField(i int) string {
	if i == 0 {
		return iss.field + "Issuer"
	}
	return fmt.Sprintf("%sAlternates[%d]", iss.field, i-1)
}

// checkParts checks the key source and the introspector, except those that the
// issuer it replaces uses already. Neither may be used by another issuer.
func (iss *issuer) checkParts(before *issuer, others []*issuer, bad *faultList) {
	if iss.introspection != nil {
		in := iss.introspection.Introspector
		switch {
		case before.has(in):
		case isNil(in):
			bad.Add(iss.field+"Introspection.Introspector", "is required")
		case slices.ContainsFunc(others, func(o *issuer) bool {
			return o.name != iss.name && o.introspection != nil && identical(o.introspection.Introspector, in)
		}):
			bad.Add(iss.field+"Introspection.Introspector", "is another issuer's too: a token is shown to its own issuer only")
		default:
			bad.Join(iss.field+"Introspection", check(in, iss.name))
		}
		if !isNil(in) && needsAudience(in) && len(iss.audience) == 0 {
			bad.Add(iss.field+"Introspection.Signed", "needs an Audience, or a client ID in Auth: without either there is nothing that the aud of an answer could be")
		}
	}
	switch {
	case before.has(iss.keys):
	case isNil(iss.keys):
		bad.Add(iss.field+"Keys", "is required")
	case slices.ContainsFunc(others, func(o *issuer) bool { return o.name != iss.name && identical(o.keys, iss.keys) }):
		bad.Add(iss.field+"Keys", "is another issuer's too: keys belong to one issuer")
	default:
		bad.Join(iss.field+"Keys", check(iss.keys, iss.name))
	}
}

// parts returns the key source, the introspector, if there is one, and the bindings
// and conditions of this issuer alone.
func (iss *issuer) parts() []any {
	list := []any{iss.keys}
	if iss.introspection != nil {
		list = append(list, iss.introspection.Introspector)
	}
	return append(list, iss.own...)
}

// shared returns the bindings and conditions of all issuers.
func (v *Verifier) shared() []any { return partsOf(v.bindings, v.conditions) }

func partsOf(bindings []*binding, conditions []Condition) (list []any) {
	for _, b := range bindings {
		list = append(list, b.Binding)
	}
	for _, c := range conditions {
		list = append(list, c)
	}
	return list
}

// hasName reports whether a value of "iss" is the issuer's.
func (iss *issuer) hasName(name string) bool { return slices.Contains(iss.names, name) }

// has reports whether a part is the issuer's.
func (iss *issuer) has(part any) bool {
	return iss != nil && slices.ContainsFunc(iss.parts(), func(p any) bool { return identical(p, part) })
}

// gone reports whether the issuer was found and has been dropped or replaced.
func (iss *issuer) gone() bool { return iss.found != nil && iss.found.issuer.Load() != iss }

// inUse reports whether tokens that the issuer has verified still count, and
// records that one has come.
func (iss *issuer) inUse() bool {
	if iss.found == nil {
		return true
	}
	if !iss.found.used.Load() { // requests share it, so it is not written each time
		iss.found.used.Store(true)
	}
	return !iss.gone()
}

// checkClaimName checks the name of a claim that a configuration gives a
// meaning. Names go into error descriptions, so they must be fit for one (RFC
// 6750 section 3).
func checkClaimName(bad *faultList, field, name string, others ...string) {
	switch {
	case slices.Contains(others, name):
		bad.Add(field, "%q has a meaning of its own (RFC 7519 section 4.1)", name)
	case strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r > '~' || r == '"' || r == '\\' }):
		bad.Add(field, "%q has characters other than printable ASCII, or a quote or backslash", name)
	}
}
