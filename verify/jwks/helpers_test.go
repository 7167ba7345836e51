package jwks_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/bearerkit/bearerkit/verify"
	"github.com/bearerkit/bearerkit/verify/jwks"
)

func TestMain(m *testing.M) {
	if beChild != nil && os.Getenv(childURL) != "" {
		beChild()
		return
	}
	goleak.VerifyTestMain(m)
}

// childURL is in the environment of the processes that TestFrozenProcess starts,
// which are beChild; nil where the system cannot freeze them.
const childURL = "BEARERKIT_CHILD_URL"

var beChild func()

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

type jwk = map[string]any

// with returns a copy of a key with members set, or removed if nil.
func with(k jwk, members ...any) jwk {
	c := jwk{}
	for name, v := range k {
		c[name] = v
	}
	for i := 0; i < len(members); i += 2 {
		if members[i+1] == nil {
			delete(c, members[i].(string))
		} else {
			c[members[i].(string)] = members[i+1]
		}
	}
	return c
}

// newKey makes a P-256 key: they are cheap.
func newKey(kid string) jwk {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	p, err := k.PublicKey.Bytes()
	if err != nil {
		panic(err)
	}
	return jwk{"kty": "EC", "crv": "P-256", "kid": kid, "x": b64(p[1:33]), "y": b64(p[33:])}
}

func document(keys ...jwk) string {
	if keys == nil {
		keys = []jwk{}
	}
	b, err := json.Marshal(map[string]any{"keys": keys})
	if err != nil {
		panic(err)
	}
	return string(b)
}

// has is a Refresh condition: the set has a key of that ID.
func has(kid string) func(*verify.KeySet) bool {
	return func(s *verify.KeySet) bool { return slices.Contains(s.IDs(), kid) }
}

func anySet(*verify.KeySet) bool { return true }

func nothing(*verify.KeySet) bool { return false }

const (
	issuerURL = "https://issuer.example"
	keysURL   = "https://keys.example/set"
)

// A fakeIssuer is an issuer behind a transport, without a network: a synctest
// bubble drives it.
type fakeIssuer struct {
	mu      sync.Mutex
	handler http.HandlerFunc
	log     []request
	running int
	most    int // requests at once, at most
}

type request struct {
	at   time.Time
	url  string
	etag string

	cacheControl string
}

func (f *fakeIssuer) RoundTrip(r *http.Request) (*http.Response, error) {
	f.mu.Lock()
	f.log = append(f.log, request{time.Now(), r.URL.String(), r.Header.Get("If-None-Match"), r.Header.Get("Cache-Control")})
	f.running++
	f.most = max(f.most, f.running)
	h := f.handler
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		f.running--
		f.mu.Unlock()
	}()
	w := httptest.NewRecorder()
	h(w, r)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	resp := w.Result()
	resp.Request = r
	return resp, nil
}

func (f *fakeIssuer) set(h http.HandlerFunc) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.handler = h
}

// requests returns what was asked since the last call.
func (f *fakeIssuer) requests() []request {
	f.mu.Lock()
	defer f.mu.Unlock()
	log := f.log
	f.log = nil
	return log
}

func serving(body string, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		_, _ = w.Write([]byte(body))
	}
}

func status(code int, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(code)
	}
}

// slowly answers after a while, unless the request ends before.
func slowly(d time.Duration, h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-time.After(d):
			h(w, r)
		case <-r.Context().Done():
		}
	}
}

func hanging(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// open makes a source, bound and started.
func open(t testing.TB, c jwks.Config) *jwks.Source {
	t.Helper()
	if c.Logger == nil {
		c.Logger = quiet()
	}
	s := jwks.New(c)
	if err := s.Bind(issuerOf(c)); err != nil {
		t.Fatal(err)
	}
	_, _ = s.KeySet()
	return s
}

func issuerOf(c jwks.Config) string {
	if c.Issuer != "" {
		return c.Issuer
	}
	return issuerURL
}

// ready makes a source of a fake issuer's key set and awaits the first answer.
func ready(t testing.TB, f *fakeIssuer, c jwks.Config) *jwks.Source {
	t.Helper()
	c.Client = &http.Client{Transport: f}
	if c.URL == "" {
		c.URL = keysURL
	}
	s := open(t, c)
	if _, err := s.Refresh(context.Background(), verify.Demand{Satisfied: anySet}); err != nil {
		t.Fatal(err)
	}
	return s
}

func wantKeys(t testing.TB, s *jwks.Source, ids ...string) {
	t.Helper()
	set, err := s.KeySet()
	if err != nil {
		t.Fatalf("no key set: %v", err)
	}
	if got := set.IDs(); !slices.Equal(got, ids) {
		t.Fatalf("keys are %q, want %q", got, ids)
	}
}

func jsonText(v any) string { return string(must(json.Marshal(v))) }
