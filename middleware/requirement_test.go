package middleware_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/bearerkit/bearerkit/middleware"
	"github.com/bearerkit/bearerkit/verify"
	"github.com/bearerkit/bearerkit/verify/verifytest"
)

// TestRequirements decides about one token after the other with each requirement
// alone.
func TestRequirements(t *testing.T) {
	now := time.Now().Truncate(time.Second)
	issuer, auth := newStatic(t, middleware.Config{}, func(c *verify.Config) {
		c.Leeway = 10 * time.Second
		c.Now = func() time.Time { return now }
		c.Issuers[0].AllowNoSubject = true
	})
	type claims = verifytest.Claims
	list := func(s ...string) []string { return s }
	at := func(ago time.Duration) claims { return claims{"auth_time": now.Add(-ago).Unix()} }
	for _, c := range []struct {
		name   string
		q      middleware.Requirement
		claims claims
		reason middleware.Reason // of the refusal; "" if there is none
	}{
		{"Scope, met", middleware.Scope("a", "b"), claims{"scope": "b c a"}, ""},
		{"Scope, the second missing", middleware.Scope("a", "b"), claims{"scope": "a"}, "insufficient_scope"},
		{"Scope, empty", middleware.Scope(), claims{"scope": nil}, ""},
		{"Scope, an empty list", middleware.Scope(list()...), claims{"scope": "a"}, ""},
		{"AnyScope, the first", middleware.AnyScope("a", "b"), claims{"scope": "a"}, ""},
		{"AnyScope, the last", middleware.AnyScope("a", "b", "c"), claims{"scope": "c"}, ""},
		{"AnyScope, none", middleware.AnyScope("a", "b"), claims{"scope": "ab"}, "insufficient_scope"},
		{"Permission, met", middleware.Permission("a", "b"), claims{"permissions": list("c", "b", "a")}, ""},
		{"Permission, the second missing", middleware.Permission("a", "b"), claims{"permissions": list("a")}, "permission"},
		{"Permission, empty", middleware.Permission(), nil, ""},
		{"AnyPermission, the first", middleware.AnyPermission("a", "b"), claims{"permissions": list("a")}, ""},
		{"AnyPermission, the last", middleware.AnyPermission("a", "b", "c"), claims{"permissions": list("x", "c")}, ""},
		{"AnyPermission, none", middleware.AnyPermission("a", "b"), claims{"permissions": list("ab")}, "permission"},
		{"Organization, the first", middleware.Organization("a", "b"), claims{"org_id": "a"}, ""},
		{"Organization, the last", middleware.Organization("a", "b"), claims{"org_id": "b"}, ""},
		{"Organization, another", middleware.Organization("a", "b"), claims{"org_id": "A"}, "organization"},
		{"Organization, none", middleware.Organization("a"), claims{"org_id": ""}, "organization"},
		{"User, met", middleware.OnlyUsers(), claims{"sub": "user_1"}, ""},
		{"User, without a subject", middleware.OnlyUsers(), claims{"sub": nil, "client_id": "app"}, "not_user"},
		{"User, without subject and client", middleware.OnlyUsers(), claims{"sub": nil, "client_id": nil}, "not_user"},
		{"User, a machine", middleware.OnlyUsers(), claims{"sub": "app", "client_id": "app"}, "not_user"},
		{"User, a machine of Auth0's", middleware.OnlyUsers(), claims{"sub": "app@clients", "client_id": "app"}, "not_user"},
		{"Machine, met", middleware.OnlyMachines(), claims{"sub": "app", "client_id": "app"}, ""},
		{"Machine, a user", middleware.OnlyMachines(), claims{"sub": "user_1"}, "not_machine"},
		{"Machine, neither subject nor client", middleware.OnlyMachines(), claims{"sub": nil, "client_id": nil}, "not_machine"},
		{"MaxAge, just", middleware.MaxAge(time.Minute), at(time.Minute), ""},
		{"MaxAge, a second too old", middleware.MaxAge(time.Minute), at(time.Minute + time.Second), "max_age"},
		{"MaxAge, ahead within the leeway", middleware.MaxAge(time.Minute), at(-10 * time.Second), ""},
		{"MaxAge, ahead by more", middleware.MaxAge(time.Minute), at(-11 * time.Second), "max_age"},
		{"MaxAge, ahead by a day", middleware.MaxAge(time.Minute), at(-24 * time.Hour), "max_age"},
		{"MaxAge, unknown", middleware.MaxAge(time.Minute), nil, "max_age"},
		{"ACR, the last", middleware.ACR("a", "b"), claims{"acr": "b"}, ""},
		{"ACR, another", middleware.ACR("a", "b"), claims{"acr": "c"}, "acr"},
		{"ACR, none", middleware.ACR("a"), nil, "acr"},
		{"All, met", middleware.All(middleware.Scope("a"), middleware.OnlyUsers()), claims{"scope": "a"}, ""},
		{"All, the last unmet", middleware.All(middleware.Scope("a"), middleware.OnlyMachines()), claims{"scope": "a"}, "not_machine"},
		{"All, empty", middleware.All(), nil, ""},
		{"Any, the last met", middleware.Any(middleware.Scope("a"), middleware.OnlyMachines(), middleware.OnlyUsers()), claims{"scope": "b"}, ""},
		{"Any, none met", middleware.Any(middleware.OnlyMachines(), middleware.Scope("a")), claims{"scope": "b"}, "not_machine"},
		{"Any of an empty All", middleware.Any(middleware.OnlyMachines(), middleware.All()), nil, ""},
		{"alternatives of a document: bearerAuth: []", middleware.Any(middleware.All(middleware.Scope())), nil, ""},
	} {
		reason := middleware.Reason("")
		if _, f := auth.Require(c.q).Decide(request(issuer.Token(c.claims))); f != nil {
			reason = f.Reason
		}
		if reason != c.reason {
			t.Errorf("%s: reason %q, want %q", c.name, reason, c.reason)
		}
	}
}

// TestEmptyLists: a guard whose requirements come from an empty list asks for a
// token and for nothing more.
func TestEmptyLists(t *testing.T) {
	_, auth := newStatic(t, middleware.Config{}, nil)
	guard := auth.Require(middleware.Scope(), middleware.Permission(), middleware.All())
	if _, f := guard.Decide(request("")); f == nil || f.Status != 401 || !slices.Equal(f.Header["Www-Authenticate"], []string{"Bearer"}) {
		t.Errorf("%+v", f)
	}
}

func TestRequirementsThatCannotBe(t *testing.T) {
	for name, f := range map[string]func(){
		"empty scope":           func() { middleware.Scope("") },
		"two scopes in one":     func() { middleware.Scope("a b") },
		"scope with a quote":    func() { middleware.Scope(`a"b`) },
		"scope beyond ASCII":    func() { middleware.Scope("é") },
		"no scope to choose":    func() { middleware.AnyScope() },
		"no permission":         func() { middleware.AnyPermission() },
		"empty permission":      func() { middleware.Permission("") },
		"empty organization":    func() { middleware.Organization("") },
		"no organization":       func() { middleware.Organization() },
		"no age":                func() { middleware.MaxAge(0) },
		"half a second":         func() { middleware.MaxAge(500 * time.Millisecond) },
		"no acr":                func() { middleware.ACR() },
		"acr with a space":      func() { middleware.ACR("a b") },
		"nil func":              func() { middleware.Func("x", nil) },
		"func without a reason": func() { middleware.Func("", func(context.Context, *verify.Token) error { return nil }) },
		"nil request func":      func() { middleware.RequestFunc("x", nil) },
		"request func, quoted":  func() { middleware.RequestFunc(`"x"`, func(*http.Request, *verify.Token) error { return nil }) },
		"any of nothing":        func() { middleware.Any() },
		"nil among all":         func() { middleware.All(middleware.OnlyUsers(), nil) },
		"nil resolver":          func() { middleware.Resolve[user](nil) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			f()
		}()
	}
}

// TestMakersCopy: what a function of the package has made does not change with
// the list that it was made of. All lists have room behind them, so that a
// caller's append writes into the same array.
func TestMakersCopy(t *testing.T) {
	type claims = verifytest.Claims
	room := func(s ...string) []string { return append(make([]string, 0, 8), s...) }
	base := append(make([]middleware.Requirement, 0, 8), middleware.OnlyUsers())
	machine := append(make([]middleware.Requirement, 0, 8), middleware.OnlyMachines())
	for name, c := range map[string]struct {
		make   func(second string) middleware.Requirement // of two values, the first of which is shared
		claims claims                                     // that meet "good" and not "evil"
	}{
		"Scope":         {shared(room("x"), middleware.Scope), claims{"scope": "x good"}},
		"AnyScope":      {shared(room("x"), middleware.AnyScope), claims{"scope": "good"}},
		"Permission":    {shared(room("x"), middleware.Permission), claims{"permissions": []string{"x", "good"}}},
		"AnyPermission": {shared(room("x"), middleware.AnyPermission), claims{"permissions": []string{"good"}}},
		"Organization":  {shared(room("x"), middleware.Organization), claims{"org_id": "good"}},
		"ACR":           {shared(room("x"), middleware.ACR), claims{"acr": "good"}},
		"All":           {func(s string) middleware.Requirement { return middleware.All(append(base, middleware.Scope(s))...) }, claims{"scope": "good"}},
		"Any": {func(s string) middleware.Requirement {
			return middleware.Any(append(machine, middleware.Scope(s))...)
		}, claims{"scope": "good"}},
	} {
		issuer, auth := newStatic(t, middleware.Config{}, nil)
		token := issuer.Token(c.claims)
		evil := c.make("evil")
		good := c.make("good")
		if _, f := auth.Require(evil).Decide(request(token)); f == nil {
			t.Errorf("%s: the first has become the second", name)
		}
		if _, f := auth.Require(good).Decide(request(token)); f != nil {
			t.Errorf("%s: %v", name, f.Reason)
		}
	}

	// A guard, whose challenge was made of the list too.
	issuer, auth := newStatic(t, middleware.Config{}, nil)
	first := auth.Require(append(base, middleware.Scope("evil"))...)
	auth.Require(append(base, middleware.Scope("good"))...)
	if _, f := first.Decide(request(issuer.Token(claims{"scope": "good"}))); f == nil || !slices.Equal(f.Header["Www-Authenticate"], []string{`Bearer error="insufficient_scope", error_description="the token lacks a scope that is required", scope="evil"`}) {
		t.Errorf("the first guard has become the second: %+v", f)
	}

	// The configuration.
	sources := append(make([]middleware.CredentialSource, 0, 8), middleware.Cookie("a"))
	metadata := &middleware.ResourceMetadata{
		Resource: "https://api.test", AuthorizationServers: room("https://as.test"), ScopesSupported: room("good"),
	}
	keys := append(make([]middleware.Authenticator, 0, 8), middleware.Authenticator{
		Credentials:  middleware.Header("X-Api-Key"),
		Authenticate: func(context.Context, string) (*verify.Token, error) { return &verify.Token{Subject: "good"}, nil },
	})
	issuer, auth = newStatic(t, middleware.Config{Credentials: sources, Authenticators: keys, Metadata: metadata}, nil)
	sources[0] = middleware.AuthorizationHeader()
	keys[0].Authenticate = func(context.Context, string) (*verify.Token, error) { return nil, middleware.ErrNoUser }
	metadata.AuthorizationServers[0], metadata.ScopesSupported[0], metadata.Resource = "https://evil.test", "evil", "https://evil.test"
	_, f := auth.Require().Decide(request(issuer.Token(nil)))
	if f == nil || f.Reason != "no_credentials" || !slices.Equal(f.Header["Www-Authenticate"], []string{`Bearer resource_metadata="https://api.test/.well-known/oauth-protected-resource"`}) {
		t.Errorf("%+v", f)
	}
	if _, f := auth.Require().Decide(incoming("X-Api-Key: k")); f != nil {
		t.Errorf("another authenticator: %+v", f)
	}
	want := `{"resource":"https://api.test","authorization_servers":["https://as.test"],"scopes_supported":["good"]}`
	if got := metadataDocument(auth); got != want {
		t.Errorf("metadata %s, want %s", got, want)
	}
}

// shared returns a function that calls f with a list and one more value, always
// in the same array.
func shared(list []string, f func(...string) middleware.Requirement) func(string) middleware.Requirement {
	return func(s string) middleware.Requirement { return f(append(list, s)...) }
}

// TestNil: a user that is nil, of whatever type, is not a user.
func TestNil(t *testing.T) {
	type named map[string]int
	var (
		pointer *user
		deep    any = pointer
		deeper  any = &deep
		loop        = &pointer
		empty   any = []string{}
		zero    any = 0
	)
	for name, c := range map[string]struct {
		resolver middleware.Resolver
		served   bool
	}{
		"a nil pointer":                          {resolve[*user](nil), false},
		"a nil map":                              {resolve[map[string]any](nil), false},
		"a nil map of a named type":              {resolve[named](nil), false},
		"a nil slice":                            {resolve[[]byte](nil), false},
		"a nil function":                         {resolve[func()](nil), false},
		"a nil channel":                          {resolve[chan int](nil), false},
		"a nil any":                              {resolve[any](nil), false},
		"a nil interface":                        {resolve[fmt.Stringer](nil), false},
		"a nil pointer in an any":                {resolve[any](pointer), false},
		"a nil pointer in an interface":          {resolve[fmt.Stringer](pointer), false},
		"a nil map in an any":                    {resolve[any](named(nil)), false},
		"a nil slice in an any":                  {resolve[any]([]string(nil)), false},
		"a nil pointer in an any behind another": {resolve(deeper), false},
		"a pointer to a nil pointer":             {resolve[any](loop), false},
		"a pointer":                              {resolve(&user{"a"}), true},
		"a pointer in an any":                    {resolve[any](&user{"a"}), true},
		"a pointer in an interface":              {resolve[fmt.Stringer](&user{"a"}), true},
		"a map that is empty":                    {resolve(named{}), true},
		"a slice that is empty":                  {resolve([]byte{}), true},
		"a slice that is empty in an any":        {resolve(empty), true},
		"a number that is zero in an any":        {resolve(zero), true},
		"an empty string":                        {resolve(""), true},
		"an empty struct":                        {resolve(struct{}{}), true},
		"a struct with a nil field":              {resolve(struct{ u *user }{}), true},
		"a pointer to a struct with a nil field": {resolve(&struct{ u *user }{}), true},
	} {
		issuer, auth := newStatic(t, middleware.Config{User: c.resolver}, nil)
		for kind, guard := range map[string]*middleware.Guard{"Require": auth.Require(), "Optional": auth.Optional()} {
			r, f := guard.Decide(request(issuer.Token(nil)))
			switch {
			case c.served && f != nil:
				t.Errorf("%s, %s: %s", name, kind, f.Reason)
			case !c.served && (f == nil || f.Status != 401 || f.Reason != "no_user"):
				t.Errorf("%s, %s: served, or %+v", name, kind, f)
			case c.served:
				if _, ok := middleware.UserFrom[any](r.Context()); !ok {
					t.Errorf("%s, %s: no user", name, kind)
				}
			}
		}
	}
}

func (u *user) String() string { return u.id }

func resolve[U any](u U) middleware.Resolver {
	return middleware.Resolve(func(context.Context, *verify.Token) (U, error) { return u, nil })
}
