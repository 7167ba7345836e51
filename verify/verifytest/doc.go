// Package verifytest is an OAuth 2.0 authorization server for tests: the side
// of an issuer that a resource server gets to see, in the process of the test
// and at its command. It publishes metadata (OpenID Connect Discovery 1.0
// section 4, RFC 8414 section 3) and a key set (RFC 7517 section 5), makes
// access tokens (RFC 9068) and any other JWS (RFC 7515) with every algorithm
// of RFC 7518 and RFC 8037 that is asymmetric and with RFC 9864's Ed25519,
// answers introspection (RFC 7662) and revocation (RFC 7009), rotates and
// withdraws keys, and falls ill on command.
//
//	issuer := verifytest.NewServer()
//	defer issuer.Close()
//	token := issuer.Token(verifytest.Claims{"scope": "orders:read"})
//
// [NewServer] listens on loopback. [NewInMemory] needs no socket: its Client
// calls it within the process, so it works in a testing/synctest bubble, where
// every delay is in fake time, and under an https issuer. [Listen] takes an
// address, for a development issuer at a place that stays the same.
//
// Everything can be changed while requests are being served, from any
// goroutine. Like net/http/httptest the package panics where a test could not
// go on: a claim that JSON cannot express, an algorithm that does not exist.
//
// It is no authorization server for production: there is no sign-in, and
// whoever holds a [Server] holds its private keys.
package verifytest
