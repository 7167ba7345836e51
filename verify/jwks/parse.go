package jwks

import (
	"bytes"
	"crypto"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/MicahParks/jwkset"

	"github.com/bearerkit/bearerkit/internal/strictjson"
	"github.com/bearerkit/bearerkit/verify"
)

const (
	// maxKeys bounds what one set may cost; issuers have two or three keys.
	maxKeys = 1000
	// maxKeyID is the longest "kid" in bytes. It is remembered and logged.
	maxKeyID = 1024
)

// Parse reads a JWK Set document (RFC 7517 section 5), strictly: one JSON
// object, member names in their own case, none twice, a "keys" array of at most
// 1,000. A key in it that cannot be used to verify signatures is left out and
// named with the reason; what is only known of keys together (two different
// ones under one ID) is for [verify.NewKeySet] to find. The error says that the
// document is no key set; it holds no byte of it.
func Parse(data []byte) ([]verify.Key, []verify.SkippedKey, error) {
	keys, skipped, err := parse(data)
	if err != nil {
		return nil, nil, fmt.Errorf("jwks: %w", err)
	}
	return keys, skipped, nil
}

func parse(data []byte) ([]verify.Key, []verify.SkippedKey, error) {
	var list strictjson.Value
	err := strictjson.Object(string(data), func(name string, value strictjson.Value) {
		if name == "keys" {
			list = value
		}
	})
	switch {
	case err != nil:
		return nil, nil, fmt.Errorf("no key set: %w", err)
	case list == "":
		return nil, nil, errors.New(`no key set: no "keys" member`)
	case list.Kind() != strictjson.Array:
		return nil, nil, errors.New(`no key set: "keys" is not an array`)
	}
	var keys []verify.Key
	var skipped []verify.SkippedKey
	n := 0
	for e := range list.Elements() {
		if n++; n > maxKeys {
			return nil, nil, fmt.Errorf("key set has more than %d keys", maxKeys)
		}
		k, err := parseKey(e)
		if err != nil {
			skipped = append(skipped, verify.SkippedKey{ID: k.ID, Reason: err.Error()})
			continue
		}
		if _, weak := verify.NewKeySet([]verify.Key{k}); len(weak) > 0 {
			skipped = append(skipped, weak...)
			continue
		}
		keys = append(keys, k)
	}
	return keys, skipped, nil
}

// parseKey reads one JWK. jwkset makes the key of it, but gets only members
// that were scanned strictly here: its own reading folds the case of names, and
// one key it does not like costs the whole set. On an error the key that is
// returned has the ID, as far as it is known.
func parseKey(v strictjson.Value) (verify.Key, error) {
	var k verify.Key
	if v.Kind() != strictjson.Obj {
		return k, errors.New("not an object")
	}
	var m jwkset.JWKMarshal
	var fault error
	fail := func(reason string) {
		if fault == nil {
			fault = errors.New(reason)
		}
	}
	text := func(name string, v strictjson.Value) string {
		s, ok := v.Text()
		if !ok {
			fail(name + " is not a string")
		}
		return s
	}
	for name, value := range v.Members() {
		switch name {
		case "kid":
			k.ID = text(name, value)
			if len(k.ID) > maxKeyID {
				k.ID = strings.ToValidUTF8(k.ID[:32], "") + "…"
				fail("kid is too long")
			}
		case "kty":
			m.KTY = jwkset.KTY(text(name, value))
		case "alg":
			if k.Algorithm = text(name, value); k.Algorithm == "" {
				fail("alg is empty")
			}
		case "use":
			if !value.Is("sig") {
				fail("use is not sig")
			}
		case "key_ops":
			if ops, ok := value.Texts(); !ok || !slices.Contains(ops, "verify") {
				fail("key_ops has no verify")
			}
		case "crv":
			m.CRV = jwkset.CRV(text(name, value))
		case "x":
			m.X = text(name, value)
		case "y":
			m.Y = text(name, value)
		case "n":
			m.N = text(name, value)
		case "e":
			m.E = text(name, value)
		case "x5c":
			var ok bool
			if m.X5C, ok = value.Texts(); !ok {
				fail("x5c is not an array of strings")
			}
		case "d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv":
			// A private or symmetric key that is published is one that
			// anybody can sign with.
			fail("has private or symmetric members")
		}
		// x5u is not followed. x5t is not compared: issuers that are in wide
		// use compute it in ways of their own (a hash in hex, say).
	}
	if fault != nil {
		return k, fault
	}
	if err := checkMembers(&m); err != nil {
		return k, err
	}
	public, err := convert(m)
	k.Public = public
	return k, err
}

// checkMembers checks the form of a key's numbers: what jwkset would read more
// leniently, and what would cost more to read than it can be worth.
func checkMembers(m *jwkset.JWKMarshal) error {
	switch m.KTY {
	case jwkset.KtyRSA:
		n, ok1 := octets(m.N)
		e, ok2 := octets(m.E)
		// Leading zeros are against RFC 7518 section 2 but common, and leave
		// no doubt about the number.
		n, e = bytes.TrimLeft(n, "\x00"), bytes.TrimLeft(e, "\x00")
		switch {
		case !ok1 || !ok2 || len(n) == 0 || len(e) == 0:
			return errors.New("n or e is not a number in base64url")
		case len(n) > 1024:
			return errors.New("RSA key is longer than 8192 bits")
		case len(e) > 4:
			return errors.New("RSA exponent is not an odd number from 3 to 2^31-1")
		}
	case jwkset.KtyEC:
		size := map[jwkset.CRV]int{jwkset.CrvP256: 32, jwkset.CrvP384: 48, jwkset.CrvP521: 66}[m.CRV]
		if size == 0 {
			return errors.New("crv is not supported")
		}
		x, ok1 := octets(m.X)
		y, ok2 := octets(m.Y)
		if !ok1 || !ok2 || len(x) != size || len(y) != size {
			return errors.New("x or y is not a coordinate of the curve's size in base64url")
		}
	case jwkset.KtyOKP:
		if m.CRV != jwkset.CrvEd25519 {
			return errors.New("crv is not supported")
		}
		if x, ok := octets(m.X); !ok || len(x) != 32 {
			return errors.New("x is not 32 bytes in base64url")
		}
		m.ALG = jwkset.AlgEdDSA // jwkset wants it beside an x5c
	case "":
		return errors.New("no kty")
	default:
		return errors.New("kty is not supported")
	}
	return nil
}

// octets decodes the base64url of RFC 7515 section 2, in its canonical form.
func octets(s string) ([]byte, bool) {
	if strings.ContainsAny(s, "\r\n") { // which the decoder passes over
		return nil, false
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	return b, err == nil
}

// convert makes the public key, and checks it against the first certificate of
// x5c if there is one (RFC 7517 section 4.7). It runs on a goroutine that
// belongs to no request: if the libraries panic over a key, that costs the key
// and not the process.
func convert(m jwkset.JWKMarshal) (public crypto.PublicKey, err error) {
	defer func() {
		if recover() != nil {
			public, err = nil, errors.New("key is not valid")
		}
	}()
	jwk, err := jwkset.NewJWKFromMarshal(m, jwkset.JWKMarshalOptions{}, jwkset.JWKValidateOptions{})
	switch {
	case err == nil:
		return jwk.Key(), nil
	case errors.Is(err, jwkset.ErrX509Mismatch):
		return nil, errors.New("x5c is a certificate for another key")
	case len(m.X5C) > 0:
		return nil, errors.New("x5c or key is not valid")
	}
	return nil, errors.New("key is not valid")
}
