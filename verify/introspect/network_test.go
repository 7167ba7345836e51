package introspect_test

import (
	"crypto/sha256"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bearerkit/bearerkit/internal/nettest"
	"github.com/bearerkit/bearerkit/internal/testkit"
	"github.com/bearerkit/bearerkit/verify"
	"github.com/bearerkit/bearerkit/verify/introspect"
	"github.com/bearerkit/bearerkit/verify/verifytest"
)

// active serves an endpoint for which every token is active.
func active(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, `{"active":true,"sub":"user_1"}`)
}

// at makes a source for an endpoint of the test.
func at(t *testing.T, url string, c introspect.Config) *introspect.Source {
	t.Helper()
	c.Auth, c.URL, c.TTL, c.Logger = basic(), url, introspect.NoTTL, slog.New(slog.DiscardHandler)
	s := introspect.New(c)
	if err := s.Bind(issuerURL, nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// The one HTTP/2 connection to the server goes silent, and new ones work
// (golang/go#36026): one call is lost.
func TestSilentConnection(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(active))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	proxy := nettest.NewProxy(t, server.Listener.Addr().String())
	transport := server.Client().Transport.(*http.Transport).Clone()
	transport.DialContext = proxy.DialContext
	s := at(t, server.URL, introspect.Config{Client: &http.Client{Transport: transport}, Timeout: 300 * time.Millisecond})
	for range 3 {
		ask(t, s, query("token"))
	}
	if n := proxy.Connections(); n != 1 {
		t.Fatalf("%d connections", n)
	}
	proxy.Silence()
	if err := fail(t, s, query("token")); !strings.Contains(err.Error(), "in time") {
		t.Error(err)
	}
	for range 3 {
		ask(t, s, query("token"))
	}
}

// The name of the endpoint has an address that does not answer, and a name
// server that does not: the others are reached within the call.
func TestDeadAddressAndNameServer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.9:0")
	if err != nil {
		t.Skip(err)
	}
	server := &httptest.Server{Listener: l, Config: &http.Server{Handler: http.HandlerFunc(active)}}
	server.Start()
	defer server.Close()
	port := l.Addr().(*net.TCPAddr).AddrPort().Port()
	if !nettest.BlackHole(t, netip.AddrPortFrom(netip.MustParseAddr("127.0.0.5"), port)) {
		t.Skip("this system has no address that does not answer")
	}
	dead := nettest.NewNameServer(t, func(bool, int) bool { return true })
	good := nettest.NewNameServer(t, nil, "127.0.0.5", "127.0.0.9")
	system := net.DefaultResolver
	net.DefaultResolver = nettest.Resolver(dead, good)
	defer func() { net.DefaultResolver = system }()
	s := at(t, fmt.Sprintf("http://issuer.test:%d/", port), introspect.Config{InsecureHTTP: true, Timeout: 2 * time.Second})
	if !ask(t, s, query("token")).Active {
		t.Error("inactive")
	}
	if dead.Questions() == 0 {
		t.Error("the dead name server was not asked")
	}
}

func TestTimeout(t *testing.T) {
	for d, want := range map[time.Duration]bool{
		0: true, 100 * time.Millisecond: true, time.Minute: true,
		-1: false, 1: false, time.Minute + 1: false,
	} {
		err := introspect.New(introspect.Config{Auth: basic(), Timeout: d}).Bind(issuerURL, nil)
		faults := verify.Faults(err)
		if (err == nil) != want || !want && (len(faults) != 1 || faults[0].Field != "Timeout") {
			t.Errorf("%v: %v", d, err)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		issuer := verifytest.NewInMemory(issuerURL)
		defer issuer.Close()
		issuer.Fail(verifytest.Introspection, verifytest.Hang())
		for d, want := range map[time.Duration]time.Duration{0: 5 * time.Second, 20 * time.Second: 20 * time.Second, time.Second: time.Second} {
			s := open(t, issuer, func(c *introspect.Config) { c.Timeout = d })
			began := time.Now()
			fail(t, s, query("token"))
			if took := time.Since(began); took != want {
				t.Errorf("%v: gave up after %v", d, took)
			}
		}
	})
}

// Metadata that cannot be read is requested at most once a second, however many tokens
// arrive, and its return is noticed soon.
func TestMissingMetadata(t *testing.T) {
	for name, fault := range map[string]verifytest.Fault{
		"status 404":  verifytest.Status(404),
		"status 500":  verifytest.Status(500),
		"no document": says("{}"),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				issuer := verifytest.NewInMemory(issuerURL)
				defer issuer.Close()
				issuer.Fail(verifytest.OpenIDConfiguration, fault)
				issuer.Fail(verifytest.OAuthMetadata, fault)
				s := open(t, issuer, func(c *introspect.Config) { c.URL = "" })
				defer s.Close()
				for i := range 200 {
					token := fmt.Sprint("token", i)
					fail(t, s, &verify.Query{Token: token, Digest: sha256.Sum256([]byte(token))})
					time.Sleep(time.Millisecond)
				}
				n := issuer.Requests(verifytest.OpenIDConfiguration) + issuer.Requests(verifytest.OAuthMetadata)
				if n != 2 {
					t.Errorf("%d requests", n)
				}
				issuer.Heal()
				time.Sleep(time.Second)
				if _, err := s.Introspect(t.Context(), query(issuer.OpaqueToken(nil))); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// The values of a URL's query are not in logs, errors and Health, and neither are user
// name and password of a URL that is refused because of them.
func TestNothingSaysTheSecretsOfAURL(t *testing.T) {
	const secret = "S3CR3T"
	for name, tc := range map[string]struct {
		fault verifytest.Fault // nil: none
		found bool             // the URL is that of the metadata
	}{
		"good":             {nil, false},
		"good, discovered": {nil, true},
		"status":           {verifytest.Status(500), false},
		"discovered":       {verifytest.Status(400), true},
		"no answer":        {verifytest.Cut(), true},
		"redirect": {verifytest.Answer(func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://issuer.example/?again="+secret, http.StatusFound)
		}), false},
	} {
		t.Run(name, func(t *testing.T) {
			issuer := newIssuer(t)
			endpoint := issuer.URL(verifytest.Introspection)
			if tc.fault != nil {
				issuer.Fail(verifytest.Introspection, tc.fault)
			}
			if tc.found {
				for _, e := range []verifytest.Endpoint{verifytest.OpenIDConfiguration, verifytest.OAuthMetadata} {
					issuer.SetMetadata(e, map[string]any{"introspection_endpoint": endpoint + "?apikey=" + secret})
				}
			}
			var log testkit.LogBuffer
			s := open(t, issuer, func(c *introspect.Config) {
				if c.URL, c.Logger = endpoint+"?apikey="+secret, log.Logger(); tc.found {
					c.URL = ""
				}
			})
			_, err := s.Introspect(t.Context(), query(issuer.OpaqueToken(nil)))
			h := healthOf(s)
			if said := fmt.Sprintf("%v %+v\n%s", err, h, log.String()); strings.Contains(said, secret) || h.URL != endpoint+"?apikey=xxxxx" || (err != nil) != (tc.fault != nil) {
				t.Error(said)
			}
		})
	}
	for _, url := range []string{
		"https://" + secret + "@a.example/", "https://u:" + secret + "@a.example/", "https://u:" + secret + "/@a.example/",
		"http://a.example/?k=" + secret, "ftp://a.example/?k=" + secret, "https://a.example:x/?k=" + secret, "https://a.example/#" + secret,
	} {
		if err := introspect.New(introspect.Config{Auth: basic(), URL: url}).Bind(issuerURL, nil); err == nil || strings.Contains(err.Error(), secret) {
			t.Error(err)
		}
		if err := introspect.New(introspect.Config{Auth: basic()}).Bind(url, nil); err == nil || strings.Contains(err.Error(), secret) {
			t.Error(err)
		}
	}
}
