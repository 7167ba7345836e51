// Package dpop is the resource server's side of DPoP (RFC 9449): access tokens that
// are bound to a key of the client, and are worth nothing without it.
//
//	v, err := verify.New(verify.Config{
//		Issuers:  …,
//		Bindings: []verify.Binding{dpop.New(dpop.Config{Origins: []string{"https://api.example.com"}})},
//	})
//
// A [Binding] checks the proof that comes with each request. The rest are its parts,
// for those who check proofs themselves:
//
//   - [Origins] compares a proof's "htu" with the request (section 4.3).
//   - [Nonces] makes and recognizes nonces without keeping any (section 9).
//   - [ReplayStore] remembers which proofs were used (section 11.1). [Memory] is the
//     one for a service with a single replica; package
//     [github.com/bearerkit/bearerkit/verify/redisstore] has one that replicas share.
//   - [Thumbprint] is the RFC 7638 thumbprint of a key, as "cnf" has it under "jkt".
package dpop
