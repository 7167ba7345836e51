package verify

import (
	"errors"
	"strings"

	"github.com/bearerkit/bearerkit/internal/jose"
	"github.com/bearerkit/bearerkit/internal/strictjson"
)

// A form is what kind of token one seems to be.
type form int

const (
	formJWS    form = iota // a compact JWS, or a damaged one: it has to pass the checks of a JWS
	formJWE                // a compact JWE (RFC 7516 section 7.1): only its server can read it
	formOpaque             // anything else that a bearer token may be
)

// formOf tells which form a token has. Nothing that its server could read as a
// JWS may pass for something else: it would be shown to the server without the
// checks that are made here. Anyone who holds a JWS can spell its first segment in
// another way, and put segments behind it, but not change its header. So a token
// with such a header is a JWS, unless it is the header of a JWE in five segments.
func formOf(token string) form {
	first, _, _ := strings.Cut(token, ".")
	dots := strings.Count(token, ".")
	switch header := beginsObject(first); {
	case header && dots == 2: // the usual, first
		return formJWS
	case !isB64Token(token), first == "" && dots > 0:
		return formJWS // nothing that could be shown to anybody
	case !header, dots == 0:
		return formOpaque
	case dots > 4:
		return formJWS // no form has so many, so the header is not worth a look
	}
	alg, enc, ok := readHeader(first)
	switch {
	case ok && !alg:
		return formOpaque // every JOSE header has it (RFC 7515 section 4.1.1)
	case ok && enc && dots == 4:
		return formJWE
	}
	return formJWS
}

// beginsObject reports whether an encoded text begins with a brace and the name
// of a member, for a decoder that takes both alphabets and passes over anything
// else, and a reader that does not mind a byte order mark or UTF-16. Random bytes
// hardly ever do.
func beginsObject(segment string) bool {
	var room [48]byte
	text, plain := room[:0], true
	bits, n := uint32(0), 0
	for i := 0; i < len(segment) && len(text) < cap(text); i++ {
		six := sixBits(segment[i])
		if six < 0 {
			continue
		}
		bits, n = bits<<6|uint32(six), n+6
		if n < 8 {
			continue
		}
		n -= 8
		switch c := byte(bits >> n); {
		case ' ' < c && c < 0x7f:
			text = append(text, c)
		case c > ' ':
			plain = plain && strings.IndexByte("\xef\xbb\xbf\xff\xfe", c) >= 0
		}
	}
	name, ok := strings.CutPrefix(string(text), `{"`)
	return ok && (strings.Contains(name, `":`) || plain && len(text) == cap(text))
}

func sixBits(c byte) int {
	switch {
	case 'A' <= c && c <= 'Z':
		return int(c - 'A')
	case 'a' <= c && c <= 'z':
		return int(c-'a') + 26
	case '0' <= c && c <= '9':
		return int(c-'0') + 52
	case c == '-', c == '+':
		return 62
	case c == '_', c == '/':
		return 63
	}
	return -1
}

// readHeader reports whether an encoded JOSE header is one JSON object, and
// which members it has: an "alg" in any case, an "enc" that is a string.
func readHeader(segment string) (alg, enc, ok bool) {
	var room [jose.UsualSize]byte
	text, err := jose.Base64URL.AppendDecode(room[:0], []byte(segment))
	if err != nil {
		return false, false, false
	}
	err = strictjson.Object(string(text), func(name string, value strictjson.Value) {
		alg = alg || strings.EqualFold(name, "alg")
		enc = enc || name == "enc" && value.Kind() == strictjson.String
	})
	return alg, enc, err == nil
}

var (
	errEncrypted = errors.New("verify: an encrypted token has to be introspected (Issuer.Introspection; if there are several issuers, with TakesOpaque at one)")
	errOpaque    = errors.New("verify: a token that is not a JWT has to be introspected (Issuer.Introspection; if there are several issuers, with TakesOpaque at one)")
)

// malformed says what is wrong with a token that does not have the form of a JWS
// and is not introspected.
func malformed(token, part string) error {
	if !isB64Token(token) {
		return refuse(ErrSyntax, "")
	}
	switch formOf(token) {
	case formJWE:
		return &Error{Reason: ErrMalformed, Part: "JWE", Cause: errEncrypted, says: "the token is encrypted and cannot be read here"}
	case formOpaque:
		return &Error{Reason: ErrMalformed, Part: "opaque", Cause: errOpaque, says: "the token is not a JWT"}
	}
	return refuse(ErrMalformed, part)
}
