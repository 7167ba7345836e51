package chiauth_test

import (
	"context"
	"net/http"
	"testing"

	"github.com/go-chi/chi/v5"

	"github.com/bearerkit/bearerkit/adapters/adaptertest"
	"github.com/bearerkit/bearerkit/adapters/chiauth"
	"github.com/bearerkit/bearerkit/middleware"
)

func TestAdapter(t *testing.T) {
	adaptertest.Run(t, func(routes []adaptertest.Route) http.Handler {
		root := chi.NewRouter()
		for _, route := range routes {
			root.Group(func(r chi.Router) {
				for _, g := range route.Guards {
					if g.Layer != nil {
						r.Use(func(next http.Handler) http.Handler { return adaptertest.Layered(g.Layer, next) })
					}
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
		// chi's router leaves the files of an upload on the disk, with or
		// without guards (go-chi/chi issue 769): it hands on a copy of the
		// request, unless that knows of a router already.
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			routed := r.WithContext(context.WithValue(r.Context(), chi.RouteCtxKey, chi.NewRouteContext()))
			defer middleware.Return(r, routed)
			root.ServeHTTP(w, routed)
		})
	})
}
