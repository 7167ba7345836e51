//go:build unix

package e2e_test

import (
	"crypto/rand"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/pkg/oidc"

	"github.com/bearerkit/bearerkit/adapters/httpauth"
	"github.com/bearerkit/bearerkit/middleware"
	"github.com/bearerkit/bearerkit/verify"
	"github.com/bearerkit/bearerkit/verify/introspect"
	"github.com/bearerkit/bearerkit/verify/jwks"
)

// introspectionTTL is how long the APIs of these tests reuse an answer.
const introspectionTTL = time.Second

// An asker is an examples/api that asks about tokens.
type asker struct {
	*api
	framework, mode string
}

// askers starts examples/api on every framework in both modes; settings are
// what else it has in a mode.
func askers(t *testing.T, path string, settings func(mode string) map[string]string) (list []asker) {
	t.Helper()
	for _, mode := range []string{"fallback", "always"} {
		for _, framework := range frameworks {
			env := settings(mode)
			env["FRAMEWORK"], env["INTROSPECTION"], env["INTROSPECTION_TTL"] = framework, mode, introspectionTTL.String()
			list = append(list, asker{serve(t, path, env), framework, mode})
		}
	}
	return list
}

// each runs a test with every asker. The answers that it returns must be the
// same on every framework.
func each(t *testing.T, list []asker, name string, f func(t *testing.T, a asker) []answer) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		same := parity{}
		for _, a := range list {
			t.Run(a.mode+"/"+a.framework, func(t *testing.T) {
				for i, got := range f(t, a) {
					same.check(t, a.mode+string(rune('0'+i)), got)
				}
			})
		}
	})
}

// checkUnavailable checks that the answer is 503 and does not challenge the caller.
func checkUnavailable(t *testing.T, got answer) {
	t.Helper()
	if got.status != http.StatusServiceUnavailable || got.challenge != "" || got.retry != "1" || !strings.Contains(got.cache, "no-store") {
		t.Errorf("status %d, challenge %q, Retry-After %q, Cache-Control %q, want an unchallenged 503; body %s", got.status, got.challenge, got.retry, got.cache, got.body)
	}
}

// checkDies expects a token to be refused by all askers, at the latest one TTL
// after it was revoked.
func checkDies(t *testing.T, list []asker, token string, revoked time.Time) {
	t.Helper()
	for len(list) > 0 && time.Since(revoked) < 3*introspectionTTL {
		var alive []asker
		for _, a := range list {
			sent := time.Since(revoked)
			got := a.ask(t, "GET", "/api/protected", token)
			switch {
			case got.status == http.StatusUnauthorized:
				checkRefused(t, got, 401, "invalid_token")
			case got.status != http.StatusOK || sent > introspectionTTL+20*time.Millisecond:
				t.Errorf("%s on %s: status %d, %v after the token was revoked", a.mode, a.framework, got.status, sent)
			default:
				alive = append(alive, a)
			}
		}
		list = alive
		time.Sleep(20 * time.Millisecond)
	}
}

// endpoint finds an endpoint in an issuer's metadata.
func endpoint(t *testing.T, issuer, name string) string {
	t.Helper()
	got := ask(t, "GET", issuer+"/.well-known/openid-configuration", "").json(t)[name]
	at, _ := got.(string)
	if at == "" {
		t.Fatalf("%s has no %s", issuer, name)
	}
	return at
}

// post sends a form; id and secret, unless empty, go into the header as RFC 6749
// section 2.3.1 has them.
func post(t *testing.T, at, id, secret string, h http.Header, form url.Values) (status int, contentType, body string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "POST", at, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	for name, values := range h {
		r.Header[name] = values
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if id != "" {
		r.SetBasicAuth(url.QueryEscape(id), url.QueryEscape(secret))
	}
	w, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Body.Close()
	text, err := io.ReadAll(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	return w.StatusCode, w.Header.Get("Content-Type"), string(text)
}

// revoke revokes a token (RFC 7009) and returns when that was done.
func revoke(t *testing.T, issuer, id, secret string, form url.Values) time.Time {
	t.Helper()
	if status, _, body := post(t, endpoint(t, issuer, "revocation_endpoint"), id, secret, nil, form); status != http.StatusOK {
		t.Fatalf("revocation answers %d: %s", status, body)
	}
	return time.Now()
}

// TestOIDCProviderIntrospection takes opaque tokens of oidc-provider to
// examples/api, which asks about them, and revokes them. One of the servers
// signs its answers (RFC 9701).
func TestOIDCProviderIntrospection(t *testing.T) {
	if os.Getenv("BEARERKIT_E2E") == "off" {
		t.Skip("BEARERKIT_E2E=off: no opaque token is taken to examples/api")
	}
	s := signIn(t)
	path := build(t)
	for alg, signed := range map[string]bool{"RS256": false, "ES256": true} {
		t.Run(alg, func(t *testing.T) {
			is := s.Issuers[alg]
			checkAnswers(t, s, is, signed)
			if t.Failed() {
				t.FailNow() // the rest would prove nothing
			}
			tryIntrospection(t, path, s, is)
			tryDirect(t, s, is, signed)
		})
	}
}

// checkAnswers makes sure that the server answers as the other tests take it to.
func checkAnswers(t *testing.T, s *session, is *issuer, signed bool) {
	at, k := endpoint(t, is.Issuer, "introspection_endpoint"), is.Tokens
	introspect := func(token, accept string) (int, string, string) {
		return post(t, at, s.API.ID, s.API.Secret, http.Header{"Accept": {accept}}, url.Values{"token": {token}})
	}
	for _, c := range []struct {
		name, token         string
		sub, aud, tokenType any
	}{
		{"opaque", k.Payments[0], s.User, s.OpaqueResource, "Bearer"},
		{"machine's opaque", k.PaymentsMachine, nil, s.OpaqueResource, "Bearer"}, // oidc-provider names no subject
		{"opaque without audience", k.OpaqueAccess, s.User, nil, "Bearer"},
		{"refresh", k.PaymentsRefresh, s.User, nil, nil}, // nothing says what it is
	} {
		status, _, body := introspect(c.token, "application/json")
		var m map[string]any
		if err := json.Unmarshal([]byte(body), &m); err != nil || status != 200 || m["active"] != true || m["iss"] != is.Issuer ||
			m["sub"] != c.sub || m["aud"] != c.aud || m["token_type"] != c.tokenType {
			t.Errorf("the answer about the %s token is not as expected: %d %s", c.name, status, body)
		}
	}
	if status, _, body := introspect(k.Access, "application/json"); status != 400 || !strings.Contains(body, "unsupported_token_type") {
		t.Errorf("about a JWT the server answers %d: %s", status, body)
	}
	const jwt = "application/token-introspection+jwt"
	if _, contentType, _ := introspect(k.Payments[0], jwt+", application/json;q=0.9"); strings.HasPrefix(contentType, jwt) != signed {
		t.Errorf("the server answers with %s", contentType)
	}
}

// tryIntrospection is for the example, in both modes on every framework. One
// mode authenticates in the header and the other in the form.
func tryIntrospection(t *testing.T, path string, s *session, is *issuer) {
	k := is.Tokens
	settings := func(mode string) map[string]string {
		env := map[string]string{"ISSUER": is.Issuer, "AUDIENCE": s.Resource + "," + s.OpaqueResource}
		if mode == "fallback" {
			env["CLIENT_ID"], env["CLIENT_SECRET"] = s.API.ID, s.API.Secret
		} else {
			env["CLIENT_ID"], env["CLIENT_SECRET"], env["CLIENT_AUTH"] = s.FormAPI.ID, s.FormAPI.Secret, "post"
		}
		return env
	}
	list := askers(t, path, settings)

	each(t, list, "opaque", func(t *testing.T, a asker) (all []answer) {
		for _, path := range []string{"/api/protected", "/api/sensitive"} {
			got := a.ask(t, "GET", path, k.Payments[0])
			checkWho(t, got, s.User, s.ClientID, s.Scope)
			all = append(all, got)
		}
		if got := a.ask(t, "POST", "/api/orders", k.Payments[0]); got.status != http.StatusCreated {
			t.Errorf("status %d, want 201; body %s", got.status, got.body)
		}
		return all
	})
	for name, token := range map[string]string{
		"opaque without audience":  k.OpaqueAccess,
		"opaque without subject":   k.PaymentsMachine,
		"refresh token":            k.PaymentsRefresh,
		"refresh token beside JWT": k.Refresh,
		"unknown":                  rand.Text(),
		// These fail without a call: the server would answer 400.
		"ID token":                        k.ID,
		"token for another API":           k.ForeignAccess,
		"signature of another token":      splice(k.Access, k.RefreshedAccess),
		"token of another issuer":         s.Issuers["EdDSA"].Tokens.Access,
		"opaque token of another issuer":  s.Issuers["EdDSA"].Tokens.Payments[0],
		"token bound to a DPoP key":       k.DPoPAccess,
		"token bound to a certificate":    k.MTLSMachine,
		"opaque token and something more": k.Payments[0] + "x",
	} {
		each(t, list, name, func(t *testing.T, a asker) (all []answer) {
			for _, path := range []string{"/api/protected", "/api/sensitive", "/api/optional"} {
				got := a.ask(t, "GET", path, token)
				checkRefused(t, got, 401, "invalid_token")
				all = append(all, got)
			}
			return all
		})
	}
	// oidc-provider does not introspect its own JWTs. That is not a fault of
	// the token.
	each(t, list, "JWT", func(t *testing.T, a asker) []answer {
		plain, fresh := a.ask(t, "GET", "/api/protected", k.Access), a.ask(t, "GET", "/api/sensitive", k.Access)
		if a.mode == "fallback" {
			checkWho(t, plain, s.User, s.ClientID, s.Scope)
		} else {
			checkUnavailable(t, plain)
		}
		checkUnavailable(t, fresh)
		return []answer{plain, fresh}
	})

	t.Run("revoked, within the TTL", func(t *testing.T) {
		for _, a := range list {
			checkWho(t, a.ask(t, "GET", "/api/protected", k.Payments[0]), s.User, s.ClientID, s.Scope)
		}
		checkDies(t, list, k.Payments[0], revoke(t, is.Issuer, "", "", url.Values{"token": {k.Payments[0]}, "client_id": {s.ClientID}}))
	})
	t.Run("revoked, at once", func(t *testing.T) {
		for _, a := range list {
			checkWho(t, a.ask(t, "GET", "/api/protected", k.Payments[1]), s.User, s.ClientID, s.Scope)
		}
		revoke(t, is.Issuer, "", "", url.Values{"token": {k.Payments[1]}, "client_id": {s.ClientID}})
		for _, a := range list {
			checkRefused(t, a.ask(t, "GET", "/api/sensitive", k.Payments[1]), 401, "invalid_token")
			checkRefused(t, a.ask(t, "GET", "/api/protected", k.Payments[1]), 401, "invalid_token")
		}
	})
	t.Run("wrong secret", func(t *testing.T) {
		for _, mode := range []string{"fallback", "always"} {
			env := settings(mode)
			env["INTROSPECTION"], env["CLIENT_SECRET"] = mode, "another"
			a := serve(t, path, env)
			checkUnavailable(t, a.ask(t, "GET", "/api/protected", k.Payments[2]))
			checkUnavailable(t, a.ask(t, "GET", "/api/sensitive", k.Access))
		}
	})
}

// guard serves /who, and /fresh that asks about the token each time.
func guard(t *testing.T, is verify.Issuer) string {
	t.Helper()
	v, err := verify.New(verify.Config{Issuers: []verify.Issuer{is}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { v.Close() })
	auth, err := middleware.New(v, middleware.Config{})
	if err != nil {
		t.Fatal(err)
	}
	who := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, _ := httpauth.TokenFrom(r)
		if token.Introspected.IsZero() {
			http.Error(w, "the server was not asked", http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{
			"sub": token.Subject, "client_id": token.ClientID, "scope": token.Scope, "user": map[string]any{"id": token.Subject},
		})
	})
	mux := http.NewServeMux()
	mux.Handle("/who", httpauth.Require(auth)(who))
	mux.Handle("/fresh", httpauth.Require(auth, middleware.NotRevoked())(who))
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server.URL
}

// tryDirect tests what the example has no settings for: tokens without an audience or a
// subject, and signed answers only.
func tryDirect(t *testing.T, s *session, is *issuer, signed bool) {
	k := is.Tokens
	start := func(t *testing.T, in verify.Introspection, c introspect.Config, noSubject bool) string {
		c.Auth, c.Logger = introspect.Basic(s.API.ID, s.API.Secret), slog.New(slog.DiscardHandler)
		in.Introspector = introspect.New(c)
		return guard(t, verify.Issuer{
			Issuer: is.Issuer, Audience: []string{s.OpaqueResource}, Keys: jwks.Discover(is.Issuer), Introspection: &in, AllowNoSubject: noSubject,
		})
	}
	t.Run("without audience", func(t *testing.T) {
		base := start(t, verify.Introspection{InsecureNoAudience: true}, introspect.Config{TTL: introspect.NoTTL}, false)
		checkWho(t, ask(t, "GET", base+"/who", k.OpaqueAccess), s.User, s.ClientID, "openid")
		checkRefused(t, ask(t, "GET", base+"/who", rand.Text()), 401, "invalid_token")
		revoke(t, is.Issuer, "", "", url.Values{"token": {k.OpaqueAccess}, "client_id": {s.ClientID}})
		checkRefused(t, ask(t, "GET", base+"/who", k.OpaqueAccess), 401, "invalid_token")
	})
	t.Run("without subject", func(t *testing.T) {
		base := start(t, verify.Introspection{}, introspect.Config{}, true)
		checkWho(t, ask(t, "GET", base+"/who", k.PaymentsMachine), "", s.MachineID, s.Scope)
	})
	t.Run("signed", func(t *testing.T) {
		base := start(t, verify.Introspection{}, introspect.Config{Signed: true}, false)
		got := ask(t, "GET", base+"/who", k.Payments[2])
		if !signed {
			checkUnavailable(t, got)
			return
		}
		checkWho(t, got, s.User, s.ClientID, s.Scope)
		checkRefused(t, ask(t, "GET", base+"/who", rand.Text()), 401, "invalid_token")
		checkRefused(t, ask(t, "GET", base+"/who", k.PaymentsRefresh), 401, "invalid_token")
	})
}

// TestZitadelIntrospection takes JWTs to an API that asks zitadel/oidc about
// them, and revokes them.
func TestZitadelIntrospection(t *testing.T) {
	issuer := startZitadel(t, jose.ES256, signingKey(t, jose.ES256))
	scope := "orders:read " + audienceScope(ordersAPI)
	mint := func() string { return clientCredentials(t, issuer, "orders:read", audienceScope(ordersAPI)) }
	// Both clients are known to the endpoint, but it answers the API alone.
	about := func(id, token string) string {
		_, _, body := post(t, endpoint(t, issuer, "introspection_endpoint"), id, zitadelSecret, nil, url.Values{"token": {token}})
		return body
	}
	if body := about(zitadelAPI, mint()); !strings.Contains(body, `"active":true`) || !strings.Contains(body, ordersAPI) {
		t.Fatalf("the server does not introspect JWTs: %s", body)
	}
	end := func(token string) time.Time {
		return revoke(t, issuer, zitadelMachine, zitadelSecret, url.Values{"token": {token}, "token_type_hint": {"access_token"}})
	}
	if token := mint(); !end(token).IsZero() && strings.Contains(about(zitadelAPI, token), `"active":true`) {
		t.Fatal("the server does not revoke JWTs")
	}

	t.Run("example", func(t *testing.T) {
		if os.Getenv("BEARERKIT_E2E") == "off" {
			t.Skip("BEARERKIT_E2E=off")
		}
		path := build(t)
		knowing := func(secret string) func(string) map[string]string {
			return func(string) map[string]string {
				return map[string]string{"ISSUER": issuer, "AUDIENCE": ordersAPI, "CLIENT_ID": zitadelAPI, "CLIENT_SECRET": secret}
			}
		}
		list := askers(t, path, knowing(zitadelSecret))
		fallback, always := list[:len(frameworks)], list[len(frameworks):]
		first, second := mint(), mint()
		each(t, list, "served", func(t *testing.T, a asker) (all []answer) {
			for _, path := range []string{"/api/protected", "/api/sensitive"} {
				got := a.ask(t, "GET", path, first)
				checkWho(t, got, zitadelMachine, zitadelMachine, scope)
				all = append(all, got)
			}
			return all
		})
		foreign := clientCredentials(t, issuer, "orders:read", audienceScope(invoicesAPI))
		each(t, list, "refused", func(t *testing.T, a asker) (all []answer) {
			for _, token := range []string{foreign, splice(first, second), rand.Text()} {
				got := a.ask(t, "GET", "/api/protected", token)
				checkRefused(t, got, 401, "invalid_token")
				all = append(all, got)
			}
			return all
		})
		t.Run("revoked, within the TTL", func(t *testing.T) {
			for _, a := range list {
				checkWho(t, a.ask(t, "GET", "/api/protected", first), zitadelMachine, zitadelMachine, scope)
			}
			checkDies(t, always, first, end(first))
			for _, a := range fallback {
				// It verifies, and is not introspected here.
				checkWho(t, a.ask(t, "GET", "/api/protected", first), zitadelMachine, zitadelMachine, scope)
			}
		})
		t.Run("revoked, at once", func(t *testing.T) {
			for _, a := range list {
				checkWho(t, a.ask(t, "GET", "/api/protected", second), zitadelMachine, zitadelMachine, scope)
			}
			end(second)
			for _, a := range list {
				checkRefused(t, a.ask(t, "GET", "/api/sensitive", second), 401, "invalid_token")
				checkRefused(t, a.ask(t, "GET", "/api/protected", second), 401, "invalid_token")
			}
		})
		t.Run("wrong secret", func(t *testing.T) {
			third := mint()
			for _, a := range askers(t, path, knowing("another")) {
				checkUnavailable(t, a.ask(t, "GET", "/api/sensitive", third))
				if a.mode == "always" {
					checkUnavailable(t, a.ask(t, "GET", "/api/protected", third))
				}
			}
		})
	})

	// A client that proves itself by a signature, to a library that checks it.
	for name, auth := range map[string]introspect.ClientAuth{
		"client_secret_basic": introspect.Basic(zitadelAPI, zitadelSecret),
		"private_key_jwt":     introspect.PrivateKeyJWT(zitadelAPI, "api-key", zitadelAPIKey),
	} {
		t.Run(name, func(t *testing.T) {
			base := guard(t, verify.Issuer{
				Issuer: issuer, Audience: []string{ordersAPI}, Keys: jwks.Discover(issuer),
				Introspection: &verify.Introspection{
					Always:       true,
					Introspector: introspect.New(introspect.Config{Auth: auth, TTL: time.Hour, Logger: slog.New(slog.DiscardHandler)}),
				},
			})
			user, _ := signInWithRP(t, issuer, jose.ES256, []string{oidc.ScopeOpenID, "orders:read", audienceScope(ordersAPI)}, rand.Text())
			checkWho(t, ask(t, "GET", base+"/who", user), zitadelUser, zitadelApp, "openid orders:read "+audienceScope(ordersAPI))
			token := mint()
			checkWho(t, ask(t, "GET", base+"/who", token), zitadelMachine, zitadelMachine, scope)
			end(token)
			checkWho(t, ask(t, "GET", base+"/who", token), zitadelMachine, zitadelMachine, scope) // as the TTL has it
			checkRefused(t, ask(t, "GET", base+"/fresh", token), 401, "invalid_token")
			checkRefused(t, ask(t, "GET", base+"/who", token), 401, "invalid_token")
		})
	}
	t.Run("private_key_jwt, another key", func(t *testing.T) {
		base := guard(t, verify.Issuer{
			Issuer: issuer, Audience: []string{ordersAPI}, Keys: jwks.Discover(issuer),
			Introspection: &verify.Introspection{
				Always: true,
				Introspector: introspect.New(introspect.Config{
					Auth: introspect.PrivateKeyJWT(zitadelAPI, "api-key", signingKey(t, jose.RS256)), Logger: slog.New(slog.DiscardHandler),
				}),
			},
		})
		checkUnavailable(t, ask(t, "GET", base+"/who", mint()))
	})
}
