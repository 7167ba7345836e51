package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	jose "github.com/go-jose/go-jose/v4"
	josejwt "github.com/go-jose/go-jose/v4/jwt"
	"github.com/golang-jwt/jwt/v5"
	"github.com/lestrrat-go/jwx/v3/jwa"
	jwxjwt "github.com/lestrrat-go/jwx/v3/jwt"

	"github.com/bearerkit/bearerkit/bench/token"
	"github.com/bearerkit/bearerkit/internal/hostile"
	"github.com/bearerkit/bearerkit/verify"
	"github.com/bearerkit/bearerkit/verify/jwks"
	"github.com/bearerkit/bearerkit/verify/verifytest"
)

const differentialLeeway = 30 * time.Second

// differentialNow is the time at which all tokens are verified: an input means
// the same whenever it is tried.
var differentialNow = time.Unix(1_900_000_000, 0)

// verifiers are what accepts whatever the kit accepts. Each is as strict as its
// options make it, and gets the one right key and algorithm.
var verifiers = map[string]func(raw string, key *verifytest.Key, algorithm string) error{
	"golang-jwt": func(raw string, key *verifytest.Key, algorithm string) error {
		_, err := jwt.NewParser(
			jwt.WithValidMethods([]string{algorithm}),
			jwt.WithIssuer(token.IssuerURL),
			jwt.WithAudience(token.Audience),
			jwt.WithExpirationRequired(),
			jwt.WithIssuedAt(),
			jwt.WithStrictDecoding(),
			jwt.WithLeeway(differentialLeeway),
			jwt.WithTimeFunc(func() time.Time { return differentialNow }),
		).Parse(raw, func(*jwt.Token) (any, error) { return key.Public(), nil })
		return err
	},
	"go-jose": func(raw string, key *verifytest.Key, algorithm string) error {
		t, err := josejwt.ParseSigned(raw, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(algorithm)})
		if err != nil {
			return err
		}
		var c josejwt.Claims
		if err := t.Claims(key.Public(), &c); err != nil {
			return err
		}
		if c.Expiry == nil {
			return josejwt.ErrExpired
		}
		return c.ValidateWithLeeway(josejwt.Expected{
			Issuer: token.IssuerURL, AnyAudience: []string{token.Audience}, Time: differentialNow,
		}, differentialLeeway)
	},
	"jwx": func(raw string, key *verifytest.Key, algorithm string) error {
		alg, ok := jwa.LookupSignatureAlgorithm(algorithm)
		if !ok {
			return fmt.Errorf("no algorithm %q", algorithm)
		}
		_, err := jwxjwt.ParseString(raw,
			jwxjwt.WithKey(alg, key.Public()),
			jwxjwt.WithIssuer(token.IssuerURL),
			jwxjwt.WithAudience(token.Audience),
			jwxjwt.WithRequiredClaim("exp"),
			jwxjwt.WithAcceptableSkew(differentialLeeway),
			jwxjwt.WithClock(jwxjwt.ClockFunc(func() time.Time { return differentialNow })),
		)
		return err
	},
}

// A reading is a token that the kit has accepted, as encoding/json reads it,
// numbers as they stand.
type reading struct {
	algorithm      string
	header, claims map[string]any
}

// A difference is a property of tokens that the kit accepts and some peers refuse.
type difference struct {
	peers []string
	why   string
	has   func(reading) bool
}

// differences are the tokens that the kit accepts and a peer rightly or
// wrongly refuses. There are no others.
var differences = []difference{
	{[]string{"golang-jwt", "go-jose"}, "they do not know Ed25519, the name that RFC 9864 gives EdDSA on that curve",
		func(r reading) bool { return r.algorithm == "Ed25519" }},
	{[]string{"go-jose", "jwx"}, "they read header members that point to keys, or are other standards'; the kit passes over them, whatever they hold",
		func(r reading) bool {
			for _, name := range []string{"jwk", "jku", "x5u", "x5c", "x5t", "x5t#S256", "nonce", "url", "enc", "epk", "apu", "apv", "iv", "tag", "p2s", "p2c"} {
				if _, has := r.header[name]; has {
					return true
				}
			}
			return false
		}},
	{[]string{"golang-jwt", "go-jose", "jwx"}, "they make a float64 of every number, also of one that nobody reads and that is too large for it",
		func(r reading) bool { return hugeNumber(r.header) || hugeNumber(r.claims) }},
	{[]string{"golang-jwt", "go-jose", "jwx"}, "they cut a date to whole seconds, which matters within one of the limit",
		func(r reading) bool {
			now, leeway := float64(differentialNow.Unix()), differentialLeeway.Seconds()
			return isNear(r.claims["exp"], now-leeway) || isNear(r.claims["nbf"], now+leeway) || isNear(r.claims["iat"], now+leeway)
		}},
	{[]string{"jwx"}, "it takes a number with a sign for no date",
		func(r reading) bool { return negative(r.claims["nbf"]) || negative(r.claims["iat"]) }},
	{[]string{"golang-jwt", "go-jose", "jwx"}, "dates that are ages away do not fit their types; the kit compares what it was told, and a date in the distant past has passed",
		func(r reading) bool { return isDistant(r.claims["nbf"]) || isDistant(r.claims["iat"]) }},
	{[]string{"golang-jwt", "go-jose", "jwx"}, "they want the type of each claim that they know; to the kit one that is null, or that only requirements look at, is absent",
		func(r reading) bool {
			for _, name := range []string{"nbf", "iat", "jti"} {
				if value, has := r.claims[name]; has && value == nil {
					return true
				}
			}
			_, isText := r.claims["jti"].(string)
			return r.claims["jti"] != nil && !isText
		}},
}

func negative(v any) bool {
	n, _ := v.(json.Number)
	return strings.HasPrefix(string(n), "-")
}

func hugeNumber(v any) bool {
	switch v := v.(type) {
	case json.Number:
		_, err := v.Float64()
		return err != nil
	case []any:
		return slices.ContainsFunc(v, hugeNumber)
	case map[string]any:
		for _, e := range v {
			if hugeNumber(e) {
				return true
			}
		}
	}
	return false
}

func number(v any) float64 {
	n, _ := v.(json.Number)
	f, err := n.Float64()
	if err != nil {
		return math.NaN()
	}
	return f
}

// isNear reports whether a date has a fraction and is near a limit.
func isNear(v any, limit float64) bool {
	f := number(v)
	return math.Abs(f-limit) <= 1 && f != math.Trunc(f)
}

// isDistant reports whether a date is outside of the years 1 to 9999.
func isDistant(v any) bool {
	f := number(v)
	return f < -62135596800 || f > 253402300799
}

// edit changes a token: each four bytes say what, where (two of them), and with
// which byte.
func edit(raw string, script []byte) string {
	b := []byte(raw)
	for n := 0; len(script) >= 4 && n < 8; n++ {
		at := int(binary.BigEndian.Uint16(script[1:])) % (len(b) + 1)
		switch c := script[3]; script[0] % 4 {
		case 0:
			if at < len(b) {
				b[at] = c
			}
		case 1:
			b = slices.Insert(b, at, c)
		case 2:
			if at < len(b) {
				b = slices.Delete(b, at, at+1)
			}
		case 3:
			b = b[:at]
		}
		script = script[4:]
	}
	return string(b)
}

// FuzzDifferential: any header and claims, or good claims with one that is set
// to anything, signed with the issuer's key by one of four algorithms, and then
// changed at will.
//
//   - What the kit accepts, golang-jwt, go-jose and jwx accept as well, set up
//     as strictly as they can be, save the differences that are listed above
//     with their reasons. So the kit is as strict as each of them, and an
//     access token means the same to the service and to what stands beside it.
//   - What was changed after it had been signed is not accepted, not even in
//     another spelling of the same bytes.
//
// That the kit refuses what they accept is its purpose, and nothing is demanded
// there.
func FuzzDifferential(f *testing.F) {
	w := hostile.NewWorld(token.IssuerURL, token.Audience, differentialNow)
	v, signers := differentialVerifier(f, w)
	cheap := slices.Index(hostile.Algorithms, "EdDSA")

	claims := func(members ...string) string {
		m := [][2]string{{"iss", fmt.Sprintf("%q", token.IssuerURL)}, {"aud", fmt.Sprintf("%q", token.Audience)}, {"sub", `"user_1"`}, {"exp", "1900003600"}, {"iat", "1899999990"}}
		for i := 0; i < len(members); i += 2 {
			if at := slices.IndexFunc(m, func(x [2]string) bool { return x[0] == members[i] }); at >= 0 {
				m[at][1] = members[i+1]
			} else {
				m = append(m, [2]string{members[i], members[i+1]})
			}
		}
		var list []string
		for _, x := range m {
			if x[1] != "" {
				list = append(list, fmt.Sprintf("%q:%s", x[0], x[1]))
			}
		}
		return "{" + strings.Join(list, ",") + "}"
	}
	for i, k := range signers {
		which := byte(i)
		header := fmt.Sprintf(`{"alg":%q,"kid":%q,"typ":"at+jwt"}`, k.Algorithm, k.ID)
		// The good ones, or nothing here means anything.
		good := k.Sign(header, claims())
		if _, err := v.Verify(context.Background(), good); err != nil {
			f.Fatalf("%s: the kit refuses a good token: %v", k.Algorithm, err)
		}
		for name, accept := range verifiers {
			if err := accept(good, k, k.Algorithm); err != nil {
				f.Fatalf("%s: %s refuses a good token: %v", k.Algorithm, name, err)
			}
			if accept(edit(good, []byte{0, 0, 60, '!'}), k, k.Algorithm) == nil || accept(k.Sign(header, claims("exp", "1899999969")), k, k.Algorithm) == nil {
				f.Fatalf("%s: %s accepts a bad token", k.Algorithm, name)
			}
		}
		f.Add(which, header, claims(), []byte(nil), "", "")
		dot, end := uint16(strings.IndexByte(good, '.')), uint16(len(good))
		at := func(op byte, position uint16, c byte) []byte {
			return []byte{op, byte(position >> 8), byte(position), c}
		}
		for _, script := range [][]byte{
			at(1, dot, '='), at(1, end, '='), at(1, end, '\n'), at(1, dot, '\n'), at(1, 5, '\r'), at(1, end, '.'), at(1, 0, '.'), at(1, 0, ' '), at(0, end-1, 'B'), at(0, dot-1, 'f'), at(0, dot-1, '+'), at(0, end-20, 'A'), at(2, end-1, 0), at(3, dot, 0), at(3, dot+1, 0), at(1, end, 0), slices.Concat(at(1, end, '='), at(1, end+1, '=')),
		} {
			f.Add(which, header, claims(), script, "", "")
		}
		if i != cheap {
			f.Add(which, fmt.Sprintf(`{"alg":%q}`, k.Algorithm), claims("exp", "1.9000036e9"), []byte(nil), "", "")
		}
		for _, c := range hostile.Cases() {
			header, payload, plain, err := c.JWS(w)
			if err != nil {
				f.Fatal(err)
			}
			if plain && c.Key(w) == k {
				f.Add(which, header, payload, []byte(nil), "", "")
			}
		}
	}

	for _, x := range [][2]string{
		{"exp", "1900003600.25"}, {"exp", "1.9e9"}, {"nbf", "1900000029.5"}, {"iat", "-1.5e-3"}, {"aud", fmt.Sprintf("[%q,%q]", "x", token.Audience)}, {"sub", `"\ud83d\ude00"`}, {"x", `[1,{"y":"\u00e9"},null,-0.1E+2]`}, {"", `""`}, {"jti", `"\u0041"`}, {"scope", `"a b"`},
	} {
		f.Add(byte(cheap), `{"alg":"EdDSA"}`, "", []byte(nil), x[0], x[1])
	}

	f.Fuzz(func(t *testing.T, which byte, header, payload string, script []byte, name, value string) {
		if payload == "" {
			// Claims that are good but for one of them: chance alone would
			// seldom come by them.
			payload = claims(name, value)
		}
		k := signers[cheap] // most of the time
		if int(which) < len(signers) {
			k = signers[which]
		}
		signed := k.Sign(header, payload)
		raw := edit(signed, script)
		if _, err := v.Verify(t.Context(), raw); err != nil {
			return
		}
		if raw != signed {
			t.Fatalf("accepted, though it was changed: %q, signed as %q", raw, signed)
		}
		agree(t, raw, k, header, payload)
	})
}

// differentialVerifier returns a verifier of the kit with the keys of a world, and the
// keys in the order of hostile.Algorithms.
func differentialVerifier(t testing.TB, w *hostile.World) (*verify.Verifier, []*verifytest.Key) {
	var signers []*verifytest.Key
	var keys []verify.Key
	for _, algorithm := range hostile.Algorithms {
		k := w.Keys[algorithm]
		signers = append(signers, k)
		keys = append(keys, verify.Key{ID: k.ID, Algorithm: k.Algorithm, Public: k.Public()})
	}
	v, err := verify.New(verify.Config{
		Issuers: []verify.Issuer{{Issuer: token.IssuerURL, Audience: []string{token.Audience}, Keys: jwks.Static(keys...)}},
		Leeway:  differentialLeeway, Now: func() time.Time { return differentialNow },
	})
	if err != nil {
		t.Fatal(err)
	}
	return v, signers
}

// agree demands that the other libraries accept a token that the kit has accepted, or
// that the difference is one of the list.
func agree(t *testing.T, raw string, k *verifytest.Key, header, payload string) {
	t.Helper()
	r := read(t, raw)
	for name, accept := range verifiers {
		err := accept(raw, k, r.algorithm)
		if err == nil {
			continue
		}
		if !slices.ContainsFunc(differences, func(d difference) bool { return slices.Contains(d.peers, name) && d.has(r) }) {
			t.Errorf("%s refuses what the kit accepts: %v\nheader %q\nclaims %q", name, err, header, payload)
		}
	}
}

// TestDifferentialHostile tries the tokens of internal/hostile. The kit answers as they
// say, and the other libraries accept what it accepts, with the same differences as in
// FuzzDifferential.
func TestDifferentialHostile(t *testing.T) {
	w := hostile.NewWorld(token.IssuerURL, token.Audience, differentialNow)
	v, _ := differentialVerifier(t, w)
	for _, c := range hostile.Cases() {
		t.Run(c.Name, func(t *testing.T) {
			raw, err := c.Token(w)
			if err != nil {
				t.Fatal(err)
			}
			header, payload, _, _ := c.JWS(w)
			_, err = v.Verify(t.Context(), raw)
			if c.Expect.Reason != "" {
				if !errors.Is(err, c.Expect.Reason) {
					t.Errorf("error %v, want %q: %s", err, string(c.Expect.Reason), c.Why)
				}
				return
			}
			if err != nil {
				t.Fatalf("refused: %v", err)
			}
			agree(t, raw, c.Key(w), header, payload)
		})
	}
}

// read reads a token that was accepted.
func read(t *testing.T, raw string) reading {
	t.Helper()
	object := func(segment string) (m map[string]any) {
		text, err := base64.RawURLEncoding.Strict().DecodeString(segment)
		if err == nil {
			d := json.NewDecoder(bytes.NewReader(text))
			d.UseNumber()
			err = d.Decode(&m)
		}
		if err != nil {
			t.Fatalf("accepted: %q (%v)", raw, err)
		}
		return m
	}
	segments := strings.Split(raw, ".")
	r := reading{header: object(segments[0]), claims: object(segments[1])}
	r.algorithm, _ = r.header["alg"].(string)
	return r
}
