package verify

import (
	"fmt"
	"io"
	"log/slog"
)

// The Format methods keep values that are printed, by whatever verb and inside
// of whatever other value, from showing what only their fields should: tokens,
// claims, and the secret of a verifier's digests.

// Format prints no more than the type: whose token it is, say its fields and
// [Token.LogValue].
func (t Token) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, "verify.Token") }

// Format prints no more than the type.
func (v *Verifier) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, "verify.Verifier") }

// Format prints no more than the type.
func (q Query) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, "verify.Query") }

// LogValue says no more than the type.
func (q Query) LogValue() slog.Value { return slog.StringValue("verify.Query") }

// Format prints no more than the type.
func (a *Answer) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, "verify.Answer") }

// LogValue says no more than the type.
func (a *Answer) LogValue() slog.Value { return slog.StringValue("verify.Answer") }

// Format prints the text of [Error.Error], quoted if the verb wants that, and
// none of the fields.
func (e *Error) Format(s fmt.State, verb rune) {
	_, _ = fmt.Fprintf(s, fmt.FormatString(s, verb), e.Error())
}
