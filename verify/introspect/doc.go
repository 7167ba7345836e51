// Package introspect provides the usual introspector of package
// [github.com/bearerkit/bearerkit/verify]: it asks an authorization server whether
// tokens are active (RFC 7662).
//
//	verifier, err := verify.New(verify.Config{
//		Issuers: []verify.Issuer{{
//			…
//			Introspection: &verify.Introspection{
//				Introspector: introspect.New(introspect.Config{
//					Auth: introspect.Basic("orders-api", secret),
//				}),
//				Always: true, // every token; default: only what cannot be verified here
//			},
//		}},
//	})
//
// # Calls
//
// An answer that a token is active is reused for Config.TTL, one that it is not for
// 5 s. Requests that need the same answer at the same time share one call. A query
// that demands a fresh answer causes a call, and the answer then counts for other
// requests too. Answers are remembered by a keyed digest, never by the token, in a
// cache of limited size; those about tokens that were never active are kept
// separately, so that they cannot evict the others.
//
// # Answers
//
// Only status 200 with a strict JSON object that has a boolean "active" is an answer;
// see [verify.Introspection] for what it means. With Config.Signed, or if the
// server's metadata offers it, answers are signed (RFC 9701) and verified with the
// issuer's keys.
//
// # Failures
//
// If there is no response, or one with any other status, a redirect, or a document
// that is not an answer, tokens that need the answer get [verify.ErrUnavailable],
// which is a 503. That includes 400 and 401: it is not the token's fault that the
// server does not accept this client. While calls fail or time out, a circuit
// breaker lets only one through now and then, so that requests do not wait one by
// one for a server that is down. With Config.Grace, earlier active answers may be
// reused meanwhile.
//
// Calls about tokens that anyone may have made up have slots and a breaker of their
// own: such tokens cannot keep others from being introspected.
package introspect
