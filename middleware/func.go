package middleware

import (
	"context"
	"errors"

	"github.com/bearerkit/bearerkit/verify"
)

// ErrDenied is what a function of the application returns, wrapped or not, to
// refuse a request that it has understood: 403. [Func] answers with its
// description; a resolver ([Resolve]) returns it for a user who exists but is
// blocked, say. The text of the error is for the log alone.
//
// ErrDenied and [ErrNoUser] are the only ways to say no. Any other error, that
// of a database which does not answer in time, say, means that the function
// could not find out: the answer is 503, and a line at level Error is logged.
var ErrDenied = errors.New("access denied")

// Func requires that f returns nil. If f returns [ErrDenied], the answer is 403
// with the given description; any other error means that f could not find out
// and is answered with 503 (but for [ErrNoUser]: 401 invalid_token). The context
// is the request's and has the user and the token ([UserFrom], [TokenFrom]). The
// description is part of the answer: printable ASCII without quotes or
// backslashes.
func Func(description string, f func(ctx context.Context, t *verify.Token) error) Requirement {
	if f == nil || description == "" || !isQuotable(description) {
		panic("middleware: Func needs a function and a description in printable ASCII without quotes or backslashes")
	}
	no := forbidden(description, reasonRequirement)
	return requirement{test: func(s *state) *failure {
		return said(f(s.ctx, s.token), no, requirementUnavailable)
	}}
}

// said returns what the error of an application's function means: nothing, no,
// or, unless it was made for saying no, that the function could not find out.
func said(err error, no, trouble *failure) *failure {
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
