package jose

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

// An Algorithm is a JWS algorithm (RFC 7518 section 3). golang-jwt's signing
// methods check the signatures; what they leave open (the curve of an ES key, the
// salt of a PS signature) is closed here.
type Algorithm struct {
	Name   string
	Method jwt.SigningMethod
	fits   func(crypto.PublicKey) bool
	size   int // of a signature, in bytes; 0 if it depends on the key
}

// Fits reports whether the algorithm uses keys of the type and on the curve of a
// public key.
func (a *Algorithm) Fits(key crypto.PublicKey) bool { return a.fits(key) }

// CheckSize returns an error if a signature does not have the length that the
// algorithm's signatures have.
func (a *Algorithm) CheckSize(signature []byte) error {
	if a.size != 0 && len(signature) != a.size {
		return Error{Signature, "length"}
	}
	return nil
}

// Verifies reports whether the signature of a text is that of a key.
func (a *Algorithm) Verifies(text string, signature []byte, key crypto.PublicKey) bool {
	return a.Method.Verify(text, signature, key) == nil
}

func isRSA(p crypto.PublicKey) bool { _, ok := p.(*rsa.PublicKey); return ok }

func isEd25519(p crypto.PublicKey) bool { _, ok := p.(ed25519.PublicKey); return ok }

func isOn(curve elliptic.Curve) func(crypto.PublicKey) bool {
	return func(p crypto.PublicKey) bool {
		k, ok := p.(*ecdsa.PublicKey)
		return ok && k.Curve == curve
	}
}

// pss demands a salt as long as the hash (RFC 7518 section 3.5), where golang-jwt
// takes any length.
func pss(m *jwt.SigningMethodRSAPSS) *jwt.SigningMethodRSAPSS {
	exact := &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: m.Hash}
	return &jwt.SigningMethodRSAPSS{SigningMethodRSA: m.SigningMethodRSA, Options: exact, VerifyOptions: exact}
}

// Algorithms are all supported algorithms: asymmetric, in common use, and in Go's
// standard library.
var Algorithms = []*Algorithm{
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

// byName has the algorithms by their values of "alg". Ed25519 (RFC 9864) and
// EdDSA (RFC 8037, with the only curve that is supported here) are two names of
// one algorithm: a key set, a JWS and a configuration may each use either.
var byName = func() map[string]*Algorithm {
	m := map[string]*Algorithm{}
	for _, a := range Algorithms {
		m[a.Name] = a
	}
	m["Ed25519"] = m["EdDSA"]
	return m
}()

// AlgorithmOf returns the algorithm of a name, or nil if there is none.
func AlgorithmOf(name string) *Algorithm { return byName[name] }

// AlgorithmNames returns the names of all algorithms.
func AlgorithmNames() []string {
	var names []string
	for _, a := range Algorithms {
		names = append(names, a.Name)
	}
	return append(names, "Ed25519")
}

// Accept returns the algorithms that are accepted where those of the given names
// are: both names of one algorithm come in together. Other names are ignored.
func Accept(names ...string) map[string]*Algorithm {
	accepted := map[string]*Algorithm{}
	for _, n := range names {
		for name, a := range byName {
			if a == byName[n] {
				accepted[name] = a
			}
		}
	}
	return accepted
}
