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
// bounds; those for tokens that were never active have a place of their own, so
// that they cannot push the others out.
//
// # What is believed
//
// Only status 200 with a strict JSON object that has a boolean "active" is an
// answer; see [verify.Introspection] for what it means. With Config.Signed, or if
// the server's metadata offers them, answers are signed (RFC 9701) and checked
// with the issuer's keys.
//
// # When the server fails
//
// No answer, an error of any status, a redirect, or something that is not an
// answer: whatever needed it gets [verify.ErrUnavailable], a 503. That the server
// does not accept this client, or answers 400, is not the token's fault. While
// calls break or time out, a circuit breaker lets one through now and then, so
// that requests do not wait one by one for a server that is down. Config.Grace,
// if set, allows answers that were active to be reused meanwhile.
//
// Calls about tokens that anybody may have made up have slots and a breaker of
// their own: such tokens cannot keep others from being asked about.
package introspect
