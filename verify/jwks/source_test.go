package jwks_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bearerkit/bearerkit/internal/testkit"
	"github.com/bearerkit/bearerkit/verify"
	"github.com/bearerkit/bearerkit/verify/jwks"
)

func TestMaxStaleFaults(t *testing.T) {
	for d, want := range map[time.Duration]bool{
		-time.Hour: true, -1: true, 1: true, time.Second - 1: true,
		0: false, time.Second: false, time.Hour: false,
	} {
		err := jwks.New(jwks.Config{MaxStale: d}).Bind(issuerURL)
		faults := verify.Faults(err)
		if got := len(faults) == 1 && faults[0].Field == "MaxStale" && strings.Contains(faults[0].Problem, "refresh"); got != want || !want && err != nil {
			t.Errorf("%v: %v", d, err)
		}
	}
}

// bindingHandler binds its source again while a record is written.
type bindingHandler struct {
	slog.Handler
	bind func()
}

func (h bindingHandler) Enabled(ctx context.Context, level slog.Level) bool {
	h.bind()
	return h.Handler.Enabled(ctx, level)
}

// A source that runs can be bound by another verifier. The race detector would report a
// Bind that writes what the refresher reads.
func TestBindWhileRunning(t *testing.T) {
	var logs testkit.LogBuffer
	var wg sync.WaitGroup
	f := &fakeIssuer{handler: serving(document(newKey("a")))}
	c := jwks.Config{URL: keysURL, Client: &http.Client{Transport: f}}
	var s *jwks.Source
	c.Logger = slog.New(bindingHandler{logs.Logger().Handler(), func() {
		wg.Go(func() {
			if err := s.Bind(issuerURL); err != nil {
				t.Error(err)
			}
		})
	}})
	s = jwks.New(c)
	defer s.Close()
	if err := s.Bind(issuerURL); err != nil {
		t.Fatal(err)
	}
	for logs.Count("key set ready") == 0 {
		_, _ = s.KeySet()
		time.Sleep(time.Millisecond)
	}
	wg.Wait()
}

// Which http URLs may be asked is one rule for the issuer, the key set and the
// metadata: see internal/upstream.
func TestPlainHTTP(t *testing.T) {
	const local = "http://127.0.0.1:8080"
	for _, tc := range []struct {
		issuer, url string
		insecure    bool
		want        bool
	}{
		{issuerURL, "http://127.0.0.1/keys", false, false},
		{issuerURL, "http://127.0.0.1/keys", true, true},
		{"https://localhost", "http://127.0.0.1/keys", false, true},
		{local, "http://localhost/keys", false, true},
		{local, "http://keys.example/keys", false, false},
		{local, "", false, true},
		{"http://LOCALHOST", "", false, true},
		{"http://issuer.example", "", false, false},
		{"http://issuer.example", "https://issuer.example/keys", false, true},
		{"local", "http://127.0.0.1/keys", false, false},
	} {
		err := jwks.New(jwks.Config{URL: tc.url, InsecureHTTP: tc.insecure}).Bind(tc.issuer)
		if (err == nil) != tc.want || err != nil && !strings.Contains(err.Error(), "https") {
			t.Errorf("%+v: %v", tc, err)
		}
	}
}

// The values of a URL's query, such as an API key, are not in logs, errors and Health,
// and neither are user name and password of a URL that is refused because of them.
func TestNothingSaysTheSecretsOfAURL(t *testing.T) {
	const secret = "S3CR3T"
	for name, h := range map[string]http.HandlerFunc{
		"good":     serving(document(newKey("a"))),
		"status":   status(500),
		"no set":   serving("{}"),
		"redirect": status(302, "Location", "https://keys.example/set?again="+secret),
		"hangs":    hanging,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var logs testkit.LogBuffer
				f := &fakeIssuer{handler: h}
				s := open(t, jwks.Config{URL: keysURL + "?apikey=" + secret, Client: &http.Client{Transport: f}, Logger: logs.Logger()})
				defer s.Close()
				_, err := s.Refresh(t.Context(), verify.Demand{Satisfied: anySet})
				health := healthOf(s)
				said := fmt.Sprintf("%v %+v\n%s", err, health, &logs)
				if strings.Contains(said, secret) || health.URL != keysURL+"?apikey=xxxxx" {
					t.Error(said)
				}
				if got := f.requests()[0].url; got != keysURL+"?apikey="+secret {
					t.Errorf("asked %s", got)
				}
			})
		})
	}
	for _, c := range []jwks.Config{
		{URL: "https://" + secret + "@keys.example/"}, {URL: "https://u:" + secret + "@keys.example/"}, {URL: "https://u:" + secret + "/@keys.example/"},
		{URL: "http://keys.example/?k=" + secret}, {URL: "ftp://keys.example/?k=" + secret}, {URL: "https://keys.example:x/?k=" + secret}, {URL: "https://keys.example/#" + secret},
		{Issuer: "https://u:" + secret + "@issuer.example"}, {Issuer: "https://issuer.example?k=" + secret},
	} {
		if err := jwks.New(c).Bind(issuerURL); err == nil || strings.Contains(err.Error(), secret) {
			t.Error(err)
		}
	}
}

// Unbind undoes one Bind, and not those of other verifiers.
func TestUnbind(t *testing.T) {
	for name, s := range map[string]interface {
		verify.KeySource
		Check(string) error
		Unbind()
	}{
		"discovered": jwks.New(jwks.Config{}),
		"static": jwks.Static(keysOf(t, document(newKey("a")))...).(interface {
			verify.KeySource
			Check(string) error
			Unbind()
		}),
	} {
		t.Run(name, func(t *testing.T) {
			const other = "https://other.example"
			free := func(want bool) {
				t.Helper()
				if err := s.Check(other); (err == nil) != want {
					t.Errorf("another issuer: %v", err)
				}
			}
			free(true)
			for range 2 {
				if err := s.Bind(issuerURL); err != nil {
					t.Fatal(err)
				}
				free(false)
			}
			if err := s.Bind(other); err == nil {
				t.Error("bound to two issuers")
			}
			s.Unbind()
			free(false)
			s.Unbind()
			free(true)
			s.Unbind() // once too often
			if err := s.Bind(other); err != nil {
				t.Error(err)
			}
			if err := s.Check(issuerURL); err == nil {
				t.Error("free, though it is bound to another issuer")
			}
		})
	}
}

// keysOf reads a key set that must be good.
func keysOf(t *testing.T, set string) []verify.Key {
	t.Helper()
	keys, skipped, err := jwks.Parse([]byte(set))
	if err != nil || len(skipped) > 0 {
		t.Fatal(err, skipped)
	}
	return keys
}

// Two sources are the same if everything in their configurations is.
func TestSame(t *testing.T) {
	client, key := &http.Client{}, newKey("a")
	c := jwks.Config{Issuer: issuerURL, Client: client, Timeout: 5 * time.Second, MaxStale: 24 * time.Hour}
	edited := func(edit func(*jwks.Config)) verify.KeySource {
		d := c
		edit(&d)
		return jwks.New(d)
	}
	closed := jwks.New(c)
	closed.Close()
	static := func(keys ...jwk) verify.KeySource { return jwks.Static(keysOf(t, document(keys...))...) }
	for _, tc := range []struct {
		name string
		a, b verify.KeySource
		want bool
	}{
		{"discovered", jwks.Discover(issuerURL), jwks.Discover(issuerURL), true},
		{"another issuer", jwks.Discover(issuerURL), jwks.Discover(issuerURL + "/"), false},
		{"URL", jwks.URL(keysURL), jwks.URL(keysURL), true},
		{"another URL", jwks.URL(keysURL), jwks.URL(keysURL + "?"), false},
		{"configured", jwks.New(c), jwks.New(c), true},
		{"defaults", jwks.New(c), edited(func(c *jwks.Config) { c.Timeout, c.MaxStale = 0, 0 }), true},
		{"timeout", jwks.New(c), edited(func(c *jwks.Config) { c.Timeout = time.Second }), false},
		{"client", jwks.New(c), edited(func(c *jwks.Config) { c.Client = &http.Client{} }), false},
		{"insecure", jwks.New(c), edited(func(c *jwks.Config) { c.InsecureHTTP = true }), false},
		{"closed", jwks.New(c), closed, false},
		{"faulty", jwks.Discover(""), jwks.Discover(""), false},
		{"static", static(key), static(key), true},
		{"another key", static(key), static(newKey("a")), false},
		{"one more key", static(key), static(key, newKey("b")), false},
		{"static and not", static(key), jwks.New(c), false},
		{"unusable keys", jwks.Static(verify.Key{}), jwks.Static(verify.Key{}), false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for _, p := range [][2]verify.KeySource{{tc.a, tc.b}, {tc.b, tc.a}} {
				if got := p[0].(interface{ Same(verify.KeySource) bool }).Same(p[1]); got != tc.want {
					t.Errorf("the same: %v", got)
				}
			}
		})
	}
	// That a source has started makes no difference.
	f := &fakeIssuer{handler: serving(document(key))}
	c = jwks.Config{Issuer: issuerURL, URL: keysURL, Client: &http.Client{Transport: f}, Logger: quiet()}
	started := open(t, c)
	defer started.Close()
	_, _ = started.KeySet()
	if !started.Same(jwks.New(c)) || started.Same(edited(func(c *jwks.Config) { c.Client = client })) {
		t.Error("what has started is not compared by its configuration")
	}
}
