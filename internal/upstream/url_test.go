package upstream_test

import (
	"net/http"
	"net/url"
	"testing"

	"github.com/bearerkit/bearerkit/internal/upstream"
)

func TestIsLoopback(t *testing.T) {
	for s, want := range map[string]bool{
		"http://localhost": true, "http://localhost:8080/x": true, "https://LocalHost": true,
		"http://127.0.0.1": true, "http://127.8.9.1:80": true, "http://[::1]:80": true, "http://[::ffff:127.0.0.1]": true,
		"http://localhost.evil.example": false, "http://evil-localhost": false, "http://a.localhost": false, "http://127.0.0.1.evil.example": false,
		"http://127.1": false, "http://2130706433": false, "http://0x7f.0.0.1": false, "http://0.0.0.0": false, "http://[::]": false,
		"http://10.0.0.1": false, "http://[fe80::1%25lo]": false, "http:///x": false,
	} {
		u, err := url.Parse(s)
		if err != nil {
			t.Fatal(err)
		}
		if got := upstream.IsLoopback(u); got != want {
			t.Errorf("%s: %v", s, got)
		}
	}
}

// Plain http is for an issuer on this machine, and there for URLs on this
// machine alone.
func TestSecure(t *testing.T) {
	const remote, local = "https://issuer.example", "http://localhost:8080"
	for _, tc := range []struct {
		url, issuer    string
		insecure, want bool
	}{
		{"https://keys.example", remote, false, true},
		{"https://keys.example", local, false, true},
		{"https://keys.example", "not a URL at all\x7f", false, true},
		{"http://127.0.0.1/keys", local, false, true},
		{"http://127.0.0.1/keys", "https://127.0.0.1", false, true},
		{"http://127.0.0.1/keys", remote, false, false},
		{"http://127.0.0.1/keys", "local-issuer", false, false},
		{"http://127.0.0.1/keys", "", false, false},
		{"http://keys.example", remote, false, false},
		{"http://keys.example", local, false, false},
		{"http://keys.example", remote, true, true},
		{"http://127.0.0.1/keys", remote, true, true},
	} {
		u, problem := upstream.CheckURL(tc.url)
		if problem != "" {
			t.Fatal(problem)
		}
		if got := upstream.Secure(u, tc.issuer, tc.insecure); got != tc.want {
			t.Errorf("%s for %s, insecure %v: %v", tc.url, tc.issuer, tc.insecure, got)
		}
	}
}

func TestCheckRedirect(t *testing.T) {
	for _, tc := range []struct {
		from, to string
		hops     int
		want     bool
	}{
		{"https://a.example/x", "https://a.example/x/", 1, true},
		{"https://a.example/x", "https://a.example/?q=1", 3, true},
		{"http://a.example/x", "http://a.example/y", 1, true},
		{"http://a.example/x", "https://a.example/x", 1, true},
		{"https://a.example/x", "https://a.example/y", 4, false},
		{"https://a.example/x", "http://a.example/x", 1, false},
		{"https://a.example/x", "https://b.example/x", 1, false},
		{"https://a.example/x", "https://a.example.evil.example/x", 1, false},
		{"https://a.example/x", "https://a.example:8443/x", 1, false},
		{"https://a.example/x", "https://user@a.example/x", 1, false},
		{"https://a.example/x", "https://user:password@a.example/x", 1, false},
		{"https://a.example/x", "https://@a.example/x", 1, false},
		{"https://a.example/x", "file://a.example/x", 1, false},
	} {
		request := func(s string) *http.Request {
			r, err := http.NewRequest(http.MethodGet, s, nil)
			if err != nil {
				t.Fatal(err)
			}
			return r
		}
		var via []*http.Request
		for range tc.hops {
			via = append(via, request(tc.from))
		}
		if err := upstream.CheckRedirect(request(tc.to), via); (err == nil) != tc.want {
			t.Errorf("%s to %s after %d: %v", tc.from, tc.to, tc.hops, err)
		}
	}
}
