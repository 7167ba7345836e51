package verify_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/bearerkit/bearerkit/verify"
)

// An error says both sides to those who ask for them, and to nobody else.
func TestExpectedAndReceived(t *testing.T) {
	v, _ := build(t, nil)
	few := buildIssuer(t, func(is *verify.Issuer) {
		is.Audience = []string{"a-1", "a-2", "a-3", "a-4", "a-5", "a-6", "a-7"}
		is.Alternates = []string{"https://old.example"}
	})
	profile, _ := build(t, func(c *verify.Config) { c.RFC9068 = true })
	standIn := buildIssuer(t, func(is *verify.Issuer) { is.AudienceClaim, is.Audience = "client_id", []string{"c-9"} })
	marks := buildIssuer(t, func(is *verify.Issuer) { is.AllowIDTokenClaims, is.Audience = true, []string{"client-1"} })
	stranger := &signer{"stranger", "EdDSA", newEd()}
	for _, c := range []struct {
		name               string
		v                  *verify.Verifier
		token              string
		reason             verify.Reason
		expected, received string
	}{
		{"issuer", v, eddsa.with("iss", `"https:\/\/evil.example"`), verify.ErrIssuer, `"https://issuer.example"`, `"https://evil.example"`},
		{"issuers", few, eddsa.with("iss", `"x"`), verify.ErrIssuer, `"https://issuer.example", "https://old.example"`, `"x"`},
		{"no issuer", v, eddsa.with("iss", ""), verify.ErrClaim, "", "none"},
		{"issuer of another type", v, eddsa.with("iss", "1"), verify.ErrClaim, "", `"1"`},
		{"audience", v, eddsa.with("aud", `"b"`), verify.ErrAudience, `"https://api.example"`, `"b"`},
		{"audiences", few, eddsa.with("aud", `["b","c"]`), verify.ErrAudience, `"a-1", "a-2", "a-3", "a-4", "a-5", ... (7)`, `"b", "c"`},
		{"many audiences", v, eddsa.with("aud", `["b","c","d","e","f","g"]`), verify.ErrAudience, `"https://api.example"`, `"b", "c", "d", "e", "f", ... (6)`},
		{"no audience", v, eddsa.with("aud", `[]`), verify.ErrAudience, `"https://api.example"`, `"[]"`},
		{"aud missing", v, eddsa.with("aud", ""), verify.ErrClaim, `"https://api.example"`, "none"},
		{"stand-in", standIn, eddsa.with("aud", ""), verify.ErrAudience, `client_id "c-9"`, ""},
		{"expired", v, eddsa.with("exp", at(-300)), verify.ErrExpired,
			"the clock says 2027-01-15T08:00:00Z, leeway is 30s", "exp 1799999700 (2027-01-15T07:55:00Z, 5m0s before the clock)"},
		{"expired for ever", v, eddsa.with("exp", "-1e300"), verify.ErrExpired, "the clock says 2027-01-15T08:00:00Z, leeway is 30s", "exp -1e+300"},
		{"milliseconds", v, eddsa.with("exp", at(300)+"000"), verify.ErrClaim, "the clock says 2027-01-15T08:00:00Z, leeway is 30s", "exp 1800000300000"},
		{"not yet", v, eddsa.with("nbf", at(45)+".5"), verify.ErrNotYetValid,
			"the clock says 2027-01-15T08:00:00Z, leeway is 30s", "nbf 1800000045.5 (2027-01-15T08:00:45Z, 45.5s after the clock)"},
		{"not issued yet", v, eddsa.with("iat", at(45)), verify.ErrNotYetValid,
			"the clock says 2027-01-15T08:00:00Z, leeway is 30s", "iat 1800000045 (2027-01-15T08:00:45Z, 45s after the clock)"},
		{"exp of another type", v, eddsa.with("exp", `"2027-01-15"`), verify.ErrClaim, "", `"2027-01-15"`},
		{"nbf of another type", v, eddsa.with("nbf", `true`), verify.ErrClaim, "", `"true"`},
		{"typ", v, eddsa.token(eddsa.header("typ", `"logout+JWT"`), claims()), verify.ErrType,
			`typ "at+jwt", or typ "JWT" or none without a claim of another kind of token`, `typ "logout+jwt"`},
		{"typ JWT", profile, typedJWT(), verify.ErrType, `typ "at+jwt"`, `typ "jwt"`},
		{"no typ", profile, untyped(), verify.ErrType, `typ "at+jwt"`, "no typ"},
		{"a mark", v, untyped("nonce", `"nnnnnnnnnnnnnnn"`), verify.ErrType, `typ "at+jwt", or typ "JWT" or none without a claim of another kind of token`, "no typ"},
		{"the client's", marks, untyped("nonce", `"n"`, "aud", `"client-1"`), verify.ErrType, "an audience other than the client, or Issuer.AllowClientAudience", "no typ"},
		{"kid", v, stranger.good(), verify.ErrUnknownKey, `kid "ed255", "eddsa", "es256", "es384", "es512", ... (11); 11 keys, 0 of them without a kid`, ""},
		{"another claim", v, eddsa.with("sub", `["x"]`), verify.ErrClaim, "", ""},
		{"client_id", v, eddsa.with("client_id", `1`), verify.ErrClaim, "", ""},
		{"scope", v, eddsa.with("scope", `1`), verify.ErrClaim, "", ""},
		{"cnf", v, eddsa.with("cnf", `{"jkt":"x"}`), verify.ErrBound, "", ""},
		{"signature", v, (&signer{"eddsa", "EdDSA", newEd()}).good(), verify.ErrSignature, "", ""},
		{"malformed", v, "x.y.z", verify.ErrMalformed, "", ""},
	} {
		e := refuse(t, c.v, c.token, c.reason)
		if e.Expected() != c.expected {
			t.Errorf("%s: expected %s, want %s", c.name, e.Expected(), c.expected)
		}
		if e.Received() != c.received {
			t.Errorf("%s: received %s, want %s", c.name, e.Received(), c.received)
		}
	}
	if e := (&verify.Error{Reason: verify.ErrIssuer}); e.Expected() != "" || e.Received() != "" {
		t.Errorf("%q, %q", e.Expected(), e.Received())
	}
}

// What a stranger wrote is bounded and cannot pass for anything else in a log.
func TestReceivedIsHarmless(t *testing.T) {
	v, _ := build(t, nil)
	long := strings.Repeat("x", 3000)
	for name, text := range map[string]string{
		"long": long, "control": "\x1b[2J\r\nfake line\x00\x7f\u0085", "bidi": "\u202egnp.exe\u2066", "look-alike": "https://\u0456ssuer.example",
		"quote": `a"b\c`, "zero width": "a\u200bb\ufeff", "wide at the cut": strings.Repeat("x", 98) + "\U0001f600\U0001f600", "private": "\ue000\U000f0000",
		"wide": strings.Repeat("\U0001f600", 500), "cut in two": strings.Repeat("x", 99) + "\u00e9\u00e9", "nonsense": "\uffff\ufffd",
	} {
		for claim, reason := range map[string]verify.Reason{"iss": verify.ErrIssuer, "aud": verify.ErrAudience} {
			for _, value := range []string{quote(text), `["", ` + quote(text) + `, ` + quote(text) + `]`, `{"x":` + quote(text) + `}`} {
				if claim == "iss" && value[0] != '"' || value[0] == '{' {
					reason = verify.ErrClaim
				}
				e := refuse(t, v, eddsa.with(claim, value), reason)
				got := e.Received()
				if len(got) > 700 || strings.Count(got, "x") > 100 || strings.Count(got, "f600") > 25 {
					t.Errorf("%s, %s: %d bytes", name, claim, len(got))
				}
				for _, r := range got {
					if r < ' ' || r > '~' {
						t.Errorf("%s, %s: %q in %q", name, claim, r, got)
					}
				}
				if strings.Contains(got, `\x`) && name != "control" {
					t.Errorf("%s, %s: cut within a character: %q", name, claim, got)
				}
				for _, said := range []string{e.Error(), e.Description(), fmt.Sprintf("%v %+v %s %q", e, e, e, e), fmt.Sprintf("%#v", e), fmt.Sprintf("%#v", *e)} {
					if strings.Contains(said, text[:min(len(text), 6)]) && len(text) > 6 {
						t.Errorf("%s: %q", name, said)
					}
				}
			}
		}
	}
	long = `"` + long + `"`
	typ := refuse(t, v, eddsa.token(eddsa.header("typ", long), claims()), verify.ErrType)
	if got := typ.Received(); len(got) > 120 {
		t.Errorf("%d bytes", len(got))
	}
}

// A token that names nobody is told apart from one that names somebody else.
func TestDescriptionsTellApart(t *testing.T) {
	v, _ := build(t, nil)
	standIn := buildIssuer(t, func(is *verify.Issuer) { is.AudienceClaim, is.Audience = "client_id", []string{"c-9"} })
	for token, want := range map[string]string{
		eddsa.with("aud", `[]`):                  "the token names no audience (aud)",
		eddsa.with("aud", `""`):                  "the token names no audience (aud)",
		eddsa.with("aud", `["",""]`):             "the token names no audience (aud)",
		eddsa.with("aud", ``):                    "the token names no audience (aud)",
		eddsa.with("aud", `"x"`):                 "the token is meant for another audience",
		eddsa.with("aud", `["","x"]`):            "the token is meant for another audience",
		eddsa.with("aud", `null`):                "a claim of the token is null (aud)",
		eddsa.with("aud", `1`):                   "a claim of the token has the wrong type or form (aud)",
		eddsa.with("aud", `["x",1]`):             "a claim of the token has the wrong type or form (aud)",
		eddsa.with("iss", ``):                    "a required claim of the token is missing (iss)",
		eddsa.with("iss", `""`):                  "the token names no issuer (iss)",
		eddsa.with("sub", ``):                    "a required claim of the token is missing (sub)",
		eddsa.with("sub", `""`):                  "a claim of the token is empty (sub)",
		eddsa.with("sub", `1`):                   "a claim of the token has the wrong type or form (sub)",
		eddsa.with("exp", ``):                    "a required claim of the token is missing (exp)",
		eddsa.with("exp", `"x"`):                 "a claim of the token has the wrong type or form (exp)",
		eddsa.with("exp", `""`):                  "a claim of the token is empty (exp)",
		eddsa.with("exp", at(300)+"000"):         "the token expires too far in the future (exp)",
		eddsa.with("cnf", `null`):                "a claim of the token is null (cnf)",
		eddsa.with("cnf", `{"jkt":"x"}`):         "the token is bound to a key whose possession was not proved",
		eddsa.with("scope", `["a b"]`):           "a claim of the token has the wrong type or form (scope)",
		eddsa.with("act", `{"sub":1}`):           "a claim of the token has the wrong type or form (act)",
		eddsa.with("nbf", at(time.Now().Unix())): "the token is not valid yet (nbf)",
	} {
		_, err := v.Verify(t.Context(), token)
		if e, ok := err.(*verify.Error); !ok || e.Description() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
	for token, want := range map[string]string{
		eddsa.with("aud", ""):                    "the token is meant for another audience",
		eddsa.with("aud", "", "client_id", ""):   "the token names no audience (client_id)",
		eddsa.with("aud", "", "client_id", `""`): "the token names no audience (client_id)",
		eddsa.with("aud", `[]`):                  "the token names no audience (aud)",
		eddsa.with("aud", "", "client_id", `1`):  "the token names no audience (client_id)",
	} {
		_, err := standIn.Verify(t.Context(), token)
		if e, ok := err.(*verify.Error); !ok || e.Description() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
}
