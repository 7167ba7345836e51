package middleware_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"github.com/bearerkit/bearerkit/middleware"
	"github.com/bearerkit/bearerkit/verify"
	"github.com/bearerkit/bearerkit/verify/verifytest"
)

// Admit decides without HTTP as Decide does with it.
func TestAdmit(t *testing.T) {
	var seen []middleware.Decision
	resolved := 0
	issuer, auth := newStatic(t, middleware.Config{
		Logger:   slog.New(slog.DiscardHandler),
		Observer: middleware.ObserverFunc(func(_ context.Context, d middleware.Decision) { seen = append(seen, d) }),
		User: middleware.Resolve(func(_ context.Context, t *verify.Token) (user, error) {
			resolved++
			return user{t.Subject}, nil
		}),
	}, nil)
	good := &verify.Request{Token: issuer.Token(verifytest.Claims{"scope": "read"})}
	onHTTP := middleware.RequestFunc("never", func(*http.Request, *verify.Token) error { return nil })
	for name, c := range map[string]struct {
		guard  *middleware.Guard
		p      *verify.Request
		status int
		reason middleware.Reason
		user   string
	}{
		"good":                  {auth.Require(middleware.Scope("read")), good, 200, "", "user_1"},
		"scheme in lower case":  {auth.Require(), &verify.Request{Token: good.Token, Scheme: "bearer"}, 200, "", "user_1"},
		"another scheme":        {auth.Require(), &verify.Request{Token: good.Token, Scheme: "DPoP"}, 401, "bound", ""},
		"without the scope":     {auth.Require(middleware.Scope("write")), good, 403, "insufficient_scope", ""},
		"bad":                   {auth.Require(), &verify.Request{Token: "a.b.c"}, 401, "malformed", ""},
		"no token":              {auth.Require(), &verify.Request{}, 400, "credentials", ""},
		"none":                  {auth.Require(), nil, 401, "no_credentials", ""},
		"optional, none":        {auth.Optional(), nil, 200, "", ""},
		"optional, bad":         {auth.Optional(), &verify.Request{Token: "a.b.c"}, 401, "malformed", ""},
		"a condition of HTTP's": {auth.Require(onHTTP), good, 503, "requirement_unavailable", ""},
	} {
		seen = nil
		ctx, f := c.guard.Admit(t.Context(), "/orders.Orders/List", c.p)
		switch {
		case len(seen) != 1 || seen[0].Status != c.status || seen[0].Route != "/orders.Orders/List" || seen[0].Reason != c.reason:
			t.Errorf("%s: observed %+v", name, seen)
		case f != nil:
			if f.Status != c.status || f.Reason != c.reason || ctx != nil {
				t.Errorf("%s: %+v", name, f)
			}
			if challenged := f.Header.Get("WWW-Authenticate") != ""; challenged != (c.status != 503) {
				t.Errorf("%s: %v", name, f.Header)
			}
		default:
			if u, _ := middleware.UserFrom[user](ctx); u.id != c.user {
				t.Errorf("%s: user %q", name, u.id)
			}
		}
		if issuer := seen[0].Issuer; (issuer == "https://issuer.example") != (c.p == good || c.user != "") || issuer != "" && issuer != "https://issuer.example" {
			t.Errorf("%s: issuer %q", name, issuer)
		}
	}

	// A second guard knows the caller; one that is asked about nothing does not.
	resolved = 0
	ctx, _ := auth.Require().Admit(t.Context(), "", good)
	again, f := auth.Require(middleware.Scope("read")).Admit(ctx, "", &verify.Request{Token: good.Token, Scheme: "Bearer"})
	if f != nil || resolved != 1 {
		t.Errorf("resolved %d times, %v", resolved, f)
	}
	if again, f = auth.Optional().Admit(again, "", nil); f != nil {
		t.Fatal(f)
	}
	if _, ok := middleware.TokenFrom(again); ok {
		t.Error("a request without credentials has the token of another one")
	}
}

// Fields for the answer go out with refusals and with admitted answers, which
// nobody else may then keep.
func TestAnswerFields(t *testing.T) {
	issuer, auth := newStatic(t, middleware.Config{Logger: slog.New(slog.DiscardHandler), Credentials: []middleware.CredentialSource{
		middleware.AuthorizationHeader(), middleware.InsecureQueryParameter(),
	}}, nil)
	p := &verify.Request{Token: "a.b.c"}
	p.SetAnswerField("DPoP-Nonce", "old")
	p.SetAnswerField("dpop-nonce", "new")
	_, f := auth.Require().Admit(t.Context(), "", p)
	if got := f.Header.Values("DPoP-Nonce"); !slices.Equal(got, []string{"new"}) {
		t.Errorf("DPoP-Nonce %q", got)
	}
	// The token of a URL makes an answer private (RFC 6750 section 2.3).
	for target, want := range map[string]string{"/?access_token=" + issuer.Token(nil): "private", "/": ""} {
		r := httptest.NewRequest("GET", target, nil)
		w := httptest.NewRecorder()
		if _, ok := auth.Optional().Serve(w, r, ""); !ok || w.Header().Get("Cache-Control") != want {
			t.Errorf("%s: %v, %v", target, ok, w.Header())
		}
	}
	// An earlier guard has told the fields of the request that both share.
	p = &verify.Request{Token: issuer.Token(nil)}
	p.SetAnswerField("DPoP-Nonce", "new")
	ctx, f := auth.Require().Admit(t.Context(), "", p)
	if f != nil {
		t.Fatal(f)
	}
	w := httptest.NewRecorder()
	r := request(p.Token).WithContext(ctx)
	if _, ok := auth.Require().Serve(w, r, ""); !ok || w.Header().Get("DPoP-Nonce") != "new" || w.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("%v, %v", ok, w.Header())
	}
}

type spanKey struct{}

// tracer is an Observer with spans: how many are open, and what became of them.
type tracer struct {
	open int
	ends []middleware.Decision
}

func (o *tracer) Begin(ctx context.Context) context.Context {
	o.open++
	return context.WithValue(ctx, spanKey{}, o.open)
}

func (o *tracer) End(ctx context.Context, d middleware.Decision) {
	if ctx.Value(spanKey{}) != o.open {
		d.Reason += " in another span"
	}
	o.open--
	o.ends = append(o.ends, d)
}

// What an Observer adds to the context is there for all that a decision takes,
// and gone when the handler runs.
func TestObserverBeginsAndEnds(t *testing.T) {
	o := &tracer{}
	within := func(ctx context.Context) error {
		if ctx.Value(spanKey{}) == nil || ctx.Value(layerKey{}) == nil {
			return errors.New("not within the decision")
		}
		return nil
	}
	issuer, auth := newStatic(t, middleware.Config{
		Logger:   slog.New(slog.DiscardHandler),
		Observer: o,
		User: middleware.Resolve(func(ctx context.Context, t *verify.Token) (user, error) {
			return user{t.Subject}, within(ctx)
		}),
	}, func(c *verify.Config) {
		c.Conditions = append(c.Conditions, verify.Check(func(ctx context.Context, _ *verify.Token) error { return within(ctx) }))
	})
	asked := middleware.Func("no", func(ctx context.Context, _ *verify.Token) error { return within(ctx) })
	parsed := middleware.RequestFunc("no", func(r *http.Request, _ *verify.Token) error {
		r.Form = map[string][]string{"seen": {"yes"}}
		return within(r.Context())
	})
	r := request(issuer.Token(nil))
	r = r.WithContext(context.WithValue(r.Context(), layerKey{}, 1))
	guards := []*middleware.Guard{auth.Require(asked, parsed), auth.Optional(parsed, asked), auth.Require(middleware.Scope("none"))}
	for i, g := range guards {
		admitted, f := g.Decide(r)
		if i == 2 {
			if f == nil || f.Reason != middleware.ReasonScope {
				t.Errorf("%+v", f)
			}
			break
		}
		if f != nil {
			t.Fatalf("guard %d: %+v", i, f)
		}
		ctx := admitted.Context()
		if u, _ := middleware.UserFrom[user](ctx); u.id != "user_1" || ctx.Value(spanKey{}) != nil || ctx.Value(layerKey{}) != 1 || admitted.Form.Get("seen") != "yes" {
			t.Errorf("guard %d: user %q, span %v, layer %v, form %v", i, u.id, ctx.Value(spanKey{}), ctx.Value(layerKey{}), admitted.Form)
		}
		r = admitted
	}
	_, _ = auth.Optional().Decide(request(""))
	var got []string
	for _, d := range o.ends {
		s := string(d.Outcome) + " " + string(d.Reason) + " " + d.Issuer
		if d.Nested {
			s += " nested"
		}
		got = append(got, s)
	}
	want := []string{"allowed  https://issuer.example", "allowed  https://issuer.example nested",
		"refused insufficient_scope https://issuer.example nested", "anonymous  "}
	if o.open != 0 || !slices.Equal(got, want) {
		t.Errorf("%d open, %q", o.open, got)
	}
}

// What a client presents is the token with its scheme and its proofs.
func TestIdentityIsWhatWasPresented(t *testing.T) {
	resolved := 0
	issuer, auth := newStatic(t, middleware.Config{Logger: slog.New(slog.DiscardHandler), User: middleware.Resolve(func(_ context.Context, t *verify.Token) (user, error) {
		resolved++
		return user{t.Subject}, nil
	})}, nil)
	token := issuer.Token(nil)
	first := func(proofs ...string) *http.Request {
		r := httptest.NewRequest("GET", "/orders?page=1", nil)
		r.Header.Set("Authorization", "Bearer "+token)
		if proofs != nil {
			r.Header["Dpop"] = proofs
		}
		return r
	}
	for name, c := range map[string]struct {
		first  *http.Request
		change func(*http.Request)
		known  bool
	}{
		"the same":                     {first(), func(*http.Request) {}, true},
		"the same proof":               {first("p"), func(*http.Request) {}, true},
		"another target":               {first(), func(r *http.Request) { r.RequestURI, r.Method = "/other", "POST" }, true},
		"the scheme in other case":     {first(), func(r *http.Request) { r.Header.Set("Authorization", "BEARER "+token) }, true},
		"a stripped prefix":            {first("p"), func(r *http.Request) { r.URL.Path = "/" }, true},
		"another proof":                {first("p"), func(r *http.Request) { r.Header["Dpop"] = []string{"q"} }, false},
		"a second proof":               {first("p"), func(r *http.Request) { r.Header["Dpop"] = []string{"p", "q"} }, false},
		"a proof where there was none": {first(), func(r *http.Request) { r.Header["Dpop"] = []string{"p"} }, false},
		"no proof where there was one": {first("p"), func(r *http.Request) { r.Header.Del("DPoP") }, false},
		"another token": {first(), func(r *http.Request) {
			r.Header.Set("Authorization", "Bearer "+issuer.Token(verifytest.Claims{"jti": "2"}))
		}, false},
	} {
		resolved = 0
		admitted, f := auth.Require().Decide(c.first)
		if f != nil {
			t.Fatalf("%s: %v", name, f)
		}
		next := admitted.Clone(admitted.Context())
		c.change(next)
		if _, f := auth.Require().Decide(next); f != nil || (resolved == 1) != c.known {
			t.Errorf("%s: resolved %d times, %v", name, resolved, f)
		}
	}
}
