package verify_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"slices"
	"testing"

	"github.com/bearerkit/bearerkit/verify"
)

// Strings are compared code point by code point once their escapes are gone,
// and never normalized (RFC 7515 sections 5.3 and 10.13, RFC 7519 section 7.3).
func TestStringComparison(t *testing.T) {
	const (
		composed, decomposed = "\u00e9", "e\u0301"
		clef, escapedClef    = "\U0001d11e", `\uD834\udd1E`
		issuer               = "https://issuer.example/" + composed + clef
		audience             = "https://api.example/" + composed + clef
	)
	ed := newEd()
	key := verify.Key{ID: "k" + composed + clef, Algorithm: "EdDSA", Public: ed.Public()}
	v, _ := build(t, func(c *verify.Config) {
		c.Issuers[0].Issuer, c.Issuers[0].Audience, c.Issuers[0].Keys = issuer, []string{audience}, &source{set: keySet(key)}
	})
	good := map[string]string{"kid": `"k` + composed + clef + `"`, "iss": `"` + issuer + `"`, "aud": `"` + audience + `"`}
	token := func(name, value string) string {
		m := map[string]string{}
		for n, v := range good {
			m[n] = v
		}
		if name != "" {
			m[name] = value
		}
		s := &signer{"", "EdDSA", ed}
		return s.token(s.header("kid", m["kid"]), claims("iss", m["iss"], "aud", m["aud"]))
	}
	rows := []row{{"as configured", token("", ""), accepted, ""}}
	for _, c := range []struct {
		name, prefix string
		reason       verify.Reason
	}{
		{"kid", "k", verify.ErrUnknownKey},
		{"iss", "https://issuer.example/", verify.ErrIssuer},
		{"aud", "https://api.example/", verify.ErrAudience},
	} {
		rows = append(rows,
			row{c.name + " escaped", token(c.name, `"`+c.prefix+`\u00E9`+escapedClef+`"`), accepted, ""},
			row{c.name + " escaped in part", token(c.name, `"`+c.prefix+composed+escapedClef+`"`), accepted, ""},
			row{c.name + " decomposed", token(c.name, `"`+c.prefix+decomposed+clef+`"`), c.reason, ""},
			row{c.name + " decomposed, escaped", token(c.name, `"`+c.prefix+`e\u0301`+escapedClef+`"`), c.reason, ""},
			row{c.name + " upper case", token(c.name, `"`+c.prefix+"\u00c9"+clef+`"`), c.reason, ""},
			row{c.name + " without its last", token(c.name, `"`+c.prefix+composed+`"`), c.reason, ""},
			row{c.name + " with another beyond the plane", token(c.name, `"`+c.prefix+composed+"\U0001d11f"+`"`), c.reason, ""})
	}
	run(t, v, rows)
}

// A key serves the one algorithm that it names. One that names none serves the
// one that its curve fixes; an RSA key then serves all that RSA has, until the
// configuration names one (RFC 8725 section 3.1).
func TestAlgorithmsOfAKey(t *testing.T) {
	rsaAlgorithms := []string{"PS256", "PS384", "PS512", "RS256", "RS384", "RS512"}
	for _, c := range []struct {
		name   string
		priv   crypto.Signer
		alg    string
		config []string
		want   []string
	}{
		{"RSA for RS256", rsaPriv, "RS256", nil, []string{"RS256"}},
		{"RSA for PS512", rsaPriv, "PS512", nil, []string{"PS512"}},
		{"RSA for RS256, PS256 configured", rsaPriv, "RS256", []string{"PS256"}, nil},
		{"RSA", rsaPriv, "", nil, rsaAlgorithms},
		{"RSA, PS256 configured", rsaPriv, "", []string{"PS256"}, []string{"PS256"}},
		{"P-256", newEC(elliptic.P256()), "", nil, []string{"ES256"}},
		{"P-384", newEC(elliptic.P384()), "", nil, []string{"ES384"}},
		{"P-521", newEC(elliptic.P521()), "", nil, []string{"ES512"}},
		{"Ed25519", newEd(), "", nil, []string{"Ed25519", "EdDSA"}}, // two names of one
	} {
		t.Run(c.name, func(t *testing.T) {
			v, _ := build(t, func(conf *verify.Config) {
				conf.Issuers[0].Keys = &source{set: keySet(verify.Key{ID: "k", Algorithm: c.alg, Public: c.priv.Public()})}
				conf.Algorithms = c.config
			})
			var served []string
			for _, alg := range verify.Algorithms() {
				if !signs(c.priv, alg) {
					continue
				}
				s := &signer{"k", alg, c.priv}
				if _, err := v.Verify(t.Context(), s.good()); err == nil {
					served = append(served, alg)
				}
			}
			slices.Sort(served)
			if !slices.Equal(served, c.want) {
				t.Errorf("it serves %q, want %q", served, c.want)
			}
		})
	}
}

// signs reports whether the helpers can sign with the key in the manner of the
// algorithm, be it the one for the key or not.
func signs(priv crypto.Signer, alg string) bool {
	switch priv.(type) {
	case *rsa.PrivateKey:
		return alg[0] == 'R' || alg[0] == 'P'
	case *ecdsa.PrivateKey:
		return alg[:2] == "ES"
	}
	return alg[:2] == "Ed"
}

// The hash is the one that the algorithm's name says, whatever the signature
// itself says (RFC 7515 section 10.6) and though the key would do for another.
func TestHashOfTheAlgorithm(t *testing.T) {
	v, _ := build(t, nil)
	for _, s := range signers {
		if len(s.alg) != 5 || s == eddsa { // Ed25519 has no choice of hash
			continue
		}
		for bits := range hashes {
			t.Run(s.alg+" with SHA-"+bits, func(t *testing.T) {
				text := enc(s.header()) + "." + enc(claims())
				tok := text + "." + b64(signature(s.alg[:2]+bits, s.priv, text))
				if bits == s.alg[2:] {
					accept(t, v, tok)
				} else {
					refuse(t, v, tok, verify.ErrSignature)
				}
			})
		}
	}
}
