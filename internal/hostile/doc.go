// Package hostile has tokens with which attackers try to get in, and controls that
// have to pass: a service that refuses everything would be safe too. Every verifier of
// the module is tested with all of them.
//
// The tokens are in testdata, one text file for each subject. A file is a list of
// stanzas, separated by empty lines; lines that begin with # are comments. A stanza
// that begins with "section" applies to the stanzas after it, up to the next section:
//
//	section: exp
//	why: RFC 7519 section 4.1.4
//	expect: 401 invalid_token claim exp
//
//	case: no exp
//	claim.exp: absent
//
//	claim.exp: "<now+600>"
//
//	case: exp reached
//	claim.exp: <now-31>
//	expect: 401 invalid_token expired
//
// A token is valid but for what its stanza changes. The lines of a stanza are:
//
//	case         the name; by default, the changes
//	why          the rule that the answer follows from
//	expect       200, or the status, the error code (RFC 6750 section 3.1), the
//	             [verify.Reason] and, if it matters, the part of the token
//	strict       the same for a verifier with Config.RFC9068
//	clock        "exact": the answer depends on less than a minute, so that it can only
//	             be tested with a clock that stands still
//	log          "mark": the log shows the text of <mark>, which a developer needs
//	key          the algorithm of the signing key: ES256 by default, RS256, PS256, EdDSA
//	header.NAME  a member of the header: JSON or any other text, or "absent"
//	claim.NAME   a claim, likewise
//	header       the whole header, in place of the lines above
//	claims       the whole claims set, likewise
//	signature    how the token is signed, see below
//	signed       the text that is signed, by default <H>.<C>
//	token        the token, by default the text that is signed, a dot and <S>
//
// A signature is made by the first word of its line, and changed by those that follow
// after commas:
//
//	key            the key of the case, which is the default
//	attacker       an ES256 key that the issuer does not have
//	as ALG         the key of the case, with another algorithm
//	other          a signature of another text
//	salt N         PS256 with a salt of N bytes
//	hmac SECRET    HMAC-SHA256 with a secret, which is what an attacker knows of a public
//	               key (pem, line, pkcs1pem, spki, pkcs1, jwk, modulus, point, xy, x and
//	               the algorithm of the key) or "nothing"
//	zeros, one     the number zero or one, with the length of a signature
//	empty          nothing
//	DER, swap      an ECDSA signature in ASN.1, or with its halves exchanged
//	cut N          without the last N bytes
//	append HEX     with bytes after it
//	prepend HEX    with bytes before it
//	flip N         with a bit of byte N changed
//	widen N        an ECDSA signature with halves of N bytes
//
// Texts can have placeholders:
//
//	<issuer> <audience> <kid> <kid ALG>
//	<now+N> <now-N>      seconds since 1970
//	<header> <claims>    those of a valid token, as JSON objects
//	<header members>     the same without braces; also <claims members>
//	<quoted header>      as a JSON string; also <quoted claims>, <utf16be header>, <utf16le header>
//	<valid>              a valid token
//	<attacker FORM>      the attacker's public key as a jwk, x5c, x5t or x5t#S256
//	<upper PLACEHOLDER>  in upper case; <cut PLACEHOLDER>: without the last byte
//	<escaped PLACEHOLDER>
//	                     for a JSON string, with escapes that JSON does not need
//	<hex BYTES>          any bytes
//	<repeat N TEXT>      N times a text
//	<deflate N>          N bytes, compressed, in base64url
//	<mark>               a random text, which no answer may show, and no log but that of
//	                     a case with "log: mark"
//	<lt>                 "<"
//
// and, in "signed" and "token", <H>, <C> and <S>, the segments of the token in
// base64url, <std H> and so on for the other alphabet of base64, and <loose H> for an
// encoding with bits set that no byte uses.
package hostile
