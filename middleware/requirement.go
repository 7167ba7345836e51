package middleware

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bearerkit/bearerkit/verify"
)

// A Requirement is what a route demands of a token beyond its being good.
// Requirements are made by the functions of this package; they compose, and
// each knows how an unmet one is answered. Their makers panic on arguments that
// no request could ever meet or that cannot stand in a challenge: routes are
// registered when a service starts.
type Requirement interface {
	check(*state) *unmet
	tell(*ask)
}

// state is what a requirement looks at.
type state struct {
	ctx   context.Context
	token *verify.Token
	auth  *Auth
}

// unmet says how a requirement failed.
type unmet struct {
	status      int
	code        string
	description string
	reason      string
	cause       error
}

// ask is what a guard's challenges ask for: all that its requirements want, so
// that a client which does as asked does not fail at the next requirement.
type ask struct {
	scopes []string
	maxAge time.Duration // 0: none
	acr    []string
	fresh  bool
}

type requirement struct {
	test func(*state) *unmet
	ask  func(*ask)
}

func (q requirement) check(s *state) *unmet { return q.test(s) }

func (q requirement) tell(a *ask) {
	if q.ask != nil {
		q.ask(a)
	}
}

var (
	lacksScope        = &unmet{http.StatusForbidden, "insufficient_scope", "the token lacks a scope that is required", "insufficient_scope", nil}
	lacksPermission   = denied("the token lacks a permission that is required", "permission")
	wrongOrganization = denied("the token is for another organization", "organization")
	notUser           = denied("only users are admitted", "not_user")
	notMachine        = denied("only machine clients are admitted", "not_machine")
	tooOld            = stepUp("a more recent authentication is required", "max_age")
	tooWeak           = stepUp("a stronger authentication is required", "acr")
)

func denied(description, reason string) *unmet {
	return &unmet{http.StatusForbidden, "access_denied", description, reason, nil}
}

func stepUp(description, reason string) *unmet {
	return &unmet{http.StatusUnauthorized, "insufficient_user_authentication", description, reason, nil}
}

// simple is a requirement on the token alone.
func simple(u *unmet, met func(*verify.Token) bool) Requirement {
	return requirement{test: func(s *state) *unmet {
		if met(s.token) {
			return nil
		}
		return u
	}}
}

// Scope requires all of the scopes. Unmet: 403 insufficient_scope, whose scope
// parameter has the scopes of all the guard's requirements (RFC 6750 section
// 3.1).
func Scope(all ...string) Requirement {
	all = checkScopes("Scope", all)
	return requirement{
		test: func(s *state) *unmet {
			for _, scope := range all {
				if !s.token.HasScope(scope) {
					return lacksScope
				}
			}
			return nil
		},
		ask: func(a *ask) { a.add(all...) },
	}
}

// AnyScope requires one of the scopes. Unmet: 403 insufficient_scope, which
// asks for the first of them: name the one that grants least first.
func AnyScope(any ...string) Requirement {
	any = checkScopes("AnyScope", any)
	return requirement{
		test: func(s *state) *unmet {
			if slices.ContainsFunc(any, s.token.HasScope) {
				return nil
			}
			return lacksScope
		},
		ask: func(a *ask) { a.add(any[0]) },
	}
}

func (a *ask) add(scopes ...string) {
	for _, s := range scopes {
		if !slices.Contains(a.scopes, s) {
			a.scopes = append(a.scopes, s)
		}
	}
}

// Permission requires all of the permissions in the token's "permissions"
// claim. Unmet: 403.
func Permission(all ...string) Requirement {
	all = checkValues("Permission", all)
	return simple(lacksPermission, func(t *verify.Token) bool {
		return !slices.ContainsFunc(all, func(p string) bool { return !t.HasPermission(p) })
	})
}

// AnyPermission requires one of the permissions. Unmet: 403.
func AnyPermission(any ...string) Requirement {
	any = checkValues("AnyPermission", any)
	return simple(lacksPermission, func(t *verify.Token) bool { return slices.ContainsFunc(any, t.HasPermission) })
}

// Organization requires the token's "org_id" to be one of the given. Unmet:
// 403.
func Organization(any ...string) Requirement {
	any = checkValues("Organization", any)
	return simple(wrongOrganization, func(t *verify.Token) bool { return slices.Contains(any, t.OrganizationID) })
}

// User requires a token that is no machine client's; see
// [verify.Token.IsMachine]. Unmet: 403.
func User() Requirement {
	return simple(notUser, func(t *verify.Token) bool { return t.Subject != "" && !t.IsMachine() })
}

// Machine requires a token that a client got on its own behalf; see
// [verify.Token.IsMachine]. Unmet: 403.
func Machine() Requirement {
	return simple(notMachine, (*verify.Token).IsMachine)
}

// MaxAge requires that the user has authenticated at most d ago, by the
// "auth_time" claim, in whole seconds. Unmet, or without the claim: 401
// insufficient_user_authentication with max_age (RFC 9470 section 3).
func MaxAge(d time.Duration) Requirement {
	if d < time.Second || d%time.Second != 0 {
		panic("middleware: MaxAge of " + d.String() + " is not a positive number of seconds")
	}
	return requirement{
		test: func(s *state) *unmet {
			age := s.auth.verifier.Now().Sub(s.token.AuthTime)
			// A future authentication, by more than the clocks may differ,
			// is no proof of a recent one.
			if s.token.AuthTime.IsZero() || age > d || age < -s.auth.verifier.Leeway() {
				return tooOld
			}
			return nil
		},
		ask: func(a *ask) {
			if a.maxAge == 0 || d < a.maxAge {
				a.maxAge = d
			}
		},
	}
}

// ACR requires one of the authentication context class references, in order of
// preference, in the "acr" claim. Unmet: 401 insufficient_user_authentication
// with acr_values (RFC 9470 section 3).
func ACR(any ...string) Requirement {
	any = checkValues("ACR", any)
	for _, v := range any {
		if !isQuotable(v) || strings.Contains(v, " ") {
			panic("middleware: ACR of " + strconv.Quote(v) + ", which cannot stand in a challenge")
		}
	}
	return requirement{
		test: func(s *state) *unmet {
			if slices.Contains(any, s.token.ACR) {
				return nil
			}
			return tooWeak
		},
		ask: func(a *ask) {
			for _, v := range any {
				if !slices.Contains(a.acr, v) {
					a.acr = append(a.acr, v)
				}
			}
		},
	}
}

// Func requires that f returns nil. An error is 403, with the given
// description and not the error's text in the answer; one that wraps
// [verify.ErrUnavailable] says that f could not find out and is 503. The
// context has the user and the token.
func Func(description string, f func(ctx context.Context, t *verify.Token) error) Requirement {
	if f == nil || description == "" || !isQuotable(description) {
		panic("middleware: Func needs a function and a description in printable ASCII without quotes or backslashes")
	}
	return requirement{test: func(s *state) *unmet {
		err := f(s.ctx, s.token)
		if err == nil {
			return nil
		}
		if errors.Is(err, verify.ErrUnavailable) {
			return &unmet{status: http.StatusServiceUnavailable, reason: "requirement_unavailable", cause: err}
		}
		return &unmet{http.StatusForbidden, "access_denied", description, "requirement", err}
	}}
}

// Fresh requires that the authorization server says now that the token is active
// (RFC 7662), whatever it has said before: for the routes where a token that was
// revoked a moment ago must not pass. It is a call for each request, and holds for
// the whole guard, wherever it stands in the list. What the server says counts for
// every other route too. Unmet: 401 invalid_token; if the server cannot be asked,
// 503. A guard with Fresh panics when it is made if an issuer of the verifier has
// no [verify.Introspection].
func Fresh() Requirement {
	return requirement{
		test: func(*state) *unmet { return nil }, // the guard has asked
		ask:  func(a *ask) { a.fresh = true },
	}
}

// All requires all of the requirements, as a guard with them in its list does.
func All(all ...Requirement) Requirement {
	checkRequirements("All", all)
	return requirement{
		test: func(s *state) *unmet {
			for _, q := range all {
				if u := q.check(s); u != nil {
					return u
				}
			}
			return nil
		},
		ask: func(a *ask) {
			for _, q := range all {
				q.tell(a)
			}
		},
	}
}

// Any requires one of the requirements. If none is met, the answer is that of
// the first: name the one first that a caller can do something about.
func Any(any ...Requirement) Requirement {
	checkRequirements("Any", any)
	return requirement{
		test: func(s *state) *unmet {
			var first *unmet
			for _, q := range any {
				u := q.check(s)
				if u == nil {
					return nil
				}
				// What could not be found out might have been met.
				if first == nil || first.status != u.status && u.status == http.StatusServiceUnavailable {
					first = u
				}
			}
			return first
		},
		ask: func(a *ask) {
			any[0].tell(a)
			for _, q := range any[1:] {
				var o ask
				q.tell(&o)
				a.fresh = a.fresh || o.fresh // it is met because the guard asks
			}
		},
	}
}

func checkRequirements(maker string, list []Requirement) {
	if len(list) == 0 || slices.Contains(list, nil) {
		panic("middleware: " + maker + " needs requirements, none of them nil")
	}
}

func checkValues(maker string, list []string) []string {
	if len(list) == 0 || slices.Contains(list, "") {
		panic("middleware: " + maker + " needs values, none of them empty")
	}
	return slices.Clone(list)
}

func checkScopes(maker string, list []string) []string {
	for _, s := range checkValues(maker, list) {
		// RFC 6749 section 3.3; the same set that a quoted-string can hold
		// unescaped, without the space that parts scopes.
		if !isQuotable(s) || strings.Contains(s, " ") {
			panic("middleware: " + maker + " of " + strconv.Quote(s) + ", which is no scope-token of RFC 6749 section 3.3")
		}
	}
	return slices.Clone(list)
}

// isQuotable reports whether s consists of %x20-21 / %x23-5B / %x5D-7E, which
// may stand in any parameter of a challenge (RFC 6750 section 3).
func isQuotable(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}
