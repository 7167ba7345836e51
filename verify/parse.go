package verify

import (
	"strings"

	"github.com/bearerkit/bearerkit/internal/jose"
)

// parsed is a token that was read; nothing in it can be trusted yet.
type parsed struct {
	jose.JWS
	claims claims
}

const typAccessToken = "at+jwt" // RFC 9068 section 2.1

// parse reads an access token. The checks are in order of their price; the first
// failure is the answer.
func (v *Verifier) parse(token string, p *parsed) error {
	if err := v.parseJWS(token, &p.JWS); err != nil {
		return err
	}
	switch {
	case p.Type == typAccessToken:
	case v.profile, p.Type != "" && p.Type != "jwt":
		return refuseType("typ", p.Type, v.profile)
	}
	if err := p.claims.parse(p.Payload); err != nil {
		return err
	}
	if p.Type != typAccessToken {
		if part := p.claims.otherKind; part != "" {
			return refuseType(part, p.Type, v.profile)
		}
	}
	return refuseJWS(token, p.Algorithm.CheckSize(p.Signature))
}

// parseJWS reads a compact JWS.
func (v *Verifier) parseJWS(token string, j *jose.JWS) error {
	if len(token) > v.maxSize {
		return refuse(ErrTooLarge, "")
	}
	return refuseJWS(token, v.reader.Read(token, j))
}

var reasonOfJWS = map[jose.Kind]Reason{
	jose.Malformed: ErrMalformed, jose.Critical: ErrCritical, jose.Alg: ErrAlgorithm, jose.Type: ErrType, jose.Signature: ErrSignature,
}

// refuseJWS makes an error of package jose one of the verifier; nil stays nil.
func refuseJWS(token string, err error) error {
	if err == nil {
		return nil
	}
	e := err.(jose.Error)
	if e.Kind == jose.Form {
		return malformed(token, e.Part)
	}
	return refuse(reasonOfJWS[e.Kind], e.Part)
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
