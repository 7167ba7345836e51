// Package echov4auth protects echo routes with bearer tokens (RFC 6750). It is for
// echo v4; for v5 there is package echoauth, with the same names.
package echov4auth

import (
	"github.com/labstack/echo/v4"

	"github.com/bearerkit/bearerkit/middleware"
	"github.com/bearerkit/bearerkit/verify"
)

// Require serves requests with a good token that meets all requirements, and
// refuses all others; see package middleware. A refusal is written to the
// context's Response, so that its hooks run. It is an answer and not an error: the
// HTTPErrorHandler does not get it.
func Require(auth *middleware.Auth, requirements ...middleware.Requirement) echo.MiddlewareFunc {
	return handler(auth.Require(requirements...))
}

// Optional also serves requests without credentials; they have no user.
func Optional(auth *middleware.Auth, requirements ...middleware.Requirement) echo.MiddlewareFunc {
	return handler(auth.Optional(requirements...))
}

func handler(guard *middleware.Guard) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			r := c.Request()
			for _, name := range c.ParamNames() {
				r.SetPathValue(name, c.Param(name)) // for middleware.RequestFunc
			}
			admitted, ok := guard.Serve(c.Response(), r, c.Path())
			if !ok {
				return nil
			}
			c.SetRequest(admitted)
			defer func() { middleware.Return(r, c.Request()) }()
			return next(c)
		}
	}
}

// UserFrom returns the request's user, if it has one and it is a U. So does
// middleware.UserFrom with c.Request().Context(), also in code that does not import echo.
func UserFrom[U any](c echo.Context) (U, bool) { return middleware.UserFrom[U](c.Request().Context()) }

// TokenFrom returns the request's verified token, if it has one.
func TokenFrom(c echo.Context) (*verify.Token, bool) {
	return middleware.TokenFrom(c.Request().Context())
}
