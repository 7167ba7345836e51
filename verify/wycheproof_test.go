package verify_test

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/bearerkit/bearerkit/verify"
	"github.com/bearerkit/bearerkit/verify/jwks"
)

// The test vectors of Project Wycheproof are fetched as a Go module, at one version and
// by its checksum. They are not a dependency, so that users of the kit do not download
// them.
const (
	wycheproofModule = "github.com/c2sp/wycheproof@v0.0.0-20260902155932-3fa63dd0344a"
	wycheproofSum    = "h1:pNbL2nztRsWfW/ispAwsvcDFxs9Id38uIsR2/Up5G2c="
)

// vectorsRequired is set to "required" where the vectors must run. Only then
// does the test use the network: the kit's tests promise that they need none,
// and without it they take what is in the module cache already.
const vectorsRequired = "BEARERKIT_VECTORS"

var fetchWycheproof = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	// Outside of any module, so that no go.mod and no go.sum changes.
	cmd := exec.Command("go", "mod", "download", "-json", wycheproofModule)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOFLAGS=", "GOWORK=off", "GO111MODULE=on")
	if os.Getenv(vectorsRequired) != "required" {
		cmd.Env = append(cmd.Env, "GOPROXY=off")
	}
	out, err := cmd.Output()
	var m struct{ Dir, Sum, Error string }
	if jsonErr := json.Unmarshal(out, &m); err == nil {
		err = jsonErr
	}
	switch {
	case m.Error != "":
		return "", fmt.Errorf("%s", m.Error)
	case err != nil:
		return "", err
	case m.Sum != wycheproofSum:
		return "", fmt.Errorf("checksum is %s, want %s", m.Sum, wycheproofSum)
	}
	return filepath.Join(m.Dir, "testvectors_v1"), nil
})

// A wycheproofSet is one file of vectors: JOSE tokens or raw signatures.
type wycheproofSet struct {
	NumberOfTests int
	TestGroups    []*wycheproofGroup
}

type wycheproofGroup struct {
	Comment         string
	Public, Private json.RawMessage // a JWK or a JWK Set

	PublicKey struct { // of raw signatures
		Curve                   string
		KeySize                 int
		Wx, Wy                  string
		Modulus, PublicExponent string
	}
	PublicKeyJwk     json.RawMessage
	KeySize          int
	Sha, Mgf, MgfSha string
	SLen             int

	Tests []*wycheproofTest
}

type wycheproofTest struct {
	TcID     int
	Comment  string
	Flags    []string
	Result   string // valid, invalid or acceptable
	JWS, JWE json.RawMessage
	Msg, Sig string // in hex
}

func (v *wycheproofTest) String() string {
	return fmt.Sprintf("%d (%s, %s %v)", v.TcID, v.Result, v.Comment, v.Flags)
}

func readWycheproof(t *testing.T, name string) (set wycheproofSet) {
	t.Helper()
	dir, err := fetchWycheproof()
	if err != nil {
		if os.Getenv(vectorsRequired) == "required" {
			t.Fatalf("Wycheproof's vectors are required: %v", err)
		}
		t.Skipf("Wycheproof's vectors are not in the module cache (%v); "+vectorsRequired+"=required downloads them", err)
	}
	text, err := os.ReadFile(filepath.Join(dir, name+"_test.json"))
	if err == nil {
		err = json.Unmarshal(text, &set)
	}
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, g := range set.TestGroups {
		n += len(g.Tests)
	}
	if n == 0 || n != set.NumberOfTests {
		t.Fatalf("%d vectors, want %d and some", n, set.NumberOfTests)
	}
	return set
}

// A tally counts outcomes by what they are, to the vector: a change in how any
// kind of vector is answered, or in how many there are, is a difference.
type tally map[string]int

func (c tally) String() string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(c)) {
		fmt.Fprintf(&b, "\n%6d  %s", c[name], name)
	}
	return b.String()
}

func (c tally) want(t *testing.T, want tally) {
	t.Helper()
	t.Logf("%s%v", t.Name(), c)
	if !maps.Equal(c, want) {
		t.Errorf("counts%v\nwant%v", c, want)
	}
}

// What tallies count most often.
const (
	keyTaken    = "key taken"
	acceptedOne = "valid: accepted"
	refusedOne  = "invalid: refused: signature"
	withoutNull = "acceptable: refused: DigestInfo without NULL"
	otherSalt   = "salt is not as long as the hash"
	rightSalt   = "invalid for its salt, which is the algorithm's: accepted"
)

// saltLength is how long a salt is (RFC 7518 section 3.5), in bytes.
var saltLength = map[string]int{"PS256": 32, "PS384": 48, "PS512": 64}

// jwkList takes a JWK Set apart; a JWK is a set of one.
func jwkList(t *testing.T, jwk json.RawMessage) []json.RawMessage {
	t.Helper()
	var set struct{ Keys []json.RawMessage }
	if err := json.Unmarshal(jwk, &set); err != nil {
		t.Fatal(err)
	}
	if set.Keys == nil {
		return []json.RawMessage{jwk}
	}
	return set.Keys
}

// member is a member of a JSON object that is a string, or empty.
func member(object []byte, name string) string {
	var m map[string]any
	if json.Unmarshal(object, &m) != nil {
		return ""
	}
	s, _ := m[name].(string)
	return s
}

const privateKey = "has private or symmetric members"

// wycheproofFaulty are vectors that contradict themselves or the standards:
// what they say is not asked. The kit refuses each for the reason given here.
var wycheproofFaulty = map[string]map[int]verify.Reason{
	"json_web_signature": {
		346: verify.ErrUnknownKey, 350: verify.ErrUnknownKey, // valid, but the key is for PS256 and the token PS384
		347: verify.ErrUnknownKey, 351: verify.ErrUnknownKey, // valid, but the key is for ES521, which does not exist
		367: verify.ErrAlgorithm, 370: verify.ErrAlgorithm, // invalid, but the same as 357, which is valid
		372: verify.ErrSyntax, 373: verify.ErrSyntax, // valid, but with a "?" in base64url
	},
}

// TestWycheproofJOSE demands that every valid token is accepted and no other,
// but for the kinds that the kit has no use for. Each of these must show that
// it is of its kind.
func TestWycheproofJOSE(t *testing.T) {
	for _, set := range []struct {
		name string
		want tally
	}{
		{"json_web_signature", tally{
			keyTaken:                        13,
			acceptedOne:                     26,
			refusedOne:                      291,
			"faulty":                        8,
			"invalid: refused: algorithm":   4,
			"invalid: refused: malformed":   33,
			"invalid: refused: syntax":      14,
			"invalid: refused: unknown_key": 11,
			"key skipped: alg is not a supported signature algorithm": 2,
			"key skipped: has private or symmetric members":           4,
			"key skipped: key_ops has no verify":                      2,
			"key skipped: use is not sig":                             2,
			"valid: refused: empty payload":                           6,
			"valid: refused: symmetric":                               8,
		}},
		{"json_web_key", tally{
			keyTaken:                        2,
			acceptedOne:                     1,
			"invalid: refused: algorithm":   11,
			"invalid: refused: malformed":   2,
			"invalid: refused: unknown_key": 8,
			"key skipped: RSA key is shorter than 2048 bits":                           1,
			"key skipped: RSA key is weak (ROCA, CVE-2017-15361)":                      1,
			"key skipped: alg is not a supported signature algorithm":                  2,
			"key skipped: has private or symmetric members":                            16,
			"key skipped: key is not valid":                                            2,
			"key skipped: n or e is not a number in base64url":                         1,
			"key skipped: use is not sig":                                              2,
			"key skipped: x or y is not a coordinate of the curve's size in base64url": 1,
			"valid: refused: symmetric":                                                4,
		}},
		{"json_web_crypto", tally{
			keyTaken:                        3,
			acceptedOne:                     2,
			refusedOne:                      5,
			"invalid: refused: algorithm":   6,
			"invalid: refused: malformed":   58,
			"invalid: refused: syntax":      5,
			"invalid: refused: unknown_key": 3,
			"key skipped: RSA key is weak (ROCA, CVE-2017-15361)": 1,
			"key skipped: has private or symmetric members":       6,
			"valid: refused: encrypted":                           2,
			"valid: refused: symmetric":                           2,
		}},
	} {
		t.Run(set.name, func(t *testing.T) {
			count := tally{}
			faulty := wycheproofFaulty[set.name]
			for _, g := range readWycheproof(t, set.name).TestGroups {
				jwk := g.Public
				if jwk == nil { // a symmetric key, or a set with one
					jwk = g.Private
				} else if keys, _ := parseKeys(t, jwkList(t, g.Private)...); len(keys) > 0 {
					// A published private key is one that anybody can sign with.
					t.Errorf("%s: %d of the private keys are taken", g.Comment, len(keys))
				}
				keys, skipped := parseKeys(t, jwkList(t, jwk)...)
				for _, s := range skipped {
					count["key skipped: "+s.Reason]++
				}
				for range keys {
					count[keyTaken]++
				}
				for _, v := range g.Tests {
					if v.JWE != nil {
						v.JWS = v.JWE
					}
					token := tokenOf(v.JWS)
					err := verify.CheckJWS(token, jwks.Static(keys...))
					reason := reasonOf(t, err)
					if want, ok := faulty[v.TcID]; ok {
						if reason != want {
							t.Errorf("%v, faulty: answer %q, want %q", v, reason, want)
						}
						count["faulty"]++
						continue
					}
					switch {
					case reason == "":
						if v.Result != "valid" {
							t.Errorf("%v: accepted", v)
						}
						count[acceptedOne]++
					case v.Result == "valid":
						kind := refusedKind(v, token, keys, skipped, reason)
						if kind == "" {
							t.Errorf("%v: refused: %v", v, err)
						}
						count["valid: refused: "+kind]++
					case v.Result == "invalid":
						count["invalid: refused: "+string(reason)]++
					default:
						t.Errorf("%v: unknown result", v)
					}
				}
			}
			count.want(t, set.want)
		})
	}
}

// refusedKind names the kind of a valid token that the kit refuses by policy,
// if that is what it is.
func refusedKind(v *wycheproofTest, token string, keys []verify.Key, skipped []verify.SkippedKey, reason verify.Reason) string {
	segments := strings.Split(token, ".")
	header, err := base64.RawURLEncoding.DecodeString(segments[0])
	if err != nil {
		return ""
	}
	alg := member(header, "alg")
	switch {
	case v.JWE != nil:
		// No resource server of the kit decrypts: five segments are too many.
		if len(segments) == 5 && member(header, "enc") != "" && reason == verify.ErrMalformed {
			return "encrypted"
		}
	case strings.HasPrefix(alg, "HS"):
		// Anyone who can verify with a symmetric key can also issue.
		if len(keys) == 0 && len(skipped) > 0 && skipped[0].Reason == privateKey && reason == verify.ErrAlgorithm {
			return "symmetric"
		}
	case len(segments) == 3 && segments[1] == "":
		// An access token has claims. It is the payload alone: the signature
		// verifies.
		sig, err := base64.RawURLEncoding.DecodeString(segments[2])
		if err == nil && reason == verify.ErrMalformed &&
			verify.CheckSignature(alg, []byte(segments[0]+"."), sig, jwks.Static(keys...)) == nil {
			return "empty payload"
		}
	}
	return ""
}

// A rawSet is a file of signatures over any bytes, and the algorithm with which
// the kit checks them.
type rawSet struct {
	name string
	alg  string
	want tally
}

// TestWycheproofSignatures demands the same of raw signatures: keys go through
// the kit's parsing as JWKs, signatures through its check.
func TestWycheproofSignatures(t *testing.T) {
	for _, set := range []rawSet{
		{"ecdsa_secp256r1_sha256_p1363", "ES256", tally{keyTaken: 112, acceptedOne: 173, refusedOne: 89}},
		{"ecdsa_secp384r1_sha384_p1363", "ES384", tally{keyTaken: 104, acceptedOne: 193, refusedOne: 87}},
		{"ecdsa_secp521r1_sha512_p1363", "ES512", tally{keyTaken: 107, acceptedOne: 231, refusedOne: 87}},
		{"ed25519", "EdDSA", tally{keyTaken: 78, acceptedOne: 88, refusedOne: 63}},
		{"ed25519", "Ed25519", tally{keyTaken: 78, acceptedOne: 88, refusedOne: 63}},

		// Another hash with the curve, and curves that no algorithm here has.
		{"ecdsa_secp256r1_sha512_p1363", "ES256", tally{
			keyTaken:                              112,
			refusedOne:                            90,
			"valid: refused: hash is not SHA-256": 242,
		}},
		{"ecdsa_secp384r1_sha512_p1363", "ES384", tally{
			keyTaken:                              104,
			refusedOne:                            88,
			"valid: refused: hash is not SHA-384": 230,
		}},
		{"ecdsa_secp256k1_sha256_p1363", "ES256", tally{
			refusedOne:                             18,
			"invalid: refused: unknown_key":        67,
			"key skipped: crv is not supported":    108,
			"valid: refused: crv is not supported": 167,
		}},
		{"ecdsa_brainpoolP256r1_sha256_p1363", "ES256", tally{
			refusedOne:                             17,
			"invalid: refused: unknown_key":        69,
			"key skipped: crv is not supported":    107,
			"valid: refused: crv is not supported": 175,
		}},
		{"ed448", "EdDSA", tally{
			refusedOne:                             70,
			"key skipped: crv is not supported":    15,
			"valid: refused: crv is not supported": 17,
		}},

		{"rsa_signature_2048_sha256", "RS256", tally{keyTaken: 3, acceptedOne: 9, refusedOne: 249, withoutNull: 1}},
		{"rsa_signature_2048_sha384", "RS384", tally{keyTaken: 1, acceptedOne: 7, refusedOne: 250, withoutNull: 1}},
		{"rsa_signature_2048_sha512", "RS512", tally{keyTaken: 2, acceptedOne: 8, refusedOne: 250, withoutNull: 1}},
		{"rsa_signature_3072_sha256", "RS256", tally{keyTaken: 2, acceptedOne: 8, refusedOne: 250, withoutNull: 1}},
		{"rsa_signature_3072_sha384", "RS384", tally{keyTaken: 1, acceptedOne: 7, refusedOne: 251, withoutNull: 1}},
		{"rsa_signature_3072_sha512", "RS512", tally{keyTaken: 2, acceptedOne: 8, refusedOne: 251, withoutNull: 1}},
		{"rsa_signature_4096_sha256", "RS256", tally{keyTaken: 1, acceptedOne: 7, refusedOne: 250, withoutNull: 1}},
		{"rsa_signature_4096_sha384", "RS384", tally{keyTaken: 1, acceptedOne: 7, refusedOne: 251, withoutNull: 1}},
		{"rsa_signature_4096_sha512", "RS512", tally{keyTaken: 1, acceptedOne: 7, refusedOne: 251, withoutNull: 1}},
		{"rsa_signature_8192_sha256", "RS256", tally{keyTaken: 1, acceptedOne: 7, refusedOne: 250, withoutNull: 1}},
		{"rsa_signature_8192_sha384", "RS384", tally{keyTaken: 1, acceptedOne: 7, refusedOne: 251, withoutNull: 1}},
		{"rsa_signature_8192_sha512", "RS512", tally{keyTaken: 1, acceptedOne: 7, refusedOne: 251, withoutNull: 1}},

		{"rsa_pss_2048_sha256_mgf1_32", "PS256", tally{keyTaken: 1, acceptedOne: 63, refusedOne: 45}},
		{"rsa_pss_3072_sha256_mgf1_32", "PS256", tally{keyTaken: 1, acceptedOne: 63, refusedOne: 45}},
		{"rsa_pss_4096_sha256_mgf1_32", "PS256", tally{keyTaken: 1, acceptedOne: 63, refusedOne: 45}},
		{"rsa_pss_2048_sha384_mgf1_48", "PS384", tally{keyTaken: 1, acceptedOne: 95, refusedOne: 46}},
		{"rsa_pss_4096_sha384_mgf1_48", "PS384", tally{keyTaken: 1, acceptedOne: 95, refusedOne: 46}},
		{"rsa_pss_4096_sha512_mgf1_64", "PS512", tally{keyTaken: 1, acceptedOne: 132, refusedOne: 47}},
		// A salt or a mask that PS algorithms do not have.
		{"rsa_pss_2048_sha256_mgf1_0", "PS256", tally{
			keyTaken: 1, rightSalt: 1,
			refusedOne:                     41,
			"valid: refused: " + otherSalt: 61,
		}},
		{"rsa_pss_4096_sha512_mgf1_32", "PS512", tally{
			keyTaken:                       1,
			refusedOne:                     45,
			"valid: refused: " + otherSalt: 132,
		}},
		{"rsa_pss_2048_sha256_mgf1sha1_20", "PS256", tally{
			keyTaken:   1,
			refusedOne: 45,
			"valid: refused: hash of the mask is not SHA-256": 63,
		}},
		{"rsa_pss_2048_sha512_mgf1sha256_32_params", "PS512", tally{
			keyTaken:   1,
			refusedOne: 46,
			"valid: refused: hash of the mask is not SHA-512": 132,
		}},
		{"rsa_pss_misc", "PS256", tally{
			keyTaken:                              150,
			acceptedOne:                           1,
			"valid: refused: hash is not SHA-256": 120,
			"valid: refused: hash of the mask is not SHA-256": 24,
			"valid: refused: " + otherSalt:                    5,
		}},
		{"rsa_pss_misc", "PS384", tally{
			keyTaken:                              150,
			acceptedOne:                           1,
			"valid: refused: hash is not SHA-384": 120,
			"valid: refused: hash of the mask is not SHA-384": 24,
			"valid: refused: " + otherSalt:                    5,
		}},
		{"rsa_pss_misc", "PS512", tally{
			keyTaken:                              150,
			acceptedOne:                           1,
			"valid: refused: hash is not SHA-512": 120,
			"valid: refused: hash of the mask is not SHA-512": 24,
			"valid: refused: " + otherSalt:                    5,
		}},
	} {
		t.Run(set.name+" "+set.alg, func(t *testing.T) {
			t.Parallel()
			count := tally{}
			for _, g := range readWycheproof(t, set.name).TestGroups {
				keys, skipped := parseKeys(t, g.jwk(t))
				for _, s := range skipped {
					count["key skipped: "+s.Reason]++
				}
				for range keys {
					count[keyTaken]++
				}
				source := jwks.Static(keys...)
				for _, v := range g.Tests {
					msg, sig := must(hex.DecodeString(v.Msg)), must(hex.DecodeString(v.Sig))
					err := verify.CheckSignature(set.alg, msg, sig, source)
					reason := reasonOf(t, err)
					other := g.otherThan(set.alg, keys, skipped, reason)
					switch {
					case reason == "" && other == otherSalt && v.Comment == "s_len changed to "+fmt.Sprint(saltLength[set.alg]):
						// Invalid only because its set has another length
						// of salt: this one has the algorithm's.
						count[rightSalt]++
					case reason == "":
						if v.Result != "valid" || other != "" {
							t.Errorf("%v: accepted (%s)", v, other)
						}
						count[acceptedOne]++
					case v.Result == "valid":
						if other == "" {
							t.Errorf("%v: refused: %v", v, err)
						}
						count["valid: refused: "+other]++
					case v.Result == "acceptable":
						// The DigestInfo has a NULL (RFC 8017 section 9.2).
						// Some verifiers let one without it pass.
						if !slices.Contains(v.Flags, "MissingNull") || reason != verify.ErrSignature {
							t.Errorf("%v: refused: %v", v, err)
						}
						count[withoutNull]++
					case v.Result == "invalid":
						count["invalid: refused: "+string(reason)]++
					default:
						t.Errorf("%v: unknown result", v)
					}
				}
			}
			count.want(t, set.want)
		})
	}
}

// jwk is the group's key as a JWK: Wycheproof's own where it has one, and
// otherwise one of the same numbers.
func (g *wycheproofGroup) jwk(t *testing.T) json.RawMessage {
	t.Helper()
	if g.PublicKeyJwk != nil {
		return g.PublicKeyJwk
	}
	m := map[string]string{}
	number := func(digits string, size int) string {
		b := must(hex.DecodeString(digits))
		for len(b) > size && b[0] == 0 {
			b = b[1:]
		}
		return b64(append(make([]byte, max(0, size-len(b))), b...))
	}
	switch k := g.PublicKey; {
	case k.Modulus != "":
		m["kty"], m["n"], m["e"] = "RSA", number(k.Modulus, 0), number(k.PublicExponent, 0)
	case k.Curve != "":
		size := (k.KeySize + 7) / 8
		m["kty"], m["crv"], m["x"], m["y"] = "EC", k.Curve, number(k.Wx, size), number(k.Wy, size)
		if crv := map[string]string{"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}[k.Curve]; crv != "" {
			m["crv"] = crv
		}
	default:
		t.Fatal("group without a key")
	}
	return must(json.Marshal(m))
}

// otherThan says in what the group's signatures are not those of the
// algorithm, and nothing if they are: nothing but that may keep a valid
// signature from being accepted.
func (g *wycheproofGroup) otherThan(alg string, keys []verify.Key, skipped []verify.SkippedKey, reason verify.Reason) string {
	if len(keys) == 0 {
		if len(skipped) == 1 && (reason == verify.ErrUnknownKey || reason == verify.ErrSignature) {
			return skipped[0].Reason
		}
		return ""
	}
	if strings.HasPrefix(alg, "Ed") {
		return "" // there is only one
	}
	switch hash := "SHA-" + alg[2:]; {
	case g.Sha != hash:
		return "hash is not " + hash
	case alg[0] == 'P' && (g.Mgf != "MGF1" || g.MgfSha != hash):
		return "hash of the mask is not " + hash
	case alg[0] == 'P' && g.SLen != saltLength[alg]:
		return otherSalt
	}
	return ""
}
