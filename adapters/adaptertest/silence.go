package adaptertest

import (
	"encoding/base64"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/bearerkit/bearerkit/internal/hostile"
	"github.com/bearerkit/bearerkit/middleware"
	"github.com/bearerkit/bearerkit/verify"
)

// window is how many consecutive bytes of a token may show nowhere.
const window = 8

// A challenge, as strict as RFC 9110 section 11.6.1 and RFC 6750 section 3 make
// it together.
var challengeGrammar = regexp.MustCompile(`^Bearer( [a-z_]+="[ !#-\[\]-~]*"(, [a-z_]+="[ !#-\[\]-~]*")*)?$`)

// marked finds the texts that only a caller can have written.
var marked = regexp.MustCompile(hostile.Mark + `[A-Z2-7]{26}`)

// silent records what a case sent and what came back.
func (f *fixture) silent(t *testing.T, c testCase, got *response) {
	t.Helper()
	for _, challenge := range got.Header.Values("WWW-Authenticate") {
		if challenge != "Negotiate" && challenge != "ApiKey" && !challengeGrammar.MatchString(challenge) {
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
			if !strings.Contains(token, "{") { // JSON in the clear has texts that show anyway
				f.secrets = append(f.secrets, token)
			}
			// What stands in it counts as well.
			for part := range strings.SplitSeq(token, ".") {
				text, _ := base64.RawURLEncoding.DecodeString(part)
				marks := marked.FindAllString(string(text), -1)
				if c.logged {
					f.logged = append(f.logged, marks...)
				} else {
					f.secrets = append(f.secrets, marks...)
				}
			}
		}
	}
}

// known are texts of which parts may show, though callers send them too: what is
// configured, and the names of checks.
func (f *fixture) known() string {
	list := []string{
		f.issuer.Audience(), "https://api.example.test/v1", "user_1", "orders:read orders:write", "Bearer error=", "no token follows Bearer in the Authorization header",
		"token_introspection", "permissions", "client_id", "auth_time", "token_use",
	}
	for _, a := range []*middleware.Auth{f.auth, f.strict, f.dark} {
		list = append(list, a.Verifier().Issuers()...)
	}
	list = append(list, f.evil.Issuer()) // much like the others
	for _, k := range f.issuer.Keys() {
		list = append(list, k.ID, k.Algorithm)
	}
	for _, r := range verify.Reasons() {
		list = append(list, r.Description(), string(r))
	}
	return strings.Join(list, "\x00")
}

// parts returns all windows of a text.
func parts(text string) map[string]bool {
	list := make(map[string]bool, len(text))
	for i := 0; i+window <= len(text); i++ {
		list[text[i:i+window]] = true
	}
	return list
}

// silence checks, after all requests, that nothing which a caller sent and the
// service did not know anyway shows in a log line or an answer, and that no
// caller chose a metric's label.
func (f *fixture) silence(t *testing.T) {
	answers, lines := parts(f.answers.String()), parts(f.log.String())
	if len(answers) < 500 || len(lines) < 500 || len(f.secrets) < 500 || len(f.logged) == 0 {
		t.Fatalf("%d parts of answers, %d of logs, %d and %d secrets: there is nothing to compare", len(answers), len(lines), len(f.secrets), len(f.logged))
	}
	known := f.known()
	leaks := 0
	check := func(where string, shown map[string]bool, secrets []string) {
		for _, secret := range secrets {
			for part := range parts(secret) {
				if shown[part] && !strings.Contains(known, part) {
					t.Errorf("%q shows in %s, of %.200q", part, where, secret)
					if leaks++; leaks > 20 {
						t.FailNow()
					}
					break
				}
			}
		}
	}
	check("an answer", answers, f.secrets)
	check("an answer", answers, f.logged)
	check("the log", lines, f.secrets)
	log := strings.ToLower(f.log.String())
	for _, text := range f.logged {
		if !strings.Contains(log, strings.ToLower(text)) {
			t.Errorf("the log lacks %s, which a developer needs", text)
		}
	}
	labels := append(middleware.Reasons(), "")
	f.reasons.Range(func(label, _ any) bool {
		if _, reason, _ := strings.Cut(label.(string), " "); !slices.Contains(labels, middleware.Reason(reason)) {
			t.Errorf("label %q", label)
		}
		return true
	})
}
