// Package verifytest is an OAuth 2.0 authorization server for tests. It runs in the
// process of the test, which controls it: it publishes metadata (OpenID Connect
// Discovery 1.0 section 4, RFC 8414 section 3) and a key set (RFC 7517 section 5),
// makes access tokens (RFC 9068) and any other JWS (RFC 7515) with the asymmetric
// algorithms of RFC 7518 and RFC 8037 and with Ed25519 of RFC 9864, answers
// introspection (RFC 7662) and revocation requests (RFC 7009), rotates and
// withdraws keys, and fails on demand.
//
//	issuer := verifytest.NewServer()
//	defer issuer.Close()
//	token := issuer.Token(verifytest.Claims{"scope": "orders:read"})
//
// [NewServer] listens on loopback. [NewInMemory] needs no network: its client calls
// it within the process, so it can have an https issuer, and works in a
// testing/synctest bubble, where delays take fake time. [Listen] listens on a given
// address, for a development issuer whose URL stays the same.
//
// All settings can be changed from any goroutine while requests are served. Like
// net/http/httptest, the package panics when a test cannot go on, for a claim that
// JSON cannot express, say, or an unknown algorithm.
//
// It is not for production: there is no sign-in, and the private keys are open to
// anyone who has the [Server].
package verifytest
