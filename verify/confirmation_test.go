package verify_test

import (
	"context"
	"testing"

	"github.com/bearerkit/bearerkit/verify"
)

// believer is a binding that asks for no proof.
type believer struct{ member string }

func (b believer) Member() string { return b.member }
func (believer) Scheme() string   { return "" }

func (believer) Prove(context.Context, string, *verify.Request) error { return nil }

// A token says to which keys it is bound that the client has proved, from wherever
// that became known.
func TestTokenConfirmation(t *testing.T) {
	both := func(c *verify.Config) {
		c.Bindings = []verify.Binding{believer{"jkt"}}
		c.Issuers[0].Bindings = []verify.Binding{believer{"x5t#S256"}}
	}
	const cnf = `{"jkt":"a","x5t#S256":"b","other":"c"}`
	for name, c := range map[string]struct {
		token, answer string
		jkt, x5t      string
	}{
		"unbound":                   {es256.good(), "", "", ""},
		"JWT":                       {es256.with("cnf", `{"jkt":"a"}`), "", "a", ""},
		"JWT, both":                 {es256.with("cnf", cnf), "", "a", "b"},
		"JWT, asked about":          {es256.with("cnf", `{"jkt":"a"}`), answer(), "a", ""},
		"JWT, half from the answer": {es256.with("cnf", `{"jkt":"a"}`), answer("cnf", `{"x5t#S256":"b"}`), "a", "b"},
		"JWT, all from the answer":  {es256.good(), answer("cnf", cnf), "a", "b"},
		"opaque":                    {opaqueToken, answer("cnf", cnf), "a", "b"},
		"opaque and unbound":        {opaqueToken, answer(), "", ""},
	} {
		v, _ := build(t, func(config *verify.Config) {
			both(config)
			if c.answer != "" {
				config.Issuers[0].Introspection = &verify.Introspection{Introspector: &asker{claims: c.answer}, Always: true}
			}
		})
		if !v.Binds() {
			t.Errorf("%s: the verifier has no binding", name)
		}
		for range 2 { // never seen, and remembered
			got, err := v.VerifyRequest(t.Context(), &verify.Request{Token: c.token})
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			if got.Confirmation("jkt") != c.jkt || got.Confirmation("x5t#S256") != c.x5t || got.Confirmation("other") != "" || got.Confirmation("") != "" || got.Bound() != (c.jkt+c.x5t != "") {
				t.Errorf("%s: jkt %q, x5t#S256 %q, %v", name, got.Confirmation("jkt"), got.Confirmation("x5t#S256"), got.Bound())
			}
		}
	}
	if v, _ := build(t, nil); v.Binds() {
		t.Error("a verifier without bindings has some")
	}
	if v, _ := build(t, func(c *verify.Config) { c.Issuers[0].Bindings = []verify.Binding{believer{"jkt"}} }); !v.Binds() {
		t.Error("a verifier whose issuer has a binding has none")
	}
}
