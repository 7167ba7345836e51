package httpauth_test

import (
	"net/http"
	"slices"
	"testing"

	"github.com/bearerkit/bearerkit/adapters/adaptertest"
	"github.com/bearerkit/bearerkit/adapters/httpauth"
)

func TestAdapter(t *testing.T) {
	adaptertest.Run(t, func(routes []adaptertest.Route) http.Handler {
		mux := http.NewServeMux()
		for _, route := range routes {
			var h http.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				user, ok := httpauth.UserFrom[adaptertest.User](r)
				token, _ := httpauth.TokenFrom(r)
				adaptertest.Answer(w, r, user, ok, token)
			})
			for _, g := range slices.Backward(route.Guards) {
				if g.Optional {
					h = httpauth.Optional(route.Auth, g.Requirements...)(h)
				} else {
					h = httpauth.Require(route.Auth, g.Requirements...)(h)
				}
				if g.Layer != nil {
					h = adaptertest.Layered(g.Layer, h)
				}
			}
			mux.Handle(route.Path, h)
		}
		return mux
	})
}
