//go:build unix

package e2e_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
)

var frameworks = []string{"nethttp", "chi", "gin", "echo"}

// algorithms are what the authorization servers sign with, one each.
var algorithms = []string{"RS256", "ES256", "EdDSA", "Ed25519"}

// TestOIDCProvider signs a person in with openid-client at oidc-provider and
// takes the tokens to examples/api, on every framework.
func TestOIDCProvider(t *testing.T) {
	if os.Getenv("BEARERKIT_E2E") == "off" {
		t.Skip("BEARERKIT_E2E=off: oidc-provider and examples/api are not tested")
	}
	s := signIn(t)
	for _, alg := range algorithms {
		t.Run("tokens/"+alg, func(t *testing.T) { checkTokens(t, s, alg) })
	}
	if t.Failed() {
		t.FailNow() // the rest would prove nothing
	}
	path := build(t)
	same := parity{}
	for _, framework := range frameworks {
		t.Run(framework, func(t *testing.T) {
			// If it does not start at all, it is enough to hear so once.
			serve(t, path, map[string]string{
				"FRAMEWORK": framework, "ISSUER": s.Issuers["RS256"].Issuer, "AUDIENCE": s.Resource,
			})
			for _, alg := range algorithms {
				t.Run(alg, func(t *testing.T) {
					is := s.Issuers[alg]
					a := serve(t, path, map[string]string{
						"FRAMEWORK": framework, "ISSUER": is.Issuer, "AUDIENCE": s.Resource,
					})
					tryTokens(t, a, s, alg, same)
				})
			}
			t.Run("audience of the client", func(t *testing.T) { tryWideAudience(t, path, framework, s) })
			t.Run("access token profile", func(t *testing.T) { tryProfile(t, path, framework, s) })
			t.Run("several issuers", func(t *testing.T) { trySeveral(t, path, framework, s) })
		})
	}
}

// checkTokens makes sure that the tokens are what the other tests take them
// for: a refusal proves nothing if the token has another fault.
func checkTokens(t *testing.T, s *session, alg string) {
	is := s.Issuers[alg]
	if is == nil {
		t.Fatalf("no user was signed in with %s", alg)
	}
	k := is.Tokens
	for _, c := range []struct {
		name, token     string
		typ, aud, scope string
		cnf             string
	}{
		{"access", k.Access, "at+jwt", s.Resource, s.Scope, ""},
		{"refreshed access", k.RefreshedAccess, "at+jwt", s.Resource, s.Scope, ""},
		{"reader's access", k.ReaderAccess, "at+jwt", s.Resource, "orders:read", ""},
		{"foreign access", k.ForeignAccess, "at+jwt", s.OtherResource, s.Scope, ""},
		{"DPoP-bound access", k.DPoPAccess, "at+jwt", s.Resource, s.Scope, "jkt"},
		{"machine", k.Machine, "at+jwt", s.Resource, s.Scope, ""},
		{"DPoP-bound machine", k.DPoPMachine, "at+jwt", s.Resource, s.Scope, "jkt"},
		{"certificate-bound machine", k.MTLSMachine, "at+jwt", s.Resource, s.Scope, "x5t#S256"},
		{"ID", k.ID, "", s.ClientID, "", ""},
		{"refreshed ID", k.RefreshedID, "", s.ClientID, "", ""},
		{"reader's ID", k.ReaderID, "", s.ClientID, "", ""},
	} {
		header, claims := decode(t, c.token)
		scope, _ := claims["scope"].(string)
		typ, _ := header["typ"].(string)
		if header["alg"] != alg || typ != c.typ || claims["iss"] != is.Issuer || claims["aud"] != c.aud || !sameScope(scope, c.scope) {
			t.Errorf("the %s token is not as expected: header %v, claims %v", c.name, header, claims)
		}
		cnf, _ := claims["cnf"].(map[string]any)
		if _, bound := cnf[c.cnf]; bound != (c.cnf != "") || len(cnf) > 1 || !bound && cnf != nil {
			t.Errorf("the %s token has cnf %v, want %q", c.name, claims["cnf"], c.cnf)
		}
	}
	if _, claims := decode(t, k.ID); claims["nonce"] == nil {
		t.Error("the ID token has no nonce")
	}
	if _, claims := decode(t, k.ReaderID); claims["nonce"] != nil {
		t.Error("the reader's ID token has a nonce")
	}
	for name, token := range map[string]string{"refresh": k.Refresh, "opaque access": k.OpaqueAccess} {
		if token == "" || strings.Contains(token, ".") {
			t.Errorf("the %s token is not opaque", name)
		}
	}
}

// decode reads a token without any check.
func decode(t *testing.T, token string) (header, claims map[string]any) {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("a JWT of %d parts", len(parts))
	}
	for i, m := range []*map[string]any{&header, &claims} {
		text, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err == nil {
			err = json.Unmarshal(text, m)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return header, claims
}

func sameScope(a, b string) bool {
	x, y := strings.Fields(a), strings.Fields(b)
	slices.Sort(x)
	slices.Sort(y)
	return slices.Equal(x, y)
}

// tryTokens takes every token of one issuer to an API of that issuer.
func tryTokens(t *testing.T, a *api, s *session, alg string, same parity) {
	k := s.Issuers[alg].Tokens
	other := s.Issuers[algorithms[(slices.Index(algorithms, alg)+1)%len(algorithms)]].Tokens

	// The first request comes right after the start. It may have to wait for
	// the keys, but it must not be turned away.
	checkWho(t, a.ask(t, "GET", "/api/protected", k.Access), s.User, s.ClientID, s.Scope)

	t.Run("served", func(t *testing.T) {
		checkWho(t, a.ask(t, "GET", "/api/protected", k.RefreshedAccess), s.User, s.ClientID, s.Scope)
		checkWho(t, a.ask(t, "GET", "/api/protected", k.ReaderAccess), s.User, s.ClientID, "orders:read")
		checkWho(t, a.ask(t, "GET", "/api/protected", k.Machine), s.MachineID, s.MachineID, s.Scope)
		for _, c := range []struct {
			method, path, token string
			status              int
		}{
			{"GET", "/public", "", http.StatusOK},
			{"GET", "/readyz", "", http.StatusOK},
			{"GET", "/api/optional", "", http.StatusOK},
			{"GET", "/api/optional", k.Access, http.StatusOK},
			{"GET", "/api/orders", k.Access, http.StatusOK},
			{"POST", "/api/orders", k.Access, http.StatusCreated},
			{"GET", "/api/orders", k.ReaderAccess, http.StatusOK},
			{"GET", "/api/orders", k.Machine, http.StatusOK},
			{"POST", "/api/orders", k.Machine, http.StatusCreated},
		} {
			if got := a.ask(t, c.method, c.path, c.token); got.status != c.status {
				t.Errorf("%s %s: status %d, want %d; challenge %q, body %s", c.method, c.path, got.status, c.status, got.challenge, got.body)
			}
		}
	})

	for _, c := range []struct {
		name, method, path, token string
		status                    int
		code                      string
	}{
		{"no token", "GET", "/api/protected", "", 401, ""},
		{"scope missing", "POST", "/api/orders", k.ReaderAccess, 403, "insufficient_scope"},
		{"ID token", "GET", "/api/protected", k.ID, 401, "invalid_token"},
		{"ID token where a token is optional", "GET", "/api/optional", k.ID, 401, "invalid_token"},
		{"ID token of a refresh", "GET", "/api/protected", k.RefreshedID, 401, "invalid_token"},
		{"ID token without nonce", "GET", "/api/protected", k.ReaderID, 401, "invalid_token"},
		{"token for another API", "GET", "/api/protected", k.ForeignAccess, 401, "invalid_token"},
		{"token of another issuer", "GET", "/api/protected", other.Access, 401, "invalid_token"},
		{"opaque token", "GET", "/api/protected", k.OpaqueAccess, 401, "invalid_token"},
		{"refresh token", "GET", "/api/protected", k.Refresh, 401, "invalid_token"},
		{"token bound to a DPoP key", "GET", "/api/protected", k.DPoPAccess, 401, "invalid_token"},
		{"machine's token bound to a DPoP key", "GET", "/api/protected", k.DPoPMachine, 401, "invalid_token"},
		{"token bound to a certificate", "GET", "/api/protected", k.MTLSMachine, 401, "invalid_token"},
		{"signature of another token", "GET", "/api/protected", splice(k.Access, k.RefreshedAccess), 401, "invalid_token"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := a.ask(t, c.method, c.path, c.token)
			checkRefused(t, got, c.status, c.code)
			if c.code == "insufficient_scope" && !strings.Contains(got.challenge, `scope="orders:write"`) {
				t.Errorf("challenge %q does not say which scope", got.challenge)
			}
			same.check(t, alg+": "+c.name, got)
		})
	}
}

// splice puts the signature of b under the claims of a.
func splice(a, b string) string { return a[:strings.LastIndexByte(a, '.')+1] + tail(b) }

// parity holds the first framework's answers: the others give the same.
type parity map[string]answer

func (p parity) check(t *testing.T, name string, got answer) {
	t.Helper()
	first, ok := p[name]
	if !ok {
		p[name] = got
	} else if first != got {
		t.Errorf("answer differs from the first framework's:\n got %+v\nwant %+v", got, first)
	}
}

// tryWideAudience accepts the client's own ID as an audience too, as APIs do
// whose issuer knows no resource indicators. Then the ID token has the right
// issuer, key, audience and times, and its kind is all that can refuse it.
func tryWideAudience(t *testing.T, path, framework string, s *session) {
	for _, alg := range algorithms {
		is := s.Issuers[alg]
		a := serve(t, path, map[string]string{
			"FRAMEWORK": framework, "ISSUER": is.Issuer, "AUDIENCE": s.Resource + "," + s.ClientID,
		})
		checkWho(t, a.ask(t, "GET", "/api/protected", is.Tokens.Access), s.User, s.ClientID, s.Scope)
		checkRefused(t, a.ask(t, "GET", "/api/protected", is.Tokens.ID), 401, "invalid_token")
		checkRefused(t, a.ask(t, "GET", "/api/protected", is.Tokens.RefreshedID), 401, "invalid_token")
		checkRefused(t, a.ask(t, "GET", "/api/optional", is.Tokens.ID), 401, "invalid_token")
	}
}

// tryProfile demands the access token profile of RFC 9068, which
// oidc-provider's tokens meet. It refuses the ID token that nothing else gives
// away: without nonce and hashes it has the claims that an access token may
// have, and no type.
func tryProfile(t *testing.T, path, framework string, s *session) {
	is := s.Issuers["ES256"]
	a := serve(t, path, map[string]string{
		"FRAMEWORK": framework, "ISSUER": is.Issuer, "AUDIENCE": s.Resource + "," + s.ClientID, "TOKEN_TYPE": "at+jwt",
	})
	checkWho(t, a.ask(t, "GET", "/api/protected", is.Tokens.Access), s.User, s.ClientID, s.Scope)
	checkWho(t, a.ask(t, "GET", "/api/protected", is.Tokens.Machine), s.MachineID, s.MachineID, s.Scope)
	for name, token := range map[string]string{"ID": is.Tokens.ID, "refreshed ID": is.Tokens.RefreshedID, "reader's ID": is.Tokens.ReaderID} {
		t.Run(name, func(t *testing.T) {
			checkRefused(t, a.ask(t, "GET", "/api/protected", token), 401, "invalid_token")
		})
	}
}

// trySeveral trusts all issuers at once; all of them have keys of the same
// names.
func trySeveral(t *testing.T, path, framework string, s *session) {
	var issuers []string
	for _, alg := range algorithms {
		issuers = append(issuers, s.Issuers[alg].Issuer)
	}
	a := serve(t, path, map[string]string{
		"FRAMEWORK": framework, "ISSUER": strings.Join(issuers, ","), "AUDIENCE": s.Resource,
	})
	for _, alg := range algorithms {
		k := s.Issuers[alg].Tokens
		t.Run(alg, func(t *testing.T) {
			checkWho(t, a.ask(t, "GET", "/api/protected", k.Access), s.User, s.ClientID, s.Scope)
			checkRefused(t, a.ask(t, "GET", "/api/protected", k.ID), 401, "invalid_token")
			checkRefused(t, a.ask(t, "GET", "/api/protected", k.ForeignAccess), 401, "invalid_token")
			checkRefused(t, a.ask(t, "GET", "/api/protected", k.DPoPAccess), 401, "invalid_token")
		})
	}
}
