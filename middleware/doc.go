// Package middleware decides, for a request with an access token, whether to serve
// it and for whom. Import it as bearer, because frameworks have packages of this
// name too:
//
//	import bearer "github.com/bearerkit/bearerkit/middleware"
//
//	auth, err := bearer.ForIssuer("https://issuer.example", "https://api.example")
//	if err != nil {
//		log.Fatal(err)
//	}
//	http.Handle("GET /orders", httpauth.Require(auth, bearer.Scope("orders:read"))(orders))
//
// A guard ([Auth.Require], [Auth.Optional]) takes the credentials out of the
// request (RFC 6750 section 2), has them verified, resolves the application's user
// once, checks what the route requires, and puts user and token into the request's
// context: [UserFrom] and [TokenFrom] return them. Or it refuses, with the
// challenges of RFC 6750 section 3, RFC 9470 (step-up authentication), RFC 9728
// (protected resource metadata) and RFC 9449 (DPoP). The caller's fault is 4xx, a
// failure of the service is 503, and never the other way round: a 401 logs users out.
//
// The adapters for net/http, chi, gin and echo, below
// github.com/bearerkit/bearerkit/adapters, are a few lines around [Guard.Serve], so
// that every framework gives the same answer. [Guard.Decide] decides without
// writing, and [Guard.Admit] decides for transports that are not HTTP.
//
// Guards may follow each other on one request, with other layers between them:
// the token is verified and the user resolved once. [WithRecord] lets a layer
// outside of them, such as an access log, see what they found out; an [Observer]
// counts and traces. Responses that outlive their token have [UntilExpiry] and
// [Recheck]; API keys beside tokens are for an [Authenticator].
package middleware
