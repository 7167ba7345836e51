// Package httpauth protects net/http handlers with bearer tokens (RFC 6750).
package httpauth

import (
	"net/http"

	"github.com/bearerkit/bearerkit/middleware"
	"github.com/bearerkit/bearerkit/verify"
)

// Require serves requests with a good token that meets all requirements, and
// refuses all others; see package middleware.
func Require(auth *middleware.Auth, requirements ...middleware.Requirement) func(http.Handler) http.Handler {
	return handler(auth.Require(requirements...))
}

// Optional also serves requests without credentials; they have no user.
func Optional(auth *middleware.Auth, requirements ...middleware.Requirement) func(http.Handler) http.Handler {
	return handler(auth.Optional(requirements...))
}

func handler(guard *middleware.Guard) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if admitted, ok := guard.Serve(w, r, ""); ok {
				defer middleware.Return(r, admitted)
				next.ServeHTTP(w, admitted)
			}
		})
	}
}

// UserFrom returns the request's user, if it has one and it is a U.
func UserFrom[U any](r *http.Request) (U, bool) { return middleware.UserFrom[U](r.Context()) }

// TokenFrom returns the request's verified token, if it has one.
func TokenFrom(r *http.Request) (*verify.Token, bool) { return middleware.TokenFrom(r.Context()) }
