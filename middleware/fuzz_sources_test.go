package middleware_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/bearerkit/bearerkit/middleware"
	"github.com/bearerkit/bearerkit/verify"
	"github.com/bearerkit/bearerkit/verify/jwks"
)

// FuzzHeader: any value of a field that Header reads, alone or beside a second
// one, gets what a slow reference says, and nothing of it comes back.
func FuzzHeader(f *testing.F) {
	p := newPlace(f, middleware.Header("X-Token"))
	for _, value := range []string{
		p.good, "", " ", "Bearer " + p.good, p.good + " ", p.good + "," + p.good, p.good + ", " + p.good, `"` + p.good + `"`, "a.b.c", "\x00", "\xff", "é", "null",
		strings.Repeat("A", 16385), strings.Repeat("\x01", 16385), "more than one token", p.good[1:], p.good + "=",
	} {
		f.Add(value, "", false)
		f.Add(value, p.good, true)
	}
	f.Fuzz(func(t *testing.T, first, second string, two bool) {
		values := []string{first}
		if two {
			values = append(values, second)
		}
		var tokens []string
		for _, v := range values {
			if v != "" {
				tokens = append(tokens, v)
			}
		}
		p.try(t, "X-Token", values, tokens)
	})
}

// FuzzWebSocketProtocol: the same for Sec-WebSocket-Protocol.
func FuzzWebSocketProtocol(f *testing.F) {
	p := newPlace(f, middleware.WebSocketProtocol("bearer."))
	for _, value := range []string{
		"bearer." + p.good, "orders.v1, bearer." + p.good, "bearer." + p.good + ",bearer." + p.good, "bearer.", "", ",", ", ,", "bearer", "Bearer." + p.good, "xbearer." + p.good,
		" bearer." + p.good + "\t", "bearer. " + p.good, "bearer.bearer." + p.good, "bearer.," + p.good, "\nbearer." + p.good, "bearer.\x00", "bearer." + strings.Repeat("A", 16385),
		`"bearer.` + p.good + `"`, "bearer.a=b", "bearer.a/b", strings.Repeat(",", 5000) + "bearer." + p.good, "bearer.WebSocket protocols",
	} {
		f.Add(value, "", false)
		f.Add(value, "bearer."+p.good, true)
	}
	element := regexp.MustCompile(`(?s)^[ \t]*(.*?)[ \t]*$`)
	f.Fuzz(func(t *testing.T, first, second string, two bool) {
		values := []string{first}
		if two {
			values = append(values, second)
		}
		var tokens []string
		for _, e := range strings.Split(strings.Join(values, ","), ",") { // RFC 9110 section 5.3
			if e = element.FindStringSubmatch(e)[1]; strings.HasPrefix(e, "bearer.") && e != "bearer." {
				tokens = append(tokens, e[len("bearer."):])
			}
		}
		p.try(t, "Sec-Websocket-Protocol", values, tokens)
	})
}

// place is a source of credentials under test, with guards that read it and the
// one good token.
type place struct {
	required, optional *middleware.Guard
	log                *bytes.Buffer
	good, fixed        string
}

func newPlace(f *testing.F, source middleware.CredentialSource) *place {
	set := jwks.Static(verify.Key{ID: fuzzKey.ID, Algorithm: fuzzKey.Algorithm, Public: fuzzKey.Public()})
	v, err := verify.New(verify.Config{Issuers: []verify.Issuer{{Issuer: fuzzIssuer, Audience: []string{fuzzAudience}, Keys: set}}, Now: func() time.Time { return fuzzNow }})
	if err != nil {
		f.Fatal(err)
	}
	var log bytes.Buffer
	auth, err := middleware.New(v, middleware.Config{
		Realm: "orders", Metadata: &middleware.ResourceMetadata{Resource: fuzzAudience}, Credentials: []middleware.CredentialSource{source},
		Logger: slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelError})),
	})
	if err != nil {
		f.Fatal(err)
	}
	return &place{
		required: auth.Require(), optional: auth.Optional(), log: &log, fixed: fixedText(),
		good: fuzzToken(`{"alg":"EdDSA","kid":"k1","typ":"at+jwt"}`, fuzzClaims(fuzzNow.Add(time.Hour).Unix(), "")),
	}
}

// try sends a request with the values of a field, in which a reference has found
// the tokens.
func (p *place) try(t *testing.T, field string, values, tokens []string) {
	want := http.StatusUnauthorized
	switch {
	case len(tokens) > 1:
		want = http.StatusBadRequest
	case len(tokens) == 1 && tokens[0] == p.good:
		want = http.StatusOK
	case len(tokens) == 1 && len(tokens[0]) <= 16384 && (!b64token.MatchString(tokens[0]) || strings.HasSuffix(tokens[0], "\n")):
		want = http.StatusBadRequest
	}
	r := httptest.NewRequest("GET", "/", nil)
	r.Header[field] = values
	admitted, refusal := p.required.Decide(r)
	_, refused := p.optional.Decide(r)
	switch {
	case (refusal == nil) != (want == http.StatusOK), refusal != nil && refusal.Status != want:
		t.Fatalf("%+v, want %d: %q", refusal, want, values)
	case (refused == nil) != (refusal == nil || len(tokens) == 0):
		t.Fatalf("optional: refused is %t: %q", refused != nil, values)
	case p.log.Len() > 0:
		t.Fatalf("log: %s", p.log)
	case refusal == nil:
		if token, ok := middleware.TokenFrom(admitted.Context()); !ok || token.Subject != "user_1" {
			t.Fatalf("admitted without its token: %v", token)
		}
		return
	case len(tokens) == 0 != (refusal.Reason == "no_credentials"):
		t.Fatalf("reason %s: %q", refusal.Reason, values)
	}
	w := httptest.NewRecorder()
	refusal.Write(w, r)
	challenge, body := strings.Join(w.Header()["Www-Authenticate"], "\n"), w.Body.String()
	if _, err := parseChallenge(challenge); err != nil || len(challenge) > 512 || len(body) > 512 {
		t.Fatalf("challenge %q: %v, body %q", challenge, err, body)
	}
	var m map[string]string
	if err := json.Unmarshal([]byte(body), &m); err != nil || m["error"] != refusal.Code || m["error_description"] != refusal.Description {
		t.Fatalf("body %q: %v", body, err)
	}
	for _, value := range values {
		if leak := leaked(challenge+body, value, p.fixed); leak != "" {
			t.Fatalf("%q %q hold %q of %q", challenge, body, leak, value)
		}
	}
}
