package verify

import (
	"encoding/base64"
	"strings"

	"github.com/bearerkit/bearerkit/internal/strictjson"
)

// parsed is a token taken apart by the rules of form alone; nothing in it can
// be trusted yet.
type parsed struct {
	*header
	segment   string // the header as it stands in the token
	signed    string // what the signature covers: the first two segments
	signature []byte
	payload   string
	claims    claims
}

// A header is a JOSE header that was checked (RFC 7515 section 4.1).
type header struct {
	alg   *algorithm
	kid   string
	noKid bool
	typ   string // the media type in lower case, less "application/"; empty if there is none
}

// base64url is the encoding of RFC 7515 section 2 in its one canonical form:
// no padding, and no set bits behind the last byte.
var base64url = base64.RawURLEncoding.Strict()

// usualSize is the size of a token, in bytes, up to which no copy of it goes to
// the heap.
const usualSize = 2048

// parse takes an access token apart. The checks are in order of their price;
// the first failure is the answer.
func (v *Verifier) parse(token string, p *parsed) error {
	if err := v.takeApart(token, p); err != nil {
		return err
	}
	switch {
	case p.typ == typAccessToken:
	case v.profile, p.typ != "" && p.typ != "jwt":
		return refuseType("typ", p.typ, v.profile)
	}
	if err := p.claims.parse(p.payload); err != nil {
		return err
	}
	if p.typ != typAccessToken {
		if part := p.claims.otherKind; part != "" {
			return refuseType(part, p.typ, v.profile)
		}
	}
	if n := p.alg.sigLen; n != 0 && len(p.signature) != n {
		return refuse(ErrSignature, "length")
	}
	return nil
}

const typAccessToken = "at+jwt" // RFC 9068 section 2.1

// parseJWS takes a compact JWS apart (RFC 7515 section 7.1) and reads its
// header.
func (v *Verifier) parseJWS(token string) (*parsed, error) {
	p := &parsed{}
	return p, v.takeApart(token, p)
}

func (v *Verifier) takeApart(token string, p *parsed) error {
	if len(token) > v.maxSize {
		return refuse(ErrTooLarge, "")
	}
	segment, rest, _ := strings.Cut(token, ".")
	payload, signature, _ := strings.Cut(rest, ".")
	if !isJWSShaped(token) || strings.IndexByte(token, '\n') >= 0 || strings.IndexByte(token, '\r') >= 0 { // the decoder passes over line ends
		return badForm(token, "")
	}
	p.segment, p.signed = segment, token[:len(segment)+1+len(payload)]
	// Room for what most tokens hold. The segments become bytes without being
	// copied: the compiler sees that the decoder does not write to them.
	var room [usualSize]byte
	// Most tokens of an issuer have the same header.
	p.header = v.headers.get(segment)
	header := ""
	if p.header == nil {
		text, err := base64url.AppendDecode(room[:0], []byte(segment))
		if err != nil {
			return badForm(token, "header encoding")
		}
		header = string(text)
	}
	text, err := base64url.AppendDecode(room[:0], []byte(payload))
	if err != nil {
		return badForm(token, "claims encoding")
	}
	p.payload = string(text)
	if p.signature, err = base64url.AppendDecode(nil, []byte(signature)); err != nil {
		return badForm(token, "signature encoding")
	}
	if p.header == nil {
		p.header, err = v.parseHeader(header)
	}
	return err
}

// isJWSShaped reports whether a token has three segments with something in each.
func isJWSShaped(token string) bool {
	return strings.Count(token, ".") == 2 && token[0] != '.' && token[len(token)-1] != '.' && !strings.Contains(token, "..")
}

// parseHeader reads the JOSE header (RFC 7515 section 4.1). Members that point
// to a key or carry one (jwk, jku, x5u, x5c) are passed over like any that is
// unknown: the key comes from the issuer's set or not at all.
func (v *Verifier) parseHeader(text string) (*header, error) {
	var alg, kid, typ, cty strictjson.Value
	extension := ""
	err := strictjson.Object(text, func(name string, value strictjson.Value) {
		switch name {
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
			extension = name
		}
	})
	if err != nil {
		return nil, refuse(ErrMalformed, "header")
	}
	if extension != "" {
		return nil, refuse(ErrCritical, extension)
	}
	name, ok := alg.Text()
	if !ok {
		return nil, refuse(ErrMalformed, "alg")
	}
	h := &header{alg: v.algs[name], noKid: kid == ""}
	if h.alg == nil {
		return nil, refuse(ErrAlgorithm, "")
	}
	if !h.noKid {
		if h.kid, ok = kid.Text(); !ok || h.kid == "" {
			return nil, refuse(ErrMalformed, "kid")
		}
	}
	if cty != "" {
		// A nested JWT (RFC 7519 section 5.2) has no claims of its own.
		if c, ok := cty.Text(); !ok || mediaType(c) == "jwt" {
			return nil, refuse(ErrType, "cty")
		}
	}
	if typ != "" {
		t, ok := typ.Text()
		if !ok {
			return nil, refuse(ErrMalformed, "typ")
		}
		if h.typ = mediaType(t); h.typ == "" {
			return nil, refuse(ErrType, "typ")
		}
	}
	return h, nil
}

// mediaType compares as RFC 7515 section 4.1.9 wants: without regard to case,
// with or without the "application/".
func mediaType(s string) string {
	const prefix = "application/"
	s = lower(s)
	if len(s) > len(prefix) {
		s = strings.TrimPrefix(s, prefix)
	}
	return s
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
