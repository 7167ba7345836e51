package verify

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/bearerkit/bearerkit/internal/strictjson"
)

// The functions in this file make errors that say what was expected and what was
// received. They take values and no pointers into a token that is being read, so
// that a token that is accepted costs nothing for them, and put the sentences
// together only when somebody asks: a flood of refusals stays cheap.

// refuseClaim refuses a claim that is missing, empty or of the wrong type.
func refuseClaim(name string, v strictjson.Value) error {
	e := &Error{Reason: ErrClaim, Part: name}
	switch {
	case v == "":
		e.says = "a required claim of the token is missing"
	case v.Kind() == strictjson.Null:
		e.says = "a claim of the token is null"
	case v.Is(""):
		e.says = "a claim of the token is empty"
	default:
		e.says = "a claim of the token has the wrong type or form"
	}
	switch name {
	case "iss", "aud", "exp", "nbf", "iat":
		e.facts = func() (string, string) { return "", received(v) }
	}
	return e
}

// refuseIssuer refuses a token that names an issuer other than those expected.
func refuseIssuer(expected string, iss strictjson.Value) error {
	e := &Error{Reason: ErrIssuer, facts: func() (string, string) { return expected, received(iss) }}
	if iss.Is("") {
		e.says, e.Part = "the token names no issuer", "iss"
	}
	return e
}

// refuseFound refuses a token whose issuer FindIssuer does not trust. An error
// that wraps ErrIssuer becomes the cause.
func refuseFound(expected string, iss strictjson.Value, cause error) error {
	e := &Error{Reason: ErrIssuer, facts: func() (string, string) { return expected, received(iss) }}
	if cause != ErrIssuer {
		e.Cause = cause
	}
	return e
}

// refuseAudience refuses a token that is not meant for this service by "aud", or
// by the claim that stands in for it.
func refuseAudience(iss *issuer, claim string, v strictjson.Value) error {
	e := &Error{Reason: ErrAudience, facts: func() (string, string) {
		if claim != "aud" {
			return claim + " " + iss.audienceText, ""
		}
		return iss.audienceText, received(v)
	}}
	if v == "" && claim == "aud" {
		e.Reason = ErrClaim
	}
	if !namesAnything(v) {
		e.says, e.Part = "the token names no audience", claim
	}
	return e
}

// namesAnything reports whether a claim is a string that is not empty, or an
// array with one.
func namesAnything(v strictjson.Value) bool {
	for e := range v.Elements() {
		if e.Kind() == strictjson.String && !e.Is("") {
			return true
		}
	}
	return v.Kind() == strictjson.String && !v.Is("")
}

// refuseTime refuses a token because of one of its dates and the clock.
func refuseTime(r Reason, claim string, date float64, now time.Time, leeway time.Duration) error {
	e := &Error{Reason: r, facts: func() (string, string) {
		clock := fmt.Sprintf("the clock says %s, leeway is %v", now.UTC().Format(time.RFC3339), leeway)
		return clock, claim + " " + dated(date, now)
	}}
	switch r {
	case ErrClaim:
		e.says, e.Part = "the token expires too far in the future", claim
	case ErrNotYetValid:
		e.Part = claim
	}
	return e
}

// dated writes a NumericDate as it is and as a time, with its distance from now.
func dated(date float64, now time.Time) string {
	const year1, year9999 = -62135596800, 253402300799
	format := byte('f')
	if math.Abs(date) > 1e15 {
		format = 'g'
	}
	text := strconv.FormatFloat(date, format, -1, 64)
	if date < year1 || date > year9999 {
		return text
	}
	at := instant(date)
	distance, direction := now.Sub(at), "before the clock"
	if distance < 0 {
		distance, direction = -distance, "after the clock"
	}
	return fmt.Sprintf("%s (%s, %v %s)", text, at.UTC().Format(time.RFC3339), distance.Round(time.Millisecond), direction)
}

// refuseType refuses another kind of token: by its typ, or by a claim of such
// kinds.
func refuseType(part, typ string, profile bool) error {
	return &Error{Reason: ErrType, Part: part, facts: func() (string, string) {
		expected := `typ "at+jwt"`
		if !profile {
			expected += `, or typ "JWT" or none without a claim of another kind of token`
		}
		return expected, shownType(typ)
	}}
}

func shownType(typ string) string {
	if typ == "" {
		return "no typ"
	}
	return "typ " + quoted(typ, maxQuoted)
}

// refuseIDToken refuses a token that could be an access token of an issuer which
// allows the marks of ID tokens, but for its audience.
func refuseIDToken(mark, typ string) error {
	return &Error{
		Reason: ErrType, Part: mark, says: "the token looks like an ID token for its own client",
		facts: func() (string, string) {
			return "an audience other than the client, or Issuer.AllowClientAudience", shownType(typ)
		},
	}
}

// refuseBound refuses a token that is bound to a key.
func refuseBound(cnf strictjson.Value) error {
	if cnf.Kind() == strictjson.Null {
		return refuseClaim("cnf", cnf)
	}
	return refuse(ErrBound, "")
}

// refuseKey refuses a token whose key a set does not have.
func refuseKey(part string, set *KeySet) error {
	return &Error{Reason: ErrUnknownKey, Part: part, facts: func() (string, string) {
		without := 0
		for _, k := range set.all {
			if k.id == "" {
				without++
			}
		}
		return fmt.Sprintf("kid %s; %d keys, %d of them without a kid", listed(set.IDs(), maxExpected), len(set.all), without), ""
	}}
}

// received writes what a token had: a string, an array of them, or any JSON.
func received(v strictjson.Value) string {
	if v == "" {
		return "none"
	}
	if text, ok := v.Text(); ok {
		return quoted(text, maxQuoted)
	}
	list, ok := v.Texts()
	if !ok || len(list) == 0 {
		return quoted(string(v), maxQuoted)
	}
	return listed(list, maxQuoted)
}

// maxQuoted is how many bytes of a text are shown.
const maxQuoted = 100

// quoted quotes the beginning of a text, up to a number of bytes, as a Go string
// in ASCII: nothing in it can end a line, steer a terminal or pass for another
// letter.
func quoted(s string, limit int) string {
	if len(s) <= limit {
		return strconv.QuoteToASCII(s)
	}
	n := limit
	for n > 0 && n > limit-utf8.UTFMax && !utf8.RuneStart(s[n]) {
		n--
	}
	return strconv.QuoteToASCII(s[:n]) + "..."
}

const (
	maxListed   = 5   // how many values of a list are shown
	maxExpected = 500 // and how many bytes of a list of the service's own
)

// listed quotes the beginning of a list, up to a number of bytes, and says how
// long it is if that is not all.
func listed(list []string, limit int) string {
	if len(list) == 0 {
		return "none"
	}
	var b strings.Builder
	for i, s := range list {
		if i == maxListed || limit <= 0 {
			fmt.Fprintf(&b, ", ... (%d)", len(list))
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(quoted(s, limit))
		limit -= len(s)
	}
	return b.String()
}
