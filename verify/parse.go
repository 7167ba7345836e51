package verify

import (
	"encoding/base64"
	"strings"

	"github.com/bearerkit/bearerkit/internal/strictjson"
)

// parsed is a token taken apart by the rules of form alone; nothing in it can
// be trusted yet.
type parsed struct {
	signed    string // what the signature covers: the first two segments
	signature []byte

	alg   *algorithm
	kid   []byte
	noKid bool
	typed bool // "typ" says access token

	payload []byte
	claims  claims
}

// base64url is the encoding of RFC 7515 section 2 in its one canonical form:
// no padding, and no set bits behind the last byte.
var base64url = base64.RawURLEncoding.Strict()

// parse takes a token apart. The checks are in order of their price; the first
// failure is the answer.
func (v *Verifier) parse(token string) (*parsed, error) {
	if len(token) > v.maxSize {
		return nil, refuse(ErrTooLarge, "")
	}
	header, rest, ok1 := strings.Cut(token, ".")
	payload, signature, ok2 := strings.Cut(rest, ".")
	if !ok1 || !ok2 || strings.Contains(signature, ".") || header == "" || payload == "" || signature == "" ||
		strings.ContainsAny(token, "\r\n") { // the decoder passes over line ends
		if !isB64Token(token) {
			return nil, refuse(ErrSyntax, "")
		}
		return nil, refuse(ErrMalformed, "")
	}
	// One buffer for all three segments.
	src := []byte(token)
	buf := make([]byte, 0, base64url.DecodedLen(len(src)))
	var ends [3]int
	for i, n := 0, 0; i < 3; i++ {
		length := [3]int{len(header), len(payload), len(signature)}[i]
		var err error
		if buf, err = base64url.AppendDecode(buf, src[n:n+length]); err != nil {
			if !isB64Token(token) {
				return nil, refuse(ErrSyntax, "")
			}
			return nil, refuse(ErrMalformed, [3]string{"header", "claims", "signature"}[i]+" encoding")
		}
		n += length + 1
		ends[i] = len(buf)
	}
	p := &parsed{
		signed:    token[:len(header)+1+len(payload)],
		payload:   buf[ends[0]:ends[1]:ends[1]],
		signature: buf[ends[1]:],
	}
	if err := v.parseHeader(p, buf[:ends[0]:ends[0]]); err != nil {
		return nil, err
	}
	if err := p.claims.parse(p.payload); err != nil {
		return nil, err
	}
	if !p.typed {
		if part := p.claims.otherKind; part != "" {
			return nil, refuse(ErrType, part)
		}
	}
	if n := p.alg.sigLen; n != 0 && len(p.signature) != n {
		return nil, refuse(ErrSignature, "length")
	}
	return p, nil
}

// parseHeader reads the JOSE header (RFC 7515 section 4.1). Members that point
// to a key or carry one (jwk, jku, x5u, x5c) are passed over like any that is
// unknown: the key comes from the issuer's set or not at all.
func (v *Verifier) parseHeader(p *parsed, text []byte) error {
	p.noKid = true
	var alg, kid, typ, cty strictjson.Value
	extension := ""
	err := strictjson.Object(text, func(name []byte, value strictjson.Value) {
		switch string(name) {
		case "alg":
			alg = value
		case "kid":
			kid = value
		case "typ":
			typ = value
		case "cty":
			cty = value
		case "crit", "b64", "zip":
			// Neither crit nor the extensions it could name are
			// supported; a JWT must not use b64 at all (RFC 7797
			// section 7); only a JWE has zip.
			extension = string(name)
		}
	})
	if err != nil {
		return refuse(ErrMalformed, "header")
	}
	if extension != "" {
		return refuse(ErrCritical, extension)
	}
	name, ok := alg.Text()
	if !ok {
		return refuse(ErrMalformed, "alg")
	}
	if p.alg = v.algs[name]; p.alg == nil {
		return refuse(ErrAlgorithm, "")
	}
	if kid != nil {
		id, ok := kid.Text()
		if !ok || id == "" {
			return refuse(ErrMalformed, "kid")
		}
		p.kid, p.noKid = []byte(id), false
	}
	if cty != nil {
		// A nested JWT (RFC 7519 section 5.2) has no claims of its own.
		if c, ok := cty.Text(); !ok || mediaType(c) == "jwt" {
			return refuse(ErrType, "cty")
		}
	}
	if typ == nil {
		if v.profile {
			return refuse(ErrType, "typ")
		}
		return nil
	}
	t, ok := typ.Text()
	if !ok {
		return refuse(ErrMalformed, "typ")
	}
	switch mediaType(t) {
	case "at+jwt":
		p.typed = true
	case "jwt":
		if v.profile {
			return refuse(ErrType, "typ")
		}
	default:
		return refuse(ErrType, "typ")
	}
	return nil
}

// mediaType compares as RFC 7515 section 4.1.9 wants: without regard to case,
// with or without the "application/".
func mediaType(s string) string {
	const prefix = "application/"
	if len(s) > len(prefix) && lower(s[:len(prefix)]) == prefix {
		s = s[len(prefix):]
	}
	return lower(s)
}

// lower folds ASCII letters alone: strings.EqualFold takes the Kelvin sign for
// a k as well.
func lower(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

// isB64Token reports whether s is made of what the b64token of RFC 6750 section
// 2.1 is made of: ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/", and "=" in
// the end. An "=" in between is let through here: it is a padded segment, and
// so a token that is not good rather than a request that is not.
func isB64Token(s string) bool {
	for i := range len(s) {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case c == '-', c == '.', c == '_', c == '~', c == '+', c == '/', c == '=':
		default:
			return false
		}
	}
	return strings.Trim(s, "=") != ""
}
