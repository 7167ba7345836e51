package middleware_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/bearerkit/bearerkit/adapters/httpauth"
	"github.com/bearerkit/bearerkit/middleware"
	"github.com/bearerkit/bearerkit/verify"
	"github.com/bearerkit/bearerkit/verify/verifytest"
)

type layerKey struct{}

// A layer between two guards keeps what it has put into the context, whichever
// guards they are, and the user is still found and resolved once.
func TestLayersBetweenGuards(t *testing.T) {
	resolved := 0
	config := middleware.Config{User: middleware.Resolve(func(_ context.Context, t *verify.Token) (user, error) {
		resolved++
		return user{t.Subject}, nil
	})}
	issuer, auth := newAuth(t, config)
	same, err := middleware.New(auth.Verifier(), config) // another Auth
	if err != nil {
		t.Fatal(err)
	}
	seesLayer := middleware.Func("no layer", func(ctx context.Context, _ *verify.Token) error {
		if ctx.Value(layerKey{}) == nil {
			return errors.New("the context is not the current request's")
		}
		return nil
	})
	deadline := time.Now().Add(time.Hour)
	for name, c := range map[string]struct {
		guards []*middleware.Guard
		users  int
	}{
		"two":                    {[]*middleware.Guard{auth.Require(), auth.Require(seesLayer)}, 1},
		"three":                  {[]*middleware.Guard{auth.Require(), auth.Require(seesLayer), auth.Optional(seesLayer)}, 1},
		"optional first":         {[]*middleware.Guard{auth.Optional(), auth.Require(seesLayer)}, 1},
		"another Auth":           {[]*middleware.Guard{auth.Require(), same.Require(seesLayer)}, 2},
		"and back":               {[]*middleware.Guard{auth.Require(), same.Require(seesLayer), auth.Require(seesLayer)}, 2},
		"optional in the middle": {[]*middleware.Guard{auth.Require(), same.Optional(seesLayer), auth.Require(seesLayer)}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			resolved = 0
			r := request(issuer.Token(nil))
			var cancels []context.CancelFunc
			for i, g := range c.guards {
				admitted, f := g.Decide(r)
				if f != nil {
					t.Fatalf("guard %d: %+v", i, f)
				}
				ctx, cancel := context.WithDeadline(context.WithValue(admitted.Context(), layerKey{}, i), deadline.Add(-time.Duration(i)*time.Minute))
				defer cancel()
				cancels = append(cancels, cancel)
				r = admitted.WithContext(ctx)
			}
			last := len(c.guards) - 1
			admitted, f := c.guards[last].Decide(r)
			if f != nil {
				t.Fatal(f)
			}
			ctx := admitted.Context()
			if got := ctx.Value(layerKey{}); got != last {
				t.Errorf("the layer's value is %v", got)
			}
			if got, _ := ctx.Deadline(); !got.Equal(deadline.Add(-time.Duration(last) * time.Minute)) {
				t.Errorf("the deadline is %v", got)
			}
			if u, _ := middleware.UserFrom[user](ctx); u.id != "user_1" || resolved != c.users {
				t.Errorf("user %v, resolved %d times, want %d", u, resolved, c.users)
			}
			cancels[last]()
			if ctx.Err() == nil {
				t.Error("the layer's cancellation does not reach the handler")
			}
		})
	}
}

// A guard behind another, without a layer in between, costs no copy.
func TestNestedGuardReturnsTheRequest(t *testing.T) {
	issuer, auth := newAuth(t, middleware.Config{})
	first, _ := auth.Require().Decide(request(issuer.Token(nil)))
	if second, f := auth.Require().Decide(first); f != nil || second != first {
		t.Errorf("%v, another request: %v", f, second != first)
	}
}

// An Observer counts a request once, however many guards it passes; a refusal
// by a later guard is told as one.
func TestNestedGuardsCountOnce(t *testing.T) {
	var seen []string
	issuer, auth := newAuth(t, middleware.Config{Observer: middleware.ObserverFunc(func(_ context.Context, d middleware.Decision) {
		s := string(d.Outcome) + " " + string(d.Reason)
		if d.Nested {
			s += " nested"
		}
		seen = append(seen, s)
	})})
	good := issuer.Token(verifytest.Claims{"scope": "read"})
	layer := func(r *http.Request) *http.Request {
		return r.WithContext(context.WithValue(r.Context(), layerKey{}, 1))
	}
	require, optional := auth.Require(), auth.Optional()
	for name, c := range map[string]struct {
		token  string
		guards []*middleware.Guard
		want   []string
	}{
		"admitted":          {good, []*middleware.Guard{require, optional, auth.Require(middleware.Scope("read"))}, []string{"allowed "}},
		"refused first":     {"", []*middleware.Guard{require}, []string{"refused no_credentials"}},
		"refused later":     {good, []*middleware.Guard{require, auth.Require(middleware.Scope("write"))}, []string{"allowed ", "refused insufficient_scope nested"}},
		"anonymous":         {"", []*middleware.Guard{optional, optional}, []string{"anonymous "}},
		"anonymous refused": {"", []*middleware.Guard{optional, require}, []string{"anonymous ", "refused no_credentials nested"}},
	} {
		seen = nil
		r := request(c.token)
		for _, g := range c.guards {
			admitted, f := g.Decide(r)
			if f != nil {
				break
			}
			r = layer(admitted)
		}
		if !slices.Equal(seen, c.want) {
			t.Errorf("%s: observed %q, want %q", name, seen, c.want)
		}
	}
}

// A record tells a layer outside of all guards what became of a request and for
// whom it was served.
func TestRecord(t *testing.T) {
	issuer, auth := newAuth(t, middleware.Config{User: middleware.Resolve(findUser)})
	good := issuer.Token(verifytest.Claims{"scope": "read"})
	for name, c := range map[string]struct {
		token   string
		guards  []*middleware.Guard
		outcome middleware.Outcome
		status  int
		user    string
	}{
		"no guard":      {good, nil, "", 0, ""},
		"one":           {good, []*middleware.Guard{auth.Require()}, middleware.Allowed, 200, "user_1"},
		"two":           {good, []*middleware.Guard{auth.Optional(), auth.Require(middleware.Scope("read"))}, middleware.Allowed, 200, "user_1"},
		"anonymous":     {"", []*middleware.Guard{auth.Optional()}, middleware.Anonymous, 200, ""},
		"none":          {"", []*middleware.Guard{auth.Require()}, middleware.Refused, 401, ""},
		"bad":           {"a.b.c", []*middleware.Guard{auth.Require()}, middleware.Refused, 401, ""},
		"without scope": {good, []*middleware.Guard{auth.Require(), auth.Require(middleware.Scope("write"))}, middleware.Refused, 403, "user_1"},
	} {
		t.Run(name, func(t *testing.T) {
			var h http.Handler = http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
			for _, g := range slices.Backward(c.guards) {
				h = guarded(g, h)
			}
			outermost, outer := middleware.WithRecord(t.Context())
			ctx, inner := middleware.WithRecord(outermost)
			h.ServeHTTP(httptest.NewRecorder(), request(c.token).WithContext(ctx))
			for _, rec := range []*middleware.Record{outer, inner} {
				d, decided := rec.Decision()
				if decided != (c.outcome != "") || d.Outcome != c.outcome || d.Status != c.status {
					t.Errorf("decision %+v, %v", d, decided)
				}
				if u, _ := middleware.UserFrom[user](rec.Context()); u.id != c.user {
					t.Errorf("user %q, want %q", u.id, c.user)
				}
			}
			if _, ok := middleware.UserFrom[user](ctx); ok {
				t.Error("the user is in the context that came from outside")
			}
		})
	}
}

// guarded is what an adapter for net/http makes of a guard.
func guarded(g *middleware.Guard, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if admitted, ok := g.Serve(w, r, ""); ok {
			defer middleware.Return(r, admitted)
			next.ServeHTTP(w, admitted)
		}
	})
}

// Nested guards, records and a handler that outlives its server's patience are
// free of data races.
func TestNestedGuardsConcurrently(t *testing.T) {
	issuer, auth := newAuth(t, middleware.Config{User: middleware.Resolve(findUser), Observer: middleware.ObserverFunc(func(context.Context, middleware.Decision) {})})
	token := issuer.Token(verifytest.Claims{"scope": "read"})
	outlived := make(chan struct{})
	var running sync.WaitGroup
	inner := httpauth.Require(auth, middleware.Scope("read"))(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		<-outlived
		u, _ := middleware.UserFrom[user](r.Context())
		fmt.Fprintln(w, u.id)
	}))
	h := httpauth.Require(auth)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer running.Done()
		inner.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), layerKey{}, 1)))
	}))
	if resp := refused(auth.Require(), request(token)); resp != nil { // now the keys are there
		t.Fatal(resp.Status)
	}
	impatient := http.TimeoutHandler(h, time.Nanosecond, "")
	var callers sync.WaitGroup
	for range 8 {
		callers.Go(func() {
			for range 20 {
				r := request(token)
				ctx, rec := middleware.WithRecord(r.Context())
				running.Add(1)
				impatient.ServeHTTP(httptest.NewRecorder(), r.WithContext(ctx))
				rec.Decision()
				middleware.UserFrom[user](rec.Context())
			}
		})
	}
	callers.Wait()
	close(outlived)
	running.Wait()
}

// What a layer outside of a guard reads from its own request is there, as if the
// guard had made no copy.
func TestReturn(t *testing.T) {
	issuer, auth := newAuth(t, middleware.Config{})
	mux := http.NewServeMux()
	seen := func(http.ResponseWriter, *http.Request) {}
	mux.HandleFunc("GET /orders/{id}/{rest...}", seen)
	mux.HandleFunc("GET /{$}", seen)
	mux.HandleFunc("POST /form", func(_ http.ResponseWriter, r *http.Request) { _ = r.ParseForm() })
	guardedMux := httpauth.Require(auth)(mux)
	for _, c := range []struct{ method, target, pattern string }{
		{"GET", "/orders/7/a/b", "GET /orders/{id}/{rest...}"},
		{"GET", "/", "GET /{$}"},
		{"POST", "/form?x=y", "POST /form"},
		{"GET", "/nowhere", ""},
	} {
		alone, behind := httptest.NewRequest(c.method, c.target, nil), httptest.NewRequest(c.method, c.target, nil)
		behind.Header.Set("Authorization", "Bearer "+issuer.Token(nil))
		mux.ServeHTTP(httptest.NewRecorder(), alone)
		guardedMux.ServeHTTP(httptest.NewRecorder(), behind)
		if behind.Pattern != alone.Pattern || behind.Pattern != c.pattern {
			t.Errorf("%s: pattern %q, without a guard %q", c.target, behind.Pattern, alone.Pattern)
		}
		for _, name := range []string{"id", "rest", "$"} {
			if got, want := behind.PathValue(name), alone.PathValue(name); got != want {
				t.Errorf("%s: %s is %q, without a guard %q", c.target, name, got, want)
			}
		}
		if got, want := behind.Form.Encode(), alone.Form.Encode(); got != want {
			t.Errorf("%s: form %q, without a guard %q", c.target, got, want)
		}
	}
	// A request that never reached a route keeps what it had.
	r := httptest.NewRequest("GET", "/", nil)
	r.Pattern = "GET /outer"
	middleware.Return(r, r)
	if r.Pattern != "GET /outer" {
		t.Errorf("pattern %q", r.Pattern)
	}
}
