package verify_test

import (
	"strings"
	"testing"
	"time"

	"github.com/bearerkit/bearerkit/verify"
)

func TestClaimsJSON(t *testing.T) {
	v, keys := build(t, nil)
	c := claims()
	inside := c[1 : len(c)-1]
	sign := func(payload string) string { return eddsa.token(eddsa.header(), payload) }
	rows := []row{
		{"control", sign(c), accepted, ""},
		{"space around", sign(" \t\r\n" + c + "\n"), accepted, ""},
		{"unknown claims", sign(`{"x":[1,{"y":null}],"https://ns/roles":["a"],` + inside + `}`), accepted, ""},
		{"escaped names", sign(strings.Replace(c, `"iss"`, `"\u0069ss"`, 1)), accepted, ""},
		{"escaped values", sign(claims("iss", `"https:\/\/issuer.ex\u0061mple"`, "aud", `["https:\/\/api.ex\u0061mple"]`)), accepted, ""},
		{"empty object", sign(`{}`), verify.ErrClaim, "iss"},
	}
	for name, payload := range map[string]string{
		"array":                   `[` + c + `]`,
		"string":                  quote(c),
		"number":                  `1`,
		"null":                    `null`,
		"space":                   ` `,
		"not JSON":                `iss=` + testIssuer,
		"two objects":             c + c,
		"trailing byte":           c + `x`,
		"trailing NUL":            c + "\x00",
		"trailing brace":          c + `}`,
		"cut":                     c[:len(c)-1],
		"BOM":                     "\ufeff" + c,
		"invalid UTF-8 in sub":    claims("sub", "\"user\xff\""),
		"surrogate in UTF-8":      claims("sub", "\"user\xed\xa0\x80\""),
		"lone surrogate in sub":   claims("sub", `"user\ud800"`),
		"lone low surrogate":      claims("sub", `"\udc00user"`),
		"invalid UTF-8 in noise":  claims("x", "\"\xff\""),
		"lone surrogate in noise": claims("x", `["\ud800"]`),
		"raw newline":             claims("sub", "\"us\ner\""),
		"duplicate noise":         `{"x":1,"x":1,` + inside + `}`,
		"duplicate deep down":     `{"x":[{"y":1,"y":1}],` + inside + `}`,
		"exp with leading zero":   claims("exp", "0"+at(300)),
		"exp with a plus":         claims("exp", "+"+at(300)),
		"exp NaN":                 claims("exp", "NaN"),
		"exp Infinity":            claims("exp", "Infinity"),
		"exp hexadecimal":         claims("exp", "0x7fffffff"),
		"comma at the end":        `{` + inside + `,}`,
	} {
		rows = append(rows, row{name, sign(payload), verify.ErrMalformed, "claims"})
	}
	for name, other := range map[string]string{
		"exp": at(-1000), "aud": `"https://other.example"`, "iss": `"https://evil.example"`, "sub": `"admin"`, "scope": `"admin"`,
		"nbf": at(1000), "cnf": `{}`, "client_id": `"other"`,
	} {
		base := claims("nbf", at(-10))
		if name == "cnf" {
			base = claims("cnf", `null`)
		}
		in := base[1 : len(base)-1]
		escaped := `"\u00` + map[byte]string{'e': "65", 'a': "61", 'i': "69", 's': "73", 'n': "6e", 'c': "63"}[name[0]] + name[1:] + `"`
		rows = append(rows,
			row{"duplicate " + name + ", ours last", sign(`{"` + name + `":` + other + `,` + in + `}`), verify.ErrMalformed, "claims"},
			row{"duplicate " + name + ", ours first", sign(`{` + in + `,"` + name + `":` + other + `}`), verify.ErrMalformed, "claims"},
			row{"duplicate " + name + ", escaped", sign(`{` + in + `,` + escaped + `:` + other + `}`), verify.ErrMalformed, "claims"})
	}
	run(t, v, rows)
	keys.asked()
	for _, r := range rows {
		if r.reason != accepted {
			refuse(t, v, r.token, r.reason)
		}
	}
	if n, m := keys.asked(); n+m > 0 {
		t.Errorf("asked for keys %d times, for newer ones %d times", n, m)
	}
}

// Claims are told apart by case (RFC 7519 section 4), where encoding/json
// folds it.
func TestClaimNamesHaveCase(t *testing.T) {
	v, _ := build(t, nil)
	run(t, v, []row{
		{"only Exp", eddsa.with("exp", "", "Exp", at(300)), verify.ErrClaim, "exp"},
		{"only EXP", eddsa.with("exp", "", "EXP", at(300)), verify.ErrClaim, "exp"},
		{"exp past, Exp future", eddsa.with("exp", at(-100), "Exp", at(300)), verify.ErrExpired, ""},
		{"exp past, EXP future", eddsa.with("exp", at(-100), "EXP", at(300)), verify.ErrExpired, ""},
		{"exp future, Exp past", eddsa.with("Exp", at(-100)), accepted, ""},
		{"iss evil, Iss ours", eddsa.with("iss", `"https://evil.example"`, "Iss", quote(testIssuer)), verify.ErrIssuer, ""},
		{"iss ours, Iss evil", eddsa.with("Iss", `"https://evil.example"`), accepted, ""},
		{"i\u017fs", eddsa.with("iss", "", "i\u017fs", quote(testIssuer)), verify.ErrClaim, "iss"},
		{"only Aud", eddsa.with("aud", "", "Aud", quote(testAudience)), verify.ErrClaim, "aud"},
		{"only Sub", eddsa.with("sub", "", "Sub", `"user-1"`), verify.ErrClaim, "sub"},
		{"\u017fub", eddsa.with("sub", "", "\u017fub", `"user-1"`), verify.ErrClaim, "sub"},
		{"Nbf ahead", eddsa.with("Nbf", at(1000)), accepted, ""},
		{"Cnf", eddsa.with("Cnf", `{}`), accepted, ""},
		{"Scope", eddsa.with("scope", "", "Scope", `1`), accepted, ""},
		{"exp with a space", eddsa.with("exp", "", "exp ", at(300)), verify.ErrClaim, "exp"},
		{"exp with a NUL", eddsa.with("exp", "", "exp\x00", at(300)), verify.ErrClaim, "exp"},
	})
	if got := accept(t, v, eddsa.with("scope", "", "Scope", `"admin"`, "SCP", `"admin"`)); got.Scope != "" {
		t.Errorf("scope %q", got.Scope)
	}
}

// iss is compared as bytes (RFC 9068 section 4).
func TestIss(t *testing.T) {
	v, keys := build(t, nil)
	rows := []row{
		{"control", eddsa.good(), accepted, ""},
		{"missing", eddsa.with("iss", ""), verify.ErrClaim, "iss"},
	}
	for _, c := range []string{`null`, `1`, `[]`, `["` + testIssuer + `"]`, `{}`, `true`} {
		rows = append(rows, row{c, eddsa.with("iss", c), verify.ErrClaim, "iss"})
	}
	for _, c := range []string{
		"", testIssuer + "/", "HTTPS://issuer.example", "https://Issuer.example", "http://issuer.example", testIssuer + ":443",
		"https://issuer%2eexample", testIssuer + "\x00", testIssuer + "?", testIssuer + "#", "https://user@issuer.example",
		testIssuer + ".", testIssuer + ".evil.example", "issuer.example", " " + testIssuer, testIssuer + " ", testIssuer + "\n",
		testIssuer[:len(testIssuer)-1], "https://i\u0455suer.example", "https://evil.example/" + testIssuer, "https://issuer.example/./",
		"https://issuer\u3002example", "\ufeff" + testIssuer, strings.Repeat(testIssuer, 50),
	} {
		rows = append(rows, row{"iss " + quote(c)[:min(len(quote(c)), 60)], eddsa.with("iss", quote(c)), verify.ErrIssuer, ""})
	}
	run(t, v, rows)
	keys.asked()
	for _, r := range rows[1:] {
		refuse(t, v, r.token, r.reason)
	}
	if n, m := keys.asked(); n+m > 0 {
		t.Errorf("foreign tokens asked for keys %d times, for newer ones %d times", n, m)
	}
}

func TestAud(t *testing.T) {
	const second = "urn:api:2"
	v, _ := build(t, func(c *verify.Config) { c.Issuers[0].Audience = []string{testAudience, second} })
	ours := quote(testAudience)
	rows := []row{
		{"string", eddsa.good(), accepted, ""},
		{"the second", eddsa.with("aud", quote(second)), accepted, ""},
		{"array of one", eddsa.with("aud", `[`+ours+`]`), accepted, ""},
		{"last of an array", eddsa.with("aud", `["https://issuer.example/userinfo","",`+ours+`]`), accepted, ""},
		{"twice", eddsa.with("aud", `[`+ours+`,`+ours+`]`), accepted, ""},
		{"both", eddsa.with("aud", `[`+quote(second)+`,`+ours+`]`), accepted, ""},
		{"missing", eddsa.with("aud", ""), verify.ErrClaim, "aud"},
	}
	for _, c := range []string{
		`null`, `{}`, `1`, `true`, `{"aud":` + ours + `}`, `[` + ours + `,1]`, `[1,` + ours + `]`, `[[` + ours + `]]`, `[` + ours + `,null]`,
		`[` + ours + `,{}]`, `[` + ours + `,[]]`, `[` + ours + `,true]`, `[null]`,
	} {
		rows = append(rows, row{c, eddsa.with("aud", c), verify.ErrClaim, "aud"})
	}
	for _, c := range []string{
		`""`, `[]`, `[""]`, `["",""]`, `"https://other.example"`, `["https://other.example"]`,
		quote(testAudience + "/"), quote("HTTPS://API.EXAMPLE"), quote("https://Api.example"), quote(testAudience + "\x00"),
		quote(testAudience[:len(testAudience)-1]), quote(testAudience + "x"), quote("x" + testAudience), quote(" " + testAudience),
		quote(testAudience + " "), quote(testAudience + " " + second), quote(testAudience + "," + second),
		quote(testAudience + "\n"), quote(testAudience + ":443"), `"*"`, `"client-1"`, `"orders:read"`, `["client-1","orders:read orders:write"]`,
		`"urn:api:20"`, `"urn:api:"`, quote(testIssuer),
	} {
		rows = append(rows, row{c, eddsa.with("aud", c), verify.ErrAudience, ""})
	}
	run(t, v, rows)
}

// exp is required and not reached, nbf and iat are reached, give or take the
// leeway of 30 s.
func TestTimes(t *testing.T) {
	v, keys := build(t, nil)
	rows := []row{
		{"exp in a second", eddsa.with("exp", at(1)), accepted, ""},
		{"exp now", eddsa.with("exp", at(0)), accepted, ""},
		{"exp within the leeway", eddsa.with("exp", at(-29)), accepted, ""},
		{"exp just within the leeway", eddsa.with("exp", at(-30)+".001"), accepted, ""},
		{"exp at the leeway", eddsa.with("exp", at(-30)), verify.ErrExpired, ""},
		{"exp just beyond the leeway", eddsa.with("exp", at(-31)+".999"), verify.ErrExpired, ""},
		{"exp long ago", eddsa.with("exp", at(-100_000_000)), verify.ErrExpired, ""},
		{"exp fractional", eddsa.with("exp", at(300)+".5"), accepted, ""},
		{"exp with an exponent", eddsa.with("exp", "1.8000003e9"), accepted, ""},
		{"exp with a capital exponent", eddsa.with("exp", "18000003E+2"), accepted, ""},
		{"exp with a negative exponent", eddsa.with("exp", at(300)+"000e-3"), accepted, ""},
		{"exp past with an exponent", eddsa.with("exp", "1.7e9"), verify.ErrExpired, ""},
		{"exp missing", eddsa.with("exp", ""), verify.ErrClaim, "exp"},
		{"exp -1", eddsa.with("exp", "-1"), verify.ErrExpired, ""},
		{"exp 0", eddsa.with("exp", "0"), verify.ErrExpired, ""},
		{"exp -0", eddsa.with("exp", "-0"), verify.ErrExpired, ""},
		{"exp 1e-400", eddsa.with("exp", "1e-400"), verify.ErrExpired, ""},
		{"exp -1e300", eddsa.with("exp", "-1e300"), verify.ErrExpired, ""},
		{"exp -2^63", eddsa.with("exp", "-9223372036854775808"), verify.ErrExpired, ""},
		{"exp -1e19", eddsa.with("exp", "-1e19"), verify.ErrExpired, ""},
		{"exp 1e300", eddsa.with("exp", "1e300"), verify.ErrClaim, "exp"},
		{"exp 1e19", eddsa.with("exp", "1e19"), verify.ErrClaim, "exp"},
		{"exp 2^63-1", eddsa.with("exp", "9223372036854775807"), verify.ErrClaim, "exp"},
		{"exp 2^63", eddsa.with("exp", "9223372036854775808"), verify.ErrClaim, "exp"},
		{"exp 2^64", eddsa.with("exp", "18446744073709551616"), verify.ErrClaim, "exp"},
		{"exp 2^64 and a little", eddsa.with("exp", "18446744075509551916"), verify.ErrClaim, "exp"},
		{"exp of 30 digits", eddsa.with("exp", "123456789012345678901234567890"), verify.ErrClaim, "exp"},
		{"exp 1e400", eddsa.with("exp", "1e400"), verify.ErrClaim, "exp"},
		{"exp -1e400", eddsa.with("exp", "-1e400"), verify.ErrClaim, "exp"},
		{"exp in 19 years", eddsa.with("exp", at(19*365*24*3600)), accepted, ""},
		{"exp in 21 years", eddsa.with("exp", at(21*366*24*3600)), verify.ErrClaim, "exp"},
		{"exp in milliseconds", eddsa.with("exp", at(300)+"000"), verify.ErrClaim, "exp"},
		{"no nbf", eddsa.with("nbf", ""), accepted, ""},
		{"nbf past", eddsa.with("nbf", at(-100)), accepted, ""},
		{"nbf 0", eddsa.with("nbf", "0"), accepted, ""},
		{"nbf within the leeway", eddsa.with("nbf", at(20)), accepted, ""},
		{"nbf at the leeway", eddsa.with("nbf", at(30)), accepted, ""},
		{"nbf just beyond the leeway", eddsa.with("nbf", at(30)+".01"), verify.ErrNotYetValid, "nbf"},
		{"nbf beyond the leeway", eddsa.with("nbf", at(31)), verify.ErrNotYetValid, "nbf"},
		{"nbf 1e300", eddsa.with("nbf", "1e300"), verify.ErrNotYetValid, "nbf"},
		{"nbf 2^64", eddsa.with("nbf", "18446744073709551616"), verify.ErrNotYetValid, "nbf"},
		{"nbf 1e400", eddsa.with("nbf", "1e400"), verify.ErrClaim, "nbf"},
		{"no iat", eddsa.with("iat", ""), accepted, ""},
		{"iat in 20 s", eddsa.with("iat", at(20)), accepted, ""},
		{"iat at the leeway", eddsa.with("iat", at(30)), accepted, ""},
		{"iat in 31 s", eddsa.with("iat", at(31)), verify.ErrNotYetValid, "iat"},
		{"iat in an hour", eddsa.with("iat", at(3600)), verify.ErrNotYetValid, "iat"},
		{"iat 1e19", eddsa.with("iat", "1e19"), verify.ErrNotYetValid, "iat"},
		{"iat fractional", eddsa.with("iat", at(-10)+".5"), accepted, ""},
		{"no auth_time", eddsa.with("auth_time", ""), accepted, ""},
		{"auth_time", eddsa.with("auth_time", at(-10)), accepted, ""},
		{"auth_time 1e400", eddsa.with("auth_time", "1e400"), accepted, ""},
		{"exp null", eddsa.with("exp", "null"), verify.ErrClaim, "exp"},
	}
	for _, name := range []string{"nbf", "iat", "auth_time"} {
		rows = append(rows, row{name + " null", eddsa.with(name, "null"), accepted, ""})
	}
	for _, name := range []string{"exp", "nbf", "iat"} {
		for _, c := range []string{`""`, quote(at(-10)), quote(at(300)), `"now"`, `true`, `false`, `[]`, `[` + at(-10) + `]`, `{}`} {
			rows = append(rows, row{name + " " + c, eddsa.with(name, c), verify.ErrClaim, name})
		}
	}
	run(t, v, rows)
	keys.asked()
	for _, r := range rows {
		if r.reason != accepted {
			refuse(t, v, r.token, r.reason)
		}
	}
	if n, m := keys.asked(); n+m > 0 {
		t.Errorf("asked for keys %d times, for newer ones %d times", n, m)
	}
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

func TestIdentityClaims(t *testing.T) {
	v, _ := build(t, nil)
	rows := []row{
		{"control", eddsa.good(), accepted, ""},
		{"no client_id, jti, scope, iat", eddsa.with("client_id", "", "jti", "", "scope", "", "iat", ""), accepted, ""},
		{"sub of other letters", eddsa.with("sub", `"用户-é"`), accepted, ""},
		{"sub missing", eddsa.with("sub", ""), verify.ErrClaim, "sub"},
		{"sub empty", eddsa.with("sub", `""`), verify.ErrClaim, "sub"},
		{"org_id of another type is passed over", eddsa.with("org_id", `1`), accepted, ""},
		{"cid of another type is passed over", eddsa.with("cid", `42`), accepted, ""},
		{"permissions of another type are passed over", eddsa.with("permissions", `{"a":1}`), accepted, ""},
	}
	for _, name := range []string{"sub", "client_id"} {
		for _, c := range []string{`1`, `[]`, `["user-1"]`, `{}`, `true`} {
			rows = append(rows, row{name + " " + c, eddsa.with(name, c), verify.ErrClaim, name})
		}
		rows = append(rows, row{name + " string", eddsa.with(name, `"x"`), accepted, ""})
	}
	for _, c := range []string{`1`, `"admin"`, `[]`, `[{"sub":"a"}]`, `true`, `{"sub":1}`, `{"sub":null}`, `{"iss":[]}`, `{"act":"x"}`, `{"sub":"a","act":{"sub":{}}}`, strings.Repeat(`{"act":`, 9) + "{}" + strings.Repeat("}", 9)} {
		rows = append(rows, row{"act " + c, eddsa.with("act", c), verify.ErrClaim, "act"})
	}
	for _, c := range []string{`{}`, `{"sub":"admin"}`, `{"sub":"a","iss":"https://x","act":{"sub":"b"},"x":1}`} {
		rows = append(rows, row{"act " + c, eddsa.with("act", c), accepted, ""})
	}
	run(t, v, rows)
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

// Null is as good as nothing, but for the claims that alone decide whether a
// token may be used; the reason names these.
func TestNullClaims(t *testing.T) {
	v, _ := build(t, nil)
	var rows []row
	for _, name := range []string{"iss", "sub", "aud", "exp", "cnf"} {
		rows = append(rows, row{name, eddsa.with(name, "null"), verify.ErrClaim, name})
	}
	for _, name := range []string{
		"nbf", "iat", "jti", "auth_time", "client_id", "azp", "cid", "scope", "scp", "org_id", "acr", "act", "permissions", "token_type", "username",
		"token_use", "typ", "nonce", "at_hash", "c_hash", "s_hash", "events", "token_introspection", "htm", "htu", "anything",
	} {
		rows = append(rows,
			row{name, eddsa.with(name, "null"), accepted, ""},
			row{name + ", JWT", eddsa.token(eddsa.header("typ", `"JWT"`), claims(name, "null")), accepted, ""})
	}
	run(t, v, rows)
	got := accept(t, v, eddsa.with("scope", "null", "scp", `["a"]`, "client_id", "null", "azp", `"b"`, "iat", "null", "jti", "null", "act", "null"))
	if got.Scope != "a" || got.ClientID != "b" || !got.IssuedAt.IsZero() || got.ID != "" || got.Actor != nil {
		t.Errorf("%+v", got)
	}
	// As absent is as required.
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

// scope and scp are a string by the grammar of RFC 6749 section 3.3, spaces at
// its ends left aside, or an array of scope-tokens.
func TestScopeGrammar(t *testing.T) {
	v, _ := build(t, nil)
	rows := []row{{"neither", eddsa.with("scope", ""), accepted, ""}}
	for _, name := range []string{"scope", "scp"} {
		for _, c := range []string{
			`null`, `""`, `"a"`, `"a b"`, `"a:b/c.d https://x/y"`, `"!#[]~"`, `"\u0061"`, `" a"`, `"a "`, `"  a b  "`, `" "`,
			`[]`, `["a"]`, `["a","b"]`, `["\u0061"]`, `[ "a" , "b" ]`,
		} {
			rows = append(rows, row{name + " " + c, eddsa.with("scope", "", name, c), accepted, ""})
		}
		for _, c := range []string{
			`1`, `true`, `{}`, `{"a":"b"}`, `"a  b"`, `"a\tb"`, `"a\nb"`, `"\ta"`, `"a\n"`, `"a\u0000b"`, `"a\"b"`, `"a\\b"`, `"a\u007f"`, `"é"`,
			`"a\u00a0b"`, `"a\u2003b"`, `"\u00a0a"`, `[1]`, `["a",null]`, `[null]`, `[["a"]]`, `[{}]`, `["a b"]`, `[" a"]`, `["a "]`, `[" "]`,
			`[""]`, `["a\u0000"]`, `["a\""]`, `["a",""]`, `["é"]`, `["a",true]`,
		} {
			rows = append(rows, row{name + " " + c, eddsa.with("scope", "", name, c), verify.ErrClaim, name})
		}
	}
	rows = append(rows, row{"a good scope and a bad scp", eddsa.with("scp", `1`), verify.ErrClaim, "scp"})
	run(t, v, rows)

	// RFC 9068 section 2.2.3 wants a string, and that of RFC 6749.
	profile, _ := build(t, func(c *verify.Config) { c.RFC9068 = true })
	rows = nil
	for _, c := range []string{`null`, `""`, `"a"`, `"a b"`} {
		rows = append(rows, row{c, eddsa.with("scope", c), accepted, ""})
	}
	for _, c := range []string{`[]`, `["a"]`, `["a","b"]`, `" a"`, `"a "`, `" "`} {
		rows = append(rows, row{c, eddsa.with("scope", c), verify.ErrClaim, "scope"})
	}
	run(t, profile, rows)
}

// A token bound to a key is no bearer token (RFC 7800, 8705, 9449).
func TestBoundTokens(t *testing.T) {
	v, _ := build(t, nil)
	rows := []row{{"control", eddsa.good(), accepted, ""}}
	for _, c := range []string{
		`{"jkt":"0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}`, `{"x5t#S256":"bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2"}`,
		`{"jkt":"0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I","x5t#S256":"bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2"}`,
		`{}`, `""`, `[]`, `false`, `{"jkt":"short"}`, `{"jkt":1}`, `{"unknown":"x"}`, `{"jwk":{}}`,
	} {
		rows = append(rows, row{c, eddsa.with("cnf", c), verify.ErrBound, ""})
	}
	run(t, v, rows)
}

// What another specification makes of the same issuer's key is no access
// token: its typ or its claims give it away.
func TestOtherKindsOfToken(t *testing.T) {
	v, _ := build(t, nil)
	untyped := func(edits ...string) string { return eddsa.token(eddsa.header("typ", ""), claims(edits...)) }
	jwt := func(edits ...string) string { return eddsa.token(eddsa.header("typ", `"JWT"`), claims(edits...)) }
	rows := []row{
		{"control without typ", untyped(), accepted, ""},
		{"control JWT", jwt(), accepted, ""},
		{"a session's sid", untyped("sid", `"s"`), accepted, ""},
		{"Cognito access token", untyped("token_use", `"access"`), accepted, ""},
		{"Keycloak access token", untyped("typ", `"Bearer"`), accepted, ""},
		{"Cognito ID token", untyped("token_use", `"id"`), verify.ErrType, "token_use"},
		{"Cognito refresh token", untyped("token_use", `"refresh"`), verify.ErrType, "token_use"},
		{"Keycloak ID token", untyped("typ", `"ID"`), verify.ErrType, "typ claim"},
		{"Keycloak refresh token", untyped("typ", `"Refresh"`), verify.ErrType, "typ claim"},
		{"Keycloak offline token", untyped("typ", `"Offline"`), verify.ErrType, "typ claim"},
		{"Keycloak logout token", untyped("typ", `"Logout"`), verify.ErrType, "typ claim"},
		{"ID token for the client", untyped("aud", `"client-1"`, "nonce", `"n"`), verify.ErrType, ""},
		{"ID token for the client, bare", untyped("aud", `"client-1"`), verify.ErrAudience, ""},
		{"logout token", untyped("events", `{"http://schemas.openid.net/event/backchannel-logout":{}}`, "sub", ""), verify.ErrType, "events"},
		{"introspection response", untyped("token_introspection", `{"active":true}`), verify.ErrType, "token_introspection"},
		{"DPoP proof", untyped("htm", `"GET"`, "htu", `"https://api.example/"`), verify.ErrType, ""},
		{"client assertion", untyped("iss", `"client-1"`, "sub", `"client-1"`, "aud", quote(testIssuer)), verify.ErrIssuer, ""},
	}
	for _, name := range []string{"nonce", "at_hash", "c_hash", "s_hash", "events", "token_introspection", "htm", "htu"} {
		for _, c := range []string{`"x"`, `""`, `1`, `{}`} {
			rows = append(rows,
				row{name + " " + c, untyped(name, c), verify.ErrType, name},
				row{name + " " + c + ", JWT", jwt(name, c), verify.ErrType, name},
				// One that says to be an access token is one (RFC 9068 section 2.1).
				row{name + " " + c + ", at+jwt", eddsa.with(name, c), accepted, ""})
		}
	}
	run(t, v, rows)

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
