package verify_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bearerkit/bearerkit/verify"
)

const (
	testIssuer   = "https://issuer.example"
	testAudience = "https://api.example"
)

// testNow is what time it is in these tests.
var testNow = time.Unix(1_800_000_000, 0)

// at is a NumericDate, some seconds from now.
func at(seconds int64) string { return fmt.Sprint(testNow.Unix() + seconds) }

// A signer is a private key and what its issuer calls it.
type signer struct {
	kid  string
	alg  string
	priv crypto.Signer
}

func (s *signer) key() verify.Key {
	return verify.Key{ID: s.kid, Algorithm: s.alg, Public: s.priv.Public()}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func newRSA(bits int) *rsa.PrivateKey { return must(rsa.GenerateKey(rand.Reader, bits)) }

func newEC(c elliptic.Curve) *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(c, rand.Reader)) }

func newEd() ed25519.PrivateKey {
	_, priv, err := ed25519.GenerateKey(rand.Reader)
	return must(priv, err)
}

// The issuer's keys, one for each algorithm. RSA keys are slow to make, so
// there is one for all six algorithms, and one that belongs to an attacker.
var (
	rsaPriv, rsaEvil = newRSA(2048), newRSA(2048)

	rs256 = &signer{"rs256", "RS256", rsaPriv}
	rs384 = &signer{"rs384", "RS384", rsaPriv}
	rs512 = &signer{"rs512", "RS512", rsaPriv}
	ps256 = &signer{"ps256", "PS256", rsaPriv}
	ps384 = &signer{"ps384", "PS384", rsaPriv}
	ps512 = &signer{"ps512", "PS512", rsaPriv}
	es256 = &signer{"es256", "ES256", newEC(elliptic.P256())}
	es384 = &signer{"es384", "ES384", newEC(elliptic.P384())}
	es512 = &signer{"es512", "ES512", newEC(elliptic.P521())}
	// This one is the same in every process: a fuzzer's workers and the text of
	// a token that failed need it.
	eddsa = &signer{"eddsa", "EdDSA", ed25519.NewKeyFromSeed([]byte("0123456789abcdef0123456789abcdef"))}
	ed255 = &signer{"ed255", "Ed25519", newEd()}

	signers = []*signer{rs256, rs384, rs512, ps256, ps384, ps512, es256, es384, es512, eddsa, ed255}
)

var hashes = map[string]crypto.Hash{"256": crypto.SHA256, "384": crypto.SHA384, "512": crypto.SHA512}

func digest(h crypto.Hash, text string) []byte {
	d := h.New()
	d.Write([]byte(text))
	return d.Sum(nil)
}

// signature signs a text with an algorithm, by the standard library alone.
func signature(alg string, priv crypto.Signer, text string) []byte {
	if k, ok := priv.(ed25519.PrivateKey); ok {
		return ed25519.Sign(k, []byte(text))
	}
	hash := hashes[alg[2:]]
	switch k := priv.(type) {
	case *ecdsa.PrivateKey:
		size := (k.Params().BitSize + 7) / 8
		r, s, err := ecdsa.Sign(rand.Reader, k, digest(hash, text))
		must(r, err)
		sig := make([]byte, 2*size)
		r.FillBytes(sig[:size])
		s.FillBytes(sig[size:])
		return sig
	case *rsa.PrivateKey:
		if alg[0] == 'P' {
			return must(rsa.SignPSS(rand.Reader, k, hash, digest(hash, text), &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}))
		}
		return must(rsa.SignPKCS1v15(rand.Reader, k, hash, digest(hash, text)))
	}
	panic(fmt.Sprintf("%T", priv))
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func enc(text string) string { return b64([]byte(text)) }

// token makes a token of any header and payload text, signed.
func (s *signer) token(header, payload string) string {
	text := enc(header) + "." + enc(payload)
	return text + "." + b64(signature(s.alg, s.priv, text))
}

// object writes a JSON object: base, its members replaced, added or, where the
// text is empty, left out. Edits are names and JSON texts in turn.
func object(base map[string]string, edits []string) string {
	m := maps.Clone(base)
	for i := 0; i < len(edits); i += 2 {
		if m[edits[i]] = edits[i+1]; edits[i+1] == "" {
			delete(m, edits[i])
		}
	}
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(m)) {
		parts = append(parts, string(must(json.Marshal(name)))+":"+m[name])
	}
	return "{" + strings.Join(parts, ",") + "}"
}

// header is the header of a good token by s, edited.
func (s *signer) header(edits ...string) string {
	return object(map[string]string{"alg": `"` + s.alg + `"`, "kid": `"` + s.kid + `"`, "typ": `"at+jwt"`}, edits)
}

// claims are those of a good token, edited.
func claims(edits ...string) string {
	return object(map[string]string{
		"iss": `"` + testIssuer + `"`, "sub": `"user-1"`, "aud": `"` + testAudience + `"`, "exp": at(300), "iat": at(-10),
		"jti": `"id-1"`, "client_id": `"client-1"`, "scope": `"orders:read orders:write"`,
	}, edits)
}

// good is a good token by s.
func (s *signer) good() string { return s.token(s.header(), claims()) }

// with is a good token by s but for its claims, edited.
func (s *signer) with(edits ...string) string { return s.token(s.header(), claims(edits...)) }

// A source is a KeySource that does as it is told and counts what it is asked.
type source struct {
	mu     sync.Mutex
	set    *verify.KeySet
	next   *verify.KeySet // what a refresh brings; nil for nothing new
	setErr error
	refErr error

	checkErr, bindErr error

	bound               []string
	keySets, refreshes  int
	goodBefore, goodNow []bool // what good said about the set before and after each refresh
	withdrawn           []bool // what each Refresh was told of the token
}

func (s *source) Check(string) error { return s.checkErr }

func (s *source) Bind(issuer string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bindErr != nil {
		return s.bindErr
	}
	s.bound = append(s.bound, issuer)
	return nil
}

func (s *source) Unbind() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bound = s.bound[:len(s.bound)-1]
}

func (s *source) KeySet() (*verify.KeySet, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keySets++
	if s.setErr != nil {
		return nil, s.setErr
	}
	return s.set, nil
}

func (s *source) Refresh(_ context.Context, d verify.Demand) (*verify.KeySet, error) {
	good := d.Satisfied
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refreshes++
	s.withdrawn = append(s.withdrawn, d.Withdrawn)
	if s.refErr != nil {
		return nil, s.refErr
	}
	s.goodBefore = append(s.goodBefore, s.set != nil && good(s.set))
	if s.next != nil {
		s.set, s.next, s.setErr = s.next, nil, nil
	}
	s.goodNow = append(s.goodNow, good(s.set))
	return s.set, nil
}

// asked returns how often the source was asked since the last call.
func (s *source) asked() (keySets, refreshes int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	keySets, refreshes = s.keySets, s.refreshes
	s.keySets, s.refreshes = 0, 0
	return keySets, refreshes
}

// keySet makes a set that must not skip anything.
func keySet(keys ...verify.Key) *verify.KeySet {
	set, skipped := verify.NewKeySet(keys)
	if len(skipped) > 0 {
		panic(fmt.Sprint(skipped))
	}
	return set
}

// published is the set of the public keys of signers.
func published(signers ...*signer) *verify.KeySet {
	var keys []verify.Key
	for _, s := range signers {
		keys = append(keys, s.key())
	}
	return keySet(keys...)
}

// build makes a verifier of the test issuer with the keys of all signers; edit
// may change its configuration. It returns the key source too.
func build(t testing.TB, edit func(*verify.Config)) (*verify.Verifier, *source) {
	t.Helper()
	keys := &source{set: published(signers...)}
	c := verify.Config{
		Issuers: []verify.Issuer{{Issuer: testIssuer, Audience: []string{testAudience}, Keys: keys}},
		Now:     func() time.Time { return testNow },
	}
	if edit != nil {
		edit(&c)
	}
	v, err := verify.New(c)
	if err != nil {
		t.Fatal(err)
	}
	keys.asked()
	return v, keys
}

// accept demands that a token is accepted.
func accept(t testing.TB, v *verify.Verifier, token string) *verify.Token {
	t.Helper()
	got, err := v.Verify(t.Context(), token)
	if err != nil {
		t.Fatalf("refused: %v", err)
	}
	if got == nil {
		t.Fatal("neither token nor error")
	}
	return got
}

// refuse demands that a token is refused with a reason, that errors.Is knows
// this reason and no other, and that the error tells nothing of the token.
func refuse(t testing.TB, v *verify.Verifier, token string, want verify.Reason) *verify.Error {
	t.Helper()
	got, err := v.Verify(t.Context(), token)
	if got != nil {
		t.Errorf("refused with a token in hand: %v", got)
	}
	var e *verify.Error
	if !errors.As(err, &e) {
		t.Fatalf("error %v (%T), want a *verify.Error: %q", err, err, string(want))
	}
	if e.Reason != want {
		t.Errorf("reason %q (%s), want %q", string(e.Reason), e.Part, string(want))
	}
	for _, r := range verify.Reasons() {
		if is := errors.Is(err, r); e.Cause == nil && is != (r == e.Reason) {
			t.Errorf("errors.Is(%v, %s) is %v", e, r, is)
		}
	}
	if !slices.Contains(verify.Reasons(), e.Reason) {
		t.Errorf("reason %q is none of the closed set", e.Reason)
	}
	tellsNothing(t, e, token)
	return e
}

// tellsNothing demands that an error holds no 8 consecutive bytes of the token
// and no string of 8 bytes or more that the token carries, and nothing that
// could not stand in an error_description.
func tellsNothing(t testing.TB, e *verify.Error, token string) {
	t.Helper()
	said := e.Error() + "\n" + e.Description() + "\n" + e.Part + "\n" + string(e.Reason)
	for i := 0; i+8 <= len(token); i++ {
		if strings.Contains(said, token[i:i+8]) {
			t.Errorf("%q holds %q of the token", said, token[i:i+8])
			break
		}
	}
	for i, segment := range strings.SplitN(token, ".", 4) {
		text, err := base64.RawURLEncoding.DecodeString(segment)
		if err != nil || i > 1 || len(text) > 4096 {
			continue
		}
		var v any
		if json.Unmarshal(text, &v) == nil {
			for _, s := range texts(v) {
				if len(s) >= 8 && strings.Contains(said, s) {
					t.Errorf("%q holds %q of the token", said, s)
				}
			}
		}
	}
	for _, c := range []byte(e.Description()) {
		if c < ' ' || c > '~' || c == '"' || c == '\\' {
			t.Errorf("description %q holds %q (RFC 6750 section 3)", e.Description(), c)
		}
	}
}

// texts are the strings in a decoded JSON value; not the names of members,
// some of which an error may well name.
func texts(v any) (list []string) {
	switch v := v.(type) {
	case string:
		list = append(list, v)
	case []any:
		for _, e := range v {
			list = append(list, texts(e)...)
		}
	case map[string]any:
		for _, e := range v {
			list = append(list, texts(e)...)
		}
	}
	return list
}

// A row of a table: a token and the answer to it; no reason is acceptance.
type row struct {
	name   string
	token  string
	reason verify.Reason
	part   string // if it is not empty, the part that must be named
}

const accepted verify.Reason = ""

// run checks every row. A table has rows of both kinds, so that a verifier
// that refuses everything fails it.
func run(t *testing.T, v *verify.Verifier, rows []row) {
	t.Helper()
	names := map[string]bool{}
	for _, r := range rows {
		if names[r.name] {
			t.Errorf("two rows %q", r.name)
		}
		names[r.name] = true
		t.Run(r.name, func(t *testing.T) {
			if r.reason == accepted {
				accept(t, v, r.token)
				return
			}
			e := refuse(t, v, r.token, r.reason)
			if r.part != "" && e.Part != r.part {
				t.Errorf("part %q, want %q", e.Part, r.part)
			}
		})
	}
}

// verifyFresh is VerifyRequest with Fresh, in the form of Verify.
func verifyFresh(v *verify.Verifier) func(context.Context, string) (*verify.Token, error) {
	return func(ctx context.Context, token string) (*verify.Token, error) {
		return v.VerifyRequest(ctx, &verify.Request{Token: token, Fresh: true})
	}
}
