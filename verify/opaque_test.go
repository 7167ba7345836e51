package verify_test

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"

	"github.com/bearerkit/bearerkit/verify"
)

// However somebody spells the first segment of a JWS, and whatever is put behind
// its last one, it has to pass as a JWS and is not shown to a server that says
// active to everything.
func TestRespelledJWSIsNotOpaque(t *testing.T) {
	a := &asker{claims: answer()}
	v, _ := asking(t, a, nil)
	for _, header := range []string{
		es256.header(), " \t\r\n" + es256.header(), "\ufeff" + es256.header(), es256.header("x", `"é?>~ÿ"`),
		es256.header(strings.Repeat("A", 200), "1"), "{\n    " + es256.header()[1:],
	} {
		segments := strings.Split(es256.token(header, claims("sub", `"user-2"`, "cnf", `{"jkt":"x"}`)), ".")
		first, rest := segments[0], segments[1:]
		spellings := []string{
			first, first + "=", first + "==", first + "A", first + "+", first + "/", first + "~~",
			strings.NewReplacer("-", "+", "_", "/").Replace(first),
			base64.URLEncoding.EncodeToString([]byte(header)), base64.StdEncoding.EncodeToString([]byte(header)),
		}
		for i := 1; i < len(first); i += 7 {
			spellings = append(spellings, first[:i]+"="+first[i:], first[:i]+"~"+first[i:])
		}
		for _, s := range spellings {
			for _, token := range []string{
				s + "." + rest[0], s + "." + rest[0] + ".", s + ".." + rest[1], strings.Join([]string{s, rest[0], rest[1]}, "."),
				strings.Join([]string{s, rest[0], rest[1], ""}, "."), strings.Join([]string{s, rest[0], rest[1], "AA"}, "."),
				strings.Join([]string{s, rest[0], rest[1], "AA", "AA"}, "."), strings.Join([]string{s, rest[0], rest[1], "AA", "AA", "AA"}, "."),
			} {
				if _, err := v.Verify(t.Context(), token); err == nil {
					t.Errorf("accepted: %q", token)
				}
				if n := len(a.asked()); n > 0 {
					t.Errorf("asked about %q", token)
				}
			}
		}
	}
}

// Without introspection the refusal says what the token is.
func TestWhatIsNotAJWT(t *testing.T) {
	none, _ := build(t, nil)
	several := func() *verify.Verifier {
		v, err := verify.New(verify.Config{Issuers: []verify.Issuer{
			{Issuer: testIssuer, Audience: []string{testAudience}, Keys: &source{set: published(es256)}, Introspection: &verify.Introspection{Introspector: &asker{}}},
			{Issuer: "https://other.example", Audience: []string{testAudience}, Keys: &source{set: published(es256)}},
		}})
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for _, tc := range []struct{ name, token, part, says string }{
		{"opaque", opaqueToken, "opaque", "the token is not a JWT (opaque)"},
		{"Google's", "ya29.c.b0Aaekm1K", "opaque", "the token is not a JWT (opaque)"},
		{"JWE", enc(`{"alg":"dir","enc":"A256GCM"}`) + "..AA.AA.AA", "JWE", "the token is encrypted and cannot be read here (JWE)"},
		{"damaged", es256.good() + ".AA", "", "the token is malformed"},
		{"a damaged header", enc(es256.header()) + "=.e30.AA", "header encoding", "the token is malformed (header encoding)"},
	} {
		for where, v := range map[string]*verify.Verifier{"none": none, "of nobody in particular": several()} {
			e := refuse(t, v, tc.token, verify.ErrMalformed)
			if e.Part != tc.part || e.Description() != tc.says {
				t.Errorf("%s, introspection %s: part %q, %q", tc.name, where, e.Part, e.Description())
			}
			if tc.part == "opaque" || tc.part == "JWE" {
				if e.Cause == nil || !strings.Contains(e.Error(), "Introspection") {
					t.Errorf("%s, introspection %s: the log does not say what to set: %v", tc.name, where, e)
				}
			}
		}
	}
}

// FuzzOpaque: what is shown to a server as an opaque token is nothing that the
// server could read as a JWS with the header that its issuer has written.
func FuzzOpaque(f *testing.F) {
	for _, s := range []string{opaqueToken, "ya29.c.b0Aaekm1K", "e30.e30", enc(`{"alg":"dir","enc":"A256GCM"}`) + "..AA.AA.AA", es256.good() + ".AA", enc(`{"alg":"none"}`) + ".e30"} {
		f.Add(s)
	}
	a := &asker{claims: answer()}
	v, _ := asking(f, a, nil)
	f.Fuzz(func(t *testing.T, token string) {
		_, _ = v.Verify(t.Context(), token)
		if len(a.asked()) == 0 {
			return
		}
		segments := strings.Split(token, ".")
		readers := []func(string) ([]byte, error){
			base64.RawURLEncoding.DecodeString, base64.URLEncoding.DecodeString, base64.RawStdEncoding.DecodeString, base64.StdEncoding.DecodeString,
			func(s string) ([]byte, error) {
				return base64.RawURLEncoding.DecodeString(strings.NewReplacer("=", "", "~", "", "+", "-", "/", "_").Replace(s))
			},
		}
		for _, read := range readers {
			text, _ := read(segments[0])
			var header map[string]any
			_ = json.NewDecoder(strings.NewReader(string(text))).Decode(&header)
			if _, jose := header["alg"]; !jose || len(segments) == 1 {
				continue
			}
			if _, jwe := header["enc"].(string); !jwe || len(segments) != 5 {
				t.Errorf("asked about %q, whose header is %q", token, text)
			}
		}
	})
}
