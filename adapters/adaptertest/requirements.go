package adaptertest

import (
	"time"

	"github.com/bearerkit/bearerkit/verify/verifytest"
)

func insufficient(scopes string) string {
	return `Bearer error="insufficient_scope", error_description="the token lacks a scope that is required", scope="` + scopes + `"`
}

func stepUp(description, params string) string {
	return `Bearer error="insufficient_user_authentication", error_description="` + description + ` authentication is required", ` + params
}

// requirementCases returns requests with valid tokens to routes with requirements.
func (f *fixture) requirementCases() []testCase {
	type claims = verifytest.Claims
	token := func(c claims) string { return f.issuer.Token(c) }
	bearer := func(token string) []string { return []string{"Authorization: Bearer " + token} }
	now := time.Now().Unix()
	var list []testCase
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
		{
			"scope in another case",
			"/read",
			claims{"scope": "Orders:read"},
			403,
			insufficient("orders:read"),
			"insufficient_scope",
		},
		{
			"scope as a prefix",
			"/read",
			claims{"scope": "orders:readonly"},
			403,
			insufficient("orders:read"),
			"insufficient_scope",
		},
		{"scope as a number", "/read", claims{"scope": 1}, 401, invalidToken, "invalid_token"},
		{"two scopes", "/both", claims{"scope": "orders:write orders:read"}, 200, "", ""},
		{
			"one of two scopes",
			"/both",
			claims{"scope": "orders:read"},
			403,
			insufficient("orders:read orders:write"),
			"insufficient_scope",
		},
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
		{
			"authenticated long ago",
			"/recent",
			claims{"auth_time": now - 400},
			401,
			stepUp("a more recent", `max_age="300"`),
			"insufficient_user_authentication",
		},
		{
			"authenticated at an unknown time",
			"/recent",
			nil,
			401,
			stepUp("a more recent", `max_age="300"`),
			"insufficient_user_authentication",
		},
		{
			"authenticated in the future",
			"/recent",
			claims{"auth_time": now + 86400},
			401,
			stepUp("a more recent", `max_age="300"`),
			"insufficient_user_authentication",
		},
		{
			"authenticated as a string",
			"/recent",
			claims{"auth_time": "now"},
			401,
			stepUp("a more recent", `max_age="300"`),
			"insufficient_user_authentication",
		},
		{"strongly authenticated", "/strong", claims{"auth_time": now - 5, "acr": "hwk"}, 200, "", ""},
		{
			"weakly authenticated",
			"/strong",
			claims{"auth_time": now - 5, "acr": "pwd"},
			401,
			stepUp("a stronger", `acr_values="mfa hwk", max_age="60"`),
			"insufficient_user_authentication",
		},
		{"composed, by its second", "/composed", claims{"org_id": "org_1"}, 200, "", ""},
		{"composed, by its first", "/composed", claims{"scope": "admin"}, 200, "", ""},
		{"composed, by none", "/composed", claims{"org_id": "org_2"}, 403, insufficient("admin"), "insufficient_scope"},
		{"the organization in the path", "/orgs/org_1/members", claims{"org_id": "org_1"}, 200, "", ""},
		{
			"another organization than in the path",
			"/orgs/org_2/members",
			claims{"org_id": "org_1"},
			403,
			"",
			"access_denied",
		},
		{
			"another organization in the query",
			"/orgs/org_2/members?org=org_1",
			claims{"org_id": "org_1"},
			403,
			"",
			"access_denied",
		},
		{"no organization for the path", "/orgs/org_1/members", nil, 403, "", "access_denied"},
		{
			"an organization in the path that nobody knows about",
			"/orgs/tide/members",
			claims{"org_id": "tide"},
			503,
			"",
			"temporarily_unavailable",
		},
		{"a function", "/func", nil, 200, "", ""},
		{"a function that says no", "/func", claims{"client_id": "sunday"}, 403, "", "access_denied"},
		{"a function that cannot say", "/func", claims{"client_id": "fog"}, 503, "", "temporarily_unavailable"},
		{
			"a function whose database times out",
			"/func",
			claims{"client_id": "tide"},
			503,
			"",
			"temporarily_unavailable",
		},
	} {
		list = append(list, testCase{
			name: c.name, path: c.path, headers: bearer(token(c.claims)),
			answer: answer{c.status, c.challenge, c.code}, user: "user_1",
		})
	}
	return append(list, testCase{
		name: "a machine", path: "/machine", headers: bearer(token(claims{"sub": "client_9", "client_id": "client_9"})),
		answer: served, user: "client_9",
	})
}
