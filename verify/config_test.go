package verify_test

import (
	"context"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bearerkit/bearerkit/verify"
)

func TestConfigFaults(t *testing.T) {
	good := func() verify.Config {
		return verify.Config{Issuers: []verify.Issuer{{Issuer: testIssuer, Audience: []string{testAudience}, Keys: &source{set: published(eddsa)}}}}
	}
	several := func(list ...verify.Issuer) func(*verify.Config) {
		return func(c *verify.Config) { *c = verify.Config{Issuers: list} }
	}
	one := func(edit func(*verify.Issuer)) func(*verify.Config) {
		is := verify.Issuer{Issuer: testIssuer, Audience: []string{testAudience}, Keys: &source{set: published(eddsa)}}
		edit(&is)
		return several(is)
	}
	other := verify.Issuer{Issuer: "https://other.example", Audience: []string{"a"}, Keys: &source{set: published(eddsa)}}
	for _, c := range []struct {
		name   string
		edit   func(*verify.Config)
		fields []string
	}{
		{"none", func(*verify.Config) {}, nil},
		{"several, none", several(other, verify.Issuer{Issuer: testIssuer, Audience: []string{"a"}, Keys: &source{}}), nil},
		{"no issuer", func(c *verify.Config) { c.Issuers[0].Issuer = "" }, []string{"Issuers[0].Issuer"}},
		{"space in the issuer", func(c *verify.Config) { c.Issuers[0].Issuer = "https://issuer.example " }, []string{"Issuers[0].Issuer"}},
		{"newline in the issuer", func(c *verify.Config) { c.Issuers[0].Issuer = "https://issuer.example\n" }, []string{"Issuers[0].Issuer"}},
		{"control in the issuer", func(c *verify.Config) { c.Issuers[0].Issuer = "https://issuer\x7f.example" }, []string{"Issuers[0].Issuer"}},
		{"no audience", func(c *verify.Config) { c.Issuers[0].Audience = nil }, []string{"Issuers[0].Audience"}},
		{"audience without elements", func(c *verify.Config) { c.Issuers[0].Audience = []string{} }, []string{"Issuers[0].Audience"}},
		{"empty audience", func(c *verify.Config) { c.Issuers[0].Audience = []string{"a", ""} }, []string{"Issuers[0].Audience"}},
		{"no keys", func(c *verify.Config) { c.Issuers[0].Keys = nil }, []string{"Issuers[0].Keys"}},
		{"nothing", func(c *verify.Config) { *c = verify.Config{} }, []string{"Issuers"}},
		{"no algorithms", func(c *verify.Config) { c.Algorithms = []string{} }, []string{"Algorithms"}},
		{"none", func(c *verify.Config) { c.Algorithms = []string{"none"} }, []string{"Algorithms"}},
		{"None", func(c *verify.Config) { c.Algorithms = []string{"ES256", "None"} }, []string{"Algorithms"}},
		{"HMAC", func(c *verify.Config) { c.Algorithms = []string{"HS256", "hs384", "HS512"} }, []string{"Algorithms", "Algorithms", "Algorithms"}},
		{"unknown algorithms", func(c *verify.Config) { c.Algorithms = []string{"ES256K", "es256", "", "RS256 "} }, []string{"Algorithms", "Algorithms", "Algorithms", "Algorithms"}},
		{"negative leeway", func(c *verify.Config) { c.Leeway = -2 }, []string{"Leeway"}},
		{"negative leeway of a second", func(c *verify.Config) { c.Leeway = -time.Second }, []string{"Leeway"}},
		{"too much leeway", func(c *verify.Config) { c.Leeway = time.Hour + 1 }, []string{"Leeway"}},
		{"negative size", func(c *verify.Config) { c.MaxTokenSize = -1 }, []string{"MaxTokenSize"}},
		{"nil check", func(c *verify.Config) {
			c.Conditions = []verify.Condition{verify.Check(nil)}
		}, []string{"Conditions[0]"}},
		{"an issuer twice", several(other, other), []string{"Issuers[1].Issuer"}},
		{"an alternate twice", one(func(is *verify.Issuer) { is.Alternates = []string{"https://x.example", testIssuer} }), []string{"Issuers[0].Alternates[1]"}},
		{"an alternate of another", several(other, verify.Issuer{
			Issuer: testIssuer, Audience: []string{"a"}, Keys: &source{}, Alternates: []string{other.Issuer},
		}), []string{"Issuers[1].Alternates[0]"}},
		{"empty alternate", one(func(is *verify.Issuer) { is.Alternates = []string{""} }), []string{"Issuers[0].Alternates[0]"}},
		{"empty issuer of several", several(other, verify.Issuer{}), []string{"Issuers[1].Issuer", "Issuers[1].Audience", "Issuers[1].Keys"}},
		{"a claim but no audience", one(func(is *verify.Issuer) { is.Audience, is.AudienceClaim = nil, "client_id" }), []string{"Issuers[0].Audience"}},
		{"aud for aud", one(func(is *verify.Issuer) { is.AudienceClaim = "aud" }), []string{"Issuers[0].AudienceClaim"}},
		{"exp for aud", one(func(is *verify.Issuer) { is.AudienceClaim = "exp" }), []string{"Issuers[0].AudienceClaim"}},
		{"iss for aud", one(func(is *verify.Issuer) { is.AudienceClaim = "iss" }), []string{"Issuers[0].AudienceClaim"}},
		{"client_id for aud", one(func(is *verify.Issuer) { is.AudienceClaim = "client_id" }), nil},
		{"no audience on purpose", one(func(is *verify.Issuer) { is.Audience, is.InsecureNoAudience = nil, true }), nil},
		{"no audience on purpose, and one", one(func(is *verify.Issuer) { is.InsecureNoAudience = true }), []string{"Issuers[0].InsecureNoAudience"}},
		{"no audience on purpose, and a claim", one(func(is *verify.Issuer) {
			is.Audience, is.AudienceClaim, is.InsecureNoAudience = nil, "client_id", true
		}), []string{"Issuers[0].InsecureNoAudience"}},
		{"the key source's", func(c *verify.Config) { c.Issuers[0].Keys = &source{checkErr: errors.New("bad")} }, []string{"Issuers[0].Keys"}},
		{"the key source's, two", func(c *verify.Config) {
			c.Issuers[0].Keys = &source{checkErr: fmt.Errorf("x: %w", errors.Join(&verify.Fault{Field: "URL", Problem: "bad"}, &verify.Fault{Field: "Timeout", Problem: "bad"}))}
		}, []string{"Issuers[0].Keys.URL", "Issuers[0].Keys.Timeout"}},
		{"the key source's, of several", one(func(is *verify.Issuer) {
			is.Keys = &source{checkErr: &verify.Fault{Field: "URL", Problem: "bad"}}
		}), []string{"Issuers[0].Keys.URL"}},
		{"all at once", func(c *verify.Config) {
			*c = verify.Config{
				Issuers:    []verify.Issuer{{Issuer: " ", Keys: &source{checkErr: &verify.Fault{Field: "URL", Problem: "bad"}}}, {AudienceClaim: "aud"}},
				Algorithms: []string{"none", "HS256", "x"}, Leeway: -5, MaxTokenSize: -5,
				Conditions: []verify.Condition{nil},
			}
		}, []string{
			"Issuers[0].Issuer", "Issuers[0].Audience", "Issuers[0].Keys.URL", "Issuers[1].Issuer", "Issuers[1].Audience",
			"Issuers[1].AudienceClaim", "Issuers[1].Keys", "Algorithms", "Algorithms", "Algorithms", "Leeway", "MaxTokenSize", "Conditions[0]",
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			config := good()
			c.edit(&config)
			all := sources(config.Issuers)
			for _, k := range all {
				if s, ok := k.(*source); ok {
					s.bound = nil // some are shared by the rows
				}
			}
			v, err := verify.New(config)
			var fields []string
			for _, f := range verify.Faults(err) {
				fields = append(fields, f.Field)
				if f.Problem == "" || !strings.Contains(err.Error(), f.Error()) {
					t.Errorf("%v does not say %q", err, f.Error())
				}
			}
			slices.Sort(fields)
			slices.Sort(c.fields)
			if !slices.Equal(fields, c.fields) {
				t.Errorf("faults of %q, want %q (%v)", fields, c.fields, err)
			}
			if (v != nil) != (len(c.fields) == 0) || (err != nil) != (len(c.fields) > 0) {
				t.Errorf("verifier %v, error %v", v, err)
			}
			// Nothing is bound or started unless all is well.
			for _, k := range all {
				s, ok := k.(*source)
				if !ok {
					continue
				}
				if n, m := s.asked(); (n > 0) != (err == nil) || m > 0 || (len(s.bound) > 0) != (err == nil) {
					t.Errorf("started %d times, refreshed %d times, bound to %q; error %v", n, m, s.bound, err)
				}
			}
		})
	}
}

func sources(list []verify.Issuer) (keys []verify.KeySource) {
	for _, is := range list {
		keys = append(keys, is.Keys)
	}
	return keys
}

func TestFaultsOfOtherErrors(t *testing.T) {
	for _, err := range []error{nil, errors.New("x"), verify.ErrExpired, fmt.Errorf("x: %w", errors.New("y"))} {
		if f := verify.Faults(err); len(f) != 0 {
			t.Errorf("%v: %v", err, f)
		}
	}
}

// What the caller does to a Config afterwards is of no consequence.
func TestConfigIsCopied(t *testing.T) {
	audience, algorithms := []string{testAudience}, []string{"EdDSA"}
	conditions := []verify.Condition{verify.Check(func(context.Context, *verify.Token) error { return nil })}
	issuers := []verify.Issuer{{Issuer: testIssuer, Audience: audience, Keys: &source{set: published(signers...)}, Alternates: []string{"https://alt.example"}}}
	v, err := verify.New(verify.Config{Issuers: issuers, Algorithms: algorithms, Conditions: conditions, Now: func() time.Time { return testNow }})
	if err != nil {
		t.Fatal(err)
	}
	issuers[0].Alternates[0] = "https://evil.example"
	issuers[0] = verify.Issuer{}
	audience[0], algorithms[0] = "evil", "RS256"
	conditions[0] = verify.Check(func(context.Context, *verify.Token) error { return errors.New("no") })
	v.Issuers()[0] = "evil"
	run(t, v, []row{
		{"valid", eddsa.good(), accepted, ""},
		{"alternate", eddsa.with("iss", `"https://alt.example"`), accepted, ""},
		{"evil audience", eddsa.with("aud", `"evil"`), verify.ErrAudience, ""},
		{"evil issuer", eddsa.with("iss", `"https://evil.example"`), verify.ErrIssuer, ""},
		{"other algorithm", rs256.good(), verify.ErrAlgorithm, ""},
	})
	if got := v.Issuers(); !slices.Equal(got, []string{testIssuer}) {
		t.Errorf("issuers %q", got)
	}
}

// A key serves its issuer alone (RFC 8725 section 3.8), even where another
// issuer calls a key of its own by the same name.
func TestSeveralIssuers(t *testing.T) {
	const first, second = "https://first.example", "https://second.example"
	a, b := &signer{"k", "ES256", newEC(es256.priv.(*ecdsa.PrivateKey).Curve)}, &signer{"k", "ES256", newEC(es256.priv.(*ecdsa.PrivateKey).Curve)}
	onlyB := &signer{"only-b", "EdDSA", newEd()}
	keysA, keysB := &source{set: published(a)}, &source{set: published(b, onlyB)}
	v, err := verify.New(verify.Config{
		Issuers: []verify.Issuer{
			{Issuer: first, Audience: []string{"api-1"}, Keys: keysA, Alternates: []string{first + "/", "https://alt.example"}},
			{Issuer: second, Audience: []string{"api-2"}, Keys: keysB},
		},
		Now: func() time.Time { return testNow },
	})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(keysA.bound, []string{first}) || !slices.Equal(keysB.bound, []string{second}) {
		t.Errorf("bound to %q and %q", keysA.bound, keysB.bound)
	}
	if got := v.Issuers(); !slices.Equal(got, []string{first, second}) {
		t.Errorf("issuers %q", got)
	}
	tok := func(s *signer, iss, aud string) string { return s.with("iss", quote(iss), "aud", quote(aud)) }
	keysA.asked()
	keysB.asked()
	run(t, v, []row{{"first", tok(a, first, "api-1"), accepted, ""}})
	demand(t, keysA, 1, 0)
	demand(t, keysB, 0, 0)
	run(t, v, []row{
		{"second", tok(b, second, "api-2"), accepted, ""},
		{"second's other key", tok(onlyB, second, "api-2"), accepted, ""},
		{"alternate", tok(a, "https://alt.example", "api-1"), accepted, ""},
		{"alternate with a slash", tok(a, first+"/", "api-1"), accepted, ""},
		{"second with a slash", tok(b, second+"/", "api-2"), verify.ErrIssuer, ""},
		{"first, its key by the second", tok(b, first, "api-1"), verify.ErrSignature, ""},
		{"second, its key by the first", tok(a, second, "api-2"), verify.ErrSignature, ""},
		{"alternate, its key by the second", tok(b, "https://alt.example", "api-1"), verify.ErrSignature, ""},
		{"first, with a kid of the second", tok(onlyB, first, "api-1"), verify.ErrUnknownKey, ""},
		{"first, without kid, by the second", onlyB.token(onlyB.header("kid", ""), claims("iss", quote(first), "aud", `"api-1"`)), verify.ErrUnknownKey, ""},
		{"first for the second's audience", tok(a, first, "api-2"), verify.ErrAudience, ""},
		{"second for the first's audience", tok(b, second, "api-1"), verify.ErrAudience, ""},
		{"neither", tok(a, "https://third.example", "api-1"), verify.ErrIssuer, ""},
	})
	if got := accept(t, v, tok(a, first+"/", "api-1")).Issuer; got != first {
		t.Errorf("an alternate's token belongs to %q", got)
	}
	// One issuer's trouble is its own.
	keysA.setErr, keysA.refErr = errDown, errDown
	refuse(t, v, tok(a, first, "api-1"), verify.ErrUnavailable)
	accept(t, v, tok(b, second, "api-2"))
	if !v.Ready() {
		t.Error("not ready though one issuer's keys are there")
	}
	keysB.setErr = errDown
	if v.Ready() {
		t.Error("ready though no issuer's keys are there")
	}
}

// Where access tokens carry no aud another claim stands in for it.
func TestAudienceClaim(t *testing.T) {
	single := func(edit func(*verify.Issuer)) *verify.Verifier {
		v, _ := build(t, func(c *verify.Config) {
			c.Issuers[0].Audience = nil
			edit(&c.Issuers[0])
		})
		return v
	}
	v := single(func(is *verify.Issuer) { is.Audience, is.AudienceClaim = []string{"client-1", "client-2"}, "client_id" })
	run(t, v, []row{
		{"control", eddsa.with("aud", ""), accepted, ""},
		{"the second", eddsa.with("aud", "", "client_id", `"client-2"`), accepted, ""},
		{"with an accepted aud", eddsa.with("aud", `"client-1"`), accepted, ""},
		{"with an aud of another", eddsa.with("aud", `"https://other.example"`), verify.ErrAudience, ""},
		{"with an empty aud", eddsa.with("aud", `[]`), verify.ErrAudience, ""},
		{"with an aud of another type", eddsa.with("aud", `1`), verify.ErrClaim, "aud"},
		{"with an aud that is null", eddsa.with("aud", `null`), verify.ErrClaim, "aud"},
		{"an accepted aud, the claim of another client", eddsa.with("aud", `"client-1"`, "client_id", `"other"`), verify.ErrAudience, ""},
		{"an accepted aud, no claim", eddsa.with("aud", `"client-1"`, "client_id", ""), verify.ErrAudience, ""},
		{"no claim", eddsa.with("aud", "", "client_id", ""), verify.ErrAudience, ""},
		{"another's", eddsa.with("aud", "", "client_id", `"client-3"`), verify.ErrAudience, ""},
		{"another case", eddsa.with("aud", "", "client_id", `"Client-1"`), verify.ErrAudience, ""},
		{"claim in another case", eddsa.with("aud", "", "client_id", "", "Client_ID", `"client-1"`), verify.ErrAudience, ""},
		{"azp does not do", eddsa.with("aud", "", "client_id", "", "azp", `"client-1"`), verify.ErrAudience, ""},
	})
	for _, c := range []string{`null`, `1`, `{}`, `{"client-1":1}`, `true`, `["client-1",1]`, `[["client-1"]]`, `[]`, `""`} {
		v := single(func(is *verify.Issuer) { is.Audience, is.AudienceClaim = []string{"client-1"}, "x" })
		run(t, v, []row{
			{"string", eddsa.with("aud", "", "x", `"client-1"`), accepted, ""},
			{"array", eddsa.with("aud", "", "x", `["y","client-1"]`), accepted, ""},
			{c, eddsa.with("aud", "", "x", c), verify.ErrAudience, ""},
		})
	}
	if got := accept(t, v, eddsa.with("aud", "")).Audience; got != nil {
		t.Errorf("audience %q", got)
	}

	any := single(func(is *verify.Issuer) { is.InsecureNoAudience = true })
	run(t, any, []row{
		{"no aud", eddsa.with("aud", ""), accepted, ""},
		{"any aud", eddsa.with("aud", `["https://other.example"]`), accepted, ""},
		{"empty aud", eddsa.with("aud", `[]`), accepted, ""},
		{"aud of another type", eddsa.with("aud", `1`), verify.ErrClaim, "aud"},
		{"aud null", eddsa.with("aud", `null`), verify.ErrClaim, "aud"},
		{"expired", eddsa.with("aud", "", "exp", at(-100)), verify.ErrExpired, ""},
		{"another issuer", eddsa.with("iss", `"x"`), verify.ErrIssuer, ""},
		{"forged", (&signer{"eddsa", "EdDSA", newEd()}).with("aud", ""), verify.ErrSignature, ""},
	})
}

func TestChecks(t *testing.T) {
	var calls []string
	var answer error
	check := func(name string) verify.Condition {
		return verify.Check(func(_ context.Context, tok *verify.Token) error {
			calls = append(calls, name+" "+tok.Subject)
			if name == "second" {
				return answer
			}
			return nil
		})
	}
	v, _ := build(t, func(c *verify.Config) {
		c.Conditions = []verify.Condition{check("first"), check("second"), check("third")}
	})
	accept(t, v, eddsa.good())
	if !slices.Equal(calls, []string{"first user-1", "second user-1", "third user-1"}) {
		t.Errorf("calls %q", calls)
	}
	no := errors.New("the account is locked")
	for _, c := range []struct {
		err  error
		want verify.Reason
	}{
		{no, verify.ErrUnavailable},
		{fmt.Errorf("wrapped: %w", no), verify.ErrUnavailable},
		{fmt.Errorf("%w: %w", verify.ErrRejected, no), verify.ErrRejected},
		{errors.Join(no, verify.ErrRejected), verify.ErrRejected},
		{&verify.Error{Reason: verify.ErrRejected, Cause: no}, verify.ErrRejected},
		{verify.ErrUnavailable, verify.ErrUnavailable},
		{fmt.Errorf("database: %w", verify.ErrUnavailable), verify.ErrUnavailable},
		{fmt.Errorf("a: %w", fmt.Errorf("b: %w", errors.Join(no, verify.ErrUnavailable))), verify.ErrUnavailable},
		{&verify.Error{Reason: verify.ErrUnavailable, Cause: no}, verify.ErrUnavailable},
		{fmt.Errorf("a: %w", &verify.Error{Reason: verify.ErrUnavailable, Cause: no}), verify.ErrUnavailable},
		{verify.ErrExpired, verify.ErrRejected},
		{&verify.Error{Reason: verify.ErrAudience}, verify.ErrRejected},
		{verify.ErrRejected, verify.ErrRejected},
		{&verify.Error{Reason: verify.ErrAudience, Cause: verify.ErrUnavailable}, verify.ErrUnavailable},
		{context.DeadlineExceeded, verify.ErrUnavailable},
		{context.Canceled, verify.ErrUnavailable},
		{io.ErrUnexpectedEOF, verify.ErrUnavailable},
	} {
		calls, answer = nil, c.err
		e := refuse(t, v, eddsa.good(), c.want)
		if (e.Part == "check") != (c.want == verify.ErrUnavailable) {
			t.Errorf("%v: part %q", c.err, e.Part)
		}
		if errors.Is(c.err, no) && !errors.Is(e, no) {
			t.Errorf("%v: the cause is lost: %v", c.err, e)
		}
		if strings.Contains(e.Description(), "locked") {
			t.Errorf("description %q", e.Description())
		}
		if !slices.Equal(calls, []string{"first user-1", "second user-1"}) {
			t.Errorf("calls %q", calls)
		}
	}
	// Only what has passed all else is shown to a check.
	calls, answer = nil, nil
	refuse(t, v, eddsa.with("exp", at(-100)), verify.ErrExpired)
	refuse(t, v, (&signer{"eddsa", "EdDSA", newEd()}).good(), verify.ErrSignature)
	if len(calls) > 0 {
		t.Errorf("calls %q", calls)
	}
	// A check gets the context of the call.
	type key struct{}
	v, _ = build(t, func(c *verify.Config) {
		c.Conditions = []verify.Condition{verify.Check(func(ctx context.Context, _ *verify.Token) error {
			if ctx.Value(key{}) != "x" {
				return no
			}
			return nil
		})}
	})
	if _, err := v.Verify(context.WithValue(t.Context(), key{}, "x"), eddsa.good()); err != nil {
		t.Error(err)
	}
}

// Close closes the sources that can be closed, and says what went wrong.
func TestClose(t *testing.T) {
	a, b := &closer{source: source{set: published(eddsa)}}, &closer{source: source{set: published(eddsa)}, err: errDown}
	v, err := verify.New(verify.Config{Issuers: []verify.Issuer{
		{Issuer: "https://a.example", Audience: []string{"a"}, Keys: a},
		{Issuer: "https://b.example", Audience: []string{"a"}, Keys: b},
		{Issuer: "https://c.example", Audience: []string{"a"}, Keys: &source{set: published(eddsa)}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Close(); !errors.Is(err, errDown) || a.closed != 1 || b.closed != 1 {
		t.Errorf("%v; closed %d and %d times", err, a.closed, b.closed)
	}
}

type closer struct {
	source
	closed int
	err    error
}

func (c *closer) Close() error { c.closed++; return c.err }
