// Package chiauth protects chi routes with bearer tokens (RFC 6750): a single
// one with r.With, a group with r.Use inside of r.Group or r.Route. A chi
// middleware is one of net/http, so this is package httpauth under the name
// that the other frameworks' adapters lead one to expect.
//
// chi's router passes on a copy of the request, so that the server does not
// remove the files of an upload: with or without guards, handlers that parse
// multipart forms have to call RemoveAll on them.
package chiauth

import (
	"net/http"

	"github.com/bearerkit/bearerkit/adapters/httpauth"
	"github.com/bearerkit/bearerkit/middleware"
	"github.com/bearerkit/bearerkit/verify"
)

// Require serves requests with a good token that meets all requirements and
// refuses the others as package middleware has it.
func Require(auth *middleware.Auth, requirements ...middleware.Requirement) func(http.Handler) http.Handler {
	return httpauth.Require(auth, requirements...)
}

// Optional also serves requests without credentials, and then without a user.
func Optional(auth *middleware.Auth, requirements ...middleware.Requirement) func(http.Handler) http.Handler {
	return httpauth.Optional(auth, requirements...)
}

// UserFrom returns the request's user, if it has one and it is a U.
func UserFrom[U any](r *http.Request) (U, bool) { return middleware.UserFrom[U](r.Context()) }

// TokenFrom returns the request's verified token, if it has one.
func TokenFrom(r *http.Request) (*verify.Token, bool) { return middleware.TokenFrom(r.Context()) }
