package jose

import (
	"encoding/base64"
	"strings"

	"github.com/bearerkit/bearerkit/internal/strictjson"
)

// A Kind is what kind of fault a JWS has.
type Kind int

// The kinds of faults.
const (
	Form      Kind = iota // it does not have the form of a compact JWS
	Malformed             // its header is not one of RFC 7515 section 4.1
	Critical              // "crit", "b64" or "zip"
	Alg                   // "alg" is not accepted
	Type                  // "typ" or "cty" is that of no JWT that has claims
	Signature             // its signature cannot be one of the algorithm
)

// An Error says what is wrong with a JWS. It holds nothing of the JWS.
type Error struct {
	Kind Kind
	Part string // at fault: the name of a member of the header, or "header encoding"
}

func (e Error) Error() string {
	s := [...]string{"not a JWS", "malformed header", "unsupported extension", "algorithm is not accepted", "not a JWT of this type", "invalid signature"}[e.Kind]
	if e.Part != "" {
		s += " (" + e.Part + ")"
	}
	return s
}

// A JWS is a compact JWS that was read. Its signature has not been checked:
// nothing in it can be trusted yet.
type JWS struct {
	*Header
	Signed    string // what the signature covers: the first two segments
	Signature []byte
	Payload   string

	segment string // the header, encoded
}

// A Header is a JOSE header that was checked (RFC 7515 section 4.1).
type Header struct {
	Algorithm *Algorithm
	KeyID     string
	NoKeyID   bool
	Type      string // the media type in lower case, less "application/"; empty if there is none
}

// A Reader reads JWSs.
type Reader struct {
	// Algorithms are those that are accepted, by their values of "alg"; see
	// Accept.
	Algorithms map[string]*Algorithm
	// Headers remembers headers; nil: none are.
	Headers *Headers
	// Member is called with each member of a header that the reader does not look
	// at itself, "jwk" for instance. With Headers, it is not called for those that
	// are remembered. Default: such members are ignored.
	Member func(name string, value strictjson.Value)
}

// Base64URL is the encoding of RFC 7515 section 2 in its one canonical form: no
// padding, and no set bits behind the last byte. It passes over line ends, as
// all decoders of encoding/base64 do.
var Base64URL = base64.RawURLEncoding.Strict()

// UsualSize is the size of a token, in bytes, up to which no copy of it goes to
// the heap.
const UsualSize = 2048

// Read takes a compact JWS apart (RFC 7515 section 7.1) and reads its header. The
// error is an Error.
func (r *Reader) Read(token string, j *JWS) error {
	segment, rest, _ := strings.Cut(token, ".")
	payload, signature, _ := strings.Cut(rest, ".")
	if !hasThreeSegments(token) || strings.IndexByte(token, '\n') >= 0 || strings.IndexByte(token, '\r') >= 0 {
		return Error{Form, ""}
	}
	j.segment, j.Signed = segment, token[:len(segment)+1+len(payload)]
	// Room for what most tokens hold. The segments become bytes without being
	// copied: the compiler sees that the decoder does not write to them.
	var room [UsualSize]byte
	// Most tokens of an issuer have the same header.
	j.Header = r.Headers.get(segment)
	header := ""
	if j.Header == nil {
		text, err := Base64URL.AppendDecode(room[:0], []byte(segment))
		if err != nil {
			return Error{Form, "header encoding"}
		}
		header = string(text)
	}
	text, err := Base64URL.AppendDecode(room[:0], []byte(payload))
	if err != nil {
		return Error{Form, "claims encoding"}
	}
	j.Payload = string(text)
	if j.Signature, err = Base64URL.AppendDecode(nil, []byte(signature)); err != nil {
		return Error{Form, "signature encoding"}
	}
	if j.Header == nil {
		j.Header, err = r.readHeader(header)
	}
	return err
}

// hasThreeSegments reports whether a token has three segments with something in
// each.
func hasThreeSegments(token string) bool {
	return strings.Count(token, ".") == 2 && token[0] != '.' && token[len(token)-1] != '.' && !strings.Contains(token, "..")
}

// readHeader reads the JOSE header (RFC 7515 section 4.1). Members that point to a
// key or carry one (jwk, jku, x5u, x5c) are passed over like any that is unknown,
// unless Member looks at them.
func (r *Reader) readHeader(text string) (*Header, error) {
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
			// Neither crit nor the extensions it could name are supported; a JWT
			// must not use b64 at all (RFC 7797 section 7); only a JWE has zip.
			extension = name
		default:
			if r.Member != nil {
				r.Member(name, value)
			}
		}
	})
	if err != nil {
		return nil, Error{Malformed, "header"}
	}
	if extension != "" {
		return nil, Error{Critical, extension}
	}
	name, ok := alg.Text()
	if !ok {
		return nil, Error{Malformed, "alg"}
	}
	h := &Header{Algorithm: r.Algorithms[name], NoKeyID: kid == ""}
	if h.Algorithm == nil {
		return nil, Error{Alg, ""}
	}
	if !h.NoKeyID {
		if h.KeyID, ok = kid.Text(); !ok || h.KeyID == "" {
			return nil, Error{Malformed, "kid"}
		}
	}
	if cty != "" {
		// A nested JWT (RFC 7519 section 5.2) has no claims of its own.
		if c, ok := cty.Text(); !ok || MediaType(c) == "jwt" {
			return nil, Error{Type, "cty"}
		}
	}
	if typ != "" {
		t, ok := typ.Text()
		if !ok {
			return nil, Error{Malformed, "typ"}
		}
		if h.Type = MediaType(t); h.Type == "" {
			return nil, Error{Type, "typ"}
		}
	}
	return h, nil
}

// MediaType returns what a media type in a header is compared by: without regard
// to case, with or without "application/" (RFC 7515 section 4.1.9).
func MediaType(s string) string {
	const prefix = "application/"
	s = Lower(s)
	if len(s) > len(prefix) {
		s = strings.TrimPrefix(s, prefix)
	}
	return s
}

// Lower folds ASCII letters alone: strings.EqualFold takes the Kelvin sign for a k
// as well.
func Lower(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}
