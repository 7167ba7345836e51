package adaptertest

import (
	"encoding/base64"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/bearerkit/bearerkit/verify"
)

// window is how many consecutive bytes of a token may show nowhere.
const window = 8

// A challenge, as strict as RFC 9110 section 11.6.1 and RFC 6750 section 3 make
// it together.
var challengeGrammar = regexp.MustCompile(`^Bearer( [a-z_]+="[ !#-\[\]-~]*"(, [a-z_]+="[ !#-\[\]-~]*")*)?$`)

// silent takes down what a case sent and what came back.
func (f *fixture) silent(t *testing.T, c testCase, got *response) {
	t.Helper()
	for _, challenge := range got.Header.Values("WWW-Authenticate") {
		if !challengeGrammar.MatchString(challenge) {
			t.Errorf("challenge %q", challenge)
		}
	}
	if got.Status >= 400 { // a handler may say whom it serves
		fmt.Fprintln(&f.answers, got.Header, string(got.Body))
	}
	for _, header := range c.headers {
		name, value, _ := strings.Cut(header, ":")
		if !strings.EqualFold(strings.TrimSpace(name), "authorization") {
			continue
		}
		if scheme, token, ok := strings.Cut(strings.TrimSpace(value), " "); ok && strings.EqualFold(scheme, "bearer") {
			f.secrets = append(f.secrets, token)
			// What stands in it counts as well: a kid, an issuer, a client.
			for part := range strings.SplitSeq(token, ".") {
				if text, err := base64.RawURLEncoding.DecodeString(part); err == nil && got.Status != 200 {
					f.secrets = append(f.secrets, string(text))
				}
			}
		}
	}
}

// ours are texts of which parts may show, though callers send them too: what is
// configured, and the names of checks.
func (f *fixture) ours() string {
	list := []string{
		f.issuer.Issuer(), f.issuer.Audience(), "user_1", "orders:read orders:write",
		`"token_introspection":`, `"permissions":`, `"client_id":`, `"auth_time":`, `"token_use":`, `"https://api.example.test/v1`, `Bearer error=`,
	}
	for _, k := range f.issuer.Keys() {
		list = append(list, k.ID, k.Algorithm)
	}
	for _, r := range verify.Reasons() {
		list = append(list, r.Description(), string(r))
	}
	return strings.Join(list, "\x00")
}

// silence checks, after all requests, that nothing which a caller sent and the
// service did not know anyway shows in a log line or an answer, and that no
// caller chose a metric's label.
func (f *fixture) silence(t *testing.T) {
	shown := map[string]bool{}
	for _, text := range []string{f.log.String(), f.answers.String()} {
		for i := 0; i+window <= len(text); i++ {
			shown[text[i:i+window]] = true
		}
	}
	if len(shown) < 1000 || len(f.secrets) < 500 {
		t.Fatalf("%d parts of answers and logs, %d secrets: there is nothing to compare", len(shown), len(f.secrets))
	}
	ours := f.ours()
	leaks := 0
	for _, secret := range f.secrets {
		for i := 0; i+window <= len(secret); i++ {
			if part := secret[i : i+window]; shown[part] && !strings.Contains(ours, part) {
				t.Errorf("%q shows, of %.200q", part, secret)
				if leaks++; leaks > 20 {
					t.FailNow()
				}
				break
			}
		}
	}
	known := []string{"", "no_credentials", "credentials", "no_user", "user_unavailable", "insufficient_scope", "permission",
		"organization", "not_user", "not_machine", "max_age", "acr", "requirement", "requirement_unavailable"}
	for _, r := range verify.Reasons() {
		known = append(known, string(r))
	}
	f.reasons.Range(func(label, _ any) bool {
		if _, reason, _ := strings.Cut(label.(string), " "); !slices.Contains(known, reason) {
			t.Errorf("label %q", label)
		}
		return true
	})
}
