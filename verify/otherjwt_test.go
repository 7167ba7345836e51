package verify_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/bearerkit/bearerkit/verify"
)

// JWTs that are not access tokens; TestOpener has those that are introspection
// answers.
func TestOpen(t *testing.T) {
	v, _ := build(t, func(c *verify.Config) { c.Issuers[0].Alternates = []string{"https://alt.example"} })
	make := func(typ string, edits ...string) string {
		if typ != "" {
			typ = `"` + typ + `"`
		}
		base := map[string]string{"iss": `"` + testIssuer + `"`, "aud": `"client-9"`, "iat": at(-10), "exp": at(60), "sub": `"x"`}
		return es256.token(es256.header("typ", typ), object(base, edits))
	}
	logout := verify.Kind{Types: []string{"logout+jwt", "Application/JWT"}, Audience: []string{"client-8", "client-9"}}
	untyped := verify.Kind{Types: []string{"", "secevent+jwt"}, NoAudience: true, MaxAge: time.Hour}
	for _, tc := range []struct {
		name, jws string
		kind      verify.Kind
		reason    verify.Reason
	}{
		{"good", make("logout+jwt"), logout, accepted},
		{"typ in another case", make("APPLICATION/Logout+JWT"), logout, accepted},
		{"the other typ", make("JWT"), logout, accepted},
		{"several aud", make("logout+jwt", "aud", `["x","client-8"]`), logout, accepted},
		{"alternate iss", make("logout+jwt", "iss", `"https://alt.example"`), logout, accepted},
		{"iat missing", make("logout+jwt", "iat", ""), logout, accepted},
		{"long ago", make("logout+jwt", "iat", at(-100000)), logout, accepted},
		{"untyped", make(""), untyped, accepted},
		{"exp missing", make("", "exp", ""), untyped, accepted},
		{"within the leeway", make("", "iat", at(-3629)), untyped, accepted},
		{"aud missing", make("secevent+jwt", "aud", ""), untyped, accepted},
		{"any aud", make("secevent+jwt", "aud", `5`), untyped, accepted},

		{"typ other", make("secevent+jwt"), logout, verify.ErrType},
		{"typ missing", make(""), logout, verify.ErrType},
		{"typ empty", es256.token(es256.header("typ", `""`), claims()), untyped, verify.ErrType},
		{"typ of an access token", make("at+jwt"), untyped, verify.ErrType},
		{"no types", make(""), verify.Kind{NoAudience: true}, verify.ErrType},
		{"iss other", make("logout+jwt", "iss", `"https://other.example"`), logout, verify.ErrIssuer},
		{"aud other", make("logout+jwt", "aud", `"client-1"`), logout, verify.ErrAudience},
		{"aud missing", make("logout+jwt", "aud", ""), logout, verify.ErrAudience},
		{"no audience said", make("logout+jwt"), verify.Kind{Types: []string{"logout+jwt"}}, verify.ErrAudience},
		{"expired", make("logout+jwt", "exp", at(-31)), logout, verify.ErrExpired},
		{"expired, young enough", make("", "exp", at(-31)), untyped, verify.ErrExpired},
		{"exp missing", make("logout+jwt", "exp", ""), logout, verify.ErrClaim},
		{"exp null", make("", "exp", "null"), untyped, verify.ErrClaim},
		{"exp a string", make("", "exp", `"`+at(60)+`"`), untyped, verify.ErrClaim},
		{"nbf ahead", make("logout+jwt", "nbf", at(31)), logout, verify.ErrNotYetValid},
		{"iat ahead", make("logout+jwt", "iat", at(31)), logout, verify.ErrNotYetValid},
		{"too old", make("", "iat", at(-3631)), untyped, verify.ErrExpired},
		{"iat missing, wanted", make("", "iat", ""), untyped, verify.ErrClaim},
		{"forged", (&signer{"es256", "RS256", rsaEvil}).token(rs256.header("typ", `"logout+jwt"`), claims("aud", `"client-9"`)), logout, verify.ErrSignature},
	} {
		got, err := v.Open(t.Context(), testIssuer, tc.jws, tc.kind)
		var e *verify.Error
		switch {
		case tc.reason == accepted && (err != nil || got == ""):
			t.Errorf("%s: %q, %v", tc.name, got, err)
		case tc.reason != accepted && (got != "" || !errors.As(err, &e) || e.Reason != tc.reason):
			t.Errorf("%s: %q, %v, want %q", tc.name, got, err, string(tc.reason))
		case e != nil:
			tellsNothing(t, e, tc.jws)
		}
	}
	if _, err := v.Open(t.Context(), "https://nobody.example", make("logout+jwt"), logout); !errors.Is(err, verify.ErrUnavailable) {
		t.Errorf("an issuer that is not in use: %v", err)
	}
	if got := v.Audience(testIssuer); !slices.Equal(got, []string{testAudience}) || v.Audience("x") != nil {
		t.Errorf("audience %q", got)
	}
	only, _ := build(t, func(c *verify.Config) { c.Algorithms = []string{"EdDSA", "ES256"} })
	if got := only.Algorithms(); !slices.Equal(got, []string{"ES256", "EdDSA", "Ed25519"}) {
		t.Errorf("algorithms %q", got)
	}
	if got := v.Algorithms(); !slices.Equal(got, verify.Algorithms()) {
		t.Errorf("algorithms %q", got)
	}
}
