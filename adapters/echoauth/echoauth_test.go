package echoauth_test

import (
	"net/http"
	"testing"

	"github.com/labstack/echo/v5"

	"github.com/bearerkit/bearerkit/adapters/adaptertest"
	"github.com/bearerkit/bearerkit/adapters/echoauth"
)

func TestAdapter(t *testing.T) {
	adaptertest.Run(t, func(routes []adaptertest.Route) http.Handler {
		e := echo.New()
		for _, route := range routes {
			var chain []echo.MiddlewareFunc
			for _, g := range route.Guards {
				if g.Layer != nil {
					chain = append(chain, func(next echo.HandlerFunc) echo.HandlerFunc {
						return func(c *echo.Context) error {
							c.SetRequest(c.Request().WithContext(g.Layer(c.Request().Context())))
							return next(c)
						}
					})
				}
				if g.Optional {
					chain = append(chain, echoauth.Optional(route.Auth, g.Requirements...))
				} else {
					chain = append(chain, echoauth.Require(route.Auth, g.Requirements...))
				}
			}
			e.Any(adaptertest.Colons(route.Path), func(c *echo.Context) error {
				c.SetRequest(c.Request().WithContext(c.Request().Context())) // as handlers do to add values
				user, ok := echoauth.UserFrom[adaptertest.User](c)
				token, _ := echoauth.TokenFrom(c)
				adaptertest.Answer(c.Response(), c.Request(), user, ok, token)
				return nil
			}, chain...)
		}
		return e
	})
}
