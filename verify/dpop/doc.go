// Package dpop has the resource server's side of DPoP (RFC 9449): what a proof
// is compared with, which nonces it may use, and how it is kept from being used
// twice.
//
//   - [Origins] compares a proof's "htu" with the request (section 4.3).
//   - [Nonces] makes and recognizes nonces without keeping any (section 9).
//   - [ReplayStore] remembers which proofs were used (section 11.1). [Memory]
//     is the one for a service with a single replica; package
//     [github.com/bearerkit/bearerkit/verify/redisstore] has one that replicas
//     share.
//   - [Thumbprint] is the RFC 7638 thumbprint of a key, as "cnf" has it under
//     "jkt".
package dpop
