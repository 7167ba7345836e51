package verify_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/bearerkit/bearerkit/verify"
)

// cut takes a good token apart: what is signed, and the signature's bytes.
func cut(token string) (text string, sig []byte) {
	i := strings.LastIndexByte(token, '.')
	return token[:i], must(base64.RawURLEncoding.DecodeString(token[i+1:]))
}

func TestSignatureBytes(t *testing.T) {
	v, _ := build(t, nil)
	for _, s := range []*signer{rs256, ps256, es256, es384, es512, eddsa} {
		text, sig := cut(s.good())
		n := len(sig)
		other, otherSig := cut(s.with("sub", `"user-2"`))
		flipped := func(i int, mask byte) []byte {
			c := bytes.Clone(sig)
			c[i] ^= mask
			return c
		}
		rows := []row{
			{"control", text + "." + b64(sig), accepted, ""},
			{"control of the other", other + "." + b64(otherSig), accepted, ""},
			{"another token's", text + "." + b64(otherSig), verify.ErrSignature, ""},
			{"another token's the other way", other + "." + b64(sig), verify.ErrSignature, ""},
			{"empty", text + ".", verify.ErrMalformed, ""},
			{"one byte", text + "." + b64(sig[:1]), verify.ErrSignature, ""},
			{"one byte short", text + "." + b64(sig[:n-1]), verify.ErrSignature, ""},
			{"without its first byte", text + "." + b64(sig[1:]), verify.ErrSignature, ""},
			{"half", text + "." + b64(sig[:n/2]), verify.ErrSignature, ""},
			{"one byte long", text + "." + b64(append(bytes.Clone(sig), 1)), verify.ErrSignature, ""},
			{"trailing zero", text + "." + b64(append(bytes.Clone(sig), 0)), verify.ErrSignature, ""},
			{"trailing zeros", text + "." + b64(append(bytes.Clone(sig), make([]byte, 64)...)), verify.ErrSignature, ""},
			{"leading zero", text + "." + b64(append([]byte{0}, sig...)), verify.ErrSignature, ""},
			{"twice", text + "." + b64(append(bytes.Clone(sig), sig...)), verify.ErrSignature, ""},
			{"zeros", text + "." + b64(make([]byte, n)), verify.ErrSignature, ""},
			{"ones", text + "." + b64(bytes.Repeat([]byte{0xff}, n)), verify.ErrSignature, ""},
			{"the integer one", text + "." + b64(append(make([]byte, n-1), 1)), verify.ErrSignature, ""},
		}
		for _, i := range []int{0, 1, n/2 - 1, n / 2, n - 2, n - 1} {
			for _, mask := range []byte{1, 0x80} {
				rows = append(rows, row{fmt.Sprintf("byte %d flipped by %x", i, mask), text + "." + b64(flipped(i, mask)), verify.ErrSignature, ""})
			}
		}
		t.Run(s.alg, func(t *testing.T) { run(t, v, rows) })
	}
}

// What is signed is header and payload as they stand.
func TestTampering(t *testing.T) {
	v, _ := build(t, nil)
	for _, s := range []*signer{rs256, es256, eddsa} {
		text, sig := cut(s.good())
		header, payload, _ := strings.Cut(text, ".")
		end := "." + b64(sig)
		t.Run(s.alg, func(t *testing.T) {
			run(t, v, []row{
				{"control", text + end, accepted, ""},
				{"another subject", header + "." + enc(claims("sub", `"admin"`)) + end, verify.ErrSignature, ""},
				{"another claim", header + "." + enc(claims("admin", `true`)) + end, verify.ErrSignature, ""},
				{"space in the claims", header + "." + enc(" "+claims()) + end, verify.ErrSignature, ""},
				{"another header member", enc(s.header("x", `1`)) + "." + payload + end, verify.ErrSignature, ""},
				{"no typ", enc(s.header("typ", "")) + "." + payload + end, verify.ErrSignature, ""},
				{"no kid", enc(s.header("kid", "")) + "." + payload + end, verify.ErrSignature, ""},
				{"an attacker's key", (&signer{s.kid, s.alg, evil(s)}).good(), verify.ErrSignature, ""},
			})
		})
	}
}

// ECDSA signatures are r||s and nothing else, with both in [1, n-1].
func TestECDSASignatureForms(t *testing.T) {
	v, _ := build(t, nil)
	for _, s := range []*signer{es256, es384, es512} {
		priv := s.priv.(*ecdsa.PrivateKey)
		text, sig := cut(s.good())
		size := len(sig) / 2
		der := must(ecdsa.SignASN1(rand.Reader, priv, digest(hashes[s.alg[2:]], text)))
		n := priv.Params().N
		pair := func(r, s *big.Int) []byte {
			out := make([]byte, 2*size)
			r.FillBytes(out[:size])
			s.FillBytes(out[size:])
			return out
		}
		zero, one := new(big.Int), big.NewInt(1)
		r, ss := new(big.Int).SetBytes(sig[:size]), new(big.Int).SetBytes(sig[size:])
		padded := append(bytes.Clone(der), make([]byte, max(0, 2*size-len(der)))...)[:2*size]
		rows := []row{
			{"control", text + "." + b64(sig), accepted, ""},
			{"DER", text + "." + b64(der), verify.ErrSignature, ""},
			{"DER of the right length", text + "." + b64(padded), verify.ErrSignature, ""},
			{"s||r", text + "." + b64(slices.Concat(sig[size:], sig[:size])), verify.ErrSignature, ""},
			{"r=0", text + "." + b64(pair(zero, ss)), verify.ErrSignature, ""},
			{"s=0", text + "." + b64(pair(r, zero)), verify.ErrSignature, ""},
			{"both n", text + "." + b64(pair(n, n)), verify.ErrSignature, ""},
			{"r=1, s=n", text + "." + b64(pair(one, n)), verify.ErrSignature, ""},
			{"r=n, s=1", text + "." + b64(pair(n, one)), verify.ErrSignature, ""},
			{"r=1, s=1", text + "." + b64(pair(one, one)), verify.ErrSignature, ""},
		}
		t.Run(s.alg, func(t *testing.T) { run(t, v, rows) })
	}
}

// Other integers that mean the same modulo something are other signatures.
func TestMalleableSignatures(t *testing.T) {
	v, _ := build(t, nil)
	t.Run("RS256 plus the modulus", func(t *testing.T) {
		for i := range 200 {
			text, sig := cut(rs256.with("jti", fmt.Sprintf(`"id-%d"`, i)))
			sum := new(big.Int).Add(new(big.Int).SetBytes(sig), rsaPriv.N)
			if sum.BitLen() > 2048 {
				continue
			}
			accept(t, v, text+"."+b64(sig))
			refuse(t, v, text+"."+b64(sum.FillBytes(make([]byte, 256))), verify.ErrSignature)
			return
		}
		t.Skip("the modulus leaves no room")
	})
	t.Run("EdDSA plus the order", func(t *testing.T) {
		order, _ := new(big.Int).SetString("7237005577332262213973186563042994240857116359379907606001950938285454250989", 10)
		text, sig := cut(eddsa.good())
		accept(t, v, text+"."+b64(sig))
		s := bytes.Clone(sig[32:])
		slices.Reverse(s)
		sum := new(big.Int).Add(new(big.Int).SetBytes(s), order).FillBytes(make([]byte, 32))
		slices.Reverse(sum)
		refuse(t, v, text+"."+b64(append(bytes.Clone(sig[:32]), sum...)), verify.ErrSignature)
	})
}

// evil is an attacker's key of the kind of s's.
func evil(s *signer) crypto.Signer {
	switch k := s.priv.(type) {
	case *ecdsa.PrivateKey:
		return newEC(k.Curve)
	case ed25519.PrivateKey:
		return newEd()
	}
	return rsaEvil
}
