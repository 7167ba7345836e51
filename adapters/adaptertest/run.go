package adaptertest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bearerkit/bearerkit/internal/testkit"
	"github.com/bearerkit/bearerkit/middleware"
	"github.com/bearerkit/bearerkit/verify"
	"github.com/bearerkit/bearerkit/verify/jwks"
	"github.com/bearerkit/bearerkit/verify/verifytest"
)

// User is the application's user in the table.
type User struct{ ID string }

// A Route is a path with guards, which the framework under test mounts one
// after the other, for every method it can.
type Route struct {
	Path   string // may have a parameter, as in "/orgs/{org}"; see Colons
	Auth   *middleware.Auth
	Guards []Guard
}

// Colons returns a path for routers that write its parameters as in "/orgs/:org".
func Colons(path string) string { return strings.NewReplacer("{", ":", "}", "").Replace(path) }

// A Guard is one use of the adapter's Require or Optional.
type Guard struct {
	Optional     bool
	Requirements []middleware.Requirement
	// Layer, if there is one, changes the request's context before the guard,
	// in a layer of the framework's.
	Layer func(context.Context) context.Context
}

// Answer is what a route's handler calls with the user and the token that it
// found through the framework's own context.
func Answer(w http.ResponseWriter, r *http.Request, user User, hasUser bool, token *verify.Token) {
	again, ok := middleware.UserFrom[User](r.Context())
	if ok != hasUser || again != user {
		http.Error(w, "the request's context has another user than the framework's", http.StatusInternalServerError)
		return
	}
	if t, _ := middleware.TokenFrom(r.Context()); t != token {
		http.Error(w, "the request's context has another token than the framework's", http.StatusInternalServerError)
		return
	}
	if strings.HasPrefix(r.Header.Get("Content-Type"), "multipart/") {
		upload(w, r)
		return
	}
	if strings.HasPrefix(r.URL.Path, "/mux/") {
		inner.ServeHTTP(w, r)
		return
	}
	body := map[string]any{"user": nil}
	if hasUser {
		body["user"] = user.ID
	}
	if layer := r.Context().Value(layerKey{}); layer != nil {
		_, body["deadline"] = r.Context().Deadline()
		body["layer"] = layer
	}
	if token != nil {
		body["sub"], body["scope"] = token.Subject, token.Scope
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(body)
}

// Run runs the table. mount makes a service of the routes.
func Run(t *testing.T, mount func([]Route) http.Handler) {
	f := newFixture(t)
	routes := f.routes()
	service := mount(routes)
	subject := httptest.NewServer(f.watched(challenging(service)))
	t.Cleanup(subject.Close)
	reference := httptest.NewServer(challenging(onMiddlewareAlone(routes)))
	t.Cleanup(reference.Close)
	for _, c := range append(f.cases(), f.hostile(t)...) {
		t.Run(c.name, func(t *testing.T) {
			f.resolved.Store(0)
			got := send(t, subject.Listener.Addr(), c)
			calls := f.resolved.Load()
			want := send(t, reference.Listener.Addr(), c)
			c.check(t, got)
			if calls > 1 {
				t.Errorf("the user was resolved %d times", calls)
			}
			if got.Status != want.Status {
				t.Errorf("status %d, middleware alone has %d", got.Status, want.Status)
			}
			for _, h := range []string{"WWW-Authenticate", "Content-Type", "Cache-Control", "Retry-After", "Vary"} {
				if g, w := got.Header.Values(h), want.Header.Values(h); strings.Join(g, "|") != strings.Join(w, "|") {
					t.Errorf("%s: %q, middleware alone has %q", h, g, w)
				}
			}
			if !bytes.Equal(got.Body, want.Body) {
				t.Errorf("body %q, middleware alone has %q", got.Body, want.Body)
			}
			f.silent(t, c, got)
			f.recorded(t, c)
		})
	}
	t.Run("silence", f.silence)
	t.Run("a client that hangs up", func(t *testing.T) { f.hangUp(t, subject.Listener.Addr()) })
	t.Run("uploads", func(t *testing.T) { f.uploads(t, service) })
}

// upload reads a form with a file that is larger than what it keeps in memory,
// and answers with how many files are on the disk.
func upload(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseMultipartForm(1); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	files, err := os.ReadDir(os.TempDir())
	fmt.Fprintln(w, len(files), err)
	if r.FormValue("panic") != "" {
		panic("the handler")
	}
}

// uploads checks that nothing of an upload stays on the disk: a server removes
// the files of its own request only, and guards make a copy.
func (f *fixture) uploads(t *testing.T, service http.Handler) {
	recovering := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() { _ = recover() }()
		service.ServeHTTP(w, r)
	})
	const file = "--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"f\"\r\n\r\na file\r\n"
	const panics = "--b\r\nContent-Disposition: form-data; name=\"panic\"\r\n\r\n1\r\n"
	headers := []string{"Content-Type: multipart/form-data; boundary=b"}
	good := append(headers[:1:1], "Authorization: Bearer "+f.issuer.Token(verifytest.Claims{"scope": "orders:read"}))
	for _, c := range []testCase{
		{name: "one guard", path: "/any", headers: good, body: file},
		{name: "two guards", path: "/nested", headers: good, body: file},
		{name: "optional, with a user", path: "/optional", headers: good, body: file},
		{name: "optional, without one", path: "/optional", headers: headers, body: file},
		{name: "a handler that panics", path: "/nested", headers: good, body: file + panics},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			t.Setenv("TMPDIR", dir)
			t.Setenv("TMP", dir) // Windows
			server := httptest.NewServer(recovering)
			defer server.Close()
			c.method, c.body = "POST", c.body+"--b--\r\n"
			got := send(t, server.Listener.Addr(), c)
			if got.Status != 200 || string(got.Body) != "1 <nil>\n" {
				t.Errorf("%d %q, want one file on the disk", got.Status, got.Body)
			}
			server.Close() // waits until the request is over
			if files, err := os.ReadDir(dir); len(files) > 0 || err != nil {
				t.Errorf("%d files are left, %v", len(files), err)
			}
		})
	}
}

// onMiddlewareAlone is the reference: no adapter in between.
func onMiddlewareAlone(routes []Route) http.Handler {
	mux := http.NewServeMux()
	for _, route := range routes {
		var guards []*middleware.Guard
		for _, g := range route.Guards {
			if g.Optional {
				guards = append(guards, route.Auth.Optional(g.Requirements...))
			} else {
				guards = append(guards, route.Auth.Require(g.Requirements...))
			}
		}
		mux.HandleFunc(route.Path, func(w http.ResponseWriter, r *http.Request) {
			for i, g := range guards {
				if layer := route.Guards[i].Layer; layer != nil {
					r = r.WithContext(layer(r.Context()))
				}
				admitted, ok := g.Serve(w, r, "")
				if !ok {
					return
				}
				r = admitted
			}
			user, ok := middleware.UserFrom[User](r.Context())
			token, _ := middleware.TokenFrom(r.Context())
			Answer(w, r, user, ok, token)
		})
	}
	return mux
}

// fixture is what the table's requests meet.
type fixture struct {
	issuer   *verifytest.Server
	evil     *verifytest.Server // signs too, but is not trusted
	auth     *middleware.Auth
	strict   *middleware.Auth           // RFC 9728 metadata, a realm, and an error handler
	dark     *middleware.Auth           // its issuer is down
	narrow   *middleware.Auth           // takes ES256 alone
	two      *middleware.Auth           // trusts evil, too: for its own tokens
	keyed    *middleware.Auth           // takes API keys beside tokens
	keys     map[string]*verifytest.Key // the issuer's, by algorithm
	resolved atomic.Int64
	log      *testkit.LogBuffer
	secrets  []string // what callers sent
	logged   []string // what of it is for the log
	answers  strings.Builder
	reasons  sync.Map // that the observer has seen
	seen     atomic.Pointer[seen]
	waits    chan bool // a resolver is waiting for the client to hang up
}

func newFixture(t *testing.T) *fixture {
	f := &fixture{issuer: verifytest.NewServer(), evil: verifytest.NewServer(), log: &testkit.LogBuffer{}, waits: make(chan bool)}
	gone := verifytest.NewServer()
	f.keys = map[string]*verifytest.Key{}
	for _, alg := range []string{"ES256", "RS256", "PS256", "EdDSA"} {
		f.keys[alg] = verifytest.NewKey(alg)
	}
	f.issuer.SetKeys(f.keys["ES256"], f.keys["RS256"], f.keys["PS256"], f.keys["EdDSA"])
	t.Cleanup(f.issuer.Close)
	t.Cleanup(f.evil.Close)
	t.Cleanup(gone.Close)
	gone.Down()
	logger := slog.New(slog.NewTextHandler(f.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	trust := func(issuer string) verify.Issuer {
		return verify.Issuer{Issuer: issuer, Audience: []string{f.issuer.Audience()}, Keys: jwks.New(jwks.Config{Issuer: issuer, Logger: logger})}
	}
	buildFor := func(vc verify.Config, c middleware.Config) *middleware.Auth {
		v, err := verify.New(vc)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { v.Close() })
		c.Logger = logger
		c.Observer = middleware.ObserverFunc(func(_ context.Context, d middleware.Decision) {
			f.reasons.Store(string(d.Outcome)+" "+string(d.Reason), true)
		})
		auth, err := middleware.New(v, c)
		if err != nil {
			t.Fatal(err)
		}
		return auth
	}
	build := func(issuer string, c middleware.Config) *middleware.Auth {
		return buildFor(verify.Config{Issuers: []verify.Issuer{trust(issuer)}}, c)
	}
	user := middleware.Resolve(func(ctx context.Context, t *verify.Token) (User, error) {
		f.resolved.Add(1)
		switch t.Subject {
		case "ghost":
			return User{}, middleware.ErrNoUser
		case "storm":
			return User{}, fmt.Errorf("user store is down")
		case "patience":
			f.waits <- true
			<-ctx.Done()
			return User{}, fmt.Errorf("user store: %w", ctx.Err())
		}
		return User{t.Subject}, nil
	})
	f.auth = build(f.issuer.Issuer(), middleware.Config{User: user})
	f.strict = build(f.issuer.Issuer(), middleware.Config{
		User:     user,
		Realm:    "orders",
		Metadata: &middleware.ResourceMetadata{Resource: "https://api.example.test/v1"},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, refusal *middleware.Refusal) {
			w.Header().Set("Content-Type", "text/plain")
			w.WriteHeader(http.StatusOK) // it may try
			fmt.Fprintln(w, "no:", refusal.Code)
		},
	})
	f.narrow = buildFor(verify.Config{Issuers: []verify.Issuer{trust(f.issuer.Issuer())}, Algorithms: []string{"ES256"}}, middleware.Config{User: user})
	f.two = buildFor(verify.Config{Issuers: []verify.Issuer{trust(f.issuer.Issuer()), trust(f.evil.Issuer())}}, middleware.Config{User: user})
	f.keyed = build(f.issuer.Issuer(), middleware.Config{User: user, Authenticators: []middleware.Authenticator{{
		Credentials: middleware.Header("X-Api-Key"),
		Challenge:   "ApiKey",
		Authenticate: func(_ context.Context, key string) (*verify.Token, error) {
			switch key {
			case "good":
				return &verify.Token{Issuer: "keys", Subject: "robot", Scope: "orders:read"}, nil
			case "storm":
				return nil, fmt.Errorf("key store is down")
			}
			return nil, middleware.ErrNoUser
		},
	}}})
	f.dark = build(gone.Issuer(), middleware.Config{User: user})
	return f
}

func (f *fixture) routes() []Route {
	require := func(q ...middleware.Requirement) []Guard { return []Guard{{Requirements: q}} }
	return []Route{
		{"/any", f.auth, require()},
		{"/optional", f.auth, []Guard{{Optional: true}}},
		{"/read", f.auth, require(middleware.Scope("orders:read"))},
		{"/both", f.auth, require(middleware.Scope("orders:read"), middleware.Scope("orders:write"))},
		{"/either", f.auth, require(middleware.AnyScope("orders:read", "orders:admin"))},
		{"/permission", f.auth, require(middleware.Permission("orders.delete"))},
		{"/organization", f.auth, require(middleware.Organization("org_1", "org_2"))},
		{"/user", f.auth, require(middleware.OnlyUsers())},
		{"/machine", f.auth, require(middleware.OnlyMachines())},
		{"/recent", f.auth, require(middleware.MaxAge(5 * time.Minute))},
		{"/strong", f.auth, require(middleware.MaxAge(time.Minute), middleware.ACR("mfa", "hwk"))},
		{"/composed", f.auth, require(middleware.Any(middleware.Scope("admin"), middleware.All(middleware.OnlyUsers(), middleware.Organization("org_1"))))},
		{"/func", f.auth, require(middleware.Func("only on weekdays", func(ctx context.Context, t *verify.Token) error {
			switch t.ClientID {
			case "sunday":
				return fmt.Errorf("sunday: %w", middleware.ErrDenied)
			case "tide":
				return fmt.Errorf("calendar: %w", context.DeadlineExceeded)
			case "fog":
				return fmt.Errorf("calendar: %w", verify.ErrUnavailable)
			}
			if u, ok := middleware.UserFrom[User](ctx); !ok || u.ID != t.Subject {
				return fmt.Errorf("no user in the context")
			}
			return nil
		}))},
		{"/orgs/{org}/members", f.auth, require(middleware.RequestFunc("the token is for another organization", func(r *http.Request, t *verify.Token) error {
			if u, ok := middleware.UserFrom[User](r.Context()); !ok || u.ID != t.Subject {
				return fmt.Errorf("no user in the request")
			}
			switch r.PathValue("org") {
			case "tide":
				return fmt.Errorf("organizations: %w", context.DeadlineExceeded)
			case t.OrganizationID:
				return nil
			}
			return middleware.ErrDenied
		}))},
		{"/nested", f.auth, []Guard{{}, {Requirements: []middleware.Requirement{middleware.Scope("orders:read")}}}},
		{"/opened", f.auth, []Guard{{Optional: true}, {}}},
		{"/layered", f.auth, []Guard{{}, {Layer: layer, Requirements: []middleware.Requirement{middleware.Func("no layer", func(ctx context.Context, _ *verify.Token) error {
			if ctx.Value(layerKey{}) == nil {
				return fmt.Errorf("the context is not the current request's")
			}
			return nil
		})}}, {Optional: true}}},
		{"/layered/optional", f.auth, []Guard{{Optional: true}, {Layer: layer, Optional: true}}},
		{"/mux/7", f.auth, require()},
		{"/strict", f.strict, require(middleware.Scope("orders:read"))},
		{"/narrow", f.narrow, require()},
		{"/two", f.two, require()},
		{"/keyed", f.keyed, []Guard{{}, {Layer: layer, Requirements: []middleware.Requirement{middleware.Scope("orders:read")}}}},
		{"/keyed/optional", f.keyed, []Guard{{Optional: true}}},
		{"/dark", f.dark, require()},
		{"/dark/optional", f.dark, []Guard{{Optional: true}}},
	}
}

type response struct {
	Status int
	Header http.Header
	Body   []byte
}

// send sends a request whose header lines go out exactly as they are.
func send(t *testing.T, addr net.Addr, c testCase) *response {
	t.Helper()
	conn, err := net.Dial("tcp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	method := c.method
	if method == "" {
		method = "GET"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: api.example.test\r\nConnection: close\r\n", method, c.path)
	for _, h := range c.headers {
		b.WriteString(h + "\r\n")
	}
	if c.body != "" {
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(c.body))
	}
	b.WriteString("\r\n" + c.body)
	go func() { _, _ = io.WriteString(conn, b.String()) }()
	resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		t.Fatalf("no answer: %v", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return &response{resp.StatusCode, resp.Header, body}
}
