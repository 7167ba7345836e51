package introspect_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/bearerkit/bearerkit/verify"
	"github.com/bearerkit/bearerkit/verify/introspect"
	"github.com/bearerkit/bearerkit/verify/verifytest"
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// How this API authenticates, and what else is in the request.
func TestAuthentication(t *testing.T) {
	const id, secret = `a b+c:ü/%`, `p:w &=?%2B"é`
	basicOf := func(r record) (user, password string) {
		user, password, _ = (&http.Request{Header: r.header}).BasicAuth()
		return must(url.QueryUnescape(user)), must(url.QueryUnescape(password))
	}
	for _, tc := range []struct {
		name   string
		auth   introspect.ClientAuth
		known  bool // verifytest knows the method
		header string
		form   map[string]string // beside token and token_type_hint
	}{
		{"Basic", introspect.Basic(id, secret), true, "Basic ", nil},
		{"Post", introspect.Post(id, secret), true, "", map[string]string{"client_id": id, "client_secret": secret}},
		{"TLS", introspect.TLS(id), false, "", map[string]string{"client_id": id}},
		{"Bearer", introspect.Bearer(func(context.Context) (string, error) { return "own-token", nil }), false, "Bearer own-token", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			issuer := newIssuer(t)
			issuer.AddClient(id, secret)
			var r recorder
			if tc.known {
				issuer.Fail(verifytest.Introspection, r.fault)
			} else {
				issuer.Fail(verifytest.Introspection, r.fault, says(`{"active":true}`))
			}
			token := issuer.OpaqueToken(nil) + "+/="
			issuer.Issue(token, nil)
			if !ask(t, open(t, issuer, func(c *introspect.Config) { c.Auth = tc.auth }), query(token)).Active {
				t.Error("inactive")
			}
			got := r.records()
			if len(got) != 1 {
				t.Fatalf("%d requests", len(got))
			}
			want := url.Values{"token": {token}, "token_type_hint": {"access_token"}}
			for name, value := range tc.form {
				want.Set(name, value)
			}
			if got[0].form.Encode() != want.Encode() {
				t.Errorf("form %v, want %v", got[0].form, want)
			}
			auth := got[0].header.Get("Authorization")
			if !strings.HasPrefix(auth, tc.header) || tc.header == "" && auth != "" {
				t.Errorf("Authorization %q", auth)
			}
			if tc.header == "Basic " {
				if user, password := basicOf(got[0]); user != id || password != secret {
					t.Errorf("credentials %q and %q", user, password)
				}
			}
			for name, value := range map[string]string{"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json", "User-Agent": "bearerkit"} {
				if got[0].header.Get(name) != value {
					t.Errorf("%s is %q", name, got[0].header.Get(name))
				}
			}
		})
	}
}

// private_key_jwt: each assertion is for this issuer, is used once, and expires soon
// (RFC 7523 section 3).
func TestPrivateKeyJWT(t *testing.T) {
	ec := func(c elliptic.Curve) crypto.Signer { return must(ecdsa.GenerateKey(c, rand.Reader)) }
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		alg, kid string
		key      crypto.Signer
	}{
		{"RS256", "k1", must(rsa.GenerateKey(rand.Reader, 2048))},
		{"ES256", "", ec(elliptic.P256())},
		{"ES384", "k3", ec(elliptic.P384())},
		{"ES512", "k4", ec(elliptic.P521())},
		{"EdDSA", "k5", ed},
	} {
		t.Run(tc.alg, func(t *testing.T) {
			issuer := newIssuer(t)
			var r recorder
			issuer.Fail(verifytest.Introspection, r.fault, says(`{"active":true}`))
			s := open(t, issuer, func(c *introspect.Config) {
				c.Auth, c.TTL = introspect.PrivateKeyJWT("client-7", tc.kid, tc.key), introspect.NoTTL
			})
			const calls = 3
			for range calls {
				ask(t, s, query("token"))
			}
			seen := map[any]bool{}
			for _, got := range r.records() {
				f := got.form
				if f.Get("client_id") != "client-7" || f.Has("client_secret") || got.header.Get("Authorization") != "" ||
					f.Get("client_assertion_type") != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" || f.Get("token") != "token" {
					t.Errorf("form %v", f)
				}
				c := jwt.MapClaims{}
				a, err := jwt.ParseWithClaims(f.Get("client_assertion"), c, func(*jwt.Token) (any, error) { return tc.key.Public(), nil },
					jwt.WithValidMethods([]string{tc.alg}), jwt.WithIssuer("client-7"), jwt.WithSubject("client-7"),
					jwt.WithAudience(issuerURL), jwt.WithExpirationRequired(), jwt.WithIssuedAt())
				if err != nil {
					t.Fatal(err)
				}
				if kid, _ := a.Header["kid"].(string); kid != tc.kid {
					t.Errorf("kid %q", kid)
				}
				if life := must(c.GetExpirationTime()).Sub(must(c.GetIssuedAt()).Time); life != time.Minute {
					t.Errorf("lives %v", life)
				}
				if jti, _ := c["jti"].(string); len(jti) < 16 || seen[jti] {
					t.Errorf("jti %q", jti)
				} else {
					seen[jti] = true
				}
			}
			if len(seen) != calls {
				t.Errorf("%d calls", len(seen))
			}
		})
	}
}

// The client certificate comes from Config.Client.
func TestMutualTLS(t *testing.T) {
	var peers, clients atomic.Int64
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		peers.Add(int64(len(r.TLS.PeerCertificates)))
		if r.FormValue("client_id") == "client-7" {
			clients.Add(1)
		}
		_, _ = io.WriteString(w, `{"active":true}`)
	}))
	srv.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
	srv.StartTLS()
	defer srv.Close()
	transport := srv.Client().Transport.(*http.Transport).Clone()
	transport.TLSClientConfig.Certificates = srv.TLS.Certificates
	defer transport.CloseIdleConnections()
	s := introspect.New(introspect.Config{Auth: introspect.TLS("client-7"), URL: srv.URL, Client: &http.Client{Transport: transport}, Logger: slog.New(slog.DiscardHandler)})
	defer s.Close()
	if err := s.Bind(srv.URL, nil); err != nil {
		t.Fatal(err)
	}
	if !ask(t, s, query("token")).Active || peers.Load() != 1 || clients.Load() != 1 {
		t.Errorf("%d certificates, %d IDs", peers.Load(), clients.Load())
	}
}

// Credentials that are unavailable make the result unavailable.
func TestBearerWithoutToken(t *testing.T) {
	issuer := newIssuer(t)
	errNone := errors.New("no token today")
	s := open(t, issuer, func(c *introspect.Config) {
		c.Auth = introspect.Bearer(func(context.Context) (string, error) { return "", errNone })
	})
	if err := fail(t, s, query("token")); !errors.Is(err, errNone) {
		t.Error(err)
	}
	if issuer.Requests(verifytest.Introspection) != 0 {
		t.Error("the server was asked")
	}
}

func TestConfigFaults(t *testing.T) {
	good := introspect.Config{Auth: basic()}
	with := func(edit func(*introspect.Config)) introspect.Config {
		c := good
		edit(&c)
		return c
	}
	at := func(u string) introspect.Config { return with(func(c *introspect.Config) { c.URL = u }) }
	auth := func(a introspect.ClientAuth) introspect.Config {
		return with(func(c *introspect.Config) { c.Auth = a })
	}
	small := must(ecdsa.GenerateKey(elliptic.P224(), rand.Reader))
	for _, tc := range []struct {
		name, issuer string
		config       introspect.Config
		fields       string
	}{
		{"good", issuerURL, good, ""},
		{"bounds", issuerURL, with(func(c *introspect.Config) { c.TTL, c.Grace, c.CacheSize = time.Hour, 24*time.Hour, 1 }), ""},
		{"NoTTL", issuerURL, with(func(c *introspect.Config) { c.TTL = introspect.NoTTL }), ""},
		{"loopback issuer", "http://127.0.0.1:9000", good, ""},
		{"loopback issuer and URL", "http://localhost:9000", at("http://[::1]:9000/i"), ""},
		{"URL elsewhere", issuerURL, at("https://other.example/i?x=1"), ""},
		{"http allowed", "http://issuer.example", with(func(c *introspect.Config) { c.InsecureHTTP = true }), ""},
		{"URL by http allowed", issuerURL, with(func(c *introspect.Config) { c.URL, c.InsecureHTTP = "http://issuer.example/i", true }), ""},
		{"an issuer that is not a URL", "accounts", at("https://issuer.example/i"), ""},

		{"nothing", issuerURL, introspect.Config{}, "Auth"},
		{"http issuer", "http://issuer.example", good, "URL"},
		{"no URL of an issuer that is none", "accounts", good, "URL"},
		{"no URL of an issuer with a query", issuerURL + "/?a", good, "URL"},
		{"http URL", issuerURL, at("http://issuer.example/i"), "URL"},
		{"http URL on loopback of an https issuer", issuerURL, at("http://127.0.0.1/i"), "URL"},
		{"http URL elsewhere of a loopback issuer", "http://127.0.0.1:9000", at("http://issuer.example/i"), "URL"},
		{"http URL almost on loopback", "http://127.0.0.1:9000", at("http://127.0.0.1.evil.example/i"), "URL"},
		{"relative URL", issuerURL, at("/introspect"), "URL"},
		{"URL with a password", issuerURL, at("https://a:b@issuer.example/i"), "URL"},
		{"URL with a fragment", issuerURL, at("https://issuer.example/i#f"), "URL"},
		{"other scheme", issuerURL, at("ftp://issuer.example/i"), "URL"},
		{"Basic without ID", issuerURL, auth(introspect.Basic("", "s")), "Auth"},
		{"Basic without secret", issuerURL, auth(introspect.Basic("c", "")), "Auth"},
		{"Post without ID", issuerURL, auth(introspect.Post("", "s")), "Auth"},
		{"Post without secret", issuerURL, auth(introspect.Post("c", "")), "Auth"},
		{"TLS without ID", issuerURL, auth(introspect.TLS("")), "Auth"},
		{"TLS without a certificate", issuerURL, auth(introspect.TLS("id")), "Client"},
		{"Bearer without function", issuerURL, auth(introspect.Bearer(nil)), "Auth"},
		{"PrivateKeyJWT without ID", issuerURL, auth(introspect.PrivateKeyJWT("", "", small)), "Auth"},
		{"PrivateKeyJWT without key", issuerURL, auth(introspect.PrivateKeyJWT("c", "", nil)), "Auth"},
		{"PrivateKeyJWT with a nil key", issuerURL, auth(introspect.PrivateKeyJWT("c", "", (*rsa.PrivateKey)(nil))), "Auth"},
		{"PrivateKeyJWT with P-224", issuerURL, auth(introspect.PrivateKeyJWT("c", "", small)), "Auth"},
		{"TTL too long", issuerURL, with(func(c *introspect.Config) { c.TTL = time.Hour + 1 }), "TTL"},
		{"TTL negative", issuerURL, with(func(c *introspect.Config) { c.TTL = -2 }), "TTL"},
		{"Grace too long", issuerURL, with(func(c *introspect.Config) { c.Grace = 24*time.Hour + 1 }), "Grace"},
		{"Grace negative", issuerURL, with(func(c *introspect.Config) { c.Grace = -1 }), "Grace"},
		{"CacheSize negative", issuerURL, with(func(c *introspect.Config) { c.CacheSize = -1 }), "CacheSize"},
		{"all at once", "http://issuer.example", introspect.Config{TTL: -5, Grace: -5, CacheSize: -5}, "URL Auth TTL Grace CacheSize"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := introspect.New(tc.config)
			defer s.Close()
			var fields []string
			if err := s.Check(tc.issuer); (err == nil) != (tc.fields == "") {
				t.Errorf("Check says %v", err)
			}
			for _, f := range verify.Faults(s.Bind(tc.issuer, nil)) {
				fields = append(fields, f.Field)
			}
			if got := strings.Join(fields, " "); got != tc.fields {
				t.Errorf("faults of %q, want %q", got, tc.fields)
			}
		})
	}
	// A source belongs to one verifier, with whose keys it checks signed
	// answers.
	t.Run("a second verifier", func(t *testing.T) {
		s := introspect.New(good)
		defer s.Close()
		if err := s.Bind(issuerURL, nil); err != nil {
			t.Error(err)
		}
		for _, issuer := range []string{issuerURL, "https://other.example"} {
			for name, err := range map[string]error{"Check": s.Check(issuer), "Bind": s.Bind(issuer, nil)} {
				if f := verify.Faults(err); len(f) != 1 || f[0].Field != "Issuer" {
					t.Errorf("%s to %s: faults %v", name, issuer, f)
				}
			}
		}
		s.Unbind()
		if err := s.Bind("https://other.example", nil); err != nil {
			t.Errorf("after Unbind: %v", err)
		}
	})
	t.Run("closed", func(t *testing.T) {
		s := introspect.New(good)
		s.Close()
		for name, err := range map[string]error{"Check": s.Check(issuerURL), "Bind": s.Bind(issuerURL, nil)} {
			if f := verify.Faults(err); len(f) != 1 || !strings.Contains(f[0].Error(), "closed") {
				t.Errorf("%s: faults %v", name, f)
			}
		}
	})
}

// The endpoint is found through the issuer's metadata.
func TestDiscovery(t *testing.T) {
	members := func(m map[string]any) func(*verifytest.Server) {
		return func(s *verifytest.Server) {
			s.SetMetadata(verifytest.OpenIDConfiguration, m)
			s.SetMetadata(verifytest.OAuthMetadata, m)
		}
	}
	for _, tc := range []struct {
		name, issuer string
		edit         func(*verifytest.Server)
		ok           bool
		says         string // in the error
	}{
		{"OpenID document", issuerURL, nil, true, ""},
		{"with a path", issuerURL + "/tenant/", nil, true, ""},
		{"RFC 8414 document only", issuerURL + "/tenant", func(s *verifytest.Server) { s.Fail(verifytest.OpenIDConfiguration, verifytest.Status(404)) }, true, ""},
		{"OpenID document only", issuerURL, func(s *verifytest.Server) { s.Fail(verifytest.OAuthMetadata, verifytest.Status(404)) }, true, ""},
		{"OpenID document without the endpoint", issuerURL, func(s *verifytest.Server) {
			s.SetMetadata(verifytest.OpenIDConfiguration, map[string]any{"introspection_endpoint": nil})
		}, true, ""},
		{"OpenID document of another issuer", issuerURL, func(s *verifytest.Server) {
			s.SetMetadata(verifytest.OpenIDConfiguration, map[string]any{"issuer": "https://other.example"})
		}, true, ""},
		{"a page in place of the OpenID document", issuerURL, func(s *verifytest.Server) {
			s.Fail(verifytest.OpenIDConfiguration, verifytest.Body("text/html", "<html>"))
		}, true, ""},

		{"no documents", issuerURL, func(s *verifytest.Server) {
			s.Fail(verifytest.OpenIDConfiguration, verifytest.Status(404))
			s.Fail(verifytest.OAuthMetadata, verifytest.Status(404))
		}, false, "status 404"},
		{"another issuer", issuerURL, members(map[string]any{"issuer": "https://other.example"}), false, "not the configured one"},
		{"a slash more", issuerURL, members(map[string]any{"issuer": issuerURL + "/"}), false, "not the configured one"},
		{"no endpoint", issuerURL, members(map[string]any{"introspection_endpoint": nil}), false, "no introspection_endpoint"},
		{"http endpoint", issuerURL, members(map[string]any{"introspection_endpoint": "http://issuer.example/introspect"}), false, "not https"},
		{"http endpoint on loopback", issuerURL, members(map[string]any{"introspection_endpoint": "http://127.0.0.1/introspect"}), false, "not https"},
		{"endpoint of the wrong type", issuerURL, members(map[string]any{"introspection_endpoint": []string{issuerURL}}), false, "not a string"},
		{"endpoint with a fragment", issuerURL, members(map[string]any{"introspection_endpoint": issuerURL + "/i#f"}), false, "fragment"},
		{"redirects to another host", issuerURL, func(s *verifytest.Server) {
			to := verifytest.Answer(http.RedirectHandler("https://other.example/metadata", http.StatusFound).ServeHTTP)
			s.Fail(verifytest.OpenIDConfiguration, to)
			s.Fail(verifytest.OAuthMetadata, to)
		}, false, "status 302"},
		{"redirects to http", issuerURL, func(s *verifytest.Server) {
			to := verifytest.Answer(http.RedirectHandler("http://issuer.example/metadata", http.StatusFound).ServeHTTP)
			s.Fail(verifytest.OpenIDConfiguration, to)
			s.Fail(verifytest.OAuthMetadata, to)
		}, false, "status 302"},
		{"redirects to another path", issuerURL, func(s *verifytest.Server) {
			to := verifytest.Answer(http.RedirectHandler(s.URL(verifytest.OAuthMetadata), http.StatusFound).ServeHTTP)
			s.Fail(verifytest.OpenIDConfiguration, to)
		}, true, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			issuer := verifytest.NewInMemory(tc.issuer)
			t.Cleanup(issuer.Close)
			if tc.edit != nil {
				tc.edit(issuer)
			}
			s := open(t, issuer, func(c *introspect.Config) { c.URL, c.TTL = "", introspect.NoTTL })
			token := issuer.OpaqueToken(nil)
			if !tc.ok {
				err := fail(t, s, query(token))
				if !strings.Contains(err.Error(), tc.says) {
					t.Errorf("%v, want %q", err, tc.says)
				}
				if n := issuer.Requests(verifytest.Introspection); n != 0 {
					t.Errorf("the token went out %d times", n)
				}
				return
			}
			for range 3 {
				if !ask(t, s, query(token)).Active {
					t.Error("inactive")
				}
			}
			if n := issuer.Requests(verifytest.OpenIDConfiguration); n != 1 {
				t.Errorf("metadata was read %d times", n)
			}
			if healthOf(s).URL != issuer.URL(verifytest.Introspection) {
				t.Errorf("URL %q", healthOf(s).URL)
			}
		})
	}
}

// An endpoint that has moved is found, and metadata that fails later delays no request.
func TestDiscoveryAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		issuer := verifytest.NewInMemory(issuerURL)
		defer issuer.Close()
		s := introspect.New(config(issuer, func(c *introspect.Config) { c.URL, c.TTL = "", introspect.NoTTL }))
		defer s.Close()
		if err := s.Bind(issuerURL, nil); err != nil {
			t.Fatal(err)
		}
		token := issuer.OpaqueToken(nil)
		ask(t, s, query(token))
		// It moves to the URL of the revocation endpoint.
		time.Sleep(time.Minute)
		issuer.Fail(verifytest.Introspection, verifytest.Status(404))
		issuer.Fail(verifytest.Revocation, says(`{"active":true}`))
		for _, e := range []verifytest.Endpoint{verifytest.OpenIDConfiguration, verifytest.OAuthMetadata} {
			issuer.SetMetadata(e, map[string]any{"introspection_endpoint": issuer.URL(verifytest.Revocation)})
		}
		failed := 0
		for a, err := s.Introspect(t.Context(), query(token)); err != nil || !a.Active; a, err = s.Introspect(t.Context(), query(token)) {
			if failed++; failed > 10 {
				t.Fatal(err)
			}
			time.Sleep(100 * time.Millisecond)
		}
		if failed == 0 || healthOf(s).URL != issuer.URL(verifytest.Revocation) {
			t.Errorf("after %d failures at %s", failed, healthOf(s).URL)
		}
		// Metadata is too old, and hangs.
		issuer.Fail(verifytest.OpenIDConfiguration, verifytest.Hang())
		issuer.Fail(verifytest.OAuthMetadata, verifytest.Hang())
		before := issuer.Requests(verifytest.OpenIDConfiguration)
		time.Sleep(2 * time.Hour)
		for range 3 {
			start := time.Now()
			ask(t, s, query(token))
			if d := time.Since(start); d != 0 {
				t.Errorf("waited %v for metadata", d)
			}
			time.Sleep(time.Second)
		}
		if n := issuer.Requests(verifytest.OpenIDConfiguration) - before; n != 1 {
			t.Errorf("metadata was asked for %d times", n)
		}
		time.Sleep(10 * time.Second)
	})
}

// A redirect would send the token and the credentials elsewhere.
func TestRedirectsAreNotFollowed(t *testing.T) {
	var got atomic.Int64
	thief := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		got.Add(1)
		_, _ = io.WriteString(w, `{"active":true,"sub":"x"}`)
	}))
	defer thief.Close()
	follow := &http.Client{Transport: &http.Transport{}, CheckRedirect: func(*http.Request, []*http.Request) error { return nil }}
	defer follow.CloseIdleConnections()
	for _, status := range []int{300, 301, 302, 303, 304, 307, 308} {
		for _, client := range []*http.Client{nil, follow} {
			for _, discover := range []bool{false, true} {
				t.Run(fmt.Sprintf("%d/own client %v/discovery %v", status, client == nil, discover), func(t *testing.T) {
					issuer := verifytest.NewServer()
					defer issuer.Close()
					to := verifytest.Answer(func(w http.ResponseWriter, _ *http.Request) {
						w.Header().Set("Location", thief.URL)
						w.WriteHeader(status)
					})
					for _, e := range verifytest.Endpoints() {
						issuer.Fail(e, to)
					}
					s := open(t, issuer, func(c *introspect.Config) {
						c.Client = client
						if discover {
							c.URL = ""
						}
					})
					for _, q := range []*verify.Query{query("token"), fresh("token")} {
						if err := fail(t, s, q); !strings.Contains(err.Error(), fmt.Sprint("status ", status)) {
							t.Error(err)
						}
					}
					if got.Load() != 0 {
						t.Error("followed")
					}
				})
			}
		}
	}
}

// Signed answers (RFC 9701), through a verifier.
func TestSignedAnswers(t *testing.T) {
	const typ = "token-introspection+jwt"
	own := verifytest.NewKey("ES256")
	type object = map[string]any
	var issuer *verifytest.Server
	header := func(edits object) object {
		h := object{"alg": "ES256", "kid": own.ID, "typ": typ}
		for name, value := range edits {
			h[name] = value
		}
		return h
	}
	payload := func(edits object) object {
		p := object{"iss": issuerURL, "aud": verifytest.ClientID, "iat": time.Now().Unix(), "token_introspection": object{
			"active": true, "sub": "user_1", "aud": issuer.Audience(), "scope": "read",
		}}
		for name, value := range edits {
			if p[name] = value; value == nil {
				delete(p, name)
			}
		}
		return p
	}
	text := func(v any) string { return string(must(json.Marshal(v))) }
	sign := func(key *verifytest.Key, h, p object) string { return key.Sign(text(h), text(p)) }
	issuer = newIssuer(t)
	issuer.Use(own)
	token := issuer.Token(nil)
	type row struct {
		name, contentType, body string
		plain, signed           verify.Reason // without and with Config.Signed
	}
	const signedContent = "application/" + typ
	unavailable := verify.ErrUnavailable
	var rows []row
	for _, r := range []struct {
		name, body string
		reason     verify.Reason
	}{
		{"good", sign(own, header(nil), payload(nil)), ""},
		{"aud is the API", sign(own, header(nil), payload(object{"aud": []string{issuer.Audience()}})), ""},
		{"with line ends around", "\n" + sign(own, header(nil), payload(nil)) + "\r\n", ""},
		{"inactive", sign(own, header(nil), payload(object{"token_introspection": object{"active": false}})), verify.ErrInactive},
		{"active missing", sign(own, header(nil), payload(object{"token_introspection": object{}})), unavailable},
		{"active outside", sign(own, header(nil), payload(object{"active": true, "token_introspection": object{}})), unavailable},
		{"active a string", sign(own, header(nil), payload(object{"token_introspection": object{"active": "true", "sub": "user_1"}})), unavailable},
		{"an error", sign(own, header(nil), payload(object{"token_introspection": object{"error": "invalid_client"}})), unavailable},
		{"typ JWT", sign(own, header(object{"typ": "JWT"}), payload(nil)), unavailable},
		{"typ at+jwt", sign(own, header(object{"typ": "at+jwt"}), payload(nil)), unavailable},
		{"iss other", sign(own, header(nil), payload(object{"iss": "https://other.example"})), unavailable},
		{"aud other", sign(own, header(nil), payload(object{"aud": "other-client"})), unavailable},
		{"aud missing", sign(own, header(nil), payload(object{"aud": nil})), unavailable},
		{"alg none", verifytest.Forge(text(header(object{"alg": "none"})), text(payload(nil)), func([]byte) []byte { return []byte("x") }), unavailable},
		{"alg HS256", verifytest.Forge(text(header(object{"alg": "HS256"})), text(payload(nil)), func([]byte) []byte { return make([]byte, 32) }), unavailable},
		{"another's key", sign(verifytest.NewKey("ES256"), header(nil), payload(nil)), unavailable},
		{"the access token itself", token, unavailable},
		{"iat old", sign(own, header(nil), payload(object{"iat": time.Now().Add(-2 * time.Minute).Unix()})), unavailable},
		{"iat missing", sign(own, header(nil), payload(object{"iat": nil})), unavailable},
		{"nothing inside", sign(own, header(nil), payload(object{"token_introspection": nil})), unavailable},
		{"a string inside", sign(own, header(nil), payload(object{"token_introspection": `{"active":true}`})), unavailable},
		{"plain JSON", `{"active":true,"sub":"user_1"}`, unavailable},
		{"empty", "", unavailable},
	} {
		rows = append(rows, row{r.name, signedContent, r.body, r.reason, r.reason})
	}
	rows = append(rows,
		row{"content type with parameters", `Application/Token-Introspection+JWT; charset="utf-8"`, sign(own, header(nil), payload(nil)), "", ""},
		row{"a plain answer", "application/json", `{"active":true,"sub":"user_1"}`, "", unavailable},
		row{"a plain inactive answer", "application/json", `{"active":false}`, verify.ErrInactive, unavailable},
		row{"a signed one that says it is JSON", "application/json", sign(own, header(nil), payload(nil)), unavailable, unavailable},
		row{"a signed one that says nothing", "", sign(own, header(nil), payload(nil)), unavailable, unavailable},
	)
	for _, r := range rows {
		for _, signed := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/%v", r.name, signed), func(t *testing.T) {
				issuer.Fail(verifytest.Introspection, verifytest.Body(r.contentType, r.body))
				v, _ := verifier(t, issuer, true, func(c *introspect.Config) { c.Signed = signed })
				want := r.plain
				if signed {
					want = r.signed
				}
				got, err := v.Verify(t.Context(), token)
				if want != "" {
					refuse(t, err, want)
					return
				}
				if err != nil || got.Introspected.IsZero() {
					t.Errorf("%+v, %v", got, err)
				}
			})
		}
	}
}

// Signed answers are requested if they are required or offered.
func TestAcceptHeader(t *testing.T) {
	const signed, both = "application/token-introspection+jwt", "application/token-introspection+jwt, application/json;q=0.9"
	for _, tc := range []struct {
		name             string
		signed, discover bool
		offered          any
		want             string
	}{
		{"offered to a client without an ID", false, true, []string{"ES256"}, "application/json"},
		{"default", false, false, nil, "application/json"},
		{"Signed", true, false, nil, signed},
		{"discovered", false, true, nil, "application/json"},
		{"discovered and offered", false, true, []string{"ES256"}, both},
		{"offered in an odd way", false, true, "ES256", "application/json"},
		{"Signed, discovered and offered", true, true, []string{"ES256"}, signed},
	} {
		t.Run(tc.name, func(t *testing.T) {
			issuer := newIssuer(t)
			issuer.SetMetadata(verifytest.OpenIDConfiguration, map[string]any{"introspection_signing_alg_values_supported": tc.offered})
			var r recorder
			issuer.Fail(verifytest.Introspection, r.fault)
			s := open(t, issuer, func(c *introspect.Config) {
				if c.Signed = tc.signed; tc.discover {
					c.URL = ""
				}
				if strings.Contains(tc.name, "without an ID") {
					c.Auth = introspect.Bearer(func(context.Context) (string, error) { return "x", nil })
				}
			})
			_, err := s.Introspect(t.Context(), query("token"))
			if (err != nil) != (tc.signed || strings.Contains(tc.name, "without an ID")) { // the server's answer is plain, and it wants an ID
				t.Error(err)
			}
			// A check may have followed the failure already.
			if got := r.records(); len(got) == 0 || got[0].header.Get("Accept") != tc.want {
				t.Errorf("%+v, want Accept: %s", got, tc.want)
			}
		})
	}
}

// What "active" must be, byte for byte.
func TestActive(t *testing.T) {
	rest := `"iss":"` + issuerURL + `","sub":"user_1","aud":"https://api.example.com","exp":2000000000,"scope":"read","client_id":"c","token_type":"Bearer"`
	for body, reason := range map[string]verify.Reason{
		`{"active":true,` + rest + `}`:                      "",
		" {\n\"active\" : true , " + rest + "}\r\n":         "",
		`{"\u0061ctive":true,` + rest + `}`:                 "",
		`{"active":false}`:                                  verify.ErrInactive,
		`{"active":false,` + rest + `}`:                     verify.ErrInactive,
		`{` + rest + `}`:                                    verify.ErrUnavailable,
		`{}`:                                                verify.ErrUnavailable,
		`{"Active":true,` + rest + `}`:                      verify.ErrUnavailable,
		`{"ACTIVE":true,` + rest + `}`:                      verify.ErrUnavailable,
		`{"active":"true",` + rest + `}`:                    verify.ErrUnavailable,
		`{"active":1,` + rest + `}`:                         verify.ErrUnavailable,
		`{"active":null,` + rest + `}`:                      verify.ErrUnavailable,
		`{"active":[true],` + rest + `}`:                    verify.ErrUnavailable,
		`{"active":{"active":true},` + rest + `}`:           verify.ErrUnavailable,
		`{"x":{"active":true},` + rest + `}`:                verify.ErrUnavailable,
		`{"active":false,"active":true,` + rest + `}`:       verify.ErrUnavailable,
		`{"active":true,"active":true,` + rest + `}`:        verify.ErrUnavailable,
		`{"active":true,"\u0061ctive":true,` + rest + `}`:   verify.ErrUnavailable,
		`{"active":true,"sub":"admin",` + rest + `}`:        verify.ErrUnavailable,
		`{"active":true,"x":"` + "\xff" + `",` + rest + `}`: verify.ErrUnavailable,
		`{"active":true,"x":"\ud800",` + rest + `}`:         verify.ErrUnavailable,
		`{"error":"invalid_client"}`:                        verify.ErrUnavailable,
		`{"error":"invalid_client","active":false}`:         verify.ErrInactive,
		`{"message":"bad gateway"}`:                         verify.ErrUnavailable,
		`{"active":"false"}`:                                verify.ErrUnavailable,
		`{"active":false,"active":false}`:                   verify.ErrUnavailable,
		`{"active":false,"x":1,"x":2}`:                      verify.ErrUnavailable,
		`{"active":0}`:                                      verify.ErrUnavailable,
		`{"active":""}`:                                     verify.ErrUnavailable,
		`{"active":{}}`:                                     verify.ErrUnavailable,
		`{"active":false,"sub":5,"exp":"never","cnf":null}`: verify.ErrInactive,
		`null`:                           verify.ErrUnavailable,
		`0`:                              verify.ErrUnavailable,
		`{"active":true,` + rest + `}{}`: verify.ErrUnavailable,
		`{"active":true,` + rest + `,}`:  verify.ErrUnavailable,
		`{"active":True,` + rest + `}`:   verify.ErrUnavailable,
		`{"active":true,` + rest:         verify.ErrUnavailable,
		"\ufeff" + `{"active":true,` + rest + `}`: verify.ErrUnavailable,
		`[{"active":true,` + rest + `}]`:          verify.ErrUnavailable,
		`"active"`:                                verify.ErrUnavailable,
		`true`:                                    verify.ErrUnavailable,
	} {
		t.Run(body, func(t *testing.T) {
			issuer := newIssuer(t)
			issuer.Fail(verifytest.Introspection, says(body))
			v, _ := verifier(t, issuer, true, nil)
			for _, token := range []string{"opaque", issuer.Token(verifytest.Claims{"client_id": "c"})} {
				_, err := v.Verify(t.Context(), token)
				if reason == "" {
					if err != nil {
						t.Error(err)
					}
					continue
				}
				refuse(t, err, reason)
			}
		})
	}
}
