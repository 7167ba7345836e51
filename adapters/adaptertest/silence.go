package adaptertest

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/bearerkit/bearerkit/middleware"
	"github.com/bearerkit/bearerkit/verify"
	"github.com/bearerkit/bearerkit/verify/verifytest"
)

// window is how many consecutive bytes of a token may show nowhere.
const window = 8

// A challenge, as strict as RFC 9110 section 11.6.1 and RFC 6750 section 3 make
// it together.
var challengeGrammar = regexp.MustCompile(`^Bearer( [a-z_]+="[ !#-\[\]-~]*"(, [a-z_]+="[ !#-\[\]-~]*")*)?$`)

// logged are the members of a token that the log says where they are at fault,
// and no answer ever.
var logged = []string{"iss", "aud", "exp", "nbf", "iat", "typ"}

// marked finds the texts that only a caller can have written.
var marked = regexp.MustCompile(`mark[A-Z2-7]{26}`)

func mark() string { return "mark" + rand.Text() }

// marks are tokens with something of the caller's own in every place: kids,
// issuers, clients, and what else a log line could be tempted to show.
func (h *hostileTokens) marks() {
	for _, member := range []string{"alg", "kid", "typ", "cty", "jku", "x5u", "crit"} {
		value := strconv.Quote(mark())
		switch member {
		case "jku", "x5u":
			h.bad("marked "+member, h.stranger().Sign(`{"alg":"ES256","kid":"`+mark()+`","`+member+`":`+value+"}", h.payload()))
		case "crit":
			h.bad("marked crit", h.es.Sign(`{"alg":"ES256","crit":[`+value+`],"`+mark()+`":1}`, h.payload()))
		case "cty":
			h.bad("marked cty", h.es.Sign(`{"alg":"ES256","cty":{"a":`+value+`}}`, h.payload()))
		default:
			head := map[string]string{"alg": `"ES256"`, "kid": strconv.Quote(h.es.ID)}
			head[member] = value
			h.bad("marked "+member, h.es.Sign(object(head), h.payload()))
		}
	}
	for _, claim := range []string{"iss", "aud", "exp", "nbf", "iat"} {
		h.bad("marked "+claim, h.signed(claim, strconv.Quote(mark())))
	}
	for _, claim := range []string{"sub", "client_id", "scp", "scope", "cnf"} {
		h.bad("marked "+claim, h.signed(claim, `{"`+mark()+`":"`+mark()+`"}`))
	}
	for _, claim := range []string{"azp", "jti", "acr", "auth_time"} { // these alone refuse nothing
		h.bad("marked "+claim, h.signed(claim, `{"`+mark()+`":"`+mark()+`"}`, "exp", "1"))
	}
	// Refused for another reason, with everything marked.
	h.bad("marked and expired", h.signed("sub", strconv.Quote(mark()), "client_id", strconv.Quote(mark()), "jti", strconv.Quote(mark()),
		"org_id", strconv.Quote(mark()), mark(), strconv.Quote(mark()), "exp", "1"))
}

func (h *hostileTokens) stranger() *verifytest.Key { return verifytest.NewKey("ES256") }

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
			f.secrets = append(f.secrets, token)
			// What stands in it counts as well.
			for part := range strings.SplitSeq(token, ".") {
				text, _ := base64.RawURLEncoding.DecodeString(part)
				marks := marked.FindAllString(string(text), -1)
				if member, ok := strings.CutPrefix(c.name, "hostile: marked "); ok && slices.Contains(logged, member) {
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
	if len(answers) < 500 || len(lines) < 500 || len(f.secrets) < 500 || len(f.logged) != len(logged) {
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
