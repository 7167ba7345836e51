package verify_test

import (
	"encoding/base64"
	"errors"
	"runtime"
	"strings"
	"testing"

	"github.com/bearerkit/bearerkit/verify"
)

const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

// loosen sets a bit that no byte of a segment uses; it returns "" where the
// segment has none.
func loosen(segment string) string {
	if len(segment)%4 == 0 {
		return ""
	}
	last := strings.IndexByte(alphabet, segment[len(segment)-1])
	return segment[:len(segment)-1] + string(alphabet[last|1])
}

// pad lengthens a text with a member until the length of its encoding is not a multiple
// of 4, so that the encoding has unused bits, and one or two '=' if it is padded.
func pad(t *testing.T, edit func(noise string) string, mod int) string {
	t.Helper()
	for i := range 3 {
		if s := edit(`"` + strings.Repeat("x", i) + `"`); len(s)%3 == mod {
			return s
		}
	}
	t.Fatal("no such length")
	return ""
}

func TestBase64(t *testing.T) {
	v, _ := build(t, nil)
	// RS256: the signature of 256 bytes leaves unused bits as well.
	for _, mod := range []int{1, 2} {
		h := pad(t, func(n string) string { return rs256.header("x", n) }, mod)
		c := pad(t, func(n string) string { return claims("x", n) }, mod)
		header, payload := enc(h), enc(c)
		text := header + "." + payload
		sig := b64(signature("RS256", rsaPriv, text))
		equals := "=="[:3-mod]
		// Signed as they are sent, so that nothing but the form is at fault.
		sign := func(header, payload string) string {
			text := header + "." + payload
			return text + "." + b64(signature("RS256", rsaPriv, text))
		}
		rows := []row{
			{"control", text + "." + sig, accepted, ""},
			{"padded header", sign(header+equals, payload), verify.ErrMalformed, ""},
			{"padded payload", sign(header, payload+equals), verify.ErrMalformed, ""},
			{"padded signature", text + "." + sig + "==", verify.ErrMalformed, ""},
			{"signature with one =", text + "." + sig + "=", verify.ErrMalformed, ""},
			{"signature with three =", text + "." + sig + "===", verify.ErrMalformed, ""},
			{"all padded", sign(header+equals, payload+equals) + "==", verify.ErrMalformed, ""},
			{"escaped padding", sign(header+"%3D", payload), verify.ErrSyntax, ""},
			{"loose bits in the header", sign(loosen(header), payload), verify.ErrMalformed, "header encoding"},
			{"loose bits in the payload", sign(header, loosen(payload)), verify.ErrMalformed, "claims encoding"},
			{"loose bits in the signature", text + "." + loosen(sig), verify.ErrMalformed, "signature encoding"},
			{"header of an impossible length", sign(header+strings.Repeat("A", (5-len(header)%4)%4), payload), verify.ErrMalformed, ""},
			{"one character more in the signature", text + "." + sig + "A", verify.ErrSignature, ""},
			{"one character less in the signature", text + "." + sig[:len(sig)-1], verify.ErrMalformed, "signature encoding"},
		}
		// A byte that is not of base64url, anywhere in the token: 400 if a
		// b64token cannot have it (RFC 6750 section 2.1), else 401.
		for _, c := range []struct {
			chars  string
			reason verify.Reason
		}{
			{"+/~=", verify.ErrMalformed},
			{"\n\r\t \x00\x0b\x0c\x7f\x80\xff%\"'\\,:;!*()<>[]{}|^`@#$&?", verify.ErrSyntax},
		} {
			for i := range len(c.chars) {
				b := c.chars[i : i+1]
				name := "byte " + quote(b)
				if b[0] >= 0x80 {
					name += b64([]byte(b))
				}
				mid := len(header) / 2
				rows = append(rows,
					row{name + " in the header", sign(header[:mid]+b+header[mid:], payload), c.reason, ""},
					row{name + " in place of another", sign(header[:mid]+b+header[mid+1:], payload), c.reason, ""},
					row{name + " in the payload", sign(header, payload[:20]+b+payload[20:]), c.reason, ""},
					row{name + " in the signature", text + "." + sig[:20] + b + sig[20:], c.reason, ""},
					row{name + " first", sign(b+header, payload), c.reason, ""},
					row{name + " before a dot", sign(header+b, payload), c.reason, ""},
					row{name + " after a dot", sign(header, b+payload), c.reason, ""})
				rows = append(rows, row{name + " last", text + "." + sig + b, c.reason, ""})
			}
		}
		for _, s := range []string{"\r\n", "\n\n", "\u00a0", "\u2028", "\ufeff", "\u0130"} {
			rows = append(rows,
				row{quote(s) + " in front", s + text + "." + sig, verify.ErrSyntax, ""},
				row{quote(s) + " behind", text + "." + sig + s, verify.ErrSyntax, ""},
				row{quote(s) + " within", sign(header[:8]+s+header[8:], payload), verify.ErrSyntax, ""})
		}
		run(t, v, rows)
	}
	// The standard alphabet, where it differs.
	h := rs256.header("x", `"???>>>~~~ÿÿÿ"`)
	header := enc(h)
	std := base64.RawStdEncoding.EncodeToString([]byte(h))
	if header == std {
		t.Fatal("the two alphabets do not differ")
	}
	for _, c := range []row{{"url", header, accepted, ""}, {"std", std, verify.ErrMalformed, "header encoding"}} {
		text := c.token + "." + enc(claims())
		c.token = text + "." + b64(signature("RS256", rsaPriv, text))
		run(t, v, []row{c})
	}
}

func TestSize(t *testing.T) {
	v, _ := build(t, nil)
	sized := func(n int) string {
		for i := 0; ; i++ {
			// Base64 makes 4 bytes of 3: come close, then let the header fill up.
			tok := eddsa.token(eddsa.header("y", quote(strings.Repeat("y", i))), claims("x", quote(strings.Repeat("x", n/4*3-700))))
			if len(tok) == n {
				return tok
			}
			if len(tok) > n {
				t.Fatalf("no token of %d bytes", n)
			}
		}
	}
	accept(t, v, sized(16384))
	refuse(t, v, eddsa.token(eddsa.header(), claims("x", quote(strings.Repeat("x", 16384)))), verify.ErrTooLarge)
	refuse(t, v, strings.Repeat("A", 16384), verify.ErrMalformed)
	refuse(t, v, strings.Repeat("A", 16385), verify.ErrTooLarge)
	refuse(t, v, strings.Repeat(" ", 16384), verify.ErrSyntax)
	refuse(t, v, strings.Repeat(" ", 16385), verify.ErrTooLarge) // it is not even looked at

	good := eddsa.good()
	for n, want := range map[int]verify.Reason{len(good): accepted, len(good) - 1: verify.ErrTooLarge, 1: verify.ErrTooLarge, 1 << 20: accepted} {
		w, _ := build(t, func(c *verify.Config) { c.MaxTokenSize = n })
		run(t, w, []row{{"good", good, want, ""}})
	}
}

// What is refused costs next to nothing, whatever its size.
func TestRefusalAllocatesLittle(t *testing.T) {
	v, _ := build(t, nil)
	large, _ := build(t, func(c *verify.Config) { c.MaxTokenSize = 4 << 20 })
	dots, mega := strings.Repeat(".", 100_000), strings.Repeat("A", 1<<20)
	good := es256.good()
	for _, c := range []struct {
		name   string
		v      *verify.Verifier
		token  string
		reason verify.Reason
	}{
		{"dots", v, dots, verify.ErrTooLarge},
		{"mebibyte", v, mega, verify.ErrTooLarge},
		{"mebibyte of a token", v, good + mega, verify.ErrTooLarge},
		{"dots within the cap", v, dots[:16384], verify.ErrMalformed},
		{"dots, larger cap", large, dots, verify.ErrMalformed},
		{"dots behind a token, larger cap", large, good + dots, verify.ErrMalformed},
		{"dotted, larger cap", large, strings.Repeat("A.", 50_000), verify.ErrMalformed},
		{"mebibyte, larger cap", large, mega, verify.ErrMalformed},
		{"mebibyte of spaces, larger cap", large, strings.Repeat(" ", 1<<20), verify.ErrSyntax},
		{"empty signature, larger cap", large, mega + "." + mega + ".", verify.ErrMalformed},
	} {
		t.Run(c.name, func(t *testing.T) {
			var err error
			const runs = 50
			n := testing.AllocsPerRun(runs, func() { _, err = c.v.Verify(t.Context(), c.token) })
			if !errors.Is(err, c.reason) {
				t.Fatalf("error %v, want %s", err, c.reason)
			}
			if n > 2 {
				t.Errorf("%v allocations", n)
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			for range runs {
				_, _ = c.v.Verify(t.Context(), c.token)
			}
			runtime.ReadMemStats(&after)
			// Other tests of the package may be at work at the same time, so
			// this is generous; the token's size would still be noticed.
			if each := (after.TotalAlloc - before.TotalAlloc) / runs; each > 4096 {
				t.Errorf("%d bytes allocated", each)
			}
		})
	}
}

// Inside of the cap a hostile token costs no more than a small multiple of its
// size in memory, and time that grows with it, not with its square.
func TestHostileWithinTheCap(t *testing.T) {
	v, _ := build(t, func(c *verify.Config) { c.MaxTokenSize = 1 << 20 })
	var members, escaped strings.Builder
	for i := range 20_000 {
		members.WriteString(`"` + strings.Repeat("m", i%7) + string(rune(0x4e00+i)) + `":0,`)
		escaped.WriteString(`\u0041`)
	}
	c := claims()
	run(t, v, []row{
		{"20,000 members", eddsa.token(eddsa.header(), "{"+members.String()+c[1:]), accepted, ""},
		{"20,000 members in the header", eddsa.token("{"+members.String()+eddsa.header()[1:], c), accepted, ""},
		{"20,000 audiences", eddsa.with("aud", `["`+strings.Repeat(`x","`, 20_000)+testAudience+`"]`), accepted, ""},
		{"20,000 audiences of others", eddsa.with("aud", `["`+strings.Repeat(`x","`, 20_000)+`x"]`), verify.ErrAudience, ""},
		{"20,000 escapes", eddsa.with("jti", `"`+escaped.String()+`"`), accepted, ""},
		{"nested", eddsa.with("x", strings.Repeat("[", 200_000)+strings.Repeat("]", 200_000)), verify.ErrMalformed, "claims"},
		{"open", eddsa.with("x", strings.Repeat(`{"a":`, 100_000)), verify.ErrMalformed, "claims"},
		{"nested actors", eddsa.with("act", strings.Repeat(`{"act":`, 50_000)+`{}`+strings.Repeat("}", 50_000)), verify.ErrMalformed, "claims"},
		{"long number", eddsa.with("exp", strings.Repeat("9", 100_000)), verify.ErrClaim, "exp"},
		{"long fraction", eddsa.with("exp", at(300)+"."+strings.Repeat("9", 100_000)), accepted, ""},
		{"scopes", eddsa.with("scope", `"`+strings.Repeat("s ", 50_000)+`s"`), accepted, ""},
	})
}
