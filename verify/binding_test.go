package verify_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/bearerkit/bearerkit/verify"
)

// A prover is a binding whose proofs are good unless err says otherwise.
type prover struct {
	member, scheme string
	required       bool
	err            error
	panics         bool
	values         []string // of the calls since proved was called
}

func (p *prover) Member() string       { return p.member }
func (p *prover) Scheme() string       { return p.scheme }
func (p *prover) Required() bool       { return p.required }
func (p *prover) Algorithms() []string { return []string{"ES256"} }

func (p *prover) Prove(_ context.Context, value string, r *verify.Request) error {
	p.values = append(p.values, value)
	if p.panics {
		panic(r.Token)
	}
	return p.err
}

func (p *prover) proved() []string {
	defer func() { p.values = nil }()
	return p.values
}

func dpop() *prover { return &prover{member: "jkt", scheme: "DPoP"} }

func bind(list ...*prover) func(*verify.Config) {
	return func(c *verify.Config) {
		for _, p := range list {
			c.Bindings = append(c.Bindings, p)
		}
	}
}

// refuseRequest demands that a request is refused with a reason.
func refuseRequest(t *testing.T, v *verify.Verifier, r *verify.Request, want verify.Reason) *verify.Error {
	t.Helper()
	got, err := v.VerifyRequest(t.Context(), r)
	var e *verify.Error
	if got != nil || !errors.As(err, &e) || e.Reason != want {
		t.Fatalf("scheme %q: %v, %v, want %q", r.Scheme, got, err, string(want))
	}
	tellsNothing(t, e, r.Token)
	return e
}

// A bound token without its proof is refused, however it became known that it is
// bound; with its proof, it is good.
func TestBoundTokensNeedProof(t *testing.T) {
	const cnf = `{"jkt":"the key","x":{}}`
	bound, unbound := es256.with("cnf", cnf), es256.good()
	for _, tc := range []struct {
		name   string
		token  string
		answer string // empty: there is no introspection
		edit   func(*verify.Config)
		nokeys bool
	}{
		{name: "JWT", token: bound},
		{name: "JWT, no cache", token: bound, edit: func(c *verify.Config) { c.CacheSize = verify.NoCache }},
		{name: "JWT, not asked about", token: bound, answer: answer()},
		{name: "JWT, the answer leaves it out", token: bound, answer: answer(), edit: always},
		{name: "JWT, the answer repeats it", token: bound, answer: answer("cnf", `{"jkt":"the key"}`), edit: always},
		{name: "JWT, the answer says DPoP", token: bound, answer: answer("token_type", `"DPoP"`), edit: always},
		{name: "JWT, the answer has another member", token: bound, answer: answer("cnf", `{"y":5}`), edit: always},
		{name: "JWT, the answer alone says it", token: unbound, answer: answer("cnf", cnf, "token_type", `"dpop"`), edit: always},
		{name: "JWT without keys", token: bound, answer: answer(), nokeys: true},
		{name: "JWT without keys, the answer alone says it", token: unbound, answer: answer("cnf", cnf), nokeys: true},
		{name: "opaque", token: opaqueToken, answer: answer("cnf", cnf)},
		{name: "opaque, token_type", token: opaqueToken, answer: answer("cnf", cnf, "token_type", `"DPoP"`)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := dpop()
			v, keys := build(t, func(c *verify.Config) {
				bind(p)(c)
				if tc.answer != "" {
					c.Issuers[0].Introspection = &verify.Introspection{Introspector: &asker{claims: tc.answer}}
				}
				if tc.edit != nil {
					tc.edit(c)
				}
			})
			if tc.nokeys {
				keys.setErr, keys.refErr = errors.New("none"), errors.New("none")
			}
			for range 2 { // never seen, and remembered
				refuse(t, v, tc.token, verify.ErrBound)
				for _, scheme := range []string{"", "Bearer", "bearer", "Basic", "DPoP "} {
					refuseRequest(t, v, &verify.Request{Token: tc.token, Scheme: scheme}, verify.ErrBound)
				}
				if got := p.proved(); len(got) > 0 {
					t.Errorf("proved %q", got)
				}
				for _, no := range []struct {
					err  error
					want verify.Reason
				}{
					{verify.ErrBound, verify.ErrBound},
					{fmt.Errorf("no proof: %w", verify.ErrBound), verify.ErrBound},
					{&verify.Error{Reason: verify.ErrSignature, Part: "proof"}, verify.ErrSignature},
					{errors.New("the memory of proofs is down"), verify.ErrUnavailable},
					{verify.Reason("unheard of"), verify.ErrUnavailable},
				} {
					p.err = no.err
					e := refuseRequest(t, v, &verify.Request{Token: tc.token, Scheme: "DPoP"}, no.want)
					if no.want == verify.ErrUnavailable && (e.Part != "binding" || !errors.Is(e, no.err)) {
						t.Errorf("part %q, cause %v", e.Part, e.Cause)
					}
				}
				p.err, p.panics = nil, true
				refuseRequest(t, v, &verify.Request{Token: tc.token, Scheme: "DPoP"}, verify.ErrUnavailable)
				p.panics = false
				p.proved()
				r := &verify.Request{Token: tc.token, Scheme: "dpop"}
				for range 3 { // by guards that follow each other
					if _, err := v.VerifyRequest(t.Context(), r); err != nil {
						t.Fatal(err)
					}
				}
				if got := p.proved(); !slices.Equal(got, []string{"the key"}) {
					t.Errorf("proved %q", got)
				}
				// The proof was for this use of this token.
				p.err = verify.ErrBound
				other := *r
				other.Token = es256.with("cnf", cnf, "jti", `"another"`)
				if tc.answer == "" {
					refuseRequest(t, v, &other, verify.ErrBound)
				}
				refuseRequest(t, v, &verify.Request{Token: tc.token, Scheme: "dpop"}, verify.ErrBound)
				p.err = nil
				p.proved()
			}
		})
	}
}

func always(c *verify.Config) { c.Issuers[0].Introspection.Always = true }

// What "cnf" may be, with two bindings.
func TestConfirmation(t *testing.T) {
	jkt, x5t := dpop(), &prover{member: "x5t#S256"}
	other := &prover{member: "other", scheme: "Other"}
	v, _ := build(t, bind(jkt, x5t, other))
	plain, _ := build(t, nil)
	for _, tc := range []struct {
		cnf, scheme string
		reason      verify.Reason
		proved      string
	}{
		{`{"jkt":"a"}`, "DPoP", accepted, "a"},
		{`{"x5t#S256":"b"}`, "Bearer", accepted, "b"},
		{`{"x5t#S256":"b"}`, "", accepted, "b"},
		{`{"x5t#S256":"b"}`, "DPoP", verify.ErrBound, ""},
		{`{"x5t#S256":"b","jkt":"a"}`, "DPoP", accepted, "b a"},
		{`{"x5t#S256":"b","jkt":"a"}`, "Bearer", verify.ErrBound, ""},
		{`{"other":"c"}`, "other", accepted, "c"},
		{`{"other":"c"}`, "DPoP", verify.ErrBound, ""},
		{`{"other":"c","jkt":"a"}`, "DPoP", verify.ErrBound, ""}, // it cannot come with both
		{`{"jwk":{"kty":"EC"},"jkt":"a"}`, "DPoP", accepted, "a"},
		{`{"jkt":"\u0061"}`, "DPoP", accepted, "a"},
		{`{"JKT":"a"}`, "DPoP", verify.ErrBound, ""},
		{`{"kid":"a"}`, "DPoP", verify.ErrBound, ""},
		{`{}`, "DPoP", verify.ErrBound, ""},
		{`{"jkt":""}`, "DPoP", verify.ErrBound, ""},
		{`{"jkt":null}`, "DPoP", verify.ErrBound, ""},
		{`{"jkt":5}`, "DPoP", verify.ErrBound, ""},
		{`{"jkt":["a"]}`, "DPoP", verify.ErrBound, ""},
		{`{"x5t#S256":"b","jkt":5}`, "", verify.ErrBound, ""},
		{`"a"`, "DPoP", verify.ErrBound, ""},
		{`["jkt"]`, "DPoP", verify.ErrBound, ""},
		{`true`, "DPoP", verify.ErrBound, ""},
		{`null`, "DPoP", verify.ErrClaim, ""},
		{`{"jkt":"a","jkt":"b"}`, "DPoP", verify.ErrMalformed, ""},
	} {
		token := es256.with("cnf", tc.cnf)
		for range 2 {
			_, err := v.VerifyRequest(t.Context(), &verify.Request{Token: token, Scheme: tc.scheme})
			var e *verify.Error
			if errors.As(err, &e) != (tc.reason != accepted) || e != nil && e.Reason != tc.reason {
				t.Errorf("%s, %s: %v", tc.cnf, tc.scheme, err)
			}
			if got := strings.Join(slices.Concat(x5t.proved(), jkt.proved(), other.proved()), " "); got != tc.proved {
				t.Errorf("%s, %s: proved %q", tc.cnf, tc.scheme, got)
			}
		}
		if _, err := v.Verify(t.Context(), token); err == nil || len(slices.Concat(x5t.proved(), jkt.proved(), other.proved())) > 0 {
			t.Errorf("%s: the token alone: %v", tc.cnf, err)
		}
		if _, err := plain.VerifyRequest(t.Context(), &verify.Request{Token: token, Scheme: tc.scheme}); err == nil {
			t.Errorf("%s: accepted without a binding", tc.cnf)
		}
	}
	e := refuseRequest(t, v, &verify.Request{Token: es256.good(), Scheme: "DPoP"}, verify.ErrBound)
	if !strings.Contains(e.Description(), "not bound") {
		t.Errorf("description %q", e.Description())
	}
}

// An answer adds to what a token is bound to, and takes nothing away.
func TestConfirmationInAnswers(t *testing.T) {
	for _, tc := range []struct {
		name, cnf, answer, tokenType string
		scheme                       string
		reason                       verify.Reason
		proved, claims               string
	}{
		{name: "another key", cnf: `{"jkt":"a"}`, answer: `{"jkt":"b"}`, scheme: "DPoP", reason: verify.ErrBound},
		{name: "both", cnf: `{"jkt":"a","x":1}`, answer: `{"x5t#S256":"b","x":2}`, scheme: "DPoP", proved: "b a", claims: `{"jkt":"a","x":1,"x5t#S256":"b"}`},
		{name: "empty", cnf: `{"jkt":"a"}`, answer: `{}`, scheme: "DPoP", proved: "a", claims: `{"jkt":"a"}`},
		{name: "unknown, and no other", answer: `{"x":"y"}`, reason: verify.ErrBound},
		{name: "empty, and no other", answer: `{}`, reason: verify.ErrBound},
		{name: "not an object", cnf: `{"jkt":"a"}`, answer: `"a"`, scheme: "DPoP", reason: verify.ErrBound},
		{name: "null", cnf: `{"jkt":"a"}`, answer: `null`, scheme: "DPoP", reason: verify.ErrClaim},
		{name: "DPoP, unbound", tokenType: "DPoP", reason: verify.ErrType},
		{name: "DPoP, bound to a certificate", answer: `{"x5t#S256":"b"}`, tokenType: "DPoP", reason: verify.ErrType},
		{name: "DPoP, of the answer", answer: `{"jkt":"a"}`, tokenType: "DPoP", scheme: "DPoP", proved: "a", claims: `{"jkt":"a"}`},
		{name: "DPoP, of the token", cnf: `{"jkt":"a"}`, tokenType: "dPOP", scheme: "DPoP", proved: "a", claims: `{"jkt":"a"}`},
		{name: "Bearer, bound to a certificate", answer: `{"x5t#S256":"b"}`, tokenType: "bearer", proved: "b", claims: `{"x5t#S256":"b"}`},
		{name: "empty token_type", tokenType: "", answer: `{"x5t#S256":"b"}`, proved: "b", claims: `{"x5t#S256":"b"}`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			jkt, x5t := dpop(), &prover{member: "x5t#S256"}
			a := &asker{claims: answer("cnf", tc.answer, "token_type", map[bool]string{true: `"` + tc.tokenType + `"`}[tc.tokenType != ""])}
			v, _ := asking(t, a, func(c *verify.Config) { bind(jkt, x5t)(c); always(c) })
			r := &verify.Request{Token: es256.with("cnf", tc.cnf), Scheme: tc.scheme}
			if tc.reason != "" {
				refuseRequest(t, v, r, tc.reason)
				return
			}
			got, err := v.VerifyRequest(t.Context(), r)
			if err != nil {
				t.Fatal(err)
			}
			if proved := strings.Join(slices.Concat(x5t.proved(), jkt.proved()), " "); proved != tc.proved {
				t.Errorf("proved %q", proved)
			}
			var c struct {
				Cnf map[string]any `json:"cnf"`
			}
			if err := got.Claims(&c); err != nil {
				t.Fatal(err)
			}
			if text := must(json.Marshal(c.Cnf)); string(text) != tc.claims {
				t.Errorf("claims %s", text)
			}
		})
	}
}

func TestRequiredBinding(t *testing.T) {
	p := dpop()
	p.required = true
	v, _ := build(t, bind(p))
	for _, scheme := range []string{"", "DPoP"} {
		e := refuseRequest(t, v, &verify.Request{Token: es256.good(), Scheme: scheme}, verify.ErrBound)
		if !strings.Contains(e.Description(), "not bound") {
			t.Errorf("description %q", e.Description())
		}
	}
	refuse(t, v, es256.good(), verify.ErrBound)
	if _, err := v.VerifyRequest(t.Context(), &verify.Request{Token: es256.with("cnf", `{"jkt":"a"}`), Scheme: "DPoP"}); err != nil {
		t.Error(err)
	}
}

// Bindings of one issuer are not another's.
func TestIssuerBindings(t *testing.T) {
	jkt, x5t := dpop(), &prover{member: "x5t#S256"}
	v, _ := build(t, func(c *verify.Config) {
		bind(x5t)(c)
		c.Issuers[0].Bindings = []verify.Binding{jkt}
		c.Issuers = append(c.Issuers, verify.Issuer{Issuer: "https://other.example", Audience: []string{testAudience}, Keys: &source{set: published(eddsa)}})
	})
	if _, err := v.VerifyRequest(t.Context(), &verify.Request{Token: es256.with("cnf", `{"jkt":"a"}`), Scheme: "DPoP"}); err != nil {
		t.Error(err)
	}
	other := func(cnf string) string { return eddsa.with("iss", `"https://other.example"`, "cnf", cnf) }
	refuseRequest(t, v, &verify.Request{Token: other(`{"jkt":"a"}`), Scheme: "DPoP"}, verify.ErrBound)
	if _, err := v.VerifyRequest(t.Context(), &verify.Request{Token: other(`{"x5t#S256":"a"}`)}); err != nil {
		t.Error(err)
	}
}

func TestSchemes(t *testing.T) {
	optional, required, x5t := dpop(), dpop(), &prover{member: "x5t#S256", required: true}
	required.required = true
	for _, tc := range []struct {
		name string
		edit func(*verify.Config)
		want string
	}{
		{"none", nil, "[{Bearer [] false}]"},
		{"optional", bind(optional), "[{DPoP [ES256] false} {Bearer [] false}]"},
		{"required", bind(required), "[{DPoP [ES256] true}]"},
		{"certificates", bind(x5t), "[{Bearer [] false}]"},
		{"required by one of two", func(c *verify.Config) {
			c.Issuers[0].Bindings = []verify.Binding{required}
			c.Issuers = append(c.Issuers, verify.Issuer{Issuer: "https://other.example", Audience: []string{"a"}, Keys: &source{set: published(eddsa)}})
		}, "[{DPoP [ES256] false} {Bearer [] false}]"},
	} {
		v, _ := build(t, tc.edit)
		if got := fmt.Sprint(v.Schemes()); got != tc.want {
			t.Errorf("%s: %s, want %s", tc.name, got, tc.want)
		}
	}
}

func TestBindingFaults(t *testing.T) {
	var none *prover
	c := verify.Config{
		Issuers: []verify.Issuer{
			{Issuer: testIssuer, Audience: []string{"a"}, Keys: &source{set: published(eddsa)}, Bindings: []verify.Binding{dpop(), nil}},
			{Issuer: "https://other.example", Audience: []string{"a"}, Keys: &source{set: published(eddsa)}, Bindings: []verify.Binding{&prover{member: "x"}, &prover{member: "x"}}},
		},
		Bindings: []verify.Binding{dpop(), nil, none, &prover{}},
	}
	faultsOf(t, c.Validate(), "Bindings[1]", "Bindings[2]", "Bindings[3]", "Issuers[0].Bindings[0]", "Issuers[0].Bindings[1]", "Issuers[1].Bindings[1]")
}
