package adaptertest

import (
	"bytes"
	"compress/flate"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"math/big"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/bearerkit/bearerkit/verify/verifytest"
)

// hostile are the tokens by which people try to get in, as requests that every
// framework has to refuse with 401 invalid_token, each group beside controls
// that have to pass: a service that refuses everything would be safe too.
func (f *fixture) hostile() []testCase {
	h := &hostileTokens{
		issuer: f.issuer,
		es:     f.keys["ES256"], rs: f.keys["RS256"], ps: f.keys["PS256"], ed: f.keys["EdDSA"],
		now: time.Now().Unix(),
	}
	h.algorithms()
	h.signatures()
	h.headers()
	h.serialization()
	h.claims()
	h.times()
	h.audiences()
	h.kinds()
	h.marks()
	return h.list
}

type hostileTokens struct {
	issuer         *verifytest.Server
	es, rs, ps, ed *verifytest.Key
	now            int64
	list           []testCase
}

func (h *hostileTokens) add(name, token string, status int) {
	c := testCase{name: name, path: "/any", headers: []string{"Authorization: Bearer " + token}, status: status, user: "user_1"}
	if status == http.StatusUnauthorized {
		c.challenge, c.code = invalidToken, "invalid_token"
	}
	h.list = append(h.list, c)
}

func (h *hostileTokens) bad(name, token string)  { h.add("hostile: "+name, token, 401) }
func (h *hostileTokens) good(name, token string) { h.add("control: "+name, token, 200) }

// header is a good header's text with members replaced, "" standing for none.
func header(k *verifytest.Key) string {
	return fmt.Sprintf(`{"alg":%q,"kid":%q,"typ":"at+jwt"}`, k.Algorithm, k.ID)
}

// payload is a good claims set as text, changed as text allows: a value is JSON,
// and "" removes the claim.
func (h *hostileTokens) payload(changes ...string) string {
	set := map[string]string{
		"iss": strconv.Quote(h.issuer.Issuer()), "aud": strconv.Quote(h.issuer.Audience()), "sub": `"user_1"`, "client_id": `"client_1"`,
		"exp": fmt.Sprint(h.now + 600), "iat": fmt.Sprint(h.now - 1), "jti": `"1"`, "scope": `"orders:read"`,
	}
	for i := 0; i < len(changes); i += 2 {
		set[changes[i]] = changes[i+1]
	}
	return object(set)
}

func object(set map[string]string) string {
	var members []string
	for name, value := range set {
		if value != "" {
			members = append(members, strconv.Quote(name)+":"+value)
		}
	}
	return "{" + strings.Join(members, ",") + "}"
}

// with signs a good token with a text added at the end of the claims.
func (h *hostileTokens) with(members string) string {
	p := h.payload()
	return h.es.Sign(header(h.es), p[:len(p)-1]+","+members+"}")
}

// signed signs a good token with claims changed.
func (h *hostileTokens) signed(changes ...string) string {
	return h.es.Sign(header(h.es), h.payload(changes...))
}

// headed signs good claims under a header with members added or replaced.
func (h *hostileTokens) headed(members map[string]string) string {
	set := map[string]string{"alg": strconv.Quote(h.es.Algorithm), "kid": strconv.Quote(h.es.ID), "typ": `"at+jwt"`}
	maps.Copy(set, members)
	return h.es.Sign(object(set), h.payload())
}

func mac(secret []byte) func([]byte) []byte {
	return func(text []byte) []byte {
		m := hmac.New(sha256.New, secret)
		m.Write(text)
		return m.Sum(nil)
	}
}

func (h *hostileTokens) algorithms() {
	for _, k := range []*verifytest.Key{h.es, h.rs, h.ps, h.ed} {
		h.good(k.Algorithm, k.Sign(header(k), h.payload()))
	}
	h.good("Ed25519, the new name", h.ed.Sign(fmt.Sprintf(`{"alg":"Ed25519","kid":%q}`, h.ed.ID), h.payload()))
	kept := func(text []byte) []byte { return h.es.Signature(text) }
	for _, alg := range []string{`"none"`, `"None"`, `"NONE"`, `"nOnE"`, `"none "`, `""`, `null`, `0`, `["ES256"]`, `{}`, `"es256"`, `"ES256 "`, `"ES256\u0000"`, `"ES256K"`, `"HS256"`, `"RSA1_5"`, `"dir"`} {
		hdr := fmt.Sprintf(`{"alg":%s,"kid":%q}`, alg, h.es.ID)
		h.bad("alg "+alg+" with a signature", verifytest.Forge(hdr, h.payload(), kept))
		h.bad("alg "+alg+" without one", verifytest.Forge(hdr, h.payload(), func([]byte) []byte { return nil }))
	}
	h.bad("no alg", verifytest.Forge(fmt.Sprintf(`{"kid":%q}`, h.es.ID), h.payload(), kept))
	// Symmetric confusion: the public key, in all its spellings, as a secret.
	spki, _ := x509.MarshalPKIXPublicKey(h.rs.Public())
	pkcs1 := x509.MarshalPKCS1PublicKey(h.rs.Public().(*rsa.PublicKey))
	jwk, _ := json.Marshal(h.rs.JWK())
	ecPoint, _ := h.es.Public().(*ecdsa.PublicKey).Bytes()
	armored := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: spki})
	for name, secret := range map[string][]byte{
		"PEM": armored, "PEM without its last newline": bytes.TrimSpace(armored), "SPKI": spki, "PKCS #1": pkcs1, "JWK": jwk,
		"modulus": h.rs.Public().(*rsa.PublicKey).N.Bytes(), "EC point": ecPoint, "Ed25519 key": h.ed.Public().(ed25519.PublicKey), "nothing": nil,
	} {
		for _, k := range []*verifytest.Key{h.rs, h.es, h.ed} {
			h.bad("HS256 under "+k.Algorithm+"'s kid, the secret being the "+name, verifytest.Forge(fmt.Sprintf(`{"alg":"HS256","kid":%q}`, k.ID), h.payload(), mac(secret)))
		}
	}
	h.bad("RS256 by a key that is for PS256", h.ps.Sign(fmt.Sprintf(`{"alg":"RS256","kid":%q}`, h.ps.ID), h.payload()))
	for _, salt := range []int{0, 1, 20, 31, 33, 222} {
		h.bad(fmt.Sprintf("PS256 with a salt of %d", salt), verifytest.Forge(header(h.ps), h.payload(), func(text []byte) []byte {
			sum := sha256.Sum256(text)
			sig, err := rsa.SignPSS(rand.Reader, h.ps.Private.(*rsa.PrivateKey), 5, sum[:], &rsa.PSSOptions{SaltLength: salt})
			if err != nil {
				panic(err)
			}
			return sig
		}))
	}
	h.bad("ES384 by a P-256 key", verifytest.Forge(fmt.Sprintf(`{"alg":"ES384","kid":%q}`, h.es.ID), h.payload(), func(text []byte) []byte {
		sig := h.es.Signature(text)
		wide := make([]byte, 96)
		copy(wide[16:48], sig[:32])
		copy(wide[64:96], sig[32:])
		return wide
	}))
}

func (h *hostileTokens) signatures() {
	hdr, p := header(h.es), h.payload()
	forge := func(name string, change func(sig []byte) []byte) {
		h.bad("signature "+name, verifytest.Forge(hdr, p, func(text []byte) []byte { return change(h.es.Signature(text)) }))
	}
	forge("in DER", func(sig []byte) []byte {
		der, _ := asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:])})
		return der
	})
	forge("one byte short", func(sig []byte) []byte { return sig[:63] })
	forge("one byte long", func(sig []byte) []byte { return append(sig, 0) })
	forge("with a leading zero", func(sig []byte) []byte { return append([]byte{0}, sig...) })
	forge("of zeros", func([]byte) []byte { return make([]byte, 64) })
	forge("with one bit changed", func(sig []byte) []byte { sig[10] ^= 1; return sig })
	forge("that is empty", func([]byte) []byte { return nil })
	forge("of another token", func([]byte) []byte { return h.es.Signature([]byte("another")) })
	h.bad("RSA signature with a leading zero", verifytest.Forge(header(h.rs), p, func(text []byte) []byte { return append([]byte{0}, h.rs.Signature(text)...) }))
	h.bad("RSA signature of 1", verifytest.Forge(header(h.rs), p, func(text []byte) []byte { b := make([]byte, 256); b[255] = 1; return b }))
}

func (h *hostileTokens) headers() {
	evil := verifytest.NewKey("ES256")
	jwk, _ := json.Marshal(evil.JWK())
	h.bad("jwk of the attacker's, signed by it", evil.Sign(fmt.Sprintf(`{"alg":"ES256","kid":%q,"jwk":%s}`, h.es.ID, jwk), h.payload()))
	h.bad("jwk of the attacker's without kid", evil.Sign(fmt.Sprintf(`{"alg":"ES256","jwk":%s}`, jwk), h.payload()))
	for _, name := range []string{"jku", "x5u"} {
		h.bad(name+" of the attacker's", evil.Sign(fmt.Sprintf(`{"alg":"ES256","kid":%q,%q:"http://127.0.0.1:1/jwks"}`, evil.ID, name), h.payload()))
		h.good(name+" beside a good signature, not followed", h.headed(map[string]string{name: `"http://127.0.0.1:1/jwks"`}))
	}
	h.bad("x5c of the attacker's", evil.Sign(fmt.Sprintf(`{"alg":"ES256","kid":%q,"x5c":["AAAA"]}`, h.es.ID), h.payload()))
	h.good("an unknown member", h.headed(map[string]string{"x-trace": `{"a":[1,2]}`}))
	for _, crit := range []string{`["x"]`, `[]`, `"exp"`, `null`, `[1]`, `["exp"]`, `["alg"]`, `["x","x"]`, `["b64"]`} {
		h.bad("crit "+crit, h.headed(map[string]string{"crit": crit, "x": "1"}))
	}
	h.bad("b64", h.headed(map[string]string{"b64": "false"}))
	h.bad("b64 that is critical", h.headed(map[string]string{"b64": "false", "crit": `["b64"]`}))
	h.bad("zip", h.headed(map[string]string{"zip": `"DEF"`}))
	for _, twice := range []string{`"alg":"ES256"`, `"kid":"x"`, `"typ":"at+jwt"`, `"\u0061lg":"none"`, `"k\u0069d":"x"`} {
		hdr := header(h.es)
		h.bad("a header with "+twice+" again", h.es.Sign(hdr[:len(hdr)-1]+","+twice+"}", h.payload()))
		h.bad("a header with "+twice+" before", h.es.Sign("{"+twice+","+hdr[1:], h.payload()))
	}
	for _, typ := range []string{"dpop+jwt", "logout+jwt", "secevent+jwt", "token-introspection+jwt", "oauth-authz-req+jwt", "client-authentication+jwt", "at+jwt;x=y", " at+jwt", "at+jwt ", "application/", "application/application/at+jwt", "JWS", ""} {
		h.bad("typ "+strconv.Quote(typ), h.headed(map[string]string{"typ": strconv.Quote(typ)}))
	}
	for _, typ := range []string{`"at+jwt\u0000"`, `["at+jwt"]`, `null`, `1`, `{}`} {
		h.bad("typ "+typ, h.headed(map[string]string{"typ": typ}))
	}
	for _, typ := range []string{`"at+jwt"`, `"AT+JWT"`, `"application/at+jwt"`, `"Application/AT+JWT"`, `"JWT"`, `"jwt"`, ``} {
		h.good("typ "+typ, h.headed(map[string]string{"typ": typ}))
	}
	h.bad("a nested token", h.headed(map[string]string{"cty": `"JWT"`}))
	for _, kid := range []string{`null`, `1`, `[]`, `{}`, `true`, `""`, `"../../../../dev/null"`, `"x' UNION SELECT 'k'--"`, `"|sleep 10"`, `"*)(uid=*"`, `"{{7*7}}"`, strconv.Quote(strings.ToUpper(h.es.ID) + "x"), strconv.Quote(h.es.ID + "\u0000")} {
		h.bad("kid "+kid, h.headed(map[string]string{"kid": kid}))
		h.bad("kid "+kid+", HS256 of nothing", verifytest.Forge(fmt.Sprintf(`{"alg":"HS256","kid":%s}`, kid), h.payload(), mac(nil)))
	}
	for name, text := range map[string]string{
		"a BOM": "\ufeff" + header(h.es), "invalid UTF-8": strings.Replace(header(h.es), "{", "{\"x\":\"\xff\",", 1), "a lone surrogate": strings.Replace(header(h.es), "{", `{"x":"\ud800",`, 1),
		"trailing bytes": header(h.es) + "x", "two objects": header(h.es) + "{}", "an array": "[" + header(h.es) + "]", "nothing": "", "null": "null", "a comment": header(h.es) + "/**/",
		"UTF-16": utf16(header(h.es)), "single quotes": strings.ReplaceAll(header(h.es), `"`, `'`), "a trailing comma": strings.Replace(header(h.es), "}", ",}", 1),
		"Alg for alg": strings.Replace(header(h.es), `"alg"`, `"Alg"`, 1), "depth": strings.Replace(header(h.es), "{", `{"x":`+strings.Repeat("[", 40)+strings.Repeat("]", 40)+",", 1),
	} {
		h.bad("a header with "+name, h.es.Sign(text, h.payload()))
	}
}

func utf16(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		b.WriteByte(0)
		b.WriteByte(c)
	}
	return b.String()
}

func (h *hostileTokens) serialization() {
	good := h.signed()
	p := strings.Split(good, ".")
	h.good("the token of this group", good)
	h.bad("padding on the header", p[0]+"=."+p[1]+"."+p[2])
	h.bad("padding on the claims", p[0]+"."+p[1]+"=="+"."+p[2])
	h.bad("padding on the signature", good+"==")
	std := base64.RawStdEncoding
	text := []byte(`{"alg":"ES256","kid":"` + h.es.ID + `","x":"???>>>"}`)
	h.bad("the alphabet with + and /", std.EncodeToString(text)+"."+p[1]+"."+base64.RawURLEncoding.EncodeToString(h.es.Signature([]byte(std.EncodeToString(text)+"."+p[1]))))
	for i, name := range []string{"header", "claims", "signature"} {
		q := append([]string(nil), p...)
		if bent := trailingBits(q[i]); bent != "" {
			q[i] = bent
			h.bad("set bits behind the "+name, strings.Join(q, "."))
		}
	}
	sig := h.es.Signature([]byte(trailingBits(p[0]) + "." + p[1]))
	if trailingBits(p[0]) != "" {
		h.bad("set bits behind the header, signed like that", trailingBits(p[0])+"."+p[1]+"."+base64.RawURLEncoding.EncodeToString(sig))
	}
	for name, s := range map[string]string{
		"one segment": p[0], "two segments": p[0] + "." + p[1], "four": good + ".x", "five": good + ".x.y", "a dot in front": "." + good, "a dot behind": good + ".",
		"only dots": "..", "a detached payload": p[0] + ".." + p[2], "no header": "." + p[1] + "." + p[2], "a JWE": "eyJhbGciOiJkaXIiLCJlbmMiOiJBMTI4R0NNIn0..AAAAAAAAAAAAAAAA.AA.AAAAAAAAAAAAAAAAAAAAAA",
		"a tilde": "~" + good,
	} {
		h.bad(name, s)
	}
	var packed bytes.Buffer
	z, _ := flate.NewWriter(&packed, 9)
	z.Write(bytes.Repeat([]byte("A"), 1<<20))
	z.Close()
	h.bad("a JWE that inflates a thousandfold", "eyJhbGciOiJkaXIiLCJlbmMiOiJBMTI4R0NNIiwiemlwIjoiREVGIn0..AAAAAAAAAAAAAAAA."+base64.RawURLEncoding.EncodeToString(packed.Bytes())+".AAAAAAAAAAAAAAAAAAAAAA")
	h.bad("a token within a token", h.es.Sign(fmt.Sprintf(`{"alg":"ES256","kid":%q,"cty":"JWT"}`, h.es.ID), good))
}

// trailingBits sets a bit that the decoded bytes do not use, or returns "" if
// the segment has none.
func trailingBits(s string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	if len(s)%4 == 0 {
		return ""
	}
	last := strings.IndexByte(alphabet, s[len(s)-1])
	return s[:len(s)-1] + string(alphabet[last|1])
}

func (h *hostileTokens) claims() {
	for name, text := range map[string]string{
		"array": "[1]", "string": `"x"`, "number": "1", "null": "null", "nothing": "", "an empty object": "{}", "true": "true",
		"trailing bytes": h.payload() + " x", "two objects": h.payload() + h.payload(), "a BOM": "\ufeff" + h.payload(), "NUL": h.payload() + "\x00",
	} {
		h.bad("claims: "+name, h.es.Sign(header(h.es), text))
	}
	for _, members := range []string{
		`"exp":9999999999`, `"aud":"` + h.issuer.Audience() + `"`, `"iss":"` + h.issuer.Issuer() + `"`, `"sub":"root"`, `"scope":"admin"`, `"s\u0075b":"root"`, `"x":1,"x":1`, `"x":{"y":1,"y":1}`,
		`"x":"` + "\xff" + `"`, `"x":"\ud800"`, `"x":"\udc00\ud800"`, `"x":` + strings.Repeat("[", 100) + strings.Repeat("]", 100), `"x":01`, `"x":+1`, `"x":.5`, `"x":1.`, `"x":NaN`, `"x":'y'`, "\"x\":\"a\nb\"", `"x":"\x41"`, `"x":tru`,
	} {
		h.bad("claims with "+strconv.Quote(members), h.with(members))
	}
	h.good("claims with every kind of value", h.with(`"a":null,"b":[1,-2.5e-3,true,{"c":"\ud83d\ude00 é"}],"Exp":1,"EXP":"x","Sub":7`))
	h.good("white space", h.es.Sign(header(h.es), " \t\r\n"+h.payload()+"\n"))
	for _, c := range [][2]string{
		{"sub", ""}, {"sub", `""`}, {"sub", "1"}, {"sub", "null"}, {"sub", `["user_1"]`}, {"sub", `"` + "\xed\xa0\x80" + `"`}, {"sub", `"\ud800"`},
		{"iss", ""}, {"iss", `""`}, {"iss", "1"}, {"iss", "[" + strconv.Quote(h.issuer.Issuer()) + "]"}, {"iss", strconv.Quote(h.issuer.Issuer() + "/")}, {"iss", strconv.Quote(strings.ToUpper(h.issuer.Issuer()))},
		{"iss", strconv.Quote(strings.Replace(h.issuer.Issuer(), "http", "https", 1))}, {"iss", strconv.Quote(h.issuer.Issuer() + "\u0000")}, {"iss", strconv.Quote(strings.Replace(h.issuer.Issuer(), ".", "%2e", 1))}, {"iss", strconv.Quote(" " + h.issuer.Issuer())},
		{"scope", "1"}, {"scope", `["orders:read admin"]`}, {"scope", `["orders:read",1]`}, {"scope", `"a  b"`}, {"scope", `"a\tb"`}, {"scope", `"a\u0000"`}, {"scope", `"a\"b"`}, {"scope", `"é"`},
		{"scp", "1"}, {"scp", `[1]`}, {"scp", `["a b"]`}, {"scp", `[""]`}, {"client_id", "[]"}, {"act", `"admin"`}, {"act", `{"sub":1}`},
		{"cnf", "{}"}, {"cnf", "null"}, {"cnf", `{"jkt":"x"}`}, {"cnf", `{"x5t#S256":"x"}`}, {"cnf", `{"kid":"x"}`}, {"cnf", `"x"`},
	} {
		h.bad("claim "+c[0]+" "+c[1], h.signed(c[0], c[1]))
	}
	for _, c := range [][2]string{
		{"scope", `["orders:read"]`}, {"scope", `" a"`}, {"scope", `"a "`}, {"scope", "null"}, {"scp", "null"}, {"nbf", "null"}, {"iat", "null"}, {"client_id", "null"},
		{"jti", "1"}, {"azp", "null"}, {"azp", "[]"}, {"acr", "3"}, {"auth_time", `"now"`}, {"act", "null"}, {"nonce", "null"},
	} {
		h.good("claim "+c[0]+" "+c[1], h.signed(c[0], c[1]))
	}
	h.good("no scope, no jti, no iat", h.signed("scope", "", "jti", "", "iat", ""))
	h.good("an empty scope", h.signed("scope", `""`))
	h.good("an actor", h.signed("act", `{"sub":"admin","act":{"sub":"service"}}`))
}

func (h *hostileTokens) times() {
	at := func(seconds int64) string { return fmt.Sprint(h.now + seconds) }
	for _, v := range []string{"", "null", `"` + at(600) + `"`, "[" + at(600) + "]", "true", at(-31), at(-3600), "0", "-1", "-0", "1e300", "-1e300", "1e400", "1e19", "9223372036854775807", strings.Repeat("9", 30), at(25 * 365 * 86400), at(600) + "000", "0x7fffffff"} {
		h.bad("exp "+v, h.signed("exp", v))
	}
	for _, v := range []string{at(600), at(600) + ".5", at(600) + ".0", "2e9", "2.0E+9", at(-5)} {
		h.good("exp "+v, h.signed("exp", v))
	}
	for _, v := range []string{at(90), at(86400), `"` + at(-5) + `"`, "1e300"} {
		h.bad("nbf "+v, h.signed("nbf", v))
		h.bad("iat "+v, h.signed("iat", v))
	}
	for _, v := range []string{at(20), at(-5), at(-5) + ".25", "0", "1e9"} {
		h.good("nbf "+v, h.signed("nbf", v))
		h.good("iat "+v, h.signed("iat", v))
	}
	h.bad("Exp for exp", h.signed("exp", "", "Exp", at(600)))
	h.bad("exp past, Exp ahead", h.signed("exp", at(-600), "Exp", at(600)))
	h.bad("iss of another, Iss ours", h.signed("iss", `"https://evil.test"`, "Iss", strconv.Quote(h.issuer.Issuer())))
}

func (h *hostileTokens) audiences() {
	ours := h.issuer.Audience()
	q := strconv.Quote
	for _, v := range []string{"", "null", `""`, "[]", `[""]`, "{}", "1", "[" + q(ours) + ",1]", "[[" + q(ours) + "]]", "[" + q(ours) + ",null]", q(ours + "/"), q(strings.ToUpper(ours)), q(ours + "\u0000"), q(ours[:len(ours)-1]), q(ours + ".evil.test"), q(" " + ours), q(ours + "," + ours), `{"aud":` + q(ours) + "}", `"client_1"`, `"orders:read"`} {
		h.bad("aud "+v, h.signed("aud", v))
	}
	h.good("aud, escaped", h.signed("aud", strings.Replace(q(ours), "/", `\/`, 1)))
	h.good("aud among others", h.signed("aud", `["https://other.test",`+q(ours)+"]"))
	h.good("aud, alone in an array", h.signed("aud", "["+q(ours)+"]"))
}

// kinds are other kinds of tokens by the same issuer and key, for the same
// audience, without a typ that would give them away.
func (h *hostileTokens) kinds() {
	jwt := fmt.Sprintf(`{"alg":"ES256","kid":%q,"typ":"JWT"}`, h.es.ID)
	for _, c := range [][2]string{
		{"nonce", `"n"`}, {"at_hash", `"x"`}, {"c_hash", `"x"`}, {"s_hash", `"x"`}, {"events", `{"http://schemas.openid.net/event/backchannel-logout":{}}`},
		{"token_introspection", `{"active":true}`}, {"htm", `"GET"`}, {"htu", `"https://api.test"`}, {"token_use", `"id"`}, {"typ", `"ID"`}, {"typ", `"Refresh"`},
	} {
		h.bad("an untyped token with "+c[0]+" "+c[1], h.es.Sign(jwt, h.payload(c[0], c[1])))
	}
	h.good("token_use access", h.es.Sign(jwt, h.payload("token_use", `"access"`)))
	h.good("typ claim Bearer", h.es.Sign(jwt, h.payload("typ", `"Bearer"`)))
	h.good("a typed access token with a nonce", h.signed("nonce", `"n"`))
}
