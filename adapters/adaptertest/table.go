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

	status    int
	challenge string // the whole WWW-Authenticate field, or, ending in "…", its beginning
	code      string // "error" in a refusal's body
	user      string // the user of a served request; "-" for none
	logged    bool   // the log shows the texts of the caller, for a developer
	layered   bool   // what a layer between the guards has put into the context is there
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
	invalidReq   = `Bearer error="invalid_request", error_description="…`
)

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
		{name: "no credentials", path: "/any", status: 401, challenge: bare, code: "unauthorized"},
		{name: "an empty field", path: "/any", headers: []string{"Authorization:"}, status: 401, challenge: bare, code: "unauthorized"},
		{name: "another scheme", path: "/any", headers: []string{"Authorization: Basic dTpw"}, status: 401, challenge: bare, code: "unauthorized"},
		{name: "a scheme that begins alike", path: "/any", headers: []string{"Authorization: Bearerish " + good}, status: 401, challenge: bare, code: "unauthorized"},
		{name: "query parameter, not asked for", path: "/any?access_token=" + good, status: 401, challenge: bare, code: "unauthorized"},
		{name: "form parameter, not asked for", method: "POST", path: "/any", headers: []string{"Content-Type: application/x-www-form-urlencoded"}, body: "access_token=" + good, status: 401, challenge: bare, code: "unauthorized"},
		{name: "cookie, not asked for", path: "/any", headers: []string{"Cookie: access_token=" + good}, status: 401, challenge: bare, code: "unauthorized"},
		{name: "websocket protocol, not asked for", path: "/any", headers: []string{"Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Protocol: " + good}, status: 401, challenge: bare, code: "unauthorized"},
		{name: "another layer's challenge", path: "/any", headers: []string{"X-Offer: Negotiate"}, status: 401, challenge: "Negotiate|" + bare, code: "unauthorized"},
		{name: "another layer's challenge, the same", path: "/any", headers: []string{"X-Offer: Bearer"}, status: 401, challenge: bare, code: "unauthorized"},
		{name: "another layer's challenge beside a 403", path: "/permission", headers: append(bearer(good), "X-Offer: Negotiate"), status: 403, challenge: "Negotiate", code: "access_denied"},
		{name: "HEAD", method: "HEAD", path: "/any", status: 401, challenge: bare},
		{name: "OPTIONS", method: "OPTIONS", path: "/any", status: 401, challenge: bare, code: "unauthorized"},
		{name: "TRACE", method: "TRACE", path: "/any", status: 401, challenge: bare, code: "unauthorized"},
		{name: "a method to override", method: "GET", path: "/any", headers: []string{"X-HTTP-Method-Override: OPTIONS", "X-Forwarded-Host: x", "Forwarded: host=x"}, status: 401, challenge: bare, code: "unauthorized"},
		{name: "forged identity headers", path: "/any", headers: []string{"X-User: root", "X-Forwarded-User: root"}, status: 401, challenge: bare, code: "unauthorized"},

		{name: "good", path: "/any", headers: bearer(good), status: 200, user: "user_1"},
		{name: "scheme in lower case", path: "/any", headers: []string{"authorization: bearer " + good}, status: 200, user: "user_1"},
		{name: "scheme in upper case", path: "/any", headers: []string{"AUTHORIZATION: BEARER " + good}, status: 200, user: "user_1"},
		{name: "POST", method: "POST", path: "/any", headers: bearer(good), body: "{}", status: 200, user: "user_1"},
		{name: "good beside identity headers", path: "/any", headers: append(bearer(good), "X-User: root"), status: 200, user: "user_1"},

		// Malformed requests.
		{name: "no token", path: "/any", headers: []string{"Authorization: Bearer"}, status: 400, challenge: invalidReq, code: "invalid_request"},
		{name: "no token but a space", path: "/any", headers: []string{"Authorization: Bearer "}, status: 400, challenge: invalidReq, code: "invalid_request"},
		{name: "a tab", path: "/any", headers: []string{"Authorization: Bearer\t" + good}, status: 400, challenge: invalidReq, code: "invalid_request"},
		{name: "two spaces", path: "/any", headers: []string{"Authorization: Bearer  " + good}, status: 400, challenge: invalidReq, code: "invalid_request"},
		{name: "two tokens", path: "/any", headers: bearer("a b"), status: 400, challenge: invalidReq, code: "invalid_request"},
		{name: "a list", path: "/any", headers: bearer(good + ", Bearer " + good), status: 400, challenge: invalidReq, code: "invalid_request"},
		{name: "quotes", path: "/any", headers: bearer(`"` + good + `"`), status: 400, challenge: invalidReq, code: "invalid_request"},
		{name: "the scheme twice", path: "/any", headers: bearer("Bearer " + good), status: 400, challenge: invalidReq, code: "invalid_request"},
		{name: "a colon", path: "/any", headers: []string{"Authorization: Bearer: " + good}, status: 400, challenge: invalidReq, code: "invalid_request"},
		{name: "no scheme", path: "/any", headers: []string{"Authorization: " + good}, status: 401, challenge: bare, code: "unauthorized"},
		{name: "percent escapes", path: "/any", headers: bearer("a%2eb"), status: 400, challenge: invalidReq, code: "invalid_request"},
		{name: "not ASCII", path: "/any", headers: bearer(good + "é"), status: 400, challenge: invalidReq, code: "invalid_request"},
		{name: "two fields", path: "/any", headers: append(bearer(good), bearer(good)...), status: 400, challenge: invalidReq, code: "invalid_request"},
		{name: "two fields, one another scheme's", path: "/any", headers: append(bearer(good), "Authorization: Basic dTpw"), status: 400, challenge: invalidReq, code: "invalid_request"},

		// Tokens that are not good.
		{name: "opaque", path: "/any", headers: bearer("opaque"), status: 401, challenge: invalidToken, code: "invalid_token"},
		{name: "garbage", path: "/any", headers: bearer("abc.def.ghi"), status: 401, challenge: invalidToken, code: "invalid_token"},
		{name: "padding", path: "/any", headers: bearer(good + "="), status: 401, challenge: invalidToken, code: "invalid_token"},
		{name: "standard alphabet", path: "/any", headers: bearer("a+/b." + parts[1] + "." + parts[2]), status: 401, challenge: invalidToken, code: "invalid_token"},
		{name: "no signature", path: "/any", headers: bearer(parts[0] + "." + parts[1] + "."), status: 401, challenge: invalidToken, code: "invalid_token"},
		{name: "detached", path: "/any", headers: bearer(parts[0] + ".." + parts[2]), status: 401, challenge: invalidToken, code: "invalid_token"},
		{name: "five segments", path: "/any", headers: bearer(good + ".a.b"), status: 401, challenge: invalidToken, code: "invalid_token"},
		{name: "a hundred thousand dots", path: "/any", headers: bearer(strings.Repeat(".", 100_000)), status: 401, challenge: invalidToken, code: "invalid_token"},
		{name: "too large", path: "/any", headers: bearer(token(claims{"pad": strings.Repeat("x", 20_000)})), status: 401, challenge: `Bearer error="invalid_token", error_description="the token is too large"`, code: "invalid_token"},
		{name: "expired", path: "/any", headers: bearer(token(claims{"exp": now - 60})), status: 401, challenge: `Bearer error="invalid_token", error_description="the token has expired"`, code: "invalid_token"},
		{name: "not yet valid", path: "/any", headers: bearer(token(claims{"nbf": now + 600})), status: 401, challenge: invalidToken, code: "invalid_token"},
		{name: "another audience", path: "/any", headers: bearer(token(claims{"aud": "https://other.test"})), status: 401, challenge: `Bearer error="invalid_token", error_description="the token is meant for another audience"`, code: "invalid_token"},
		{name: "another issuer", path: "/any", headers: bearer(token(claims{"iss": "https://other.test"})), status: 401, challenge: invalidToken, code: "invalid_token"},
		{name: "forged", path: "/any", headers: bearer(evil), status: 401, challenge: invalidToken, code: "invalid_token"},
		{name: "alg none", path: "/any", headers: bearer("eyJhbGciOiJub25lIn0." + parts[1] + ".AA"), status: 401, challenge: invalidToken, code: "invalid_token"},
		{name: "another kind of token", path: "/any", headers: bearer(token(nil, verifytest.WithHeader(map[string]any{"typ": "logout+jwt"}))), status: 401, challenge: invalidToken, code: "invalid_token"},
		{name: "an ID token", path: "/any", headers: bearer(token(claims{"nonce": "n"}, verifytest.WithHeader(map[string]any{"typ": "JWT"}))), status: 401, challenge: invalidToken, code: "invalid_token"},
		{name: "bound to a key", path: "/any", headers: bearer(token(claims{"cnf": map[string]any{"jkt": "x"}})), status: 401, challenge: invalidToken, code: "invalid_token"},
		{name: "HEAD, expired", method: "HEAD", path: "/any", headers: bearer(token(claims{"exp": now - 60})), status: 401, challenge: invalidToken},

		// Keys belong to their issuer, whatever they are called.
		{name: "the second issuer's", path: "/two", headers: bearer(f.evil.Token(nil)), status: 200, user: "user_1"},
		{name: "the second issuer's key for the first", path: "/two", headers: bearer(evil), status: 401, challenge: invalidToken, code: "invalid_token"},
		{name: "the second issuer's key under the first's kid", path: "/two", headers: bearer(f.evil.Token(claims{"iss": f.issuer.Issuer()}, verifytest.WithHeader(map[string]any{"kid": f.keys["ES256"].ID}))), status: 401, challenge: invalidToken, code: "invalid_token"},
		{name: "the first issuer's key for the second", path: "/two", headers: bearer(token(claims{"iss": f.evil.Issuer()})), status: 401, challenge: invalidToken, code: "invalid_token"},
		{name: "an algorithm that is configured", path: "/narrow", headers: bearer(token(nil, verifytest.WithAlgorithm("ES256"))), status: 200, user: "user_1"},
		{name: "a published key of an algorithm that is not", path: "/narrow", headers: bearer(token(nil, verifytest.WithAlgorithm("RS256"))), status: 401, challenge: `Bearer error="invalid_token", error_description="the token's signature algorithm is not accepted"`, code: "invalid_token"},

		// Credentials of another kind beside bearer tokens.
		{name: "an API key", path: "/keyed", headers: []string{"X-Api-Key: good"}, status: 200, user: "robot", layered: true},
		{name: "a token where API keys are taken", path: "/keyed", headers: bearer(token(claims{"scope": "orders:read"})), status: 200, user: "user_1", layered: true},
		{name: "an API key and a token", path: "/keyed", headers: append(bearer(token(claims{"scope": "orders:read"})), "X-Api-Key: good"), status: 200, user: "user_1", layered: true},
		{name: "an API key and a bad token", path: "/keyed", headers: append(bearer("abc.def.ghi"), "X-Api-Key: good"), status: 401, challenge: invalidToken, code: "invalid_token"},
		{name: "nobody's API key", path: "/keyed", headers: []string{"X-Api-Key: bad"}, status: 401, challenge: bare + "|ApiKey", code: "unauthorized"},
		{name: "two API keys", path: "/keyed", headers: []string{"X-Api-Key: good", "X-Api-Key: bad"}, status: 400, challenge: invalidReq, code: "invalid_request"},
		{name: "an API key that cannot be looked up", path: "/keyed", headers: []string{"X-Api-Key: storm"}, status: 503, code: "temporarily_unavailable"},
		{name: "neither an API key nor a token", path: "/keyed", status: 401, challenge: bare + "|ApiKey", code: "unauthorized"},
		{name: "optional, an API key", path: "/keyed/optional", headers: []string{"X-Api-Key: good"}, status: 200, user: "robot"},
		{name: "optional, nobody's API key", path: "/keyed/optional", headers: []string{"X-Api-Key: bad"}, status: 401, challenge: bare + "|ApiKey", code: "unauthorized"},
		{name: "an API key where none is taken", path: "/any", headers: []string{"X-Api-Key: good"}, status: 401, challenge: bare, code: "unauthorized"},

		// The user.
		{name: "no such user", path: "/any", headers: bearer(token(claims{"sub": "ghost"})), status: 401, challenge: invalidToken, code: "invalid_token"},
		{name: "no such user, whatever the scope", path: "/read", headers: bearer(token(claims{"sub": "ghost", "scope": ""})), status: 401, challenge: invalidToken, code: "invalid_token"},
		{name: "the user store is down", path: "/any", headers: bearer(token(claims{"sub": "storm"})), status: 503, code: "temporarily_unavailable"},

		// Optional authentication.
		{name: "optional, none", path: "/optional", status: 200, user: "-"},
		{name: "optional, another scheme", path: "/optional", headers: []string{"Authorization: Basic dTpw"}, status: 200, user: "-"},
		{name: "optional, good", path: "/optional", headers: bearer(good), status: 200, user: "user_1"},
		{name: "optional, bad", path: "/optional", headers: bearer("abc.def.ghi"), status: 401, challenge: invalidToken, code: "invalid_token"},
		{name: "optional, malformed", path: "/optional", headers: []string{"Authorization: Bearer"}, status: 400, challenge: invalidReq, code: "invalid_request"},
		{name: "optional, no such user", path: "/optional", headers: bearer(token(claims{"sub": "ghost"})), status: 401, challenge: invalidToken, code: "invalid_token"},

		// Without keys the answer is 503 for every client; what needs no key is still 401.
		{name: "no keys", path: "/dark", headers: bearer(token(claims{"iss": f.dark.Verifier().Issuers()[0]})), status: 503, code: "temporarily_unavailable"},
		{name: "no keys, optional", path: "/dark/optional", headers: bearer(token(claims{"iss": f.dark.Verifier().Issuers()[0]})), status: 503, code: "temporarily_unavailable"},
		{name: "no keys, expired", path: "/dark", headers: bearer(token(claims{"iss": f.dark.Verifier().Issuers()[0], "exp": now - 60})), status: 401, challenge: invalidToken, code: "invalid_token"},
		{name: "no keys, no credentials", path: "/dark", status: 401, challenge: bare, code: "unauthorized"},

		// Guards that follow each other, on one resolution of the user.
		{name: "nested, good", path: "/nested", headers: bearer(token(claims{"scope": "orders:read"})), status: 200, user: "user_1"},
		{name: "nested, without the scope", path: "/nested", headers: bearer(token(claims{"scope": "other"})), status: 403, challenge: `Bearer error="insufficient_scope", error_description="the token lacks a scope that is required", scope="orders:read"`, code: "insufficient_scope"},
		{name: "nested, none", path: "/nested", status: 401, challenge: bare, code: "unauthorized"},
		{name: "optional before required, none", path: "/opened", status: 401, challenge: bare, code: "unauthorized"},
		{name: "optional before required, good", path: "/opened", headers: bearer(good), status: 200, user: "user_1"},

		{name: "layered, good", path: "/layered", headers: bearer(good), status: 200, user: "user_1", layered: true},
		{name: "layered, bad", path: "/layered", headers: bearer("abc.def.ghi"), status: 401, challenge: invalidToken, code: "invalid_token"},
		{name: "layered, optional, good", path: "/layered/optional", headers: bearer(good), status: 200, user: "user_1", layered: true},
		{name: "layered, optional, none", path: "/layered/optional", status: 200, user: "-", layered: true},
		{name: "a router behind the guard", path: "/mux/7", headers: bearer(good), status: 200, user: "user_1"},

		// Realm, metadata and an error handler, which cannot turn the status.
		{name: "strict, none", path: "/strict", status: 401, challenge: `Bearer realm="orders", scope="orders:read", resource_metadata="https://api.example.test/.well-known/oauth-protected-resource/v1"`},
		{name: "strict, without the scope", path: "/strict", headers: bearer(token(claims{"scope": ""})), status: 403, challenge: `Bearer realm="orders", error="insufficient_scope", error_description="the token lacks a scope that is required", scope="orders:read", resource_metadata="https://api.example.test/.well-known/oauth-protected-resource/v1"`},
		{name: "strict, good", path: "/strict", headers: bearer(token(claims{"scope": "orders:read"})), status: 200, user: "user_1"},
	}
	insufficient := func(scopes string) string {
		return `Bearer error="insufficient_scope", error_description="the token lacks a scope that is required", scope="` + scopes + `"`
	}
	stepUp := func(description, params string) string {
		return `Bearer error="insufficient_user_authentication", error_description="` + description + ` authentication is required", ` + params
	}
	for _, c := range []struct {
		name, path string
		claims     claims
		status     int
		challenge  string
		code       string
	}{
		{"scope", "/read", claims{"scope": "orders:read"}, 200, "", ""},
		{"scope among others", "/read", claims{"scope": "openid orders:read"}, 200, "", ""},
		{"scp as an array", "/read", claims{"scope": nil, "scp": []string{"openid", "orders:read"}}, 200, "", ""},
		{"scope missing", "/read", claims{"scope": nil}, 403, insufficient("orders:read"), "insufficient_scope"},
		{"scope in another case", "/read", claims{"scope": "Orders:read"}, 403, insufficient("orders:read"), "insufficient_scope"},
		{"scope as a prefix", "/read", claims{"scope": "orders:readonly"}, 403, insufficient("orders:read"), "insufficient_scope"},
		{"scope as a number", "/read", claims{"scope": 1}, 401, invalidToken, "invalid_token"},
		{"two scopes", "/both", claims{"scope": "orders:write orders:read"}, 200, "", ""},
		{"one of two scopes", "/both", claims{"scope": "orders:read"}, 403, insufficient("orders:read orders:write"), "insufficient_scope"},
		{"any scope, the second", "/either", claims{"scope": "orders:admin"}, 200, "", ""},
		{"any scope, none", "/either", claims{"scope": "x"}, 403, insufficient("orders:read"), "insufficient_scope"},
		{"permission", "/permission", claims{"permissions": []string{"a", "orders.delete"}}, 200, "", ""},
		{"permission missing", "/permission", claims{"permissions": []string{"orders"}}, 403, "", "access_denied"},
		{"permission as a string", "/permission", claims{"permissions": "orders.delete"}, 403, "", "access_denied"},
		{"organization", "/organization", claims{"org_id": "org_2"}, 200, "", ""},
		{"another organization", "/organization", claims{"org_id": "org_3"}, 403, "", "access_denied"},
		{"no organization", "/organization", nil, 403, "", "access_denied"},
		{"a user", "/user", nil, 200, "", ""},
		{"a machine as a user", "/user", claims{"sub": "client_9", "client_id": "client_9"}, 403, "", "access_denied"},
		{"a user as a machine", "/machine", nil, 403, "", "access_denied"},
		{"authenticated just now", "/recent", claims{"auth_time": now - 5}, 200, "", ""},
		{"authenticated long ago", "/recent", claims{"auth_time": now - 400}, 401, stepUp("a more recent", `max_age="300"`), "insufficient_user_authentication"},
		{"authenticated at an unknown time", "/recent", nil, 401, stepUp("a more recent", `max_age="300"`), "insufficient_user_authentication"},
		{"authenticated in the future", "/recent", claims{"auth_time": now + 86400}, 401, stepUp("a more recent", `max_age="300"`), "insufficient_user_authentication"},
		{"authenticated as a string", "/recent", claims{"auth_time": "now"}, 401, stepUp("a more recent", `max_age="300"`), "insufficient_user_authentication"},
		{"strongly authenticated", "/strong", claims{"auth_time": now - 5, "acr": "hwk"}, 200, "", ""},
		{"weakly authenticated", "/strong", claims{"auth_time": now - 5, "acr": "pwd"}, 401, stepUp("a stronger", `acr_values="mfa hwk", max_age="60"`), "insufficient_user_authentication"},
		{"composed, by its second", "/composed", claims{"org_id": "org_1"}, 200, "", ""},
		{"composed, by its first", "/composed", claims{"scope": "admin"}, 200, "", ""},
		{"composed, by none", "/composed", claims{"org_id": "org_2"}, 403, insufficient("admin"), "insufficient_scope"},
		{"the organization in the path", "/orgs/org_1/members", claims{"org_id": "org_1"}, 200, "", ""},
		{"another organization than in the path", "/orgs/org_2/members", claims{"org_id": "org_1"}, 403, "", "access_denied"},
		{"another organization in the query", "/orgs/org_2/members?org=org_1", claims{"org_id": "org_1"}, 403, "", "access_denied"},
		{"no organization for the path", "/orgs/org_1/members", nil, 403, "", "access_denied"},
		{"an organization in the path that nobody knows about", "/orgs/tide/members", claims{"org_id": "tide"}, 503, "", "temporarily_unavailable"},
		{"a function", "/func", nil, 200, "", ""},
		{"a function that says no", "/func", claims{"client_id": "sunday"}, 403, "", "access_denied"},
		{"a function that cannot say", "/func", claims{"client_id": "fog"}, 503, "", "temporarily_unavailable"},
		{"a function whose database times out", "/func", claims{"client_id": "tide"}, 503, "", "temporarily_unavailable"},
	} {
		list = append(list, testCase{name: c.name, path: c.path, headers: bearer(token(c.claims)), status: c.status, challenge: c.challenge, code: c.code, user: "user_1"})
	}
	return append(list, testCase{name: "a machine", path: "/machine", headers: bearer(token(claims{"sub": "client_9", "client_id": "client_9"})), status: 200, user: "client_9"})
}
