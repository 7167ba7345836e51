package chiauth_test

import (
	"net/http"
	"testing"

	"github.com/go-chi/chi/v5"

	"github.com/bearerkit/bearerkit/adapters/chiauth"
	"github.com/bearerkit/bearerkit/internal/adaptertest"
)

func TestAdapter(t *testing.T) {
	adaptertest.Run(t, func(routes []adaptertest.Route) http.Handler {
		root := chi.NewRouter()
		for _, route := range routes {
			root.Group(func(r chi.Router) {
				for _, g := range route.Guards {
					if g.Optional {
						r.Use(chiauth.Optional(route.Auth, g.Requirements...))
					} else {
						r = r.With(chiauth.Require(route.Auth, g.Requirements...))
					}
				}
				r.HandleFunc(route.Path, func(w http.ResponseWriter, r *http.Request) {
					user, ok := chiauth.UserFrom[adaptertest.User](r)
					token, _ := chiauth.TokenFrom(r)
					adaptertest.Answer(w, r, user, ok, token)
				})
			})
		}
		return root
	})
}
