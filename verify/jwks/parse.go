package jwks

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/MicahParks/jwkset"

	"github.com/bearerkit/bearerkit/internal/strictjson"
	"github.com/bearerkit/bearerkit/verify"
)

const (
	// maxKeys limits what one set may cost; issuers have two or three keys.
	maxKeys = 1000
	// maxKeyID is the longest "kid" in bytes, since IDs are kept and logged.
	maxKeyID = 1024
)

// Parse reads a JWK Set document (RFC 7517 section 5) strictly: it must be one JSON
// object without duplicate members, and its "keys" an array of at most 1,000.
// Member names are case-sensitive. Keys that cannot be used to verify signatures,
// or have another use, are returned as skipped, with the reason; different keys
// under one ID are left to [verify.NewKeySet]. The error says that the document is
// not a key set, and has no part of its text.
func Parse(data []byte) ([]verify.Key, []verify.SkippedKey, error) {
	d, err := parse(data)
	if err != nil {
		return nil, nil, fmt.Errorf("jwks: %w", err)
	}
	return d.keys, append(d.skipped, d.otherUse...), nil
}

// A document is a key set document.
type document struct {
	keys     []verify.Key
	skipped  []verify.SkippedKey // keys that cannot be used
	otherUse []verify.SkippedKey // keys that are not for signatures
	noted    []verify.SkippedKey // usable keys with something that cannot be read
}

func parse(data []byte) (*document, error) {
	var list strictjson.Value
	err := strictjson.Object(string(data), func(name string, value strictjson.Value) {
		if name == "keys" {
			list = value
		}
	})
	switch {
	case err != nil:
		return nil, fmt.Errorf("not a key set: %w", err)
	case list == "":
		return nil, errors.New(`not a key set: no "keys" member`)
	case list.Kind() != strictjson.Array:
		return nil, errors.New(`not a key set: "keys" is not an array`)
	}
	d := &document{}
	n := 0
	for e := range list.Elements() {
		if n++; n > maxKeys {
			return nil, fmt.Errorf("key set has more than %d keys", maxKeys)
		}
		k, note, err := parseKey(e)
		if err != nil {
			skipped := verify.SkippedKey{ID: k.ID, Reason: err.Error()}
			if errors.As(err, new(otherUse)) {
				d.otherUse = append(d.otherUse, skipped)
			} else {
				d.skipped = append(d.skipped, skipped)
			}
			continue
		}
		if _, weak := verify.NewKeySet([]verify.Key{k}); len(weak) > 0 {
			d.skipped = append(d.skipped, weak...)
			continue
		}
		if note != "" {
			d.noted = append(d.noted, verify.SkippedKey{ID: k.ID, Reason: note})
		}
		d.keys = append(d.keys, k)
	}
	return d, nil
}

// An otherUse says why a key is not for signatures, which is not a fault of the key.
type otherUse string

func (o otherUse) Error() string { return string(o) }

// parseKey reads one JWK. It gives jwkset only the members that it has scanned
// strictly itself: jwkset ignores the case of member names, and refuses a whole
// set for one bad key. With an error, k has the ID if it is known. The note says
// what could not be read of a usable key.
func parseKey(v strictjson.Value) (k verify.Key, note string, err error) {
	if v.Kind() != strictjson.Obj {
		return k, "", errors.New("not an object")
	}
	var m jwkset.JWKMarshal
	var x5c strictjson.Value
	var fault error
	var other otherUse
	private := false
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
			switch k.Algorithm = text(name, value); {
			case k.Algorithm == "":
				fail("alg is empty")
			case isKeyManagement(k.Algorithm):
				other = "alg is not for signatures"
			}
		case "use":
			switch use := text(name, value); {
			case use == "sig":
			case use == "" || strings.EqualFold(use, "sig"):
				fail("use is not sig")
			default:
				other = "use is not sig"
			}
		case "key_ops":
			ops, ok := value.Texts()
			switch {
			case !ok || len(ops) == 0:
				fail("key_ops has no verify")
			case slices.Contains(ops, "verify"):
			case slices.Contains(ops, "sign"):
				fail("key_ops has no verify")
			default:
				other = "key_ops has no verify"
			}
		case "crv":
			m.CRV = jwkset.CRV(text(name, value))
			if m.CRV == jwkset.CrvX25519 || m.CRV == "X448" {
				other = "crv is not for signatures"
			}
		case "x":
			m.X = text(name, value)
		case "y":
			m.Y = text(name, value)
		case "n":
			m.N = text(name, value)
		case "e":
			m.E = text(name, value)
		case "x5c":
			x5c = value
		case "d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv":
			private = true
		}
		// x5u is not followed. x5t is not compared: widely used issuers
		// compute it in other ways, such as a hash in hex.
	}
	switch {
	case private:
		// Anyone can sign with a private or symmetric key that is published,
		// whatever its other members say.
		return k, "", errors.New("has private or symmetric members")
	case other != "":
		return k, "", other
	case fault != nil:
		return k, "", fault
	}
	if err := checkMembers(&m); err != nil {
		return k, "", err
	}
	k.Public, note, err = convert(m, x5c)
	return k, note, err
}

// isKeyManagement reports whether alg is a key management algorithm with public keys
// (RFC 7518 section 4.1), or looks like one.
func isKeyManagement(alg string) bool {
	return alg == "RSA1_5" || strings.HasPrefix(alg, "RSA-OAEP") || strings.HasPrefix(alg, "ECDH-ES") || strings.HasPrefix(alg, "HPKE")
}

// checkMembers checks the encoding of a key's numbers, which jwkset reads leniently,
// and refuses numbers that would be too expensive to use.
func checkMembers(m *jwkset.JWKMarshal) error {
	switch m.KTY {
	case jwkset.KtyRSA:
		n, ok1 := octets(m.N)
		e, ok2 := octets(m.E)
		// Leading zeros violate RFC 7518 section 2, but are common and
		// unambiguous.
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
	case "":
		return errors.New("no kty")
	default:
		return errors.New("kty is not supported")
	}
	return nil
}

// octets decodes canonical base64url (RFC 7515 section 2).
func octets(s string) ([]byte, bool) {
	if strings.ContainsAny(s, "\r\n") { // the decoder ignores them
		return nil, false
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	return b, err == nil
}

// convert makes the public key, and compares it with the first certificate of x5c
// (RFC 7517 section 4.7) if that can be read. It recovers panics: no request would
// do so on the refresher's goroutine, and one bad key must not end the process.
func convert(m jwkset.JWKMarshal, x5c strictjson.Value) (public crypto.PublicKey, note string, err error) {
	defer func() {
		if recover() != nil {
			public, note, err = nil, "", errors.New("key is not valid")
		}
	}()
	jwk, err := jwkset.NewJWKFromMarshal(m, jwkset.JWKMarshalOptions{}, jwkset.JWKValidateOptions{})
	if err != nil {
		return nil, "", errors.New("key is not valid")
	}
	public = jwk.Key()
	certified, note := certifiedKey(x5c)
	if k, ok := public.(interface{ Equal(crypto.PublicKey) bool }); certified != nil && !(ok && k.Equal(certified)) {
		return nil, "", errors.New("x5c is a certificate for another key")
	}
	return public, note, nil
}

// certifiedKey returns the key in the first certificate of x5c, or a note why it
// cannot be read. Some issuers encode x5c differently, or publish certificates
// that Go refuses, for a negative serial number say. The key's own members say all
// that is needed, so such a certificate is not a reason to refuse tokens; one that
// can be read must be for the same key.
func certifiedKey(x5c strictjson.Value) (key crypto.PublicKey, note string) {
	first, isText := x5c.Text() // some issuers write one string, not an array
	none := x5c == "" || x5c.Kind() == strictjson.Array
	for e := range x5c.Elements() {
		first, isText = e.Text()
		none = false
		break
	}
	switch {
	case none:
		return nil, ""
	case !isText:
		return nil, "x5c is not an array of strings"
	}
	var der []byte
	if block, _ := pem.Decode([]byte(first)); block != nil {
		der = block.Bytes
	} else {
		plain := strings.NewReplacer("-", "+", "_", "/", "=", "", " ", "", "\t", "", "\r", "", "\n", "").Replace(first)
		der, _ = base64.RawStdEncoding.DecodeString(plain)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil || certificate.PublicKey == nil {
		return nil, "the first certificate of x5c cannot be read"
	}
	return certificate.PublicKey, ""
}
