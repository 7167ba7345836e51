package verifytest_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/bearerkit/bearerkit/verify/verifytest"
)

// onBoth runs a test with a server on a socket and with one in memory: they
// must not differ.
func onBoth(t *testing.T, test func(t *testing.T, s *verifytest.Server)) {
	t.Helper()
	t.Run("socket", func(t *testing.T) {
		s := verifytest.NewServer()
		defer s.Close()
		test(t, s)
	})
	t.Run("memory", func(t *testing.T) {
		s := verifytest.NewInMemory("https://issuer.example/tenant")
		defer s.Close()
		test(t, s)
	})
}

type answer struct {
	status int
	header http.Header
	body   string
}

func (a answer) json(t *testing.T) map[string]any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal([]byte(a.body), &v); err != nil {
		t.Fatalf("body %q: %v", a.body, err)
	}
	return v
}

func do(t *testing.T, s *verifytest.Server, method, url, body string, header ...string) (answer, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	res, err := s.Client().Do(req)
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	return answer{res.StatusCode, res.Header, string(text)}, err
}

func get(t *testing.T, s *verifytest.Server, e verifytest.Endpoint, header ...string) answer {
	t.Helper()
	a, err := do(t, s, http.MethodGet, s.URL(e), "", header...)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// keySet gets the key set as it is published.
func keySet(t *testing.T, s *verifytest.Server) []map[string]any {
	t.Helper()
	var set struct{ Keys []map[string]any }
	if err := json.Unmarshal([]byte(get(t, s, verifytest.JWKS).body), &set); err != nil {
		t.Fatal(err)
	}
	return set.Keys
}

func kids(t *testing.T, s *verifytest.Server) string {
	t.Helper()
	var ids []string
	for _, jwk := range keySet(t, s) {
		ids = append(ids, fmt.Sprint(jwk["kid"]))
	}
	return strings.Join(ids, " ")
}

func decode(t *testing.T, s string) []byte {
	t.Helper()
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil {
		t.Fatalf("%q is not base64url: %v", s, err)
	}
	return b
}

func parts(t *testing.T, token string) (header, claims map[string]any, signed string, signature []byte) {
	t.Helper()
	p := strings.Split(token, ".")
	if len(p) != 3 {
		t.Fatalf("a token of %d parts", len(p))
	}
	for i, v := range []*map[string]any{&header, &claims} {
		d := json.NewDecoder(bytes.NewReader(decode(t, p[i])))
		d.UseNumber()
		if err := d.Decode(v); err != nil {
			t.Fatal(err)
		}
	}
	return header, claims, p[0] + "." + p[1], decode(t, p[2])
}

// publicKey reads a JWK by nothing but the RFCs and the standard library.
func publicKey(t *testing.T, jwk map[string]any) crypto.PublicKey {
	t.Helper()
	member := func(name string) []byte {
		s, ok := jwk[name].(string)
		if !ok {
			t.Fatalf("JWK without %q: %v", name, jwk)
		}
		return decode(t, s)
	}
	switch jwk["kty"] {
	case "RSA":
		return &rsa.PublicKey{N: new(big.Int).SetBytes(member("n")), E: int(new(big.Int).SetBytes(member("e")).Int64())}
	case "EC":
		curve := map[any]elliptic.Curve{"P-256": elliptic.P256(), "P-384": elliptic.P384(), "P-521": elliptic.P521()}[jwk["crv"]]
		if curve == nil {
			t.Fatalf("curve %v", jwk["crv"])
		}
		x, y := member("x"), member("y")
		if size := (curve.Params().BitSize + 7) / 8; len(x) != size || len(y) != size {
			t.Errorf("coordinates of %d and %d bytes, want %d (RFC 7518 section 6.2.1.2)", len(x), len(y), size)
		}
		key, err := ecdsa.ParseUncompressedPublicKey(curve, append(append([]byte{4}, x...), y...))
		if err != nil {
			t.Fatal(err)
		}
		return key
	case "OKP":
		if x := member("x"); jwk["crv"] == "Ed25519" && len(x) == ed25519.PublicKeySize {
			return ed25519.PublicKey(x)
		}
	}
	t.Fatalf("no key: %v", jwk)
	return nil
}

// check verifies a signature with the standard library.
func check(alg string, public crypto.PublicKey, signed string, signature []byte) error {
	var hash crypto.Hash
	var digest []byte
	switch alg[len(alg)-3:] {
	case "256":
		d := sha256.Sum256([]byte(signed))
		hash, digest = crypto.SHA256, d[:]
	case "384":
		d := sha512.Sum384([]byte(signed))
		hash, digest = crypto.SHA384, d[:]
	case "512":
		d := sha512.Sum512([]byte(signed))
		hash, digest = crypto.SHA512, d[:]
	}
	bad := errors.New("the signature is not valid")
	switch p := public.(type) {
	case *rsa.PublicKey:
		if strings.HasPrefix(alg, "PS") {
			return rsa.VerifyPSS(p, hash, digest, signature, &rsa.PSSOptions{SaltLength: hash.Size(), Hash: hash})
		}
		return rsa.VerifyPKCS1v15(p, hash, digest, signature)
	case *ecdsa.PublicKey:
		n := len(signature) / 2
		if n != (p.Curve.Params().BitSize+7)/8 || len(signature)%2 != 0 {
			return errors.New("the signature has the wrong length")
		}
		if !ecdsa.Verify(p, digest, new(big.Int).SetBytes(signature[:n]), new(big.Int).SetBytes(signature[n:])) {
			return bad
		}
		return nil
	case ed25519.PublicKey:
		if !ed25519.Verify(p, []byte(signed), signature) {
			return bad
		}
		return nil
	}
	return fmt.Errorf("key %T", public)
}

// checkPublished verifies a token with the published key that it names.
func checkPublished(t *testing.T, s *verifytest.Server, token string) error {
	t.Helper()
	header, _, signed, signature := parts(t, token)
	for _, jwk := range keySet(t, s) {
		if jwk["kid"] == header["kid"] && jwk["alg"] == header["alg"] {
			return check(header["alg"].(string), publicKey(t, jwk), signed, signature)
		}
	}
	return errors.New("the key is not published")
}

// panics reports whether f does.
func panics(f func()) (did bool) {
	defer func() { did = recover() != nil }()
	f()
	return
}
