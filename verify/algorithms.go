package verify

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	_ "crypto/sha256" // the hashes of the algorithms below
	_ "crypto/sha512"

	"github.com/golang-jwt/jwt/v5"
)

// An algorithm is a JWS algorithm: how a signature is checked, how long it is
// and which keys it takes. golang-jwt's signing methods do the checking; what
// they leave open (the curve of an ES key, the salt of a PS signature) is
// closed here.
type algorithm struct {
	name   string
	method jwt.SigningMethod
	fits   func(crypto.PublicKey) bool
	// sigLen is the length of a signature in bytes; 0 if it depends on the key.
	sigLen int
}

func isRSA(p crypto.PublicKey) bool { _, ok := p.(*rsa.PublicKey); return ok }

func isEd25519(p crypto.PublicKey) bool { _, ok := p.(ed25519.PublicKey); return ok }

func isOn(curve elliptic.Curve) func(crypto.PublicKey) bool {
	return func(p crypto.PublicKey) bool {
		k, ok := p.(*ecdsa.PublicKey)
		return ok && k.Curve == curve
	}
}

// pss demands a salt as long as the hash (RFC 7518 section 3.5), where
// golang-jwt takes any length.
func pss(m *jwt.SigningMethodRSAPSS) *jwt.SigningMethodRSAPSS {
	exact := &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: m.Hash}
	return &jwt.SigningMethodRSAPSS{SigningMethodRSA: m.SigningMethodRSA, Options: exact, VerifyOptions: exact}
}

// allAlgorithms are the algorithms there are: asymmetric, in common use, and
// in Go's standard library. There is no HMAC and no "none" to be let in by a
// configuration's mistake.
var allAlgorithms = []*algorithm{
	{"RS256", jwt.SigningMethodRS256, isRSA, 0},
	{"RS384", jwt.SigningMethodRS384, isRSA, 0},
	{"RS512", jwt.SigningMethodRS512, isRSA, 0},
	{"PS256", pss(jwt.SigningMethodPS256), isRSA, 0},
	{"PS384", pss(jwt.SigningMethodPS384), isRSA, 0},
	{"PS512", pss(jwt.SigningMethodPS512), isRSA, 0},
	{"ES256", jwt.SigningMethodES256, isOn(elliptic.P256()), 64},
	{"ES384", jwt.SigningMethodES384, isOn(elliptic.P384()), 96},
	{"ES512", jwt.SigningMethodES512, isOn(elliptic.P521()), 132},
	{"EdDSA", jwt.SigningMethodEdDSA, isEd25519, ed25519.SignatureSize},
}

// algorithms has them by name. Ed25519 (RFC 9864) and EdDSA (RFC 8037, with
// the only curve supported here) are two names of one algorithm: an issuer's
// key set, its tokens and a configuration may each use either.
var algorithms = func() map[string]*algorithm {
	m := map[string]*algorithm{}
	for _, a := range allAlgorithms {
		m[a.name] = a
	}
	m["Ed25519"] = m["EdDSA"]
	return m
}()

// Algorithms returns the names of all algorithms that can be configured, which
// are also those that are accepted by default.
func Algorithms() []string {
	var names []string
	for _, a := range allAlgorithms {
		names = append(names, a.name)
	}
	return append(names, "Ed25519")
}
