package middleware_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/bearerkit/bearerkit/middleware"
	"github.com/bearerkit/bearerkit/verify"
	"github.com/bearerkit/bearerkit/verify/verifytest"
)

// Whatever the requirements of a route, its challenge is one by the grammar,
// with no parameter twice (RFC 6750 section 3, RFC 9110 sections 11.2 and 11.5).
// It names the scopes that the route needs to everybody, and what a step up needs
// only to those whose token is good (RFC 9470 section 9).
func TestChallenges(t *testing.T) {
	const metadata = "https://api.test/.well-known/oauth-protected-resource"
	for _, realm := range []string{"a\tb", `a"b`, `a\b`, "\u00fc", "a\r\nb"} {
		if err := (middleware.Config{Realm: realm}).Validate(); err == nil {
			t.Errorf("the realm %q was accepted", realm)
		}
	}
	issuer, auth := newAuth(t, middleware.Config{
		Realm: "orders, of", Metadata: &middleware.ResourceMetadata{Resource: "https://api.test"},
		User: middleware.Resolve(func(ctx context.Context, t *verify.Token) (user, error) {
			if t.Subject == "ghost" {
				return user{}, middleware.ErrNoUser
			}
			return findUser(ctx, t)
		}),
	})
	weak := issuer.Token(verifytest.Claims{"scope": "", "acr": "pwd", "auth_time": time.Now().Unix() - 3600})
	ghost := issuer.Token(verifytest.Claims{"sub": "ghost"})
	none := map[string]string{}
	for name, c := range map[string]struct {
		requirements []middleware.Requirement
		token        string
		status       int
		want         map[string]string // beside realm, resource_metadata and error_description
	}{
		"none": {nil, "", 401, none},
		"none, with scopes": {[]middleware.Requirement{middleware.Scope("a", "b"), middleware.AnyScope("c", "d")}, "", 401,
			map[string]string{"scope": "a b c"}},
		"none, with scopes in an alternative": {[]middleware.Requirement{middleware.Any(middleware.All(middleware.Scope("a"), middleware.OnlyUsers()), middleware.Scope("b"))}, "", 401,
			map[string]string{"scope": "a"}},
		"none, with a step up": {[]middleware.Requirement{middleware.MaxAge(time.Minute), middleware.ACR("mfa")}, "", 401, none},
		"malformed":            {[]middleware.Requirement{middleware.ACR("mfa")}, "a b", 400, map[string]string{"error": "invalid_request"}},
		"invalid":              {[]middleware.Requirement{middleware.ACR("mfa"), middleware.Scope("a")}, "a.b.c", 401, map[string]string{"error": "invalid_token", "scope": "a"}},
		"scope":                {[]middleware.Requirement{middleware.Scope("a")}, weak, 403, map[string]string{"error": "insufficient_scope", "scope": "a"}},
		"scopes twice": {[]middleware.Requirement{middleware.Scope("a", "b"), middleware.Scope("b", "c"), middleware.AnyScope("a", "d")}, weak, 403,
			map[string]string{"error": "insufficient_scope", "scope": "a b c"}},
		"scopes of every character": {[]middleware.Requirement{middleware.Scope("!#[]~,;=", "https://x/y")}, weak, 403,
			map[string]string{"error": "insufficient_scope", "scope": "!#[]~,;= https://x/y"}},
		"max_age": {[]middleware.Requirement{middleware.MaxAge(time.Hour), middleware.MaxAge(time.Minute), middleware.MaxAge(2 * time.Hour)}, weak, 401,
			map[string]string{"error": "insufficient_user_authentication", "max_age": "60"}},
		"acr_values in order": {[]middleware.Requirement{middleware.ACR("phr", "mfa"), middleware.ACR("mfa", "urn:x")}, weak, 401,
			map[string]string{"error": "insufficient_user_authentication", "acr_values": "phr mfa urn:x"}},
		"both": {[]middleware.Requirement{middleware.MaxAge(time.Minute), middleware.ACR("mfa"), middleware.Scope("a")}, weak, 401,
			map[string]string{"error": "insufficient_user_authentication", "max_age": "60", "acr_values": "mfa", "scope": "a"}},
		"malformed, with a scope": {[]middleware.Requirement{middleware.Scope("a")}, "a b", 400, map[string]string{"error": "invalid_request"}},
		"no user":                 {[]middleware.Requirement{middleware.Scope("a")}, ghost, 401, map[string]string{"error": "invalid_token", "scope": "a"}},
	} {
		t.Run(name, func(t *testing.T) {
			resp := refused(auth.Require(c.requirements...), request(c.token))
			if resp == nil || resp.StatusCode != c.status {
				t.Fatalf("%v", resp)
			}
			fields := resp.Header.Values("WWW-Authenticate")
			if len(fields) != 1 {
				t.Fatalf("challenges %q", fields)
			}
			got, err := parseChallenge(fields[0])
			if err != nil {
				t.Fatalf("challenge %q: %v", fields[0], err)
			}
			if got["realm"] != "orders, of" || got["resource_metadata"] != metadata || (got["error"] == "") != (got["error_description"] == "") {
				t.Errorf("challenge %q", fields[0])
			}
			for _, n := range []string{"realm", "resource_metadata", "error_description"} {
				delete(got, n)
			}
			if len(got) != len(c.want) {
				t.Errorf("challenge %q, want %v", fields[0], c.want)
			}
			for n, v := range c.want {
				if got[n] != v {
					t.Errorf("%s is %q, want %q", n, got[n], v)
				}
			}
		})
	}
}

// The metadata document has the members that have values and no others (RFC
// 9728 section 3.2), and its place follows from the resource identifier, whose
// slash behind the host goes (section 3.1).
func TestMetadataDocument(t *testing.T) {
	cookie := []middleware.CredentialSource{middleware.Cookie("session")}
	every := []middleware.CredentialSource{middleware.AuthorizationHeader(), middleware.FormParameter(), middleware.InsecureQueryParameter()}
	for name, c := range map[string]struct {
		metadata middleware.ResourceMetadata
		sources  []middleware.CredentialSource
		url      string
		want     string
	}{
		"a slash before a query": {middleware.ResourceMetadata{Resource: "https://api.test/?k=v", AuthorizationServers: []string{"https://as.test"}}, nil,
			"https://api.test/.well-known/oauth-protected-resource?k=v",
			`{"resource":"https://api.test/?k=v","authorization_servers":["https://as.test"],"bearer_methods_supported":["header"]}`},
		"a path with its slash": {middleware.ResourceMetadata{Resource: "https://api.test/v1/", AuthorizationServers: []string{"https://as.test"}}, nil,
			"https://api.test/.well-known/oauth-protected-resource/v1/",
			`{"resource":"https://api.test/v1/","authorization_servers":["https://as.test"],"bearer_methods_supported":["header"]}`},
		"nothing but a name": {middleware.ResourceMetadata{Resource: "https://api.test", AuthorizationServers: []string{}, ScopesSupported: []string{}}, cookie,
			"https://api.test/.well-known/oauth-protected-resource", `{"resource":"https://api.test"}`},
		"all": {middleware.ResourceMetadata{Resource: "https://api.test?a=1&b=2", AuthorizationServers: []string{"https://b.test", "https://a.test"}, ScopesSupported: []string{"x", "y"},
			Name: "Bestellungen \u00fc", Documentation: "https://d.test", PolicyURI: "https://p.test", TermsOfServiceURI: "https://t.test"}, every,
			"https://api.test/.well-known/oauth-protected-resource?a=1&b=2",
			`{"resource":"https://api.test?a=1&b=2","authorization_servers":["https://b.test","https://a.test"],"scopes_supported":["x","y"],` +
				`"bearer_methods_supported":["header","body","query"],"resource_name":"Bestellungen ü","resource_documentation":"https://d.test",` +
				`"resource_policy_uri":"https://p.test","resource_tos_uri":"https://t.test"}`},
	} {
		t.Run(name, func(t *testing.T) {
			_, auth := newAuth(t, middleware.Config{Metadata: &c.metadata, Credentials: c.sources})
			if got, want := refused(auth.Require(), request("")).Header.Get("WWW-Authenticate"), `Bearer resource_metadata="`+c.url+`"`; got != want {
				t.Errorf("challenge %q, want %q", got, want)
			}
			mux := http.NewServeMux()
			mux.Handle(auth.MetadataPath(), auth.MetadataHandler())
			w := httptest.NewRecorder()
			mux.ServeHTTP(w, httptest.NewRequest("GET", c.url, nil))
			if w.Code != 200 || w.Header().Get("Content-Type") != "application/json" {
				t.Fatalf("%d %v", w.Code, w.Header())
			}
			var got, want map[string]any
			if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal([]byte(c.want), &want); err != nil {
				t.Fatal(err)
			}
			if a, b := must(json.Marshal(got)), must(json.Marshal(want)); string(a) != string(b) {
				t.Errorf("%s, want %s", a, b)
			}
		})
	}
}
