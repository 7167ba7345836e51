package dpop

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"math/big"
	"slices"
	"strings"

	"github.com/bearerkit/bearerkit/internal/strictjson"
	"github.com/bearerkit/bearerkit/verify"
)

// A jwk is the "jwk" member of a proof's header, checked as far as its members
// can be without making a key of them.
type jwk struct {
	kty, crv   string
	x, y, n, e string // as they stand, in base64url
}

// maxRSABits is less than for an issuer's keys: the client chooses this one, and
// the bound is on what a proof may cost.
const maxRSABits = 4096

// curves are the elliptic curves of JWS algorithms and the size of a coordinate
// in bytes (RFC 7518 section 6.2.1.2).
var curves = map[string]struct {
	curve elliptic.Curve
	size  int
}{
	"P-256": {elliptic.P256(), 32},
	"P-384": {elliptic.P384(), 48},
	"P-521": {elliptic.P521(), 66},
}

// Errors of parseJWK and public, all for one answer: the proof is not valid.
var (
	errNotJWK     = errors.New("jwk is not an object with members of the right type")
	errPrivate    = errors.New("jwk has private or symmetric members")
	errKeyUse     = errors.New("jwk is for another use or algorithm")
	errKeyType    = errors.New("jwk is of a type that the algorithm does not use")
	errKeyMembers = errors.New("jwk has a member that is missing or not in its one form")
	errKey        = errors.New("jwk is not a valid key")
)

// parseJWK reads the "jwk" member of a proof that was signed with alg. It refuses
// keys with private members (RFC 9449 section 4.3, point 7), of another type than
// the algorithm's, or for another use, and numbers that are not in the one form
// of RFC 7518 section 6. Other members ("kid", "x5c") are passed over. It makes
// no key: that of a stranger is recognized by its thumbprint first.
func parseJWK(v strictjson.Value, alg string) (jwk, error) {
	var k jwk
	if v.Kind() != strictjson.Obj {
		return k, errNotJWK
	}
	var fault error
	fail := func(err error) {
		if fault == nil {
			fault = err
		}
	}
	text := func(v strictjson.Value) string {
		s, ok := v.Text()
		if !ok {
			fail(errNotJWK)
		}
		return s
	}
	for name, value := range v.Members() {
		switch name {
		case "kty":
			k.kty = text(value)
		case "crv":
			k.crv = text(value)
		case "x":
			k.x = text(value)
		case "y":
			k.y = text(value)
		case "n":
			k.n = text(value)
		case "e":
			k.e = text(value)
		case "alg":
			if !sameAlgorithm(text(value), alg) {
				fail(errKeyUse)
			}
		case "use":
			if text(value) != "sig" {
				fail(errKeyUse)
			}
		case "key_ops":
			// Browsers write an empty list into public keys that they made
			// for signing.
			if ops, ok := value.Texts(); !ok || len(ops) > 0 && !slices.Contains(ops, "verify") {
				fail(errKeyUse)
			}
		case "d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv":
			fail(errPrivate)
		}
	}
	if fault != nil {
		return k, fault
	}
	return k, k.check(alg)
}

// check checks that the key's type is the algorithm's and that its numbers have
// the right length.
func (k *jwk) check(alg string) error {
	kty, crv := keyType(alg)
	if kty == "" || k.kty != kty || kty != "RSA" && k.crv != crv {
		return errKeyType
	}
	ok := false
	switch kty {
	case "EC":
		size := curves[crv].size
		ok = isOctets(k.x, size) && isOctets(k.y, size)
	case "OKP":
		ok = isOctets(k.x, ed25519.PublicKeySize)
	case "RSA":
		n, isNumber := octets(k.n)
		e, isNumber2 := octets(k.e)
		ok = isNumber && isNumber2 && len(n) > 0 && n[0] != 0 && len(n) <= maxRSABits/8 && len(e) > 0 && e[0] != 0 && len(e) <= 4
	}
	if !ok {
		return errKeyMembers
	}
	return nil
}

// keyType returns the type and curve of an algorithm's keys, or nothing if there
// is no such asymmetric algorithm.
func keyType(alg string) (kty, crv string) {
	switch alg {
	case "ES256":
		return "EC", "P-256"
	case "ES384":
		return "EC", "P-384"
	case "ES512":
		return "EC", "P-521"
	case "EdDSA", "Ed25519":
		return "OKP", "Ed25519"
	case "RS256", "RS384", "RS512", "PS256", "PS384", "PS512":
		return "RSA", ""
	}
	return "", ""
}

// sameAlgorithm knows the two names of EdDSA with Ed25519 (RFC 9864).
func sameAlgorithm(a, b string) bool {
	return a == b || a == "EdDSA" && b == "Ed25519" || a == "Ed25519" && b == "EdDSA"
}

// thumbprint returns the key's RFC 7638 thumbprint. The members are in their one
// form, so that they are hashed as they stand.
func (k *jwk) thumbprint() [32]byte {
	var room [1024]byte // more than an RSA key of 4096 bits needs
	b := room[:0]
	switch k.kty {
	case "EC":
		b = appendMember(b, '{', "crv", k.crv)
		b = appendMember(b, ',', "kty", k.kty)
		b = appendMember(b, ',', "x", k.x)
		b = appendMember(b, ',', "y", k.y)
	case "OKP":
		b = appendMember(b, '{', "crv", k.crv)
		b = appendMember(b, ',', "kty", k.kty)
		b = appendMember(b, ',', "x", k.x)
	case "RSA":
		b = appendMember(b, '{', "e", k.e)
		b = appendMember(b, ',', "kty", k.kty)
		b = appendMember(b, ',', "n", k.n)
	}
	return sha256.Sum256(append(b, '}'))
}

// appendMember appends a member whose value needs no escaping.
func appendMember(b []byte, before byte, name, value string) []byte {
	b = append(append(append(b, before, '"'), name...), `":"`...)
	return append(append(b, value...), '"')
}

// public makes the key: an *rsa.PublicKey of 2048 to 4096 bits, an
// *ecdsa.PublicKey on its curve, or an ed25519.PublicKey.
func (k *jwk) public() (crypto.PublicKey, error) {
	switch k.kty {
	case "EC":
		x, _ := octets(k.x)
		y, _ := octets(k.y)
		p, err := ecdsa.ParseUncompressedPublicKey(curves[k.crv].curve, slices.Concat([]byte{4}, x, y))
		if err != nil {
			return nil, errKey
		}
		return p, nil
	case "OKP":
		x, _ := octets(k.x)
		return ed25519.PublicKey(x), nil
	case "RSA":
		n, _ := octets(k.n)
		e, _ := octets(k.e)
		p := &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(binary.BigEndian.Uint32(append(make([]byte, 4-len(e)), e...)))}
		// The rules for an issuer's keys hold for the rest: 2048 bits at least,
		// the exponent, known weak generators.
		if _, skipped := verify.NewKeySet([]verify.Key{{Public: p}}); len(skipped) > 0 {
			return nil, errKey
		}
		return p, nil
	}
	return nil, errKeyType
}

// Thumbprint returns the RFC 7638 thumbprint of a public key, in the form of
// "cnf.jkt" (RFC 9449 section 6.1). It takes an *ecdsa.PublicKey on P-256, P-384
// or P-521, an *rsa.PublicKey and an ed25519.PublicKey.
func Thumbprint(public crypto.PublicKey) (string, error) {
	var k jwk
	switch p := public.(type) {
	case *ecdsa.PublicKey:
		b, err := p.Bytes()
		c, ok := curves[p.Params().Name]
		if err != nil || !ok {
			return "", errors.New("dpop: not a key on a curve that has a thumbprint")
		}
		k = jwk{kty: "EC", crv: p.Params().Name, x: encode(b[1 : 1+c.size]), y: encode(b[1+c.size:])}
	case ed25519.PublicKey:
		if len(p) != ed25519.PublicKeySize {
			return "", errors.New("dpop: not an Ed25519 key")
		}
		k = jwk{kty: "OKP", crv: "Ed25519", x: encode(p)}
	case *rsa.PublicKey:
		k = jwk{kty: "RSA", n: encode(p.N.Bytes()), e: encode(bytes.TrimLeft(binary.BigEndian.AppendUint64(nil, uint64(p.E)), "\x00"))}
	default:
		return "", errors.New("dpop: not a public key that has a thumbprint")
	}
	t := k.thumbprint()
	return encode(t[:]), nil
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// octets decodes the base64url of RFC 7515 section 2 in its one form.
func octets(s string) ([]byte, bool) {
	if strings.ContainsAny(s, "\r\n") { // which the decoder passes over
		return nil, false
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	return b, err == nil
}

// isOctets reports whether s is that encoding of a number of bytes.
func isOctets(s string, size int) bool {
	if len(s) != base64.RawURLEncoding.EncodedLen(size) {
		return false
	}
	b, ok := octets(s)
	return ok && len(b) == size
}
