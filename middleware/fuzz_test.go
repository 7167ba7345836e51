package middleware_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bearerkit/bearerkit/middleware"
	"github.com/bearerkit/bearerkit/verify"
	"github.com/bearerkit/bearerkit/verify/jwks"
	"github.com/bearerkit/bearerkit/verify/verifytest"
)

const (
	fuzzIssuer   = "https://issuer.test"
	fuzzAudience = "https://api.test"
)

// fuzzNow and fuzzKey are the same in every process that fuzzes, so that the
// one good token is, too: an input means the same wherever it is tried.
var (
	fuzzNow = time.Unix(1_900_000_000, 0)
	fuzzKey = &verifytest.Key{ID: "k1", Algorithm: "EdDSA", Private: ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))}
)

func fuzzToken(header, claims string) string { return fuzzKey.Sign(header, claims) }

func fuzzClaims(exp int64, members string) string {
	return fmt.Sprintf(`{"iss":%q,"aud":%q,"sub":"user_1","exp":%d%s}`, fuzzIssuer, fuzzAudience, exp, members)
}

// FuzzAuthorization: any Authorization header, alone or beside a second one.
//
//   - Nothing panics, and the answer is exactly the one that a slow reference
//     gives: 200 for "Bearer" in any case, one space and the one good token;
//     401 or 400 for all else, as README has it. With keys that are always at
//     hand there is no other status.
//   - What is admitted is the token that was presented, and of a route where
//     credentials are optional nobody is admitted without a user but those who
//     present none.
//   - The work and the answer are bounded, whatever the length of the header.
//   - The challenge parses by the grammar of RFC 9110 section 11.2, with the
//     characters of RFC 6750 section 3; the body is the JSON of the refusal.
//   - No eight bytes in a row of what was presented are in the challenge, the
//     body or the log, but those that the kit's own sentences have anyway.
func FuzzAuthorization(f *testing.F) {
	const header = `{"alg":"EdDSA","kid":"k1","typ":"at+jwt"}`
	ahead := fuzzNow.Add(time.Hour).Unix()
	good := fuzzToken(header, fuzzClaims(ahead, ""))

	set := jwks.Static(verify.Key{ID: fuzzKey.ID, Algorithm: fuzzKey.Algorithm, Public: fuzzKey.Public()})
	v, err := verify.New(verify.Config{
		Issuers: []verify.Issuer{{Issuer: fuzzIssuer, Audience: []string{fuzzAudience}, Keys: set}},
		Now:     func() time.Time { return fuzzNow },
	})
	if err != nil {
		f.Fatal(err)
	}
	var log bytes.Buffer
	auth, err := middleware.New(v, middleware.Config{
		Realm:    "orders",
		Metadata: &middleware.ResourceMetadata{Resource: fuzzAudience},
		Logger: slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}})),
	})
	if err != nil {
		f.Fatal(err)
	}
	required, optional := auth.Require(), auth.Optional()

	for _, value := range []string{
		"Bearer " + good, "bearer " + good, "BEARER " + good, "bEaReR " + good,
		"Bearer  " + good, "Bearer\t" + good, " Bearer " + good, "Bearer " + good + " ", "Bearer " + good + "\n", "Bearer\u00a0" + good,
		"Bearer " + good + "," + good, "Bearer " + good + ", Bearer " + good, "Bearer token=" + good, `Bearer "` + good + `"`,
		"Bearer " + good + "=", "Bearer " + good[:len(good)-1], "Bearer " + good + "A", "Bearer " + good[1:], "Bearer " + strings.ToUpper(good),
		"Bearer" + good, "Bearer", "Bearer ", "Bearer =", "Bearer ==", "Bearer .", "Bearer ..", "Bearer ...", "Bearer a.b.c", "Bearer e30.e30.AA", "Bearer:" + good, "Bearer=" + good, "Bearer,",
		"", " ", "B", "Bea", "BearerX " + good, "Bearer-Token " + good, "\u212aearer " + good, "Basic dXNlcjpwYXNzd29yZA==", "DPoP " + good, "Digest username=\"x\"", "Bearer eyJhbGciOiJub25lIn0.e30.",
		"Bearer \ufeff" + good, "Bearer \x00", "Bearer \xff\xfe", "Bearer \ud7ff\r\nX-Injected: 1", `Bearer a", error="none`, `Bearer \`,
		"Bearer " + strings.Repeat("A", 16384), "Bearer " + strings.Repeat("A", 16385), "Bearer " + strings.Repeat("\x01", 16385), "Bearer " + strings.Repeat(".", 20000),
		"Bearer invalid_token", "Bearer the.token.is-malformed",
		"Bearer " + fuzzToken(header, fuzzClaims(1, "")),
		"Bearer " + fuzzToken(header, fuzzClaims(ahead, `,"nbf":1999999999`)),
		"Bearer " + fuzzToken(header, fuzzClaims(ahead, `,"sub":"root"`)),
		"Bearer " + fuzzToken(header, fuzzClaims(ahead, `,"s\u0075b":"root"`)),
		"Bearer " + fuzzToken(header, fuzzClaims(ahead, `,"x":"\ud800"`)),
		"Bearer " + fuzzToken(header, fuzzClaims(ahead, `,"x":`+strings.Repeat("[", 40)+strings.Repeat("]", 40))),
		"Bearer " + fuzzToken(header, fuzzClaims(ahead, `,"nbf":1e999`)),
		"Bearer " + fuzzToken(header, fuzzClaims(ahead, `,"cnf":{"jkt":"secret-thumbprint"}`)),
		"Bearer " + fuzzToken(header, "\ufeff"+fuzzClaims(ahead, "")),
		"Bearer " + fuzzToken(`{"alg":"none"}`, fuzzClaims(ahead, "")),
		"Bearer " + fuzzToken(`{"alg":"EdDSA","kid":"another-key-of-theirs"}`, fuzzClaims(ahead, "")),
		"Bearer " + fuzzToken(`{"alg":"EdDSA","kid":"k1","typ":"dpop+jwt"}`, fuzzClaims(ahead, "")),
		"Bearer " + fuzzToken(`{"alg":"EdDSA","kid":"k1","crit":["exp"]}`, fuzzClaims(ahead, "")),
	} {
		f.Add(value, "", false)
	}
	f.Add("Bearer "+good, "Bearer "+good, true)
	f.Add("Bearer "+good, "", true)
	f.Add("", "", true)
	f.Add("Basic x", "Bearer "+good, true)

	fixed := fixedText()
	f.Fuzz(func(t *testing.T, first, second string, two bool) {
		values := []string{first}
		if two {
			values = append(values, second)
		}
		log.Reset()
		r := httptest.NewRequest("GET", "/", nil)
		r.Header["Authorization"] = values
		admitted, refusal := required.Decide(r)

		want := reference(values, good)
		if refusal == nil {
			if want != http.StatusOK {
				t.Fatalf("admitted, want %d: %q", want, values)
			}
			if token, ok := middleware.TokenFrom(admitted.Context()); !ok || token.Subject != "user_1" {
				t.Fatalf("admitted without its token: %v", token)
			}
			if log.Len() > 0 {
				t.Fatalf("log: %s", &log)
			}
		} else if refusal.Status != want {
			t.Fatalf("status %d (%s), want %d: %q", refusal.Status, refusal.Reason, want, values)
		}

		o := httptest.NewRequest("GET", "/", nil)
		o.Header["Authorization"] = values
		passed, refused := optional.Decide(o)
		anonymous := false
		if refused == nil {
			_, known := middleware.TokenFrom(passed.Context())
			anonymous = !known
		}
		switch nothing := refusal != nil && refusal.Reason == "no_credentials"; {
		case nothing != anonymous:
			t.Fatalf("optional: anonymous is %t: %q", anonymous, values)
		case !nothing && (refused == nil) != (refusal == nil):
			t.Fatalf("optional: refused is %t: %q", refused != nil, values)
		}
		if refusal == nil {
			return
		}

		w := httptest.NewRecorder()
		refusal.Write(w, r)
		challenge, body, lines := strings.Join(w.Header()["Www-Authenticate"], "\n"), w.Body.String(), log.String()
		params, err := parseChallenge(challenge)
		if err != nil {
			t.Fatalf("challenge %q: %v", challenge, err)
		}
		code := params["error"]
		switch {
		case w.Code != refusal.Status:
			t.Fatalf("status %d, decided was %d", w.Code, refusal.Status)
		case params["realm"] != "orders" || params["resource_metadata"] != "https://api.test/.well-known/oauth-protected-resource":
			t.Fatalf("challenge %q", challenge)
		case refusal.Status == 400 && code != "invalid_request",
			refusal.Status == 401 && code != "invalid_token" && refusal.Reason != "no_credentials",
			refusal.Reason == "no_credentials" && code != "":
			t.Fatalf("status %d with the challenge %q", refusal.Status, challenge)
		case len(challenge) > 512 || len(body) > 512 || len(lines) > 1024:
			t.Fatalf("an answer of %d, %d and %d bytes", len(challenge), len(body), len(lines))
		case w.Header().Get("Cache-Control") != "no-store":
			t.Fatal("an answer that may be stored")
		}
		var m map[string]string
		if err := json.Unmarshal([]byte(body), &m); err != nil || len(m) != 2 || m["error"] != refusal.Code || m["error_description"] != refusal.Description {
			t.Fatalf("body %q (%v)", body, err)
		}
		if code != "" && (code != m["error"] || params["error_description"] != m["error_description"]) {
			t.Fatalf("challenge %q beside the body %q", challenge, body)
		}
		for _, text := range []string{challenge, body, lines} {
			for _, value := range values {
				if leak := leaked(text, value, fixed); leak != "" {
					t.Fatalf("%q holds %q of %q", text, leak, value)
				}
			}
		}
	})
}

// credentials takes a header apart in the way of RFC 9110 section 11.4: the scheme,
// and what follows it.
var credentials = regexp.MustCompile("(?s)^([!#$%&'*+.^_`|~0-9A-Za-z-]*)(.*)$")

// b64token is that of RFC 6750 section 2.1, with the padding anywhere: where it
// does not belong, it makes a bad token and not a bad request.
var b64token = regexp.MustCompile(`^[A-Za-z0-9._~+/=-]*[A-Za-z0-9._~+/-][A-Za-z0-9._~+/=-]*$`)

// reference says what a request with these Authorization headers gets, where
// good is the only good token.
func reference(values []string, good string) int {
	if len(values) > 1 {
		return http.StatusBadRequest
	}
	m := credentials.FindStringSubmatch(values[0])
	scheme, rest := m[1], m[2]
	if strings.ToLower(scheme) != "bearer" {
		return http.StatusUnauthorized
	}
	token, spaced := strings.CutPrefix(rest, " ")
	switch {
	case !spaced:
		return http.StatusBadRequest
	case token == good:
		return http.StatusOK
	case len(token) > 16384:
		return http.StatusUnauthorized // too large to be looked at
	case !b64token.MatchString(token) || strings.HasSuffix(token, "\n"):
		return http.StatusBadRequest
	}
	return http.StatusUnauthorized
}

// parseChallenge reads a WWW-Authenticate field with one challenge by the
// grammar of RFC 9110 sections 11.2 and 11.6.1, strictly: a scheme, alone or
// with one space and parameters in quotes that are separated by a comma and a
// space, no name twice, and no character in a value but those that RFC 6750
// section 3 allows.
func parseChallenge(s string) (map[string]string, error) {
	params := map[string]string{}
	scheme, rest, more := strings.Cut(s, " ")
	if scheme != "Bearer" {
		return nil, errors.New("another scheme")
	}
	for more {
		n := 0
		for n < len(rest) && (rest[n] == '_' || 'a' <= rest[n] && rest[n] <= 'z') {
			n++
		}
		name := rest[:n]
		if name == "" || !strings.HasPrefix(rest[n:], `="`) {
			return nil, fmt.Errorf("no parameter: %q", rest)
		}
		if _, twice := params[name]; twice {
			return nil, fmt.Errorf("%s twice", name)
		}
		rest = rest[n+2:]
		n = 0
		for n < len(rest) && (rest[n] == 0x20 || rest[n] == 0x21 || 0x23 <= rest[n] && rest[n] <= 0x5b || 0x5d <= rest[n] && rest[n] <= 0x7e) {
			n++
		}
		if n == len(rest) || rest[n] != '"' {
			return nil, fmt.Errorf("value of %s", name)
		}
		params[name], rest = rest[:n], rest[n+1:]
		if rest == "" {
			return params, nil
		}
		if rest, more = strings.CutPrefix(rest, ", "); !more {
			return nil, fmt.Errorf("after %s: %q", name, rest)
		}
	}
	return params, nil
}

// fixedText has every answer and log line that can be, one after the other.
func fixedText() string {
	descriptions := map[string][]string{"no_credentials": {"a bearer token is required"}}
	for _, r := range verify.Reasons() {
		list := []string{r.Description()}
		for _, part := range []string{
			"header", "claims", "header encoding", "claims encoding", "signature encoding", "alg", "kid", "typ", "cty", "crit", "b64", "zip", "length",
			"iss", "sub", "aud", "exp", "nbf", "iat", "auth_time", "client_id", "azp", "cid", "jti", "acr", "act", "scope", "scp", "nonce",
			"at_hash", "c_hash", "s_hash", "events", "token_introspection", "htm", "htu", "token_use", "typ claim",
		} {
			list = append(list, r.Description()+" ("+part+")")
		}
		descriptions[string(r)] = list
	}
	const introspected = " (Issuer.Introspection; if there are several issuers, with TakesOpaque at one)"
	for says, cause := range map[string]string{
		"the token is not a JWT (opaque)":                      "verify: a token that is not a JWT has to be introspected" + introspected,
		"the token is encrypted and cannot be read here (JWE)": "verify: an encrypted token has to be introspected" + introspected,
	} {
		malformed := string(verify.ErrMalformed)
		descriptions[malformed] = append(descriptions[malformed], says, says+": "+cause)
	}
	descriptions["credentials"] = slices.Concat(descriptions[string(verify.ErrSyntax)], credentialSentences, mistakeSentences)
	var b strings.Builder
	for reason, list := range descriptions {
		for _, d := range list {
			for status, code := range map[int]string{400: "invalid_request", 401: "invalid_token"} {
				fmt.Fprintf(&b, "Bearer realm=\"orders\", error=%q, error_description=%q, resource_metadata=\"%s/.well-known/oauth-protected-resource\"\n", code, d, fuzzAudience)
				fmt.Fprintf(&b, "{\"error\":%q,\"error_description\":%q}\n", code, d)
				fmt.Fprintf(&b, "{\"level\":\"DEBUG\",\"msg\":\"request refused\",\"reason\":%q,\"status\":%d,\"error\":\"verify: %s\"}\n", reason, status, d)
				fmt.Fprintf(&b, "{\"level\":\"DEBUG\",\"msg\":\"request refused\",\"reason\":%q,\"status\":%d,\"description\":%q}\n", reason, status, d)
			}
		}
	}
	b.WriteString("Bearer realm=\"orders\", resource_metadata=\"\n{\"error\":\"unauthorized\",\"error_description\":\"a bearer token is required\"}\n")
	return b.String()
}

// leaked returns eight bytes of secret that text holds and fixed does not.
func leaked(text, secret, fixed string) string {
	for i := 0; i+8 <= len(secret); i++ {
		if w := secret[i : i+8]; strings.Contains(text, w) && !strings.Contains(fixed, w) {
			return w
		}
	}
	return ""
}

// What FuzzAuthorization relies on finds what it is to find.
func TestFuzzReferences(t *testing.T) {
	for _, bad := range []string{
		"", "Basic", "bearer", "Bearer ", "Bearer realm=orders", `Bearer realm="a" error="b"`, `Bearer realm="a", realm="b"`, `Bearer realm="a",`, `Bearer realm="a\"b"`,
		"Bearer realm=\"\xff\"", `Bearer  realm="a"`, `Bearer realm="a", Basic`, `Bearer realm="a`,
	} {
		if _, err := parseChallenge(bad); err == nil {
			t.Errorf("challenge %q was taken", bad)
		}
	}
	if p, err := parseChallenge(`Bearer realm="a b", error="c"`); err != nil || p["realm"] != "a b" || p["error"] != "c" || len(p) != 2 {
		t.Errorf("%q, %v", p, err)
	}
	fixed := fixedText()
	if leaked(`error="invalid_token"`, "Bearer secret-token-x", fixed) != "" {
		t.Error("found a leak where there is none")
	}
	if leaked(`the key "secret-token" is not known`, "Bearer secret-token-x", fixed) == "" {
		t.Error("missed a leak")
	}
	// An answer of each kind is part of the fixed text, or the leaks that are
	// excused would be too few.
	_, auth := newAuth(t, middleware.Config{Realm: "orders", Metadata: &middleware.ResourceMetadata{Resource: fuzzAudience}})
	for _, token := range []string{"", "a b", "a.b.c"} {
		_, f := auth.Require().Decide(request(token).WithContext(context.Background()))
		if code := f.Code; token != "" && (!strings.Contains(fixed, strings.Join(f.Header["Www-Authenticate"], "")) || code == "") {
			t.Errorf("not fixed: %q", f.Header["Www-Authenticate"])
		}
	}
}
