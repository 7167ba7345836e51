package hostile

import (
	"strings"
	"testing"
	"time"

	"github.com/bearerkit/bearerkit/verify"
)

func TestCases(t *testing.T) {
	w := NewWorld("https://issuer.example", "https://api.example", time.Unix(1_800_000_000, 0))
	controls := map[string]int{}
	cases := Cases()
	for _, c := range cases {
		if _, err := c.Token(w); err != nil {
			t.Errorf("%s: %v", c.Name, err)
		}
		file, _, _ := strings.Cut(c.Name, ":")
		if _, has := controls[file]; !has {
			controls[file] = 0
		}
		if c.Expect.Status == 200 {
			controls[file]++
		}
	}
	for file, n := range controls {
		if n == 0 {
			t.Errorf("%s has no token that is accepted: a verifier that refuses everything would pass", file)
		}
	}
	if len(cases) < 900 {
		t.Errorf("only %d cases", len(cases))
	}
}

// A case with nothing changed is a valid token of its issuer, and what changes it is the
// line alone.
func TestToken(t *testing.T) {
	w := NewWorld("https://issuer.example", "https://api.example", time.Unix(1_800_000_000, 0))
	const start = "section: s\nwhy: w\nexpect: 200\n\n"
	for text, want := range map[string][2]string{
		"case: valid": {`{"alg":"ES256","kid":"K","typ":"at+jwt"}`,
			`{"aud":"https://api.example","client_id":"client_1","exp":1800000600,"iat":1799999990,"iss":"https://issuer.example","jti":"id_1","scope":"orders:read orders:write","sub":"user_1"}`},
		"claims: {}\nheader.typ: absent":                          {`{"alg":"ES256","kid":"K"}`, `{}`},
		"claims: <now-5>.5\nheader:":                              {``, `1799999995.5`},
		"claims: <lt>a>\nheader: <hex 00ff>":                      {"\x00\xff", `<a>`},
		"claims: <repeat 3 [>\nheader: <cut upper issuer>":        {"", ""},
		"claims: <repeat 3 [>\nheader: <upper audience>":          {"HTTPS://API.EXAMPLE", "[[["},
		"claims: <quoted header>\nheader: {<header members>}":     {`{"alg":"ES256","kid":"K","typ":"at+jwt"}`, `"{\"alg\":\"ES256\",\"kid\":\"K\",\"typ\":\"at+jwt\"}"`},
		"claims: <utf16be kid>\nheader.a\\b: 1\nheader.kid: <lt>": {`{"a\\b":1,"alg":"ES256","kid":<,"typ":"at+jwt"}`, ""},
	} {
		cases, err := parse("f", start+text)
		if err != nil || len(cases) != 1 {
			t.Fatalf("%q: %v", text, err)
		}
		c := cases[0]
		header, claims, plain, err := c.JWS(w)
		if err != nil || !plain {
			t.Errorf("%q: %v %v", text, plain, err)
		}
		fix := strings.NewReplacer(w.Keys["ES256"].ID, "K")
		if strings.Contains(text, "utf16be") {
			claims = ""
		}
		if strings.Contains(text, "cut upper") {
			header, claims = "", ""
		}
		if fix.Replace(header) != want[0] || fix.Replace(claims) != want[1] {
			t.Errorf("%q: %q, %q, want %q", text, header, claims, want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	const section = "section: s\nwhy: w\nexpect: 200\n\n"
	for name, text := range map[string]string{
		"no section":           "case: a\nwhy: w\nexpect: 200\n",
		"no why":               "section: s\nexpect: 200\n\ncase: a\n",
		"no expect":            "section: s\nwhy: w\n\ncase: a\n",
		"no answer":            "section: s\nwhy: w\nexpect: 401\n\ncase: a\n",
		"another status":       section + "case: a\nexpect: 403 insufficient_scope claim\n",
		"another code":         section + "case: a\nexpect: 401 invalid_request malformed\n",
		"an unknown reason":    section + "case: a\nexpect: 401 invalid_token odd\n",
		"400 for a token":      section + "case: a\nexpect: 400 invalid_request malformed\n",
		"401 for a request":    section + "case: a\nexpect: 401 invalid_token syntax\n",
		"200 with more":        section + "case: a\nexpect: 200 ok\n",
		"an unknown line":      section + "case: a\ncolour: red\n",
		"a line twice":         section + "case: a\ncase: b\n",
		"a name twice":         section + "case: a\n\ncase: a\n",
		"nothing changed":      section + "expect: 200\n",
		"text without a colon": section + "case a\n",
		"space at the end":     section + "claim.sub: 1 \n",
		"two spaces":           section + "claim.sub:  1\n",
		"a tab":                section + "claim.sub: \"\t\"\n",
		"a carriage return":    section + "claim.sub: 1\r\n",
		"invalid UTF-8":        section + "claim.sub: \"\xff\"\n",
		"an unknown key":       section + "key: HS256\n",
		"an unknown log":       section + "case: a\nlog: all\n",
		"an unknown clock":     section + "case: a\nclock: fast\n",
		"two kinds of header":  section + "header: {}\nheader.typ: absent\n",
		"two kinds of claims":  section + "claims: {}\nclaim.sub: absent\n",
		"a section in a case":  section + "case: a\nsection: b\n",
	} {
		if cases, err := parse("f", text); err == nil {
			t.Errorf("%s: %+v", name, cases)
		}
	}
}

// What a text says that has no meaning is an error, not another token.
func TestTokenRefuses(t *testing.T) {
	w := NewWorld("https://issuer.example", "https://api.example", time.Unix(1_800_000_000, 0))
	for _, text := range []string{
		"claims: <", "claims: <unknown>", "claims: <now>", "claims: <now5>", "claims: <now+x>", "claims: <kid HS256>", "claims: <issuer x>",
		"claims: <hex 0>", "claims: <repeat x y>", "claims: <repeat 9999999 y>", "claims: <H>", "header: <S>", "signed: <S>", "signed: <loose X>",
		"claims: <attacker pem>", "claims: <header x>", "claims: <deflate x>", "signature: none", "signature: as HS256", "signature: salt 1",
		"signature: key, cut 65", "signature: key, flip 64", "signature: key, widen 1", "signature: key, append x", "signature: hmac pem", "signature: hmac x RS256",
		"signature: key, flip -1", "signature: key,flip 1", "claim.<x>: 1", "token: <x>",
	} {
		cases, err := parse("f", "section: s\nwhy: w\nexpect: 200\n\n"+text+"\n")
		if err != nil {
			t.Fatal(err)
		}
		if token, err := cases[0].Token(w); err == nil {
			t.Errorf("%s: %q", text, token)
		}
	}
}

func FuzzParse(f *testing.F) {
	entries, err := files.ReadDir("testdata")
	if err != nil {
		f.Fatal(err)
	}
	for _, e := range entries {
		text, err := files.ReadFile("testdata/" + e.Name())
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text[:min(len(text), 4000)]))
	}
	w := NewWorld("https://issuer.example", "https://api.example", time.Unix(1_800_000_000, 0))
	f.Fuzz(func(t *testing.T, text string) {
		cases, err := parse("f", text)
		if err != nil {
			return
		}
		names := map[string]bool{}
		for i, c := range cases {
			if names[c.Name] || c.Why == "" || (c.Expect.Status == 200) != (c.Expect.Reason == verify.Reason("")) {
				t.Errorf("%+v", c)
			}
			names[c.Name] = true
			if i < 3 { // signing takes longer than parsing
				_, _ = c.Token(w) // does not panic
			}
		}
	})
}
