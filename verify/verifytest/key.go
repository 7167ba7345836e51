package verifytest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	_ "crypto/sha256" // the hashes of the algorithms below
	_ "crypto/sha512"
	"encoding/base64"
	"fmt"
	"math/big"
	"sync"
)

// A Key is a signing key. Tests can make one from its parts, or change a copy of one,
// to have the same key under another ID or for another algorithm.
type Key struct {
	// ID is the "kid"; empty for a key without one.
	ID string
	// Algorithm is the JWS algorithm that the key signs with, and the "alg" of
	// its JWK. If it is empty, the JWK has no "alg", and the key signs with
	// RS256, ES256, ES384, ES512 or EdDSA, depending on its type and curve.
	Algorithm string
	// Private is an *rsa.PrivateKey, an *ecdsa.PrivateKey or an
	// ed25519.PrivateKey.
	Private crypto.Signer
}

// A family describes the keys of an algorithm.
type family struct {
	hash  crypto.Hash // 0 if the algorithm includes it
	curve elliptic.Curve
	rsa   bool
	pss   bool
}

var families = map[string]family{
	"RS256":   {hash: crypto.SHA256, rsa: true},
	"RS384":   {hash: crypto.SHA384, rsa: true},
	"RS512":   {hash: crypto.SHA512, rsa: true},
	"PS256":   {hash: crypto.SHA256, rsa: true, pss: true},
	"PS384":   {hash: crypto.SHA384, rsa: true, pss: true},
	"PS512":   {hash: crypto.SHA512, rsa: true, pss: true},
	"ES256":   {hash: crypto.SHA256, curve: elliptic.P256()},
	"ES384":   {hash: crypto.SHA384, curve: elliptic.P384()},
	"ES512":   {hash: crypto.SHA512, curve: elliptic.P521()},
	"EdDSA":   {},
	"Ed25519": {},
}

// Algorithms returns the names of the supported algorithms.
func Algorithms() []string {
	return []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"}
}

// NewKey generates a key for an algorithm of [Algorithms], with a random ID. No server
// publishes it until it is given to one, so it can also be the key of an attacker.
func NewKey(algorithm string) *Key {
	k := &Key{ID: newID(), Algorithm: algorithm}
	if familyOf(algorithm).rsa {
		k.Private = generateRSA()
	} else {
		k.Private = generate(algorithm)
	}
	return k
}

func familyOf(algorithm string) family {
	f, ok := families[algorithm]
	if !ok {
		panic(fmt.Sprintf("verifytest: unknown algorithm %q; use Forge for tokens with any other signature", algorithm))
	}
	return f
}

// generate generates a private key that is not an RSA key.
func generate(algorithm string) crypto.Signer {
	if curve := familyOf(algorithm).curve; curve != nil {
		private, err := ecdsa.GenerateKey(curve, rand.Reader)
		must(err)
		return private
	}
	_, private, err := ed25519.GenerateKey(rand.Reader)
	must(err)
	return private
}

func generateRSA() *rsa.PrivateKey {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	must(err)
	return private
}

// pool has the RSA keys of closed servers. Generating one takes a tenth of a second,
// which adds up in a suite with many servers. Open servers never share a key.
var pool struct {
	sync.Mutex
	keys []*rsa.PrivateKey
}

func borrowRSA() *rsa.PrivateKey {
	pool.Lock()
	if n := len(pool.keys); n > 0 {
		private := pool.keys[n-1]
		pool.keys = pool.keys[:n-1]
		pool.Unlock()
		return private
	}
	pool.Unlock()
	return generateRSA()
}

func returnRSA(keys []*rsa.PrivateKey) {
	const enough = 32
	pool.Lock()
	defer pool.Unlock()
	pool.keys = append(pool.keys, keys[:min(len(keys), enough-len(pool.keys))]...)
}

// Public returns the public key.
func (k *Key) Public() crypto.PublicKey { return k.Private.Public() }

// JWK returns the members of the public key's JWK (RFC 7517 section 4, RFC 7518 section
// 6, RFC 8037 section 2), with "use" and, if the key has them, "kid" and "alg". The
// caller may change the map, for example to make an invalid key.
func (k *Key) JWK() map[string]any {
	jwk := map[string]any{"use": "sig"}
	if k.ID != "" {
		jwk["kid"] = k.ID
	}
	if k.Algorithm != "" {
		jwk["alg"] = k.Algorithm
	}
	switch p := k.Public().(type) {
	case *rsa.PublicKey:
		jwk["kty"] = "RSA"
		jwk["n"] = encode(p.N.Bytes())
		jwk["e"] = encode(big.NewInt(int64(p.E)).Bytes())
	case *ecdsa.PublicKey:
		// Coordinates have the length of the curve's field, with leading zeros.
		point, err := p.Bytes() // 4, x, y
		must(err)
		size := len(point) / 2
		jwk["kty"] = "EC"
		jwk["crv"] = p.Curve.Params().Name
		jwk["x"] = encode(point[1 : 1+size])
		jwk["y"] = encode(point[1+size:])
	case ed25519.PublicKey:
		jwk["kty"] = "OKP"
		jwk["crv"] = "Ed25519"
		jwk["x"] = encode(p)
	default:
		panic(fmt.Sprintf("verifytest: no JWK for a %T", p))
	}
	return jwk
}

// algorithm returns the algorithm that the key signs with.
func (k *Key) algorithm() string {
	if k.Algorithm != "" {
		return k.Algorithm
	}
	switch p := k.Public().(type) {
	case *rsa.PublicKey:
		return "RS256"
	case *ecdsa.PublicKey:
		switch p.Curve {
		case elliptic.P384():
			return "ES384"
		case elliptic.P521():
			return "ES512"
		}
		return "ES256"
	}
	return "EdDSA"
}

// Signature returns a JWS signature of a text by the key's algorithm (RFC 7518 section
// 3, RFC 8037 section 3.1). ES algorithms work with a key on any curve, which
// determines the length of the signature.
func (k *Key) Signature(text []byte) []byte {
	f := familyOf(k.algorithm())
	message, opts := text, crypto.SignerOpts(f.hash)
	if f.hash != 0 {
		h := f.hash.New()
		h.Write(text)
		message = h.Sum(nil)
	}
	switch private := k.Private.(type) {
	case *ecdsa.PrivateKey:
		if f.curve == nil {
			break
		}
		r, s, err := ecdsa.Sign(rand.Reader, private, message)
		must(err)
		size := (private.Curve.Params().BitSize + 7) / 8
		signature := make([]byte, 2*size)
		r.FillBytes(signature[:size])
		s.FillBytes(signature[size:])
		return signature
	case *rsa.PrivateKey:
		if !f.rsa {
			break
		}
		if f.pss {
			opts = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: f.hash}
		}
		signature, err := private.Sign(rand.Reader, message, opts)
		must(err)
		return signature
	case ed25519.PrivateKey:
		if f.hash != 0 {
			break
		}
		signature, err := private.Sign(rand.Reader, message, opts)
		must(err)
		return signature
	}
	panic(fmt.Sprintf("verifytest: a %T cannot sign with %s", k.Private, k.algorithm()))
}

// Sign returns a JWS of a header and a payload (RFC 7515 section 7.1), which it does
// not check: they need not be JSON, and the header need not match the key.
func (k *Key) Sign(header, payload string) string {
	return Forge(header, payload, k.Signature)
}

// Forge returns a JWS of a header, a payload and the signature that a function returns
// for the text to be signed: an HMAC, a PSS signature with another salt, or
// nothing.
func Forge(header, payload string, signature func(text []byte) []byte) string {
	text := encode([]byte(header)) + "." + encode([]byte(payload))
	return text + "." + encode(signature([]byte(text)))
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func newID() string {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // never fails
	return encode(b)
}

func must(err error) {
	if err != nil {
		panic(fmt.Sprintf("verifytest: %v", err))
	}
}
