package ginauth_test

import (
	"net/http"
	"testing"

	"github.com/gin-gonic/gin"

	"github.com/bearerkit/bearerkit/adapters/adaptertest"
	"github.com/bearerkit/bearerkit/adapters/ginauth"
)

func TestAdapter(t *testing.T) {
	gin.SetMode(gin.TestMode)
	adaptertest.Run(t, func(routes []adaptertest.Route) http.Handler {
		r := gin.New()
		for _, route := range routes {
			var chain []gin.HandlerFunc
			for _, g := range route.Guards {
				if g.Layer != nil {
					chain = append(chain, func(c *gin.Context) {
						c.Request = c.Request.WithContext(g.Layer(c.Request.Context()))
					})
				}
				if g.Optional {
					chain = append(chain, ginauth.Optional(route.Auth, g.Requirements...))
				} else {
					chain = append(chain, ginauth.Require(route.Auth, g.Requirements...))
				}
			}
			r.Any(adaptertest.Colons(route.Path), append(chain, func(c *gin.Context) {
				c.Request = c.Request.WithContext(c.Request.Context()) // as handlers do to add values
				user, ok := ginauth.UserFrom[adaptertest.User](c)
				token, _ := ginauth.TokenFrom(c)
				adaptertest.Answer(c.Writer, c.Request, user, ok, token)
			})...)
		}
		return r
	})
}
