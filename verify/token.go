package verify

import (
	"iter"
	"log/slog"
	"slices"
	"strings"
	"time"
)

// A Token has the verified claims of an access token. With
// several issuers a user is the pair of Issuer and Subject, never Subject
// alone (RFC 7519 section 4.1.2).
type Token struct {
	Issuer   string   // "iss", as configured
	Subject  string   // "sub", or Issuer.SubjectClaim
	Audience []string // "aud"; nil where another claim stood in for it
	ClientID string   // "client_id", else "azp", else "cid", or Issuer.ClientIDClaim: the client it was issued to
	ID       string   // "jti"

	Expiry    time.Time // "exp"; zero if absent, as it may be for a token that is not a JWT
	NotBefore time.Time // "nbf"; zero if absent
	IssuedAt  time.Time // "iat"; zero if absent

	// Scope is the space-separated list of scopes (RFC 9068 section 2.2.3),
	// from "scope", else from "scp". Ask it with HasScope.
	Scope string
	// OrganizationID is "org_id", if it is a string.
	OrganizationID string
	// AuthTime is when the user signed in ("auth_time"); zero if absent.
	AuthTime time.Time
	// ACR is the authentication context class reference ("acr").
	ACR string
	// Actor is who acts for the subject ("act", RFC 8693 section 4.1): an
	// impersonating administrator, say. It is nil if nobody does.
	Actor *Actor

	// Introspected is when the authorization server said that the token is
	// active (RFC 7662); zero if it was not asked.
	Introspected time.Time
	// Stale reports that Introspected is longer ago than answers are normally
	// reused: the server cannot be reached, and the configuration of the
	// introspector permits the old answer.
	Stale bool

	permissions []string // nobody outside can change these, so copies share them
	claims      string
	machine     machine
	memo        *memo // of decoded claims; nil: there is none
	bound       []boundKey
}

// machine is what [Issuer.IsMachine] has said of a token.
type machine uint8

const (
	unasked machine = iota
	aMachine
	notAMachine
)

// clone returns a copy that its holder may change.
func (t *Token) clone() *Token {
	if t.Actor == nil && len(t.Audience) == 1 {
		// The usual token, in one allocation.
		c := &struct {
			Token
			audience [1]string
		}{Token: *t}
		c.audience[0] = t.Audience[0]
		c.Audience = c.audience[:]
		return &c.Token
	}
	c := *t
	c.Audience = slices.Clone(t.Audience)
	for at := &c.Actor; *at != nil; at = &(*at).Actor {
		a := **at
		*at = &a
	}
	return &c
}

// An Actor acts for a token's subject, perhaps for another actor in turn.
type Actor struct {
	Subject string // "sub"
	Issuer  string // "iss"; empty if it is the token's
	Actor   *Actor // who acts for this one
}

// Bound reports whether the token is bound to a key that the client has proved to
// have, by a [Binding]: a stolen token is of no use without the key.
func (t *Token) Bound() bool { return len(t.bound) > 0 }

// Confirmation returns the value of a member of "cnf" (RFC 7800) that the client has
// proved, such as the thumbprint of its key for "jkt"; empty if there is none.
func (t *Token) Confirmation(member string) string {
	for _, k := range t.bound {
		if k.by.member == member {
			return k.value
		}
	}
	return ""
}

// Scopes iterates over the token's scopes.
func (t *Token) Scopes() iter.Seq[string] {
	return func(yield func(string) bool) {
		for s := range strings.SplitSeq(t.Scope, " ") {
			if s != "" && !yield(s) {
				return
			}
		}
	}
}

// HasScope reports whether the token has the scope, compared as RFC 6749
// section 3.3 has it: whole and case-sensitively.
func (t *Token) HasScope(scope string) bool {
	for rest := t.Scope; rest != ""; {
		var s string
		if s, rest, _ = strings.Cut(rest, " "); s == scope {
			return scope != ""
		}
	}
	return false
}

// HasPermission reports whether the "permissions" claim, an array of strings
// at issuers that have it, contains the permission.
func (t *Token) HasPermission(permission string) bool {
	return slices.Contains(t.permissions, permission)
}

// WithPermissions returns a copy of the token that has the given permissions in
// place of its own. It is for callers whose permissions come from elsewhere: an
// API key's record, a database.
func (t *Token) WithPermissions(permissions ...string) *Token {
	c := t.clone()
	c.permissions = slices.Clone(permissions)
	return c
}

// IsMachine reports whether the token was issued to a client on its own behalf
// and not for a user (the client credentials grant): its subject is the client
// itself (RFC 9068 section 2.2), also in Auth0's spelling "<client>@clients".
// Issuers that give such clients a subject of their own, as Keycloak does for
// service accounts, need [Issuer.IsMachine], which decides in place of this rule.
func (t *Token) IsMachine() bool {
	if t.machine != unasked {
		return t.machine == aMachine
	}
	return t.ClientID != "" && strings.TrimSuffix(t.Subject, "@clients") == t.ClientID
}

// LogValue shows whose token it is and nothing more.
func (t Token) LogValue() slog.Value {
	return slog.GroupValue(
		slog.String("iss", t.Issuer),
		slog.String("sub", t.Subject),
		slog.String("client_id", t.ClientID),
		slog.String("jti", t.ID),
	)
}
