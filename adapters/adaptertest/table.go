package adaptertest

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/bearerkit/bearerkit/verify/verifytest"
)

// A testCase is a request and what every framework has to answer.
type testCase struct {
	name    string
	method  string // GET if empty
	path    string
	headers []string
	body    string

	answer
	user    string // the user of a served request; "-" for none
	logged  bool   // the log shows the texts of the caller, for a developer
	layered bool   // what a layer between the guards has put into the context is there
}

// An answer is a status and what belongs to it.
type answer struct {
	status    int
	challenge string // the whole WWW-Authenticate field, or, ending in "…", its beginning
	code      string // "error" in a refusal's body
}

var (
	served        = answer{status: 200}
	noCredentials = answer{401, bare, "unauthorized"}
	badToken      = answer{401, invalidToken, "invalid_token"}
	noKey         = answer{401, bare + "|ApiKey", "unauthorized"}
	badRequest    = answer{400, invalidReq, "invalid_request"}
	unavailable   = answer{status: 503, code: "temporarily_unavailable"}
)

// invalid returns the answer to a token that is refused for what the description says.
func invalid(description string) answer {
	return answer{401, `Bearer error="invalid_token", error_description="` + description + `"`, "invalid_token"}
}

func (c testCase) check(t *testing.T, got *response) {
	t.Helper()
	if got.Status != c.status {
		t.Fatalf("status %d, want %d: %s", got.Status, c.status, got.Body)
	}
	challenge := strings.Join(got.Header.Values("WWW-Authenticate"), "|")
	if start, cut := strings.CutSuffix(c.challenge, "…"); cut && !strings.HasPrefix(challenge, start) || !cut && challenge != c.challenge {
		t.Errorf("challenge %q, want %q", challenge, c.challenge)
	}
	if retry := got.Header.Get("Retry-After"); (retry != "") != (c.status == http.StatusServiceUnavailable) {
		t.Errorf("Retry-After: %q with status %d", retry, c.status)
	}
	if c.status >= 400 && got.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("a refusal has Cache-Control: %q", got.Header.Get("Cache-Control"))
	}
	if c.method == http.MethodHead || strings.HasPrefix(c.path, "/strict") {
		return
	}
	var body struct {
		Error, User, Sub *string
		Layer            string
		Deadline         bool
		Description      *string `json:"error_description"`
	}
	if err := json.Unmarshal(got.Body, &body); err != nil {
		t.Fatalf("body %q: %v", got.Body, err)
	}
	if c.status >= 400 {
		if body.Error == nil || *body.Error != c.code || body.Description == nil || *body.Description == "" {
			t.Errorf("body %s, want error %q and a description", got.Body, c.code)
		}
		return
	}
	if c.layered != (body.Layer == "kept" && body.Deadline) {
		t.Errorf("body %s, want what the layer has added: %v", got.Body, c.layered)
	}
	switch {
	case c.user == "-" && (body.User != nil || body.Sub != nil):
		t.Errorf("body %s, want no user", got.Body)
	case c.user != "-" && (body.User == nil || *body.User != c.user || body.Sub == nil || *body.Sub != c.user):
		t.Errorf("body %s, want user %q", got.Body, c.user)
	}
}

const (
	bare         = `Bearer`
	invalidToken = `Bearer error="invalid_token", error_description="…`
	metadata     = `resource_metadata="https://api.example.test/.well-known/oauth-protected-resource/v1"`
	invalidReq   = `Bearer error="invalid_request", error_description="…`
)

// cases returns all requests but those with tokens of internal/hostile.
func (f *fixture) cases() []testCase {
	type claims = verifytest.Claims
	token := func(c claims, o ...verifytest.TokenOption) string { return f.issuer.Token(c, o...) }
	bearer := func(token string) []string { return []string{"Authorization: Bearer " + token} }
	good := token(nil)
	evil := f.evil.Token(claims{"iss": f.issuer.Issuer()})
	parts := strings.Split(good, ".")
	now := time.Now().Unix()

	list := []testCase{
		// A request without credentials is asked for some, without an error
		// code (RFC 6750 section 3.1).
		{name: "no credentials", path: "/any", answer: noCredentials},
		{name: "an empty field", path: "/any", headers: []string{"Authorization:"}, answer: noCredentials},
		{name: "another scheme", path: "/any", headers: []string{"Authorization: Basic dTpw"}, answer: noCredentials},
		{
			name:    "a scheme that begins alike",
			path:    "/any",
			headers: []string{"Authorization: Bearerish " + good},
			answer:  noCredentials,
		},
		{name: "query parameter, not asked for", path: "/any?access_token=" + good, answer: noCredentials},
		{
			name:    "form parameter, not asked for",
			method:  "POST",
			path:    "/any",
			headers: []string{"Content-Type: application/x-www-form-urlencoded"},
			body:    "access_token=" + good,
			answer:  noCredentials,
		},
		{
			name:    "cookie, not asked for",
			path:    "/any",
			headers: []string{"Cookie: access_token=" + good},
			answer:  noCredentials,
		},
		{
			name:    "websocket protocol, not asked for",
			path:    "/any",
			headers: []string{"Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Protocol: " + good},
			answer:  noCredentials,
		},
		{
			name:    "another layer's challenge",
			path:    "/any",
			headers: []string{"X-Offer: Negotiate"},
			answer:  answer{401, "Negotiate|" + bare, "unauthorized"},
		},
		{
			name:    "another layer's challenge, the same",
			path:    "/any",
			headers: []string{"X-Offer: Bearer"},
			answer:  noCredentials,
		},
		{
			name:    "another layer's challenge beside a 403",
			path:    "/permission",
			headers: append(bearer(good), "X-Offer: Negotiate"),
			answer:  answer{403, "Negotiate", "access_denied"},
		},
		{name: "HEAD", method: "HEAD", path: "/any", answer: answer{401, bare, ""}},
		{name: "OPTIONS", method: "OPTIONS", path: "/any", answer: noCredentials},
		{name: "TRACE", method: "TRACE", path: "/any", answer: noCredentials},
		{
			name:    "a method to override",
			method:  "GET",
			path:    "/any",
			headers: []string{"X-HTTP-Method-Override: OPTIONS", "X-Forwarded-Host: x", "Forwarded: host=x"},
			answer:  noCredentials,
		},
		{
			name:    "forged identity headers",
			path:    "/any",
			headers: []string{"X-User: root", "X-Forwarded-User: root"},
			answer:  noCredentials,
		},

		{name: "good", path: "/any", headers: bearer(good), answer: served, user: "user_1"},
		{
			name:    "scheme in lower case",
			path:    "/any",
			headers: []string{"authorization: bearer " + good},
			answer:  served,
			user:    "user_1",
		},
		{
			name:    "scheme in upper case",
			path:    "/any",
			headers: []string{"AUTHORIZATION: BEARER " + good},
			answer:  served,
			user:    "user_1",
		},
		{name: "POST", method: "POST", path: "/any", headers: bearer(good), body: "{}", answer: served, user: "user_1"},
		{
			name:    "good beside identity headers",
			path:    "/any",
			headers: append(bearer(good), "X-User: root"),
			answer:  served,
			user:    "user_1",
		},

		// Malformed requests.
		{name: "no token", path: "/any", headers: []string{"Authorization: Bearer"}, answer: badRequest},
		{name: "no token but a space", path: "/any", headers: []string{"Authorization: Bearer "}, answer: badRequest},
		{name: "a tab", path: "/any", headers: []string{"Authorization: Bearer\t" + good}, answer: badRequest},
		{name: "two spaces", path: "/any", headers: []string{"Authorization: Bearer  " + good}, answer: badRequest},
		{name: "two tokens", path: "/any", headers: bearer("a b"), answer: badRequest},
		{name: "a list", path: "/any", headers: bearer(good + ", Bearer " + good), answer: badRequest},
		{name: "quotes", path: "/any", headers: bearer(`"` + good + `"`), answer: badRequest},
		{name: "the scheme twice", path: "/any", headers: bearer("Bearer " + good), answer: badRequest},
		{name: "a colon", path: "/any", headers: []string{"Authorization: Bearer: " + good}, answer: badRequest},
		{name: "no scheme", path: "/any", headers: []string{"Authorization: " + good}, answer: noCredentials},
		{name: "percent escapes", path: "/any", headers: bearer("a%2eb"), answer: badRequest},
		{name: "not ASCII", path: "/any", headers: bearer(good + "é"), answer: badRequest},
		{name: "two fields", path: "/any", headers: append(bearer(good), bearer(good)...), answer: badRequest},
		{
			name:    "two fields, one another scheme's",
			path:    "/any",
			headers: append(bearer(good), "Authorization: Basic dTpw"),
			answer:  badRequest,
		},

		// Tokens that are not good.
		{name: "opaque", path: "/any", headers: bearer("opaque"), answer: badToken},
		{name: "garbage", path: "/any", headers: bearer("abc.def.ghi"), answer: badToken},
		{name: "padding", path: "/any", headers: bearer(good + "="), answer: badToken},
		{
			name:    "standard alphabet",
			path:    "/any",
			headers: bearer("a+/b." + parts[1] + "." + parts[2]),
			answer:  badToken,
		},
		{name: "no signature", path: "/any", headers: bearer(parts[0] + "." + parts[1] + "."), answer: badToken},
		{name: "detached", path: "/any", headers: bearer(parts[0] + ".." + parts[2]), answer: badToken},
		{name: "five segments", path: "/any", headers: bearer(good + ".a.b"), answer: badToken},
		{
			name:    "a hundred thousand dots",
			path:    "/any",
			headers: bearer(strings.Repeat(".", 100_000)),
			answer:  badToken,
		},
		{
			name:    "too large",
			path:    "/any",
			headers: bearer(token(claims{"pad": strings.Repeat("x", 20_000)})),
			answer:  invalid("the token is too large"),
		},
		{
			name:    "expired",
			path:    "/any",
			headers: bearer(token(claims{"exp": now - 60})),
			answer:  invalid("the token has expired"),
		},
		{name: "not yet valid", path: "/any", headers: bearer(token(claims{"nbf": now + 600})), answer: badToken},
		{
			name:    "another audience",
			path:    "/any",
			headers: bearer(token(claims{"aud": "https://other.test"})),
			answer:  invalid("the token is meant for another audience"),
		},
		{
			name:    "another issuer",
			path:    "/any",
			headers: bearer(token(claims{"iss": "https://other.test"})),
			answer:  badToken,
		},
		{name: "forged", path: "/any", headers: bearer(evil), answer: badToken},
		{name: "alg none", path: "/any", headers: bearer("eyJhbGciOiJub25lIn0." + parts[1] + ".AA"), answer: badToken},
		{
			name:    "another kind of token",
			path:    "/any",
			headers: bearer(token(nil, verifytest.WithHeader(map[string]any{"typ": "logout+jwt"}))),
			answer:  badToken,
		},
		{
			name:    "an ID token",
			path:    "/any",
			headers: bearer(token(claims{"nonce": "n"}, verifytest.WithHeader(map[string]any{"typ": "JWT"}))),
			answer:  badToken,
		},
		{
			name:    "bound to a key",
			path:    "/any",
			headers: bearer(token(claims{"cnf": map[string]any{"jkt": "x"}})),
			answer:  badToken,
		},
		{
			name:    "HEAD, expired",
			method:  "HEAD",
			path:    "/any",
			headers: bearer(token(claims{"exp": now - 60})),
			answer:  answer{401, invalidToken, ""},
		},

		// Keys belong to their issuer, whatever they are called.
		{name: "the second issuer's", path: "/two", headers: bearer(f.evil.Token(nil)), answer: served, user: "user_1"},
		{name: "the second issuer's key for the first", path: "/two", headers: bearer(evil), answer: badToken},
		{
			name:    "the second issuer's key under the first's kid",
			path:    "/two",
			headers: bearer(f.evil.Token(claims{"iss": f.issuer.Issuer()}, verifytest.WithHeader(map[string]any{"kid": f.keys["ES256"].ID}))),
			answer:  badToken,
		},
		{
			name:    "the first issuer's key for the second",
			path:    "/two",
			headers: bearer(token(claims{"iss": f.evil.Issuer()})),
			answer:  badToken,
		},
		{
			name:    "an algorithm that is configured",
			path:    "/narrow",
			headers: bearer(token(nil, verifytest.WithAlgorithm("ES256"))),
			answer:  served,
			user:    "user_1",
		},
		{
			name:    "a published key of an algorithm that is not",
			path:    "/narrow",
			headers: bearer(token(nil, verifytest.WithAlgorithm("RS256"))),
			answer:  invalid("the token's signature algorithm is not accepted"),
		},

		// Credentials of another kind beside bearer tokens.
		{
			name:    "an API key",
			path:    "/keyed",
			headers: []string{"X-Api-Key: good"},
			answer:  served,
			user:    "robot",
			layered: true,
		},
		{
			name:    "a token where API keys are taken",
			path:    "/keyed",
			headers: bearer(token(claims{"scope": "orders:read"})),
			answer:  served,
			user:    "user_1",
			layered: true,
		},
		{
			name:    "an API key and a token",
			path:    "/keyed",
			headers: append(bearer(token(claims{"scope": "orders:read"})), "X-Api-Key: good"),
			answer:  served,
			user:    "user_1",
			layered: true,
		},
		{
			name:    "an API key and a bad token",
			path:    "/keyed",
			headers: append(bearer("abc.def.ghi"), "X-Api-Key: good"),
			answer:  badToken,
		},
		{name: "nobody's API key", path: "/keyed", headers: []string{"X-Api-Key: bad"}, answer: noKey},
		{
			name:    "two API keys",
			path:    "/keyed",
			headers: []string{"X-Api-Key: good", "X-Api-Key: bad"},
			answer:  badRequest,
		},
		{
			name:    "an API key that cannot be looked up",
			path:    "/keyed",
			headers: []string{"X-Api-Key: storm"},
			answer:  unavailable,
		},
		{name: "neither an API key nor a token", path: "/keyed", answer: noKey},
		{
			name:    "optional, an API key",
			path:    "/keyed/optional",
			headers: []string{"X-Api-Key: good"},
			answer:  served,
			user:    "robot",
		},
		{
			name:    "optional, nobody's API key",
			path:    "/keyed/optional",
			headers: []string{"X-Api-Key: bad"},
			answer:  noKey,
		},
		{
			name:    "an API key where none is taken",
			path:    "/any",
			headers: []string{"X-Api-Key: good"},
			answer:  noCredentials,
		},

		// The user.
		{name: "no such user", path: "/any", headers: bearer(token(claims{"sub": "ghost"})), answer: badToken},
		{
			name:    "no such user, whatever the scope",
			path:    "/read",
			headers: bearer(token(claims{"sub": "ghost", "scope": ""})),
			answer:  badToken,
		},
		{
			name:    "the user store is down",
			path:    "/any",
			headers: bearer(token(claims{"sub": "storm"})),
			answer:  unavailable,
		},

		// Optional authentication.
		{name: "optional, none", path: "/optional", answer: served, user: "-"},
		{
			name:    "optional, another scheme",
			path:    "/optional",
			headers: []string{"Authorization: Basic dTpw"},
			answer:  served,
			user:    "-",
		},
		{name: "optional, good", path: "/optional", headers: bearer(good), answer: served, user: "user_1"},
		{name: "optional, bad", path: "/optional", headers: bearer("abc.def.ghi"), answer: badToken},
		{
			name:    "optional, malformed",
			path:    "/optional",
			headers: []string{"Authorization: Bearer"},
			answer:  badRequest,
		},
		{
			name:    "optional, no such user",
			path:    "/optional",
			headers: bearer(token(claims{"sub": "ghost"})),
			answer:  badToken,
		},

		// Without keys the answer is 503 for every client; what needs no key is still 401.
		{
			name:    "no keys",
			path:    "/dark",
			headers: bearer(token(claims{"iss": f.dark.Verifier().Issuers()[0]})),
			answer:  unavailable,
		},
		{
			name:    "no keys, optional",
			path:    "/dark/optional",
			headers: bearer(token(claims{"iss": f.dark.Verifier().Issuers()[0]})),
			answer:  unavailable,
		},
		{
			name:    "no keys, expired",
			path:    "/dark",
			headers: bearer(token(claims{"iss": f.dark.Verifier().Issuers()[0], "exp": now - 60})),
			answer:  badToken,
		},
		{name: "no keys, no credentials", path: "/dark", answer: noCredentials},

		// Guards that follow each other, on one resolution of the user.
		{
			name:    "nested, good",
			path:    "/nested",
			headers: bearer(token(claims{"scope": "orders:read"})),
			answer:  served,
			user:    "user_1",
		},
		{
			name:    "nested, without the scope",
			path:    "/nested",
			headers: bearer(token(claims{"scope": "other"})),
			answer:  answer{403, insufficient("orders:read"), "insufficient_scope"},
		},
		{name: "nested, none", path: "/nested", answer: noCredentials},
		{name: "optional before required, none", path: "/opened", answer: noCredentials},
		{
			name:    "optional before required, good",
			path:    "/opened",
			headers: bearer(good),
			answer:  served,
			user:    "user_1",
		},

		{name: "layered, good", path: "/layered", headers: bearer(good), answer: served, user: "user_1", layered: true},
		{name: "layered, bad", path: "/layered", headers: bearer("abc.def.ghi"), answer: badToken},
		{
			name:    "layered, optional, good",
			path:    "/layered/optional",
			headers: bearer(good),
			answer:  served,
			user:    "user_1",
			layered: true,
		},
		{name: "layered, optional, none", path: "/layered/optional", answer: served, user: "-", layered: true},
		{name: "a router behind the guard", path: "/mux/7", headers: bearer(good), answer: served, user: "user_1"},

		// Realm, metadata and an error handler, which cannot turn the status.
		{
			name:   "strict, none",
			path:   "/strict",
			answer: answer{401, `Bearer realm="orders", scope="orders:read", ` + metadata, ""},
		},
		{
			name:    "strict, without the scope",
			path:    "/strict",
			headers: bearer(token(claims{"scope": ""})),
			answer:  answer{403, `Bearer realm="orders", ` + insufficient("orders:read")[len("Bearer "):] + ", " + metadata, ""},
		},
		{
			name:    "strict, good",
			path:    "/strict",
			headers: bearer(token(claims{"scope": "orders:read"})),
			answer:  served,
			user:    "user_1",
		},
	}
	return append(list, f.requirementCases()...)
}
