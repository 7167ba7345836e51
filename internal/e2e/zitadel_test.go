//go:build unix

package e2e_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/pkg/client/rp"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"golang.org/x/oauth2"

	"github.com/bearerkit/bearerkit/adapters/httpauth"
	"github.com/bearerkit/bearerkit/middleware"
	"github.com/bearerkit/bearerkit/verify"
	"github.com/bearerkit/bearerkit/verify/jwks"
)

const ordersAPI, invoicesAPI = "https://orders.example/api", "https://invoices.example/api"

// TestZitadelOIDC signs a person in at an authorization server of zitadel/oidc,
// in this process, and takes the tokens to a handler that the kit protects.
// Its ID tokens are harder to tell from access tokens than most: both have the
// type JWT, the same key, and the API in their audience.
func TestZitadelOIDC(t *testing.T) {
	for _, alg := range []jose.SignatureAlgorithm{jose.RS256, jose.PS256, jose.ES256, jose.ES384, jose.ES512, jose.EdDSA} {
		t.Run(string(alg), func(t *testing.T) {
			issuer := startZitadel(t, alg, signingKey(t, alg))
			access, id := signInWithRP(t, issuer, alg, []string{oidc.ScopeOpenID, "orders:read", audienceScope(ordersAPI)}, rand.Text())
			_, plainID := signInWithRP(t, issuer, alg, []string{oidc.ScopeOpenID, audienceScope(ordersAPI)}, "")
			foreign, _ := signInWithRP(t, issuer, alg, []string{oidc.ScopeOpenID, "orders:read", audienceScope(invoicesAPI)}, rand.Text())
			machine := clientCredentials(t, issuer, "orders:read", audienceScope(ordersAPI))

			// What the answers below stand on.
			for _, c := range []struct {
				name, token, aud string
				marks            []string // claims that it has
			}{
				{"access", access, ordersAPI, []string{"jti", "client_id"}},
				{"ID", id, ordersAPI, []string{"nonce", "at_hash"}},
				{"ID without nonce", plainID, ordersAPI, []string{"at_hash", "c_hash"}},
				{"foreign", foreign, invoicesAPI, []string{"jti", "client_id"}},
				{"machine", machine, ordersAPI, []string{"jti", "client_id"}},
			} {
				header, claims := decode(t, c.token)
				if header["alg"] != string(alg) || header["typ"] != "JWT" || claims["iss"] != issuer || !hasAudience(claims["aud"], c.aud) {
					t.Fatalf("the %s token is not as expected: header %v, claims %v", c.name, header, claims)
				}
				for _, m := range c.marks {
					if claims[m] == nil {
						t.Fatalf("the %s token has no %s: %v", c.name, m, claims)
					}
				}
			}

			protected := protect(t, issuer)
			checkWho(t, ask(t, "GET", protected+"/who", access), zitadelUser, zitadelApp, "openid orders:read "+audienceScope(ordersAPI))
			checkWho(t, ask(t, "GET", protected+"/orders", access), zitadelUser, zitadelApp, "openid orders:read "+audienceScope(ordersAPI))
			checkWho(t, ask(t, "GET", protected+"/orders", machine), zitadelMachine, zitadelMachine, "orders:read "+audienceScope(ordersAPI))
			for _, c := range []struct {
				name, path, token string
				status            int
				code              string
			}{
				{"no token", "/who", "", 401, ""},
				{"ID token", "/who", id, 401, "invalid_token"},
				{"ID token without nonce", "/who", plainID, 401, "invalid_token"},
				{"foreign audience", "/who", foreign, 401, "invalid_token"},
				{"signature of another token", "/who", splice(access, foreign), 401, "invalid_token"},
				{"machine on a route for users", "/user", machine, 403, ""},
				{"scope missing", "/write", access, 403, "insufficient_scope"},
			} {
				t.Run(c.name, func(t *testing.T) {
					got := ask(t, "GET", protected+c.path, c.token)
					if c.code == "" && c.status == 403 {
						if got.status != 403 {
							t.Errorf("status %d, want 403", got.status)
						}
						return
					}
					checkRefused(t, got, c.status, c.code)
				})
			}
		})
	}
}

// An account is this application's own user.
type account struct{ id string }

// protect serves an API whose only trusted issuer is the given one.
func protect(t *testing.T, issuer string) string {
	t.Helper()
	v, err := verify.New(verify.Config{
		Issuers: []verify.Issuer{{
			Issuer:   issuer,
			Audience: []string{ordersAPI},
			Keys:     jwks.Discover(issuer),
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := v.Close(); err != nil {
			t.Error(err)
		}
	})
	auth, err := middleware.New(v, middleware.Config{
		User: middleware.Resolve(func(_ context.Context, token *verify.Token) (*account, error) {
			return &account{token.Subject}, nil
		}),
	})
	if err != nil {
		t.Fatal(err)
	}
	who := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, ok := httpauth.UserFrom[*account](r)
		token, has := httpauth.TokenFrom(r)
		if !ok || !has {
			http.Error(w, "no user or no token in the context", http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{
			"sub": token.Subject, "client_id": token.ClientID, "scope": token.Scope, "user": map[string]any{"id": user.id},
		})
	})
	mux := http.NewServeMux()
	mux.Handle("/who", httpauth.Require(auth)(who))
	mux.Handle("/user", httpauth.Require(auth, middleware.OnlyUsers())(who))
	mux.Handle("/orders", httpauth.Require(auth, middleware.Scope("orders:read"))(who))
	mux.Handle("/write", httpauth.Require(auth, middleware.Scope("orders:write"))(who))
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server.URL
}

// signInWithRP is the authorization code grant with PKCE, by zitadel/oidc's
// client, which checks the ID token.
func signInWithRP(t *testing.T, issuer string, alg jose.SignatureAlgorithm, scopes []string, nonce string) (access, id string) {
	t.Helper()
	party, err := rp.NewRelyingPartyOIDC(t.Context(), issuer, zitadelApp, "", zitadelRedirect, scopes,
		rp.WithHTTPClient(&http.Client{Timeout: 90 * time.Second}),
		rp.WithVerifierOpts(
			rp.WithSupportedSigningAlgorithms(string(alg)),
			rp.WithNonce(func(context.Context) string { return nonce }),
		),
	)
	if err != nil {
		t.Fatal(err)
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	browser := &http.Client{Jar: jar, Timeout: 90 * time.Second, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		if strings.HasPrefix(r.URL.String(), zitadelRedirect) {
			return http.ErrUseLastResponse
		}
		return nil
	}}
	verifier, state := oauth2.GenerateVerifier(), rand.Text()
	options := []rp.AuthURLOpt{rp.WithCodeChallenge(oauth2.S256ChallengeFromVerifier(verifier))}
	if nonce != "" {
		options = append(options, rp.AuthURLOpt(rp.WithURLParam("nonce", nonce)))
	}
	w, err := browser.Get(rp.AuthURL(state, party, options...))
	if err != nil {
		t.Fatal(err)
	}
	w.Body.Close()
	end, err := w.Location()
	if err != nil {
		t.Fatalf("sign-in ends at %s with %s", w.Request.URL.Path, w.Status)
	}
	answer := end.Query()
	if answer.Get("state") != state || answer.Get("code") == "" {
		t.Fatalf("sign-in fails: %s", answer.Get("error_description"))
	}
	got, err := rp.CodeExchange[*oidc.IDTokenClaims](t.Context(), answer.Get("code"), party, rp.WithCodeVerifier(verifier))
	if err != nil {
		t.Fatal(err)
	}
	return got.AccessToken, got.IDToken
}

// clientCredentials is the grant of RFC 6749 section 4.4.
func clientCredentials(t *testing.T, issuer string, scopes ...string) string {
	t.Helper()
	party, err := rp.NewRelyingPartyOIDC(t.Context(), issuer, zitadelMachine, zitadelSecret, "", scopes)
	if err != nil {
		t.Fatal(err)
	}
	got, err := rp.ClientCredentials(t.Context(), party, url.Values{})
	if err != nil {
		t.Fatal(err)
	}
	return got.AccessToken
}

func hasAudience(aud any, want string) bool {
	if list, ok := aud.([]any); ok {
		for _, a := range list {
			if a == want {
				return true
			}
		}
	}
	return aud == want
}

func signingKey(t *testing.T, alg jose.SignatureAlgorithm) crypto.Signer {
	t.Helper()
	var key crypto.Signer
	err := errors.ErrUnsupported
	switch alg {
	case jose.RS256, jose.PS256:
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	case jose.ES256:
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case jose.ES384:
		key, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case jose.ES512:
		key, err = ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	case jose.EdDSA:
		_, key, err = ed25519.GenerateKey(rand.Reader)
	}
	if err != nil {
		t.Fatal(err)
	}
	return key
}
