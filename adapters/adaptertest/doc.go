// Package adaptertest tests adapters of package
// [github.com/bearerkit/bearerkit/middleware] for web frameworks. It sends several
// hundred requests to a service that is built with the adapter, and compares every
// answer (status, header and body, byte for byte) with that of package middleware
// alone on net/http. The test of an adapter is one call of [Run]:
//
//	func TestAdapter(t *testing.T) {
//		adaptertest.Run(t, func(routes []adaptertest.Route) http.Handler {
//			mux := http.NewServeMux()
//			for _, route := range routes {
//				var h http.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
//					user, ok := myauth.UserFrom[adaptertest.User](r)
//					token, _ := myauth.TokenFrom(r)
//					adaptertest.Answer(w, r, user, ok, token)
//				})
//				for _, g := range slices.Backward(route.Guards) {
//					if g.Optional {
//						h = myauth.Optional(route.Auth, g.Requirements...)(h)
//					} else {
//						h = myauth.Require(route.Auth, g.Requirements...)(h)
//					}
//					if g.Layer != nil {
//						h = adaptertest.Layered(g.Layer, h)
//					}
//				}
//				mux.Handle(route.Path, h)
//			}
//			return mux
//		})
//	}
//
// It is for tests only: it imports package testing.
package adaptertest
