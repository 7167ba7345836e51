package jwks_test

import (
	"strings"
	"testing"
	"testing/synctest"

	"github.com/bearerkit/bearerkit/verify/jwks"
)

// Untrusted text in Health, which may be printed to a terminal, has no control
// characters, nor characters that change the direction of text.
func TestControlCharactersOfStrangers(t *testing.T) {
	for name, c := range map[string]struct{ header, want string }{
		"C0":               {"a\x1b[2J", "a?[2J"},
		"DEL":              {"a\x7f", "a?"},
		"C1":               {"a\u009b2J\u0085", "a?2J?"},
		"bidi override":    {"a\u202eb\u202c", "a?b?"},
		"bidi isolate":     {"a\u2066b\u2069", "a?b?"},
		"bidi marks":       {"a\u200e\u200f\u061c", "a???"},
		"line separators":  {"a\u2028\u2029", "a??"},
		"byte order mark":  {"a\ufeff", "a?"},
		"not UTF-8":        {"a\xff", "a?"},
		"letters and such": {"text/é 漢字 «…»", "text/é 漢字 «…»"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := ready(t, &fakeIssuer{handler: serving(document(newKey("a")), "Content-Type", c.header)}, jwks.Config{})
				defer s.Close()
				if got := healthOf(s).LastAnswer; !strings.Contains(got, ", "+c.want+", ") {
					t.Errorf("%q, want %q in it", got, c.want)
				}
			})
		})
	}
}
