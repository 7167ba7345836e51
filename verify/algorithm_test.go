package verify_test

import (
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"math/big"
	"slices"
	"testing"

	"github.com/bearerkit/bearerkit/verify"
)

func TestEveryAlgorithmIsAccepted(t *testing.T) {
	v, _ := build(t, nil)
	names := verify.Algorithms()
	for _, s := range signers {
		t.Run(s.alg, func(t *testing.T) {
			accept(t, v, s.good())
			bare := &source{set: keySet(verify.Key{ID: s.kid, Public: s.priv.Public()})}
			w, _ := build(t, func(c *verify.Config) { c.Issuers[0].Keys = bare })
			accept(t, w, s.good()) // the key has no alg of its own
		})
		names = slices.DeleteFunc(names, func(n string) bool { return n == s.alg })
	}
	if len(names) > 0 {
		t.Errorf("not tried: %v", names)
	}
}

// One key serves one algorithm: the token of each, under the kid of every
// other, finds no key, though six of them share one RSA key.
func TestKeyServesItsAlgorithmOnly(t *testing.T) {
	v, _ := build(t, nil)
	for _, s := range signers {
		for _, k := range signers {
			t.Run(s.alg+" under "+k.alg, func(t *testing.T) {
				tok := s.token(s.header("kid", `"`+k.kid+`"`), claims())
				switch {
				case s == k:
					accept(t, v, tok)
				case s.priv.Public().(interface{ Equal(crypto.PublicKey) bool }).Equal(k.priv.Public()):
					refuse(t, v, tok, verify.ErrUnknownKey)
				case (s == eddsa || s == ed255) && (k == eddsa || k == ed255): // the same algorithm, the wrong key
					refuse(t, v, tok, verify.ErrSignature)
				default:
					refuse(t, v, tok, verify.ErrUnknownKey)
				}
			})
		}
	}
}

// EdDSA and Ed25519 (RFC 9864) are two names of one algorithm, for tokens,
// keys and configurations alike.
func TestTwoNamesOfEd25519(t *testing.T) {
	for _, config := range []string{"EdDSA", "Ed25519"} {
		v, _ := build(t, func(c *verify.Config) { c.Algorithms = []string{config} })
		for _, s := range []*signer{eddsa, ed255} {
			for _, alg := range []string{"EdDSA", "Ed25519"} {
				accept(t, v, s.token(s.header("alg", `"`+alg+`"`), claims()))
			}
		}
		refuse(t, v, eddsa.token(eddsa.header("alg", `"Ed448"`), claims()), verify.ErrAlgorithm)
		refuse(t, v, eddsa.token(eddsa.header("alg", `"ed25519"`), claims()), verify.ErrAlgorithm)
		refuse(t, v, es256.good(), verify.ErrAlgorithm)
	}
}

func TestAllowList(t *testing.T) {
	for _, allowed := range signers {
		v, _ := build(t, func(c *verify.Config) { c.Algorithms = []string{allowed.alg} })
		for _, s := range signers {
			if s == allowed || (s == eddsa || s == ed255) && (allowed == eddsa || allowed == ed255) {
				accept(t, v, s.good())
			} else {
				refuse(t, v, s.good(), verify.ErrAlgorithm)
			}
		}
	}
}

// RFC 7518 section 3.4 fixes curve and hash together.
func TestCurveFixesHash(t *testing.T) {
	priv := newEC(elliptic.P256())
	keys := &source{set: keySet(verify.Key{ID: "k", Public: priv.Public()})} // no alg
	v, _ := build(t, func(c *verify.Config) { c.Issuers[0].Keys = keys })
	s := &signer{"k", "ES256", priv}
	accept(t, v, s.good())
	for _, alg := range []string{"ES384", "ES512"} {
		s := &signer{"k", alg, priv}
		refuse(t, v, s.good(), verify.ErrSignature) // of the wrong length
		text := enc(s.header()) + "." + enc(claims())
		size := map[string]int{"ES384": 48, "ES512": 66}[alg]
		sig := signature(alg, priv, text)
		long := make([]byte, 2*size)
		copy(long[size-32:], sig[:32])
		copy(long[2*size-32:], sig[32:])
		refuse(t, v, text+"."+b64(long), verify.ErrUnknownKey)
	}
}

// A key for ECDH, or on a curve that no accepted algorithm uses, gets into no
// set, and a token that names it finds nothing.
func TestForeignKeyTypes(t *testing.T) {
	x := must(ecdh.X25519().GenerateKey(rand.Reader))
	// secp256k1, as far as Go's parameters can say it.
	k1 := &elliptic.CurveParams{Name: "secp256k1", BitSize: 256}
	k1.P, _ = new(big.Int).SetString("FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEFFFFFC2F", 16)
	k1.N, _ = new(big.Int).SetString("FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141", 16)
	k1.B = big.NewInt(7)
	k1.Gx, _ = new(big.Int).SetString("79BE667EF9DCBBAC55A06295CE870B07029BFCDB2DCE28D959F2815B16F81798", 16)
	k1.Gy, _ = new(big.Int).SetString("483ADA7726A3C4655DA4FBFC0E1108A8FD17B448A68554199C47D08FFB10D4B8", 16)
	set, skipped := verify.NewKeySet([]verify.Key{
		{ID: "x", Public: x.PublicKey()},
		{ID: "x-alg", Algorithm: "EdDSA", Public: x.PublicKey()},
		{ID: "k1", Algorithm: "ES256", Public: &ecdsa.PublicKey{Curve: k1, X: k1.Gx, Y: k1.Gy}},
		{ID: "p224", Public: newEC(elliptic.P224()).Public()},
		eddsa.key(), es256.key(),
	})
	if len(skipped) != 4 || set.Len() != 2 {
		t.Fatalf("%d keys, skipped %v", set.Len(), skipped)
	}
	v, _ := build(t, func(c *verify.Config) { c.Issuers[0].Keys = &source{set: set} })
	for _, kid := range []string{"x", "x-alg"} {
		refuse(t, v, eddsa.token(eddsa.header("kid", `"`+kid+`"`), claims()), verify.ErrUnknownKey)
	}
	refuse(t, v, es256.token(es256.header("kid", `"k1"`), claims()), verify.ErrUnknownKey)
	accept(t, v, eddsa.good())
	accept(t, v, es256.good())
}

// signPSS signs with a salt of any length, also of none, which crypto/rsa cannot do. It
// follows RFC 8017 section 9.1.1.
func signPSS(k *rsa.PrivateKey, hash crypto.Hash, text string, salt int) []byte {
	h := hash.New()
	h.Write(make([]byte, 8))
	h.Write(digest(hash, text))
	saltBytes := make([]byte, salt)
	must(rand.Read(saltBytes))
	h.Write(saltBytes)
	sum := h.Sum(nil)
	emBits := k.N.BitLen() - 1
	em := make([]byte, (emBits+7)/8)
	db := em[:len(em)-len(sum)-1]
	db[len(db)-salt-1] = 1
	copy(db[len(db)-salt:], saltBytes)
	var mask []byte
	for i := byte(0); len(mask) < len(db); i++ {
		h.Reset()
		h.Write(sum)
		h.Write([]byte{0, 0, 0, i})
		mask = h.Sum(mask)
	}
	for i := range db {
		db[i] ^= mask[i]
	}
	db[0] &= 0xff >> (8*len(em) - emBits)
	copy(em[len(db):], sum)
	em[len(em)-1] = 0xbc
	return new(big.Int).Exp(new(big.Int).SetBytes(em), k.D, k.N).FillBytes(make([]byte, k.Size()))
}

// RFC 7518 section 3.5: the salt is as long as the hash.
func TestSaltLength(t *testing.T) {
	v, _ := build(t, nil)
	for _, s := range []*signer{ps256, ps384, ps512} {
		hash := hashes[s.alg[2:]]
		for _, salt := range []int{0, 1, 20, hash.Size() - 1, hash.Size(), hash.Size() + 1, 222 - 2*(hash.Size()-32)} {
			text := enc(s.header()) + "." + enc(claims())
			sig := signPSS(rsaPriv, hash, text, salt)
			if err := rsa.VerifyPSS(&rsaPriv.PublicKey, hash, digest(hash, text), sig, nil); err != nil && salt > 0 {
				t.Fatalf("the test's own signature with %d bytes of salt: %v", salt, err)
			}
			if salt == hash.Size() {
				accept(t, v, text+"."+b64(sig))
			} else {
				refuse(t, v, text+"."+b64(sig), verify.ErrSignature)
			}
		}
		// PKCS #1 v1.5 under the name of PSS.
		text := enc(s.header()) + "." + enc(claims())
		refuse(t, v, text+"."+b64(signature("RS"+s.alg[2:], rsaPriv, text)), verify.ErrSignature)
	}
}
