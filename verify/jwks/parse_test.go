package jwks_test

import (
	"crypto"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/bearerkit/bearerkit/verify"
	"github.com/bearerkit/bearerkit/verify/jwks"
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

var testRSA = must(rsa.GenerateKey(rand.Reader, 2048))

func rsaJWK(kid string) jwk {
	return jwk{"kty": "RSA", "kid": kid, "use": "sig", "alg": "RS256", "n": b64(testRSA.N.Bytes()), "e": "AQAB"}
}

var _, testEd25519, _ = ed25519.GenerateKey(rand.Reader)

func edJWK(kid string) jwk {
	return jwk{"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": b64(testEd25519.Public().(ed25519.PublicKey))}
}

// certificate makes an expired self-signed certificate, since only its key counts.
func certificate(key crypto.Signer) string {
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Unix(1, 0)}
	return base64.StdEncoding.EncodeToString(must(x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)))
}

func asPEM(certificate string) string {
	der := must(base64.StdEncoding.DecodeString(certificate))
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func asBase64URL(certificate string) string {
	return b64(must(base64.StdEncoding.DecodeString(certificate)))
}

func inLines(certificate string) string {
	return certificate[:64] + "\r\n" + certificate[64:]
}

func numberOf(bits int) string {
	n := new(big.Int).Lsh(big.NewInt(1), uint(bits-1))
	return b64(n.SetBit(n, 0, 1).Bytes())
}

// One bad key of each kind among good ones is skipped and named; the others are used.
func TestBadKeyIsSkipped(t *testing.T) {
	ec := newKey("bad")
	p256 := elliptic.P256().Params()
	for name, bad := range map[string]any{
		"RSA 512 bits":                   with(rsaJWK("bad"), "n", numberOf(512)),
		"RSA 1024 bits":                  with(rsaJWK("bad"), "n", numberOf(1024)),
		"RSA 2047 bits":                  with(rsaJWK("bad"), "n", numberOf(2047)),
		"RSA 8193 bits":                  with(rsaJWK("bad"), "n", numberOf(8193)),
		"RSA 16384 bits":                 with(rsaJWK("bad"), "n", numberOf(16384)),
		"RSA even modulus":               with(rsaJWK("bad"), "n", b64(new(big.Int).Lsh(big.NewInt(1), 2047).Bytes())),
		"RSA ROCA":                       with(rsaJWK("bad"), "n", b64(roca().Bytes())),
		"RSA exponent 1":                 with(rsaJWK("bad"), "e", "AQ"),
		"RSA exponent even":              with(rsaJWK("bad"), "e", "BA"),
		"RSA exponent 2^64+65537":        with(rsaJWK("bad"), "e", b64(new(big.Int).Add(new(big.Int).Lsh(big.NewInt(1), 64), big.NewInt(65537)).Bytes())),
		"RSA exponent 2^31+1":            with(rsaJWK("bad"), "e", b64(big.NewInt(1<<31+1).Bytes())),
		"RSA exponent 0":                 with(rsaJWK("bad"), "e", "AA"),
		"RSA no e":                       with(rsaJWK("bad"), "e", nil),
		"RSA no n":                       with(rsaJWK("bad"), "n", nil),
		"RSA N":                          with(rsaJWK("bad"), "n", nil, "N", rsaJWK("")["n"]),
		"RSA n padded":                   with(rsaJWK("bad"), "n", rsaJWK("")["n"].(string)+"=="),
		"RSA n with line end":            with(rsaJWK("bad"), "n", rsaJWK("")["n"].(string)[:40]+"\n"+rsaJWK("")["n"].(string)[40:]),
		"RSA n standard alphabet":        with(rsaJWK("bad"), "n", "++//"+rsaJWK("")["n"].(string)[4:]),
		"RSA n number":                   with(rsaJWK("bad"), "n", 12345),
		"RSA private":                    with(rsaJWK("bad"), "d", "AQAB"),
		"RSA p":                          with(rsaJWK("bad"), "p", "AQAB"),
		"RSA q":                          with(rsaJWK("bad"), "q", "AQAB"),
		"RSA dp":                         with(rsaJWK("bad"), "dp", "AQAB"),
		"RSA dq":                         with(rsaJWK("bad"), "dq", "AQAB"),
		"RSA qi":                         with(rsaJWK("bad"), "qi", "AQAB"),
		"RSA qi null":                    with(rsaJWK("bad"), "qi", json.RawMessage("null")),
		"EC k":                           with(ec, "k", "AQAB"),
		"AKP priv":                       with(ec, "priv", "AQAB"),
		"RSA oth":                        with(rsaJWK("bad"), "oth", []any{}),
		"RSA use enc":                    with(rsaJWK("bad"), "use", "enc"),
		"RSA use unknown":                with(rsaJWK("bad"), "use", "tls"),
		"RSA use upper case":             with(rsaJWK("bad"), "use", "SIG"),
		"RSA use array":                  with(rsaJWK("bad"), "use", []string{"sig"}),
		"RSA key_ops encrypt":            with(rsaJWK("bad"), "key_ops", []string{"encrypt", "wrapKey"}),
		"RSA key_ops empty":              with(rsaJWK("bad"), "key_ops", []string{}),
		"RSA key_ops string":             with(rsaJWK("bad"), "key_ops", "verify"),
		"RSA alg ES256":                  with(rsaJWK("bad"), "alg", "ES256"),
		"RSA alg RSA-OAEP":               with(rsaJWK("bad"), "alg", "RSA-OAEP"),
		"RSA alg HS256":                  with(rsaJWK("bad"), "alg", "HS256"),
		"RSA alg none":                   with(rsaJWK("bad"), "alg", "none"),
		"RSA alg number":                 with(rsaJWK("bad"), "alg", 256),
		"RSA alg empty":                  with(rsaJWK("bad"), "alg", ""),
		"RSA x5c of another key":         with(rsaJWK("bad"), "x5c", []string{certificate(must(rsa.GenerateKey(rand.Reader, 2048)))}),
		"RSA x5c of another type":        with(rsaJWK("bad"), "x5c", []string{certificate(testEd25519)}),
		"RSA x5c of another, PEM":        with(rsaJWK("bad"), "x5c", []string{asPEM(certificate(testEd25519))}),
		"RSA x5c of another, base64url":  with(rsaJWK("bad"), "x5c", []string{asBase64URL(certificate(testEd25519))}),
		"RSA x5c of another, one string": with(rsaJWK("bad"), "x5c", certificate(testEd25519)),
		"RSA x5c of another, lines":      with(rsaJWK("bad"), "x5c", []string{inLines(certificate(testEd25519))}),
		"EC not on the curve":            with(ec, "y", ec["x"]),
		"EC at infinity":                 with(ec, "x", b64(make([]byte, 32)), "y", b64(make([]byte, 32))),
		"EC coordinate over p":           with(ec, "x", b64(p256.P.Bytes())),
		"EC x short":                     with(ec, "x", b64(make([]byte, 31))),
		"EC x long":                      with(ec, "x", b64(append([]byte{0}, must(base64.RawURLEncoding.DecodeString(ec["x"].(string)))...))),
		"EC y missing":                   with(ec, "y", nil),
		"EC no crv":                      with(ec, "crv", nil),
		"EC secp256k1":                   with(ec, "crv", "secp256k1"),
		"EC other curve":                 with(ec, "crv", "P-384"),
		"EC alg ES384":                   with(ec, "alg", "ES384"),
		"EC private":                     with(ec, "d", ec["x"]),
		"OKP X25519":                     with(edJWK("bad"), "crv", "X25519"),
		"OKP Ed448":                      with(edJWK("bad"), "crv", "Ed448"),
		"OKP short":                      with(edJWK("bad"), "x", b64(make([]byte, 31))),
		"OKP private":                    with(edJWK("bad"), "d", b64(make([]byte, 32))),
		"OKP x5c of another key":         with(edJWK("bad"), "x5c", []string{certificate(testRSA)}),
		"oct":                            jwk{"kty": "oct", "kid": "bad", "k": "c2VjcmV0"},
		"ML-DSA":                         jwk{"kty": "AKP", "kid": "bad", "alg": "ML-DSA-44", "pub": "AAAA"},
		"kty unknown":                    with(ec, "kty", "XX"),
		"kty lower case":                 with(rsaJWK("bad"), "kty", "rsa"),
		"kty missing":                    with(ec, "kty", nil),
		"Kty":                            with(ec, "kty", nil, "Kty", "EC"),
		"kid number":                     with(ec, "kid", 1),
		"kid of 2000 bytes":              with(ec, "kid", strings.Repeat("k", 2000)),
		"null":                           nil,
		"string":                         "EC",
		"array":                          []any{ec},
		"empty":                          jwk{},
		"two keys under one kid (1)":     []jwk{newKey("twice"), newKey("twice")},
	} {
		t.Run(name, func(t *testing.T) {
			list := []any{newKey("good"), bad, rsaJWK("rsa")}
			if two, ok := bad.([]jwk); ok {
				list = []any{newKey("good"), two[0], two[1], rsaJWK("rsa")}
			}
			keys, skipped, err := jwks.Parse([]byte(documentOf(list)))
			if err != nil {
				t.Fatalf("one bad key costs the set: %v", err)
			}
			set, more := verify.NewKeySet(keys)
			skipped = append(skipped, more...)
			if got := strings.Join(set.IDs(), " "); got != "good rsa" {
				t.Errorf("keys are %q", got)
			}
			if len(skipped) != len(list)-2 || skipped[0].Reason == "" {
				t.Errorf("skipped %v", skipped)
			}
		})
	}
}

func documentOf(list []any) string { return `{"keys":` + jsonText(list) + `}` }

// roca makes a modulus with the fingerprint of CVE-2017-15361: a power of 65537
// modulo each small prime.
func roca() *big.Int {
	m := big.NewInt(1)
	for _, p := range []int64{2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101, 103, 107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167} {
		m.Mul(m, big.NewInt(p))
	}
	n := new(big.Int).Exp(big.NewInt(65537), big.NewInt(1<<20+7), m)
	k := new(big.Int).Div(new(big.Int).Lsh(big.NewInt(1), 2047), m)
	return n.Add(n, k.Add(k, big.NewInt(1)).Mul(k, m))
}

// Key sets as issuers publish them are accepted.
func TestGoodKeys(t *testing.T) {
	for name, good := range map[string]jwk{
		"RSA":                    rsaJWK("k"),
		"RSA PS512":              with(rsaJWK("k"), "alg", "PS512"),
		"RSA no alg, no use":     with(rsaJWK("k"), "alg", nil, "use", nil),
		"RSA leading zero":       with(rsaJWK("k"), "n", b64(append([]byte{0}, testRSA.N.Bytes()...))),
		"RSA x5c":                with(rsaJWK("k"), "x5c", []string{certificate(testRSA)}),
		"RSA x5c empty":          with(rsaJWK("k"), "x5c", []string{}),
		"RSA x5t as Auth0 has":   with(rsaJWK("k"), "x5c", []string{certificate(testRSA)}, "x5t", "NTY2MjBCNzQ1RTJDQzk3NzczRTMyQjU0"),
		"RSA x5u not followed":   with(rsaJWK("k"), "x5u", "http://169.254.169.254/"),
		"RSA unknown members":    with(rsaJWK("k"), "issuer", "https://login.example", "nbf", 1),
		"RSA key_ops":            with(rsaJWK("k"), "key_ops", []string{"verify", "x"}),
		"RSA other case ignored": with(rsaJWK("k"), "N", "garbage", "USE", "enc", "D", "AQAB"),
		"EC":                     newKey("k"),
		"EC ES256":               with(newKey("k"), "alg", "ES256"),
		"OKP":                    edJWK("k"),
		"OKP EdDSA":              with(edJWK("k"), "alg", "EdDSA"),
		"OKP Ed25519":            with(edJWK("k"), "alg", "Ed25519"),
		"OKP x5c":                with(edJWK("k"), "alg", "Ed25519", "x5c", []string{certificate(testEd25519)}),
		"no kid":                 with(newKey("k"), "kid", nil),
		"kid empty":              with(newKey("k"), "kid", ""),
	} {
		t.Run(name, func(t *testing.T) {
			keys, skipped, err := jwks.Parse([]byte(document(good)))
			if err != nil || len(skipped) > 0 || len(keys) != 1 {
				t.Fatalf("%v, %v, %v", keys, skipped, err)
			}
			if keys[0].ID != "" && keys[0].ID != "k" {
				t.Errorf("ID %q", keys[0].ID)
			}
			if alg, _ := good["alg"].(string); keys[0].Algorithm != alg {
				t.Errorf("algorithm %q", keys[0].Algorithm)
			}
			if r, ok := keys[0].Public.(*rsa.PublicKey); ok && !r.Equal(&testRSA.PublicKey) {
				t.Error("another RSA key")
			}
			if e, ok := keys[0].Public.(ed25519.PublicKey); ok && !e.Equal(testEd25519.Public()) {
				t.Error("another Ed25519 key")
			}
		})
	}
}

// Documents that are not key sets.
var noKeySets = func() map[string]string {
	good := document(newKey("evil"))
	many := make([]jwk, 0, 1001)
	k := newKey("k")
	for i := range 1001 {
		many = append(many, with(k, "kid", fmt.Sprint(i)))
	}
	return map[string]string{
		"nothing":             "",
		"{}":                  "{}",
		"null":                "null",
		"array":               "[]",
		"string":              `"Keys"`,
		"Keys":                strings.Replace(good, "keys", "Keys", 1),
		"KEYS beside":         `{"KEYS":[],"jwks":[]}`,
		"duplicate keys":      good[:len(good)-1] + `,"keys":[]}`,
		"duplicate by escape": good[:len(good)-1] + `,"\u006beys":[]}`,
		"duplicate in a key":  strings.Replace(good, `"kty"`, `"kid":"x","kty"`, 1),
		"keys object":         `{"keys":{}}`,
		"keys null":           `{"keys":null}`,
		"keys string":         `{"keys":"[]"}`,
		"trailing garbage":    good + "x",
		"two documents":       good + good,
		"truncated":           good[:len(good)-10],
		"BOM":                 "\uFEFF" + good,
		"UTF-16":              "\xff\xfe{\x00",
		"invalid UTF-8":       strings.Replace(good, "evil", "\xff", 1),
		"lone surrogate":      strings.Replace(good, "evil", `\ud800`, 1),
		"too deep":            `{"keys":[` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `]}`,
		"HTML":                "<!doctype html><html><body>Sign in</body></html>",
		"1001 keys":           document(many...),
	}
}()

func TestNoKeySet(t *testing.T) {
	for name, text := range noKeySets {
		t.Run(name, func(t *testing.T) {
			if keys, _, err := jwks.Parse([]byte(text)); err == nil || keys != nil {
				t.Errorf("taken: %v", keys)
			} else if strings.Contains(err.Error(), "evil") || len(err.Error()) > 200 {
				t.Errorf("the error holds the document: %v", err)
			}
		})
	}
}
