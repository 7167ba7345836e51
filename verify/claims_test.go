package verify_test

import (
	"testing"
	"time"

	"github.com/bearerkit/bearerkit/verify"
)

// Names of claims are case-sensitive (RFC 7519 section 4): others are not read.
func TestClaimNamesHaveCase(t *testing.T) {
	v, _ := build(t, nil)
	if got := accept(t, v, eddsa.with("scope", "", "Scope", `"admin"`, "SCP", `"admin"`)); got.Scope != "" {
		t.Errorf("scope %q", got.Scope)
	}
}

// Each of the configured audiences will do.
func TestAud(t *testing.T) {
	const second = "urn:api:2"
	v, _ := build(t, func(c *verify.Config) { c.Issuers[0].Audience = []string{testAudience, second} })
	run(t, v, []row{
		{"the first", eddsa.good(), accepted, ""},
		{"the second", eddsa.with("aud", quote(second)), accepted, ""},
		{"both", eddsa.with("aud", `[`+quote(second)+`,`+quote(testAudience)+`]`), accepted, ""},
		{"both in a string", eddsa.with("aud", quote(testAudience+" "+second)), verify.ErrAudience, ""},
		{"both with a comma", eddsa.with("aud", quote(testAudience+","+second)), verify.ErrAudience, ""},
		{"more than the second", eddsa.with("aud", `"urn:api:20"`), verify.ErrAudience, ""},
		{"less than the second", eddsa.with("aud", `"urn:api:"`), verify.ErrAudience, ""},
	})
}

func TestLeeway(t *testing.T) {
	for _, c := range []struct {
		leeway time.Duration
		means  time.Duration
	}{
		{0, 30 * time.Second}, {verify.NoLeeway, 0}, {time.Second, time.Second}, {time.Hour, time.Hour}, {1500 * time.Millisecond, 1500 * time.Millisecond},
	} {
		v, _ := build(t, func(conf *verify.Config) { conf.Leeway = c.leeway })
		if v.Leeway() != c.means {
			t.Errorf("leeway %v means %v, want %v", c.leeway, v.Leeway(), c.means)
		}
		s := int64(c.means / time.Second)
		run(t, v, []row{
			{"exp within", eddsa.with("exp", at(1-s)), accepted, ""},
			{"exp beyond", eddsa.with("exp", at(-1-s)), verify.ErrExpired, ""},
			{"nbf within", eddsa.with("nbf", at(s)), accepted, ""},
			{"nbf beyond", eddsa.with("nbf", at(s+2)), verify.ErrNotYetValid, "nbf"},
			{"iat within", eddsa.with("iat", at(s)), accepted, ""},
			{"iat beyond", eddsa.with("iat", at(s+2)), verify.ErrNotYetValid, "iat"},
		})
	}
	v, _ := build(t, func(conf *verify.Config) { conf.Leeway = verify.NoLeeway })
	run(t, v, []row{
		{"exp now", eddsa.with("exp", at(0)), verify.ErrExpired, ""},
		{"exp in a millisecond", eddsa.with("exp", at(0)+".001"), accepted, ""},
		{"nbf now", eddsa.with("nbf", at(0)), accepted, ""},
		{"nbf in a millisecond", eddsa.with("nbf", at(0)+".001"), verify.ErrNotYetValid, "nbf"},
	})
}

// The clock is that of the configuration, and by default that of the system.
func TestClock(t *testing.T) {
	now := testNow
	v, _ := build(t, func(c *verify.Config) { c.Now = func() time.Time { return now } })
	tok := eddsa.with("exp", at(300), "nbf", at(-10))
	accept(t, v, tok)
	now = testNow.Add(329 * time.Second)
	accept(t, v, tok)
	if !v.Now().Equal(now) {
		t.Errorf("Now %v, want %v", v.Now(), now)
	}
	now = testNow.Add(330 * time.Second)
	refuse(t, v, tok, verify.ErrExpired)
	now = testNow.Add(-41 * time.Second)
	refuse(t, v, tok, verify.ErrNotYetValid)

	v, _ = build(t, func(c *verify.Config) { c.Now = nil })
	if d := time.Since(v.Now()); d < 0 || d > time.Minute {
		t.Errorf("the default clock is %v off", d)
	}
}

// AllowNoSubject accepts tokens without sub, and no other value of it.
func TestAllowNoSubject(t *testing.T) {
	relaxed, _ := build(t, func(c *verify.Config) {
		c.Issuers[0].AllowNoSubject = true
	})
	run(t, relaxed, []row{
		{"with sub", eddsa.good(), accepted, ""},
		{"without sub", eddsa.with("sub", ""), accepted, ""},
		{"sub empty", eddsa.with("sub", `""`), accepted, ""},
		{"sub null", eddsa.with("sub", `null`), verify.ErrClaim, "sub"},
		{"sub a space", eddsa.with("sub", `" "`), accepted, ""},
		{"sub number", eddsa.with("sub", `1`), verify.ErrClaim, "sub"},
	})
}

// A claim that is null is absent.
func TestNullClaims(t *testing.T) {
	v, _ := build(t, nil)
	got := accept(t, v, eddsa.with("scope", "null", "scp", `["a"]`, "client_id", "null", "azp", `"b"`, "iat", "null", "jti", "null", "act", "null"))
	if got.Scope != "a" || got.ClientID != "b" || !got.IssuedAt.IsZero() || got.ID != "" || got.Actor != nil {
		t.Errorf("%+v", got)
	}
	// With RFC9068 these three are required.
	profile, _ := build(t, func(c *verify.Config) { c.RFC9068 = true })
	for _, name := range []string{"client_id", "jti", "iat"} {
		if e := refuse(t, profile, eddsa.with(name, "null"), verify.ErrClaim); e.Part != name {
			t.Errorf("%s: part %q", name, e.Part)
		}
	}
}

// A claim that only requirements look at is as good as none if it has another
// type, so that one odd claim does not close every route.
func TestClaimsOfRequirements(t *testing.T) {
	v, _ := build(t, nil)
	profile, _ := build(t, func(c *verify.Config) { c.RFC9068 = true })
	for _, name := range []string{"auth_time", "acr", "azp", "jti"} {
		for _, c := range []string{`null`, `"2020-03-14T18:52:01.180Z"`, `1`, `1e400`, `[]`, `["x"]`, `{}`, `true`, `{"x":"y"}`} {
			isText, isNumber := c[0] == '"', c == `1`
			got := accept(t, v, eddsa.with("client_id", "", name, c))
			if has := !got.AuthTime.IsZero(); has != (name == "auth_time" && isNumber) {
				t.Errorf("%s %s: auth_time %v", name, c, got.AuthTime)
			}
			if has := got.ACR != ""; has != (name == "acr" && isText) {
				t.Errorf("%s %s: acr %q", name, c, got.ACR)
			}
			if has := got.ClientID != ""; has != (name == "azp" && isText) {
				t.Errorf("%s %s: client %q", name, c, got.ClientID)
			}
			if has := got.ID != ""; has != (name != "jti" || isText) {
				t.Errorf("%s %s: jti %q", name, c, got.ID)
			}
			if name == "jti" && !isText {
				refuse(t, profile, eddsa.with(name, c), verify.ErrClaim)
			} else {
				accept(t, profile, eddsa.with(name, c))
			}
		}
	}
}

// RFC 9068 to the letter: typ, client_id, iat and jti are required as well.
func TestProfile(t *testing.T) {
	v, _ := build(t, func(c *verify.Config) { c.RFC9068 = true })
	run(t, v, []row{
		{"control", eddsa.good(), accepted, ""},
		{"no scope", eddsa.with("scope", ""), accepted, ""},
		{"no nbf", eddsa.with("nbf", ""), accepted, ""},
		{"no typ", eddsa.token(eddsa.header("typ", ""), claims()), verify.ErrType, "typ"},
		{"typ JWT", eddsa.token(eddsa.header("typ", `"JWT"`), claims()), verify.ErrType, "typ"},
		{"no client_id", eddsa.with("client_id", ""), verify.ErrClaim, "client_id"},
		{"azp for client_id", eddsa.with("client_id", "", "azp", `"client-1"`), verify.ErrClaim, "client_id"},
		{"client_id number", eddsa.with("client_id", `1`), verify.ErrClaim, "client_id"},
		{"no iat", eddsa.with("iat", ""), verify.ErrClaim, "iat"},
		{"no jti", eddsa.with("jti", ""), verify.ErrClaim, "jti"},
		{"no exp", eddsa.with("exp", ""), verify.ErrClaim, "exp"},
		{"no aud", eddsa.with("aud", ""), verify.ErrClaim, "aud"},
		{"no sub", eddsa.with("sub", ""), verify.ErrClaim, "sub"},
		{"no iss", eddsa.with("iss", ""), verify.ErrClaim, "iss"},
	})
}
