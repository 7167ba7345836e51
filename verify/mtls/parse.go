package mtls

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/url"
	"strings"
)

// The functions below read the forms that a certificate has in a field. They
// decode no more than that, and hash what is inside.

// hash hashes a certificate in base64 with padding, in its one form.
func hash(text string) (Thumbprint, error) {
	if strings.ContainsAny(text, "\r\n") { // which the decoder passes over
		return Thumbprint{}, ErrMalformed
	}
	if base64.StdEncoding.DecodedLen(len(text)) > maxDER+2 {
		return Thumbprint{}, ErrTooLarge
	}
	der, err := base64.StdEncoding.Strict().DecodeString(text)
	switch {
	case err != nil || len(der) == 0:
		return Thumbprint{}, ErrMalformed
	case len(der) > maxDER:
		return Thumbprint{}, ErrTooLarge
	}
	return sha256.Sum256(der), nil
}

// parseClientCert reads an Item of RFC 9651 that is a Byte Sequence, without
// parameters (RFC 9440 section 2.2).
func parseClientCert(value string) (Thumbprint, error) {
	if len(value) < 2 || value[0] != ':' || value[len(value)-1] != ':' {
		return Thumbprint{}, ErrMalformed
	}
	return hash(value[1 : len(value)-1])
}

// parseBase64 reads base64 and nothing else.
func parseBase64(value string) (Thumbprint, error) { return hash(value) }

// parseTraefik reads a list of base64 whose first element is the client's.
func parseTraefik(value string) (Thumbprint, error) {
	leaf, chain, more := strings.Cut(value, ",")
	for more {
		var next string
		if next, chain, more = strings.Cut(chain, ","); !isBase64(next) {
			return Thumbprint{}, ErrMalformed
		}
	}
	return hash(leaf)
}

func isBase64(s string) bool {
	_, err := base64.StdEncoding.Strict().DecodeString(s)
	return err == nil && s != "" && !strings.ContainsAny(s, "\r\n")
}

// parseEscapedPEM reads URL-encoded PEM blocks, of which the first is the
// client's. A "+" is one of base64, and no blank as in a form's encoding: some
// proxies leave it as it is.
func parseEscapedPEM(value string) (Thumbprint, error) {
	text, err := url.PathUnescape(value)
	if err != nil {
		return Thumbprint{}, ErrMalformed
	}
	leaf, rest, ok := cutPEM(text)
	for ok && rest != "" {
		_, rest, ok = cutPEM(rest)
	}
	if !ok {
		return Thumbprint{}, ErrMalformed
	}
	return hash(leaf)
}

// cutPEM cuts a certificate's PEM block off s and returns its base64. Line ends
// may be blanks: old recipes fold them into a field that way.
func cutPEM(s string) (text, rest string, ok bool) {
	const begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
	s, ok = strings.CutPrefix(strings.TrimLeft(s, " \t\r\n"), begin)
	if !ok {
		return "", "", false
	}
	text, rest, ok = strings.Cut(s, end)
	text = strings.NewReplacer(" ", "", "\t", "", "\r", "", "\n", "").Replace(text)
	return text, strings.TrimLeft(rest, " \t\r\n"), ok && text != ""
}

// parseXFCC reads X-Forwarded-Client-Cert, which must have a number of elements,
// and returns what the first says. Envoy writes names from the certificate into
// an element as they are. So it must have neither key twice, and if it has both
// they must agree: a name that is made to look like a key gains nothing.
func parseXFCC(value string, elements int) (Thumbprint, error) {
	var found Thumbprint
	var hasHash, hasCert bool
	n, rest, more := 0, value, true
	for more {
		var pair string
		var separator byte
		var ok bool
		if pair, rest, separator, ok = cutPair(rest); !ok {
			return Thumbprint{}, ErrMalformed
		}
		if n == 0 {
			key, v, isPair := strings.Cut(pair, "=")
			if !isPair {
				return Thumbprint{}, ErrMalformed
			}
			isHash, isCert := strings.EqualFold(key, "hash"), strings.EqualFold(key, "cert")
			if isHash && hasHash || isCert && hasCert {
				return Thumbprint{}, ErrMalformed
			}
			if isHash || isCert {
				parse := parseHex
				if isCert {
					parse = parseEscapedPEM
				}
				t, err := parse(unquote(v))
				if err != nil {
					return Thumbprint{}, err
				}
				if (hasHash || hasCert) && t != found {
					return Thumbprint{}, ErrMalformed
				}
				found = t
				hasHash, hasCert = hasHash || isHash, hasCert || isCert
			}
		}
		if separator != ';' {
			n++
		}
		more = separator != 0
	}
	switch {
	case n != elements:
		return Thumbprint{}, ErrElements
	case !hasHash && !hasCert:
		return Thumbprint{}, ErrMalformed
	}
	return found, nil
}

// cutPair cuts s after its first pair, whose value may be quoted, and returns the
// separator behind it: a semicolon, a comma, or 0 at the end.
func cutPair(s string) (pair, rest string, separator byte, ok bool) {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case quoted && c == '\\':
			i++ // whatever is behind it
		case c == '"':
			quoted = !quoted
		case !quoted && (c == ';' || c == ','):
			return strings.Trim(s[:i], " \t"), s[i+1:], c, true
		}
	}
	return strings.Trim(s, " \t"), "", 0, !quoted
}

// unquote takes a value out of its quotes. Hashes and encoded certificates have
// nothing in them that is escaped; a value that has is not one of these.
func unquote(s string) string {
	if len(s) >= 2 && s[0] == '"' && s[len(s)-1] == '"' {
		return s[1 : len(s)-1]
	}
	return s
}

// parseHex reads a hash in hex.
func parseHex(s string) (t Thumbprint, err error) {
	if len(s) != 2*len(t) {
		return Thumbprint{}, ErrMalformed
	}
	if _, err := hex.Decode(t[:], []byte(s)); err != nil {
		return Thumbprint{}, ErrMalformed
	}
	return t, nil
}
