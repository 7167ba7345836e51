package verify_test

import (
	"context"
	"crypto/elliptic"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/bearerkit/bearerkit/verify"
)

// A watcher is a condition that holds unless an error says otherwise.
type watcher struct {
	name             string
	watchErr, err    error
	panics           bool
	indifferent      bool
	bindErr          error
	bound, closed    int
	health           *verify.Health
	watched, awaited []string // by what the token's scope was
}

func (w *watcher) Watch(t *verify.Token) (verify.Still, error) {
	w.watched = append(w.watched, t.Scope)
	scope := t.Scope
	if w.panics {
		panic(t.Subject)
	}
	if w.indifferent {
		return nil, w.watchErr
	}
	return func(_ context.Context, r *verify.Request) error {
		w.awaited = append(w.awaited, scope)
		if r.Token == "" {
			return errors.New("no token")
		}
		return w.err
	}, w.watchErr
}

func (w *watcher) Bind(o verify.Opener) error {
	if w.bindErr == nil {
		w.bound++
	}
	return w.bindErr
}

func (w *watcher) Unbind()      { w.bound-- }
func (w *watcher) Close() error { w.closed++; return nil }

func (w *watcher) Health() verify.Health {
	if w.health != nil {
		return *w.health
	}
	return verify.Health{Part: w.name, State: verify.StateReady, Ready: true}
}

func conditions(list ...verify.Condition) func(*verify.Config) {
	return func(c *verify.Config) { c.Conditions = list }
}

// A token is watched once, and asked about at each use.
func TestConditions(t *testing.T) {
	w, none := &watcher{}, &watcher{indifferent: true}
	v, _ := build(t, conditions(w, none))
	token := es256.good()
	for range 3 {
		accept(t, v, token)
	}
	if _, err := v.VerifyRequest(t.Context(), &verify.Request{Token: token}); err != nil {
		t.Error(err)
	}
	if len(w.watched) != 1 || len(w.awaited) != 4 || len(none.watched) != 1 {
		t.Errorf("watched %d times, asked %d times", len(w.watched), len(w.awaited))
	}
	for _, no := range []struct {
		err  error
		want verify.Reason
	}{
		{verify.ErrInactive, verify.ErrInactive},
		{fmt.Errorf("logged out: %w", verify.ErrInactive), verify.ErrInactive},
		{&verify.Error{Reason: verify.ErrInactive, Part: "status"}, verify.ErrInactive},
		{fmt.Errorf("x: %w", &verify.Error{Reason: verify.ErrRejected}), verify.ErrRejected},
		{errors.New("down"), verify.ErrUnavailable},
		{verify.ErrUnavailable, verify.ErrUnavailable},
		{&verify.Error{Reason: verify.ErrInactive, Cause: verify.ErrUnavailable}, verify.ErrUnavailable},
		{verify.Reason("unheard of"), verify.ErrUnavailable},
		{context.Canceled, verify.ErrUnavailable},
	} {
		w.err = no.err
		if e := refuse(t, v, token, no.want); no.err.Error() == "down" && e.Part != "condition" {
			t.Errorf("part %q", e.Part)
		}
		// What Watch returns counts alike, and is not remembered.
		w.err, w.watchErr = nil, no.err
		fresh := es256.with("jti", `"`+no.err.Error()[:3]+`"`)
		refuse(t, v, fresh, no.want)
		w.watchErr = nil
		accept(t, v, fresh)
	}
	w.panics = true
	if e := refuse(t, v, es256.with("jti", `"panic"`), verify.ErrUnavailable); strings.Contains(e.Error(), "user-1") {
		t.Errorf("%v holds what the panic said", e)
	}
	w.panics = false
	// Only what has passed all else is shown to it.
	w.watched = nil
	refuse(t, v, es256.with("exp", at(-100)), verify.ErrExpired)
	refuse(t, v, (&signer{"es256", "ES256", newEC(elliptic.P256())}).good(), verify.ErrSignature)
	if len(w.watched) > 0 {
		t.Error("a bad token was watched")
	}
}

// With introspection, the token of which the answer is a part is watched, anew for
// each answer.
func TestConditionsOfIntrospectedTokens(t *testing.T) {
	for _, tc := range []struct {
		name, token string
		always      bool
		nokeys      bool
		want        []string
	}{
		{"JWT, not asked about", es256.with("scope", `"its own"`), false, false, []string{"its own"}},
		{"JWT, always", es256.with("scope", `"its own"`), true, false, []string{"of the answer", "of the answer"}},
		{"JWT without keys", es256.with("scope", `"its own"`), false, true, []string{"of the answer", "of the answer"}},
		{"opaque", opaqueToken, false, false, []string{"of the answer", "of the answer"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := &watcher{}
			v, keys := asking(t, &asker{claims: answer("scope", `"of the answer"`)}, func(c *verify.Config) {
				c.Conditions = []verify.Condition{w}
				c.Issuers[0].Introspection.Always = tc.always
			})
			if tc.nokeys {
				keys.setErr, keys.refErr = errors.New("none"), errors.New("none")
			}
			accept(t, v, tc.token)
			accept(t, v, tc.token)
			if !slices.Equal(w.watched, tc.want) || len(w.awaited) != 2 || w.awaited[1] != tc.want[0] {
				t.Errorf("watched %q, asked about %q", w.watched, w.awaited)
			}
			w.err = verify.ErrInactive
			refuse(t, v, tc.token, verify.ErrInactive)
			w.err, w.watchErr = nil, errors.New("down")
			if tc.want[0] == "of the answer" {
				refuse(t, v, tc.token, verify.ErrUnavailable)
			}
			w.watchErr = nil
			accept(t, v, tc.token)
		})
	}
}

// A sameAnswer is an introspector that reuses its answer.
type sameAnswer struct {
	asker
	answer verify.Answer
}

func (s *sameAnswer) Introspect(context.Context, *verify.Query) (*verify.Answer, error) {
	return &s.answer, nil
}

// An answer is looked at once, but a condition that could not tell is asked again.
func TestConditionsOfReusedAnswers(t *testing.T) {
	for _, token := range []string{opaqueToken, es256.good()} {
		w := &watcher{}
		v, _ := build(t, func(c *verify.Config) {
			c.Conditions = []verify.Condition{w}
			c.Issuers[0].Introspection = &verify.Introspection{
				Introspector: &sameAnswer{answer: verify.Answer{Active: true, Claims: answer(), At: testNow}}, Always: true,
			}
		})
		w.watchErr = errors.New("down")
		refuse(t, v, token, verify.ErrUnavailable)
		w.watchErr = nil
		for range 3 {
			accept(t, v, token)
		}
		if len(w.watched) != 2 || len(w.awaited) != 3 {
			t.Errorf("watched %d times, asked %d times", len(w.watched), len(w.awaited))
		}
	}
}

// The conditions of all issuers are asked before those of one.
func TestIssuerConditions(t *testing.T) {
	var order []string
	named := func(name string) verify.Condition {
		return verify.Check(func(context.Context, *verify.Token) error {
			order = append(order, name)
			return nil
		})
	}
	v, _ := build(t, func(c *verify.Config) {
		c.Conditions = []verify.Condition{named("all")}
		c.Issuers[0].Conditions = []verify.Condition{named("one")}
		c.Issuers = append(c.Issuers, verify.Issuer{
			Issuer: "https://other.example", Audience: []string{testAudience}, Keys: &source{set: published(eddsa)},
			Conditions: []verify.Condition{named("other")},
		})
	})
	accept(t, v, es256.good())
	accept(t, v, eddsa.with("iss", `"https://other.example"`))
	if got := strings.Join(order, " "); got != "all one all other" {
		t.Error(got)
	}
}

// Conditions are bound, closed and asked for their health like other parts.
func TestConditionParts(t *testing.T) {
	all, one := &watcher{name: "revocation"}, &watcher{name: "status"}
	config := func() verify.Config {
		return verify.Config{
			Issuers:    []verify.Issuer{{Issuer: testIssuer, Audience: []string{testAudience}, Keys: &source{set: published(eddsa)}, Conditions: []verify.Condition{one}}},
			Conditions: []verify.Condition{all},
		}
	}
	one.bindErr = &verify.Fault{Field: "URL", Problem: "is taken"}
	_, err := verify.New(config())
	faultsOf(t, err, "Issuers[0].Conditions.URL")
	if all.bound != 0 {
		t.Error("bound, though another part could not be")
	}
	one.bindErr = nil
	v, err := verify.New(config())
	if err != nil {
		t.Fatal(err)
	}
	if all.bound != 1 || one.bound != 1 {
		t.Errorf("bound %d and %d times", all.bound, one.bound)
	}
	var parts []string
	for _, h := range v.Health() {
		parts = append(parts, h.Part+" "+h.Issuer)
		if !h.Ready || h.State != verify.StateReady {
			t.Errorf("%+v", h)
		}
	}
	if want := []string{"keys " + testIssuer, "status " + testIssuer, "revocation "}; !slices.Equal(parts, want) {
		t.Errorf("parts %q", parts)
	}
	down := errors.New("no marks yet")
	for _, w := range []*watcher{all, one} {
		w.health = &verify.Health{Part: w.name, State: verify.StateStarting, LastError: down}
		if err := v.NotReady(); v.Ready() || !errors.Is(err, down) {
			t.Errorf("ready though %s is not: %v", w.name, err)
		}
		w.health = &verify.Health{Part: w.name, State: verify.StateFailing, Ready: true, LastError: down}
		if err := v.NotReady(); err != nil {
			t.Errorf("not ready though %s is: %v", w.name, err)
		}
	}
	_ = v.Close()
	if all.closed != 1 || one.closed != 1 {
		t.Errorf("closed %d and %d times", all.closed, one.closed)
	}
}

// Parts that have no Health tell by what they do.
func TestHealthOfPlainParts(t *testing.T) {
	v, keys := asking(t, &asker{}, nil)
	down := errors.New("down")
	for _, err := range []error{nil, down} {
		keys.setErr = err
		got := v.Health()
		if len(got) != 2 || got[0].Part != "keys" || got[1].Part != "introspection" || got[0].Issuer != testIssuer {
			t.Fatalf("%+v", got)
		}
		if h := got[0]; h.Ready != (err == nil) || h.LastError != err || (h.State == verify.StateFailing) != (err != nil) {
			t.Errorf("%+v", h)
		}
	}
}

func TestAllocationsOfConditions(t *testing.T) {
	if raceEnabled() {
		t.Skip("the race detector allocates")
	}
	v, _ := build(t, conditions(verify.Check(func(context.Context, *verify.Token) error { return nil })))
	token := es256.good()
	accept(t, v, token)
	if n := testing.AllocsPerRun(200, func() { _, _ = v.Verify(t.Context(), token) }); n > 2 {
		t.Errorf("Verify: %v allocations", n)
	}
	r := &verify.Request{Token: token}
	if n := testing.AllocsPerRun(200, func() { _, _ = v.VerifyRequest(t.Context(), r) }); n > 1 {
		t.Errorf("VerifyRequest: %v allocations", n)
	}
	plain, _ := build(t, nil)
	accept(t, plain, token)
	if n := testing.AllocsPerRun(200, func() { _, _ = plain.VerifyRequest(t.Context(), r) }); n > 1 {
		t.Errorf("VerifyRequest without conditions: %v allocations", n)
	}
}
