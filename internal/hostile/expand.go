package hostile

import (
	"bytes"
	"compress/flate"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"unicode/utf16"
)

// expand replaces the placeholders of a text.
func (b *builder) expand(text string) (string, error) {
	var out strings.Builder
	for {
		before, rest, found := strings.Cut(text, "<")
		out.WriteString(before)
		if !found {
			return out.String(), nil
		}
		placeholder, after, closed := strings.Cut(rest, ">")
		if !closed {
			return "", fmt.Errorf("the placeholder %q is not closed", rest)
		}
		value, err := b.placeholder(placeholder)
		if err != nil {
			return "", fmt.Errorf("placeholder %q: %w", placeholder, err)
		}
		out.WriteString(value)
		text = after
	}
}

var errUnknown = errors.New("unknown")

func (b *builder) placeholder(p string) (string, error) {
	word, arg, hasArg := strings.Cut(p, " ")
	if seconds, isTime := strings.CutPrefix(word, "now"); isTime && !hasArg {
		n, err := strconv.ParseInt(seconds, 10, 64)
		if err != nil || seconds[0] != '+' && seconds[0] != '-' {
			return "", errUnknown
		}
		return fmt.Sprint(b.w.Now.Unix() + n), nil
	}
	if segment, ok := b.segments[word]; ok && !hasArg {
		return encode(segment), nil
	}
	if !hasArg {
		switch word {
		case "issuer":
			return b.w.Issuer, nil
		case "audience":
			return b.w.Audience, nil
		case "kid":
			return b.key.ID, nil
		case "header":
			return object(b.headerMembers()), nil
		case "claims":
			return object(b.claimMembers()), nil
		case "valid":
			return b.key.Sign(object(b.headerMembers()), object(b.claimMembers())), nil
		case "mark":
			return Mark + rand.Text(), nil
		case "lt":
			return "<", nil
		}
		return "", errUnknown
	}
	switch word {
	case "kid":
		if k := b.w.Keys[arg]; k != nil {
			return k.ID, nil
		}
	case "attacker":
		return b.attacker(arg)
	case "header", "claims":
		if arg == "members" {
			text, err := b.placeholder(word)
			return strings.Trim(text, "{}"), err
		}
	case "quoted":
		text, err := b.placeholder(arg)
		return quote(text), err
	case "escaped":
		text, err := b.placeholder(arg)
		if err != nil || text == "" {
			return "", err
		}
		return fmt.Sprintf(`\u%04x`, text[0]) + strings.ReplaceAll(text[1:], "/", `\/`), nil
	case "upper":
		text, err := b.placeholder(arg)
		return strings.ToUpper(text), err
	case "cut":
		text, err := b.placeholder(arg)
		return text[:max(0, len(text)-1)], err
	case "utf16be", "utf16le":
		text, err := b.placeholder(arg)
		var order binary.AppendByteOrder = binary.BigEndian
		if word == "utf16le" {
			order = binary.LittleEndian
		}
		var out []byte
		for _, u := range utf16.Encode([]rune(text)) {
			out = order.AppendUint16(out, u)
		}
		return string(out), err
	case "hex":
		text, err := hex.DecodeString(arg)
		return string(text), err
	case "repeat":
		times, text, _ := strings.Cut(arg, " ")
		n, err := strconv.Atoi(times)
		if err != nil || n < 1 || n > 1<<20/max(1, len(text)) {
			return "", errors.New("at most a mebibyte can be repeated")
		}
		return strings.Repeat(text, n), nil
	case "deflate":
		n, err := strconv.Atoi(arg)
		if err != nil || n < 0 || n > 1<<24 {
			return "", errUnknown
		}
		return deflated(n), nil
	case "std":
		if segment, ok := b.segments[arg]; ok {
			return base64.RawStdEncoding.EncodeToString(segment), nil
		}
	case "loose":
		if segment, ok := b.segments[arg]; ok {
			return loosen(segment), nil
		}
	}
	return "", errUnknown
}

// attacker returns a header member's value for the attacker's key.
func (b *builder) attacker(form string) (string, error) {
	if form == "jwk" {
		text, err := json.Marshal(b.w.Attacker.JWK())
		return string(text), err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: b.w.Issuer}}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, b.w.Attacker.Public(), b.w.Attacker.Private)
	switch form {
	case "x5c":
		return base64.StdEncoding.EncodeToString(cert), err
	case "x5t":
		sum := sha1.Sum(cert)
		return encode(sum[:]), err
	case "x5t#S256":
		sum := sha256.Sum256(cert)
		return encode(sum[:]), err
	}
	return "", errUnknown
}

// Mark begins every text that <mark> stands for.
const Mark = "mark"

// deflated returns n equal bytes, compressed, in base64url.
func deflated(n int) string {
	var packed bytes.Buffer
	z, _ := flate.NewWriter(&packed, flate.BestCompression) // fails for unknown levels alone
	_, _ = z.Write(bytes.Repeat([]byte("A"), n))
	_ = z.Close()
	return encode(packed.Bytes())
}

// loosen encodes a segment and sets a bit that no byte of it uses. If there is none, the
// segment gets a space at its end first, which JSON allows.
func loosen(segment []byte) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	if len(segment)%3 == 0 {
		segment = append(segment[:len(segment):len(segment)], ' ')
	}
	text := encode(segment)
	last := strings.IndexByte(alphabet, text[len(text)-1])
	return text[:len(text)-1] + string(alphabet[last|1])
}
