package dpop_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"strings"
	"testing"

	"github.com/bearerkit/bearerkit/verify/dpop"
)

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// Vectors of the RFCs.
const (
	rfc7638RSA = `{"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw","e":"AQAB","alg":"RS256","kid":"2011-04-29"}`
	rfc8037    = `{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`
	rfc9449    = `{"kty":"EC","x":"l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs","y":"9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA","crv":"P-256"}`
)

func TestJWKThumbprintVectors(t *testing.T) {
	for _, c := range []struct{ name, jwk, alg, want string }{
		{"RFC 7638 section 3.1", rfc7638RSA, "RS256", "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"},
		{"RFC 8037 appendix A.3", rfc8037, "EdDSA", "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"},
		{"RFC 8037 appendix A.3, by RFC 9864", rfc8037, "Ed25519", "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"},
		{"RFC 9449 section 4.1", rfc9449, "ES256", "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"},
		{"with an escaped letter", strings.Replace(rfc9449, `"l8tF`, `"\u006c8tF`, 1), "ES256", "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"},
	} {
		public, got, err := dpop.ParseJWK(c.jwk, c.alg)
		if err != nil || got != c.want {
			t.Errorf("%s: %s, %v", c.name, got, err)
			continue
		}
		if again, err := dpop.Thumbprint(public); err != nil || again != c.want {
			t.Errorf("%s: the key has %s, %v", c.name, again, err)
		}
	}
}

type members = map[string]any

// with returns a copy of a JWK with members changed, or left out if they are nil.
func with(jwk members, changes members) string {
	c := maps.Clone(jwk)
	for name, value := range changes {
		if value == nil {
			delete(c, name)
		} else {
			c[name] = value
		}
	}
	text, err := json.Marshal(c)
	if err != nil {
		panic(err)
	}
	return string(text)
}

func ecJWK(t testing.TB, curve elliptic.Curve) members {
	t.Helper()
	k, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p, err := k.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	n := (len(p) - 1) / 2
	return members{"kty": "EC", "crv": curve.Params().Name, "x": b64(p[1 : 1+n]), "y": b64(p[1+n:])}
}

func rsaJWK(t testing.TB, bits int) members {
	t.Helper()
	// A modulus need not be a product of two primes to be read.
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), uint(bits-1)))
	if err != nil {
		t.Fatal(err)
	}
	n.SetBit(n, bits-1, 1)
	n.SetBit(n, 0, 1)
	return members{"kty": "RSA", "n": b64(n.Bytes()), "e": "AQAB"}
}

func TestJWK(t *testing.T) {
	p256, p384, p521 := ecJWK(t, elliptic.P256()), ecJWK(t, elliptic.P384()), ecJWK(t, elliptic.P521())
	r := rsaJWK(t, 2048)
	ed, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	okp := members{"kty": "OKP", "crv": "Ed25519", "x": b64(ed)}
	x, _ := base64.RawURLEncoding.DecodeString(p256["x"].(string))
	n, _ := base64.RawURLEncoding.DecodeString(r["n"].(string))
	offCurve := append([]byte(nil), x...)
	offCurve[31] ^= 1
	for _, c := range []struct {
		name, jwk, alg string
		want           string // of the error; empty if it is good
	}{
		{"P-256", with(p256, nil), "ES256", ""},
		{"P-384", with(p384, nil), "ES384", ""},
		{"P-521", with(p521, nil), "ES512", ""},
		{"RSA", with(r, nil), "PS256", ""},
		{"RSA of 4096 bits", with(rsaJWK(t, 4096), nil), "RS512", ""},
		{"RSA of 3", with(r, members{"e": "Aw"}), "RS256", ""},
		{"Ed25519", with(okp, nil), "EdDSA", ""},
		{"kid, x5c, jku, unknown", with(p256, members{"kid": 1, "x5c": "x", "jku": "https://evil.example", "foo": members{}}), "ES256", ""},
		{"use sig", with(p256, members{"use": "sig"}), "ES256", ""},
		{"its alg", with(p256, members{"alg": "ES256"}), "ES256", ""},
		{"its alg by another name", with(okp, members{"alg": "Ed25519"}), "EdDSA", ""},
		{"key_ops verify", with(p256, members{"key_ops": []string{"verify"}, "ext": true}), "ES256", ""},
		{"key_ops empty, as browsers have them", with(p256, members{"key_ops": []string{}, "ext": true}), "ES256", ""},

		{"not an object", `"x"`, "ES256", "object"},
		{"null", `null`, "ES256", "object"},
		{"array", `[]`, "ES256", "object"},
		{"empty", `{}`, "ES256", "type"},
		{"kty missing", with(p256, members{"kty": nil}), "ES256", "type"},
		{"kty a number", with(p256, members{"kty": 1}), "ES256", "object"},
		{"kty in lower case", with(p256, members{"kty": "ec"}), "ES256", "type"},
		{"oct", `{"kty":"oct","k":"AAAA"}`, "HS256", "private"},
		{"oct without k", `{"kty":"oct"}`, "HS256", "type"},
		{"crv missing", with(p256, members{"crv": nil}), "ES256", "type"},
		{"secp256k1", with(p256, members{"crv": "secp256k1"}), "ES256", "type"},
		{"ES256K", with(p256, members{"crv": "secp256k1"}), "ES256K", "type"},
		{"another curve than the algorithm's", with(p384, nil), "ES256", "type"},
		{"another type than the algorithm's", with(r, nil), "ES256", "type"},
		{"RSA by EdDSA", with(r, nil), "EdDSA", "type"},
		{"Ed25519 by ES256", with(okp, nil), "ES256", "type"},
		{"Ed448", with(okp, members{"crv": "Ed448"}), "EdDSA", "type"},
		{"X25519", with(okp, members{"crv": "X25519"}), "EdDSA", "type"},
		{"none", with(p256, nil), "none", "type"},
		{"no alg", with(p256, nil), "", "type"},
		{"use enc", with(p256, members{"use": "enc"}), "ES256", "another use"},
		{"use a number", with(p256, members{"use": 1}), "ES256", "object"},
		{"key_ops sign", with(p256, members{"key_ops": []string{"sign"}}), "ES256", "another use"},
		{"key_ops a string", with(p256, members{"key_ops": "verify"}), "ES256", "another use"},
		{"alg of another", with(r, members{"alg": "RS256"}), "PS256", "another use"},
		{"alg null", strings.Replace(with(p256, members{"alg": "z"}), `"z"`, "null", 1), "ES256", "object"},
		{"a member in another case", strings.Replace(with(p256, nil), `"x"`, `"X"`, 1), "ES256", "member"},

		{"x missing", with(p256, members{"x": nil}), "ES256", "member"},
		{"y missing", with(p256, members{"y": nil}), "ES256", "member"},
		{"x a number", with(p256, members{"x": 1}), "ES256", "object"},
		{"x empty", with(p256, members{"x": ""}), "ES256", "member"},
		{"x one byte short", with(p256, members{"x": b64(x[1:])}), "ES256", "member"},
		{"x one byte long", with(p256, members{"x": b64(append([]byte{0}, x...))}), "ES256", "member"},
		{"x padded", with(p256, members{"x": p256["x"].(string) + "="}), "ES256", "member"},
		{"x with a line end", with(p256, members{"x": "\n" + p256["x"].(string)[1:]}), "ES256", "member"},
		{"x with its last bits set", with(p256, members{"x": lastBits(p256["x"].(string))}), "ES256", "member"},
		{"x with standard base64", with(p256, members{"x": strings.Repeat("+", 43)}), "ES256", "member"},
		{"not on the curve", with(p256, members{"x": b64(offCurve)}), "ES256", "valid"},
		{"zero", with(p256, members{"x": b64(make([]byte, 32)), "y": b64(make([]byte, 32))}), "ES256", "valid"},
		{"beyond the field", with(p256, members{"x": b64([]byte(strings.Repeat("\xff", 32)))}), "ES256", "valid"},
		{"Ed25519 short", with(okp, members{"x": b64(ed[1:])}), "EdDSA", "member"},
		{"n missing", with(r, members{"n": nil}), "RS256", "member"},
		{"e missing", with(r, members{"e": nil}), "RS256", "member"},
		{"n with a leading zero", with(r, members{"n": b64(append([]byte{0}, n...))}), "RS256", "member"},
		{"e with a leading zero", with(r, members{"e": "AAEAAQ"}), "RS256", "member"},
		{"e of one", with(r, members{"e": "AQ"}), "RS256", "valid"},
		{"e even", with(r, members{"e": "AQAA"}), "RS256", "valid"},
		{"e of 2^31+1", with(r, members{"e": "gAAAAQ"}), "RS256", "valid"},
		{"e of five bytes", with(r, members{"e": "AQAAAAE"}), "RS256", "member"},
		{"n even", with(r, members{"n": b64(append(append([]byte(nil), n[:255]...), 0xfe))}), "RS256", "valid"},
		{"RSA of 1024 bits", with(rsaJWK(t, 1024), nil), "RS256", "valid"},
		{"RSA of 2047 bits", with(rsaJWK(t, 2047), nil), "RS256", "valid"},
		{"RSA of 4097 bits", with(rsaJWK(t, 4097), nil), "RS256", "member"},
		{"RSA of 16384 bits", with(rsaJWK(t, 16384), nil), "RS256", "member"},
	} {
		t.Run(c.name, func(t *testing.T) {
			public, thumbprint, err := dpop.ParseJWK(c.jwk, c.alg)
			switch {
			case c.want == "" && err != nil:
				t.Error(err)
			case c.want == "":
				if again, err := dpop.Thumbprint(public); err != nil || again != thumbprint {
					t.Errorf("thumbprint %s of the text, %s of the key, %v", thumbprint, again, err)
				}
			case err == nil || !strings.Contains(err.Error(), c.want):
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
	for _, name := range []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"} {
		for kind, c := range map[string]struct {
			jwk members
			alg string
		}{"EC": {p256, "ES256"}, "RSA": {r, "RS256"}, "OKP": {okp, "EdDSA"}} {
			for _, value := range []any{"AQAB", "", 1, false, []string{}} {
				if _, _, err := dpop.ParseJWK(with(c.jwk, members{name: value}), c.alg); err == nil || !strings.Contains(err.Error(), "private") {
					t.Errorf("%s with %s of %v: %v", kind, name, value, err)
				}
			}
		}
	}
}

// lastBits sets the bits of an encoding that decode to nothing.
func lastBits(s string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	i := strings.IndexByte(alphabet, s[len(s)-1])
	return s[:len(s)-1] + string(alphabet[i|1])
}

func TestThumbprintOfOthers(t *testing.T) {
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []any{nil, "x", []byte("secret"), ed25519.PublicKey("short"), &p224.PublicKey, p224} {
		if got, err := dpop.Thumbprint(key); err == nil {
			t.Errorf("%T: %s", key, got)
		}
	}
	public := &rsa.PublicKey{N: big.NewInt(1<<40 + 1), E: 65537}
	if got, err := dpop.Thumbprint(public); err != nil || len(got) != 43 {
		t.Errorf("%s, %v", got, err)
	}
}

func FuzzJWK(f *testing.F) {
	f.Add(rfc7638RSA, "RS256")
	f.Add(rfc8037, "EdDSA")
	f.Add(rfc9449, "ES256")
	f.Add(`{"kty":"EC","crv":"P-256","x":"","y":"","d":null}`, "ES256")
	f.Fuzz(func(t *testing.T, text, alg string) {
		public, thumbprint, err := dpop.ParseJWK(text, alg)
		if err != nil {
			return
		}
		if again, err := dpop.Thumbprint(public); err != nil || again != thumbprint {
			t.Fatalf("%q: thumbprint %s of the text, %s of the key, %v", text, thumbprint, again, err)
		}
	})
}

func ExampleThumbprint() {
	x, _ := base64.RawURLEncoding.DecodeString("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo")
	jkt, err := dpop.Thumbprint(ed25519.PublicKey(x))
	fmt.Println(jkt, err)
	// Output: kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k <nil>
}
