// Package middleware decides, for a request with a bearer token, whether to
// serve it and for whom: it takes the credentials out of the request (RFC 6750
// section 2), has them verified, resolves the application's user once, checks
// what the route requires, and puts user and token into the request's context;
// or it says how to refuse, with the challenge of RFC 6750 section 3, RFC 9470
// (step-up authentication) and RFC 9728 (protected resource metadata).
//
// Deciding and writing are apart. [Guard.Decide] decides and changes nothing;
// [Refusal.Write] writes the refusal. The adapters for net/http, chi, gin and
// echo, below github.com/bearerkit/bearerkit/adapters, are a few lines that
// call the two, so that every framework gives the same answer.
//
// Guards may follow each other on one request, with other layers between them:
// the token is verified and the user resolved once. [WithRecord] lets a layer
// outside of them, an access log, see what they found out; an [Observer] counts
// requests. Responses that outlive their token have [UntilExpiry] and [Recheck];
// API keys beside tokens are for an [Authenticator].
//
// What is the caller's fault is 4xx; a failure on this side is 503, never the
// other way round: a 401 logs users out.
package middleware
