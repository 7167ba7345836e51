package verify_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/bearerkit/bearerkit/verify"
)

// modulus is an odd number of some bits. A set looks at no more of a modulus
// than it can see, so it need not be a product of primes.
func modulus(bits int) *big.Int {
	n := must(rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), uint(bits-1))))
	n.SetBit(n, bits-1, 1)
	return n.SetBit(n, 0, 1)
}

func rsaKey(n *big.Int, e int) *rsa.PublicKey { return &rsa.PublicKey{N: n, E: e} }

// rocaPrime makes a prime as the faulty generator of CVE-2017-15361 did: k*M +
// (65537^a mod M), M being the product of the first 126 primes.
func rocaPrime() *big.Int {
	m := big.NewInt(1)
	for p, n := int64(2), 0; n < 126; p++ {
		if big.NewInt(p).ProbablyPrime(0) {
			m.Mul(m, big.NewInt(p))
			n++
		}
	}
	for {
		a := must(rand.Int(rand.Reader, m))
		r := new(big.Int).Exp(big.NewInt(65537), a, m)
		// k so large that the prime has 1024 bits and the product of two 2048.
		k := new(big.Int).Div(new(big.Int).Lsh(big.NewInt(1), 1023), m)
		k.Add(k, new(big.Int).Div(k, big.NewInt(2)))
		k.Add(k, must(rand.Int(rand.Reader, new(big.Int).Div(k, big.NewInt(8)))))
		p := k.Mul(k, m).Add(k, r)
		if p.ProbablyPrime(10) {
			return p
		}
	}
}

func TestKeyRules(t *testing.T) {
	ed := newEd().Public().(ed25519.PublicKey)
	p256, p384, p521 := newEC(elliptic.P256()), newEC(elliptic.P384()), newEC(elliptic.P521())
	point := func(c elliptic.Curve, x, y *big.Int) *ecdsa.PublicKey { return &ecdsa.PublicKey{Curve: c, X: x, Y: y} }
	n := rsaPriv.N
	roca := new(big.Int).Mul(rocaPrime(), rocaPrime())
	if roca.BitLen() != 2048 {
		t.Fatalf("the weak modulus has %d bits", roca.BitLen())
	}
	even := new(big.Int).Sub(modulus(2048), big.NewInt(1))
	beyond := int64(1) << 31
	exponentOf64Bits := "exponent"
	if strconv.IntSize == 32 {
		exponentOf64Bits = "" // it is 65537 there
	}
	offCurve := new(big.Int).Xor(p256.Y, big.NewInt(1))
	for _, c := range []struct {
		name string
		alg  string
		key  crypto.PublicKey
		why  string // a part of the reason; empty where the key is sound
	}{
		{"RSA 2048", "RS256", &rsaPriv.PublicKey, ""},
		{"RSA 2048, no alg", "", &rsaPriv.PublicKey, ""},
		{"RSA 3072", "PS512", rsaKey(modulus(3072), 65537), ""},
		{"RSA 4096", "RS512", rsaKey(modulus(4096), 65537), ""},
		{"RSA 8192", "RS256", rsaKey(modulus(8192), 65537), ""},
		{"RSA e=3", "RS256", rsaKey(n, 3), ""},
		{"RSA e=2^31-1", "RS256", rsaKey(n, 1<<31-1), ""},
		{"P-256", "ES256", p256.Public(), ""},
		{"P-384", "ES384", p384.Public(), ""},
		{"P-521", "ES512", p521.Public(), ""},
		{"P-256, no alg", "", p256.Public(), ""},
		{"Ed25519", "EdDSA", ed, ""},
		{"Ed25519 by its newer name", "Ed25519", ed, ""},
		{"Ed25519, no alg", "", ed, ""},

		{"RSA 512", "RS256", rsaKey(modulus(512), 65537), "shorter"},
		{"RSA 1024", "RS256", rsaKey(modulus(1024), 65537), "shorter"},
		{"RSA 2047", "RS256", rsaKey(modulus(2047), 65537), "shorter"},
		{"RSA 8193", "RS256", rsaKey(modulus(8193), 65537), "longer"},
		{"RSA 16384", "RS256", rsaKey(modulus(16384), 65537), "longer"},
		{"RSA modulus 0", "RS256", rsaKey(new(big.Int), 65537), "shorter"},
		{"RSA even modulus", "RS256", rsaKey(even, 65537), "odd"},
		{"RSA negative modulus", "RS256", rsaKey(new(big.Int).Neg(n), 65537), "odd"},
		{"RSA no modulus", "RS256", rsaKey(nil, 65537), "no RSA key"},
		{"RSA nil", "RS256", (*rsa.PublicKey)(nil), "no RSA key"},
		{"RSA e=0", "RS256", rsaKey(n, 0), "exponent"},
		{"RSA e=1", "RS256", rsaKey(n, 1), "exponent"},
		{"RSA e=2", "RS256", rsaKey(n, 2), "exponent"},
		{"RSA e=65536", "RS256", rsaKey(n, 65536), "exponent"},
		{"RSA e=-3", "RS256", rsaKey(n, -3), "exponent"},
		{"RSA e=2^31", "RS256", rsaKey(n, int(beyond)), "exponent"},
		{"RSA e=2^31+1", "RS256", rsaKey(n, int(beyond+1)), "exponent"},
		{"RSA e=2^32+65537", "RS256", rsaKey(n, int(2*beyond+65537)), exponentOf64Bits},
		{"RSA ROCA", "RS256", rsaKey(roca, 65537), "ROCA"},
		{"RSA ROCA, no alg", "", rsaKey(roca, 65537), "ROCA"},
		{"RSA by value", "RS256", rsaPriv.PublicKey, "type"},
		{"RSA private", "RS256", rsaPriv, "type"},
		{"P-224", "ES256", newEC(elliptic.P224()).Public(), "curve"},
		{"off the curve", "ES256", point(elliptic.P256(), p256.X, offCurve), "curve"},
		{"at infinity", "ES256", point(elliptic.P256(), new(big.Int), new(big.Int)), "curve"},
		{"y missing", "ES256", point(elliptic.P256(), p256.X, nil), "no EC key"},
		{"x missing", "ES256", point(elliptic.P256(), nil, p256.Y), "no EC key"},
		{"curve missing", "ES256", point(nil, p256.X, p256.Y), "no EC key"},
		{"EC nil", "ES256", (*ecdsa.PublicKey)(nil), "no EC key"},
		{"another curve's point", "ES384", point(elliptic.P384(), p256.X, p256.Y), "curve"},
		{"x negative", "ES256", point(elliptic.P256(), new(big.Int).Neg(p256.X), p256.Y), "curve"},
		{"x beyond the field", "ES256", point(elliptic.P256(), new(big.Int).Add(p256.X, elliptic.P256().Params().P), p256.Y), "curve"},
		{"x too long", "ES256", point(elliptic.P256(), new(big.Int).Lsh(p256.X, 512), p256.Y), "curve"},
		{"EC private", "ES256", p256, "type"},
		{"Ed25519 short", "EdDSA", ed[:31], "length"},
		{"Ed25519 long", "EdDSA", append(slices.Clone(ed), 0), "length"},
		{"Ed25519 empty", "EdDSA", ed25519.PublicKey{}, "length"},
		{"Ed25519 private", "EdDSA", newEd(), "type"},
		{"ES256 on P-384", "ES256", p384.Public(), "fit"},
		{"ES384 on P-256", "ES384", p256.Public(), "fit"},
		{"ES512 on P-384", "ES512", p384.Public(), "fit"},
		{"RS256 on P-256", "RS256", p256.Public(), "fit"},
		{"ES256 on RSA", "ES256", &rsaPriv.PublicKey, "fit"},
		{"EdDSA on RSA", "EdDSA", &rsaPriv.PublicKey, "fit"},
		{"EdDSA on P-256", "EdDSA", p256.Public(), "fit"},
		{"RS256 on Ed25519", "RS256", ed, "fit"},
		{"HS256 on RSA", "HS256", &rsaPriv.PublicKey, "alg"},
		{"none", "none", &rsaPriv.PublicKey, "alg"},
		{"RSA-OAEP", "RSA-OAEP", &rsaPriv.PublicKey, "alg"},
		{"ES256K", "ES256K", p256.Public(), "alg"},
		{"ML-DSA-65", "ML-DSA-65", ed, "alg"},
		{"rs256", "rs256", &rsaPriv.PublicKey, "alg"},
		{"a secret", "HS256", []byte("secret"), "type"},
		{"a string", "", "secret", "type"},
		{"nothing", "", nil, "type"},
	} {
		t.Run(c.name, func(t *testing.T) {
			// One bad key does not touch the others.
			set, skipped := verify.NewKeySet([]verify.Key{eddsa.key(), {ID: "k", Algorithm: c.alg, Public: c.key}, es256.key()})
			v := withSource(t, &source{set: set})
			accept(t, v, eddsa.good())
			accept(t, v, es256.good())
			if c.why == "" {
				if len(skipped) != 0 || !slices.Contains(set.IDs(), "k") || set.Len() != 3 {
					t.Errorf("%v, skipped %v", set.IDs(), skipped)
				}
				return
			}
			if len(skipped) != 1 || skipped[0].ID != "k" || !strings.Contains(skipped[0].Reason, c.why) || set.Len() != 2 {
				t.Fatalf("%v, skipped %v, want one for its %q", set.IDs(), skipped, c.why)
			}
			if s := skipped[0].String(); !strings.Contains(s, `"k"`) || !strings.Contains(s, skipped[0].Reason) {
				t.Errorf("%q", s)
			}
			if slices.Contains(set.IDs(), "k") {
				t.Error("it is there nevertheless")
			}
			refuse(t, v, eddsa.bareKid("k"), verify.ErrUnknownKey)
			refuse(t, v, rs256.bareKid("k"), verify.ErrUnknownKey)
		})
	}
}

// Ordinary moduli do not look like ROCA's.
func TestNoFalseROCA(t *testing.T) {
	for range 2000 {
		if _, skipped := verify.NewKeySet([]verify.Key{{Public: rsaKey(modulus(2048), 65537)}}); len(skipped) > 0 {
			t.Fatal(skipped)
		}
	}
}

// Different keys under one kid for one algorithm: nobody can say which is
// meant (RFC 7517 section 4.5), so neither serves.
func TestDuplicateKid(t *testing.T) {
	a, b := newEd(), newEd()
	p256, p384 := newEC(elliptic.P256()), newEC(elliptic.P384())
	key := func(id, alg string, priv crypto.Signer) verify.Key {
		return verify.Key{ID: id, Algorithm: alg, Public: priv.Public()}
	}
	for _, c := range []struct {
		name          string
		keys          []verify.Key
		kept, skipped int
	}{
		{"different keys", []verify.Key{key("k", "EdDSA", a), key("k", "EdDSA", b)}, 0, 2},
		{"different keys, two names of the algorithm", []verify.Key{key("k", "EdDSA", a), key("k", "Ed25519", b)}, 0, 2},
		{"different keys without alg", []verify.Key{key("k", "", a), key("k", "", b)}, 0, 2},
		{"different keys, one without alg", []verify.Key{key("k", "EdDSA", a), key("k", "", b)}, 0, 2},
		{"three, two of them the same", []verify.Key{key("k", "EdDSA", a), key("k", "EdDSA", b), key("k", "EdDSA", a)}, 0, 3},
		{"the same twice", []verify.Key{key("k", "EdDSA", a), key("k", "EdDSA", a)}, 1, 0},
		{"the same twice, two names", []verify.Key{key("k", "EdDSA", a), key("k", "Ed25519", a)}, 1, 0},
		{"the same five times", slices.Repeat([]verify.Key{key("k", "EdDSA", a)}, 5), 1, 0},
		{"different algorithms", []verify.Key{key("k", "EdDSA", a), key("k", "ES256", p256)}, 2, 0},
		{"different algorithms without alg", []verify.Key{key("k", "", a), key("k", "", p256), key("k", "", p384)}, 3, 0},
		{"RSA keys of two algorithms", []verify.Key{key("k", "RS256", rsaPriv), key("k", "PS256", rsaEvil)}, 2, 0},
		{"RSA keys, one of any algorithm", []verify.Key{key("k", "RS256", rsaPriv), key("k", "", rsaEvil)}, 0, 2},
		{"one RSA key for two algorithms", []verify.Key{key("k", "RS256", rsaPriv), key("k", "PS256", rsaPriv)}, 2, 0},
		{"two kids", []verify.Key{key("k", "EdDSA", a), key("l", "EdDSA", b)}, 2, 0},
		{"two kids of one key", []verify.Key{key("k", "EdDSA", a), key("l", "EdDSA", a)}, 2, 0},
		{"no kid", []verify.Key{key("", "EdDSA", a), key("", "EdDSA", b)}, 2, 0},
		{"no kid, the same", []verify.Key{key("", "EdDSA", a), key("", "EdDSA", a)}, 1, 0},
		{"a broken one does not contradict", []verify.Key{key("k", "EdDSA", a), {ID: "k", Algorithm: "EdDSA", Public: ed25519.PublicKey("short")}}, 1, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			control := key("control", "ES512", es512.priv)
			set, skipped := verify.NewKeySet(append(c.keys, control))
			if set.Len() != c.kept+1 || len(skipped) != c.skipped {
				t.Errorf("%d keys, skipped %v, want %d and %d", set.Len()-1, skipped, c.kept, c.skipped)
			}
			v := withSource(t, &source{set: set})
			accept(t, v, es512.bareKid("control"))
			tok := (&signer{"k", "EdDSA", a}).good()
			if c.kept == 0 {
				refuse(t, v, tok, verify.ErrUnknownKey)
			} else if c.keys[0].ID == "k" && c.keys[0].Public.(interface{ Equal(crypto.PublicKey) bool }).Equal(a.Public()) {
				accept(t, v, tok)
			}
		})
	}
}

// A set is what was checked, whatever becomes of the keys it was made of.
func TestKeySetIsCopied(t *testing.T) {
	r := rsaKey(new(big.Int).Set(rsaPriv.N), rsaPriv.E)
	e := newEC(elliptic.P256())
	ec := &ecdsa.PublicKey{Curve: e.Curve, X: new(big.Int).Set(e.X), Y: new(big.Int).Set(e.Y)}
	d := newEd()
	ed := slices.Clone(d.Public().(ed25519.PublicKey))
	list := []verify.Key{{ID: "rs256", Public: r}, {ID: "e", Public: ec}, {ID: "d", Public: ed}}
	v := withSource(t, &source{set: keySet(list...)})
	r.E = 1
	r.N.SetInt64(15)
	ec.X.SetInt64(0)
	ed[0] ^= 1
	list[0] = verify.Key{}
	accept(t, v, rs256.good())
	accept(t, v, (&signer{"e", "ES256", e}).good())
	accept(t, v, (&signer{"d", "EdDSA", d}).good())
}

func TestKeySetQuestions(t *testing.T) {
	a, b := newEd(), newEd()
	key := func(id, alg string, priv crypto.Signer) verify.Key {
		return verify.Key{ID: id, Algorithm: alg, Public: priv.Public()}
	}
	set := keySet(key("b", "", b), key("a", "EdDSA", a), key("", "", newEC(elliptic.P256())))
	if got := set.IDs(); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("ids %q", got)
	}
	if set.Len() != 3 {
		t.Errorf("%d keys", set.Len())
	}
	if empty, skipped := verify.NewKeySet(nil); empty.Len() != 0 || len(empty.IDs()) != 0 || len(skipped) != 0 {
		t.Errorf("an empty set has %d keys", empty.Len())
	}
	one := keySet(key("a", "EdDSA", a))
	var null *verify.KeySet
	for i, c := range []struct {
		x, y *verify.KeySet
		want bool
	}{
		{one, one, true},
		{one, keySet(key("a", "EdDSA", a)), true},
		{one, keySet(key("a", "Ed25519", a)), true},
		{one, keySet(key("a", "EdDSA", a), key("a", "EdDSA", a)), true},
		{one, keySet(key("a", "EdDSA", b)), false},
		{one, keySet(key("b", "EdDSA", a)), false},
		{one, keySet(key("a", "", a)), false},
		{one, keySet(key("a", "EdDSA", a), key("b", "EdDSA", b)), false},
		{keySet(key("a", "EdDSA", a), key("b", "EdDSA", b)), keySet(key("b", "EdDSA", b), key("a", "EdDSA", a)), true},
		{keySet(key("", "", a), key("", "", b)), keySet(key("", "", b), key("", "", a)), true},
		{keySet(), keySet(), true},
		{one, keySet(), false},
		{one, nil, false},
		{null, nil, true},
	} {
		if c.x.Equal(c.y) != c.want || c.y.Equal(c.x) != c.want {
			t.Errorf("%d: %v and %v, want %v", i, c.x.Equal(c.y), c.y.Equal(c.x), c.want)
		}
	}
}

// Ten thousand keys, most of them under a handful of names, make a set in
// reasonable time.
func TestManyKeys(t *testing.T) {
	var list []verify.Key
	for i := range 10_000 {
		pub := make(ed25519.PublicKey, ed25519.PublicKeySize)
		copy(pub, fmt.Sprint(i))
		list = append(list, verify.Key{ID: fmt.Sprint("k", i), Public: pub})
	}
	set, skipped := verify.NewKeySet(append(list, eddsa.key()))
	if set.Len() != 10_001 || len(skipped) != 0 {
		t.Errorf("%d keys, %d skipped", set.Len(), len(skipped))
	}
	accept(t, withSource(t, &source{set: set}), eddsa.good())
	for i := range list[:1000] {
		list[i].ID = "k"
	}
	if set, skipped = verify.NewKeySet(list[:1000]); set.Len() != 0 || len(skipped) != 1000 {
		t.Errorf("%d keys, %d skipped", set.Len(), len(skipped))
	}
}
