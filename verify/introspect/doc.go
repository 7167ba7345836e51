// Package introspect asks an authorization server whether tokens are still good
// (RFC 7662): the introspectors of [github.com/bearerkit/bearerkit/verify].
//
//	verify.Config{
//		…
//		Introspection: &verify.Introspection{
//			Introspector: introspect.New(introspect.Config{
//				Auth: introspect.Basic("api", secret),
//			}),
//			Always: true, // every JWT, within the TTL; default: only what cannot be decided here
//		},
//	}
//
// # What is asked, and how often
//
// An answer that a token is active is reused for Config.TTL, one that it is not
// for 5 s; requests that need the same answer at the same time share one call.
// A middleware.NotRevoked route asks each time, and what it learns counts for the
// others. Answers are remembered by a keyed digest, never by the token, within
// bounds; those for bad tokens have a place of their own, so that they cannot
// push the good ones out.
//
// # What is believed
//
// Only status 200 with a JSON object in which "active" is the boolean true and
// whose members are right: see [verify.Introspection]. With Config.Signed, or if
// the server's metadata offers them, answers are signed (RFC 9701) and checked
// with the issuer's keys.
//
// # When the server is ill
//
// No answer, an error of any status, a redirect, or something that is no answer:
// whatever needed it gets [verify.ErrUnavailable], a 503. That the server does
// not know this client, or answers 400, is no fault of the token's. While calls
// break or time out, a circuit breaker lets one through now and then, so that
// requests do not wait for a dead server one by one. Config.Grace, if set, allows
// answers that were good to be reused meanwhile.
package introspect
