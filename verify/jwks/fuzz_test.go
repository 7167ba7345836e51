package jwks_test

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/bearerkit/bearerkit/internal/strictjson"
	"github.com/bearerkit/bearerkit/verify"
	"github.com/bearerkit/bearerkit/verify/jwks"
)

// slowObject reads one strict JSON object the slow and obvious way: every rule
// is a step of its own on top of encoding/json. Numbers stay as they stand.
func slowObject(data []byte) (map[string]any, error) {
	switch {
	case !utf8.Valid(data):
		return nil, errors.New("not UTF-8")
	case !json.Valid(data):
		return nil, errors.New("not JSON")
	case slowLoneSurrogate(string(data)):
		return nil, errors.New("lone surrogate")
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	v, err := slowValue(d, 0)
	if err != nil {
		return nil, err
	}
	if m, ok := v.(map[string]any); ok {
		return m, nil
	}
	return nil, errors.New("not an object")
}

func slowValue(d *json.Decoder, depth int) (any, error) {
	t, err := d.Token()
	if err != nil {
		return nil, err
	}
	delim, ok := t.(json.Delim)
	if !ok {
		return t, nil
	}
	if depth++; depth > strictjson.MaxDepth {
		return nil, errors.New("too deep")
	}
	list, object := []any{}, map[string]any{}
	for d.More() {
		name := ""
		if delim == '{' {
			t, err := d.Token()
			if err != nil {
				return nil, err
			}
			name = t.(string)
			if _, twice := object[name]; twice {
				return nil, errors.New("duplicate member")
			}
		}
		v, err := slowValue(d, depth)
		if err != nil {
			return nil, err
		}
		object[name], list = v, append(list, v)
	}
	if _, err := d.Token(); err != nil {
		return nil, err
	}
	if delim == '[' {
		return list, nil
	}
	return object, nil
}

var (
	jsonEscape    = regexp.MustCompile(`\\(u[0-9A-Fa-f]{4}|.)`)
	surrogatePair = regexp.MustCompile(`^\\u[dD][89abAB][0-9A-Fa-f]{2}\\u[dD][c-fC-F][0-9A-Fa-f]{2}`)
	surrogate     = regexp.MustCompile(`^\\u[dD][89a-fA-F]`)
)

// slowLoneSurrogate looks for half a pair in a valid JSON text, where a
// backslash always starts an escape.
func slowLoneSurrogate(s string) bool {
	for {
		at := jsonEscape.FindStringIndex(s)
		if at == nil {
			return false
		}
		s = s[at[0]:]
		n := at[1] - at[0]
		if surrogate.MatchString(s) {
			if !surrogatePair.MatchString(s) {
				return true
			}
			n = 12
		}
		s = s[n:]
	}
}

// slowKey says whether a JWK may be accepted, and as what. Whether a
// certificate fits its key, and whether an RSA key has a known weakness, it
// cannot say: then sure is false.
func slowKey(v any) (k verify.Key, ok, sure bool) {
	m, isObject := v.(map[string]any)
	if !isObject {
		return k, false, true
	}
	for _, name := range []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"} {
		if _, private := m[name]; private {
			return k, false, true
		}
	}
	for _, name := range []string{"kid", "kty", "alg", "use", "crv", "x", "y", "n", "e"} {
		if x, has := m[name]; has {
			if _, isText := x.(string); !isText {
				return k, false, true
			}
		}
	}
	text := func(name string) string { s, _ := m[name].(string); return s }
	sure = true
	if _, has := m["x5c"]; has {
		sure = false
	}
	if x, has := m["key_ops"]; has {
		list, isList := x.([]any)
		if !isList || !slices.Contains(list, any("verify")) || slices.ContainsFunc(list, func(x any) bool { _, isText := x.(string); return !isText }) {
			return k, false, true
		}
	}
	if _, has := m["use"]; has && text("use") != "sig" {
		return k, false, true
	}
	k.ID, k.Algorithm = text("kid"), text("alg")
	if len(k.ID) > 1024 {
		return k, false, true
	}
	octets := func(name string) []byte {
		b, err := base64.RawURLEncoding.DecodeString(text(name))
		if err != nil || b64(b) != text(name) {
			return nil
		}
		return b
	}
	var fit []string
	switch text("kty") + " " + text("crv") {
	case "EC P-256", "EC P-384", "EC P-521":
		c := map[string]struct {
			curve ecdh.Curve
			size  int
			alg   string
		}{"P-256": {ecdh.P256(), 32, "ES256"}, "P-384": {ecdh.P384(), 48, "ES384"}, "P-521": {ecdh.P521(), 66, "ES512"}}[text("crv")]
		x, y := octets("x"), octets("y")
		if len(x) != c.size || len(y) != c.size {
			return k, false, true
		}
		if _, err := c.curve.NewPublicKey(slices.Concat([]byte{4}, x, y)); err != nil {
			return k, false, true
		}
		fit = []string{c.alg}
		k.Public = [2]string{new(big.Int).SetBytes(x).String(), new(big.Int).SetBytes(y).String()}
	case "OKP Ed25519":
		x := octets("x")
		if len(x) != 32 {
			return k, false, true
		}
		fit = []string{"EdDSA", "Ed25519"}
		k.Public = string(x)
	default:
		if text("kty") != "RSA" {
			return k, false, true
		}
		n, e := new(big.Int).SetBytes(octets("n")), new(big.Int).SetBytes(octets("e"))
		if n.BitLen() < 2048 || n.BitLen() > 8192 || n.Bit(0) == 0 || e.BitLen() > 31 || e.Bit(0) == 0 || e.Int64() < 3 {
			return k, false, true
		}
		fit = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}
		sure = false
		k.Public = [2]string{n.String(), e.String()}
	}
	if _, has := m["alg"]; has && !slices.Contains(fit, k.Algorithm) {
		return k, false, true
	}
	return k, true, sure
}

// doubtful are the reasons that slowKey cannot check.
var doubtful = regexp.MustCompile("ROCA|x5c")

// slowPublic writes a key that was accepted in the way of slowKey.
func slowPublic(p any) any {
	switch p := p.(type) {
	case *rsa.PublicKey:
		return [2]string{p.N.String(), strconv.Itoa(p.E)}
	case *ecdsa.PublicKey:
		return [2]string{p.X.String(), p.Y.String()}
	case ed25519.PublicKey:
		return string(p)
	}
	return nil
}

// encodeKeys writes keys as a JWK Set again.
func encodeKeys(keys []verify.Key) []byte {
	list := []any{}
	for _, k := range keys {
		m := map[string]any{}
		if k.ID != "" {
			m["kid"] = k.ID
		}
		if k.Algorithm != "" {
			m["alg"] = k.Algorithm
		}
		switch p := k.Public.(type) {
		case *rsa.PublicKey:
			m["kty"], m["n"], m["e"] = "RSA", b64(p.N.Bytes()), b64(big.NewInt(int64(p.E)).Bytes())
		case *ecdsa.PublicKey:
			point := must(p.Bytes())
			half := len(point) / 2
			m["kty"], m["crv"], m["x"], m["y"] = "EC", p.Curve.Params().Name, b64(point[1:half+1]), b64(point[half+1:])
		case ed25519.PublicKey:
			m["kty"], m["crv"], m["x"] = "OKP", "Ed25519", b64(p)
		}
		list = append(list, m)
	}
	return []byte(documentOf(list))
}

// A document of more than this is refused before it is parsed.
const fuzzMaxBody = 1 << 20

// FuzzParse: any bytes as a key set document.
//
//   - Nothing panics, and no error holds a byte of the document.
//   - A document is accepted if and only if it is one strict JSON object with an
//     array of at most 1,000 keys, by a slow reference on top of encoding/json.
//   - Every element is either returned or named as skipped; one that is
//     returned is the key that the reference reads there, and one that is
//     skipped is one that the reference would skip.
//   - Every key that is returned gets into a set, but for those that contradict
//     each other, which are named. Encoded as JWKs and parsed again, the keys
//     make an equal set.
//   - No element changes what another is taken for.
func FuzzParse(f *testing.F) {
	for _, text := range noKeySets {
		f.Add([]byte(text))
	}
	ec, ed, rs := newKey("ec"), edJWK("ed"), rsaJWK("rs")
	// Bits that the decoded bytes do not use, where they are zeros otherwise.
	bent := b64(make([]byte, 31)) + "B"
	big512 := with(rs, "n", numberOf(512))
	for _, list := range [][]any{
		{}, {nil}, {1, "x", []any{}, jwk{}, true}, {ec}, {ed}, {rs}, {ec, ed, rs}, {ec, ec}, {ec, newKey("ec")}, {ec, with(ec, "alg", "ES256")}, {newKey("a"), newKey("b"), newKey("c")},
		{with(ec, "alg", "ES256", "use", "sig", "key_ops", []string{"verify"})}, {with(ec, "alg", "ES384")}, {with(ec, "kid", nil)}, {with(ec, "kid", "")}, {with(ec, "kid", "\U0001F600\u0000\u2028")},
		{with(ec, "use", "enc")}, {with(ec, "key_ops", []any{"verify", 1})}, {with(ec, "d", "AA")}, {with(ec, "y", ec["x"])}, {with(ec, "x", ec["x"].(string)+"=")}, {with(ec, "crv", "P-521")},
		{with(ed, "alg", "Ed25519")}, {with(ed, "alg", "EdDSA")}, {with(ed, "crv", "X25519")}, {with(ed, "x5c", []string{certificate(testEd25519)})}, {with(ed, "x5c", []string{certificate(testRSA)})}, {with(ed, "x", b64(make([]byte, 32)))}, {with(ed, "x", bent)}, {with(rs, "n", rs["n"].(string)[:341]+"B")},
		{with(rs, "alg", "PS256")}, {with(rs, "alg", "HS256")}, {with(rs, "e", "AQ")}, {with(rs, "e", "AAAAAQAB")}, {with(rs, "n", "AAAA"+rs["n"].(string))}, {with(rs, "x5c", []string{certificate(testRSA)})}, {with(rs, "x5c", []string{""})}, {with(rs, "x5c", nil)}, {with(rs, "x5c", []any{certificate(testRSA), 1})}, {with(ed, "x5c", certificate(testRSA))}, {with(ed, "x5c", []string{asPEM(certificate(testRSA))})}, {big512},
		{with(rs, "n", numberOf(8193))}, {with(rs, "n", b64(roca().Bytes()))}, {jwk{"kty": "oct", "k": "AA"}}, {with(ec, "x5u", "http://127.0.0.1/"), with(ec, "kid", strings.Repeat("k", 1025))},
	} {
		f.Add([]byte(documentOf(list)))
	}
	good := document(ec)
	for _, text := range []string{
		strings.Replace(good, `"keys"`, `"\u006beys"`, 1), strings.Replace(good, `"kty"`, `"\u006b\u0074y"`, 1), strings.Replace(good, `"kid"`, `"kty":"RSA","kid"`, 1), strings.Replace(good, `"kid"`, `"k\u0069d":"x","kid"`, 1),
		" \t\r\n" + good + "\n", strings.Replace(good, "{", `{"x":1e999,`, 1), strings.Replace(good, "{", `{"x":`+strings.Repeat("[", 31)+strings.Repeat("]", 31)+",", 1), strings.Replace(good, "{", `{"x":`+strings.Repeat("[", 32)+strings.Repeat("]", 32)+",", 1),
		strings.Replace(good, "{", `{"x":"\ud83d\ude00",`, 1), strings.Replace(good, "{", `{"x":"\ude00\ud83d",`, 1), strings.Replace(good, "{", `{"x":01,`, 1), strings.Replace(good, "}", ",}", 1), good + "\x00",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > fuzzMaxBody {
			return
		}
		keys, skipped, err := jwks.Parse(data)
		doc, invalid := slowObject(data)
		list, isList := doc["keys"].([]any)
		if invalid != nil || !isList || len(list) > 1000 {
			if err == nil || keys != nil || skipped != nil {
				t.Fatalf("accepted %q (%v)", data, invalid)
			}
			switch strings.TrimPrefix(err.Error(), "jwks: ") {
			case "not a key set: not one strict JSON object", `not a key set: no "keys" member`, `not a key set: "keys" is not an array`, "key set has more than 1000 keys":
			default:
				t.Fatalf("error %q", err)
			}
			return
		}
		if err != nil {
			t.Fatalf("refused %q: %v", data, err)
		}
		if len(keys)+len(skipped) != len(list) {
			t.Fatalf("%d keys and %d skipped of %d: %q", len(keys), len(skipped), len(list), data)
		}
		k, s := 0, 0
		for _, e := range list {
			want, ok, sure := slowKey(e)
			taken := ok
			if ok && !sure {
				alone, why, err := jwks.Parse([]byte(documentOf([]any{e})))
				if taken = len(alone) == 1; err != nil || !taken && !doubtful.MatchString(why[0].Reason) {
					t.Fatalf("alone, %v is skipped: %v (%v)", e, why, err)
				}
			}
			if !taken {
				if s++; s > len(skipped) || skipped[s-1].Reason == "" {
					t.Fatalf("not skipped: %v of %q", e, data)
				}
				continue
			}
			if k++; !ok || k > len(keys) || keys[k-1].ID != want.ID || keys[k-1].Algorithm != want.Algorithm || slowPublic(keys[k-1].Public) != want.Public {
				t.Fatalf("want %v for %v, of %q: %v, %v", want, e, data, keys, skipped)
			}
		}
		set, contradicting := verify.NewKeySet(keys)
		for _, c := range contradicting {
			if c.Reason != "another key has the same kid and algorithm" {
				t.Fatalf("Parse returns a key that no set takes: %v", c)
			}
		}
		if set.Len()+len(contradicting) > len(keys) {
			t.Fatalf("%d keys in the set of %d", set.Len(), len(keys))
		}
		again, none, err := jwks.Parse(encodeKeys(keys))
		if err != nil || len(none) > 0 || len(again) != len(keys) {
			t.Fatalf("encoded again: %v, %v, %v", again, none, err)
		}
		if other, _ := verify.NewKeySet(again); !set.Equal(other) || !other.Equal(set) {
			t.Fatalf("encoded again, %q is another set: %q", data, encodeKeys(keys))
		}
		if len(list) > 8 {
			return
		}
		n := 0
		for _, e := range list {
			alone, _, err := jwks.Parse([]byte(documentOf([]any{e})))
			if err != nil {
				t.Fatalf("alone, %v is an error: %v", e, err)
			}
			n += len(alone)
		}
		if n != len(keys) {
			t.Fatalf("%d keys of %q, %d alone", len(keys), data, n)
		}
	})
}

// slowJWKSURI reads a metadata document by the reference, and takes its
// jwks_uri apart by RFC 3986 appendix B: it returns "" unless keys may be
// fetched from there.
func slowJWKSURI(data []byte, issuer string) string {
	doc, err := slowObject(data)
	uri, isText := doc["jwks_uri"].(string)
	if err != nil || doc["issuer"] != any(issuer) || !isText {
		return ""
	}
	m := regexp.MustCompile(`(?s)^([^:/?#]+)://([^/?#]*)([^?#]*)(\?[^#]*)?$`).FindStringSubmatch(uri)
	if m == nil || strings.Contains(m[2], "@") {
		return "" // no URL, or one with a fragment or user information
	}
	loopback := regexp.MustCompile(`(?i)^(localhost|127\.\d{1,3}\.\d{1,3}\.\d{1,3}|\[::1\]|\[[0:]+:0*1\]|\[(::|[0:]+:)ffff:(127\.[0-9.]+|7f[0-9a-f]{2}:[0-9a-f]{1,4})\])(:\d*)?$`)
	switch strings.ToLower(m[1]) {
	case "https":
		return uri
	case "http":
		if strings.HasPrefix(issuer, "http://127.0.0.1") && loopback.MatchString(m[2]) {
			return uri
		}
	}
	return ""
}

// metadataIssuer answers with one document as openid-configuration, with one
// key set everywhere else, and remembers who asked for what.
type metadataIssuer struct {
	wellKnown []string
	document  []byte
	keys      string

	mu    sync.Mutex
	asked []*http.Request
}

func (m *metadataIssuer) RoundTrip(r *http.Request) (*http.Response, error) {
	m.mu.Lock()
	m.asked = append(m.asked, r)
	m.mu.Unlock()
	code, body := http.StatusOK, m.keys
	switch r.URL.String() {
	case m.wellKnown[0]:
		body = string(m.document)
	case m.wellKnown[1]:
		code, body = http.StatusNotFound, ""
	}
	return &http.Response{StatusCode: code, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)), ContentLength: -1, Request: r}, nil
}

// FuzzMetadata: any bytes as the answer to a request for openid-configuration,
// of an issuer with https and of one on loopback, through a whole source.
//
//   - Nothing panics, and the first attempt ends.
//   - Keys are fetched from the jwks_uri that a slow reference reads there and
//     from nowhere else: an https URL, or an http one on loopback if the issuer
//     is, without user information or fragment.
//   - Nothing is fetched, and no key is ready, if the document is not one
//     strict JSON object or names another issuer.
//   - No request carries credentials or a body.
func FuzzMetadata(f *testing.F) {
	issuers := []string{issuerURL, "http://127.0.0.1:8080"}
	for i, issuer := range issuers {
		loopback := i == 1
		add := func(text string) { f.Add([]byte(text), loopback) }
		meta := func(uri string) string { return `{"issuer":"` + issuer + `","jwks_uri":` + uri + `}` }
		for _, uri := range []string{
			`"https://keys.example/set"`, `"https://keys.example/set?a=b"`, `"https://keys.example"`, `"HTTPS://KEYS.example/%7e"`, `"https:\/\/keys.example\/set"`, `"\u0068ttps://keys.example/set"`, `"https://[::1]:8443/x"`,
			`"http://keys.example/set"`, `"http://localhost:1/x"`, `"http://LOCALHOST/x"`, `"http://127.0.0.1/x"`, `"http://127.1/x"`, `"http://[::1]/x"`, `"http://[::ffff:127.0.0.1]/x"`, `"http://127.0.0.1.evil.example/"`, `"http://localhost.evil.example/"`, `"http://evil.example@127.0.0.1/"`,
			`"https://u@keys.example/"`, `"https://u:p@keys.example/"`, `"https://@keys.example/"`, `"https://keys.example/#"`, `"https://keys.example/#x"`, `"https://keys.example/%23"`, `"https://keys.example/@"`, `"https://keys.example?@"`, `"https://keys.example\\@evil.example/"`,
			`"file:///etc/passwd"`, `"ftp://keys.example/"`, `"https:keys.example"`, `"https:///set"`, `"//keys.example/set"`, `"/set"`, `""`, `" https://keys.example/"`, `"https://keys.example/ "`, `"https://keys.example/\u0000"`, `"https://keys.example/\r\nHost: x"`, `"https://keys example/"`, `"https://:443/"`, `"https://keys.example:99999/"`, `"https://keys.example:/"`, `"https://k\u00e9ys.example/"`, `"https://[fe80::1%25eth0]/"`,
			`null`, `1`, `["https://keys.example/set"]`, `{"a":1}`, `"https://keys.example/` + strings.Repeat("a", 2048) + `"`, `"` + issuer + `/.well-known/openid-configuration"`, `"` + issuer + `/.well-known/oauth-authorization-server"`,
		} {
			add(meta(uri))
		}
		good := meta(`"https://keys.example/set"`)
		for _, text := range []string{
			"", "null", "[]", "{}", "\ufeff" + good, good + "x", good + good, good[:len(good)-1], "\n" + good + "\n", "<html>", strings.Replace(good, "issuer\"", "Issuer\"", 1), strings.Replace(good, "jwks_uri", "JWKS_URI", 1),
			strings.Replace(good, `"issuer"`, `"issuer":"https://evil.example","issuer"`, 1), strings.Replace(good, `"issuer"`, `"i\u0073suer":"https://evil.example","issuer"`, 1), strings.Replace(good, `"issuer"`, `"\u0069ssuer"`, 1),
			strings.Replace(good, issuer, issuer+"/", 1), strings.Replace(good, issuer, strings.ToUpper(issuer), 1), strings.Replace(good, issuer, issuer+`\u0000`, 1), strings.Replace(good, issuer, "https://evil.example", 1), strings.Replace(good, `"`+issuer+`"`, `["`+issuer+`"]`, 1),
			`{"jwks_uri":"https://keys.example/set"}`, `{"issuer":"` + issuer + `"}`, strings.Replace(good, "{", `{"x":"\ud800",`, 1), strings.Replace(good, "{", `{"x":1e999,`, 1), strings.Replace(good, "{", `{"x":`+strings.Repeat("[", 40)+strings.Repeat("]", 40)+",", 1), strings.Replace(good, "{", `{"jwks_uri":"https://evil.example/",`, 1), strings.Replace(good, "{", "{\"x\":\"\xff\",", 1),
		} {
			add(text)
		}
	}
	keys := document(edJWK("k"))
	f.Fuzz(func(t *testing.T, data []byte, loopback bool) {
		if len(data) > fuzzMaxBody {
			return
		}
		issuer := issuers[0]
		if loopback {
			issuer = issuers[1]
		}
		want := slowJWKSURI(data, issuer)
		uri, err := jwks.ParseMetadata(data, issuer, false)
		if (err == nil) != (uri != "") || uri != "" && uri != want {
			t.Fatalf("%q: %q (%v), want %q", data, uri, err, want)
		}
		transport := &metadataIssuer{wellKnown: jwks.WellKnown(issuer), document: data, keys: keys}
		s := jwks.New(jwks.Config{Issuer: issuer, Client: &http.Client{Transport: transport}, Logger: quiet()})
		if err := s.Bind(issuer); err != nil {
			t.Fatal(err)
		}
		_, _ = s.KeySet()
		for healthOf(s).State == verify.StateStarting {
			time.Sleep(10 * time.Microsecond) // the refresher is at it
		}
		set, notReady := s.KeySet()
		_ = s.Close()
		if (notReady == nil) != (set != nil) || notReady == nil && uri == "" {
			t.Fatalf("%q: ready with %v (%v), of %q", data, set, notReady, uri)
		}
		transport.mu.Lock()
		defer transport.mu.Unlock()
		fetched := false
		for _, r := range transport.asked {
			if r.Method != http.MethodGet || r.Body != nil || r.Header["Authorization"] != nil || r.Header["Cookie"] != nil || r.URL.User != nil || r.URL.Fragment != "" {
				t.Fatalf("%q: request %v", data, r)
			}
			if slices.Contains(transport.wellKnown, r.URL.String()) {
				continue
			}
			fetched = true
			if uri == "" || !strings.EqualFold(host(uri), r.URL.Host) || r.URL.Scheme != strings.ToLower(uri[:len(r.URL.Scheme)]) {
				t.Fatalf("%q: asked %v for keys, not %q", data, r.URL, uri)
			}
		}
		if fetched && notReady != nil {
			t.Fatalf("%q: keys were fetched from %q, and yet: %v", data, uri, notReady)
		}
		if uri != "" && !fetched && !slices.Contains(transport.wellKnown, uri) {
			t.Fatalf("%q: %q was accepted and never asked: %v", data, uri, notReady)
		}
	})
}

// host is what lies between the slashes of a URL, decoded where its writer
// has written it in percent, and without the colon of a port that is not there.
func host(uri string) string {
	_, rest, _ := strings.Cut(uri, "//")
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		rest = rest[:i]
	}
	rest = strings.TrimSuffix(rest, ":")
	return percent.ReplaceAllStringFunc(rest, func(s string) string {
		return string([]byte{byte(must(strconv.ParseUint(s[1:], 16, 8)))})
	})
}

var percent = regexp.MustCompile(`%[0-9A-Fa-f]{2}`)

// FuzzCacheHeaders: any headers about how long an answer lives and when the
// issuer may be asked again, at any time of this century.
//
//   - Nothing panics. The lifetime is at least a second and at most an hour, and
//     the wait is not negative.
//   - An answer that says nothing is taken to live for five minutes.
//   - A lifetime that only one plain max-age gives is that one, within the
//     bounds; beside others it is never longer than that.
//   - no-store and no-cache win over everything.
func FuzzCacheHeaders(f *testing.F) {
	now := time.Unix(1_900_000_000, 0).UTC()
	stamp := func(d time.Duration) string { return now.Add(d).Format(http.TimeFormat) }
	add := func(control, expires, age, date, retry string) {
		f.Add(control, expires, age, date, retry, now.Unix(), uint32(0))
	}
	for _, control := range []string{
		"", "max-age=1", "max-age=0", "max-age=300", "max-age=86400", "max-age=2147483647", "max-age=2147483648", "max-age=99999999999999999999", "max-age=-1", "max-age=+1", "max-age=1.5", "max-age=1e3", "max-age=", "max-age", "max-age=0x10",
		`max-age="60"`, `max-age="60`, `max-age="`, `max-age=""`, "max-age = 60", "MAX-AGE=60", "max-age=60, max-age=30", "max-age=60, max-age=x", "public, max-age=60, must-revalidate", "s-maxage=60", "no-store", "no-cache", `no-cache="set-cookie"`, "max-age=60, no-store", "max-age=60\nno-store", "private,,max-age=60,", "max-age=6\u0660", "max-age=60;no-store", "\x00", "max-age=60\nmax-age=61",
	} {
		add(control, "", "", "", "")
		add(control, "", "30", "", "")
		add(control, stamp(time.Minute), "", stamp(0), "5")
	}
	for _, expires := range []string{"0", "-1", "never", stamp(0), stamp(time.Second), stamp(-time.Hour), stamp(time.Hour), stamp(240 * time.Hour), "Thu, 01 Jan 1970 00:00:00 GMT", "Fri, 31 Dec 9999 23:59:59 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994", "Mon, 01 Jan 0001 00:00:00 GMT"} {
		for _, date := range []string{"", stamp(0), stamp(time.Hour), "Mon, 01 Jan 0001 00:00:00 GMT", "Fri, 31 Dec 9999 23:59:59 GMT", "x"} {
			add("", expires, "", date, expires)
			add("", expires, "10", date, expires)
		}
	}
	for _, text := range []string{"0", "1", "120", "-5", "1.5", "99999999999999999999", " 7 ", "", "x", "1, 2"} {
		add("max-age=60", "", text, "", text)
	}
	plain := regexp.MustCompile(`^max-age=([0-9]{1,9})$`)
	mentioned := regexp.MustCompile(`(?:^|[,\n])max-age=([0-9]{1,9})(?:$|[,\n])`)
	f.Fuzz(func(t *testing.T, control, expires, age, date, retry string, seconds int64, nanoseconds uint32) {
		const year2000, year2100 = 946684800, 4102444800
		if seconds < year2000 || seconds >= year2100 {
			return
		}
		now := time.Unix(seconds, int64(nanoseconds%1e9))
		h := http.Header{}
		for name, value := range map[string]string{"Expires": expires, "Age": age, "Date": date, "Retry-After": retry} {
			if value != "" {
				h[name] = []string{value}
			}
		}
		if control != "" {
			h["Cache-Control"] = strings.Split(control, "\n")
		}
		d, said := jwks.Lifetime(h, now)
		if d < time.Second || d > time.Hour {
			t.Errorf("lifetime %v of %q at %v", d, h, now)
		}
		if control == "" && expires == "" && (said || d != 5*time.Minute) {
			t.Errorf("lifetime %v (%t) of %q", d, said, h)
		}
		lower := strings.ToLower(control)
		for _, part := range strings.FieldsFunc(lower, func(r rune) bool { return r == ',' || r == '\n' }) {
			name, _, _ := strings.Cut(part, "=")
			if name = strings.TrimSpace(name); name == "no-store" || name == "no-cache" {
				if d != 5*time.Minute || !said {
					t.Errorf("lifetime %v of %q", d, h)
				}
				return
			}
		}
		if m := mentioned.FindStringSubmatch(lower); m != nil && m[1] != "" {
			limit := time.Duration(must(strconv.ParseInt(m[1], 10, 64))) * time.Second
			if limit == 0 {
				limit = 5 * time.Minute
			}
			// A value that is not a number counts as 0.
			if strings.Count(lower, "max-age") == 1 && d > max(limit, time.Second) {
				t.Errorf("lifetime %v of %q", d, h)
			}
		}
		if m := plain.FindStringSubmatch(control); m != nil && age == "" {
			want := min(time.Duration(must(strconv.ParseInt(m[1], 10, 64)))*time.Second, time.Hour)
			if want == 0 {
				want = 5 * time.Minute
			}
			if d != want || !said {
				t.Errorf("lifetime %v of %q, want %v", d, h, want)
			}
		}
		if wait := jwks.RetryAfter(h, now); wait < 0 || retry == "" && wait != 0 {
			t.Errorf("wait %v of %q", wait, h)
		}
	})
}

// unreachable is an issuer that cannot be reached.
type unreachable struct{}

func (unreachable) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, errors.New("unreachable")
}

// FuzzSnapshot: any bytes as the snapshot file that a source starts with, while
// its issuer cannot be reached.
//
//   - Nothing panics.
//   - The file is used if and only if, by a slow reference, it is one strict
//     JSON object that names this issuer and a time which is not too long ago
//     and not ahead, and a key set with a key that can be used.
//   - The keys are then those that Parse finds in it, and the time of their
//     confirmation is the one in the file.
func FuzzSnapshot(f *testing.F) {
	// Old inputs stay what they are, whenever they are tried.
	const maxStale = 100 * 365 * 24 * time.Hour
	ec, ed := newKey("ec"), edJWK("ed")
	snapshot := func(issuer, stamp, keys string) string {
		return `{"issuer":` + issuer + `,"time":` + stamp + `,"keys":` + keys + "}\n"
	}
	const at = `"2026-01-02T03:04:05.678Z"`
	list := jsonText([]any{ec, ed})
	good := snapshot(`"`+issuerURL+`"`, at, list)
	for _, text := range []string{
		good, "", "{}", "null", "\ufeff" + good, good + "x", good + good, good[:len(good)/2], strings.Replace(good, "{", `{"issuer":"https://evil.example",`, 1), strings.Replace(good, "{", `{"\u0074ime":1,`, 1), strings.Replace(good, "{", `{"x":"\ud800",`, 1), strings.Replace(good, "{", "{\"x\":\"\xff\",", 1),
		snapshot(`"https://evil.example"`, at, list), snapshot(`"https:\/\/issuer.example"`, at, list), snapshot(`["`+issuerURL+`"]`, at, list), snapshot("null", at, list), snapshot(`""`, at, list), strings.Replace(good, "issuer", "Issuer", 1),
		snapshot(`"`+issuerURL+`"`, at, "[]"), snapshot(`"`+issuerURL+`"`, at, "null"), snapshot(`"`+issuerURL+`"`, at, "[null]"), snapshot(`"`+issuerURL+`"`, at, jsonText([]any{with(ec, "use", "enc"), ed})), snapshot(`"`+issuerURL+`"`, at, jsonText([]any{with(ec, "d", "AA")})), snapshot(`"`+issuerURL+`"`, at, jsonText([]any{ec, newKey("ec")})),
	} {
		f.Add([]byte(text))
	}
	for _, stamp := range []string{
		`"2026-01-02T03:04:05Z"`, `"2026-01-02T03:04:05+14:00"`, `"2026-01-02T03:04:05.999999999-23:59"`, `"1926-01-01T00:00:00Z"`, `"1800-01-01T00:00:00Z"`, `"0001-01-01T00:00:00Z"`, `"0000-01-01T00:00:00Z"`, `"9999-12-31T23:59:59Z"`, `"2999-01-01T00:00:00Z"`, `"10000-01-01T00:00:00Z"`,
		`"2026-02-30T00:00:00Z"`, `"2026-01-02T24:00:00Z"`, `"2026-01-02 03:04:05Z"`, `"2026-01-02t03:04:05z"`, `"2026-01-02T03:04:05"`, `"2026-01-02T03:04:05,5Z"`, `"2026-01-02T03:04:05+24:00"`, `"2026-01-02T3:04:05Z"`, `""`, `1767323045`, "null", `["2026-01-02T03:04:05Z"]`, `"\u0032026-01-02T03:04:05Z"`,
	} {
		f.Add([]byte(snapshot(`"`+issuerURL+`"`, stamp, list)))
	}
	dir := f.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		f.Fatal(err)
	}
	path := filepath.Join(dir, "snapshot")
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > fuzzMaxBody {
			return
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		s := jwks.New(jwks.Config{URL: keysURL, Snapshot: path, MaxStale: maxStale, Client: &http.Client{Transport: unreachable{}}, Logger: quiet()})
		if err := s.Bind(issuerURL); err != nil {
			t.Fatal(err)
		}
		before := time.Now()
		set, err := s.KeySet()
		h := healthOf(s)
		after := time.Now()
		_ = s.Close()

		doc, invalid := slowObject(data)
		stamp, _ := doc["time"].(string)
		at, badTime := time.Parse(time.RFC3339, stamp)
		keys, _, noSet := jwks.Parse(data)
		want, _ := verify.NewKeySet(keys)
		sound := invalid == nil && doc["issuer"] == any(issuerURL) && badTime == nil && noSet == nil && want.Len() > 0
		inTime := at.After(before.Add(-maxStale)) && !at.After(after.Add(time.Minute))
		if err != nil {
			if set != nil || h.Ready || sound && at.After(after.Add(-maxStale)) && !at.After(before.Add(time.Minute)) {
				t.Fatalf("not used: %q (%v)", data, h.Snapshot)
			}
			return
		}
		if !sound || !inTime {
			t.Fatalf("used: %q", data)
		}
		if at.After(after) {
			at = h.Confirmed // a clock that was set back a little: now, then
		}
		if !h.Ready || !h.FromSnapshot || h.Issuer != issuerURL || !h.Confirmed.Equal(at) || h.Confirmed.After(after) || !set.Equal(want) {
			t.Fatalf("%q as %v, confirmed at %v", data, set.IDs(), h.Confirmed)
		}
	})
}
