package jwks_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bearerkit/bearerkit/internal/testkit"
	"github.com/bearerkit/bearerkit/verify"
	"github.com/bearerkit/bearerkit/verify/jwks"
)

func TestWellKnown(t *testing.T) {
	for issuer, want := range map[string][2]string{
		"https://a.example":            {"https://a.example/.well-known/openid-configuration", "https://a.example/.well-known/oauth-authorization-server"},
		"https://a.example/":           {"https://a.example/.well-known/openid-configuration", "https://a.example/.well-known/oauth-authorization-server"},
		"https://a.example:8443/x/y":   {"https://a.example:8443/x/y/.well-known/openid-configuration", "https://a.example:8443/.well-known/oauth-authorization-server/x/y"},
		"https://a.example/x/":         {"https://a.example/x/.well-known/openid-configuration", "https://a.example/.well-known/oauth-authorization-server/x"},
		"https://a.example/t%2Fx%20y/": {"https://a.example/t%2Fx%20y/.well-known/openid-configuration", "https://a.example/.well-known/oauth-authorization-server/t%2Fx%20y"},
		"http://[::1]:80/x":            {"http://[::1]:80/x/.well-known/openid-configuration", "http://[::1]:80/.well-known/oauth-authorization-server/x"},
	} {
		if got := jwks.WellKnown(issuer); len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
			t.Errorf("%s: %q", issuer, got)
		}
	}
}

// Metadata that is refused, and metadata that is accepted.
func TestMetadata(t *testing.T) {
	const https, loopback = "https://issuer.example", "http://127.0.0.1:8080"
	doc := func(issuer, uri string) string { return fmt.Sprintf(`{"issuer":%q,"jwks_uri":%q}`, issuer, uri) }
	for _, tc := range []struct {
		name, issuer, text string
		insecure           bool
		want               string // a part of the error; empty: good
	}{
		{"good", https, doc(https, https+"/jwks"), false, ""},
		{"another origin", https, doc(https, "https://keys.example:8443/jwks?p=1"), false, ""},
		{"loopback", loopback, doc(loopback, "http://localhost:9/jwks"), false, ""},
		{"loopback v6", "http://[::1]:80", doc("http://[::1]:80", "http://[::1]/jwks"), false, ""},
		{"insecure", https, doc(https, "http://keys.example/jwks"), true, ""},
		{"other members", https, `{"x":{"issuer":"evil"},"issuer":"` + https + `","jwks_uri":"https://a/b","jwks":1}`, false, ""},
		{"http", https, doc(https, "http://issuer.example/jwks"), false, "https"},
		{"http on loopback for a remote issuer", https, doc(https, "http://127.0.0.1/jwks"), false, "https"},
		{"remote http for a loopback issuer", loopback, doc(loopback, "http://keys.example/jwks"), false, "https"},
		{"loopback by name", loopback, doc(loopback, "http://127.0.0.1.evil.example/jwks"), false, "https"},
		{"file", https, doc(https, "file:///etc/passwd"), true, "https"},
		{"ftp", https, doc(https, "ftp://issuer.example/jwks"), true, "https"},
		{"data", https, doc(https, "data:application/json,{}"), true, "https"},
		{"relative", https, doc(https, "/jwks"), true, "https"},
		{"scheme only", https, doc(https, "https:jwks"), true, "host"},
		{"no host", https, doc(https, "https:///jwks"), true, "host"},
		{"port only", https, doc(https, "https://:443/jwks"), true, "host"},
		{"userinfo", https, doc(https, "https://issuer.example@evil.example/jwks"), true, "user information"},
		{"fragment", https, doc(https, https+"/jwks#x"), true, "fragment"},
		{"empty fragment", https, doc(https, https+"/jwks#"), true, "fragment"},
		{"too long", https, doc(https, https+"/"+strings.Repeat("x", 3000)), true, "too long"},
		{"control character", https, `{"issuer":"` + https + `","jwks_uri":"` + https + `/\u007f"}`, true, "URL"},
		{"empty", https, doc(https, ""), true, "https"},
		{"issuer with slash", https, doc(https+"/", https+"/jwks"), false, "issuer"},
		{"issuer in upper case", https, doc("https://ISSUER.example", https+"/jwks"), false, "issuer"},
		{"issuer on http", https, doc("http://issuer.example", https+"/jwks"), false, "issuer"},
		{"other issuer", https, doc("https://evil.example", https+"/jwks"), false, "issuer"},
		{"issuer missing", https, `{"jwks_uri":"https://issuer.example/jwks"}`, false, "issuer"},
		{"issuer array", https, `{"issuer":["` + https + `"],"jwks_uri":"https://issuer.example/jwks"}`, false, "issuer"},
		{"Issuer", https, `{"Issuer":"` + https + `","jwks_uri":"https://issuer.example/jwks"}`, false, "issuer"},
		{"jwks_uri missing", https, `{"issuer":"` + https + `"}`, false, "jwks_uri"},
		{"JWKS_URI", https, `{"issuer":"` + https + `","JWKS_URI":"https://issuer.example/jwks"}`, false, "jwks_uri"},
		{"jwks_uri null", https, `{"issuer":"` + https + `","jwks_uri":null}`, false, "jwks_uri"},
		{"duplicate issuer", https, `{"issuer":"` + https + `","issuer":"` + https + `","jwks_uri":"https://a/b"}`, false, "strict"},
		{"duplicate jwks_uri", https, `{"issuer":"` + https + `","jwks_uri":"https://evil/b","jwks_uri":"https://a/b"}`, false, "strict"},
		{"trailing", https, doc(https, https+"/jwks") + "x", false, "strict"},
		{"HTML", https, "<html>", false, "strict"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			uri, err := jwks.ParseMetadata([]byte(tc.text), tc.issuer, tc.insecure)
			switch {
			case tc.want == "" && (err != nil || uri == ""):
				t.Errorf("refused: %v", err)
			case tc.want != "" && (err == nil || uri != ""):
				t.Errorf("taken: %q", uri)
			case tc.want != "" && !strings.Contains(err.Error(), tc.want):
				t.Errorf("refused for another reason: %v", err)
			}
		})
	}
}

const (
	openIDURL = issuerURL + "/.well-known/openid-configuration"
	oauthURL  = issuerURL + "/.well-known/oauth-authorization-server"
)

// routes answers by URL; any other is 404.
func routes(pairs ...any) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		for i := 0; i < len(pairs); i += 2 {
			if r.URL.String() == pairs[i] {
				pairs[i+1].(http.HandlerFunc)(w, r)
				return
			}
		}
		http.NotFound(w, r)
	}
}

func metadata(uri string) http.HandlerFunc {
	return serving(fmt.Sprintf(`{"issuer":%q,"jwks_uri":%q}`, issuerURL, uri))
}

func discovering(t *testing.T, h http.HandlerFunc, logs *testkit.LogBuffer) (*jwks.Source, *fakeIssuer) {
	f := &fakeIssuer{handler: h}
	c := jwks.Config{Issuer: issuerURL, Client: &http.Client{Transport: f}}
	if logs != nil {
		c.Logger = logs.Logger()
	}
	return open(t, c), f
}

// The first valid document with a jwks_uri is used.
func TestDiscovery(t *testing.T) {
	set := serving(document(newKey("a")))
	for name, tc := range map[string]struct {
		h  http.HandlerFunc
		ok bool
	}{
		"OpenID":                     {routes(openIDURL, metadata(keysURL), keysURL, set), true},
		"RFC 8414":                   {routes(oauthURL, metadata(keysURL), keysURL, set), true},
		"RFC 8414 without jwks_uri":  {routes(openIDURL, metadata(keysURL), oauthURL, serving(`{"issuer":"`+issuerURL+`"}`), keysURL, set), true},
		"OpenID without jwks_uri":    {routes(oauthURL, metadata(keysURL), openIDURL, serving(`{"issuer":"`+issuerURL+`"}`), keysURL, set), true},
		"OpenID of another":          {routes(oauthURL, metadata(keysURL), openIDURL, serving(`{"issuer":"https://evil.example","jwks_uri":"https://evil.example/"}`), keysURL, set), true},
		"OpenID with bad jwks_uri":   {routes(oauthURL, metadata(keysURL), openIDURL, metadata("http://issuer.example/"), keysURL, set), true},
		"OpenID hangs":               {routes(oauthURL, metadata(keysURL), openIDURL, http.HandlerFunc(hanging), keysURL, set), true},
		"OpenID 500":                 {routes(oauthURL, metadata(keysURL), openIDURL, status(500), keysURL, set), true},
		"any content type":           {routes(openIDURL, metadata(keysURL), keysURL, serving(document(newKey("a")), "Content-Type", "text/html")), true},
		"none":                       {routes(keysURL, set), false},
		"both without jwks_uri":      {routes(openIDURL, serving(`{"issuer":"`+issuerURL+`"}`), oauthURL, serving(`{"issuer":"`+issuerURL+`"}`)), false},
		"key set redirects to other": {routes(openIDURL, metadata(keysURL), keysURL, status(302, "Location", "https://evil.example/"), "https://evil.example/", set), false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, _ := discovering(t, tc.h, nil)
				defer s.Close()
				time.Sleep(10 * time.Second)
				h := healthOf(s)
				if h.Ready != tc.ok || tc.ok != (h.LastError == nil) || tc.ok && h.URL != keysURL {
					t.Errorf("health: %+v", h)
				}
			})
		})
	}
}

// The key set is found although the issuer's three documents together take longer than
// one call may.
func TestSlowDiscovery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := routes(oauthURL, metadata(keysURL), keysURL, serving(document(newKey("a"))))
		s, _ := discovering(t, slowly(4*time.Second, h), nil)
		defer s.Close()
		time.Sleep(13 * time.Second)
		wantKeys(t, s, "a")
	})
}

// A key set that moves is found when the old URL fails, when a token names a key that
// the old URL does not have, and when the metadata is read again anyway.
func TestMovedKeySet(t *testing.T) {
	const elsewhere = "https://elsewhere.example/keys"
	oldKey, newOne := newKey("a"), newKey("b")
	for name, tc := range map[string]struct {
		old    http.HandlerFunc
		demand bool
		within time.Duration
	}{
		"old place gone, asked":         {status(404), true, 0},
		"old place gone":                {status(404), false, 5 * time.Minute},
		"old place hangs":               {hanging, false, 5*time.Minute + 20*time.Second},
		"old place 500":                 {status(500), false, 5*time.Minute + 20*time.Second},
		"old place redirects elsewhere": {status(302, "Location", elsewhere), true, 0},
		"old place serves on, asked":    {serving(document(oldKey)), true, 0},
		"old place serves on":           {serving(document(oldKey)), false, 11 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, f := discovering(t, routes(openIDURL, metadata(keysURL), keysURL, serving(document(oldKey))), nil)
				defer s.Close()
				time.Sleep(20 * time.Second)
				wantKeys(t, s, "a")
				f.set(routes(openIDURL, metadata(elsewhere), keysURL, tc.old, elsewhere, serving(document(newOne))))
				if tc.demand {
					if set, err := s.Refresh(t.Context(), verify.Demand{Satisfied: has("b")}); err != nil || !has("b")(set) {
						t.Fatalf("not followed: %v", err)
					}
				}
				time.Sleep(tc.within)
				synctest.Wait()
				wantKeys(t, s, "b")
				if h := healthOf(s); h.URL != elsewhere || h.State != verify.StateReady {
					t.Errorf("health: %+v", h)
				}
			})
		})
	}
}

// Metadata that becomes invalid is refused and reported, and the key set is read from
// the last known URL.
func TestMetadataTurnsBad(t *testing.T) {
	for name, bad := range map[string]http.HandlerFunc{
		"another issuer":   serving(`{"issuer":"https://evil.example","jwks_uri":"https://evil.example/"}`),
		"jwks_uri on http": metadata("http://issuer.example/"),
		"userinfo":         metadata("https://a@evil.example/"),
		"file":             metadata("file:///etc/passwd"),
		"500":              status(500),
		"hangs":            hanging,
		"redirect":         status(302, "Location", "https://evil.example/.well-known/openid-configuration"),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var logs testkit.LogBuffer
				s, f := discovering(t, routes(openIDURL, metadata(keysURL), keysURL, serving(document(newKey("a")))), &logs)
				defer s.Close()
				time.Sleep(time.Second)
				evil := serving(document(newKey("evil")))
				f.set(routes(openIDURL, bad, keysURL, serving(document(newKey("b"))), "https://evil.example/", evil,
					"https://evil.example/.well-known/openid-configuration", metadata("https://evil.example/")))
				time.Sleep(time.Hour)
				wantKeys(t, s, "b")
				if h := healthOf(s); h.State != verify.StateReady || h.LastError == nil || !strings.Contains(h.LastError.Error(), "metadata") {
					t.Errorf("health: %+v", h)
				}
				f.set(routes(openIDURL, metadata(keysURL), keysURL, serving(document(newKey("c")))))
				time.Sleep(10 * time.Minute)
				if h := healthOf(s); h.LastError != nil {
					t.Errorf("health: %+v", h)
				}
				if logs.Count("level=WARN") != 1 || logs.Count("can be used again") != 1 {
					t.Errorf("log:\n%s", &logs)
				}
			})
		})
	}
}

// A flood costs the metadata no more than the key set.
func TestFloodAndMetadata(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, f := discovering(t, routes(openIDURL, metadata(keysURL), keysURL, serving(document(newKey("a")))), nil)
		defer s.Close()
		time.Sleep(time.Minute)
		f.requests()
		for range 5000 {
			_, _ = s.Refresh(t.Context(), verify.Demand{Satisfied: nothing})
			time.Sleep(time.Millisecond)
		}
		if log := f.requests(); len(log) > 3 {
			t.Errorf("%d requests", len(log))
		}
	})
}

// Metadata that cannot be read is requested when the plan says so, however many tokens
// arrive.
func TestMissingMetadata(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, f := discovering(t, routes(), nil)
		defer s.Close()
		for range 200 {
			if _, err := s.Refresh(t.Context(), verify.Demand{Satisfied: anySet}); err == nil {
				t.Fatal("no error")
			}
			time.Sleep(time.Millisecond)
		}
		if log := f.requests(); len(log) != 2 {
			t.Errorf("%d requests", len(log))
		}
	})
}
