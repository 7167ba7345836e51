package verify

import (
	"fmt"
	"io"
	"iter"
	"log/slog"
	"slices"
	"strings"
)

// A Request is what a client presents: a token, and what may prove that the
// token is the client's. [Verifier.VerifyRequest] needs only the Token; the rest
// is looked at for tokens that are bound to a key (RFC 7800).
//
// A Request belongs to one request of a client. It remembers what was proved with
// it, so that the same Request can be verified again, with Fresh perhaps. It must
// not be used by two goroutines at once.
type Request struct {
	// Token is the access token: what followed the scheme, nothing more.
	Token string
	// Scheme is the authentication scheme that the token came with, in any case
	// (RFC 9110 section 11.1). Default: "Bearer".
	Scheme string
	// Fresh asks the authorization server about the token now, whatever it has
	// said before; what it says counts for later requests as well. Issuers without
	// [Introspection] cannot be asked: their tokens are refused with
	// ErrUnavailable.
	Fresh bool

	// Proofs are the values of the DPoP field, as they came (RFC 9449 section
	// 4.1).
	Proofs []string
	// Method, Host and Target are the method, the Host field and the request
	// target of the request line, as the client sent them.
	Method, Host, Target string
	// Certificate returns the SHA-256 hash of the DER form of the client's
	// certificate, which the TLS layer or a trusted proxy has proved (RFC 8705
	// section 3). It is called for tokens that are bound to a certificate, and
	// no others. The error says why there is none. Nil: there is none.
	Certificate func() ([32]byte, error)

	answer   []field
	proved   []proof
	verified *Token // while conditions are asked
}

type field struct{ name, value string }

// SetAnswerField sets a header field of the answer to the client, whether the
// request is served or refused; of two values for one name, in any case, the
// later one counts. Copies of the Request that were made before do not have it.
func (r *Request) SetAnswerField(name, value string) {
	r.answer = slices.DeleteFunc(slices.Clone(r.answer), func(f field) bool { return strings.EqualFold(f.name, name) })
	r.answer = append(r.answer, field{name, value})
}

// AnswerFields iterates over the header fields of the answer that
// [Request.SetAnswerField] has set: names and values.
func (r *Request) AnswerFields() iter.Seq2[string, string] {
	return func(yield func(name, value string) bool) {
		for _, f := range r.answer {
			if !yield(f.name, f.value) {
				return
			}
		}
	}
}

// Format prints the type and nothing more: neither the token nor its proofs.
func (r Request) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, "verify.Request") }

// LogValue shows the type and nothing more.
func (r Request) LogValue() slog.Value { return slog.StringValue("verify.Request") }
