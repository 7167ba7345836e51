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
	v, err := verify.New(verify.Config{Issuer: issuer.Issuer(), Audience: []string{issuer.Audience()}, Keys: jwks.Discover(issuer.Issuer())})
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
