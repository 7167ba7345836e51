package middleware

import (
	"context"
	"errors"
	"net/http"

	"github.com/bearerkit/bearerkit/verify"
)

// ErrDenied is returned, wrapped or not, by a function of the application that
// refuses the request: 403. [Func] answers with its description; a resolver
// ([Resolve]) returns it for a user who exists but is blocked, for example. The
// text of the error is only logged.
//
// ErrDenied and [ErrNoUser] are the only errors that refuse. Any other one, such
// as that of a database that does not answer in time, means that the function
// could not find out: the answer is 503, and a line at level Error is logged.
var ErrDenied = errors.New("access denied")

// Func requires that f returns nil. If f returns [ErrDenied], the answer is 403
// with the given description; any other error means that f could not find out
// and is answered with 503 (but for [ErrNoUser]: 401 invalid_token). The context
// is the request's and has the user and the token ([UserFrom], [TokenFrom]). The
// description is part of the answer: printable ASCII without quotes or
// backslashes.
func Func(description string, f func(ctx context.Context, t *verify.Token) error) Requirement {
	if f == nil {
		panic("middleware: Func of a nil function")
	}
	return function("Func", description, func(s *subject) error { return f(s.id, s.id.token) })
}

// RequestFunc is [Func] with the request, whose context has the user and the
// token, for conditions on more than the token: that it is for the organization
// in the path, say.
//
// r.PathValue has the parameters of the path, as the router gives them to
// handlers, with net/http and with the adapters for gin, echo and chi. One that
// the router has not found yet, because the guard stands before the route, is
// empty: do not let it equal an empty claim. f must not read the body, which is
// the handler's. Outside of HTTP ([Guard.Admit]) the requirement cannot be
// checked: 503.
func RequestFunc(description string, f func(r *http.Request, t *verify.Token) error) Requirement {
	if f == nil {
		panic("middleware: RequestFunc of a nil function")
	}
	return function("RequestFunc", description, func(s *subject) error {
		r := s.httpRequest()
		if r == nil {
			return errors.New("middleware: a RequestFunc needs an HTTP request")
		}
		return f(r, s.id.token)
	})
}

// function is a requirement of a function of the application.
func function(maker, description string, f func(*subject) error) Requirement {
	if description == "" || !isQuotable(description) {
		panic("middleware: " + maker + " needs a description in printable ASCII without quotes or backslashes")
	}
	no := forbidden(description, ReasonRequirement)
	return requirement{test: func(s *subject) *failure { return failureOf(f(s), no, requirementUnavailable) }}
}

// failureOf returns the failure that the error of an application's function means:
// none, no for an error that refuses, and trouble for any other.
func failureOf(err error, no, trouble *failure) *failure {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrDenied):
		return no.with(err)
	case errors.Is(err, ErrNoUser):
		return noUser.with(err)
	}
	return trouble.with(err)
}
