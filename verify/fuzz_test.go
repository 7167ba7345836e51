package verify_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/bearerkit/bearerkit/verify"
)

// canonical demands that a token is the one way to write what it says.
func canonical(t *testing.T, token string) (header, payload []byte) {
	t.Helper()
	segments := strings.Split(token, ".")
	if len(segments) != 3 {
		t.Fatalf("accepted with %d segments: %q", len(segments), token)
	}
	var decoded [3][]byte
	for i, s := range segments {
		b, err := base64.RawURLEncoding.DecodeString(s)
		if err != nil || base64.RawURLEncoding.EncodeToString(b) != s {
			t.Fatalf("accepted with the segment %q, canonically %q (%v)", s, base64.RawURLEncoding.EncodeToString(b), err)
		}
		decoded[i] = b
	}
	return decoded[0], decoded[1]
}

// members reads a JSON object as encoding/json does, with numbers as text: a member that
// nobody reads may have one beyond float64.
func members(t *testing.T, text []byte) (m map[string]any) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&m); err != nil || !json.Valid(text) || m == nil {
		t.Fatalf("accepted: %q (%v)", text, err)
	}
	return m
}

// check verifies a token and demands what holds for every token: an answer
// that is a token or a *verify.Error of the closed set, a second one alike,
// and of what is accepted, that a plain reading finds it acceptable too.
func check(t *testing.T, v *verify.Verifier, token string) {
	t.Helper()
	got, err := v.Verify(t.Context(), token)
	_, again := v.Verify(t.Context(), token)
	var e, f *verify.Error
	if err != nil {
		if got != nil || !errors.As(err, &e) || !slices.Contains(verify.Reasons(), e.Reason) || e.Reason == verify.ErrUnavailable {
			t.Fatalf("%q: %v, %v", token, got, err)
		}
		if !errors.As(again, &f) || f.Reason != e.Reason {
			t.Fatalf("%q: first %v, then %v", token, err, again)
		}
		for _, c := range []byte(e.Description()) {
			if c < ' ' || c > '~' || c == '"' || c == '\\' {
				t.Fatalf("description %q", e.Description())
			}
		}
		// What logs are told of the token is bounded and printable.
		for _, said := range []string{e.Expected(), e.Received()} {
			if len(said) > 1000 || strings.ContainsFunc(said, func(r rune) bool { return r < ' ' || r > '~' }) {
				t.Fatalf("logs are told %q", said)
			}
		}
		return
	}
	if again != nil {
		t.Fatalf("%q: accepted, then %v", token, again)
	}
	header, payload := canonical(t, token)
	h, c := members(t, header), members(t, payload)
	for name, value := range c { // what is null is as good as absent, or refused
		if value == nil {
			delete(c, name)
		}
	}
	alg, _ := h["alg"].(string)
	if !slices.Contains(verify.Algorithms(), alg) {
		t.Errorf("accepted with alg %v", h["alg"])
	}
	for _, name := range []string{"crit", "b64", "zip"} {
		if _, has := h[name]; has {
			t.Errorf("accepted with %s", name)
		}
	}
	typ := "jwt"
	if x, has := h["typ"]; has {
		s, _ := x.(string)
		typ = strings.TrimPrefix(strings.ToLower(s), "application/")
	}
	if typ != "jwt" && typ != "at+jwt" {
		t.Errorf("accepted with typ %v", h["typ"])
	}
	if typ == "jwt" {
		for _, name := range []string{"nonce", "at_hash", "c_hash", "s_hash", "events", "htm", "htu", "token_introspection"} {
			if _, has := c[name]; has {
				t.Errorf("accepted with %s", name)
			}
		}
	}
	number := func(name string, otherwise float64) float64 {
		x, has := c[name]
		if !has {
			return otherwise
		}
		n, _ := x.(json.Number)
		f, err := n.Float64()
		if err != nil {
			return math.NaN() // compares with nothing
		}
		return f
	}
	now := float64(testNow.Unix())
	if !(number("exp", math.NaN()) > now-30) || !(number("nbf", now) <= now+30) || !(number("iat", now) <= now+30) {
		t.Errorf("accepted with exp %v, nbf %v, iat %v", c["exp"], c["nbf"], c["iat"])
	}
	if _, has := c["cnf"]; has {
		t.Error("accepted with cnf")
	}
	if c["iss"] != testIssuer || got.Issuer != testIssuer {
		t.Errorf("accepted with iss %v", c["iss"])
	}
	if sub, _ := c["sub"].(string); sub == "" || got.Subject != sub {
		t.Errorf("accepted with sub %v as %q", c["sub"], got.Subject)
	}
	switch aud := c["aud"].(type) {
	case string:
		if aud != testAudience {
			t.Errorf("accepted with aud %q", aud)
		}
	case []any:
		if !slices.Contains(aud, any(testAudience)) || slices.ContainsFunc(aud, func(a any) bool { _, ok := a.(string); return !ok }) {
			t.Errorf("accepted with aud %v", aud)
		}
	default:
		t.Errorf("accepted with aud %v", aud)
	}
	scope := c["scope"]
	if scope == nil {
		scope = c["scp"]
	}
	want := ""
	switch s := scope.(type) {
	case string:
		want = strings.Trim(s, " ")
	case []any:
		for _, e := range s {
			token, ok := e.(string)
			if !ok || token == "" || strings.ContainsAny(token, " \"\\") {
				t.Errorf("accepted with scope %v", scope)
			}
			want = strings.TrimPrefix(want+" "+token, " ")
		}
	}
	if got.Scope != want || strings.Contains(want, "  ") {
		t.Errorf("scope %v as %q", scope, got.Scope)
	}
	// Claims decodes what encoding/json can decode: all but a number beyond
	// float64.
	var all, plain map[string]any
	if err, want := got.Claims(&all), json.Unmarshal(payload, &plain); (err == nil) != (want == nil) {
		t.Errorf("claims %q: %v, want %v", payload, err, want)
	}
}

// FuzzVerify: any bytes.
func FuzzVerify(f *testing.F) {
	for _, s := range signers {
		good := s.good()
		text, _ := cut(good)
		h, p, _ := strings.Cut(text, ".")
		for _, tok := range []string{good, s.bare(), good + "=", good + "\n", text, text + ".", "." + good, h + "=." + p + ".AA", h + ".." + p} {
			f.Add(tok)
		}
	}
	for _, tok := range []string{"", ".", "..", "...", "a.b.c", "e30.e30.AA", "e30.e30.AB", "eyJhbGciOiJub25lIn0.e30.", "Bearer x"} {
		f.Add(tok)
	}
	v, _ := build(f, nil)
	f.Fuzz(func(t *testing.T, token string) {
		check(t, v, token)
	})
}

// FuzzSigned: any header and claims, signed by the issuer's key, which takes
// the fuzzer past the signature and into what is accepted.
func FuzzSigned(f *testing.F) {
	for _, h := range []string{
		eddsa.header(), eddsa.header("kid", ""), eddsa.header("typ", ""), eddsa.header("typ", `"application/AT+JWT"`), eddsa.header("typ", `"JWT"`),
		eddsa.header("crit", `[]`), eddsa.header("alg", `"Ed25519"`), `{}`, eddsa.header("cty", `"JWT"`), eddsa.header("\u017fid", `1`),
	} {
		f.Add(h, claims())
	}
	for _, c := range []string{
		`{}`, claims("aud", `["x","`+testAudience+`"]`), claims("exp", "1.9e9"), claims("nbf", at(20), "iat", at(20)), claims("exp", at(-31)), claims("nonce", `"n"`),
		claims("cnf", `{}`), claims("act", `{"sub":"a","act":{"sub":"b"}}`), claims("scope", "", "scp", `["a"]`), claims("permissions", `["p"]`), claims("auth_time", "1e300"),
		claims("scope", `["a","b"]`), claims("scope", "null", "scp", `" a "`), claims("nbf", "null", "nonce", "null"), claims("aud", `["\u001b[2J",""]`), claims("jti", "1", "acr", "[]", "auth_time", `"x"`),
		claims("sub", `"\ud83d\ude00"`), claims("Exp", "1"), claims("org_id", `"o"`, "acr", `"1"`, "azp", `"z"`), claims("sub", `"\ud800"`),
	} {
		f.Add(eddsa.header(), c)
	}
	v, _ := build(f, nil)
	f.Fuzz(func(t *testing.T, header, payload string) {
		check(t, v, eddsa.token(header, payload))
	})
}
