// Package chiauth protects chi routes with bearer tokens (RFC 6750): a single
// one with r.With, a group with r.Use inside of r.Group or r.Route.
//
// chi's router passes on a copy of the request, so the server does not remove the
// files of an upload: with or without guards, handlers that parse multipart forms
// have to call RemoveAll on them.
package chiauth

import (
	"net/http"

	"github.com/go-chi/chi/v5"

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
			var route string
			if routing := chi.RouteContext(r.Context()); routing != nil {
				// As far as chi has found it: a guard of r.Use comes before the
				// last part of it.
				route = routing.RoutePattern()
				for i, name := range routing.URLParams.Keys {
					r.SetPathValue(name, routing.URLParams.Values[i]) // for middleware.RequestFunc
				}
			}
			if admitted, ok := guard.Serve(w, r, route); ok {
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
