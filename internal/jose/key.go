package jose

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"errors"
	"math/big"
	"slices"
)

const (
	minRSABits = 2048 // RFC 7518 section 3.3
	maxRSABits = 8192 // a bound on what one check may cost
)

// CheckKey returns an error if a public key is not sound, or not one that the
// algorithm of the given name uses; an empty name stands for any algorithm. It
// returns the algorithm that was named, else nil. The errors are short, and hold
// nothing of the key.
func CheckKey(key crypto.PublicKey, name string) (*Algorithm, error) {
	switch p := key.(type) {
	case *rsa.PublicKey:
		if err := checkRSA(p); err != nil {
			return nil, err
		}
	case *ecdsa.PublicKey:
		if p == nil || p.Curve == nil || p.X == nil || p.Y == nil {
			return nil, errors.New("no EC key")
		}
		if _, err := p.ECDH(); err != nil {
			return nil, errors.New("point is not on an accepted curve")
		}
	case ed25519.PublicKey:
		if len(p) != ed25519.PublicKeySize {
			return nil, errors.New("Ed25519 key has the wrong length")
		}
	default:
		return nil, errors.New("key type is not supported")
	}
	if name == "" {
		if !slices.ContainsFunc(Algorithms, func(a *Algorithm) bool { return a.fits(key) }) {
			return nil, errors.New("no accepted algorithm uses such a key")
		}
		return nil, nil
	}
	a := byName[name]
	if a == nil {
		return nil, errors.New("alg is not a supported signature algorithm")
	}
	if !a.fits(key) {
		return nil, errors.New("alg does not fit the key")
	}
	return a, nil
}

func checkRSA(p *rsa.PublicKey) error {
	if p == nil || p.N == nil {
		return errors.New("no RSA key")
	}
	switch bits := p.N.BitLen(); {
	case bits < minRSABits:
		return errors.New("RSA key is shorter than 2048 bits")
	case bits > maxRSABits:
		return errors.New("RSA key is longer than 8192 bits")
	case p.N.Bit(0) == 0 || p.N.Sign() < 0:
		return errors.New("RSA modulus is not an odd number")
	case p.E < 3 || p.E%2 == 0 || p.E > 1<<31-1:
		return errors.New("RSA exponent is not an odd number from 3 to 2^31-1")
	case isROCA(p.N):
		return errors.New("RSA key is weak (ROCA, CVE-2017-15361)")
	}
	return nil
}

// rocaPrimes are the small primes of the ROCA fingerprint: the primes of the
// faulty generator are powers of 65537 modulo each of them, and so is their
// product. Another modulus passes all of them with a chance under 2^-27.
var rocaPrimes = []int64{11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157}

func isROCA(n *big.Int) bool {
	var m big.Int
	for _, p := range rocaPrimes {
		r := m.Mod(n, big.NewInt(p)).Int64()
		power := int64(1)
		found := false
		for range p {
			if power == r {
				found = true
				break
			}
			power = power * 65537 % p
		}
		if !found {
			return false
		}
	}
	return true
}

// CloneKey copies a public key that CheckKey has found to be sound, so that nobody
// can change it afterwards.
func CloneKey(key crypto.PublicKey) crypto.PublicKey {
	switch p := key.(type) {
	case *rsa.PublicKey:
		return &rsa.PublicKey{N: new(big.Int).Set(p.N), E: p.E}
	case *ecdsa.PublicKey:
		return &ecdsa.PublicKey{Curve: p.Curve, X: new(big.Int).Set(p.X), Y: new(big.Int).Set(p.Y)}
	case ed25519.PublicKey:
		return ed25519.PublicKey(bytes.Clone(p))
	}
	return nil
}
