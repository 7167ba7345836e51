package introspect_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"runtime"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/bearerkit/bearerkit/verify"
	"github.com/bearerkit/bearerkit/verify/introspect"
	"github.com/bearerkit/bearerkit/verify/jwks"
	"github.com/bearerkit/bearerkit/verify/verifytest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const issuerURL = "https://issuer.example"

// newIssuer makes an issuer in memory; in a bubble its delays take fake time.
func newIssuer(t testing.TB) *verifytest.Server {
	t.Helper()
	s := verifytest.NewInMemory(issuerURL)
	t.Cleanup(s.Close)
	return s
}

func basic() introspect.ClientAuth {
	return introspect.Basic(verifytest.ClientID, verifytest.ClientSecret)
}

// open makes a source that asks an issuer, bound to it.
func open(t testing.TB, issuer *verifytest.Server, edit func(*introspect.Config)) *introspect.Source {
	t.Helper()
	s := introspect.New(config(issuer, edit))
	if err := s.Bind(issuer.Issuer(), nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func config(issuer *verifytest.Server, edit func(*introspect.Config)) introspect.Config {
	c := introspect.Config{
		Auth: basic(), URL: issuer.URL(verifytest.Introspection), Client: issuer.Client(), Logger: slog.New(slog.DiscardHandler),
	}
	if edit != nil {
		edit(&c)
	}
	return c
}

// verifier makes a verifier that has the issuer's keys and introspects its tokens.
func verifier(t testing.TB, issuer *verifytest.Server, always bool, edit func(*introspect.Config)) (*verify.Verifier, *introspect.Source) {
	t.Helper()
	s := introspect.New(config(issuer, edit))
	var keys []verify.Key
	for _, k := range issuer.Keys() {
		keys = append(keys, verify.Key{ID: k.ID, Algorithm: k.Algorithm, Public: k.Public()})
	}
	v, err := verify.New(verify.Config{
		Issuers: []verify.Issuer{{
			Issuer: issuer.Issuer(), Audience: []string{issuer.Audience()}, Keys: jwks.Static(keys...),
			Introspection: &verify.Introspection{Introspector: s, Always: always},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { v.Close() })
	for always && healthOf(s).Counters.Checks == 0 { // it starts with a check
		runtime.Gosched() // no time passes in a bubble
	}
	return v, s
}

func query(token string) *verify.Query {
	return &verify.Query{Token: token, Digest: sha256.Sum256([]byte(token))}
}

// verified is a query about a verified JWT.
func verified(token string) *verify.Query {
	q := query(token)
	q.Verified = true
	return q
}

func fresh(token string) *verify.Query {
	q := query(token)
	q.Fresh = true
	return q
}

func known(token string) *verify.Query {
	q := query(token)
	q.CacheOnly = true
	return q
}

// ask returns an answer; there must be one.
func ask(t testing.TB, s *introspect.Source, q *verify.Query) *verify.Answer {
	t.Helper()
	a, err := s.Introspect(context.Background(), q)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// fail returns an error; there must be one.
func fail(t testing.TB, s *introspect.Source, q *verify.Query) error {
	t.Helper()
	a, err := s.Introspect(context.Background(), q)
	if err == nil || a != nil {
		t.Fatalf("answer %+v, error %v", a, err)
	}
	return err
}

// accept and refuse check the decision of a verifier.
func accept(t testing.TB, v *verify.Verifier, token string) *verify.Token {
	t.Helper()
	got, err := v.Verify(context.Background(), token)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func refuse(t testing.TB, err error, want verify.Reason) {
	t.Helper()
	var e *verify.Error
	if !errors.As(err, &e) || e.Reason != want {
		t.Fatalf("%v, want %q", err, string(want))
	}
}

// A record is a request to an endpoint.
type record struct {
	form   url.Values
	header http.Header
}

// A recorder is a fault that records requests and answers normally.
type recorder struct {
	mu  sync.Mutex
	log []record
}

func (r *recorder) fault(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		_ = req.ParseForm()
		r.mu.Lock()
		r.log = append(r.log, record{req.PostForm, req.Header.Clone()})
		r.mu.Unlock()
		next.ServeHTTP(w, req)
	})
}

// records returns the requests since the last call.
func (r *recorder) records() []record {
	r.mu.Lock()
	defer r.mu.Unlock()
	log := r.log
	r.log = nil
	return log
}

// says answers with JSON.
func says(body string) verifytest.Fault { return verifytest.Body("application/json", body) }

// verifyFresh is VerifyRequest with Fresh, in the form of Verify.
func verifyFresh(v *verify.Verifier) func(context.Context, string) (*verify.Token, error) {
	return func(ctx context.Context, token string) (*verify.Token, error) {
		return v.VerifyRequest(ctx, &verify.Request{Token: token, Fresh: true})
	}
}
