// Package jose reads compact JWSs strictly (RFC 7515) and checks their signatures
// with public keys that are sound (RFC 7518, RFC 8725). It is the one reader of
// the kit: for access tokens, for other JWTs, for DPoP proofs.
//
// A JWS that two parsers could understand differently is refused: one with a
// padded segment, a duplicate member in its header, or an extension that changes
// what is signed. There is neither "none" nor a symmetric algorithm.
package jose
