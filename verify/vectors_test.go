package verify_test

import (
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"os"
	"strings"
	"testing"

	"github.com/bearerkit/bearerkit/verify"
	"github.com/bearerkit/bearerkit/verify/jwks"
)

// rfcVectors are the examples of the RFCs, each under its section's name.
type rfcVectors struct {
	Signatures []struct {
		Section string
		Keys    []json.RawMessage
		// JWS is a string, or an object if the example has the JSON
		// serialization, which no bearer token has.
		JWS json.RawMessage
		// Skipped is why the first key does not get into the set.
		Skipped string
		Refusal verify.Reason // empty: accepted
	}
	Thumbprints []struct {
		Section    string
		Key        json.RawMessage
		Thumbprint string
	}
}

func readRFC(t *testing.T) (v rfcVectors) {
	t.Helper()
	text, err := os.ReadFile("testdata/rfc.json")
	if err == nil {
		err = json.Unmarshal(text, &v)
	}
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// parseKeys reads JWKs as the kit reads an issuer's, through jwks.Parse, and
// says which it would not have.
func parseKeys(t *testing.T, list ...json.RawMessage) ([]verify.Key, []verify.SkippedKey) {
	t.Helper()
	keys, skipped, err := jwks.Parse(must(json.Marshal(map[string]any{"keys": list})))
	if err != nil {
		t.Fatalf("key set: %v", err)
	}
	return keys, skipped
}

// tokenOf is the text that a caller would send after "Bearer ": the string, or
// the JSON text of what is none.
func tokenOf(jws json.RawMessage) string {
	var s string
	if json.Unmarshal(jws, &s) == nil {
		return s
	}
	return string(jws)
}

// reasonOf is the reason of a refusal, and empty for an acceptance.
func reasonOf(t *testing.T, err error) verify.Reason {
	t.Helper()
	var e *verify.Error
	if err != nil && !errors.As(err, &e) {
		t.Fatalf("error %v (%T), want a *verify.Error", err, err)
	}
	if e == nil {
		return ""
	}
	return e.Reason
}

func TestRFCSignatures(t *testing.T) {
	accepted, refused := 0, 0
	for _, v := range readRFC(t).Signatures {
		t.Run(v.Section, func(t *testing.T) {
			keys, skipped := parseKeys(t, v.Keys...)
			source := jwks.Static(keys...)
			switch {
			case v.Skipped == "" && len(skipped) > 0, v.Skipped != "" && (len(skipped) != 1 || skipped[0].Reason != v.Skipped):
				t.Errorf("skipped %v, want %q", skipped, v.Skipped)
			}
			token := tokenOf(v.JWS)
			if got := reasonOf(t, verify.CheckJWS(token, source)); got != v.Refusal {
				t.Fatalf("answer %q, want %q", got, v.Refusal)
			}
			if v.Refusal != "" {
				refused++
				return
			}
			accepted++
			// With a character of it replaced it is another token.
			for i := 0; i < len(token); i += 29 {
				if token[i] == '.' {
					continue
				}
				c := byte('A')
				if token[i] == c {
					c = 'B'
				}
				if verify.CheckJWS(token[:i]+string(c)+token[i+1:], source) == nil {
					t.Errorf("accepted with character %d replaced", i)
				}
			}
			if verify.CheckJWS(token, jwks.Static(rs256.key(), ps384.key(), es256.key(), es512.key(), eddsa.key())) == nil {
				t.Error("accepted with keys of another issuer")
			}
		})
	}
	if accepted != 7 || refused != 10 {
		t.Errorf("%d accepted and %d refused, want 7 and 10", accepted, refused)
	}
}

// A thumbprint (RFC 7638) is made of the key that was parsed, so that it
// differs if the key does.
func TestRFCThumbprints(t *testing.T) {
	n := 0
	for _, v := range readRFC(t).Thumbprints {
		t.Run(v.Section, func(t *testing.T) {
			n++
			keys, skipped := parseKeys(t, v.Key)
			if len(skipped) > 0 || len(keys) != 1 {
				t.Fatalf("keys %v, skipped %v", keys, skipped)
			}
			var text string
			switch k := keys[0].Public.(type) {
			case *rsa.PublicKey:
				text = fmt.Sprintf(`{"e":%q,"kty":"RSA","n":%q}`, b64(big.NewInt(int64(k.E)).Bytes()), b64(k.N.Bytes()))
			case ed25519.PublicKey:
				text = fmt.Sprintf(`{"crv":"Ed25519","kty":"OKP","x":%q}`, b64(k))
			default:
				t.Fatalf("key is a %T", k)
			}
			sum := sha256.Sum256([]byte(text))
			if got := b64(sum[:]); got != v.Thumbprint {
				t.Errorf("thumbprint %s, want %s", got, v.Thumbprint)
			}
			if strings.HasPrefix(v.Section, "RFC 7638") && (keys[0].ID != "2011-04-29" || keys[0].Algorithm != "RS256") {
				t.Errorf("key %q for %q", keys[0].ID, keys[0].Algorithm)
			}
		})
	}
	if n != 2 {
		t.Errorf("%d thumbprints, want 2", n)
	}
}
