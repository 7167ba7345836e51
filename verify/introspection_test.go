package verify_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bearerkit/bearerkit/verify"
)

// An asker is an Introspector that does as it is told and takes down what it is
// asked.
type asker struct {
	mu      sync.Mutex
	claims  string // the answer; empty: inactive
	err     error
	dead    bool // the token is known to be inactive
	grace   bool
	faults  error
	queries []verify.Query
	open    verify.Opener
	bound   string
}

func (a *asker) Check(string) error { return a.faults }

func (a *asker) Bind(issuer string, open verify.Opener) error {
	a.bound, a.open = issuer, open
	return nil
}

func (a *asker) Unbind() { a.bound, a.open = "", nil }

func (a *asker) Introspect(_ context.Context, q *verify.Query) (*verify.Answer, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.queries = append(a.queries, *q)
	switch {
	case q.CacheOnly && !a.dead:
		return nil, nil
	case q.CacheOnly:
		return &verify.Answer{}, nil
	case a.err != nil:
		return nil, a.err
	}
	return &verify.Answer{Active: a.claims != "", Claims: a.claims, At: testNow, Stale: a.grace}, nil
}

// asked returns the questions since the last call that were put to the server.
func (a *asker) asked() (list []verify.Query) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, q := range a.queries {
		if !q.CacheOnly {
			list = append(list, q)
		}
	}
	a.queries = nil
	return list
}

// answer is what a server says of the tokens of these tests, edited.
func answer(edits ...string) string {
	return object(map[string]string{
		"active": "true", "iss": `"` + testIssuer + `"`, "sub": `"user-1"`, "aud": `"` + testAudience + `"`, "exp": at(300),
		"client_id": `"client-1"`, "scope": `"orders:read"`, "token_type": `"Bearer"`,
	}, edits)
}

const opaqueToken = "q7J2-opaque_token~of+no/form"

// asking builds a verifier whose only issuer is asked.
func asking(t testing.TB, a *asker, edit func(*verify.Config)) (*verify.Verifier, *source) {
	t.Helper()
	return build(t, func(c *verify.Config) {
		c.Issuers[0].Introspection = &verify.Introspection{Introspector: a}
		if edit != nil {
			edit(c)
		}
	})
}

// unkeyed builds one whose key source has nothing.
func unkeyed(t testing.TB, a *asker, edit func(*verify.Config)) *verify.Verifier {
	t.Helper()
	v, keys := asking(t, a, edit)
	keys.mu.Lock()
	defer keys.mu.Unlock()
	keys.setErr, keys.refErr = errors.New("no keys yet"), errors.New("no keys yet")
	return v
}

// When the server is asked. It says active to everything, so that each refusal
// is the kit's own.
func TestWhenIntrospectionIsAsked(t *testing.T) {
	stranger := &signer{"stranger", "ES256", es256.priv}
	good := es256.good()
	head := func(s string) string { return enc(`{"alg":"` + s + `"}`) }
	segments := strings.Split(good, ".")
	for _, tc := range []struct {
		name          string
		token         string
		always, fresh bool
		keyless       bool
		asked         bool
		reason        verify.Reason
	}{
		{name: "opaque", token: opaqueToken, asked: true},
		{name: "opaque, always", token: opaqueToken, always: true, asked: true},
		{name: "opaque, fresh", token: opaqueToken, fresh: true, asked: true},
		{name: "opaque with a dot", token: "ya29.a0AfB_by", asked: true},
		{name: "opaque with two dots", token: "ya29.c.b0Aaekm1K", asked: true},
		{name: "opaque with three dots", token: "v4.local.abc.def", asked: true},
		{name: "opaque with four dots", token: "a.b.c.d.e", asked: true},
		{name: "opaque with many dots", token: "a" + strings.Repeat(".b", 20), asked: true},
		{name: "opaque with dots for padding", token: "q7J2.opaque..", asked: true},
		{name: "opaque in three parts, one of them empty", token: "q7J2..opaque", asked: true},
		{name: "opaque in three parts, a number first", token: enc("198622483471925248") + ".Cl2FMQ.ZnCjm", asked: true},
		{name: "opaque, a JSON object and its MAC", token: enc(`{"user":1}`) + ".q7J2-opaque", asked: true},
		{name: "opaque, a JSON object", token: enc(`{"k":"x","n":"y","id":1}`) + "==", asked: true},
		{name: "opaque, bytes that begin with a brace", token: b64([]byte("{\x8f\"\xa0\x01\xff\xee\x9c")) + ".q7J2-opaque", asked: true},
		{name: "opaque, two parts of an empty object", token: "e30.e30", asked: true},
		{name: "JWE", token: enc(`{"alg":"RSA-OAEP","enc":"A256GCM"}`) + ".AA.AA.AA.AA", asked: true},
		{name: "JWE, encrypted directly", token: enc(`{"alg":"dir","enc":"A256GCM"}`) + "..AA.AA.AA", asked: true},
		{name: "JWE of OpenIddict", token: enc(`{"alg":"RSA-OAEP","enc":"A256CBC-HS512","kid":"1","typ":"at+jwt","cty":"JWT"}`) + ".AA.AA.AA.AA", asked: true},
		{name: "JWE, always", token: enc(`{"alg":"dir","enc":"A256GCM"}`) + "..AA.AA.AA", always: true, asked: true},
		{name: "JWE without keys", token: enc(`{"alg":"dir","enc":"A256GCM"}`) + "..AA.AA.AA", keyless: true, asked: true},
		{name: "opaque without keys", token: opaqueToken, keyless: true, asked: true},
		{name: "good JWT", token: good},
		{name: "good JWT, always", token: good, always: true, asked: true},
		{name: "good JWT, fresh", token: good, fresh: true, asked: true},
		{name: "good JWT without keys", token: good, keyless: true, asked: true},
		{name: "good JWT without keys, fresh", token: good, keyless: true, fresh: true, asked: true},

		{name: "unknown kid", token: stranger.good(), reason: verify.ErrUnknownKey},
		{name: "expired", token: es256.with("exp", at(-60)), reason: verify.ErrExpired},
		{name: "not yet valid", token: es256.with("nbf", at(600)), reason: verify.ErrNotYetValid},
		{name: "other audience", token: es256.with("aud", `"other"`), reason: verify.ErrAudience},
		{name: "other issuer", token: es256.with("iss", `"https://other.example"`), reason: verify.ErrIssuer},
		{name: "no issuer", token: es256.with("iss", ""), reason: verify.ErrClaim},
		{name: "bound", token: es256.with("cnf", `{"jkt":"x"}`), reason: verify.ErrBound},
		{name: "ID token", token: es256.token(es256.header("typ", `"JWT"`), claims("at_hash", `"x"`)), reason: verify.ErrType},
		{name: "logout token", token: es256.token(es256.header("typ", `"logout+jwt"`), claims()), reason: verify.ErrType},
		{name: "bad signature", token: segments[0] + "." + enc(claims("sub", `"admin"`)) + "." + segments[2], reason: verify.ErrSignature},
		{name: "alg none", token: head("none") + "." + enc(claims()) + ".AA", reason: verify.ErrAlgorithm},
		{name: "alg HS256", token: head("HS256") + "." + enc(claims()) + ".AA", reason: verify.ErrAlgorithm},
		{name: "a header that is not a header", token: enc(`{"alg":"ES256"`) + ".e30.AA", reason: verify.ErrMalformed},
		{name: "no alg", token: enc(`{"kid":"es256"}`) + ".e30.AA", reason: verify.ErrMalformed},
		{name: "three parts, no signature", token: segments[0] + "." + segments[1] + ".", reason: verify.ErrMalformed},
		{name: "three parts, no header", token: "." + segments[1] + "." + segments[2], reason: verify.ErrMalformed},
		{name: "three parts, all empty", token: "..", reason: verify.ErrMalformed},
		{name: "two parts of a JWS", token: segments[0] + "." + segments[1], reason: verify.ErrMalformed},
		{name: "two parts, header in another form", token: enc(` {"alg":"ES256"}`) + ".e30", reason: verify.ErrMalformed},
		{name: "two parts, a broken header", token: segments[0] + "+.e30", reason: verify.ErrMalformed},
		{name: "two parts, duplicate members", token: enc(`{"x":1,"x":2}`) + ".e30", reason: verify.ErrMalformed},
		{name: "two parts, ALG", token: enc(`{"ALG":"none"}`) + ".e30", reason: verify.ErrMalformed},
		{name: "four parts", token: good + ".AA", reason: verify.ErrMalformed},
		{name: "four parts, the last one empty", token: good + ".", reason: verify.ErrMalformed},
		{name: "five parts", token: good + ".AA.AA", reason: verify.ErrMalformed},
		{name: "five parts with an enc that is not a string", token: enc(`{"alg":"ES256","enc":5}`) + ".AA.AA.AA.AA", reason: verify.ErrMalformed},
		{name: "six parts of a JWE", token: enc(`{"alg":"dir","enc":"A256GCM"}`) + "..AA.AA.AA.AA", reason: verify.ErrMalformed},
		{name: "four parts of a JWE", token: enc(`{"alg":"dir","enc":"A256GCM"}`) + ".AA.AA.AA", reason: verify.ErrMalformed},
		{name: "three parts of a JWE", token: enc(`{"alg":"dir","enc":"A256GCM"}`) + ".AA.AA", reason: verify.ErrAlgorithm},
		{name: "many parts", token: good + strings.Repeat(".AA", 20), reason: verify.ErrMalformed},
		{name: "a leading dot", token: "." + opaqueToken, reason: verify.ErrMalformed},
		{name: "a leading dot before a JWS", token: "." + good, reason: verify.ErrMalformed},
		{name: "no b64token", token: "opaque token", reason: verify.ErrSyntax},
		{name: "empty", token: "", reason: verify.ErrSyntax},
		{name: "too large", token: strings.Repeat("x", 16<<10+1), reason: verify.ErrTooLarge},

		// Without keys all other checks are made all the same.
		{name: "expired, no keys", keyless: true, token: es256.with("exp", at(-60)), reason: verify.ErrExpired},
		{name: "other audience, no keys", keyless: true, token: es256.with("aud", `"other"`), reason: verify.ErrAudience},
		{name: "other issuer, no keys", keyless: true, token: es256.with("iss", `"https://other.example"`), reason: verify.ErrIssuer},
		{name: "bound, no keys", keyless: true, token: es256.with("cnf", `{"jkt":"x"}`), reason: verify.ErrBound},
		{name: "alg none, no keys", keyless: true, token: head("none") + "." + enc(claims()) + ".AA", reason: verify.ErrAlgorithm},
		{name: "short signature, no keys", keyless: true, token: segments[0] + "." + segments[1] + ".AA", reason: verify.ErrSignature},
		{name: "an actor of the wrong type, no keys", keyless: true, token: es256.with("act", `"x"`), reason: verify.ErrClaim},
	} {
		// What local checks refuse is refused in every mode.
		modes := []string{"fallback"}
		switch {
		case tc.always:
			modes = []string{"always"}
		case tc.fresh:
			modes = []string{"fresh"}
		case tc.reason != "":
			modes = []string{"fallback", "always", "fresh"}
		}
		for _, mode := range modes {
			t.Run(tc.name+"/"+mode, func(t *testing.T) {
				a := &asker{claims: answer()}
				edit := func(c *verify.Config) { c.Issuers[0].Introspection.Always = mode == "always" }
				v, _ := asking(t, a, edit)
				if tc.keyless {
					v = unkeyed(t, a, edit)
				}
				check := v.Verify
				if mode == "fresh" {
					check = verifyFresh(v)
				}
				for range 2 { // the second time may be from memory
					_, err := check(t.Context(), tc.token)
					var e *verify.Error
					if errors.As(err, &e); tc.reason != "" && (e == nil || e.Reason != tc.reason) || tc.reason == "" && err != nil {
						t.Errorf("%v, want %q", err, string(tc.reason))
					}
					questions := a.asked()
					if (len(questions) == 1) != tc.asked || len(questions) > 1 {
						t.Errorf("%d questions", len(questions))
					}
					for _, q := range questions {
						if q.Token != tc.token || q.Fresh != (mode == "fresh") || q.Digest == [32]byte{} {
							t.Errorf("asked for %+v", q)
						}
					}
				}
			})
		}
	}
}

// A JWT is not asked about in fallback mode, but what others have learned of it
// counts.
func TestKnownInactive(t *testing.T) {
	a := &asker{claims: answer()}
	v, _ := asking(t, a, nil)
	token := es256.good()
	if got := accept(t, v, token); !got.Introspected.IsZero() {
		t.Error("introspected, it says")
	}
	a.dead = true
	refuse(t, v, token, verify.ErrInactive)
	if n := len(a.asked()); n != 0 {
		t.Errorf("%d questions", n)
	}
	// It is not taken at its own word again: somebody has to say that it is
	// active.
	a.dead = false
	accept(t, v, token)
	if n := len(a.asked()); n != 1 {
		t.Errorf("%d questions about a token that was inactive", n)
	}
	accept(t, v, token)
	if n := len(a.asked()); n != 0 {
		t.Errorf("%d questions about a token that is active again", n)
	}
}

// If the server cannot be asked, the answer is 503, except where no answer of the server
// is needed to decide.
func TestIntrospectionUnavailable(t *testing.T) {
	broken := &asker{err: errors.New("the server is down")}
	fallback, _ := asking(t, broken, nil)
	always, _ := asking(t, broken, func(c *verify.Config) { c.Issuers[0].Introspection.Always = true })
	none, _ := build(t, nil)
	for _, tc := range []struct {
		name   string
		verify func(context.Context, string) (*verify.Token, error)
		token  string
		reason verify.Reason
	}{
		{"fallback, JWT", fallback.Verify, es256.good(), accepted},
		{"fallback, JWT, fresh", verifyFresh(fallback), es256.good(), verify.ErrUnavailable},
		{"fallback, opaque", fallback.Verify, opaqueToken, verify.ErrUnavailable},
		{"fallback, no keys", unkeyed(t, broken, nil).Verify, es256.good(), verify.ErrUnavailable},
		{"fallback, bad JWT", fallback.Verify, es256.with("exp", at(-60)), verify.ErrExpired},
		{"always, JWT", always.Verify, es256.good(), verify.ErrUnavailable},
		{"always, bad JWT", always.Verify, es256.with("exp", at(-60)), verify.ErrExpired},
		{"no introspection, JWT", none.Verify, es256.good(), accepted},
		{"no introspection, JWT, fresh", verifyFresh(none), es256.good(), verify.ErrUnavailable},
		{"no introspection, opaque", none.Verify, opaqueToken, verify.ErrMalformed},
		{"no introspection, opaque, fresh", verifyFresh(none), opaqueToken, verify.ErrMalformed},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := tc.verify(t.Context(), tc.token)
			if tc.reason == accepted {
				if err != nil {
					t.Error(err)
				}
				return
			}
			var e *verify.Error
			if got != nil || !errors.As(err, &e) || e.Reason != tc.reason {
				t.Fatalf("%v, want %q", err, string(tc.reason))
			}
			tellsNothing(t, e, tc.token)
		})
	}
}

// Tokens that are not JWTs go to the one issuer that is named for them.
func TestOpaqueTokensGoToOneIssuer(t *testing.T) {
	const other = "https://other.example"
	for _, tc := range []struct {
		name   string
		opaque []bool
		to     int // which issuer is asked; -1: none
		fault  string
	}{
		{"the first", []bool{true, false}, 0, ""},
		{"the second", []bool{false, true}, 1, ""},
		{"none", []bool{false, false}, -1, ""},
		{"both", []bool{true, true}, 0, "Issuers[1].Introspection.TakesOpaque"},
		{"a single one", []bool{false}, 0, ""},
		{"a single one, said", []bool{true}, 0, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var askers []*asker
			var issuers []verify.Issuer
			for i, name := range []string{testIssuer, other}[:len(tc.opaque)] {
				a := &asker{claims: answer("iss", `"`+name+`"`)}
				askers = append(askers, a)
				issuers = append(issuers, verify.Issuer{
					Issuer: name, Audience: []string{testAudience}, Keys: &source{set: published(es256)},
					Introspection: &verify.Introspection{Introspector: a, TakesOpaque: tc.opaque[i]},
				})
			}
			v, err := verify.New(verify.Config{Issuers: issuers, Now: func() time.Time { return testNow }})
			if tc.fault != "" {
				if f := verify.Faults(err); len(f) != 1 || f[0].Field != tc.fault {
					t.Errorf("faults %v", f)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if tc.to < 0 {
				refuse(t, v, opaqueToken, verify.ErrMalformed)
			} else if got := accept(t, v, opaqueToken); got.Issuer != issuers[tc.to].Issuer {
				t.Errorf("issuer %q", got.Issuer)
			}
			for i, a := range askers {
				if n := len(a.asked()); n > 0 != (i == tc.to) {
					t.Errorf("%d questions to issuer %d", n, i)
				}
			}
			// A JWT goes to its own issuer alone.
			for i := range issuers {
				if _, err := verifyFresh(v)(t.Context(), es256.with("iss", `"`+issuers[i].Issuer+`"`)); err != nil {
					t.Errorf("JWT of issuer %d: %v", i, err)
				}
				for j, a := range askers {
					if n := len(a.asked()); n > 0 != (i == j) {
						t.Errorf("%d questions to issuer %d about a JWT of issuer %d", n, j, i)
					}
				}
			}
		})
	}
}

func TestIntrospectionFaults(t *testing.T) {
	ok := &asker{}
	bad := &asker{faults: errors.Join(&verify.Fault{Field: "URL", Problem: "is odd"}, &verify.Fault{Field: "Auth", Problem: "is required"})}
	issuer := func(in *verify.Introspection) verify.Config {
		return verify.Config{Issuers: []verify.Issuer{{Issuer: testIssuer, Audience: []string{testAudience}, Keys: &source{set: published(es256)}, Introspection: in}}}
	}
	for _, tc := range []struct {
		name   string
		config verify.Config
		fields []string
	}{
		{"good", issuer(&verify.Introspection{Introspector: ok}), nil},
		{"no introspector", issuer(&verify.Introspection{}), []string{"Issuers[0].Introspection.Introspector"}},
		{"the introspector's own", issuer(&verify.Introspection{Introspector: bad}), []string{"Issuers[0].Introspection.URL", "Issuers[0].Introspection.Auth"}},
		{"several", verify.Config{Issuers: []verify.Issuer{
			{Issuer: testIssuer, Audience: []string{"x"}, Keys: &source{}},
			{Issuer: "https://other.example", Audience: []string{"x"}, Keys: &source{}, Introspection: &verify.Introspection{Introspector: bad}},
		}}, []string{"Issuers[1].Introspection.URL", "Issuers[1].Introspection.Auth"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var fields []string
			for _, f := range verify.Faults(tc.config.Validate()) {
				fields = append(fields, f.Field)
			}
			for _, want := range tc.fields {
				if !slices.Contains(fields, want) {
					t.Errorf("no fault of %s in %v", want, fields)
				}
			}
			if len(tc.fields) == 0 && len(fields) > 0 {
				t.Errorf("faults of %v", fields)
			}
		})
	}
	if ok.bound != "" || ok.open != nil || bad.bound != "" {
		t.Errorf("Validate has bound to %q and %q", ok.bound, bad.bound)
	}
	v, err := verify.New(issuer(&verify.Introspection{Introspector: ok}))
	if err != nil || ok.bound != testIssuer || ok.open == nil {
		t.Errorf("New has bound to %q: %v", ok.bound, err)
	}
	defer v.Close()
}

// For a token that is not a JWT, and for a JWT while there are no keys, the answer of the
// server decides alone.
func TestAnswersAlone(t *testing.T) {
	type row struct {
		name   string
		answer string
		reason verify.Reason
		part   string
	}
	table := []row{
		{"good", answer(), accepted, ""},
		{"the least", `{"active":true,"sub":"user-1","aud":"` + testAudience + `"}`, accepted, ""},
		{"one of several audiences", answer("aud", `["x","`+testAudience+`"]`), accepted, ""},
		{"scope empty", answer("scope", `""`), accepted, ""},
		{"no ID token, whatever it holds", answer("at_hash", `"x"`, "nonce", `"n"`), accepted, ""},
		{"unknown members", answer("extra", `{"a":[1,null]}`, "username", `"jane"`), accepted, ""},
		{"within the leeway", answer("exp", at(-10), "nbf", at(10), "iat", at(10)), accepted, ""},
		{"fractions", answer("exp", at(300)+".5"), accepted, ""},
		{"no iss", answer("iss", ""), accepted, ""},
		{"no exp", answer("exp", ""), accepted, ""},
		{"no client_id", answer("client_id", ""), accepted, ""},
		{"no token_type", answer("token_type", ""), accepted, ""},
		{"token_type bearer", answer("token_type", `"bearer"`), accepted, ""},
		{"token_type BEARER", answer("token_type", `"BEARER"`), accepted, ""},
		{"token_type access_token", answer("token_type", `"access_token"`), accepted, ""},
		{"token_type of RFC 8693", answer("token_type", `"urn:ietf:params:oauth:token-type:access_token"`), accepted, ""},
		{"token_use access", answer("token_use", `"access"`), accepted, ""},
		{"token_use access_token", answer("token_use", `"access_token"`), accepted, ""},

		{"inactive", "", verify.ErrInactive, ""},
		{"exp past", answer("exp", at(-31)), verify.ErrExpired, ""},
		{"nbf ahead", answer("nbf", at(31)), verify.ErrNotYetValid, "nbf"},
		{"iat ahead", answer("iat", at(31)), verify.ErrNotYetValid, "iat"},
		{"iss other", answer("iss", `"https://other.example"`), verify.ErrIssuer, ""},
		{"iss with a slash", answer("iss", `"`+testIssuer+`/"`), verify.ErrIssuer, ""},
		{"aud other", answer("aud", `"other"`), verify.ErrAudience, ""},
		{"aud others", answer("aud", `["a","b"]`), verify.ErrAudience, ""},
		{"aud an empty string", answer("aud", `""`), verify.ErrAudience, ""},
		{"token_type mac", answer("token_type", `"mac"`), verify.ErrType, "token_type"},
		{"token_type DPoP", answer("token_type", `"DPoP"`), verify.ErrType, "token_type"},
		{"token_type refresh_token", answer("token_type", `"refresh_token"`), verify.ErrType, "token_type"},
		{"token_type Refresh", answer("token_type", `"Refresh"`), verify.ErrType, "token_type"},
		{"token_type id_token", answer("token_type", `"id_token"`), verify.ErrType, "token_type"},
		{"token_type empty", answer("token_type", `""`), verify.ErrType, "token_type"},
		{"token_type with a Kelvin sign", answer("token_type", `"access_to\u212aen"`), verify.ErrType, "token_type"},
		{"token_use refresh", answer("token_use", `"refresh"`), verify.ErrType, "token_use"},
		{"token_use refresh_token", answer("token_use", `"refresh_token"`), verify.ErrType, "token_use"},
		{"token_use id", answer("token_use", `"id"`), verify.ErrType, "token_use"},
		{"typ Refresh", answer("typ", `"Refresh"`), verify.ErrType, "typ claim"},
		{"typ Offline", answer("typ", `"Offline"`), verify.ErrType, "typ claim"},
		{"typ ID", answer("typ", `"ID"`), verify.ErrType, "typ claim"},
		{"cnf", answer("cnf", `{"jkt":"x"}`), verify.ErrBound, ""},
		{"cnf null", answer("cnf", `null`), verify.ErrClaim, "cnf"},
		{"act ill-typed", answer("act", `"x"`), verify.ErrClaim, "act"},
	}
	// Each member of RFC 7662 section 2.2 with each JSON type that it must not
	// have.
	texts := []string{"5", "true", "null", `{"a":"b"}`, `["a"]`}
	dates := []string{`"1800000300"`, "true", "null", "{}", "[]", "1e400"}
	for _, name := range []string{"scope", "client_id", "username", "token_type", "sub", "iss", "jti", "acr", "azp", "exp", "nbf", "iat", "auth_time"} {
		values := texts
		if slices.Contains([]string{"exp", "nbf", "iat", "auth_time"}, name) {
			values = dates
		}
		for _, value := range values {
			reason, part := verify.ErrClaim, name
			switch {
			case slices.Contains([]string{"jti", "acr", "azp", "auth_time"}, name), // requirements alone look at these
				value == "null" && !slices.Contains([]string{"iss", "sub", "exp"}, name),
				name == "scope" && value == `["a"]`:
				reason, part = accepted, ""
			case name == "token_type":
				reason = verify.ErrType
			}
			table = append(table, row{name + " is " + value, answer(name, value), reason, part})
		}
	}
	for _, value := range []string{"5", "true", "null", "{}", `["` + testAudience + `",5]`, `[["` + testAudience + `"]]`} {
		table = append(table, row{"aud is " + value, answer("aud", value), verify.ErrClaim, "aud"})
	}
	table = append(table,
		row{"scope with two spaces", answer("scope", `"a  b"`), verify.ErrClaim, "scope"},
	)

	opaque, jwt := &asker{claims: answer("exp", at(300)+"000")}, &asker{}
	v, _ := asking(t, opaque, nil)
	refuse(t, v, opaqueToken, verify.ErrClaim) // milliseconds; a JWT has an exp of its own, which is earlier
	w := unkeyed(t, jwt, nil)
	token := es256.good()
	// An empty "sub" is none: an opaque token is nobody's then, and a JWT that
	// nobody has verified may be anybody's.
	opaque.claims, jwt.claims = answer("sub", `""`), answer("sub", `""`)
	refuse(t, v, opaqueToken, verify.ErrClaim)
	refuse(t, w, token, verify.ErrUnavailable)
	for _, r := range table {
		t.Run(r.name, func(t *testing.T) {
			for _, side := range []struct {
				a     *asker
				v     *verify.Verifier
				token string
			}{{opaque, v, opaqueToken}, {jwt, w, token}} {
				side.a.claims = r.answer
				if r.reason == accepted {
					if got := accept(t, side.v, side.token); !got.Introspected.Equal(testNow) || got.Stale || got.Subject != "user-1" || got.Issuer != testIssuer {
						t.Errorf("%+v", got)
					}
					continue
				}
				if e := refuse(t, side.v, side.token, r.reason); r.part != "" && e.Part != r.part {
					t.Errorf("part %q, want %q", e.Part, r.part)
				}
			}
		})
	}
}

// An answer that is silent about whose the token is or for whom refuses an
// opaque token. A JWT without keys stays unjudged: with keys it might be good,
// and an outage of the keys logs nobody out.
func TestSilentAnswers(t *testing.T) {
	insecure := func(c *verify.Config) { c.Issuers[0].Introspection.InsecureNoAudience = true }
	issuer := func(edit func(*verify.Issuer)) func(*verify.Config) {
		return func(c *verify.Config) { edit(&c.Issuers[0]) }
	}
	standIn := issuer(func(is *verify.Issuer) {
		is.AudienceClaim, is.Audience, is.Introspection.InsecureNoAudience = "client_id", []string{"client-1", testAudience}, true
	})
	anyAudience := issuer(func(is *verify.Issuer) { is.InsecureNoAudience, is.Audience = true, nil })
	noSubject := issuer(func(is *verify.Issuer) { is.AllowNoSubject = true })
	for _, tc := range []struct {
		name   string
		edit   func(*verify.Config)
		answer string
		opaque verify.Reason
		jwt    verify.Reason
	}{
		{"no aud", nil, answer("aud", ""), verify.ErrClaim, verify.ErrUnavailable},
		{"aud empty", nil, answer("aud", "[]"), verify.ErrClaim, verify.ErrUnavailable},
		{"no sub", nil, answer("sub", ""), verify.ErrClaim, verify.ErrUnavailable},
		{"no sub, but another audience", nil, answer("sub", "", "aud", `"other"`), verify.ErrClaim, verify.ErrUnavailable},
		{"no aud, but another issuer", nil, answer("aud", "", "iss", `"x"`), verify.ErrIssuer, verify.ErrIssuer},
		{"no aud, insecure", insecure, answer("aud", ""), accepted, verify.ErrUnavailable}, // it is for opaque tokens alone
		{"aud empty, insecure", insecure, answer("aud", "[]"), accepted, verify.ErrUnavailable},
		{"aud other, insecure", insecure, answer("aud", `"other"`), verify.ErrAudience, verify.ErrAudience},
		{"aud ill-typed, insecure", insecure, answer("aud", `null`), verify.ErrClaim, verify.ErrClaim},
		{"stand-in for aud", standIn, answer("aud", ""), accepted, accepted},
		{"no stand-in", standIn, answer("aud", "", "client_id", ""), verify.ErrClaim, verify.ErrUnavailable},
		{"stand-in that is another's", standIn, answer("aud", "", "client_id", `"client-2"`), verify.ErrAudience, verify.ErrAudience},
		{"any audience", anyAudience, answer("aud", ""), accepted, accepted},
		{"any audience, aud other", anyAudience, answer("aud", `"other"`), accepted, accepted},
		{"no sub, allowed", noSubject, answer("sub", ""), accepted, accepted},
		{"sub ill-typed, allowed", noSubject, answer("sub", `5`), verify.ErrClaim, verify.ErrClaim},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := &asker{claims: tc.answer}
			v, _ := asking(t, a, tc.edit)
			want := func(v *verify.Verifier, token string, reason verify.Reason) {
				t.Helper()
				if reason == accepted {
					accept(t, v, token)
				} else {
					refuse(t, v, token, reason)
				}
			}
			want(v, opaqueToken, tc.opaque)
			want(unkeyed(t, a, tc.edit), es256.good(), tc.jwt)
		})
	}
}

// What a server says of a JWT must not contradict it, with keys or without.
func TestContradictions(t *testing.T) {
	good := es256.good()
	for _, tc := range []struct {
		name   string
		token  string
		answer string
		reason verify.Reason
		part   string
	}{
		{"all equal", good, answer("jti", `"id-1"`), accepted, ""},
		{"jti differs", good, answer("jti", `"another"`), accepted, ""},
		{"token_type of the other spelling", good, answer("token_type", `"access_token"`), accepted, ""},
		{"more audiences", good, answer("aud", `["`+testAudience+`","x"]`), accepted, ""},
		{"client_id where the token has azp", es256.with("client_id", "", "azp", `"client-1"`), answer(), accepted, ""},
		{"escapes", good, answer("sub", `"\u0075ser-1"`), accepted, ""},

		{"sub", good, answer("sub", `"user-2"`), verify.ErrInactive, "sub"},
		{"sub in another case", good, answer("sub", `"User-1"`), verify.ErrInactive, "sub"},
		{"client_id", good, answer("client_id", `"client-2"`), verify.ErrInactive, "client_id"},
		{"client_id and azp", es256.with("client_id", "", "azp", `"client-2"`), answer(), verify.ErrInactive, "client_id"},
		{"iss", good, answer("iss", `"https://other.example"`), verify.ErrIssuer, ""},
		{"aud", good, answer("aud", `"other"`), verify.ErrAudience, ""},
		{"exp past", good, answer("exp", at(-31)), verify.ErrExpired, ""},
		{"exp ill-typed", good, answer("exp", `"soon"`), verify.ErrClaim, "exp"},
		{"nbf ahead", good, answer("nbf", at(60)), verify.ErrNotYetValid, "nbf"},
		{"refresh token", good, answer("token_type", `"refresh_token"`), verify.ErrType, "token_type"},
		{"cnf", good, answer("cnf", `{"jkt":"x"}`), verify.ErrBound, ""},
		{"act ill-typed", good, answer("act", `5`), verify.ErrClaim, "act"},
		{"inactive", good, "", verify.ErrInactive, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := &asker{claims: tc.answer}
			always, _ := asking(t, a, func(c *verify.Config) { c.Issuers[0].Introspection.Always = true })
			for _, v := range []*verify.Verifier{always, unkeyed(t, a, nil)} {
				for range 2 {
					if tc.reason == accepted {
						accept(t, v, tc.token)
					} else if e := refuse(t, v, tc.token, tc.reason); e.Part != tc.part {
						t.Errorf("part %q, want %q", e.Part, tc.part)
					}
				}
			}
		})
	}
	t.Run("silent answers", func(t *testing.T) {
		// What the answer leaves out the token has said; an empty aud says nothing.
		for _, s := range []string{`{"active":true}`, `{"active":true,"aud":[]}`} {
			v, _ := asking(t, &asker{claims: s}, func(c *verify.Config) { c.Issuers[0].Introspection.Always = true })
			got := accept(t, v, good)
			if got.Subject != "user-1" || got.ClientID != "client-1" || got.Scope != "orders:read orders:write" || !got.Expiry.Equal(testNow.Add(300*time.Second)) {
				t.Errorf("%+v", got)
			}
		}
	})
	t.Run("a stand-in for aud", func(t *testing.T) {
		for value, reason := range map[string]verify.Reason{`"mine"`: accepted, "": accepted, `"other"`: verify.ErrAudience} {
			v, err := verify.New(verify.Config{Now: func() time.Time { return testNow }, Issuers: []verify.Issuer{{
				Issuer: testIssuer, Audience: []string{"mine"}, AudienceClaim: "tenant", Keys: &source{set: published(es256)},
				Introspection: &verify.Introspection{Introspector: &asker{claims: answer("aud", "", "tenant", value)}, Always: true},
			}}})
			if err != nil {
				t.Fatal(err)
			}
			token := es256.with("aud", "", "tenant", `"mine"`)
			if reason == accepted {
				accept(t, v, token)
			} else {
				refuse(t, v, token, reason)
			}
		}
	})
	t.Run("a token without sub", func(t *testing.T) {
		v, err := verify.New(verify.Config{Now: func() time.Time { return testNow }, Issuers: []verify.Issuer{{
			Issuer: testIssuer, Audience: []string{testAudience}, AllowNoSubject: true, Keys: &source{set: published(es256)},
			Introspection: &verify.Introspection{Introspector: &asker{claims: answer()}, Always: true},
		}}})
		if err != nil {
			t.Fatal(err)
		}
		accept(t, v, es256.with("sub", ""))
	})
}

// Which of a JWT and its answer counts for what.
func TestMergedToken(t *testing.T) {
	token := es256.with("exp", at(200), "org_id", `"org-old"`, "only", `"token"`, "permissions", `["old"]`, "deep", `{"token":1}`, "acr", `"1"`)
	a := &asker{claims: " \n" + answer("exp", at(100), "jti", `"other"`, "nbf", at(-50), "iat", at(-50), "scope", `"read"`, "org_id", `"org-new"`,
		"permissions", `["new"]`, "deep", `{ "answer" : [1, "\u00e9"] }`, "username", `"jane"`, "aud", `["`+testAudience+`","x"]`, `qu"ote`, `1`) + "\n"}
	v, _ := asking(t, a, func(c *verify.Config) { c.Issuers[0].Introspection.Always = true })
	for _, where := range []string{"new", "remembered"} {
		got := accept(t, v, token)
		for _, f := range []struct{ name, got, want string }{
			{"Issuer", got.Issuer, testIssuer},
			{"Subject", got.Subject, "user-1"},
			{"Audience", fmt.Sprint(got.Audience), fmt.Sprint([]string{testAudience})},
			{"ID", got.ID, "id-1"},
			{"Scope", got.Scope, "read"},
			{"OrganizationID", got.OrganizationID, "org-new"},
			{"ACR", got.ACR, "1"},
			{"Expiry", fmt.Sprint(got.Expiry.Unix()), at(100)},
			{"IssuedAt", fmt.Sprint(got.IssuedAt.Unix()), at(-10)},
			{"NotBefore", fmt.Sprint(got.NotBefore.IsZero()), "true"},
			{"Introspected", got.Introspected.String(), testNow.String()},
			{"permissions", fmt.Sprint(got.HasPermission("new"), got.HasPermission("old")), "true false"},
		} {
			if f.got != f.want {
				t.Errorf("%s: %s is %q, want %q", where, f.name, f.got, f.want)
			}
		}
		var m map[string]any
		if err := got.Claims(&m); err != nil {
			t.Fatal(err)
		}
		want := map[string]any{
			"iss": testIssuer, "sub": "user-1", "aud": testAudience, "jti": "id-1", "exp": testNow.Unix() + 200, "iat": testNow.Unix() - 10,
			"client_id": "client-1", "scope": "read", "org_id": "org-new", "only": "token", "acr": "1", "username": "jane",
			"permissions": []any{"new"}, "deep": map[string]any{"answer": []any{int64(1), "é"}}, `qu"ote`: int64(1),
		}
		if fmt.Sprint(m) != fmt.Sprint(want) {
			t.Errorf("%s: claims are\n%v, want\n%v", where, m, want)
		}
		got.Audience[0] = "changed by the caller"
	}
}

// Of two exp the earlier one counts, whichever has it.
func TestEarlierExpiryCounts(t *testing.T) {
	for _, tc := range []struct{ token, answer, want int64 }{{300, 100, 100}, {100, 300, 100}, {100, 0, 100}} {
		exp := ""
		if tc.answer != 0 {
			exp = at(tc.answer)
		}
		for _, keyless := range []bool{false, true} {
			now := testNow
			a := &asker{claims: answer("exp", exp)}
			edit := func(c *verify.Config) {
				c.Issuers[0].Introspection.Always, c.Leeway = true, verify.NoLeeway
				c.Now = func() time.Time { return now }
			}
			v, _ := asking(t, a, edit)
			if keyless {
				v = unkeyed(t, a, edit)
			}
			token := es256.with("exp", at(tc.token))
			if got := accept(t, v, token); got.Expiry.Unix() != testNow.Unix()+tc.want {
				t.Errorf("%+v, keyless %v: expires %v", tc, keyless, got.Expiry)
			}
			now = testNow.Add(time.Duration(tc.want)*time.Second - time.Millisecond)
			accept(t, v, token)
			now = testNow.Add(time.Duration(tc.want) * time.Second)
			refuse(t, v, token, verify.ErrExpired)
		}
	}
}

// "scope" and "scp" are two names of one thing: what the answer says of it under
// either counts alone.
func TestScopesOfTheAnswer(t *testing.T) {
	for _, tc := range []struct{ name, token, answer, want string }{
		{"scope and scope", es256.with("scope", `"a b"`), answer("scope", `"a"`), "a"},
		{"scope and scp", es256.with("scope", `"a b"`), answer("scope", "", "scp", `["a"]`), "a"},
		{"scp and scope", es256.with("scope", "", "scp", `["a","b"]`), answer("scope", `"a"`), "a"},
		{"scope and an empty one", es256.with("scope", `"a b"`), answer("scope", `""`), ""},
		{"scope and an empty scp", es256.with("scope", `"a b"`), answer("scope", "", "scp", `[]`), ""},
		{"scope and none", es256.with("scope", `"a b"`), answer("scope", ""), "a b"},
		{"none and scope", es256.with("scope", ""), answer("scope", `"a"`), "a"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			v, _ := asking(t, &asker{claims: tc.answer}, func(c *verify.Config) { c.Issuers[0].Introspection.Always = true })
			if got := accept(t, v, tc.token); got.Scope != tc.want {
				t.Errorf("scope %q, want %q", got.Scope, tc.want)
			}
		})
	}
}

// Without keys nobody has verified what the JWT says beside the answer.
func TestWithoutKeysTheAnswerCountsAlone(t *testing.T) {
	token := es256.with("scope", `"admin"`, "org_id", `"org-evil"`, "permissions", `["all"]`, "extra", `"evil"`, "jti", `"evil"`)
	v := unkeyed(t, &asker{claims: answer("jti", `"id-9"`), grace: true}, nil)
	got := accept(t, v, token)
	if got.Scope != "orders:read" || got.OrganizationID != "" || got.HasPermission("all") || got.ID != "id-9" || !got.Introspected.Equal(testNow) || !got.Stale {
		t.Errorf("%+v", got)
	}
	var m map[string]any
	if err := got.Claims(&m); err != nil || m["extra"] != nil || m["scope"] != "orders:read" {
		t.Errorf("claims %v, %v", m, err)
	}
}

func TestStale(t *testing.T) {
	a := &asker{claims: answer(), grace: true}
	v, _ := asking(t, a, func(c *verify.Config) { c.Issuers[0].Introspection.Always = true })
	for _, token := range []string{es256.good(), opaqueToken} {
		a.grace = true
		if !accept(t, v, token).Stale {
			t.Error("not said")
		}
		a.grace = false
		if accept(t, v, token).Stale {
			t.Error("said of a new answer")
		}
	}
}

// Digests tell nothing: they are of the whole token, and differ from verifier to
// verifier.
func TestDigestIsKeyed(t *testing.T) {
	a := &asker{claims: answer()}
	v, _ := asking(t, a, nil)
	w, _ := asking(t, a, nil)
	digest := func(v *verify.Verifier, token string) [32]byte {
		t.Helper()
		if _, err := verifyFresh(v)(t.Context(), token); err != nil {
			t.Fatal(err)
		}
		return a.asked()[0].Digest
	}
	seen := map[[32]byte]string{}
	long := strings.Repeat("x", 5000)
	for name, token := range map[string]string{
		"JWT": es256.good(), "same claims": es256.good(), "opaque": opaqueToken, "longer": opaqueToken + "x",
		"very long": long, "very long, last byte": long[1:] + "y", "very long, first byte": "y" + long[1:],
	} {
		d := digest(v, token)
		if d != digest(v, token) {
			t.Errorf("%s: two digests of one token", name)
		}
		for _, d := range [][32]byte{d, digest(w, token)} {
			if seen[d] != "" {
				t.Errorf("%s has the digest of %s", name, seen[d])
			}
			seen[d] = name
		}
	}
}

// Additional checks see what introspection made of a token.
func TestChecksAfterIntrospection(t *testing.T) {
	var seen *verify.Token
	v, _ := asking(t, &asker{claims: answer()}, func(c *verify.Config) {
		c.Issuers[0].Introspection.Always = true
		c.Conditions = []verify.Condition{verify.Check(func(_ context.Context, t *verify.Token) error { seen = t; return nil })}
	})
	accept(t, v, es256.good())
	if seen == nil || seen.Scope != "orders:read" || seen.Introspected.IsZero() {
		t.Errorf("%+v", seen)
	}
}

// What signed answers must be to be opened (RFC 9701 section 5, RFC 8725).
func TestOpener(t *testing.T) {
	const typ = "token-introspection+jwt"
	a := &asker{}
	_, keys := asking(t, a, nil)
	kind := verify.Kind{Types: []string{typ}, Audience: append(a.open.Audience(testIssuer), "client-9"), MaxAge: time.Minute}
	payload := func(edits ...string) string {
		return object(map[string]string{
			"iss": `"` + testIssuer + `"`, "aud": `"client-9"`, "iat": at(0), "token_introspection": `{"active":true}`,
		}, edits)
	}
	header := func(edits ...string) string {
		return es256.header(append([]string{"typ", `"` + typ + `"`}, edits...)...)
	}
	good := es256.token(header(), payload())
	parts := strings.Split(good, ".")
	for _, tc := range []struct {
		name, jws string
		reason    verify.Reason
	}{
		{"good", good, accepted},
		{"typ in full", es256.token(header("typ", `"application/Token-Introspection+JWT"`), payload()), accepted},
		{"aud is this API", es256.token(header(), payload("aud", `["x","`+testAudience+`"]`)), accepted},
		{"RSA", rs256.token(rs256.header("typ", `"`+typ+`"`), payload()), accepted},
		{"half a minute old", es256.token(header(), payload("iat", at(-30))), accepted},

		{"typ missing", es256.token(header("typ", ""), payload()), verify.ErrType},
		{"typ JWT", es256.token(header("typ", `"JWT"`), payload()), verify.ErrType},
		{"the access token itself", es256.good(), verify.ErrType},
		{"an access token that has all", es256.token(es256.header(), payload("aud", `"`+testAudience+`"`)), verify.ErrType},
		{"iss other", es256.token(header(), payload("iss", `"https://other.example"`)), verify.ErrIssuer},
		{"iss missing", es256.token(header(), payload("iss", "")), verify.ErrIssuer},
		{"aud other", es256.token(header(), payload("aud", `"client-1"`)), verify.ErrAudience},
		{"aud missing", es256.token(header(), payload("aud", "")), verify.ErrAudience},
		{"aud ill-typed", es256.token(header(), payload("aud", `["client-9",5]`)), verify.ErrAudience},
		{"iat old", es256.token(header(), payload("iat", at(-100))), verify.ErrExpired},
		{"iat ahead", es256.token(header(), payload("iat", at(31))), verify.ErrNotYetValid},
		{"iat missing", es256.token(header(), payload("iat", "")), verify.ErrClaim},
		{"iat a string", es256.token(header(), payload("iat", `"`+at(0)+`"`)), verify.ErrClaim},
		{"alg none", enc(header("alg", `"none"`)) + "." + enc(payload()) + ".AA", verify.ErrAlgorithm},
		{"alg HS256", enc(header("alg", `"HS256"`)) + "." + enc(payload()) + ".AA", verify.ErrAlgorithm},
		{"no signature", parts[0] + "." + parts[1] + ".", verify.ErrMalformed},
		{"other claims", parts[0] + "." + enc(payload("iat", at(-1))) + "." + parts[2], verify.ErrSignature},
		{"short signature", parts[0] + "." + parts[1] + "." + parts[2][:40], verify.ErrSignature},
		{"another's key", (&signer{"es256", "RS256", rsaEvil}).token(rs256.header("typ", `"`+typ+`"`), payload()), verify.ErrSignature},
		{"a key that is unknown", (&signer{"new", "ES256", es384.priv}).token(header("kid", `"new"`, "alg", `"ES384"`), payload()), verify.ErrUnknownKey},
		{"crit", es256.token(header("crit", `["exp"]`), payload()), verify.ErrCritical},
		{"duplicate member", es256.token(header(), `{"iss":"`+testIssuer+`","iss":"x"}`), verify.ErrMalformed},
		{"no object", es256.token(header(), `[]`), verify.ErrMalformed},
		{"plain JSON", payload(), verify.ErrSyntax},
		{"empty", "", verify.ErrSyntax},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := a.open.Open(t.Context(), testIssuer, tc.jws, kind)
			if tc.reason == accepted {
				if err != nil || !strings.Contains(got, "token_introspection") {
					t.Errorf("%q, %v", got, err)
				}
				return
			}
			var e *verify.Error
			if got != "" || !errors.As(err, &e) || e.Reason != tc.reason {
				t.Errorf("%q, %v, want %q", got, err, string(tc.reason))
			}
		})
	}
	keys.mu.Lock()
	keys.setErr, keys.refErr = errors.New("none"), errors.New("none")
	keys.mu.Unlock()
	if _, err := a.open.Open(t.Context(), testIssuer, good, kind); !errors.Is(err, verify.ErrUnavailable) {
		t.Errorf("without keys: %v", err)
	}
}

// speechless is an introspector that breaks its promise and says nothing.
type speechless struct{ asker }

func (s *speechless) Introspect(context.Context, *verify.Query) (*verify.Answer, error) {
	return nil, nil
}

// An introspector that says nothing, and no error either, opens nothing.
func TestSpeechlessIntrospector(t *testing.T) {
	v, _ := build(t, func(c *verify.Config) {
		c.Issuers[0].Introspection = &verify.Introspection{Introspector: &speechless{}, Always: true}
	})
	refuse(t, v, es256.good(), verify.ErrUnavailable)
	refuse(t, v, "opaque", verify.ErrUnavailable)
	if _, err := verifyFresh(v)(t.Context(), es256.good()); !errors.Is(err, verify.ErrUnavailable) {
		t.Errorf("fresh: %v", err)
	}
}
