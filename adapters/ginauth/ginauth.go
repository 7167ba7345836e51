// Package ginauth protects gin routes with bearer tokens (RFC 6750).
package ginauth

import (
	"github.com/gin-gonic/gin"

	"github.com/bearerkit/bearerkit/middleware"
	"github.com/bearerkit/bearerkit/verify"
)

// Require serves requests with a good token that meets all requirements. It
// refuses and aborts all others; see package middleware.
func Require(auth *middleware.Auth, requirements ...middleware.Requirement) gin.HandlerFunc {
	return handler(auth.Require(requirements...))
}

// Optional also serves requests without credentials; they have no user.
func Optional(auth *middleware.Auth, requirements ...middleware.Requirement) gin.HandlerFunc {
	return handler(auth.Optional(requirements...))
}

func handler(guard *middleware.Guard) gin.HandlerFunc {
	return func(c *gin.Context) {
		r := c.Request
		for _, p := range c.Params {
			r.SetPathValue(p.Key, p.Value) // for middleware.RequestFunc
		}
		admitted, ok := guard.Serve(c.Writer, r, c.FullPath())
		if !ok {
			c.Abort()
			return
		}
		c.Request = admitted
		defer func() { middleware.Return(r, c.Request) }()
		c.Next()
	}
}

// UserFrom returns the request's user, if it has one and it is a U. So does
// middleware.UserFrom with c.Request.Context(), also in code that does not import gin.
func UserFrom[U any](c *gin.Context) (U, bool) { return middleware.UserFrom[U](c.Request.Context()) }

// TokenFrom returns the request's verified token, if it has one.
func TokenFrom(c *gin.Context) (*verify.Token, bool) {
	return middleware.TokenFrom(c.Request.Context())
}
