package jwks_test

import (
	"bytes"
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bearerkit/bearerkit/internal/testkit"
	"github.com/bearerkit/bearerkit/verify"
	"github.com/bearerkit/bearerkit/verify/jwks"
)

// negativeSerial makes a certificate that Go refuses to parse. Some issuers have such
// certificates.
func negativeSerial(certificate string) string {
	der := must(base64.StdEncoding.DecodeString(certificate))
	version3 := []byte{0xa0, 3, 2, 1, 2}
	bad := bytes.Replace(der, append(version3, 2, 1, 1), append(version3, 2, 1, 0xff), 1)
	if bytes.Equal(bad, der) {
		panic("no serial number found")
	}
	return base64.StdEncoding.EncodeToString(bad)
}

// A key whose certificate cannot be read is used, and noted. A certificate that can be
// read, in any encoding, must be for the key.
func TestCertificatesInOddForms(t *testing.T) {
	good, other := certificate(testRSA), certificate(testEd25519)
	for name, tc := range map[string]struct {
		x5c  any
		note string // a part of it; empty: there is none
	}{
		"as it should be":             {[]string{good}, ""},
		"a chain":                     {[]string{good, other}, ""},
		"base64url":                   {[]string{asBase64URL(good)}, ""},
		"PEM":                         {[]string{asPEM(good)}, ""},
		"in lines":                    {[]string{inLines(good)}, ""},
		"one string":                  {good, ""},
		"one string of PEM":           {asPEM(good), ""},
		"an empty array":              {[]string{}, ""},
		"garbage down the chain":      {[]string{good, "garbage", ""}, ""},
		"a number down the chain":     {[]any{good, 1}, ""},
		"refused by Go, on the chain": {[]string{good, negativeSerial(other)}, ""},
		"a negative serial number":    {[]string{negativeSerial(good)}, "cannot be read"},
		"null":                        {nullValue{}, "not an array of strings"},
		"a number":                    {1, "not an array of strings"},
		"an object":                   {map[string]any{"a": good}, "not an array of strings"},
		"an array of null":            {[]any{nil}, "not an array of strings"},
		"an empty string":             {[]string{""}, "cannot be read"},
		"one empty string":            {"", "cannot be read"},
		"garbage":                     {[]string{"garbage"}, "cannot be read"},
		"no base64":                   {[]string{"%"}, "cannot be read"},
		"a PEM of something else":     {[]string{"-----BEGIN X-----\nAAAA\n-----END X-----\n"}, "cannot be read"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var logs testkit.LogBuffer
				f := &fakeIssuer{handler: serving(document(with(rsaJWK("k"), "x5c", tc.x5c)))}
				s := ready(t, f, jwks.Config{Logger: logs.Logger()})
				defer s.Close()
				wantKeys(t, s, "k")
				synctest.Wait() // the log comes a moment later
				h := healthOf(s)
				if len(h.Skipped) > 0 || logs.Count("level=WARN") > 0 {
					t.Errorf("skipped %v\n%s", h.Skipped, &logs)
				}
				switch {
				case tc.note == "" && (len(h.Noted) > 0 || logs.Count("noted") > 0):
					t.Errorf("noted %v\n%s", h.Noted, &logs)
				case tc.note != "" && (len(h.Noted) != 1 || h.Noted[0].ID != "k" || !strings.Contains(h.Noted[0].Reason, tc.note) || logs.Count("noted=") != 1):
					t.Errorf("noted %v, want %q\n%s", h.Noted, tc.note, &logs)
				}
			})
		})
	}
}

type nullValue struct{}

func (nullValue) MarshalJSON() ([]byte, error) { return []byte("null"), nil }

// Keys that are not for signatures (Keycloak publishes one in every realm) are not
// reported as a fault.
func TestKeysForOtherUses(t *testing.T) {
	for name, tc := range map[string]struct {
		key   jwk
		other bool
	}{
		"Keycloak":             {with(rsaJWK("k"), "use", "enc", "alg", "RSA-OAEP"), true},
		"use enc":              {with(rsaJWK("k"), "use", "enc"), true},
		"another use":          {with(rsaJWK("k"), "use", "tls"), true},
		"use enc, short":       {with(rsaJWK("k"), "use", "enc", "n", numberOf(1024)), true},
		"alg RSA-OAEP-256":     {with(rsaJWK("k"), "use", nil, "alg", "RSA-OAEP-256"), true},
		"alg ECDH-ES+A256KW":   {with(newKey("k"), "alg", "ECDH-ES+A256KW"), true},
		"X25519":               {with(edJWK("k"), "crv", "X25519"), true},
		"key_ops wrapKey":      {with(rsaJWK("k"), "key_ops", []string{"wrapKey", "encrypt"}), true},
		"key_ops deriveBits":   {with(newKey("k"), "key_ops", []string{"deriveBits"}), true},
		"private, use enc":     {with(rsaJWK("k"), "use", "enc", "d", "AQAB"), false},
		"symmetric, use enc":   {jwk{"kty": "oct", "kid": "k", "use": "enc", "k": "c2VjcmV0"}, false},
		"use SIG":              {with(rsaJWK("k"), "use", "SIG"), false},
		"use empty":            {with(rsaJWK("k"), "use", ""), false},
		"use an array":         {with(rsaJWK("k"), "use", []string{"enc"}), false},
		"key_ops sign":         {with(rsaJWK("k"), "key_ops", []string{"sign"}), false},
		"key_ops empty":        {with(rsaJWK("k"), "key_ops", []string{}), false},
		"alg HS256":            {with(rsaJWK("k"), "alg", "HS256"), false},
		"too short":            {with(rsaJWK("k"), "n", numberOf(1024)), false},
		"a curve for payments": {with(newKey("k"), "crv", "secp256k1"), false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var logs testkit.LogBuffer
				f := &fakeIssuer{handler: serving(document(newKey("good"), tc.key))}
				s := ready(t, f, jwks.Config{Logger: logs.Logger()})
				defer s.Close()
				wantKeys(t, s, "good")
				synctest.Wait() // the log comes a moment later
				h := healthOf(s)
				of := map[bool][]verify.SkippedKey{true: h.OtherUse, false: h.Skipped}
				if len(of[tc.other]) != 1 || of[tc.other][0].ID != "k" || len(of[!tc.other]) != 0 {
					t.Errorf("skipped %v, for other uses %v", h.Skipped, h.OtherUse)
				}
				if (logs.Count("level=WARN") == 0) != tc.other {
					t.Errorf("log:\n%s", &logs)
				}
				if _, skipped, err := jwks.Parse([]byte(document(tc.key))); err != nil || len(skipped) != 1 {
					t.Errorf("Parse says %v, %v", skipped, err)
				}
			})
		})
	}
}

// The log says what has changed, including another key under the same ID and keys
// without an ID.
func TestLogOfChanges(t *testing.T) {
	a, b, nameless := newKey("a"), newKey("b"), with(newKey(""), "kid", nil)
	for name, tc := range map[string]struct {
		before, after []jwk
		want          string
	}{
		"added":            {[]jwk{a}, []jwk{a, b}, "added=[b] removed=[] replaced=[] keys=\"[a b]\""},
		"removed":          {[]jwk{a, b}, []jwk{b}, "added=[] removed=[a] replaced=[] keys=[b]"},
		"replaced":         {[]jwk{a, b}, []jwk{newKey("a"), b}, "added=[] removed=[] replaced=[a] keys=\"[a b]\""},
		"another alg":      {[]jwk{a}, []jwk{with(a, "alg", "ES256")}, "added=[] removed=[] replaced=[a] keys=[a]"},
		"without an ID":    {[]jwk{a, nameless}, []jwk{a, with(newKey(""), "kid", nil)}, "replaced=\"[(no kid)]\" keys=[a] without_id=1"},
		"an ID less":       {[]jwk{a}, []jwk{a, nameless}, "added=[] removed=[] replaced=[] keys=[a] without_id=1"},
		"two under one ID": {[]jwk{a, with(rsaJWK("a"), "alg", "RS256")}, []jwk{with(rsaJWK("a"), "alg", "RS256"), a, b}, "added=[b] removed=[] replaced=[] keys=\"[a b]\""},
		"one of the two":   {[]jwk{a, with(rsaJWK("a"), "alg", "RS256")}, []jwk{a}, "added=[] removed=[] replaced=[a] keys=[a]"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var logs testkit.LogBuffer
				f := &fakeIssuer{handler: serving(document(tc.before...))}
				s := ready(t, f, jwks.Config{Logger: logs.Logger()})
				defer s.Close()
				f.set(serving(document(tc.after...)))
				time.Sleep(10 * time.Minute)
				if logs.Count("key set changed") != 1 || logs.Count(tc.want) != 1 {
					t.Errorf("want %s:\n%s", tc.want, &logs)
				}
			})
		})
	}
}

// If the configured issuer differs from the one in the metadata, in a slash say, the
// log names both. Untrusted text is made printable first.
func TestLogOfAnotherIssuer(t *testing.T) {
	for named, want := range map[string]string{
		issuerURL + "/":                       `names \"` + issuerURL + `/\", but \"` + issuerURL + `\" is configured (they differ in the trailing slash)`,
		"https://evil.example/\u202e\x1b[2J":  `names \"https://evil.example/??[2J\", but \"` + issuerURL + `\" is configured`,
		"https://u:secret@evil.example":       `names \"https://xxxxx@evil.example\"`,
		"https://" + strings.Repeat("x", 999): strings.Repeat("x", 192) + "…",
	} {
		synctest.Test(t, func(t *testing.T) {
			var logs testkit.LogBuffer
			s, _ := discovering(t, routes(openIDURL, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				_, _ = w.Write([]byte(`{"issuer":` + jsonText(named) + `,"jwks_uri":"` + keysURL + `"}`))
			})), &logs)
			defer s.Close()
			synctest.Wait()
			if !strings.Contains(logs.String(), want) || logs.Count("secret") > 0 || len(logs.String()) > 2000 {
				t.Errorf("want %s:\n%s", want, &logs)
			}
		})
	}
}
