package middleware_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/bearerkit/bearerkit/middleware"
	"github.com/bearerkit/bearerkit/verify"
	"github.com/bearerkit/bearerkit/verify/jwks"
	"github.com/bearerkit/bearerkit/verify/verifytest"
)

// prover is a binding in the manner of DPoP whose proofs are plain text: the key, the
// method, the host, the target and a number, which is good for one use.
type prover struct {
	required, nonce bool
	fails           error

	mu   sync.Mutex
	used map[string]bool
	made int
}

func (b *prover) Member() string       { return "jkt" }
func (b *prover) Scheme() string       { return "DPoP" }
func (b *prover) Required() bool       { return b.required }
func (b *prover) Algorithms() []string { return []string{"ES256", "EdDSA"} }

func proof(key string, r *http.Request, number string) string {
	return strings.Join([]string{key, r.Method, r.Host, r.RequestURI, number}, " ")
}

func (b *prover) Prove(_ context.Context, value string, p *verify.Request) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.made++
	if b.nonce {
		p.SetAnswerField("DPoP-Nonce", "fresh")
	}
	if b.fails != nil {
		return b.fails
	}
	if len(p.Proofs) != 1 {
		return verify.ErrProof
	}
	key, rest, _ := strings.Cut(p.Proofs[0], " ")
	use, number, _ := strings.Cut(strings.TrimPrefix(rest, p.Method+" "+p.Host+" "+p.Target), " ")
	switch {
	case key != value:
		return verify.ErrBound
	case use != "" || number == "" || b.used[p.Proofs[0]]:
		return verify.ErrProof
	case number == "stale":
		return verify.ErrNonce
	}
	if b.used == nil {
		b.used = map[string]bool{}
	}
	b.used[p.Proofs[0]] = true
	return nil
}

// certificates is a binding in the manner of RFC 8705.
type certificates struct{}

func (certificates) Member() string { return "x5t#S256" }
func (certificates) Scheme() string { return "" }

func (certificates) Prove(_ context.Context, value string, p *verify.Request) error {
	if p.Certificate == nil {
		return verify.ErrBound
	}
	if hash, err := p.Certificate(); err != nil || string(hash[:1]) != value {
		return verify.ErrBound
	}
	return nil
}

// certificate is a source that believes what the client says.
type certificate struct{ fault error }

func (c certificate) Validate() error { return c.fault }

func (c certificate) Thumbprint(r *http.Request) ([32]byte, error) {
	if cert := r.Header.Get("X-Cert"); cert != "" {
		return [32]byte{cert[0]}, nil
	}
	return [32]byte{}, errors.New("none")
}

func binding(list ...verify.Binding) func(*verify.Config) {
	return func(c *verify.Config) { c.Bindings = list }
}

// A proof is good for one use, and so it is checked once for a request, however many
// guards, of however many Auths, it comes to; a request that is sent on to another
// route needs a proof of its own.
func TestProofIsCheckedOnce(t *testing.T) {
	source := &prover{nonce: true}
	server := verifytest.NewServer()
	defer server.Close()
	resolved := 0
	config := middleware.Config{Logger: slog.New(slog.DiscardHandler), User: middleware.Resolve(func(_ context.Context, t *verify.Token) (user, error) {
		resolved++
		return user{t.Confirmation("jkt")}, nil
	})}
	newVerifier := func() *middleware.Auth {
		v, err := verify.New(verify.Config{
			Bindings: []verify.Binding{source},
			Issuers: []verify.Issuer{{
				Issuer: server.Issuer(), Audience: []string{server.Audience()}, Keys: jwks.Discover(server.Issuer()),
				Introspection: &verify.Introspection{Introspector: alwaysActive{}},
			}},
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { v.Close() })
		auth, err := middleware.New(v, config)
		if err != nil {
			t.Fatal(err)
		}
		return auth
	}
	auth := newVerifier()
	another, err := middleware.New(auth.Verifier(), config)
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := newVerifier()
	token := server.Token(verifytest.Claims{"cnf": map[string]any{"jkt": "key"}})
	r := httptest.NewRequest("GET", "/orders", nil)
	r.Header.Set("Authorization", "DPoP "+token)
	r.Header.Set("DPoP", proof("key", r, "1"))
	guards := []*middleware.Guard{auth.Require(), auth.Require(middleware.Bound()), auth.Require(middleware.NotRevoked()), another.Require(), elsewhere.Require(), auth.Optional()}
	for i, g := range guards {
		w := httptest.NewRecorder()
		admitted, ok := g.Serve(w, r, "")
		if !ok {
			t.Fatalf("guard %d: %d %s", i, w.Code, w.Body)
		}
		if w.Header().Get("DPoP-Nonce") != "fresh" {
			t.Errorf("guard %d: %v", i, w.Header())
		}
		r = admitted
	}
	if source.made != 1 || resolved != 4 {
		t.Errorf("%d proofs, resolved %d times", source.made, resolved)
	}
	if err := middleware.Recheck(r.Context()); err != nil || source.made != 1 {
		t.Errorf("Recheck: %v, %d proofs", err, source.made)
	}
	if u, _ := middleware.UserFrom[user](r.Context()); u.id != "key" {
		t.Errorf("user %q", u.id)
	}
	for name, change := range map[string]func(*http.Request){
		"target": func(r *http.Request) { r.RequestURI = "/admin" },
		"method": func(r *http.Request) { r.Method = "POST" },
		"host":   func(r *http.Request) { r.Host = "other.example" },
		"proof":  func(r *http.Request) { r.Header.Del("DPoP") },
		"scheme": func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) },
	} {
		other := r.Clone(r.Context())
		change(other)
		for kind, g := range map[string]*middleware.Guard{"require": auth.Require(), "optional": auth.Optional()} {
			if _, f := g.Decide(other); f == nil || f.Status != 401 {
				t.Errorf("another %s, %s: %+v", name, kind, f)
			}
		}
	}
	stripped := r.Clone(r.Context())
	stripped.URL.Path = "/"
	if _, f := auth.Require().Decide(stripped); f != nil {
		t.Errorf("a router that strips a prefix: %+v", f)
	}
}

// alwaysActive is an Introspector.
type alwaysActive struct{}

func (alwaysActive) Bind(string, verify.Opener) error { return nil }

func (alwaysActive) Introspect(context.Context, *verify.Query) (*verify.Answer, error) {
	return &verify.Answer{Active: true, Claims: `{"active":true}`}, nil
}

// Bound refuses tokens that are not bound to a key, and asks for those that are.
func TestBound(t *testing.T) {
	issuer := verifytest.NewInMemory("https://issuer.example")
	defer issuer.Close()
	quiet := middleware.Config{Logger: slog.New(slog.DiscardHandler)}
	auth := staticAuth(t, issuer, binding(&prover{}), &quiet)
	quiet.ClientCertificate = certificate{}
	both := staticAuth(t, issuer, binding(&prover{}, certificates{}), &quiet)
	told := ` error="invalid_token", error_description="the token is not bound to a key"`
	for name, c := range map[string]struct {
		guard *middleware.Guard
		token string
		want  []string
	}{
		"unbound":                {auth.Require(middleware.Bound()), issuer.Token(nil), []string{`DPoP` + told + `, algs="ES256 EdDSA"`}},
		"nothing":                {auth.Require(middleware.Bound()), "", []string{`DPoP algs="ES256 EdDSA"`}},
		"beside certificates":    {both.Require(middleware.Bound()), issuer.Token(nil), []string{`DPoP algs="ES256 EdDSA"`, `Bearer` + told}},
		"or a scope, nothing":    {auth.Require(middleware.Any(middleware.Bound(), middleware.Scope("a"))), "", []string{`DPoP algs="ES256 EdDSA"`, `Bearer`}},
		"or bound, nothing":      {auth.Require(middleware.Any(middleware.Bound(), middleware.All(middleware.Scope("a"), middleware.Bound()))), "", []string{`DPoP algs="ES256 EdDSA"`}},
		"and a scope, nothing":   {auth.Require(middleware.Bound(), middleware.Any(middleware.OnlyUsers(), middleware.Scope("a"))), "", []string{`DPoP algs="ES256 EdDSA"`}},
		"not asked for, nothing": {auth.Require(), "", []string{`DPoP algs="ES256 EdDSA"`, `Bearer`}},
	} {
		if f := refusal(c.guard, c.token); f == nil || f.Status != 401 || !slices.Equal(f.Header.Values("WWW-Authenticate"), c.want) {
			t.Errorf("%s: %+v", name, f)
		}
	}
	r := request(issuer.Token(verifytest.Claims{"cnf": map[string]any{"x5t#S256": "c"}}))
	r.Header.Set("X-Cert", "c")
	if _, f := both.Require(middleware.Bound()).Decide(r); f != nil {
		t.Errorf("bound to a certificate: %+v", f)
	}
	if _, f := auth.Require(middleware.Any(middleware.Bound(), middleware.Scope("a"))).Decide(request(issuer.Token(verifytest.Claims{"scope": "a"}))); f != nil {
		t.Errorf("by its scope: %+v", f)
	}
	defer func() {
		if recover() == nil {
			t.Error("Bound without a binding has not panicked")
		}
	}()
	newStaticWith(t, issuer, quiet).Require(middleware.Bound())
}

// A client's certificate is part of what it presents, for tokens that are bound to
// one; the faults of its source are those of the configuration.
func TestClientCertificate(t *testing.T) {
	resolved := 0
	issuer := verifytest.NewInMemory("https://issuer.example")
	defer issuer.Close()
	auth := staticAuth(t, issuer, binding(certificates{}), &middleware.Config{Logger: slog.New(slog.DiscardHandler), ClientCertificate: certificate{},
		User: middleware.Resolve(func(context.Context, *verify.Token) (user, error) { resolved++; return user{}, nil })})
	for _, c := range []struct {
		cnf   any
		certs string // of requests that follow each other
		want  int    // how often a user is resolved, until one is refused
	}{
		{map[string]any{"x5t#S256": "c"}, "ccc", 1},
		{map[string]any{"x5t#S256": "c"}, "ccd", -1},
		{nil, "ccdc", 1},
	} {
		resolved = 0
		r := request(issuer.Token(verifytest.Claims{"cnf": c.cnf}))
		for _, cert := range c.certs {
			r = r.Clone(r.Context())
			r.Header.Set("X-Cert", string(cert))
			admitted, f := auth.Require().Decide(r)
			if f != nil {
				resolved = -1
				break
			}
			r = admitted
		}
		if resolved != c.want {
			t.Errorf("%v, %s: %d, want %d", c.cnf, c.certs, resolved, c.want)
		}
	}
	faulty := middleware.Config{ClientCertificate: certificate{fault: &verify.Fault{Field: "Trust", Problem: "is required"}}}
	if err := faulty.Validate(); err == nil || !strings.Contains(err.Error(), "ClientCertificate.Trust") {
		t.Errorf("%v", err)
	}
}

// A scheme that cannot be part of a challenge is a fault.
func TestOddScheme(t *testing.T) {
	issuer := verifytest.NewInMemory("https://issuer.example")
	defer issuer.Close()
	v, err := verify.New(verify.Config{Bindings: []verify.Binding{odd{}}, Issuers: []verify.Issuer{{
		Issuer: "https://issuer.example", Audience: []string{"api"}, Keys: jwks.Static(verify.Key{ID: "1", Public: issuer.Key().Public()}),
	}}})
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	if _, err := middleware.New(v, middleware.Config{}); err == nil || !strings.Contains(err.Error(), "cannot be part of a challenge") {
		t.Errorf("%v", err)
	}
}

type odd struct{ certificates }

func (odd) Scheme() string { return "two words" }
