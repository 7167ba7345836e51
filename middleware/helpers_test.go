package middleware_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/bearerkit/bearerkit/middleware"
	"github.com/bearerkit/bearerkit/verify"
	"github.com/bearerkit/bearerkit/verify/jwks"
	"github.com/bearerkit/bearerkit/verify/verifytest"
)

type user struct{ id string }

// newAuth makes an Auth of a running issuer.
func newAuth(t testing.TB, c middleware.Config) (*verifytest.Server, *middleware.Auth) {
	t.Helper()
	issuer := verifytest.NewServer()
	t.Cleanup(issuer.Close)
	v, err := verify.New(verify.Config{Issuers: []verify.Issuer{{Issuer: issuer.Issuer(), Audience: []string{issuer.Audience()}, Keys: jwks.Discover(issuer.Issuer())}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { v.Close() })
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	auth, err := middleware.New(v, c)
	if err != nil {
		t.Fatal(err)
	}
	return issuer, auth
}

// newStatic makes an Auth that has the keys of its issuer from the start; edit,
// if there is one, changes the verifier's configuration.
func newStatic(t testing.TB, c middleware.Config, edit func(*verify.Config)) (*verifytest.Server, *middleware.Auth) {
	t.Helper()
	return newStaticOf(t, edit, &c)
}

// newStaticOf is newStatic for a configuration that edit may change too.
func newStaticOf(t testing.TB, edit func(*verify.Config), c *middleware.Config) (*verifytest.Server, *middleware.Auth) {
	t.Helper()
	issuer := verifytest.NewInMemory("https://issuer.example")
	t.Cleanup(issuer.Close)
	return issuer, staticAuth(t, issuer, edit, c)
}

// newStaticWith is newStatic for an issuer that is there already.
func newStaticWith(t testing.TB, issuer *verifytest.Server, c middleware.Config) *middleware.Auth {
	t.Helper()
	return staticAuth(t, issuer, nil, &c)
}

func staticAuth(t testing.TB, issuer *verifytest.Server, edit func(*verify.Config), c *middleware.Config) *middleware.Auth {
	t.Helper()
	var keys []verify.Key
	for _, k := range issuer.Keys() {
		keys = append(keys, verify.Key{ID: k.ID, Algorithm: k.Algorithm, Public: k.Public()})
	}
	config := verify.Config{Issuers: []verify.Issuer{{
		Issuer: issuer.Issuer(), Audience: []string{issuer.Audience()}, Keys: jwks.Static(keys...),
	}}}
	if edit != nil {
		edit(&config)
	}
	v, err := verify.New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { v.Close() })
	auth, err := middleware.New(v, *c)
	if err != nil {
		t.Fatal(err)
	}
	return auth
}

func findUser(_ context.Context, t *verify.Token) (user, error) { return user{t.Subject}, nil }

func request(token string) *http.Request {
	r := httptest.NewRequest("GET", "/", nil)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	return r
}

// refused decides and writes, as an adapter does, and returns the answer, or
// nil if the request was admitted.
func refused(g *middleware.Guard, r *http.Request) *http.Response {
	_, f := g.Decide(r)
	if f == nil {
		return nil
	}
	w := httptest.NewRecorder()
	f.Write(w, r)
	return w.Result()
}

// refusal decides about a request with a token and returns the refusal, or nil.
func refusal(g *middleware.Guard, token string) *middleware.Refusal {
	_, f := g.Decide(request(token))
	return f
}

// metadataDocument returns the body of the protected resource metadata.
func metadataDocument(auth *middleware.Auth) string {
	w := httptest.NewRecorder()
	auth.MetadataHandler().ServeHTTP(w, httptest.NewRequest("GET", auth.MetadataPath(), nil))
	return w.Body.String()
}
