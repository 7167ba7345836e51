package hostile

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"github.com/bearerkit/bearerkit/verify/verifytest"
)

// signature makes a signature by the steps of a case.
func (b *builder) signature(steps []string, input []byte) ([]byte, error) {
	if len(steps) == 0 {
		return b.key.Signature(input), nil
	}
	sig, err := b.sign(steps[0], input)
	for _, step := range steps[1:] {
		if err == nil {
			sig, err = change(step, sig)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("signature %q: %w", steps, err)
	}
	return sig, nil
}

func (b *builder) sign(step string, input []byte) ([]byte, error) {
	word, arg, _ := strings.Cut(step, " ")
	switch word {
	case "key":
		return b.key.Signature(input), nil
	case "attacker":
		return b.w.Attacker.Signature(input), nil
	case "as":
		if !slices.Contains(verifytest.Algorithms(), arg) {
			return nil, errUnknown
		}
		k := *b.key
		k.Algorithm = arg
		return k.Signature(input), nil
	case "other":
		return b.key.Signature([]byte("another text")), nil
	case "salt":
		private, isRSA := b.key.Private.(*rsa.PrivateKey)
		n, err := strconv.Atoi(arg)
		if err != nil || !isRSA {
			return nil, errUnknown
		}
		sum := sha256.Sum256(input)
		return rsa.SignPSS(rand.Reader, private, crypto.SHA256, sum[:], &rsa.PSSOptions{SaltLength: n})
	case "hmac":
		secret, err := b.secret(arg)
		if err != nil {
			return nil, err
		}
		m := hmac.New(sha256.New, secret)
		m.Write(input)
		return m.Sum(nil), nil
	case "zeros":
		return make([]byte, len(b.key.Signature(input))), nil
	case "one":
		sig := make([]byte, len(b.key.Signature(input)))
		sig[len(sig)-1] = 1
		return sig, nil
	case "empty":
		return nil, nil
	}
	return nil, errUnknown
}

// secret returns a form of a public key that somebody may take for a shared secret.
func (b *builder) secret(arg string) ([]byte, error) {
	if arg == "nothing" {
		return nil, nil
	}
	form, alg, _ := strings.Cut(arg, " ")
	k := b.w.Keys[alg]
	if k == nil {
		return nil, errUnknown
	}
	switch form {
	case "jwk":
		return json.Marshal(k.JWK())
	case "spki", "pem", "line":
		spki, err := x509.MarshalPKIXPublicKey(k.Public())
		if err != nil || form == "spki" {
			return spki, err
		}
		text := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: spki})
		if form == "line" {
			text = bytes.TrimSpace(text) // without the last line break
		}
		return text, nil
	}
	switch public := k.Public().(type) {
	case *rsa.PublicKey:
		switch form {
		case "modulus":
			return public.N.Bytes(), nil
		case "pkcs1":
			return x509.MarshalPKCS1PublicKey(public), nil
		case "pkcs1pem":
			return pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY", Bytes: x509.MarshalPKCS1PublicKey(public)}), nil
		}
	case *ecdsa.PublicKey:
		point, err := public.Bytes() // 4, x, y
		switch {
		case err != nil || form == "point":
			return point, err
		case form == "xy":
			return point[1:], nil
		case form == "x":
			return point[1 : 1+len(point)/2], nil
		}
	case ed25519.PublicKey:
		if form == "x" {
			return public, nil
		}
	}
	return nil, errUnknown
}

// change changes a signature.
func change(step string, sig []byte) ([]byte, error) {
	word, arg, _ := strings.Cut(step, " ")
	half := len(sig) / 2
	switch word {
	case "DER":
		return asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(sig[:half]), new(big.Int).SetBytes(sig[half:])})
	case "swap":
		return slices.Concat(sig[half:], sig[:half]), nil
	case "append", "prepend":
		text, err := hex.DecodeString(arg)
		if word == "append" {
			return slices.Concat(sig, text), err
		}
		return slices.Concat(text, sig), err
	}
	n, err := strconv.Atoi(arg)
	if err != nil || n < 0 {
		return nil, errUnknown
	}
	switch {
	case word == "cut" && n <= len(sig):
		return sig[:len(sig)-n], nil
	case word == "flip" && n < len(sig):
		sig[n] ^= 1
		return sig, nil
	case word == "widen" && n >= half:
		wide := make([]byte, 2*n)
		copy(wide[n-half:], sig[:half])
		copy(wide[2*n-half:], sig[half:])
		return wide, nil
	}
	return nil, errors.New("not possible")
}
