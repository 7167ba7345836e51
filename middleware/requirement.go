package middleware

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bearerkit/bearerkit/verify"
)

// A Requirement is an additional condition on a verified token. Requirements are
// made by the functions of this package; they compose, and each knows how an
// unmet one is answered. They copy their arguments.
//
// A list of which everything is required ([Scope], [Permission], [All]) may be
// empty, as it may come from a document: then nothing is required. The functions
// panic on arguments that no request can meet, such as an empty list of which one
// is required, or that cannot be part of a challenge: call them where routes are
// registered, when a service starts.
type Requirement interface {
	check(*subject) *failure
	demand(*wants)
}

// wants is what a guard's challenges ask for: everything that its requirements
// want, so that a client that does as asked meets all of them.
type wants struct {
	scopes []string
	maxAge time.Duration // 0: none
	acr    []string
	fresh  bool
	bound  bool
}

type requirement struct {
	test    func(*subject) *failure
	demands func(*wants)
}

func (q requirement) check(s *subject) *failure { return q.test(s) }

func (q requirement) demand(w *wants) {
	if q.demands != nil {
		q.demands(w)
	}
}

var (
	lacksScope        = newFailure(codeScope, "the token lacks a scope that is required", ReasonScope)
	lacksPermission   = forbidden("the token lacks a permission that is required", ReasonPermission)
	wrongOrganization = forbidden("the token is for another organization", ReasonOrganization)
	notUser           = forbidden("only users are admitted", ReasonNotUser)
	notMachine        = forbidden("only machine clients are admitted", ReasonNotMachine)
	notBound          = badToken("the token is not bound to a key", ReasonNotBound)
	tooOld            = newFailure(codeStepUp, "a more recent authentication is required", ReasonMaxAge)
	tooWeak           = newFailure(codeStepUp, "a stronger authentication is required", ReasonACR)
)

// onToken is a requirement on the token alone.
func onToken(no *failure, met func(*verify.Token) bool) Requirement {
	return requirement{test: func(s *subject) *failure {
		if met(s.id.token) {
			return nil
		}
		return no
	}}
}

// Scope requires all of the scopes; without any, nothing is required. Unmet:
// 403 insufficient_scope. The scope parameter of a guard's challenges has the
// scopes of all its requirements, also where a token is missing or is not good
// (RFC 6750 sections 3 and 3.1).
func Scope(all ...string) Requirement {
	all = checkScopes("Scope", all)
	no := lacksScope.naming(func(t *verify.Token) string { return "scope " + lacking(all, t.HasScope) })
	return requirement{
		test: func(s *subject) *failure {
			for _, scope := range all {
				if !s.id.token.HasScope(scope) {
					return no
				}
			}
			return nil
		},
		demands: func(w *wants) { w.add(all...) },
	}
}

// AnyScope requires one of the scopes. Unmet: 403 insufficient_scope, which asks
// for the first of them, so begin with the one that grants least.
func AnyScope(any ...string) Requirement {
	any = checkScopes("AnyScope", notEmpty("AnyScope", any))
	no := lacksScope.naming(func(*verify.Token) string { return "scope " + oneOf(any) })
	return requirement{
		test: func(s *subject) *failure {
			if slices.ContainsFunc(any, s.id.token.HasScope) {
				return nil
			}
			return no
		},
		demands: func(w *wants) { w.add(any[0]) },
	}
}

func (w *wants) add(scopes ...string) {
	for _, s := range scopes {
		if !slices.Contains(w.scopes, s) {
			w.scopes = append(w.scopes, s)
		}
	}
}

// Permission requires all of the permissions in the token's "permissions"
// claim; without any, nothing is required. Unmet: 403.
func Permission(all ...string) Requirement {
	all = checkValues("Permission", all)
	no := lacksPermission.naming(func(t *verify.Token) string { return "permission " + lacking(all, t.HasPermission) })
	return onToken(no, func(t *verify.Token) bool {
		return !slices.ContainsFunc(all, func(p string) bool { return !t.HasPermission(p) })
	})
}

// AnyPermission requires one of the permissions. Unmet: 403.
func AnyPermission(any ...string) Requirement {
	any = checkValues("AnyPermission", notEmpty("AnyPermission", any))
	no := lacksPermission.naming(func(*verify.Token) string { return "permission " + oneOf(any) })
	return onToken(no, func(t *verify.Token) bool { return slices.ContainsFunc(any, t.HasPermission) })
}

// Organization requires the token's "org_id" to be one of the given. Unmet:
// 403.
func Organization(any ...string) Requirement {
	any = checkValues("Organization", notEmpty("Organization", any))
	no := wrongOrganization.naming(func(*verify.Token) string { return "organization " + oneOf(any) })
	return onToken(no, func(t *verify.Token) bool { return slices.Contains(any, t.OrganizationID) })
}

// OnlyUsers requires a token of a user: it has a subject, and was not issued to a
// machine client on its own behalf; see [verify.Token.IsMachine]. Unmet: 403.
func OnlyUsers() Requirement {
	return onToken(notUser, func(t *verify.Token) bool { return t.Subject != "" && !t.IsMachine() })
}

// OnlyMachines requires a token that a client got on its own behalf; see
// [verify.Token.IsMachine]. Unmet: 403.
func OnlyMachines() Requirement {
	return onToken(notMachine, (*verify.Token).IsMachine)
}

// Bound requires a token that is bound to a key, such as by DPoP (RFC 9449) or to a
// client certificate (RFC 8705): the client has proved that it has the key, as for
// every bound token. Unmet: 401 invalid_token, with challenges for the schemes of
// such tokens. [Auth.Require] and [Auth.Optional] panic if the verifier has no
// [verify.Binding].
func Bound() Requirement {
	return requirement{
		test: func(s *subject) *failure {
			if s.id.token.Bound() {
				return nil
			}
			return notBound
		},
		demands: func(w *wants) { w.bound = true },
	}
}

// MaxAge requires that the user has authenticated at most d ago, by the
// "auth_time" claim, in whole seconds. Unmet, or without the claim: 401
// insufficient_user_authentication with max_age (RFC 9470 section 3).
func MaxAge(d time.Duration) Requirement {
	if d < time.Second || d%time.Second != 0 {
		panic("middleware: MaxAge of " + d.String() + " is not a positive number of seconds")
	}
	no := tooOld.naming(func(t *verify.Token) string {
		if t.AuthTime.IsZero() {
			return "auth_time"
		}
		return "auth_time within " + d.String() + ", not " + t.AuthTime.UTC().Format(time.RFC3339)
	})
	return requirement{
		test: func(s *subject) *failure {
			age := s.auth.verifier.Now().Sub(s.id.token.AuthTime)
			// A future authentication, by more than the clocks may differ,
			// does not prove a recent one.
			if s.id.token.AuthTime.IsZero() || age > d || age < -s.auth.verifier.Leeway() {
				return no
			}
			return nil
		},
		demands: func(w *wants) {
			if w.maxAge == 0 || d < w.maxAge {
				w.maxAge = d
			}
		},
	}
}

// ACR requires one of the authentication context class references, in order of
// preference, in the "acr" claim. Unmet: 401 insufficient_user_authentication
// with acr_values (RFC 9470 section 3).
func ACR(any ...string) Requirement {
	any = checkValues("ACR", notEmpty("ACR", any))
	for _, v := range any {
		if !isQuotable(v) || strings.Contains(v, " ") {
			panic("middleware: ACR of " + strconv.Quote(v) + ", which cannot stand in a challenge")
		}
	}
	no := tooWeak.naming(func(*verify.Token) string { return "acr " + oneOf(any) })
	return requirement{
		test: func(s *subject) *failure {
			if slices.Contains(any, s.id.token.ACR) {
				return nil
			}
			return no
		},
		demands: func(w *wants) {
			for _, v := range any {
				if !slices.Contains(w.acr, v) {
					w.acr = append(w.acr, v)
				}
			}
		},
	}
}

// NotRevoked requires that the authorization server says now that the token is
// active (RFC 7662), whatever it has said before. It is for routes that a token
// must not pass from the moment when it is revoked. It takes a call for each
// request, and applies to the whole guard, wherever it is in the list. What the
// server says counts for every other route too. Unmet: 401 invalid_token; if the
// server cannot be asked, 503. [Auth.Require] and [Auth.Optional] panic if an
// issuer of the verifier has no [verify.Introspection].
func NotRevoked() Requirement {
	return requirement{
		test:    func(*subject) *failure { return nil }, // the guard has asked
		demands: func(w *wants) { w.fresh = true },
	}
}

// All requires all of the requirements, like a guard with them in its list. Without
// any, nothing is required.
func All(all ...Requirement) Requirement {
	all = checkRequirements("All", all)
	return requirement{
		test: func(s *subject) *failure {
			for _, q := range all {
				if f := q.check(s); f != nil {
					return f
				}
			}
			return nil
		},
		demands: func(w *wants) {
			for _, q := range all {
				q.demand(w)
			}
		},
	}
}

// Any requires one of the requirements. If none is met, the answer is that of the
// first, so begin with one that a caller can do something about. If none is met
// and one could not be checked, the answer is 503.
func Any(any ...Requirement) Requirement {
	any = checkRequirements("Any", notEmpty("Any", any))
	return requirement{
		test: func(s *subject) *failure {
			var first *failure
			for _, q := range any {
				f := q.check(s)
				if f == nil {
					return nil
				}
				// One that could not be checked might have been met.
				if first == nil || f.unavailable() && !first.unavailable() {
					first = f
				}
			}
			return first
		},
		demands: func(w *wants) {
			before, all := w.bound, true
			any[0].demand(w)
			for _, q := range any {
				var one wants
				q.demand(&one)
				w.fresh = w.fresh || one.fresh // it is met because the guard asks
				all = all && one.bound
			}
			w.bound = before || all
		},
	}
}

// lacking returns those of a list that a token does not have, as text.
func lacking(list []string, has func(string) bool) string {
	return quoted(slices.DeleteFunc(slices.Clone(list), has), ", ")
}

func oneOf(list []string) string { return quoted(list, " or ") }

func quoted(list []string, sep string) string {
	var b strings.Builder
	for i, s := range list {
		if i > 0 {
			b.WriteString(sep)
		}
		b.WriteString(strconv.Quote(s))
	}
	return b.String()
}

// notEmpty returns a list of which one element is required, and panics if it is
// empty: it could never be met.
func notEmpty[E any](maker string, list []E) []E {
	if len(list) == 0 {
		panic("middleware: " + maker + " needs at least one argument")
	}
	return list
}

func checkRequirements(maker string, list []Requirement) []Requirement {
	if slices.Contains(list, nil) {
		panic("middleware: " + maker + " of a nil Requirement")
	}
	return slices.Clone(list)
}

func checkValues(maker string, list []string) []string {
	if slices.Contains(list, "") {
		panic("middleware: " + maker + " of an empty value")
	}
	return slices.Clone(list)
}

func checkScopes(maker string, list []string) []string {
	list = checkValues(maker, list)
	for _, s := range list {
		if !isScopeToken(s) {
			panic("middleware: " + maker + " of " + strconv.Quote(s) + ", which is not a scope-token of RFC 6749 section 3.3")
		}
	}
	return list
}

// isScopeToken reports whether s is a scope-token (RFC 6749 section 3.3): the
// set that a quoted-string can hold unescaped, without the space that separates
// scopes.
func isScopeToken(s string) bool { return s != "" && isQuotable(s) && !strings.Contains(s, " ") }

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
