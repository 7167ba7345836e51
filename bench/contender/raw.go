package contender

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/big"

	"github.com/bearerkit/bearerkit/bench/token"
)

var errRaw = errors.New("the signature does not verify")

// Raw is the reference: the hash and the signature check that no verifier can
// do without, by Go's standard library, everything else done beforehand. It
// returns a function that checks token i of the list.
func Raw(is *token.Issuer, tokens []token.Token) (func(i int) error, error) {
	result := func(ok bool) error {
		if !ok {
			return errRaw
		}
		return nil
	}
	switch p := is.Public.(type) {
	case *rsa.PublicKey:
		if is.Algorithm == "PS256" {
			options := &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA256}
			return func(i int) error {
				t := &tokens[i%len(tokens)]
				digest := sha256.Sum256(t.Signed)
				return rsa.VerifyPSS(p, crypto.SHA256, digest[:], t.Signature, options)
			}, nil
		}
		return func(i int) error {
			t := &tokens[i%len(tokens)]
			digest := sha256.Sum256(t.Signed)
			return rsa.VerifyPKCS1v15(p, crypto.SHA256, digest[:], t.Signature)
		}, nil
	case *ecdsa.PublicKey:
		type pair struct{ r, s *big.Int }
		pairs := make([]pair, len(tokens))
		for i, t := range tokens {
			pairs[i] = pair{new(big.Int).SetBytes(t.Signature[:32]), new(big.Int).SetBytes(t.Signature[32:])}
		}
		return func(i int) error {
			i %= len(tokens)
			digest := sha256.Sum256(tokens[i].Signed)
			return result(ecdsa.Verify(p, digest[:], pairs[i].r, pairs[i].s))
		}, nil
	case ed25519.PublicKey:
		return func(i int) error {
			t := &tokens[i%len(tokens)]
			return result(ed25519.Verify(p, t.Signed, t.Signature))
		}, nil
	}
	return nil, fmt.Errorf("contender: no raw check of %s", is.Algorithm)
}
