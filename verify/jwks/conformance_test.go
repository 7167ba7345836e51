package jwks_test

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bearerkit/bearerkit/verify"
	"github.com/bearerkit/bearerkit/verify/jwks"
)

// Requests to the issuer are GETs (RFC 8414 section 3.1) without credentials, and
// without the cookie that it sets (RFC 8725 section 3.10).
func TestRequestsToTheIssuer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answer := routes(openIDURL, metadata(keysURL), keysURL, serving(document(newKey("a")), "Cache-Control", "max-age=10"))
		asked := map[string]int{}
		s, f := discovering(t, func(w http.ResponseWriter, r *http.Request) {
			asked[r.URL.String()]++
			if r.Method != "GET" || r.Body != nil && r.Body != http.NoBody {
				t.Errorf("%s %s, with a body: %v", r.Method, r.URL, r.Body != nil)
			}
			for _, name := range []string{"Authorization", "Cookie", "Referer"} {
				if v := r.Header.Values(name); len(v) > 0 {
					t.Errorf("%s: %q", name, v)
				}
			}
			http.SetCookie(w, &http.Cookie{Name: "session", Value: "x", Path: "/"})
			answer(w, r)
		}, nil)
		defer s.Close()
		time.Sleep(10 * time.Minute)
		wantKeys(t, s, "a")
		if len(f.requests()) < 4 || asked[openIDURL] < 2 || asked[keysURL] < 2 {
			t.Errorf("asked %v", asked)
		}
	})
}

// The issuer's certificate must be valid for its host (RFC 8414 section 6.1).
func TestCertificateOfTheIssuer(t *testing.T) {
	server := httptest.NewUnstartedServer(serving(document(newKey("a"))))
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // handshakes that fail
	server.StartTLS()
	defer server.Close()
	trusting := server.Client()
	defer trusting.CloseIdleConnections()
	elsewhere := strings.Replace(server.URL, "127.0.0.1", "localhost", 1)
	for name, c := range map[string]struct {
		client *http.Client
		url    string
		why    string // a part of the error; empty: good
	}{
		"trusted":              {trusting, server.URL, ""},
		"by an unknown CA":     {nil, server.URL, "certificate"},
		"for another name":     {trusting, elsewhere, "certificate"},
		"unknown, other name":  {nil, elsewhere, "certificate"},
		"trusted, once more":   {trusting, server.URL + "/", ""},
		"http to the TLS port": {trusting, strings.Replace(server.URL, "https", "http", 1), "400"},
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, jwks.Config{URL: c.url, Client: c.client, InsecureHTTP: true})
			defer s.Close()
			set, err := s.Refresh(t.Context(), verify.Demand{Satisfied: anySet})
			switch {
			case c.why == "" && (err != nil || !has("a")(set)):
				t.Errorf("refused: %v", err)
			case c.why != "" && (err == nil || set != nil || !strings.Contains(err.Error(), c.why)):
				t.Errorf("%v, %v", set, err)
			}
		})
	}
}

// Unknown members are ignored, the order does not matter, and the members about the
// use of a key must not contradict each other (RFC 7517 sections 4 and 5).
func TestMembersOfSetAndKey(t *testing.T) {
	a, b := newKey("a"), newKey("b")
	set := func(members string) string { return `{` + members + `}` }
	list := func(keys ...jwk) string { return `"keys":` + jsonText(keys) }
	for name, c := range map[string]struct {
		text          string
		kept, skipped int
	}{
		"two":                              {set(list(a, b)), 2, 0},
		"the other way":                    {set(list(b, a)), 2, 0},
		"members before":                   {set(`"kid":1,"kty":"oct","x":{"keys":[]},` + list(a, b)), 2, 0},
		"members behind":                   {set(list(a, b) + `,"issuer":"https://evil.example","jwks_uri":["x"],"Keys":null`), 2, 0},
		"members of a key":                 {set(list(with(a, "ext", true, "Use", "enc", "exp", 1), b)), 2, 0},
		"use and key_ops agree":            {set(list(with(a, "use", "sig", "key_ops", []string{"verify"}), b)), 2, 0},
		"use and key_ops contradict":       {set(list(with(a, "use", "sig", "key_ops", []string{"encrypt"}), b)), 1, 1},
		"key_ops and use contradict":       {set(list(with(a, "use", "enc", "key_ops", []string{"verify"}), b)), 1, 1},
		"a key_ops value twice":            {set(list(with(a, "key_ops", []string{"verify", "verify"}), b)), 2, 0},
		"kids that differ in case":         {set(list(with(a, "kid", "B"), b)), 2, 0},
		"an unknown kty, a missing member": {set(list(jwk{"kty": "XX", "kid": "x"}, jwk{"kty": "EC", "kid": "y"}, a, b)), 2, 2},
	} {
		t.Run(name, func(t *testing.T) {
			keys, skipped, err := jwks.Parse([]byte(c.text))
			if err != nil || len(keys) != c.kept || len(skipped) != c.skipped {
				t.Errorf("%d keys, skipped %v, %v", len(keys), skipped, err)
			}
			if set, more := verify.NewKeySet(keys); set.Len() != c.kept || len(more) > 0 {
				t.Errorf("%d keys, skipped %v", set.Len(), more)
			}
		})
	}
}

// An issuer with metadata is an https URL without query, fragment and user information
// (RFC 8414 section 2), or an http URL of this machine.
func TestIssuerIdentifier(t *testing.T) {
	for issuer, want := range map[string]string{ // a part of the fault; empty: good
		"https://issuer.example":        "",
		"https://issuer.example/":       "",
		"https://issuer.example:8443/x": "",
		"http://127.0.0.1:8080":         "",
		"http://[::1]":                  "",
		"http://localhost/x":            "",
		"http://issuer.example":         "https",
		"http://127.0.0.1.example":      "https",
		"http://10.0.0.1":               "https",
		"https://issuer.example?x=1":    "query",
		"https://issuer.example/?":      "query",
		"https://issuer.example#x":      "fragment",
		"https://issuer.example#":       "fragment",
		"https://a:b@issuer.example":    "user information",
		"urn:issuer":                    "https",
		"issuer.example":                "https",
		"ftp://issuer.example":          "https",
		"https://":                      "host",
		"":                              "https",
	} {
		err := jwks.New(jwks.Config{}).Bind(issuer)
		if (want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", issuer, err, want)
		}
	}
	if err := jwks.New(jwks.Config{InsecureHTTP: true}).Bind("http://issuer.example"); err != nil {
		t.Errorf("InsecureHTTP: %v", err)
	}
}
