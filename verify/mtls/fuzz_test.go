package mtls_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/pem"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/bearerkit/bearerkit/verify/mtls"
)

// find returns what a source finds in a field's value.
func find(source mtls.Source, value string) (mtls.Thumbprint, bool) {
	r := httptest.NewRequest("GET", "/", nil)
	r.Header[source.Field()] = []string{value}
	t, err := source.Thumbprint(r)
	return t, err == nil
}

func FuzzClientCert(f *testing.F) {
	f.Add(":" + rfc8705 + ":")
	f.Add("::")
	f.Add(":AA==:;a")
	source := mtls.ClientCert(mtls.InsecureAnyPeer())
	f.Fuzz(func(t *testing.T, value string) {
		got, ok := find(source, value)
		if !ok {
			return
		}
		// Only the one way to write it is taken.
		der, err := base64.StdEncoding.DecodeString(strings.Trim(value, ":"))
		if err != nil || value != ":"+base64.StdEncoding.EncodeToString(der)+":" || got != sha256.Sum256(der) {
			t.Fatalf("%q: %v", value, got)
		}
	})
}

func FuzzEscapedPEM(f *testing.F) {
	f.Add(escape(pemOf(der())))
	f.Add(escapeLess(pemOf(der()) + pemOf([]byte("x"))))
	f.Add(strings.ReplaceAll(pemOf(der()), "\n", " "))
	f.Add("-----BEGIN CERTIFICATE----------END CERTIFICATE-----")
	source := mtls.EscapedPEM("X", mtls.InsecureAnyPeer())
	f.Fuzz(func(t *testing.T, value string) {
		got, ok := find(source, value)
		if !ok {
			return
		}
		// What the standard library reads of it, line ends restored, is the
		// same certificate.
		text, err := url.PathUnescape(value)
		if err != nil {
			t.Fatalf("%q: %v", value, err)
		}
		const begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
		text = strings.ReplaceAll(strings.ReplaceAll(text, begin, "\n"+begin+"\n"), end, "\n"+end+"\n")
		text = strings.NewReplacer(begin, begin, end, end, " ", "", "\t", "").Replace(text)
		block, _ := pem.Decode([]byte(text))
		if block == nil || got != sha256.Sum256(block.Bytes) {
			t.Fatalf("%q: %v", value, got)
		}
	})
}

func FuzzTraefik(f *testing.F) {
	f.Add(rfc8705)
	f.Add(rfc8705 + ",AAAA")
	f.Add(",,")
	list, single := mtls.Traefik(mtls.InsecureAnyPeer()), mtls.Base64DER("X", mtls.InsecureAnyPeer())
	f.Fuzz(func(t *testing.T, value string) {
		got, ok := find(list, value)
		leaf, _, isList := strings.Cut(value, ",")
		if one, okOne := find(single, value); okOne && (!ok || isList || one != got) {
			t.Fatalf("%q: one %v, of a list %v", value, one, got)
		}
		if ok {
			if der, err := base64.StdEncoding.DecodeString(leaf); err != nil || got != sha256.Sum256(der) {
				t.Fatalf("%q: %v", value, got)
			}
		}
	})
}

// FuzzXFCC puts what a client can choose, the names in its certificate, into an
// element as Envoy does: not escaped but in the subject. Nothing that it chooses
// turns its certificate into another.
func FuzzXFCC(f *testing.F) {
	const other = "bfaf1f7e070f9fa8dd62905f158da73f84a1136624fbafcc9393c8f7287a69eb"
	for _, name := range []string{"x", "x,Hash=" + other, "x;Hash=" + other, `x";Hash=` + other + `;a="`, `x",Hash=` + other, `\`, `"`, `;Cert=x`, ",", "="} {
		f.Add(name, name)
	}
	one, two := mtls.Envoy(mtls.InsecureAnyPeer()), mtls.EnvoyHops(2, mtls.InsecureAnyPeer())
	f.Fuzz(func(t *testing.T, subject, uri string) {
		element := "By=spiffe://proxy;Hash=" + hash + `;Subject="CN=` + subject + `";URI=` + uri + ";DNS=" + uri
		for value, source := range map[string]mtls.Source{element: one, element + ",By=b;Hash=" + other: two} {
			if got, ok := find(source, value); ok && got.String() != x5t {
				t.Fatalf("%q: %v", value, got)
			}
		}
		find(one, uri)
		find(two, subject)
	})
}
