package verify

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/bearerkit/bearerkit/internal/strictjson"
)

// claims are the members of a claims set (RFC 7519 section 4) that the kit
// knows, as text. An empty value is an absent claim.
type claims struct {
	iss, sub, aud, jti             strictjson.Value
	exp, nbf, iat, authTime        strictjson.Value
	clientID, azp, cid, scope, scp strictjson.Value
	orgID, acr, act, permissions   strictjson.Value
	cnf                            strictjson.Value
	tokenType, tokenUse, username  strictjson.Value // of introspection

	idToken   string // a claim that marks an ID token
	otherKind string // a claim that marks another kind of token
	payload   string

	adopted bool
	clients [3]strictjson.Value // clientID, azp and cid before adopt
}

// parse reads the claims out of a JSON object. Two rules are the same for all
// of them. A claim that is null counts as absent, unless it decides on its own
// whether the token may be used. A claim that only requirements look at
// (auth_time, acr, azp, jti) counts as absent if it has another type: the
// requirement fails then, and other routes stay open.
func (c *claims) parse(payload string) error {
	c.payload = payload
	err := strictjson.Object(payload, func(name string, value strictjson.Value) {
		if value.Kind() == strictjson.Null {
			switch name {
			case "iss", "sub", "aud", "exp", "cnf":
			default:
				return
			}
		}
		switch name {
		case "iss":
			c.iss = value
		case "sub":
			c.sub = value
		case "aud":
			c.aud = value
		case "jti":
			c.jti = only(strictjson.String, value)
		case "exp":
			c.exp = value
		case "nbf":
			c.nbf = value
		case "iat":
			c.iat = value
		case "auth_time":
			if _, ok := value.Float(); ok {
				c.authTime = value
			}
		case "client_id":
			c.clientID = value
		case "azp":
			c.azp = only(strictjson.String, value)
		case "cid":
			c.cid = only(strictjson.String, value)
		case "scope":
			c.scope = value
		case "scp":
			c.scp = value
		case "org_id":
			c.orgID = value
		case "acr":
			c.acr = only(strictjson.String, value)
		case "act":
			c.act = value
		case "permissions":
			c.permissions = value
		case "cnf":
			c.cnf = value
		case "token_type":
			c.tokenType = value
		case "username":
			c.username = value
		case "nonce", "at_hash", "c_hash", "s_hash": // an ID token (OpenID Connect Core sections 2 and 3.3.2.11)
			c.idToken = name
		case // other kinds of JWT that the same key may have signed
			"events",              // a security event or logout token (RFC 8417)
			"token_introspection", // an introspection response (RFC 9701)
			"htm", "htu":          // a DPoP proof (RFC 9449)
			c.otherKind = name
		case "token_use": // Cognito
			c.tokenUse = value
			if value.Is("id") || value.Is("refresh") {
				c.otherKind = "token_use"
			}
		case "typ": // Keycloak
			if value.Is("ID") || value.Is("Refresh") || value.Is("Offline") || value.Is("Logout") {
				c.otherKind = "typ claim"
			}
		}
	})
	if err != nil {
		return refuse(ErrMalformed, "claims")
	}
	return nil
}

// only returns a value of the kind, and nothing instead of any other.
func only(kind strictjson.Kind, v strictjson.Value) strictjson.Value {
	if v.Kind() != kind {
		return ""
	}
	return v
}

// member returns the member of a JSON object that was checked before; it is for
// claims that only the configuration names.
func member(object, name string) (found strictjson.Value) {
	_ = strictjson.Object(object, func(n string, value strictjson.Value) {
		if n == name {
			found = value
		}
	})
	return found
}

// adopt puts the claims that the issuer uses for the subject and for the client
// into the place of the usual ones. It may be called more than once.
func (c *claims) adopt(iss *issuer) {
	if iss.subjectClaim == "" && iss.clientIDClaim == "" || c.adopted {
		return
	}
	c.adopted = true
	if iss.subjectClaim != "" {
		c.sub = member(c.payload, iss.subjectClaim)
	}
	if iss.clientIDClaim != "" {
		c.clients = [...]strictjson.Value{c.clientID, c.azp, c.cid}
		c.clientID, c.azp, c.cid = member(c.payload, iss.clientIDClaim), "", ""
		if c.clientID.Kind() == strictjson.Null {
			c.clientID = ""
		}
	}
}

// checkIdentity checks the claims that name the subject, the client and the scope:
// their types, and that the required ones are there.
func (c *claims) checkIdentity(iss *issuer, profile bool) error {
	if profile { // what RFC 9068 section 2.2 requires, whatever the issuer uses
		switch {
		case c.sub == "" && !iss.allowNoSubject:
			return refuseClaim("sub", c.sub)
		case c.clientID == "":
			return refuseClaim("client_id", c.clientID)
		case c.jti == "":
			return refuseClaim("jti", c.jti)
		}
	}
	c.adopt(iss)
	if c.sub.Is("") && iss.allowNoSubject {
		c.sub = ""
	}
	if c.sub == "" && !iss.allowNoSubject || c.sub != "" && (c.sub.Kind() != strictjson.String || c.sub.Is("")) {
		return refuseClaim(cmp.Or(iss.subjectClaim, "sub"), c.sub)
	}
	if c.clientID != "" && c.clientID.Kind() != strictjson.String {
		return refuseClaim(cmp.Or(iss.clientIDClaim, "client_id"), c.clientID)
	}
	if !isScopeClaim(c.scope, iss.profile) {
		return refuseClaim("scope", c.scope)
	}
	if !isScopeClaim(c.scp, false) {
		return refuseClaim("scp", c.scp)
	}
	return nil
}

// isScopeClaim reports whether a claim is absent or a list of scope-tokens: a
// string of them with one space between two (RFC 6749 section 3.3), where spaces
// at the ends do not count, or an array. The strict form is the one of RFC 9068
// section 2.2.3: a string, without such spaces.
func isScopeClaim(v strictjson.Value, strict bool) bool {
	switch v.Kind() {
	case strictjson.None:
		return true
	case strictjson.String:
		s, _ := v.Text()
		if !strict {
			s = strings.Trim(s, " ")
		}
		return s == "" || isScope(s)
	case strictjson.Array:
		if strict {
			return false
		}
		for e := range v.Elements() {
			if s, ok := e.Text(); !ok || !isScopeToken(s) {
				return false
			}
		}
		return true
	}
	return false
}

// scopeText returns a claim that isScopeClaim admits as a space-separated list.
func scopeText(v strictjson.Value) string {
	if s, ok := v.Text(); ok {
		return strings.Trim(s, " ")
	}
	list, _ := v.Texts()
	return strings.Join(list, " ")
}

// isForItsClient reports whether each accepted audience is the ID of the client
// that the token was issued to, as it is for an ID token. It reports false for a
// token that does not show its client.
func (c *claims) isForItsClient(iss *issuer) bool {
	accepted, clients := 0, 0
	count := func(aud strictjson.Value) {
		if !iss.anyAudience && !slices.ContainsFunc(iss.audience, aud.Is) {
			return
		}
		accepted++
		text, _ := aud.Text()
		for _, id := range [...]strictjson.Value{c.clientID, c.azp, c.cid, c.clients[0], c.clients[1], c.clients[2]} {
			if id.Is(text) {
				clients++
				return
			}
		}
	}
	count(c.aud)
	for e := range c.aud.Elements() {
		count(e)
	}
	return clients > 0 && clients == accepted
}

// isScope checks the grammar of RFC 6749 section 3.3: scope-tokens with one
// space between them.
func isScope(s string) bool {
	last := byte(' ')
	for i := range len(s) {
		c := s[i]
		if c == ' ' && last == ' ' || c != ' ' && !isScopeChar(c) {
			return false
		}
		last = c
	}
	return last != ' '
}

func isScopeToken(s string) bool {
	for i := range len(s) {
		if !isScopeChar(s[i]) {
			return false
		}
	}
	return s != ""
}

func isScopeChar(c byte) bool { return c > ' ' && c < 0x7f && c != '"' && c != '\\' }

// maxLifetime bounds how far ahead an expiry may lie. No access token lives
// for decades; a number that says so is a mistake (milliseconds) or an attempt.
const maxLifetime = 20 * 365 * 24 * 3600 // seconds

// validity has the dates that decide whether a token is good now, in seconds as
// float64: exact to a microsecond in this century, and free of overflow.
type validity struct {
	exp, nbf, iat float64
}

// unbounded is the validity of a token without exp, nbf and iat.
var unbounded = validity{math.Inf(1), math.Inf(-1), math.Inf(-1)}

// readTimes reads exp, nbf and iat. It returns an error if one of them is not a date,
// or a required one is missing.
func (c *claims) readTimes(profile bool) (validity, error) {
	t := unbounded
	var ok bool
	if t.exp, ok = numericDate(c.exp); !ok {
		return t, refuseClaim("exp", c.exp)
	}
	if c.nbf != "" {
		if t.nbf, ok = numericDate(c.nbf); !ok {
			return t, refuseClaim("nbf", c.nbf)
		}
	}
	if c.iat != "" || profile {
		if t.iat, ok = numericDate(c.iat); !ok {
			return t, refuseClaim("iat", c.iat)
		}
	}
	return t, nil
}

// check compares the times with the clock.
func (t *validity) check(now time.Time, leeway time.Duration) error {
	n, slack := float64(now.UnixNano())/1e9, leeway.Seconds()
	switch {
	case n >= t.exp+slack:
		return refuseTime(ErrExpired, "exp", t.exp, now, leeway)
	case t.exp > n+maxLifetime && !math.IsInf(t.exp, 1):
		return refuseTime(ErrClaim, "exp", t.exp, now, leeway)
	case t.nbf > n+slack:
		return refuseTime(ErrNotYetValid, "nbf", t.nbf, now, leeway)
	case t.iat > n+slack:
		return refuseTime(ErrNotYetValid, "iat", t.iat, now, leeway)
	}
	return nil
}

// numericDate reads a NumericDate (RFC 7519 section 2): any JSON number, and
// nothing else.
func numericDate(v strictjson.Value) (float64, bool) {
	if v == "" {
		return 0, false
	}
	return v.Float()
}

// date converts a NumericDate that was checked.
func date(v strictjson.Value) time.Time {
	f, ok := numericDate(v)
	if !ok {
		return time.Time{}
	}
	return instant(f)
}

// instant converts seconds since 1970. What lies outside of the years 1 to 9999
// becomes the nearest of them.
func instant(f float64) time.Time {
	const year1, year9999 = -62135596800, 253402300799
	whole, frac := math.Modf(min(max(f, year1), year9999))
	return time.Unix(int64(whole), int64(frac*1e9))
}

// checkAudience finds out whether the token is meant for this service.
func (c *claims) checkAudience(iss *issuer, payload string) error {
	if c.aud != "" {
		accepted, ok := accepts(iss.audience, c.aud)
		switch {
		case !ok:
			return refuseClaim("aud", c.aud)
		case !accepted && !iss.anyAudience:
			return refuseAudience(iss, "aud", c.aud)
		}
	}
	switch {
	case iss.anyAudience:
		return nil
	case iss.audienceClaim != "":
		stand := member(payload, iss.audienceClaim)
		if accepted, _ := accepts(iss.audience, stand); !accepted && (stand != "" || !iss.lateAudience) {
			return refuseAudience(iss, iss.audienceClaim, stand)
		}
	case c.aud == "" && !iss.lateAudience:
		return refuseAudience(iss, "aud", c.aud)
	}
	return nil
}

// accepts reports whether a claim has one of the audiences, and whether it has the
// right type: a string or an array of strings.
func accepts(audience []string, v strictjson.Value) (accepted, ok bool) {
	switch v.Kind() {
	case strictjson.String:
		return slices.ContainsFunc(audience, v.Is), true
	case strictjson.Array:
		for e := range v.Elements() {
			if e.Kind() != strictjson.String {
				return false, false
			}
			accepted = accepted || slices.ContainsFunc(audience, e.Is)
		}
		return accepted, true
	}
	return false, false
}

// maxActors bounds how deeply actors may be nested.
const maxActors = 8

// actor reads an "act" claim (RFC 8693 section 4.1).
func actor(v strictjson.Value, depth int) (*Actor, bool) {
	if v.Kind() != strictjson.Obj || depth == maxActors {
		return nil, false
	}
	a := &Actor{}
	for name, value := range v.Members() {
		ok := true
		switch name {
		case "sub":
			a.Subject, ok = value.Text()
		case "iss":
			a.Issuer, ok = value.Text()
		case "act":
			a.Actor, ok = actor(value, depth+1)
		}
		if !ok {
			return nil, false
		}
	}
	return a, true
}

// token makes the token that the checked claims describe. It is called when the
// signature has been checked: a forged token must not cost so much.
func (c *claims) token(iss *issuer, payload string) (Token, error) {
	c.adopt(iss)
	t := Token{
		Issuer:    iss.name,
		Expiry:    date(c.exp),
		NotBefore: date(c.nbf),
		IssuedAt:  date(c.iat),
		AuthTime:  date(c.authTime),
		claims:    payload,
	}
	t.Subject, _ = c.sub.Text()
	t.ID, _ = c.jti.Text()
	t.ACR, _ = c.acr.Text()
	t.OrganizationID, _ = c.orgID.Text()
	for _, v := range [...]strictjson.Value{c.clientID, c.azp, c.cid} {
		if id, ok := v.Text(); ok {
			t.ClientID = id
			break
		}
	}
	if s, ok := c.aud.Text(); ok {
		t.Audience = []string{s}
	} else {
		t.Audience, _ = c.aud.Texts()
	}
	scope := c.scope
	if scope == "" {
		scope = c.scp
	}
	t.Scope = scopeText(scope)
	t.permissions, _ = c.permissions.Texts()
	if c.act != "" {
		var ok bool
		if t.Actor, ok = actor(c.act, 0); !ok {
			return t, refuseClaim("act", c.act)
		}
	}
	if iss.isMachine != nil {
		t.machine = iss.isMachineToken(t)
	}
	return t, nil
}

// isMachineToken calls Issuer.IsMachine with a copy of the token, so that other
// issuers' tokens do not need an allocation for it.
func (iss *issuer) isMachineToken(t Token) machine {
	if iss.isMachine(t.clone()) {
		return aMachine
	}
	return notAMachine
}
