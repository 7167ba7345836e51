package main

import (
	"maps"
	"strings"
	"testing"

	"github.com/bearerkit/bearerkit/verify/verifytest"
)

// TestOtherShapes has tokens as they come from authorization servers that
// depart from RFC 9068: the variable for it lets them in, and nothing else.
func TestOtherShapes(t *testing.T) {
	issuer := verifytest.NewServer()
	defer issuer.Close()
	type (
		claims = verifytest.Claims
		env    = map[string]string
	)
	untyped := verifytest.WithHeader(map[string]any{"typ": nil})
	jwt := verifytest.WithHeader(map[string]any{"typ": "JWT"})
	asking := func(more env) env {
		e := env{"INTROSPECTION": "fallback", "CLIENT_ID": verifytest.ClientID, "CLIENT_SECRET": verifytest.ClientSecret}
		maps.Copy(e, more)
		return e
	}
	for _, c := range []struct {
		name string
		base env // without the variable
		with env // with it
		// good passes with the variable alone and is answered with body; bad
		// does not pass with it either.
		good map[string]string
		body string
		bad  map[string]string
	}{
		{
			name: "Dex", with: env{"ALLOW_ID_TOKEN_CLAIMS": "on"}, base: env{"AUDIENCE": "web-app"},
			good: map[string]string{
				"at_hash": issuer.Token(claims{"aud": "web-app", "sub": "CgVhbGljZRIFbG9jYWw", "client_id": nil, "jti": nil, "at_hash": "x", "email_verified": true}, untyped),
				"several": issuer.Token(claims{"aud": []string{"web-app", "other"}, "azp": "web-app", "sub": "CgVhbGljZRIFbG9jYWw", "client_id": nil, "at_hash": "x", "nonce": "n"}, untyped),
			},
			body: `"user":{"id":"CgVhbGljZRIFbG9jYWw"}}`,
			bad: map[string]string{
				"another audience": issuer.Token(claims{"aud": "other", "at_hash": "x"}, untyped),
				"a logout token":   issuer.Token(claims{"aud": "web-app"}, verifytest.WithHeader(map[string]any{"typ": "logout+jwt"})),
			},
		},
		{
			name: "authentik", with: env{"ALLOW_ID_TOKEN_CLAIMS": "on"}, base: env{"AUDIENCE": "ak-client"},
			good: map[string]string{
				"the first of a sign-in": issuer.Token(claims{"aud": "ak-client", "azp": "ak-client", "client_id": nil, "sub": "5f1c", "nonce": "n", "acr": "goauthentik.io/providers/oauth2/default"}, jwt),
			},
			body: `{"sub":"5f1c","client_id":"ak-client","user":{"id":"5f1c"}}`,
		},
		{
			name: "Amazon Cognito", with: env{"AUDIENCE_CLAIM": "client_id"}, base: env{"AUDIENCE": "1example23456789,2nd"},
			good: map[string]string{
				"a user": issuer.Token(claims{"aud": nil, "client_id": "1example23456789", "token_use": "access", "username": "u", "sub": "aaaa-bbbb"}, untyped),
			},
			body: `{"sub":"aaaa-bbbb","client_id":"1example23456789","user":{"id":"aaaa-bbbb"}}`,
			bad: map[string]string{
				"another client":   issuer.Token(claims{"aud": nil, "client_id": "other"}, untyped),
				"aud beside it":    issuer.Token(claims{"aud": "2nd", "client_id": "other"}, untyped),
				"no client":        issuer.Token(claims{"aud": nil, "client_id": nil}, untyped),
				"another audience": issuer.Token(claims{"aud": "other", "client_id": "1example23456789"}, untyped),
			},
		},
		{
			name: "AuthKit sessions", with: env{"INSECURE_NO_AUDIENCE": "on"}, base: env{"AUDIENCE": "a"},
			good: map[string]string{
				"no audience":      issuer.Token(claims{"aud": nil, "client_id": nil, "org_id": "org_1", "sid": "session_1", "role": "admin"}, untyped),
				"another audience": issuer.Token(claims{"aud": "https://other.test", "client_id": nil, "org_id": "org_1"}),
			},
			body: `{"sub":"user_1","org_id":"org_1","user":{"id":"user_1"}}`,
			bad: map[string]string{
				"an ID token":    issuer.Token(claims{"nonce": "n"}, jwt),
				"no subject":     issuer.Token(claims{"sub": nil}),
				"another issuer": issuer.Token(claims{"iss": "https://other.test"}),
			},
		},
		{
			name: "Cloudflare Access", with: env{"ALLOW_NO_SUBJECT": "on"},
			good: map[string]string{
				"a service token": issuer.Token(claims{"sub": "", "client_id": nil, "common_name": "e367.access", "type": "app"}, untyped),
				"none at all":     issuer.Token(claims{"sub": nil, "client_id": nil}),
			},
			body: `{"user":{}}`,
			bad: map[string]string{
				"another type": issuer.Token(claims{"sub": 7}),
			},
		},
		{
			name: "Microsoft Entra", with: env{"SUBJECT_CLAIM": "oid"}, base: env{"USERS": "00000000-aaaa"},
			good: map[string]string{
				"a user": issuer.Token(claims{"sub": "pairwise", "oid": "00000000-aaaa", "client_id": nil, "azp": "app"}, jwt),
			},
			body: `{"sub":"00000000-aaaa","client_id":"app","user":{"id":"00000000-aaaa"}}`,
			bad: map[string]string{
				"another user": issuer.Token(claims{"sub": "00000000-aaaa", "oid": "b"}, jwt),
				"none":         issuer.Token(claims{"sub": "00000000-aaaa"}, jwt),
			},
		},
		{
			name: "other names", with: env{"ALTERNATES": "https://sts.windows.net/t/, stytch.com/project"},
			good: map[string]string{
				"the first":  issuer.Token(claims{"iss": "https://sts.windows.net/t/", "client_id": nil}),
				"the second": issuer.Token(claims{"iss": "stytch.com/project", "client_id": nil}),
			},
			body: `{"sub":"user_1","user":{"id":"user_1"}}`,
			bad: map[string]string{
				"without its slash": issuer.Token(claims{"iss": "https://sts.windows.net/t"}),
			},
		},
		{
			name: "Django OAuth Toolkit", base: asking(nil), with: asking(env{"INSECURE_NO_AUDIENCE": "on", "SUBJECT_CLAIM": "username"}),
			good: map[string]string{
				"opaque":           issuer.OpaqueToken(claims{"sub": nil, "aud": nil, "iss": nil, "client_id": "toolkit", "username": "alice", "scope": "read write"}),
				"another audience": issuer.OpaqueToken(claims{"sub": "x", "aud": "https://other.test", "client_id": "toolkit", "username": "alice", "scope": "read write"}),
			},
			body: `{"sub":"alice","client_id":"toolkit","scope":"read write","user":{"id":"alice"}}`,
			bad: map[string]string{
				"no username":     issuer.OpaqueToken(claims{"aud": nil}),
				"a refresh token": issuer.OpaqueToken(claims{"aud": nil, "username": "alice", "token_type": "refresh_token"}),
				"unknown":         "an-opaque-token-that-nobody-made",
			},
		},
		{
			name: "opaque without audience and subject", base: asking(nil), with: asking(env{"INSECURE_NO_AUDIENCE": "on", "ALLOW_NO_SUBJECT": "on"}),
			good: map[string]string{
				"opaque": issuer.OpaqueToken(claims{"sub": nil, "aud": nil, "iss": nil, "client_id": "c"}),
			},
			body: `{"client_id":"c","user":{}}`,
		},
		{
			name: "opaque with a claim for the audience", base: asking(env{"AUDIENCE": "toolkit"}), with: asking(env{"AUDIENCE_CLAIM": "client_id"}),
			good: map[string]string{
				"opaque": issuer.OpaqueToken(claims{"aud": nil, "client_id": "toolkit"}),
			},
			body: `{"sub":"user_1","client_id":"toolkit","user":{"id":"user_1"}}`,
			bad: map[string]string{
				"another client": issuer.OpaqueToken(claims{"aud": nil, "client_id": "other"}),
			},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := env{"ISSUER": issuer.Issuer(), "AUDIENCE": issuer.Audience()}
			maps.Copy(e, c.base)
			without := start(t, maps.Clone(e))
			maps.Copy(e, c.with)
			if e["INSECURE_NO_AUDIENCE"] == "on" {
				delete(e, "AUDIENCE")
			}
			with := start(t, e)
			whenReady(t, without)
			whenReady(t, with)
			for name := range with {
				for what, token := range c.good {
					if got := call(t, without[name].URL, "GET", "/api/protected", token); !strings.HasPrefix(got, "401\n") {
						t.Errorf("%s: %s, without the variable: %s", name, what, got)
					}
					if got := call(t, with[name].URL, "GET", "/api/protected", token); !strings.HasPrefix(got, "200\n") || !strings.HasSuffix(got, c.body) {
						t.Errorf("%s: %s: %s\nwant %s", name, what, got, c.body)
					}
				}
				for what, token := range c.bad {
					if got := call(t, with[name].URL, "GET", "/api/protected", token); !strings.HasPrefix(got, "401\n") {
						t.Errorf("%s: %s: %s", name, what, got)
					}
				}
			}
		})
	}
}
