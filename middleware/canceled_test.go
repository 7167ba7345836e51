package middleware_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bearerkit/bearerkit/adapters/httpauth"
	"github.com/bearerkit/bearerkit/middleware"
	"github.com/bearerkit/bearerkit/verify"
	"github.com/bearerkit/bearerkit/verify/introspect"
	"github.com/bearerkit/bearerkit/verify/jwks"
	"github.com/bearerkit/bearerkit/verify/verifytest"
)

// waiting waits as a database does for a caller that hangs up: until the
// context ends, whose error comes back wrapped.
func waiting(ctx context.Context) error {
	<-ctx.Done()
	return fmt.Errorf("query: %w", ctx.Err())
}

// A client that hangs up while a request is being decided is a separate outcome. It
// is not a failure of the service, and only logged at level Debug. What ends by a
// layer's deadline, or by a shutdown with a cause, is a failure.
func TestClientHangsUp(t *testing.T) {
	for name, c := range map[string]struct {
		end    func(context.Context) (context.Context, context.CancelFunc)
		reason string // beside "canceled"
	}{
		"client": {context.WithCancel, ""},
		"client, below a layer's deadline": {func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			ctx, stop := context.WithTimeout(ctx, time.Hour)
			return ctx, func() { cancel(); stop() }
		}, ""},
		"deadline": {func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithDeadline(ctx, time.Now().Add(-time.Second))
			return ctx, cancel
		}, "unavailable"},
		"cause": {func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancelCause(ctx)
			return ctx, func() { cancel(errors.New("shutting down")) }
		}, "unavailable"},
	} {
		for where, reason := range map[string]middleware.Reason{"user": "user_unavailable", "requirement": "requirement_unavailable", "keys": "unavailable", "introspection": "unavailable"} {
			t.Run(name+", "+where, func(t *testing.T) {
				var log bytes.Buffer
				var seen []middleware.Decision
				ctx, cancel := c.end(t.Context())
				defer cancel()
				config := middleware.Config{
					Logger:   slog.New(slog.NewTextHandler(&log, nil)),
					Observer: middleware.ObserverFunc(func(_ context.Context, d middleware.Decision) { seen = append(seen, d) }),
				}
				wait := func(ctx context.Context) error { cancel(); return waiting(ctx) }
				if where == "user" {
					config.User = middleware.Resolve(func(ctx context.Context, _ *verify.Token) (user, error) { return user{}, wait(ctx) })
				}
				issuer := verifytest.NewServer()
				defer issuer.Close()
				trusted := verify.Issuer{Issuer: issuer.Issuer(), Audience: []string{issuer.Audience()},
					Keys: jwks.New(jwks.Config{Issuer: issuer.Issuer(), Logger: slog.New(slog.DiscardHandler)})}
				token := issuer.Token(nil)
				switch where {
				case "keys":
					issuer.Fail(verifytest.JWKS, verifytest.Hang())
					time.AfterFunc(10*time.Millisecond, cancel)
				case "introspection":
					trusted.Introspection = &verify.Introspection{Introspector: introspect.New(introspect.Config{
						Auth: introspect.Basic(verifytest.ClientID, verifytest.ClientSecret), Logger: slog.New(slog.DiscardHandler)})}
					token = issuer.OpaqueToken(nil)
					issuer.Fail(verifytest.Introspection, verifytest.Hang())
					time.AfterFunc(10*time.Millisecond, cancel)
				}
				v := must(verify.New(verify.Config{Issuers: []verify.Issuer{trusted}}))
				defer v.Close()
				auth := must(middleware.New(v, config))
				guard := auth.Require()
				if where == "requirement" {
					guard = auth.Require(middleware.Func("no", func(ctx context.Context, _ *verify.Token) error {
						return errors.Join(wait(ctx), verify.ErrUnavailable)
					}))
				}
				if where != "keys" && where != "introspection" {
					ready(t, issuer, auth)
				}
				_, f := guard.Decide(request(token).WithContext(ctx))
				if f == nil || len(seen) != 1 {
					t.Fatalf("refusal %v, observed %v", f, seen)
				}
				if c.reason != "" {
					if f.Status != 503 || f.Reason != reason || seen[0].Outcome != middleware.Refused || seen[0].Status != 503 {
						t.Errorf("refusal %+v, observed %+v", f, seen[0])
					}
					if !strings.Contains(log.String(), "reason="+string(reason)) {
						t.Errorf("the log is silent: %s", &log)
					}
					return
				}
				if f.Status != 499 || f.Reason != "canceled" || seen[0].Outcome != middleware.Canceled || seen[0].Status != 499 || seen[0].Reason != "canceled" {
					t.Errorf("refusal %+v, observed %+v", f, seen[0])
				}
				if len(f.Header["Www-Authenticate"]) > 0 || f.Header.Get("Retry-After") != "" || f.Err == nil {
					t.Errorf("refusal %+v", f)
				}
				if log.Len() > 0 {
					t.Errorf("the log has %s", &log)
				}
			})
		}
	}
}

// ready waits until an Auth has its issuer's keys.
func ready(t *testing.T, issuer *verifytest.Server, auth *middleware.Auth) {
	t.Helper()
	if _, err := auth.Verifier().Verify(t.Context(), issuer.Token(nil)); err != nil {
		t.Fatal(err)
	}
}

// The same over a network: the client closes its connection.
func TestClientClosesItsConnection(t *testing.T) {
	outcome := make(chan middleware.Decision, 1)
	asked := make(chan struct{})
	var once atomic.Bool
	issuer, auth := newAuth(t, middleware.Config{
		Observer: middleware.ObserverFunc(func(_ context.Context, d middleware.Decision) { outcome <- d }),
		User: middleware.Resolve(func(ctx context.Context, _ *verify.Token) (user, error) {
			if once.CompareAndSwap(false, true) {
				close(asked)
			}
			return user{}, waiting(ctx)
		}),
	})
	service := httptest.NewServer(httpauth.Require(auth)(http.NotFoundHandler()))
	defer service.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r := must(http.NewRequestWithContext(ctx, "GET", service.URL, nil))
	r.Header.Set("Authorization", "Bearer "+issuer.Token(nil))
	go func() { <-asked; cancel() }()
	if resp, err := http.DefaultClient.Do(r); err == nil {
		resp.Body.Close()
		t.Fatal("an answer")
	}
	select {
	case d := <-outcome:
		if d.Outcome != middleware.Canceled {
			t.Errorf("%+v", d)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("not decided")
	}
}
