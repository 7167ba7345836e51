package mtls_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/bearerkit/bearerkit/verify"
	"github.com/bearerkit/bearerkit/verify/mtls"
)

// The certificate of RFC 8705 appendix A. It has expired, and its base64 has "+"
// and "/".
const (
	rfc8705 = "MIIBBjCBrAIBAjAKBggqhkjOPQQDAjAPMQ0wCwYDVQQDDARtdGxzMB4XDTE4MTAxODEyMzcwOVoXDTIyMDUwMjEyMzcwOVowDzENMAsGA1UEAwwEbXRsczBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABNcnyxwqV6hY8QnhxxzFQ03C7HKW9OylMbnQZjjJ/Au08/coZwxS7LfA4vOLS9WuneIXhbGGWvsDSb0tH6IxLm8wCgYIKoZIzj0EAwIDSQAwRgIhAP0RC1E+vwJD/D1AGHGzuri+hlV/PpQEKTWUVeORWz83AiEA5x2eXZOVbUlJSGQgjwD5vaUaKlLR50Q2DmFfQj1L+SY="
	x5t     = "A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0"
	hash    = "0380ed2f626650c840b2f263e6d2b29fae12ab39ae5db32b25ad27efad72e6fd"
)

func der() []byte {
	b, err := base64.StdEncoding.DecodeString(rfc8705)
	if err != nil {
		panic(err)
	}
	return b
}

func pemOf(der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// escape does as nginx: all but letters and digits.
func escape(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }

// like AWS does it: "+", "=" and "/" stay.
func escapeLess(s string) string {
	return strings.NewReplacer("%2B", "+", "%3D", "=", "%2F", "/").Replace(escape(s))
}

// newCert makes a certificate, signed by parent with its key, or by itself.
func newCert(t testing.TB, name string, parent *x509.Certificate, parentKey *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}, DNSNames: []string{"localhost"},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	if parent == nil {
		parent, parentKey = template, key
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, parentKey)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(raw)
	if err != nil {
		t.Fatal(err)
	}
	return c, key
}

func TestThumbprint(t *testing.T) {
	p := mtls.Thumbprint(sha256.Sum256(der()))
	if p.String() != x5t || hex.EncodeToString(p[:]) != hash {
		t.Errorf("%s, %x", p, p[:])
	}
	if !p.Matches(x5t) {
		t.Error("it does not match itself")
	}
	for _, other := range []string{
		"", hash, strings.ToUpper(hash), x5t + "=", " " + x5t, x5t + "\n", x5t[:42], x5t[:42] + "1", strings.ToLower(x5t), // the last but one has other last bits
		base64.StdEncoding.EncodeToString(p[:]), base64.RawURLEncoding.EncodeToString(p[:20]),
	} {
		if p.Matches(other) {
			t.Errorf("it matches %q", other)
		}
	}
}

func TestTLS(t *testing.T) {
	cert, key := newCert(t, "client", nil, nil)
	var got mtls.Thumbprint
	var gotErr error
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Set("Client-Cert", ":"+rfc8705+":") // which is not asked
		got, gotErr = mtls.TLS().Thumbprint(r)
	}))
	server.EnableHTTP2 = true
	server.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	server.StartTLS()
	defer server.Close()
	call := func(certs ...tls.Certificate) {
		t.Helper()
		transport := server.Client().Transport.(*http.Transport).Clone()
		transport.TLSClientConfig.Certificates = certs
		defer transport.CloseIdleConnections()
		res, err := (&http.Client{Transport: transport}).Get(server.URL)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
	}
	call(tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key}) // signed by nobody known: the hash counts
	if gotErr != nil || got != sha256.Sum256(cert.Raw) {
		t.Errorf("%v, %v", got, gotErr)
	}
	call()
	if gotErr != mtls.ErrNone {
		t.Errorf("without a certificate: %v, %v", got, gotErr)
	}
	if _, err := mtls.TLS().Thumbprint(httptest.NewRequest("GET", "/", nil)); err != mtls.ErrNone {
		t.Errorf("without TLS: %v", err)
	}
	if err := mtls.TLS().Validate(); err != nil {
		t.Error(err)
	}
}

func TestFields(t *testing.T) {
	any := mtls.InsecureAnyPeer()
	clientCert, envoy, nginx := mtls.ClientCert(any), mtls.Envoy(any), mtls.EscapedPEM("X-SSL-Client-Cert", any)
	traefik, haproxy := mtls.Traefik(any), mtls.Base64DER("X-Client-Der", any)
	escaped := escape(pemOf(der()))
	other := base64.StdEncoding.EncodeToString([]byte("another certificate"))
	large := base64.StdEncoding.EncodeToString(make([]byte, 8<<10+1))
	largest := base64.StdEncoding.EncodeToString(make([]byte, 8<<10))
	const otherHash = "bfaf1f7e070f9fa8dd62905f158da73f84a1136624fbafcc9393c8f7287a69eb"
	none := mtls.Absence("")
	for _, c := range []struct {
		name   string
		source mtls.Source
		value  string
		want   mtls.Absence // empty: the certificate of RFC 8705
	}{
		{"Client-Cert", clientCert, ":" + rfc8705 + ":", none},
		{"Client-Cert without colons", clientCert, rfc8705, mtls.ErrMalformed},
		{"Client-Cert with one colon", clientCert, ":" + rfc8705, mtls.ErrMalformed},
		{"Client-Cert of one colon", clientCert, ":", mtls.ErrMalformed},
		{"Client-Cert empty", clientCert, "::", mtls.ErrMalformed},
		{"Client-Cert with a parameter", clientCert, ":" + rfc8705 + ":;a=1", mtls.ErrMalformed},
		{"Client-Cert as a list", clientCert, ":" + rfc8705 + ":, :" + rfc8705 + ":", mtls.ErrMalformed},
		{"Client-Cert without padding", clientCert, ":" + strings.TrimRight(rfc8705, "=") + ":", mtls.ErrMalformed},
		{"Client-Cert in base64url", clientCert, ":" + strings.NewReplacer("+", "-", "/", "_").Replace(rfc8705) + ":", mtls.ErrMalformed},
		{"Client-Cert with blanks for plus signs", clientCert, ":" + strings.ReplaceAll(rfc8705, "+", " ") + ":", mtls.ErrMalformed},
		{"Client-Cert with a blank inside", clientCert, ": " + rfc8705 + ":", mtls.ErrMalformed},
		{"Client-Cert with a line end inside", clientCert, ":" + rfc8705[:64] + "\n" + rfc8705[64:] + ":", mtls.ErrMalformed},
		{"Client-Cert with its last bits set", clientCert, ":" + strings.TrimSuffix(rfc8705, "Y=") + "Z=:", mtls.ErrMalformed},
		{"Client-Cert as a string", clientCert, `"` + rfc8705 + `"`, mtls.ErrMalformed},
		{"Client-Cert as PEM", clientCert, escaped, mtls.ErrMalformed},
		{"Client-Cert too large", clientCert, ":" + large + ":", mtls.ErrTooLarge},
		{"Client-Cert far too large", clientCert, ":" + strings.Repeat("A", 1<<20) + ":", mtls.ErrTooLarge},

		{"Envoy hash", envoy, "Hash=" + hash, none},
		{"Envoy hash in upper case", envoy, "HASH=" + strings.ToUpper(hash), none},
		{"Envoy hash in quotes", envoy, `Hash="` + hash + `"`, none},
		{"Envoy certificate", envoy, `Cert="` + escaped + `"`, none},
		{"Envoy with everything", envoy, `By=spiffe://a/b;Hash=` + hash + `;Cert="` + escaped + `";Chain="` + escape(pemOf([]byte("x"))+pemOf([]byte("y"))) + `";Subject="CN=a\, b\"c;d=e,Hash=` + otherHash + `";URI=spiffe://x/y;DNS=a.example;DNS=b.example`, none},
		{"Envoy with a subject that ends in a backslash", envoy, `Hash=` + hash + `;Subject="CN=a\\";URI=x`, none},
		{"Envoy with an empty subject", envoy, `Hash=` + hash + `;Subject="";URI=`, none},
		{"Envoy with blanks", envoy, ` Hash=` + hash + ` ; URI=x `, none},
		{"Envoy without either", envoy, "By=spiffe://a/b;URI=x", mtls.ErrMalformed},
		{"Envoy with the subject alone, which has a hash in it", envoy, `Subject="Hash=` + hash + `"`, mtls.ErrMalformed},
		{"Envoy of two", envoy, "Hash=" + hash + ",Hash=" + otherHash, mtls.ErrElements},
		{"Envoy of two that are the same", envoy, "Hash=" + hash + ",Hash=" + hash, mtls.ErrElements},
		{"Envoy with a comma at the end", envoy, "Hash=" + hash + ",", mtls.ErrElements},
		{"Envoy with a comma in front", envoy, ",Hash=" + hash, mtls.ErrMalformed},
		{"Envoy with an element in a name", envoy, `Hash=` + hash + `;URI=x,Hash=` + otherHash, mtls.ErrElements},
		{"Envoy with a hash in a name", envoy, `Hash=` + hash + `;URI=x;Hash=` + otherHash, mtls.ErrMalformed},
		{"Envoy with the same hash twice", envoy, `Hash=` + hash + `;Hash=` + hash, mtls.ErrMalformed},
		{"Envoy with the same certificate twice", envoy, `Cert="` + escaped + `";Cert="` + escaped + `"`, mtls.ErrMalformed},
		{"Envoy with a certificate in a name", envoy, `Hash=` + hash + `;URI=x;Cert="` + escape(pemOf([]byte("x"))) + `"`, mtls.ErrMalformed},
		{"Envoy with a certificate and then a hash that differ", envoy, `Cert="` + escaped + `";Hash=` + otherHash, mtls.ErrMalformed},
		{"Envoy with a quote that does not end", envoy, `Hash=` + hash + `;Subject="CN=a`, mtls.ErrMalformed},
		{"Envoy with a quote that is escaped", envoy, `Hash=` + hash + `;Subject="CN=a\"`, mtls.ErrMalformed},
		{"Envoy hash short", envoy, "Hash=" + hash[1:], mtls.ErrMalformed},
		{"Envoy hash long", envoy, "Hash=" + hash + "00", mtls.ErrMalformed},
		{"Envoy hash in base64url", envoy, "Hash=" + x5t, mtls.ErrMalformed},
		{"Envoy hash that is not hex", envoy, "Hash=" + strings.Repeat("g", 64), mtls.ErrMalformed},
		{"Envoy hash without a value", envoy, "Hash", mtls.ErrMalformed},
		{"Envoy as JSON", envoy, `[{"hash":"` + hash + `"}]`, mtls.ErrMalformed},
		{"Envoy with nothing but commas", envoy, strings.Repeat(",", 60<<10), mtls.ErrMalformed},
		{"Envoy far too large", envoy, strings.Repeat("a=b;", 1<<18), mtls.ErrTooLarge},

		{"nginx", nginx, escaped, none},
		{"nginx in lower case", nginx, strings.NewReplacer("%2B", "%2b", "%2F", "%2f", "%3D", "%3d", "%0A", "%0a").Replace(escaped), none},
		{"AWS, whose plus signs stay", nginx, escapeLess(pemOf(der())), none},
		{"AWS with a chain", nginx, escapeLess(pemOf(der()) + pemOf([]byte("issuer")) + pemOf([]byte("root"))), none},
		{"PEM with CRLF", nginx, escape(strings.ReplaceAll(pemOf(der()), "\n", "\r\n")), none},
		{"PEM with line ends folded into blanks", nginx, strings.TrimSpace(strings.ReplaceAll(pemOf(der()), "\n", " ")), none},
		{"PEM in one line", nginx, escape("-----BEGIN CERTIFICATE-----" + rfc8705 + "-----END CERTIFICATE-----"), none},
		{"PEM with blanks for plus signs", nginx, escape(strings.NewReplacer("E+v", "E v", "L+S", "L S").Replace(pemOf(der()))), mtls.ErrMalformed},
		{"PEM as a form would encode it", nginx, url.QueryEscape(pemOf(der())), mtls.ErrMalformed}, // "BEGIN+CERTIFICATE"
		{"PEM cut off", nginx, escaped[:len(escaped)-10], mtls.ErrMalformed},
		{"PEM with text in front", nginx, escape("subject=x\n" + pemOf(der())), mtls.ErrMalformed},
		{"PEM with text behind", nginx, escape(pemOf(der()) + "x"), mtls.ErrMalformed},
		{"PEM joined by a comma", nginx, escaped + "," + escaped, mtls.ErrMalformed},
		{"PEM of a key", nginx, escape(strings.ReplaceAll(pemOf(der()), "CERTIFICATE", "PUBLIC KEY")), mtls.ErrMalformed},
		{"PEM with headers", nginx, escape(strings.Replace(pemOf(der()), "\n", "\nA: b\n\n", 1)), mtls.ErrMalformed},
		{"PEM that is empty", nginx, escape("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"), mtls.ErrMalformed},
		{"PEM with half an escape", nginx, escaped + "%2", mtls.ErrMalformed},
		{"PEM without padding", nginx, escape(strings.Replace(pemOf(der()), "Y=", "Y", 1)), mtls.ErrMalformed},
		{"PEM too large", nginx, escape(pemOf(make([]byte, 8<<10+1))), mtls.ErrTooLarge},
		{"nothing but escapes", nginx, strings.Repeat("%20", 10<<10), mtls.ErrMalformed},

		{"Traefik", traefik, rfc8705, none},
		{"Traefik with a chain", traefik, rfc8705 + "," + other + "," + other, none},
		{"Traefik with a chain that is not one", traefik, rfc8705 + ",?", mtls.ErrMalformed},
		{"Traefik with a comma at the end", traefik, rfc8705 + ",", mtls.ErrMalformed},
		{"Traefik with a comma in front", traefik, "," + rfc8705, mtls.ErrMalformed},
		{"Traefik before 2.9.4, which escaped", traefik, escape(rfc8705), mtls.ErrMalformed},
		{"Traefik too large", traefik, large, mtls.ErrTooLarge},
		{"HAProxy", haproxy, rfc8705, none},
		{"HAProxy with a list", haproxy, rfc8705 + "," + rfc8705, mtls.ErrMalformed},
		{"HAProxy in base64url", haproxy, strings.NewReplacer("+", "-", "/", "_").Replace(rfc8705), mtls.ErrMalformed},
		{"HAProxy, not ASCII", haproxy, rfc8705 + "é", mtls.ErrMalformed},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := httptest.NewRequest("GET", "/", nil)
			r.Header.Set(c.source.Field(), c.value)
			got, err := c.source.Thumbprint(r)
			switch {
			case c.want == none && (err != nil || mtls.Thumbprint(got).String() != x5t):
				t.Errorf("%v, %v", got, err)
			case c.want != none && (err != c.want || got != mtls.Thumbprint{}):
				t.Errorf("%v, %v, want %v", got, err, c.want)
			}
			var absence mtls.Absence
			if err != nil && (!errors.As(err, &absence) || strings.Contains(err.Error(), "MII")) {
				t.Errorf("the error is %T: %v", err, err)
			}
		})
	}
	for _, source := range []mtls.Source{clientCert, envoy, nginx, traefik, haproxy} {
		good := map[string]string{
			"Client-Cert": ":" + rfc8705 + ":", "X-Forwarded-Client-Cert": "Hash=" + hash, "X-Ssl-Client-Cert": escaped,
			"X-Forwarded-Tls-Client-Cert": rfc8705, "X-Client-Der": rfc8705,
		}[source.Field()]
		for name, c := range map[string]struct {
			values []string
			want   mtls.Absence
		}{
			"none": {nil, mtls.ErrNone}, "empty": {[]string{""}, mtls.ErrNone}, "one": {[]string{good}, none},
			"twice": {[]string{good, good}, mtls.ErrRepeated}, "and an empty one": {[]string{good, ""}, mtls.ErrRepeated},
		} {
			r := httptest.NewRequest("GET", "/", nil)
			r.Header[source.Field()] = c.values
			got, err := source.Thumbprint(r)
			if c.want == none && (err != nil || mtls.Thumbprint(got).String() != x5t) || c.want != none && err != c.want {
				t.Errorf("%s, %s: %v, %v", source.Field(), name, got, err)
			}
		}
		// The connection's certificate is the proxy's, and never the client's.
		r := httptest.NewRequest("GET", "https://example.com/", nil)
		cert, _ := newCert(t, "proxy", nil, nil)
		r.TLS.PeerCertificates = []*x509.Certificate{cert}
		if got, err := source.Thumbprint(r); err != mtls.ErrNone {
			t.Errorf("%s, without the field: %v, %v", source.Field(), got, err)
		}
	}
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("X-Client-Der", largest)
	if _, err := haproxy.Thumbprint(r); err != nil {
		t.Errorf("8 KiB: %v", err)
	}
}

func TestEnvoyHops(t *testing.T) {
	const other = "bfaf1f7e070f9fa8dd62905f158da73f84a1136624fbafcc9393c8f7287a69eb"
	for value, want := range map[string]mtls.Absence{
		"By=a;Hash=" + hash + ";URI=x,By=b;Hash=" + other:                        "",
		"Hash=" + hash + `;Subject="a,b",Hash=` + other + `;Subject="c,d"`:       "",
		"Hash=" + hash + ", By=b;Hash=" + other:                                  "",
		"Hash=" + hash:                                                           mtls.ErrElements,
		"Hash=" + hash + ",Hash=" + other + ",Hash=" + other:                     mtls.ErrElements,
		"Hash=" + hash + ";URI=x,Hash=" + other + ",By=b;Hash=" + other:          mtls.ErrElements, // an element in a name
		"Hash=" + hash + `;URI=x",y,Hash=` + other + `;Subject="",Hash=` + other: mtls.ErrMalformed,
		"Hash=" + hash + `;URI=x",Hash=` + other:                                 mtls.ErrMalformed,
	} {
		source := mtls.EnvoyHops(2, mtls.InsecureAnyPeer())
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("X-Forwarded-Client-Cert", value)
		got, err := source.Thumbprint(r)
		if want == "" && (err != nil || mtls.Thumbprint(got).String() != x5t) || want != "" && err != want {
			t.Errorf("%s: %v, %v", value, got, err)
		}
	}
}

func TestSourceFaults(t *testing.T) {
	any := mtls.InsecureAnyPeer()
	for name, c := range map[string]struct {
		source mtls.Source
		want   []string
	}{
		"no trust":                  {mtls.ClientCert(mtls.Trust{}), []string{"Trust"}},
		"no trust for Envoy":        {mtls.Envoy(mtls.Trust{}), []string{"Trust"}},
		"no peers":                  {mtls.Traefik(mtls.FromPeers()), []string{"Trust"}},
		"no pins":                   {mtls.ClientCert(mtls.FromProxyCertificate()), []string{"Trust"}},
		"no proxies":                {mtls.EnvoyHops(0, any), []string{"Field"}},
		"no name":                   {mtls.EscapedPEM("", any), []string{"Field"}},
		"name that is not one":      {mtls.EscapedPEM("X Client", any), []string{"Field"}},
		"Authorization":             {mtls.EscapedPEM("authorization", any), []string{"Field"}},
		"DPoP":                      {mtls.Base64DER("DPoP", any), []string{"Field"}},
		"no name and no trust":      {mtls.Base64DER("", mtls.Trust{}), []string{"Field"}},
		"bad name and no trust":     {mtls.Base64DER("a b", mtls.Trust{}), []string{"Field", "Trust"}},
		"the connection":            {mtls.TLS(), nil},
		"none":                      {mtls.Source{}, nil},
		"a name in lower case":      {mtls.EscapedPEM("ssl-client-cert", any), nil},
		"a name with an underscore": {mtls.EscapedPEM("SSL_CLIENT_CERT", any), nil},
	} {
		var got []string
		for _, f := range verify.Faults(c.source.Validate()) {
			got = append(got, f.Field)
		}
		if strings.Join(got, " ") != strings.Join(c.want, " ") {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
		if len(c.want) > 0 { // whatever it is, it believes nothing
			r := httptest.NewRequest("GET", "/", nil)
			for _, field := range []string{"Client-Cert", "X-Forwarded-Client-Cert", "X-Forwarded-Tls-Client-Cert", "Authorization", "Dpop", ""} {
				r.Header[field] = []string{rfc8705}
			}
			if _, err := c.source.Thumbprint(r); err == nil {
				t.Errorf("%s: takes the field", name)
			}
		}
	}
	if !(mtls.Source{}).IsZero() || mtls.TLS().IsZero() || mtls.ClientCert(any).IsZero() {
		t.Error("IsZero")
	}
	if _, err := (mtls.Source{}).Thumbprint(httptest.NewRequest("GET", "/", nil)); err != mtls.ErrNone {
		t.Error(err)
	}
}
