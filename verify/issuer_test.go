package verify_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/bearerkit/bearerkit/verify"
)

// buildIssuer is build with the one issuer's own settings edited.
func buildIssuer(t testing.TB, edit func(*verify.Issuer)) *verify.Verifier {
	t.Helper()
	v, _ := build(t, func(c *verify.Config) { edit(&c.Issuers[0]) })
	return v
}

func untyped(edits ...string) string { return eddsa.token(eddsa.header("typ", ""), claims(edits...)) }

func typedJWT(edits ...string) string {
	return eddsa.token(eddsa.header("typ", `"JWT"`), claims(edits...))
}

// AllowIDTokenClaims admits the marks of an ID token and nothing else of it.
func TestAllowIDTokenClaims(t *testing.T) {
	v := buildIssuer(t, func(is *verify.Issuer) {
		is.AllowIDTokenClaims = true
		is.Audience = []string{testAudience, "client-1"}
	})
	var rows []row
	for _, mark := range []string{"nonce", "at_hash", "c_hash", "s_hash"} {
		for kind, token := range map[string]func(...string) string{"untyped": untyped, "JWT": typedJWT} {
			name := mark + ", " + kind + ", "
			rows = append(rows,
				row{name + "for the API", token(mark, `"x"`), accepted, ""},
				row{name + "client not shown", token(mark, `"x"`, "client_id", "", "aud", `"client-1"`), accepted, ""},
				row{name + "for API and client", token(mark, `"x"`, "aud", `["client-1","`+testAudience+`"]`), accepted, ""},
				row{name + "for the client", token(mark, `"x"`, "aud", `"client-1"`), verify.ErrType, mark},
				row{name + "for the client, listed", token(mark, `"x"`, "aud", `["client-1"]`), verify.ErrType, mark},
				row{name + "for the client and others", token(mark, `"x"`, "aud", `["other","client-1"]`), verify.ErrType, mark},
				row{name + "for the client, escaped", token(mark, `"x"`, "aud", `"client\u002d1"`), verify.ErrType, mark},
				row{name + "for azp", token(mark, `"x"`, "client_id", "", "azp", `"client-1"`, "aud", `"client-1"`), verify.ErrType, mark},
				row{name + "for azp beside client_id", token(mark, `"x"`, "client_id", `"other"`, "azp", `"client-1"`, "aud", `"client-1"`), verify.ErrType, mark},
				row{name + "for cid", token(mark, `"x"`, "client_id", "", "cid", `"client-1"`, "aud", `"client-1"`), verify.ErrType, mark},
				row{name + "for others", token(mark, `"x"`, "aud", `"other"`), verify.ErrAudience, ""})
		}
		rows = append(rows, row{mark + ", at+jwt, for the client", eddsa.with(mark, `"x"`, "aud", `"client-1"`), accepted, ""})
	}
	rows = append(rows,
		row{"no mark, for the client", untyped("aud", `"client-1"`), accepted, ""},
		row{"two marks", untyped("nonce", `"n"`, "at_hash", `"h"`), accepted, ""},
		row{"Keycloak ID token", typedJWT("nonce", `"n"`, "typ", `"ID"`), verify.ErrType, "typ claim"},
		row{"Cognito ID token", untyped("at_hash", `"h"`, "token_use", `"id"`), verify.ErrType, "token_use"},
		row{"another typ", eddsa.token(eddsa.header("typ", `"id_token+jwt"`), claims("nonce", `"n"`)), verify.ErrType, "typ"})
	for _, mark := range []string{"events", "token_introspection", "htm", "htu"} {
		rows = append(rows, row{mark, untyped("nonce", `"n"`, mark, `"x"`), verify.ErrType, mark})
	}
	run(t, v, rows)

	both := buildIssuer(t, func(is *verify.Issuer) {
		is.AllowIDTokenClaims, is.AllowClientAudience = true, true
		is.Audience = []string{testAudience, "client-1"}
	})
	run(t, both, []row{
		{"for the client", untyped("nonce", `"n"`, "aud", `"client-1"`), accepted, ""},
		{"for azp", typedJWT("at_hash", `"h"`, "client_id", "", "azp", `"client-1"`, "aud", `"client-1"`), accepted, ""},
		{"for others", untyped("nonce", `"n"`, "aud", `"other"`), verify.ErrAudience, ""},
		{"Keycloak ID token", typedJWT("nonce", `"n"`, "typ", `"ID"`), verify.ErrType, "typ claim"},
	})

	// The configured claim shows the client too, and the usual ones still do.
	appid := buildIssuer(t, func(is *verify.Issuer) {
		is.AllowIDTokenClaims, is.ClientIDClaim = true, "appid"
		is.Audience = []string{"client-1"}
	})
	run(t, appid, []row{
		{"for appid", untyped("nonce", `"n"`, "client_id", "", "appid", `"client-1"`, "aud", `"client-1"`), verify.ErrType, "nonce"},
		{"for client_id", untyped("nonce", `"n"`, "appid", `"other"`, "aud", `"client-1"`), verify.ErrType, "nonce"},
		{"for neither", untyped("nonce", `"n"`, "client_id", "", "appid", `"other"`, "aud", `"client-1"`), accepted, ""},
	})

	// Where any audience will do, the client's will not.
	anyAudience := buildIssuer(t, func(is *verify.Issuer) {
		is.AllowIDTokenClaims, is.InsecureNoAudience, is.Audience = true, true, nil
	})
	run(t, anyAudience, []row{
		{"for the client", untyped("nonce", `"n"`, "aud", `"client-1"`), verify.ErrType, "nonce"},
		{"for another", untyped("nonce", `"n"`, "aud", `"other"`), accepted, ""},
		{"for nobody", untyped("nonce", `"n"`, "aud", ""), accepted, ""},
	})

	// A claim that stands in for aud may be the client's: an ID token has an aud.
	standIn := buildIssuer(t, func(is *verify.Issuer) {
		is.AllowIDTokenClaims, is.AudienceClaim, is.Audience = true, "client_id", []string{"client-1"}
	})
	run(t, standIn, []row{
		{"no aud", untyped("nonce", `"n"`, "aud", ""), accepted, ""},
		{"aud is the client", untyped("nonce", `"n"`, "aud", `"client-1"`), verify.ErrType, "nonce"},
	})
}

func TestSubjectClaim(t *testing.T) {
	v := buildIssuer(t, func(is *verify.Issuer) { is.SubjectClaim = "username" })
	got := accept(t, v, eddsa.with("username", `"al\u0069ce"`))
	if got.Subject != "alice" {
		t.Errorf("subject %q", got.Subject)
	}
	rows := []row{{"without sub", eddsa.with("sub", "", "username", `"alice"`), accepted, ""}, {"sub of another type", eddsa.with("sub", "1", "username", `"alice"`), accepted, ""}}
	for _, c := range []string{``, `null`, `""`, `1`, `[]`, `["alice"]`, `{}`, `true`} {
		rows = append(rows, row{"username " + c, eddsa.with("username", c), verify.ErrClaim, "username"})
	}
	run(t, v, rows)

	relaxed := buildIssuer(t, func(is *verify.Issuer) { is.SubjectClaim, is.AllowNoSubject = "username", true })
	for _, c := range []string{``, `""`} {
		if got := accept(t, relaxed, eddsa.with("username", c)); got.Subject != "" {
			t.Errorf("subject %q by %q", got.Subject, c)
		}
	}
	refuse(t, relaxed, eddsa.with("username", "null"), verify.ErrClaim)

	// The profile's own claim stays required with it.
	profile, _ := build(t, func(c *verify.Config) {
		c.RFC9068 = true
		c.Issuers[0].SubjectClaim = "oid"
	})
	run(t, profile, []row{
		{"both", eddsa.with("oid", `"o"`), accepted, ""},
		{"sub alone", eddsa.good(), verify.ErrClaim, "oid"},
		{"oid alone", eddsa.with("oid", `"o"`, "sub", ""), verify.ErrClaim, "sub"},
	})
	if got := accept(t, buildIssuer(t, func(is *verify.Issuer) { is.SubjectClaim = "sub" }), eddsa.good()); got.Subject != "user-1" {
		t.Errorf("subject %q", got.Subject)
	}
}

func TestClientIDClaim(t *testing.T) {
	v := buildIssuer(t, func(is *verify.Issuer) { is.ClientIDClaim = "appid" })
	for want, edits := range map[string][]string{
		"a": {"appid", `"a"`, "azp", `"b"`},
		"":  {"azp", `"b"`},
	} {
		got := accept(t, v, eddsa.with(edits...))
		if got.ClientID != want {
			t.Errorf("%v: %q", edits, got.ClientID)
		}
	}
	if !accept(t, v, eddsa.with("sub", `"a"`, "appid", `"a"`)).IsMachine() {
		t.Error("a client that acts for itself is not a machine")
	}
	run(t, v, []row{
		{"null", eddsa.with("appid", "null"), accepted, ""},
		{"client_id of another type", eddsa.with("client_id", "1"), accepted, ""},
		{"number", eddsa.with("appid", "1"), verify.ErrClaim, "appid"},
		{"array", eddsa.with("appid", `["a"]`), verify.ErrClaim, "appid"},
	})
	// The profile's own claim stays required.
	profile, _ := build(t, func(c *verify.Config) {
		c.RFC9068 = true
		c.Issuers[0].ClientIDClaim = "appid"
	})
	refuse(t, profile, eddsa.with("client_id", "", "appid", `"a"`), verify.ErrClaim)
	if got := accept(t, profile, eddsa.with("appid", `"a"`)); got.ClientID != "a" {
		t.Errorf("%q", got.ClientID)
	}
}

func TestIsMachineByTheIssuer(t *testing.T) {
	asked := 0
	v := buildIssuer(t, func(is *verify.Issuer) {
		is.IsMachine = func(t *verify.Token) bool {
			asked++
			var c struct {
				IDTyp string `json:"idtyp"`
			}
			machine := t.Claims(&c) == nil && c.IDTyp == "app" || t.IsMachine()
			t.Audience[0], t.Subject = "changed", "changed" // its own copy
			return machine
		}
	})
	for _, c := range []struct {
		edits []string
		want  bool
	}{
		{nil, false},
		{[]string{"idtyp", `"user"`}, false},
		{[]string{"idtyp", `"app"`}, true},
		{[]string{"sub", `"client-1"`}, true},
	} {
		text := eddsa.with(c.edits...)
		asked = 0
		for range 3 {
			got := accept(t, v, text)
			if got.IsMachine() != c.want || got.Subject == "changed" || got.Audience[0] != testAudience {
				t.Errorf("%q: %+v", c.edits, got)
			}
		}
		if asked != 1 {
			t.Errorf("%q: asked %d times", c.edits, asked)
		}
	}
	// It never sees what nobody has verified.
	var seen []string
	unverified := unkeyed(t, &asker{claims: answer()}, func(c *verify.Config) {
		c.Issuers[0].IsMachine = func(t *verify.Token) bool { seen = append(seen, t.Scope); return true }
	})
	if got := accept(t, unverified, es256.with("scope", `"admin"`)); !got.IsMachine() || !slices.Equal(seen, []string{"orders:read"}) {
		t.Errorf("asked about %q", seen)
	}
	refuse(t, unverified, es256.with("sub", `"another"`), verify.ErrInactive)
	if slices.Contains(seen, "orders:read orders:write") {
		t.Errorf("asked about %q", seen)
	}
	// The answer holds in both directions.
	never := buildIssuer(t, func(is *verify.Issuer) { is.IsMachine = func(*verify.Token) bool { return false } })
	if accept(t, never, eddsa.with("sub", `"client-1"`)).IsMachine() {
		t.Error("a machine by the default rule")
	}
}

// Tokens that are made of answers go by the same settings.
func TestIssuerSettingsInAnswers(t *testing.T) {
	edit := func(c *verify.Config) {
		is := &c.Issuers[0]
		is.SubjectClaim, is.ClientIDClaim = "username", "client"
		is.IsMachine = func(t *verify.Token) bool { return strings.HasPrefix(t.Subject, "svc-") }
	}
	asked := &asker{claims: answer("sub", `"ignored"`, "username", `"svc-1"`, "client", `"c"`)}
	v, _ := asking(t, asked, edit)
	got := accept(t, v, opaqueToken)
	if got.Subject != "svc-1" || got.ClientID != "c" || !got.IsMachine() {
		t.Errorf("%+v", got)
	}
	asked.claims = answer("username", `"jane"`, "client", "null")
	if got := accept(t, v, opaqueToken); got.Subject != "jane" || got.ClientID != "" || got.IsMachine() {
		t.Errorf("%+v", got)
	}
	for _, c := range []string{``, `""`, `null`, `1`, `["jane"]`} {
		asked.claims = answer("username", c)
		refuse(t, v, opaqueToken, verify.ErrClaim)
	}
	asked.claims = answer("username", `"jane"`, "client", "1")
	refuse(t, v, opaqueToken, verify.ErrClaim)

	// About a JWT, the same claims must agree.
	always, _ := asking(t, asked, func(c *verify.Config) {
		c.Issuers[0].Introspection.Always = true
		edit(c)
	})
	token := eddsa.with("username", `"svc-1"`, "client", `"c"`)
	for _, c := range []struct {
		edits  []string
		reason verify.Reason
	}{
		{[]string{"sub", `"other"`, "client_id", `"other"`}, accepted},
		{[]string{"username", `"svc-1"`, "client", `"c"`}, accepted},
		{[]string{"username", `"svc-2"`}, verify.ErrInactive},
		{[]string{"client", `"d"`}, verify.ErrInactive},
	} {
		asked.claims = answer(c.edits...)
		if c.reason != accepted {
			refuse(t, always, token, c.reason)
			continue
		}
		if got := accept(t, always, token); got.Subject != "svc-1" || got.ClientID != "c" || !got.IsMachine() {
			t.Errorf("%q: %+v", c.edits, got)
		}
	}
}

func TestIssuerFaults(t *testing.T) {
	for want, edit := range map[string]func(*verify.Issuer){
		"AllowClientAudience": func(is *verify.Issuer) { is.AllowClientAudience = true },
		"SubjectClaim":        func(is *verify.Issuer) { is.SubjectClaim = "exp" },
		"ClientIDClaim":       func(is *verify.Issuer) { is.ClientIDClaim = "aud" },
		"AudienceClaim":       func(is *verify.Issuer) { is.AudienceClaim = "jti" },
	} {
		c := verify.Config{Issuers: []verify.Issuer{{Issuer: testIssuer, Audience: []string{testAudience}, Keys: &source{set: published(signers...)}}}}
		edit(&c.Issuers[0])
		if faults := verify.Faults(c.Validate()); len(faults) != 1 || faults[0].Field != "Issuers[0]."+want {
			t.Errorf("%s: %v", want, faults)
		}
		for _, name := range []string{"é", "a\"b", `a\b`, "a\nb", "\x7f"} {
			c := verify.Config{Issuers: []verify.Issuer{{Issuer: testIssuer, Audience: []string{testAudience}, Keys: &source{set: published(signers...)}}}}
			is := &c.Issuers[0]
			is.SubjectClaim, is.ClientIDClaim, is.AudienceClaim = name, name, name
			if faults := verify.Faults(c.Validate()); len(faults) != 3 {
				t.Errorf("%q: %v", name, faults)
			}
		}
	}
}

// An answer whose SubjectClaim is empty says nothing of the subject, as with "sub":
// the token's own counts.
func TestEmptySubjectClaimOfAnAnswer(t *testing.T) {
	for _, allowed := range []bool{false, true} {
		for _, value := range []string{`""`, ``} {
			v, _ := asking(t, &asker{claims: answer("oid", value)}, func(c *verify.Config) {
				is := &c.Issuers[0]
				is.SubjectClaim, is.AllowNoSubject, is.Introspection.Always = "oid", allowed, true
			})
			if got := accept(t, v, es256.with("oid", `"alice"`)); got.Subject != "alice" {
				t.Errorf("oid %q, AllowNoSubject %v: the subject is %q", value, allowed, got.Subject)
			}
		}
	}
}
