// Package verify is the core of bearerkit: an access token in, a verified
// [Token] or an [*Error] with a [Reason] out.
//
// It carries out the resource server's side of RFC 7515 (JWS), RFC 7519 (JWT),
// RFC 8725 (JWT best current practices) and RFC 9068 (JWT access tokens). It
// knows no HTTP: keys come from a [KeySource], of which
// [github.com/bearerkit/bearerkit/verify/jwks] has the usual ones, and requests
// are the business of [github.com/bearerkit/bearerkit/middleware].
//
// A token is read once and strictly, before any cryptography. What another
// parser might understand differently (a duplicate member, a padded segment, a
// claim of the wrong type, a name in another case) is refused. Issuer and
// audience are always checked, only asymmetric algorithms exist, and a key
// serves one issuer only.
package verify
