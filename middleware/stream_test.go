package middleware_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bearerkit/bearerkit/middleware"
	"github.com/bearerkit/bearerkit/verify"
	"github.com/bearerkit/bearerkit/verify/jwks"
	"github.com/bearerkit/bearerkit/verify/verifytest"
)

// A stream's context ends with the token, by the clock and the leeway of the
// verifier, and says why; it ends with the request before that.
func TestUntilExpiry(t *testing.T) {
	for name, c := range map[string]struct {
		claims  verifytest.Claims
		skew    time.Duration // of the verifier's clock
		layer   time.Duration // deadline between the guard and the stream; 0: none
		context func(context.Context) context.Context
		after   time.Duration // 0: it does not end by itself
		cause   error
	}{
		"a minute":                {verifytest.Claims{}, 0, 0, nil, 70 * time.Second, verify.ErrExpired},
		"the verifier's clock":    {verifytest.Claims{}, 20 * time.Second, 0, nil, 50 * time.Second, verify.ErrExpired},
		"a layer ends it earlier": {verifytest.Claims{}, 0, 5 * time.Second, nil, 5 * time.Second, context.DeadlineExceeded},
		"without a guard": {nil, 0, 0, func(ctx context.Context) context.Context {
			return middleware.NewContext(ctx, nil, &verify.Token{Expiry: time.Now().Add(time.Minute)})
		}, time.Minute, verify.ErrExpired},
		"a token that does not expire": {nil, 0, 0, func(ctx context.Context) context.Context {
			return middleware.NewContext(ctx, nil, &verify.Token{})
		}, 0, nil},
		"nobody": {nil, 0, 0, func(ctx context.Context) context.Context { return ctx }, 0, nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				issuer, auth := newClocked(t, c.skew)
				start := time.Now()
				ctx := t.Context()
				if c.context != nil {
					ctx = c.context(ctx)
				} else {
					c.claims["exp"] = start.Add(time.Minute)
					r, f := auth.Require().Decide(request(issuer.Token(c.claims)).WithContext(ctx))
					if f != nil {
						t.Fatal(f)
					}
					ctx = r.Context()
				}
				if c.layer != 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, c.layer)
					defer cancel()
				}
				stream, cancel := middleware.UntilExpiry(ctx)
				defer cancel()
				select {
				case <-stream.Done():
				case <-time.After(24 * time.Hour):
				}
				if c.after == 0 {
					if stream.Err() != nil {
						t.Fatalf("it has ended: %v", context.Cause(stream))
					}
					cancel()
					<-stream.Done()
					return
				}
				if lasted := time.Since(start); lasted != c.after || !errors.Is(context.Cause(stream), c.cause) {
					t.Errorf("it ended after %v by %v, want %v by %v", lasted, context.Cause(stream), c.after, c.cause)
				}
			})
		})
	}
}

// newClocked makes an Auth whose keys are there from the start and whose clock
// is off by skew, with a leeway of ten seconds.
func newClocked(t *testing.T, skew time.Duration) (*verifytest.Server, *middleware.Auth) {
	t.Helper()
	issuer := verifytest.NewInMemory("https://issuer.example")
	t.Cleanup(issuer.Close)
	var keys []verify.Key
	for _, k := range issuer.Keys() {
		keys = append(keys, verify.Key{ID: k.ID, Algorithm: k.Algorithm, Public: k.Public()})
	}
	v, err := verify.New(verify.Config{
		Issuers: []verify.Issuer{{Issuer: issuer.Issuer(), Audience: []string{issuer.Audience()}, Keys: jwks.Static(keys...)}},
		Leeway:  10 * time.Second, Now: func() time.Time { return time.Now().Add(skew) },
	})
	if err != nil {
		t.Fatal(err)
	}
	auth, err := middleware.New(v, middleware.Config{})
	if err != nil {
		t.Fatal(err)
	}
	return issuer, auth
}

// Recheck finds what a new request with the same token would.
func TestRecheck(t *testing.T) {
	issuer, auth := newAsking(t, middleware.Config{})
	token := issuer.Token(nil)
	r, f := auth.Require(middleware.NotRevoked()).Decide(request(token))
	if f != nil {
		t.Fatal(f)
	}
	ctx := context.WithValue(r.Context(), layerKey{}, 1)
	if err := middleware.Recheck(ctx); err != nil {
		t.Errorf("a good token: %v", err)
	}
	issuer.Revoke(token)
	if err := middleware.Recheck(ctx); !errors.Is(err, verify.ErrInactive) {
		t.Errorf("a revoked token: %v", err)
	}
	issuer.Down()
	if err := middleware.Recheck(ctx); !errors.Is(err, verify.ErrUnavailable) {
		t.Errorf("nobody to ask: %v", err)
	}
	for name, ctx := range map[string]context.Context{
		"no guard": t.Context(), "a context for tests": middleware.NewContext(t.Context(), user{"a"}, &verify.Token{}),
	} {
		if err := middleware.Recheck(ctx); !errors.Is(err, verify.ErrUnavailable) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The raw token is what the request was admitted by, and nothing else.
func TestExposeRawToken(t *testing.T) {
	issuer, auth := newAuth(t, middleware.Config{})
	token := issuer.Token(nil)
	r, f := auth.Require().Decide(request(token))
	if f != nil {
		t.Fatal(f)
	}
	if got, ok := middleware.ExposeRawToken(context.WithValue(r.Context(), layerKey{}, 1)); !ok || got != token {
		t.Errorf("%q, %v", got, ok)
	}
	none, f := auth.Optional().Decide(request(""))
	if f != nil {
		t.Fatal(f)
	}
	for name, ctx := range map[string]context.Context{
		"no guard": t.Context(), "nobody": none.Context(), "a context for tests": middleware.NewContext(t.Context(), user{"a"}, &verify.Token{}),
	} {
		if got, ok := middleware.ExposeRawToken(ctx); ok || got != "" {
			t.Errorf("%s: %q, %v", name, got, ok)
		}
	}
}
