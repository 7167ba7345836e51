package jose_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/bearerkit/bearerkit/internal/jose"
	"github.com/bearerkit/bearerkit/internal/strictjson"
)

// The rules of a header and the algorithms are tested through package verify,
// with the vectors of others; here is what verify does not use.

var priv = ed25519.NewKeyFromSeed([]byte("0123456789abcdef0123456789abcdef"))

func sign(header, payload string) string {
	enc := base64.RawURLEncoding.EncodeToString
	text := enc([]byte(header)) + "." + enc([]byte(payload))
	return text + "." + enc(ed25519.Sign(priv, []byte(text)))
}

// A proof's key is in its header.
func TestMember(t *testing.T) {
	token := sign(`{"alg":"EdDSA","typ":"Application/DPoP+jwt","jwk":{"kty":"OKP"},"x":null,"kid":"k"}`, "{}")
	got := map[string]strictjson.Value{}
	r := jose.Reader{Algorithms: jose.Accept("Ed25519"), Member: func(name string, v strictjson.Value) { got[name] = v }}
	for range 2 {
		var j jose.JWS
		if err := r.Read(token, &j); err != nil {
			t.Fatal(err)
		}
		if j.Type != "dpop+jwt" || j.KeyID != "k" || j.Payload != "{}" || j.Algorithm.CheckSize(j.Signature) != nil ||
			!j.Algorithm.Verifies(j.Signed, j.Signature, priv.Public()) {
			t.Errorf("%+v", j)
		}
		if len(got) != 2 || got["jwk"] != `{"kty":"OKP"}` || got["x"] != "null" {
			t.Errorf("members %v", got)
		}
		clear(got)
	}
}

func TestErrors(t *testing.T) {
	good := sign(`{"alg":"EdDSA"}`, "{}")
	for token, want := range map[string]jose.Error{
		"":                                        {Kind: jose.Form},
		"a.b":                                     {Kind: jose.Form},
		good + ".":                                {Kind: jose.Form},
		"." + good:                                {Kind: jose.Form},
		good + "\n":                               {Kind: jose.Form},
		"=" + good:                                {Kind: jose.Form, Part: "header encoding"},
		strings.Replace(good, ".", "=.", 1):       {Kind: jose.Form, Part: "header encoding"},
		strings.Replace(good, ".e", ".=", 1):      {Kind: jose.Form, Part: "claims encoding"},
		good + "=":                                {Kind: jose.Form, Part: "signature encoding"},
		sign(`{"alg":"EdDSA"`, "{}"):              {Kind: jose.Malformed, Part: "header"},
		sign(`{"alg":1}`, "{}"):                   {Kind: jose.Malformed, Part: "alg"},
		sign(`{"alg":"EdDSA","kid":""}`, "{}"):    {Kind: jose.Malformed, Part: "kid"},
		sign(`{"alg":"EdDSA","typ":1}`, "{}"):     {Kind: jose.Malformed, Part: "typ"},
		sign(`{"alg":"EdDSA","crit":[]}`, "{}"):   {Kind: jose.Critical, Part: "crit"},
		sign(`{"alg":"none"}`, "{}"):              {Kind: jose.Alg},
		sign(`{"alg":"RS256"}`, "{}"):             {Kind: jose.Alg},
		sign(`{"alg":"EdDSA","cty":"jwt"}`, "{}"): {Kind: jose.Type, Part: "cty"},
		sign(`{"alg":"EdDSA","typ":""}`, "{}"):    {Kind: jose.Type, Part: "typ"},
	} {
		r := jose.Reader{Algorithms: jose.Accept("EdDSA")}
		var j jose.JWS
		var e jose.Error
		if err := r.Read(token, &j); !errors.As(err, &e) || e != want || e.Error() == "" {
			t.Errorf("%q: %v, want %v", token, err, want)
		}
	}
	var e jose.Error
	if err := jose.AlgorithmOf("ES256").CheckSize(make([]byte, 63)); !errors.As(err, &e) || e.Kind != jose.Signature {
		t.Errorf("%v", err)
	}
}

func TestAccept(t *testing.T) {
	if n := len(jose.Accept()); n != 0 {
		t.Errorf("nothing accepts %d", n)
	}
	for _, name := range []string{"EdDSA", "Ed25519"} {
		if a := jose.Accept(name, "none", "HS256"); len(a) != 2 || a["EdDSA"] == nil || a["EdDSA"] != a["Ed25519"] {
			t.Errorf("%s: %v", name, a)
		}
	}
	if a := jose.Accept(jose.AlgorithmNames()...); len(a) != len(jose.Algorithms)+1 {
		t.Errorf("all: %v", a)
	}
}

// FuzzRead: what is read is a JWS in its one form, and says what a plain reader
// finds in it.
func FuzzRead(f *testing.F) {
	for _, s := range []string{sign(`{"alg":"EdDSA"}`, "{}"), sign(`{"alg":"EdDSA","kid":"a","typ":"at+jwt","jwk":{"a":[1]}}`, `{"a":1}`), "a.b.c", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, token string) {
		var headers jose.Headers
		r := jose.Reader{Algorithms: jose.Accept(jose.AlgorithmNames()...), Headers: &headers}
		var j jose.JWS
		if err := r.Read(token, &j); err != nil {
			var e jose.Error
			if !errors.As(err, &e) || e.Error() == "" {
				t.Fatalf("error %v", err)
			}
			return
		}
		enc := base64.RawURLEncoding.EncodeToString
		header, _, _ := strings.Cut(token, ".")
		if again := header + "." + enc([]byte(j.Payload)) + "." + enc(j.Signature); again != token || !strings.HasPrefix(token, j.Signed+".") {
			t.Fatalf("%q was read as %q", token, again)
		}
		text, _ := base64.RawURLEncoding.DecodeString(header)
		var plain struct{ Alg, Kid string }
		if err := json.Unmarshal(text, &plain); err == nil && (jose.AlgorithmOf(plain.Alg) != j.Algorithm || plain.Kid != j.KeyID) {
			// encoding/json folds case, the reader does not.
			var exact map[string]json.RawMessage
			_ = json.Unmarshal(text, &exact)
			if string(exact["alg"]) == fmt.Sprintf("%q", plain.Alg) && string(exact["kid"]) == fmt.Sprintf("%q", plain.Kid) {
				t.Fatalf("%s: %+v", text, j.Header)
			}
		}
		headers.Learn(&j, time.Unix(0, 0))
		var k jose.JWS
		if err := r.Read(token, &k); err != nil || *k.Header != *j.Header {
			t.Fatalf("remembered: %v, %+v", err, k.Header)
		}
	})
}
