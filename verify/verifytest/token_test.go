package verifytest_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bearerkit/bearerkit/verify/verifytest"
)

func TestTokenWithEveryAlgorithm(t *testing.T) {
	s := verifytest.NewInMemory("https://issuer.example")
	defer s.Close()
	want := map[string][2]string{ // kty and crv
		"RS256": {"RSA"}, "RS384": {"RSA"}, "RS512": {"RSA"}, "PS256": {"RSA"}, "PS384": {"RSA"}, "PS512": {"RSA"},
		"ES256": {"EC", "P-256"}, "ES384": {"EC", "P-384"}, "ES512": {"EC", "P-521"},
		"EdDSA": {"OKP", "Ed25519"}, "Ed25519": {"OKP", "Ed25519"},
	}
	if got := verifytest.Algorithms(); !slices.Equal(slices.Sorted(slices.Values(got)), slices.Sorted(maps.Keys(want))) {
		t.Fatalf("Algorithms() = %v", got)
	}
	for _, alg := range verifytest.Algorithms() {
		t.Run(alg, func(t *testing.T) {
			token := s.Token(nil, verifytest.WithAlgorithm(alg))
			header, _, signed, signature := parts(t, token)
			if header["alg"] != alg {
				t.Errorf("alg = %v", header["alg"])
			}
			if err := checkPublished(t, s, token); err != nil {
				t.Error(err)
			}
			if again, _, _, _ := parts(t, s.Token(nil, verifytest.WithAlgorithm(alg))); again["kid"] != header["kid"] {
				t.Error("the second token has another key")
			}
			for _, jwk := range keySet(t, s) {
				if jwk["kid"] != header["kid"] {
					continue
				}
				if crv, _ := jwk["crv"].(string); jwk["kty"] != want[alg][0] || crv != want[alg][1] || jwk["use"] != "sig" {
					t.Errorf("JWK %v", jwk)
				}
				for _, private := range []string{"d", "p", "q", "dp", "dq", "qi", "k"} {
					if jwk[private] != nil {
						t.Errorf("the JWK shows %q", private)
					}
				}
				signature[0] ^= 1
				if check(alg, publicKey(t, jwk), signed, signature) == nil {
					t.Error("the check of this test takes any signature")
				}
			}
		})
	}
}

func TestTokenDefaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // the clock stands still in here
		s := verifytest.NewInMemory("https://issuer.example/")
		defer s.Close()
		now := time.Now()
		header, claims, _, _ := parts(t, s.Token(nil))
		if len(header) != 3 || header["alg"] != "ES256" || header["typ"] != "at+jwt" || header["kid"] != s.Key().ID {
			t.Errorf("header %v", header)
		}
		jti, _ := claims["jti"].(string)
		want := map[string]any{
			"iss": "https://issuer.example/", "aud": s.Audience(), "sub": "user_1", "client_id": "client_1", "jti": jti,
			"iat": number(now.Unix()), "exp": number(now.Add(verifytest.TokenLifetime).Unix()),
		}
		if jti == "" || !maps.Equal(claims, want) {
			t.Errorf("claims %v, want %v", claims, want)
		}
		if _, again, _, _ := parts(t, s.Token(nil)); again["jti"] == jti {
			t.Error("two tokens with one jti")
		}
	})
}

func number(n int64) json.Number { return json.Number(string(must(json.Marshal(n)))) }

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestTokenWithClaimsAndHeader(t *testing.T) {
	s := verifytest.NewInMemory("https://issuer.example")
	defer s.Close()
	given := verifytest.Claims{
		"sub": nil, "aud": []string{"a", "b"}, "exp": time.Unix(1700000000, 999), "scope": "orders:read",
		"iat": json.RawMessage("1.7e9"), "jti": json.RawMessage("null"), "absent": nil,
	}
	kept := maps.Clone(given)
	token := s.Token(given,
		verifytest.WithHeader(map[string]any{"typ": nil, "alg": "ES384", "crit": []string{"x"}}),
		verifytest.WithHeader(map[string]any{"cty": "JWT"}))
	if len(given) != len(kept) {
		t.Errorf("the caller's claims became %v", given)
	}
	text := func(i int) string { return string(decode(t, strings.Split(token, ".")[i])) }
	if want := `{"alg":"ES384","crit":["x"],"cty":"JWT","kid":"` + s.Key().ID + `"}`; text(0) != want {
		t.Errorf("header %s, want %s", text(0), want)
	}
	want := `{"aud":["a","b"],"client_id":"client_1","exp":1700000000,"iat":1.7e9,"iss":"https://issuer.example","jti":null,"scope":"orders:read"}`
	if text(1) != want {
		t.Errorf("claims %s, want %s", text(1), want)
	}
	_, _, signed, signature := parts(t, token)
	if err := check("ES256", s.Key().Public(), signed, signature); err != nil {
		t.Errorf("a header changed the signature: %v", err)
	}
}

func TestTokenWithKey(t *testing.T) {
	s := verifytest.NewInMemory("https://issuer.example")
	defer s.Close()
	foreign := verifytest.NewKey("EdDSA")
	header, _, signed, signature := parts(t, s.Token(nil, verifytest.WithKey(foreign)))
	if header["alg"] != "EdDSA" || header["kid"] != foreign.ID {
		t.Errorf("header %v", header)
	}
	if err := check("EdDSA", foreign.Public(), signed, signature); err != nil {
		t.Error(err)
	}
	if kids(t, s) != s.Key().ID {
		t.Error("the foreign key was published")
	}

	rsaKey := verifytest.NewKey("RS256")
	_, _, signed, signature = parts(t, s.Token(nil, verifytest.WithKey(rsaKey), verifytest.WithAlgorithm("PS384")))
	if err := check("PS384", rsaKey.Public(), signed, signature); err != nil {
		t.Error(err)
	}
	if rsaKey.Algorithm != "RS256" {
		t.Error("the caller's key was changed")
	}
	nameless := &verifytest.Key{Private: rsaKey.Private}
	header, _, signed, signature = parts(t, s.Token(nil, verifytest.WithKey(nameless)))
	if _, there := header["kid"]; there || header["alg"] != "RS256" {
		t.Errorf("header %v", header)
	}
	if err := check("RS256", rsaKey.Public(), signed, signature); err != nil {
		t.Error(err)
	}
	if jwk := nameless.JWK(); jwk["kid"] != nil || jwk["alg"] != nil {
		t.Errorf("JWK %v", jwk)
	}
}

func TestKeyDefaultAlgorithm(t *testing.T) {
	for _, alg := range []string{"RS256", "ES256", "ES384", "ES512", "EdDSA"} {
		k := verifytest.NewKey(alg)
		k.Algorithm = ""
		if err := check(alg, k.Public(), "text", k.Signature([]byte("text"))); err != nil {
			t.Errorf("%s: %v", alg, err)
		}
	}
}

// A signature with the right hash by a key on the wrong curve is an attack
// that tests need.
func TestSignatureOnAnotherCurve(t *testing.T) {
	k := verifytest.NewKey("ES256")
	k.Algorithm = "ES384"
	if err := check("ES384", k.Public(), "text", k.Signature([]byte("text"))); err != nil {
		t.Error(err)
	}
}

func TestSignAndForge(t *testing.T) {
	k := verifytest.NewKey("ES256")
	const header, payload = `{"alg":"ES256","alg" :"none"}`, "\xff not JSON"
	token := k.Sign(header, payload)
	p := strings.Split(token, ".")
	if string(decode(t, p[0])) != header || string(decode(t, p[1])) != payload {
		t.Errorf("token %q", token)
	}
	if err := check("ES256", k.Public(), p[0]+"."+p[1], decode(t, p[2])); err != nil {
		t.Error(err)
	}

	mac := func(text []byte) []byte {
		h := hmac.New(sha256.New, []byte("secret"))
		h.Write(text)
		return h.Sum(nil)
	}
	p = strings.Split(verifytest.Forge(`{"alg":"HS256"}`, `{}`, mac), ".")
	if string(decode(t, p[0])) != `{"alg":"HS256"}` || !hmac.Equal(decode(t, p[2]), mac([]byte(p[0]+"."+p[1]))) {
		t.Error("Forge did not use the signature that it was given")
	}
}

// The coordinates of one key in 256 begin with a zero byte, and it must not
// get lost; publicKey checks the length.
func TestJWKKeepsLeadingZeros(t *testing.T) {
	for {
		private := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
		if must(private.PublicKey.Bytes())[1] != 0 {
			continue
		}
		jwk := (&verifytest.Key{Private: private}).JWK()
		if public := publicKey(t, jwk); !private.PublicKey.Equal(public) {
			t.Error("the JWK has another key")
		}
		return
	}
}

func TestMisuse(t *testing.T) {
	s := verifytest.NewInMemory("https://issuer.example")
	defer s.Close()
	for name, f := range map[string]func(){
		"unknown algorithm": func() { s.Token(nil, verifytest.WithAlgorithm("HS256")) },
		"new key":           func() { verifytest.NewKey("none") },
		"key does not fit": func() {
			s.Token(nil, verifytest.WithKey(verifytest.NewKey("ES256")), verifytest.WithAlgorithm("RS256"))
		},
		"claim":                 func() { s.Token(verifytest.Claims{"f": func() {}}) },
		"unknown endpoint":      func() { s.Requests("token") },
		"replace unknown":       func() { s.Replace("nobody") },
		"metadata of key set":   func() { s.SetMetadata(verifytest.JWKS, nil) },
		"issuer without host":   func() { verifytest.NewInMemory("issuer.example") },
		"issuer with a query":   func() { verifytest.NewInMemory("https://issuer.example?a=b") },
		"issuer of odd scheme":  func() { verifytest.NewInMemory("ftp://issuer.example") },
		"publish not marshaled": func() { s.Publish(make(chan int)) },
	} {
		if !panics(f) {
			t.Errorf("%s: no panic", name)
		}
	}
	if s.Token(nil) == "" || get(t, s, verifytest.JWKS).status != 200 {
		t.Error("a misuse left its mark")
	}
}
