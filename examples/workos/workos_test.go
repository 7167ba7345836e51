package main

import (
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/bearerkit/bearerkit/verify/verifytest"
)

// TestWorkOS runs the program between two issuers that mint what WorkOS mints:
// Connect tokens for users and machines, and AuthKit session tokens, which have
// no audience.
func TestWorkOS(t *testing.T) {
	if os.Getenv("BEARERKIT_RUN_MAIN") != "" {
		main()
	}
	const client = "client_123456789"
	connect, sessions := verifytest.NewServer(), verifytest.NewServer()
	defer connect.Close()
	defer sessions.Close()
	// Connect's RFC 8414 document has no jwks_uri.
	connect.SetMetadata(verifytest.OAuthMetadata, map[string]any{"jwks_uri": nil})

	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	ln.Close()
	cmd := exec.Command(os.Args[0], "-test.run=^TestWorkOS$")
	connect.AddClient(client, "secret")
	cmd.Env = []string{"BEARERKIT_RUN_MAIN=1", "CLIENT_SECRET=secret", "ADDR=" + addr, "AUTHKIT_DOMAIN=" + connect.Issuer(), "CLIENT_ID=" + client,
		"RESOURCE=https://api.example.com", "SESSION_ISSUER=" + sessions.Issuer(), "SESSION_JWKS=" + sessions.JWKSURL(), "ORGANIZATION=org_1"}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { cmd.Process.Kill(); cmd.Wait() }()

	type claims = verifytest.Claims
	user := claims{"sub": "user_1", "aud": client, "client_id": "client_app", "org_id": "org_2", "sid": "app_consent_1"}
	with := func(base claims, changes claims) claims {
		c := claims{}
		for k, v := range base {
			c[k] = v
		}
		for k, v := range changes {
			c[k] = v
		}
		return c
	}
	jwt := verifytest.WithHeader(map[string]any{"typ": "JWT"})
	machine := claims{"sub": "client_m2m", "client_id": "client_m2m", "aud": client, "org_id": "org_1"}
	session := claims{"sub": "user_2", "aud": nil, "client_id": nil, "scope": nil, "sid": "session_1", "role": "admin", "permissions": []string{"admin:read"}}
	get := func(path, token string) (int, string) {
		r, _ := http.NewRequest("GET", "http://"+addr+path, nil)
		r.Header.Set("Authorization", "Bearer "+token)
		for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
			resp, err := http.DefaultClient.Do(r)
			if err != nil && time.Now().Before(deadline) {
				continue // it is starting
			}
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			body, _ := io.ReadAll(resp.Body)
			return resp.StatusCode, string(body)
		}
	}
	revoked := connect.Token(user, jwt)
	connect.Revoke(revoked)
	for _, c := range []struct {
		name, path, token string
		status            int
		body              string
	}{
		{"a user", "/me", connect.Token(user, jwt), 200, `"id":"user_1"`},
		{"a user, for the resource", "/me", connect.Token(with(user, claims{"aud": "https://api.example.com"}), jwt), 200, `"organization":"org_2"`},
		{"another environment's user", "/me", connect.Token(with(user, claims{"aud": "client_other"}), jwt), 401, ""},
		{"a user whose token was revoked", "/me", revoked, 401, ""},
		{"a machine as a user", "/me", connect.Token(machine, jwt), 403, ""},
		{"a machine", "/jobs", connect.Token(machine, jwt), 200, `"machine":true`},
		{"a user as a machine", "/jobs", connect.Token(user, jwt), 403, ""},
		{"the partner's machine", "/partner", connect.Token(machine, jwt), 200, `"organization":"org_1"`},
		{"another organization's user", "/partner", connect.Token(user, jwt), 403, ""},
		{"a session", "/me", sessions.Token(session, jwt), 200, `"id":"user_2"`},
		{"a session with the permission", "/admin", sessions.Token(session, jwt), 200, `"id":"user_2"`},
		{"an impersonated session", "/me", sessions.Token(with(session, claims{"act": map[string]any{"sub": "admin@example.com"}}), jwt), 200, `"impersonator":"admin@example.com"`},
		{"an impersonated session, where it may not", "/admin", sessions.Token(with(session, claims{"act": map[string]any{"sub": "admin@example.com"}}), jwt), 403, ""},
		{"a session that claims to be Connect's", "/me", sessions.Token(with(session, claims{"iss": connect.Issuer(), "aud": client}), jwt), 401, ""},
		{"a subject that is not a user", "/me", sessions.Token(with(session, claims{"sub": "directory_1"}), jwt), 401, ""},
	} {
		if status, body := get(c.path, c.token); status != c.status || !strings.Contains(body, c.body) {
			t.Errorf("%s: %d %s, want %d %s", c.name, status, body, c.status, c.body)
		}
	}
}
