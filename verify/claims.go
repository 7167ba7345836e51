package verify

import (
	"math"
	"slices"
	"strings"
	"time"

	"github.com/bearerkit/bearerkit/internal/strictjson"
)

// claims are the members of a claims set (RFC 7519 section 4) that the kit
// knows, as text. An empty value is an absent claim; "null" is a present one of
// the wrong type.
type claims struct {
	iss, sub, aud, jti             strictjson.Value
	exp, nbf, iat, authTime        strictjson.Value
	clientID, azp, cid, scope, scp strictjson.Value
	orgID, acr, act, permissions   strictjson.Value
	cnf                            strictjson.Value
	tokenType, tokenUse, username  strictjson.Value // of introspection

	nonce     bool
	otherKind string // the member that gives the token away as no access token
}

func (c *claims) parse(payload string) error {
	err := strictjson.Object(payload, func(name string, value strictjson.Value) {
		switch name {
		case "iss":
			c.iss = value
		case "sub":
			c.sub = value
		case "aud":
			c.aud = value
		case "jti":
			c.jti = value
		case "exp":
			c.exp = value
		case "nbf":
			c.nbf = value
		case "iat":
			c.iat = value
		case "auth_time":
			c.authTime = value
		case "client_id":
			c.clientID = value
		case "azp":
			c.azp = value
		case "cid":
			c.cid = value
		case "scope":
			c.scope = value
		case "scp":
			c.scp = value
		case "org_id":
			c.orgID = value
		case "acr":
			c.acr = value
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
		case "nonce":
			c.nonce = true
		case "at_hash", "c_hash", "s_hash", // an ID token (OpenID Connect Core section 3.3.2.11)
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

// checkIdentity checks the types of the claims that say who and what for, and
// that those are there that must be.
func (c *claims) checkIdentity(is *issuer, profile bool) error {
	switch {
	case c.sub == "":
		if !is.allowNoSubject {
			return refuse(ErrClaim, "sub")
		}
	case c.sub[0] != '"' || len(c.sub) == len(`""`):
		return refuse(ErrClaim, "sub")
	}
	for _, s := range [...]struct {
		name     string
		value    strictjson.Value
		required bool
	}{
		{"client_id", c.clientID, profile}, {"azp", c.azp, false}, {"jti", c.jti, profile}, {"acr", c.acr, false},
	} {
		if s.value == "" && s.required || s.value != "" && s.value[0] != '"' {
			return refuse(ErrClaim, s.name)
		}
	}
	if c.scope != "" {
		if s, ok := c.scope.Text(); !ok || s != "" && !isScope(s) {
			return refuse(ErrClaim, "scope")
		}
	}
	if c.scp != "" {
		if s, ok := c.scp.Text(); ok && (s == "" || isScope(s)) {
			return nil
		}
		list, ok := c.scp.Texts()
		if !ok || slices.ContainsFunc(list, func(s string) bool { return !isScopeToken(s) }) {
			return refuse(ErrClaim, "scp")
		}
	}
	return nil
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

// times are the dates that decide whether a token is good now, in seconds as
// float64: exact to a microsecond in this century, and free of overflow.
type times struct {
	exp, nbf, iat float64
}

// always are the times of what is silent about time.
var always = times{math.Inf(1), math.Inf(-1), math.Inf(-1)}

// readTimes reads exp, nbf and iat, and sees to it that they are dates.
func (c *claims) readTimes(profile bool) (times, error) {
	t := always
	var ok bool
	if t.exp, ok = numericDate(c.exp); !ok {
		return t, refuse(ErrClaim, "exp")
	}
	if c.nbf != "" {
		if t.nbf, ok = numericDate(c.nbf); !ok {
			return t, refuse(ErrClaim, "nbf")
		}
	}
	if c.iat != "" || profile {
		if t.iat, ok = numericDate(c.iat); !ok {
			return t, refuse(ErrClaim, "iat")
		}
	}
	if c.authTime != "" {
		if _, ok := numericDate(c.authTime); !ok {
			return t, refuse(ErrClaim, "auth_time")
		}
	}
	return t, nil
}

// check compares the times with the clock.
func (t *times) check(now time.Time, leeway time.Duration) error {
	n, slack := float64(now.UnixNano())/1e9, leeway.Seconds()
	switch {
	case n >= t.exp+slack:
		return refuse(ErrExpired, "")
	case t.exp > n+maxLifetime && !math.IsInf(t.exp, 1):
		return refuse(ErrClaim, "exp")
	case t.nbf > n+slack:
		return refuse(ErrNotYetValid, "nbf")
	case t.iat > n+slack:
		return refuse(ErrNotYetValid, "iat")
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

// date converts a NumericDate that was checked. A date outside of the years 1
// to 9999 becomes the nearest of them.
func date(v strictjson.Value) time.Time {
	f, ok := numericDate(v)
	if !ok {
		return time.Time{}
	}
	const year1, year9999 = -62135596800, 253402300799
	whole, frac := math.Modf(min(max(f, year1), year9999))
	return time.Unix(int64(whole), int64(frac*1e9))
}

// checkAudience finds out whether the token is meant for this service.
func (c *claims) checkAudience(is *issuer, payload string) error {
	aud := c.aud
	if aud != "" {
		named, ok := is.named(aud)
		if !ok {
			return refuse(ErrClaim, "aud")
		}
		if !named && !is.anyAudience {
			return refuse(ErrAudience, "")
		}
	}
	switch {
	case is.anyAudience:
		return nil
	case is.audienceClaim != "":
		var stand strictjson.Value
		// Checked before; it is read again only for the rare issuer.
		_ = strictjson.Object(payload, func(name string, value strictjson.Value) {
			if name == is.audienceClaim {
				stand = value
			}
		})
		if stand == "" {
			return refuse(ErrAudience, "")
		}
		if named, ok := is.named(stand); !ok || !named {
			return refuse(ErrAudience, "")
		}
	case aud == "":
		return refuse(ErrClaim, "aud")
	}
	return nil
}

// named reports whether a string or an array of strings holds one of the
// audiences, and whether it is one of the two at all.
func (is *issuer) named(v strictjson.Value) (named, ok bool) {
	switch v.Kind() {
	case strictjson.String:
		return slices.ContainsFunc(is.audience, v.Is), true
	case strictjson.Array:
		for e := range v.Elements() {
			if e.Kind() != strictjson.String {
				return false, false
			}
			named = named || slices.ContainsFunc(is.audience, e.Is)
		}
		return named, true
	}
	return false, false
}

// maxActors bounds how many actors may stand behind each other.
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
// signature has been checked: what it looks at costs more than what others may
// make us spend.
func (c *claims) token(is *issuer, payload string) (Token, error) {
	t := Token{
		Issuer:    is.name,
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
	if s, ok := scope.Text(); ok {
		t.Scope = s
	} else {
		list, _ := scope.Texts()
		t.Scope = strings.Join(list, " ")
	}
	t.permissions, _ = c.permissions.Texts()
	if c.act != "" {
		var ok bool
		if t.Actor, ok = actor(c.act, 0); !ok {
			return t, refuse(ErrClaim, "act")
		}
	}
	return t, nil
}
