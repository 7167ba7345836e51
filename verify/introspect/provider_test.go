package introspect_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/bearerkit/bearerkit/verify"
	"github.com/bearerkit/bearerkit/verify/verifytest"
)

// jwe makes a token that looks like an encrypted one.
func jwe(header map[string]any) string {
	text := must(json.Marshal(header))
	return base64.RawURLEncoding.EncodeToString(text) + ".a2V5.aXY.Y2lwaGVydGV4dA.dGFn"
}

// OpenIddict encrypts access tokens by default: they are introspected with the
// settings that docs/revocation.md shows.
func TestEncryptedTokens(t *testing.T) {
	for _, always := range []bool{false, true} {
		issuer := newIssuer(t)
		v, _ := verifier(t, issuer, always, nil)
		for name, header := range map[string]map[string]any{
			"OpenIddict": {"alg": "RSA-OAEP", "enc": "A256CBC-HS512", "kid": "F6A3", "typ": "at+jwt", "cty": "JWT"},
			"Okta":       {"alg": "dir", "enc": "A256GCM"},
		} {
			token := jwe(header)
			issuer.Issue(token, verifytest.Claims{
				"sub": "9a1c", "aud": []string{issuer.Audience(), "other"}, "client_id": "console", "scope": "orders:read",
				"token_type": "Bearer", "token_usage": "access_token",
			})
			got := accept(t, v, token)
			if got.Subject != "9a1c" || !got.HasScope("orders:read") || got.Introspected.IsZero() {
				t.Errorf("%s: %+v", name, got)
			}
			issuer.Revoke(token)
			_, err := v.VerifyRequest(t.Context(), &verify.Request{Token: token, Fresh: true})
			refuse(t, err, verify.ErrInactive)
			// A token that was not issued, and one for another API.
			_, err = v.Verify(t.Context(), token+"A")
			refuse(t, err, verify.ErrInactive)
			issuer.Issue(token+"B", verifytest.Claims{"aud": "other"})
			_, err = v.Verify(t.Context(), token+"B")
			refuse(t, err, verify.ErrAudience)
			// OpenIddict answers so for a client that is not among the audiences.
			issuer.Fail(verifytest.Introspection, about(func(s string) bool { return s == token+"C" }, verifytest.Status(http.StatusUnauthorized)))
			_, err = v.Verify(t.Context(), token+"C")
			refuse(t, err, verify.ErrUnavailable)
			issuer.Heal()
		}
	}
}

// Keycloak's lightweight access tokens leave subject, audience and roles to the
// answer: they are served with Always, as docs/revocation.md has it.
func TestLightweightTokens(t *testing.T) {
	issuer := newIssuer(t)
	v, _ := verifier(t, issuer, true, nil)
	fallback, _ := verifier(t, issuer, false, nil)
	token := issuer.Token(verifytest.Claims{
		"sub": nil, "aud": nil, "client_id": nil, "azp": "shop", "typ": "Bearer", "scope": "profile", "sid": "b7",
	}, verifytest.WithHeader(map[string]any{"typ": "JWT"}))
	issuer.Issue(token, verifytest.Claims{
		"sub": "user-7", "aud": issuer.Audience(), "client_id": "shop", "azp": "shop", "typ": "Bearer", "scope": "profile orders:read",
		"username": "jane", "realm_access": map[string]any{"roles": []string{"clerk"}},
	})
	got := accept(t, v, token)
	var c struct {
		Realm struct {
			Roles []string `json:"roles"`
		} `json:"realm_access"`
	}
	if err := got.Claims(&c); err != nil || got.Subject != "user-7" || len(got.Audience) != 1 || !got.HasScope("orders:read") || strings.Join(c.Realm.Roles, " ") != "clerk" {
		t.Errorf("%+v, %+v, %v", got, c, err)
	}
	// Without an answer it has no subject.
	_, err := fallback.Verify(t.Context(), token)
	refuse(t, err, verify.ErrClaim)
	issuer.Revoke(token)
	_, err = v.VerifyRequest(t.Context(), &verify.Request{Token: token, Fresh: true})
	refuse(t, err, verify.ErrInactive)
	issuer.Down()
	if _, err = v.VerifyRequest(t.Context(), &verify.Request{Token: issuer.Token(verifytest.Claims{"sub": nil, "aud": nil}), Fresh: true}); !errors.Is(err, verify.ErrUnavailable) {
		t.Error(err)
	}
}
