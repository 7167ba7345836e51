package middleware_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bearerkit/bearerkit/middleware"
	"github.com/bearerkit/bearerkit/verify"
	"github.com/bearerkit/bearerkit/verify/dpop"
	"github.com/bearerkit/bearerkit/verify/mtls"
	"github.com/bearerkit/bearerkit/verify/verifytest"
)

const boundOrigin = "https://api.example.com"

var proofs atomic.Int64

// A boundService is a service with tokens that are bound to keys of a client.
type boundService struct {
	issuer      *verifytest.Server
	auth        *middleware.Auth
	key         *verifytest.Key // the client's
	jkt, x5t    string
	certificate *x509.Certificate
}

// newBound makes a service. Without a configuration it does not know DPoP.
func newBound(t *testing.T, d *dpop.Config, certificates bool) *boundService {
	t.Helper()
	s := &boundService{issuer: verifytest.NewInMemory("https://issuer.example"), key: verifytest.NewKey("ES256")}
	t.Cleanup(s.issuer.Close)
	var err error
	if s.jkt, err = dpop.Thumbprint(s.key.Public()); err != nil {
		t.Fatal(err)
	}
	private, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(1)}, &x509.Certificate{Subject: pkix.Name{}}, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	s.certificate = &x509.Certificate{Raw: der}
	s.x5t = mtls.Thumbprint(sha256.Sum256(der)).String()
	c := middleware.Config{Credentials: []middleware.CredentialSource{middleware.AuthorizationHeader(), middleware.InsecureQueryParameter(), middleware.Cookie("token")}}
	if certificates {
		c.ClientCertificate = mtls.TLS()
	}
	c.Metadata = &middleware.ResourceMetadata{Resource: boundOrigin}
	s.auth = staticAuth(t, s.issuer, func(v *verify.Config) {
		if d != nil {
			config := *d
			config.Origins, config.Algorithms = []string{boundOrigin}, []string{"ES256", "PS256"}
			v.Bindings = append(v.Bindings, dpop.New(config))
		}
		if certificates {
			v.Bindings = append(v.Bindings, mtls.New(mtls.Config{}))
		}
	}, &c)
	return s
}

func (s *boundService) token(cnf any) string {
	if cnf == nil {
		return s.issuer.Token(nil)
	}
	return s.issuer.Token(verifytest.Claims{"cnf": cnf})
}

// proof makes a proof for GET /orders.
func (s *boundService) proof(key *verifytest.Key, token string, changes map[string]any) string {
	jwk := key.JWK()
	hash := sha256.Sum256([]byte(token))
	claims := map[string]any{"jti": fmt.Sprint(proofs.Add(1)), "htm": "GET", "htu": boundOrigin + "/orders", "iat": time.Now().Unix(),
		"ath": mtls.Thumbprint(hash).String()}
	for name, value := range changes {
		claims[name] = value
	}
	header, _ := json.Marshal(map[string]any{"typ": "dpop+jwt", "alg": "ES256", "jwk": jwk})
	payload, _ := json.Marshal(claims)
	return key.Sign(string(header), string(payload))
}

func boundRequest(authorization string, proofs ...string) *http.Request {
	r := httptest.NewRequest("GET", "/orders?page=2", nil)
	r.Host = "api.example.com"
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	if len(proofs) > 0 {
		r.Header["Dpop"] = proofs
	}
	return r
}

// protect puts a guard before a handler, as an adapter does.
func protect(g *middleware.Guard) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if admitted, ok := g.Serve(w, r, ""); ok {
				next.ServeHTTP(w, admitted)
			}
		})
	}
}

// serve serves a request behind a guard and returns the answer.
func (s *boundService) serve(r *http.Request, guards ...*middleware.Guard) *http.Response {
	var h http.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusOK) })
	if len(guards) == 0 {
		guards = []*middleware.Guard{s.auth.Require()}
	}
	for _, g := range guards {
		h = protect(g)(h)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

// answerOf is the status and the error of each challenge: "401 DPoP:invalid_token
// Bearer:".
func answerOf(res *http.Response) string {
	parts := []string{fmt.Sprint(res.StatusCode)}
	for _, c := range res.Header.Values("WWW-Authenticate") {
		scheme, rest, _ := strings.Cut(c, " ")
		_, code, _ := strings.Cut(rest, `error="`)
		code, _, _ = strings.Cut(code, `"`)
		parts = append(parts, scheme+":"+code)
	}
	return strings.Join(parts, " ")
}

type downStore struct{}

func (downStore) First(context.Context, [32]byte, time.Time) (bool, error) {
	return false, errors.New("down")
}

// TestBoundTokens has the answers to each kind of token, however it is presented.
func TestBoundTokens(t *testing.T) {
	off := newBound(t, nil, false)
	optional := newBound(t, &dpop.Config{}, true)
	alone := newBound(t, &dpop.Config{}, false)
	required := newBound(t, &dpop.Config{Required: true}, true)
	only := newBound(t, &dpop.Config{Required: true}, false)
	down := newBound(t, &dpop.Config{Replay: downStore{}, Service: "orders"}, false)
	type members = map[string]any
	certified := func(s *boundService, r *http.Request) *http.Request {
		r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{s.certificate}}
		return r
	}
	is := func(s *boundService, what string, r *http.Request, want string) {
		t.Helper()
		if got := answerOf(s.serve(r)); got != want {
			t.Errorf("%s: %s, want %s", what, got, want)
		}
	}
	for name, s := range map[string]*boundService{"off": off, "optional": optional, "alone": alone, "required": required, "only": only} {
		is(s, name+", nothing", boundRequest(""), map[string]string{"off": "401 Bearer:", "only": "401 DPoP:"}[name]+
			map[bool]string{true: "401 DPoP: Bearer:"}[name != "off" && name != "only"])
		bearer := map[string]string{"off": "401 Bearer:invalid_token", "only": "401 DPoP:invalid_token"}[name]
		if bearer == "" {
			bearer = "401 DPoP: Bearer:invalid_token"
		}
		free, bound := s.token(nil), s.token(members{"jkt": s.jkt})
		wantFree := "200"
		if name == "required" || name == "only" {
			wantFree = bearer
		}
		is(s, name+", Bearer U", boundRequest("Bearer "+free), wantFree)
		is(s, name+", Bearer J", boundRequest("Bearer "+bound), bearer)
		is(s, name+", Bearer J, proof", boundRequest("Bearer "+bound, s.proof(s.key, bound, nil)), bearer)
		query := boundRequest("")
		query.RequestURI += "&access_token=" + bound
		query.URL.RawQuery = "access_token=" + bound
		is(s, name+", J in the query", query, bearer)
		cookie := boundRequest("", s.proof(s.key, bound, nil))
		cookie.AddCookie(&http.Cookie{Name: "token", Value: bound})
		is(s, name+", J in a cookie", cookie, bearer)
		for _, cnf := range []any{1, []string{}, "", json.RawMessage("null"), members{}, members{"jkt": 1}, members{"jkt": ""}, members{"kid": "x"}, members{"jkt": nil}} {
			token := s.token(cnf)
			is(s, fmt.Sprintf("%s, cnf %v", name, cnf), boundRequest("Bearer "+token), bearer)
			if name != "off" {
				if got := answerOf(s.serve(boundRequest("DPoP "+token, s.proof(s.key, token, nil)))); !strings.HasPrefix(got, "401 DPoP:invalid_token") {
					t.Errorf("%s, DPoP, cnf %v: %s", name, cnf, got)
				}
			}
		}
	}
	free, bound := off.token(nil), off.token(members{"jkt": off.jkt})
	is(off, "off, Bearer U, proof", boundRequest("Bearer "+free, "a"), "200")
	is(off, "off, DPoP J", boundRequest("DPoP "+bound, off.proof(off.key, bound, nil)), "401 Bearer:")
	for name, s := range map[string]*boundService{"optional": optional, "alone": alone, "required": required, "only": only} {
		with := func(code string) string {
			if name == "only" {
				return "401 DPoP:" + code
			}
			return "401 DPoP:" + code + " Bearer:"
		}
		free, bound := s.token(nil), s.token(members{"jkt": s.jkt, "foo": 1})
		for _, scheme := range []string{"DPoP", "dPoP", "DPOP", "dpop"} {
			is(s, name+", "+scheme, boundRequest(scheme+" "+bound, s.proof(s.key, bound, nil)), "200")
			is(s, name+", no proof, "+scheme, boundRequest(scheme+" "+bound), with("invalid_dpop_proof"))
		}
		stranger := verifytest.NewKey("ES256")
		is(s, name+", another key", boundRequest("DPoP "+bound, s.proof(stranger, bound, nil)), with("invalid_token"))
		is(s, name+", another method", boundRequest("DPoP "+bound, s.proof(s.key, bound, map[string]any{"htm": "PUT"})), with("invalid_dpop_proof"))
		proof := s.proof(s.key, bound, nil)
		is(s, name+", once", boundRequest("DPoP "+bound, proof), "200")
		is(s, name+", twice", boundRequest("DPoP "+bound, proof), with("invalid_dpop_proof"))
		is(s, name+", two proofs", boundRequest("DPoP "+bound, s.proof(s.key, bound, nil), s.proof(s.key, bound, nil)), with("invalid_dpop_proof"))
		is(s, name+", DPoP U", boundRequest("DPoP "+free, s.proof(s.key, free, nil)), with("invalid_token"))
		is(s, name+", as a proof", boundRequest("DPoP "+bound, bound), with("invalid_dpop_proof"))
		proof = s.proof(s.key, bound, nil)
		if got := answerOf(s.serve(boundRequest("DPoP "+proof, proof))); !strings.HasPrefix(got, "401 DPoP:invalid_token") {
			t.Errorf("%s, a proof as a token: %s", name, got)
		}
		two := boundRequest("")
		two.Header["Authorization"] = []string{"DPoP " + bound, "Bearer " + bound}
		if got := answerOf(s.serve(two)); !strings.HasPrefix(got, "400 DPoP:invalid_request") {
			t.Errorf("%s, two fields: %s", name, got)
		}
		spoofed := boundRequest("DPoP "+bound, s.proof(s.key, bound, map[string]any{"htu": "https://evil.example/orders"}))
		spoofed.Host = "evil.example"
		spoofed.Header.Set("X-Forwarded-Host", "evil.example")
		is(s, name+", another host", spoofed, with("invalid_dpop_proof"))
	}
	is(optional, "Bearer U, proof", boundRequest("Bearer "+optional.token(nil), "a.b.c"), "400 DPoP: Bearer:invalid_request")

	for name, s := range map[string]*boundService{"optional": optional, "required": required} {
		x, both := s.token(members{"x5t#S256": s.x5t}), s.token(members{"x5t#S256": s.x5t, "jkt": s.jkt})
		is(s, name+", Bearer X", certified(s, boundRequest("Bearer "+x)), "200")
		is(s, name+", Bearer X, no certificate", boundRequest("Bearer "+x), "401 DPoP: Bearer:invalid_token")
		is(s, name+", Bearer X, another certificate", certified(off, boundRequest("Bearer "+x)), "401 DPoP: Bearer:invalid_token")
		is(s, name+", DPoP JX", certified(s, boundRequest("DPoP "+both, s.proof(s.key, both, nil))), "200")
		is(s, name+", DPoP JX, no certificate", boundRequest("DPoP "+both, s.proof(s.key, both, nil)), "401 DPoP:invalid_token Bearer:")
		is(s, name+", DPoP JX, no proof", certified(s, boundRequest("DPoP "+both)), "401 DPoP:invalid_dpop_proof Bearer:")
		is(s, name+", Bearer JX", certified(s, boundRequest("Bearer "+both)), "401 DPoP: Bearer:invalid_token")
	}
	x := alone.token(members{"x5t#S256": alone.x5t})
	is(alone, "Bearer X without certificates", certified(alone, boundRequest("Bearer "+x)), "401 DPoP: Bearer:invalid_token")

	bound = down.token(members{"jkt": down.jkt})
	res := down.serve(boundRequest("DPoP "+bound, down.proof(down.key, bound, nil)))
	if answerOf(res) != "503" || res.Header.Get("Retry-After") == "" {
		t.Errorf("the store is down: %s", answerOf(res))
	}
	is(down, "the store is down, Bearer U", boundRequest("Bearer "+down.token(nil)), "200")
}

// Guards that follow each other, with other demands, take one proof once; the request
// itself, sent again, is a replay.
func TestProofsAndNestedGuards(t *testing.T) {
	s := newBound(t, &dpop.Config{}, false)
	bound := s.token(map[string]any{"jkt": s.jkt})
	r := boundRequest("DPoP "+bound, s.proof(s.key, bound, nil))
	guards := []*middleware.Guard{s.auth.Require(), s.auth.Optional(), s.auth.Require(middleware.OnlyUsers()), s.auth.Require()}
	if got := answerOf(s.serve(r, guards[0], guards[1], guards[3])); got != "200" {
		t.Errorf("nested: %s", got)
	}
	if got := answerOf(s.serve(r, guards[1])); !strings.HasPrefix(got, "401 DPoP:invalid_dpop_proof") {
		t.Errorf("again, on an optional route: %s", got)
	}
	if got := answerOf(s.serve(boundRequest("", "a.b.c"), guards[1])); got != "200" {
		t.Errorf("a proof without a token on an optional route: %s", got)
	}
	if got := answerOf(s.serve(boundRequest("Bearer "+bound), guards[1])); !strings.HasPrefix(got, "401") {
		t.Errorf("without a proof on an optional route: %s", got)
	}
	// A layer that has changed the URL does not change what the client asked for.
	r = boundRequest("DPoP "+bound, s.proof(s.key, bound, nil))
	h := http.StripPrefix("/orders", protect(s.auth.Require())(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != 200 {
		t.Errorf("behind StripPrefix: %s", answerOf(w.Result()))
	}
	// A handler that sends the request on to another route has no proof for that.
	r = boundRequest("DPoP "+bound, s.proof(s.key, bound, nil))
	inner := protect(s.auth.Require())(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	h = protect(s.auth.Require())(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r = r.Clone(r.Context())
		r.RequestURI, r.URL.Path = "/admin", "/admin"
		inner.ServeHTTP(w, r)
	}))
	w = httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if got := answerOf(w.Result()); !strings.HasPrefix(got, "401 DPoP:invalid_dpop_proof") {
		t.Errorf("sent on: %s", got)
	}
}

// A nonce comes with the refusal that asks for it, and with answers to requests whose
// nonce is not the newest.
func TestNonces(t *testing.T) {
	now := time.Now().Truncate(time.Minute)
	s := newBound(t, &dpop.Config{Service: "orders", NonceSecrets: [][]byte{[]byte(strings.Repeat("s", 32))}, Now: func() time.Time { return now }}, false)
	bound := s.token(map[string]any{"jkt": s.jkt})
	res := s.serve(boundRequest("DPoP "+bound, s.proof(s.key, bound, nil)))
	nonce := res.Header.Values("DPoP-Nonce")
	if answerOf(res) != "401 DPoP:use_dpop_nonce Bearer:" || len(nonce) != 1 || res.Header.Get("Cache-Control") != "no-store" {
		t.Fatalf("%s, %v", answerOf(res), res.Header)
	}
	again := func() *http.Response {
		return s.serve(boundRequest("DPoP "+bound, s.proof(s.key, bound, map[string]any{"nonce": nonce[0]})), s.auth.Require(), s.auth.Require())
	}
	if res := again(); answerOf(res) != "200" || len(res.Header.Values("DPoP-Nonce")) != 0 || res.Header.Get("Cache-Control") != "" {
		t.Errorf("the newest: %s, %v", answerOf(res), res.Header)
	}
	now = now.Add(time.Minute)
	if res := again(); answerOf(res) != "200" || len(res.Header.Values("DPoP-Nonce")) != 1 || res.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("an older one: %s, %v", answerOf(res), res.Header)
	}
	now = now.Add(time.Hour)
	if res := again(); answerOf(res) != "401 DPoP:use_dpop_nonce Bearer:" || len(res.Header.Values("DPoP-Nonce")) != 1 {
		t.Errorf("an old one: %s, %v", answerOf(res), res.Header)
	}
}

func TestBoundMetadata(t *testing.T) {
	for _, c := range []struct {
		service *boundService
		want    []string
	}{
		{newBound(t, nil, false), nil},
		{newBound(t, &dpop.Config{}, false), []string{`"dpop_signing_alg_values_supported":["ES256","PS256"]`}},
		{newBound(t, &dpop.Config{Required: true}, false), []string{`"dpop_signing_alg_values_supported":["ES256","PS256"]`, `"dpop_bound_access_tokens_required":true`}},
		{newBound(t, &dpop.Config{Required: true}, true), []string{`"tls_client_certificate_bound_access_tokens":true`, `"dpop_signing_alg_values_supported":["ES256","PS256"]`}},
	} {
		w := httptest.NewRecorder()
		c.service.auth.MetadataHandler().ServeHTTP(w, httptest.NewRequest("GET", c.service.auth.MetadataPath(), nil))
		all := []string{`"tls_client_certificate_bound_access_tokens":true`, `"dpop_signing_alg_values_supported":["ES256","PS256"]`, `"dpop_bound_access_tokens_required":true`}
		for _, member := range all {
			if strings.Contains(w.Body.String(), member) != slices.Contains(c.want, member) {
				t.Errorf("%s: want %q", w.Body, c.want)
			}
		}
	}
}
