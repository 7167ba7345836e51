package middleware_test

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/bearerkit/bearerkit/middleware"
	"github.com/bearerkit/bearerkit/verify"
	"github.com/bearerkit/bearerkit/verify/introspect"
	"github.com/bearerkit/bearerkit/verify/jwks"
	"github.com/bearerkit/bearerkit/verify/verifytest"
)

// newAsking returns an Auth whose issuer has introspection, and which has the keys of
// the issuer.
func newAsking(t testing.TB, c middleware.Config) (*verifytest.Server, *middleware.Auth) {
	t.Helper()
	issuer := verifytest.NewInMemory("https://issuer.example")
	t.Cleanup(issuer.Close)
	var keys []verify.Key
	for _, k := range issuer.Keys() {
		keys = append(keys, verify.Key{ID: k.ID, Algorithm: k.Algorithm, Public: k.Public()})
	}
	v, err := verify.New(verify.Config{
		Issuers: []verify.Issuer{{
			Issuer: issuer.Issuer(), Audience: []string{issuer.Audience()}, Keys: jwks.Static(keys...),
			Introspection: &verify.Introspection{Introspector: introspect.New(introspect.Config{
				Auth: introspect.Basic(verifytest.ClientID, verifytest.ClientSecret), Client: issuer.Client(), Logger: slog.New(slog.DiscardHandler),
			})},
		}},
	})
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

func questions(issuer *verifytest.Server) int { return issuer.Requests(verifytest.Introspection) }

// A guard with Fresh asks on every request, wherever Fresh stands.
func TestFreshAsks(t *testing.T) {
	issuer, auth := newAsking(t, middleware.Config{})
	read, other := middleware.Scope("read"), middleware.Scope("other")
	for _, tc := range []struct {
		name         string
		requirements []middleware.Requirement
		fresh        bool
		status       int // for a good token
	}{
		{"none", nil, false, 0},
		{"others", []middleware.Requirement{read}, false, 0},
		{"alone", []middleware.Requirement{middleware.NotRevoked()}, true, 0},
		{"first", []middleware.Requirement{middleware.NotRevoked(), read}, true, 0},
		{"last", []middleware.Requirement{read, middleware.NotRevoked()}, true, 0},
		{"with an unmet one", []middleware.Requirement{other, middleware.NotRevoked()}, true, 403},
		{"in All", []middleware.Requirement{middleware.All(read, middleware.NotRevoked())}, true, 0},
		{"in All with an unmet one", []middleware.Requirement{middleware.All(other, middleware.NotRevoked())}, true, 403},
		{"first in Any", []middleware.Requirement{middleware.Any(middleware.NotRevoked(), other)}, true, 0},
		{"last in Any", []middleware.Requirement{middleware.Any(other, middleware.NotRevoked())}, true, 0},
		{"last in Any behind one that is met", []middleware.Requirement{middleware.Any(read, middleware.NotRevoked())}, true, 0},
		{"deep", []middleware.Requirement{middleware.Any(other, middleware.All(read, middleware.Any(other, middleware.NotRevoked())))}, true, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for kind, g := range map[string]*middleware.Guard{"Require": auth.Require(tc.requirements...), "Optional": auth.Optional(tc.requirements...)} {
				token := issuer.Token(verifytest.Claims{"scope": "read"})
				status := func() int {
					if resp := refused(g, request(token)); resp != nil {
						return resp.StatusCode
					}
					return 0
				}
				for range 3 {
					before := questions(issuer)
					if got := status(); got != tc.status {
						t.Errorf("%s: status %d, want %d", kind, got, tc.status)
					}
					if asked := questions(issuer) - before; asked > 0 != tc.fresh || asked > 1 {
						t.Errorf("%s: %d questions", kind, asked)
					}
				}
				if issuer.Revoke(token); tc.fresh {
					if got := status(); got != http.StatusUnauthorized {
						t.Errorf("%s: a revoked token gets %d", kind, got)
					}
				}
			}
		})
	}
}

// A guard's challenge asks for the scopes of Any's first alternative alone, with
// Fresh behind it or not.
func TestFreshInAnyLeavesTheChallenge(t *testing.T) {
	issuer, auth := newAsking(t, middleware.Config{})
	g := auth.Require(middleware.Any(middleware.Scope("a"), middleware.All(middleware.NotRevoked(), middleware.Scope("b"))))
	resp := refused(g, request(issuer.Token(nil)))
	if resp == nil || !strings.Contains(resp.Header.Get("WWW-Authenticate"), `scope="a"`) {
		t.Errorf("%+v", resp)
	}
}

// What a Fresh route answers, and what its answer means to the others.
func TestFreshRefusals(t *testing.T) {
	issuer, auth := newAsking(t, middleware.Config{})
	sensitive, plain := auth.Require(middleware.NotRevoked()), auth.Require()
	check := func(g *middleware.Guard, token string, status int, challenge string) {
		t.Helper()
		resp := refused(g, request(token))
		switch {
		case resp == nil:
			if status != 0 {
				t.Errorf("admitted, want %d", status)
			}
			return
		case resp.StatusCode != status || !strings.Contains(resp.Header.Get("WWW-Authenticate"), challenge):
			t.Errorf("%d %q, want %d %q", resp.StatusCode, resp.Header.Get("WWW-Authenticate"), status, challenge)
		}
		if retry := resp.Header.Get("Retry-After"); (retry != "") != (status == 503) {
			t.Errorf("Retry-After %q", retry)
		}
		if status == 503 && resp.Header.Get("WWW-Authenticate") != "" {
			t.Error("a 503 challenges")
		}
	}
	const inactive = `error="invalid_token", error_description="the token is not active"`
	jwt, opaque := issuer.Token(nil), issuer.OpaqueToken(nil)
	for _, token := range []string{jwt, opaque} {
		check(sensitive, token, 0, "")
		check(plain, token, 0, "")
	}
	for name, fault := range map[string]verifytest.Fault{
		"400": verifytest.Status(400), "401": verifytest.Status(401), "500": verifytest.Status(500), "503": verifytest.Status(503),
		"page": verifytest.Body("text/html", "<html>"), "cut": verifytest.Cut(),
	} {
		issuer.Fail(verifytest.Introspection, fault)
		for _, token := range []string{jwt, opaque} {
			check(sensitive, token, 503, "")
			check(plain, token, 0, "") // the cached answer is enough for that
		}
		check(plain, "another", 503, "")
		if t.Failed() {
			t.Fatal(name)
		}
	}
	issuer.Heal()
	for _, token := range []string{jwt, opaque} {
		issuer.Revoke(token)
		check(plain, token, 0, "")
		check(sensitive, token, 401, inactive)
		check(plain, token, 401, inactive)
	}
	before := questions(issuer)
	check(sensitive, "", 401, "Bearer")
	check(sensitive, issuer.Token(verifytest.Claims{"aud": "other"}), 401, "another audience")
	check(sensitive, issuer.Token(nil)+".c", 401, "malformed")
	check(sensitive, "no token", 400, "invalid_request")
	if n := questions(issuer) - before; n != 0 {
		t.Errorf("%d questions", n)
	}
}

// Fresh on a route of an issuer that cannot be asked is a mistake that shows when
// the service starts.
func TestFreshNeedsIntrospection(t *testing.T) {
	_, without := newAuth(t, middleware.Config{})
	asking := func(name string, ask bool) verify.Issuer {
		is := verify.Issuer{Issuer: name, Audience: []string{"x"}, Keys: jwks.Discover(name)}
		if ask {
			is.Introspection = &verify.Introspection{Introspector: introspect.New(introspect.Config{Auth: introspect.Basic("a", "b")})}
		}
		return is
	}
	build := func(issuers ...verify.Issuer) *middleware.Auth {
		v, err := verify.New(verify.Config{Issuers: issuers})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { v.Close() })
		auth, err := middleware.New(v, middleware.Config{})
		if err != nil {
			t.Fatal(err)
		}
		return auth
	}
	// Nothing listens there; nobody is asked in this test.
	const a, b = "http://127.0.0.1:1", "http://127.0.0.1:2"
	one := build(asking(a, true), asking(b, false))
	both := build(asking(a, true), asking(b, true))
	panics := func(auth *middleware.Auth, q ...middleware.Requirement) (does bool) {
		defer func() { does = recover() != nil }()
		auth.Require(q...)
		return false
	}
	for name, q := range map[string]middleware.Requirement{
		"Fresh": middleware.NotRevoked(),
		"All":   middleware.All(middleware.OnlyUsers(), middleware.NotRevoked()),
		"Any":   middleware.Any(middleware.OnlyUsers(), middleware.NotRevoked()),
	} {
		if !panics(without, q) || !panics(one, q) || panics(both, q) {
			t.Errorf("%s: %v %v %v", name, panics(without, q), panics(one, q), panics(both, q))
		}
	}
	if panics(without, middleware.OnlyUsers()) {
		t.Error("without Fresh")
	}
}

// Guards that follow each other ask once, and only if one of them has Fresh; what
// an earlier one without it has found out is not enough.
func TestFreshAfterOtherGuards(t *testing.T) {
	users := 0
	issuer, auth := newAsking(t, middleware.Config{User: middleware.Resolve(func(_ context.Context, t *verify.Token) (user, error) {
		users++
		return user{t.Subject}, nil
	})})
	plain, sensitive, scoped := auth.Require(), auth.Require(middleware.NotRevoked()), auth.Require(middleware.NotRevoked(), middleware.OnlyUsers())
	tokens := map[string]string{
		"JWT":            issuer.Token(nil),
		"opaque":         issuer.OpaqueToken(nil),
		"without an exp": issuer.OpaqueToken(verifytest.Claims{"exp": nil}),
	}
	for name, token := range tokens {
		if _, f := plain.Decide(request(token)); f != nil { // the answer is cached
			t.Fatal(f.Err)
		}
		for _, tc := range []struct {
			name   string
			guards []*middleware.Guard
			asked  int
			users  int
		}{
			{"plain", []*middleware.Guard{plain, plain}, 0, 1},
			{"plain, Fresh", []*middleware.Guard{plain, sensitive}, 1, 2},
			{"Fresh, plain", []*middleware.Guard{sensitive, plain}, 1, 1},
			{"Fresh twice", []*middleware.Guard{sensitive, scoped}, 1, 1},
			{"all", []*middleware.Guard{plain, sensitive, plain, scoped}, 1, 2},
		} {
			before := questions(issuer)
			users = 0
			r := request(token)
			for _, g := range tc.guards {
				next, f := g.Decide(r)
				if f != nil {
					t.Fatalf("%s, %s: %v", name, tc.name, f.Err)
				}
				r = next
			}
			if asked := questions(issuer) - before; asked != tc.asked || users != tc.users {
				t.Errorf("%s, %s: %d questions, %d look-ups of the user, want %d and %d", name, tc.name, asked, users, tc.asked, tc.users)
			}
			got, _ := middleware.TokenFrom(r.Context())
			if got == nil || tc.asked > 0 && got.Introspected.IsZero() {
				t.Errorf("%s, %s: %+v", name, tc.name, got)
			}
		}
		// It is revoked between two guards.
		r, f := plain.Decide(request(token))
		if f != nil {
			t.Fatal(f.Err)
		}
		issuer.Revoke(token)
		if _, f := sensitive.Decide(r); f == nil || f.Status != http.StatusUnauthorized || f.Reason != middleware.Reason(verify.ErrInactive) {
			t.Errorf("%s: %+v", name, f)
		}
	}
}

// Optional with Fresh lets those in who present nothing, and asks about whatever
// is presented.
func TestOptionalFresh(t *testing.T) {
	issuer, auth := newAsking(t, middleware.Config{})
	g := auth.Optional(middleware.NotRevoked())
	next, f := g.Decide(request(""))
	if f != nil || questions(issuer) != 0 {
		t.Errorf("%+v, %d questions", f, questions(issuer))
	}
	if _, ok := middleware.TokenFrom(next.Context()); ok {
		t.Error("a token from nowhere")
	}
	token := issuer.Token(nil)
	if next, f = g.Decide(request(token)); f != nil || questions(issuer) != 1 {
		t.Fatalf("%+v, %d questions", f, questions(issuer))
	}
	if got, ok := middleware.TokenFrom(next.Context()); !ok || got.Introspected.IsZero() {
		t.Errorf("%+v", got)
	}
	issuer.Revoke(token)
	if _, f = g.Decide(request(token)); f == nil || f.Status != http.StatusUnauthorized {
		t.Errorf("%+v", f)
	}
	issuer.Down()
	if _, f = g.Decide(request(token)); f == nil || f.Status != http.StatusServiceUnavailable {
		t.Errorf("%+v", f)
	}
	if _, f = g.Decide(request("")); f != nil {
		t.Errorf("%+v", f)
	}
}
