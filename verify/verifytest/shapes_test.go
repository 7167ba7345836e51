package verifytest_test

import (
	"cmp"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bearerkit/bearerkit/verify"
	introspection "github.com/bearerkit/bearerkit/verify/introspect"
	"github.com/bearerkit/bearerkit/verify/jwks"
	"github.com/bearerkit/bearerkit/verify/verifytest"
)

// A shape is what the access tokens of an authorization server look like, with
// the settings that docs/issuers.md names for it.
type shape struct {
	name   string
	issuer string
	typ    string // of the header; empty: none
	claims verifytest.Claims
	answer verifytest.Claims // of introspection, over the claims; nil: it is not asked
	opaque bool              // the token is not a JWT
	with   verify.Issuer     // but for Issuer and Keys

	subject, client, scope string
	machine                bool
	wrong                  []wrong // tokens much like it that must be refused
}

// A wrong token is the right one with claims changed.
type wrong struct {
	name   string
	claims verifytest.Claims
	typ    string // in place of the right one's
	reason verify.Reason
}

const api, app = "https://api.example.com", "0oa1client"

var (
	elsewhere = wrong{"for another service", verifytest.Claims{"aud": "https://other.example.com"}, "", verify.ErrAudience}
	nullCnf   = json.RawMessage("null")
)

// isSubjectless reports a machine where tokens of machines have no subject.
func isSubjectless(t *verify.Token) bool { return t.Subject == "" }

func claimIs(name string, values ...string) func(*verify.Token) bool {
	return func(t *verify.Token) bool {
		c, err := verify.ClaimsOf[map[string]any](t)
		s, _ := c[name].(string)
		return err == nil && slices.Contains(values, s)
	}
}

var shapes = []shape{
	{
		name: "Spring Authorization Server", issuer: "https://spring.example.com",
		claims: verifytest.Claims{"sub": "jane", "aud": app, "nbf": -1, "scope": []string{"read", "write"}, "jti": "6c8d"},
		with:   verify.Issuer{Audience: []string{app}}, subject: "jane", scope: "read write",
		wrong: []wrong{
			elsewhere,
			{"an element with a space", verifytest.Claims{"scope": []string{"read write"}}, "", verify.ErrClaim},
			{"an element of another type", verifytest.Claims{"scope": []any{"read", 1}}, "", verify.ErrClaim},
			{"its ID token", verifytest.Claims{"scope": nil, "azp": app, "nonce": "n", "sid": "s"}, "", verify.ErrType},
		},
	},
	{
		name: "Duende IdentityServer, a user", issuer: "https://identity.example.com", typ: "at+jwt",
		claims: verifytest.Claims{"sub": "818727", "aud": []string{api}, "nbf": -1, "client_id": app, "scope": []string{"openid", "orders"}, "auth_time": -60, "idp": "local", "amr": []string{"pwd"}, "sid": "s", "jti": "A1"},
		with:   verify.Issuer{Audience: []string{api}, AllowNoSubject: true, IsMachine: isSubjectless}, subject: "818727", client: app, scope: "openid orders",
		wrong: []wrong{elsewhere, {"no ApiResource", verifytest.Claims{"aud": nil}, "", verify.ErrClaim}, {"its logout token", nil, "logout+jwt", verify.ErrType}},
	},
	{
		name: "Duende IdentityServer, a machine", issuer: "https://identity.example.com", typ: "at+jwt",
		claims: verifytest.Claims{"aud": []string{api}, "nbf": -1, "client_id": app, "scope": []string{"orders"}, "jti": "A2"},
		with:   verify.Issuer{Audience: []string{api}, AllowNoSubject: true, IsMachine: isSubjectless}, client: app, scope: "orders", machine: true,
		wrong: []wrong{elsewhere, {"a subject that is null", verifytest.Claims{"sub": json.RawMessage("null")}, "", verify.ErrClaim}},
	},
	{
		name: "Cloud Foundry UAA", issuer: "https://uaa.example.com/oauth/token", typ: "JWT",
		claims: verifytest.Claims{"sub": "9c1f", "aud": []string{"orders", app}, "client_id": app, "cid": app, "azp": app, "scope": []string{"orders.read"}, "grant_type": "authorization_code", "user_id": "9c1f", "origin": "uaa", "user_name": "jane", "rev_sig": "d3", "zid": "uaa", "auth_time": -60, "jti": "b4"},
		with:   verify.Issuer{Audience: []string{"orders"}}, subject: "9c1f", client: app, scope: "orders.read",
		wrong: []wrong{elsewhere, {"its ID token", verifytest.Claims{"aud": []string{app}, "nonce": "n"}, "", verify.ErrType}},
	},
	{
		name: "AD FS", issuer: "http://adfs.example.com/adfs/services/trust", typ: "JWT",
		claims: verifytest.Claims{"aud": "microsoft:identityserver:" + api, "appid": app, "apptype": "Confidential", "authmethod": "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport", "auth_time": "2020-03-14T18:52:01.180Z", "ver": "1.0", "scp": "openid orders", "sub": "jR3+", "upn": "jane@example.com"},
		with:   verify.Issuer{Audience: []string{"microsoft:identityserver:" + api}, SubjectClaim: "upn", ClientIDClaim: "appid"}, subject: "jane@example.com", client: app, scope: "openid orders",
		wrong: []wrong{elsewhere, {"without a subject", verifytest.Claims{"upn": nil}, "", verify.ErrClaim}, {"an upn of another type", verifytest.Claims{"upn": []string{"jane"}}, "", verify.ErrClaim}},
	},
	{
		name: "Dex", issuer: "https://dex.example.com",
		claims: verifytest.Claims{"sub": "CgVqYW5lEgVsb2NhbA", "aud": "orders-api", "nonce": "n", "at_hash": "x1", "email": "jane@example.com", "email_verified": true, "groups": []string{"dev"}},
		with:   verify.Issuer{Audience: []string{"orders-api"}, AllowIDTokenClaims: true}, subject: "CgVqYW5lEgVsb2NhbA",
		wrong: []wrong{elsewhere, {"for its client, which it names", verifytest.Claims{"azp": "orders-api"}, "", verify.ErrType}},
	},
	{
		name: "Dex, for a client of another", issuer: "https://dex.example.com",
		claims: verifytest.Claims{"sub": "CgVqYW5lEgVsb2NhbA", "aud": []string{"orders-api", app}, "azp": app, "at_hash": "x1"},
		with:   verify.Issuer{Audience: []string{"orders-api"}, AllowIDTokenClaims: true}, subject: "CgVqYW5lEgVsb2NhbA", client: app,
		wrong: []wrong{elsewhere, {"for the client alone", verifytest.Claims{"aud": app}, "", verify.ErrAudience}},
	},
	{
		name: "authentik", issuer: "https://authentik.example.com/application/o/orders/", typ: "JWT",
		claims: verifytest.Claims{"sub": "4c6d", "aud": app, "azp": app, "nonce": "n", "auth_time": -60, "acr": "goauthentik.io/providers/oauth2/default", "amr": []string{"pwd"}, "nbf": json.RawMessage("null"), "at_hash": json.RawMessage("null"), "scope": "openid orders", "uid": "u"},
		with:   verify.Issuer{Audience: []string{app}, AllowIDTokenClaims: true, AllowClientAudience: true}, subject: "4c6d", client: app, scope: "openid orders",
		wrong: []wrong{elsewhere, {"of another application", verifytest.Claims{"iss": "https://authentik.example.com/application/o/other/"}, "", verify.ErrIssuer}, {"its logout token", verifytest.Claims{"events": map[string]any{}}, "", verify.ErrType}},
	},
	{
		name: "Keycloak before 25", issuer: "https://keycloak.example.com/realms/acme", typ: "JWT",
		claims: verifytest.Claims{"sub": "f81d", "aud": []string{api, "account"}, "azp": app, "typ": "Bearer", "nonce": "n", "session_state": "s", "acr": "1", "scope": "openid orders", "sid": "s", "jti": "k1"},
		with:   verify.Issuer{Audience: []string{api}, AllowIDTokenClaims: true}, subject: "f81d", client: app, scope: "openid orders",
		wrong: []wrong{
			{"without an audience mapper", verifytest.Claims{"aud": "account"}, "", verify.ErrAudience},
			{"its ID token", verifytest.Claims{"aud": app, "typ": "ID", "at_hash": "x"}, "", verify.ErrType},
			{"its refresh token", verifytest.Claims{"typ": "Refresh"}, "", verify.ErrType},
			{"its offline token", verifytest.Claims{"typ": "Offline"}, "", verify.ErrType},
		},
	},
	{
		name: "Keycloak, a lightweight token", issuer: "https://keycloak.example.com/realms/acme", typ: "JWT",
		claims: verifytest.Claims{"azp": app, "typ": "Bearer", "sid": "s", "scope": "openid orders", "jti": "lw1"},
		answer: verifytest.Claims{"sub": "f81d", "aud": []string{api, "orders-api"}, "client_id": app, "username": "jane", "typ": "Bearer", "scope": "openid orders"},
		with:   verify.Issuer{Audience: []string{api}, Introspection: &verify.Introspection{Always: true}}, subject: "f81d", client: app, scope: "openid orders",
		wrong: []wrong{{"its refresh token", verifytest.Claims{"typ": "Refresh"}, "", verify.ErrType}, {"that names another audience", verifytest.Claims{"aud": "account"}, "", verify.ErrAudience}},
	},
	{
		name: "WSO2 Identity Server and Asgardeo, a user", issuer: "https://api.asgardeo.io/t/acme/oauth2/token", typ: "at+jwt",
		claims: verifytest.Claims{"sub": "a1b2", "aut": "APPLICATION_USER", "client_id": app, "azp": app, "aud": app, "nbf": -1, "org_id": "10084a8d", "org_name": "acme", "scope": "openid orders", "jti": "w1"},
		with:   verify.Issuer{Audience: []string{app}, IsMachine: claimIs("aut", "APPLICATION")}, subject: "a1b2", client: app, scope: "openid orders",
		wrong: []wrong{elsewhere, {"its ID token", verifytest.Claims{"nonce": "n", "at_hash": "x"}, "JWT", verify.ErrType}},
	},
	{
		name: "WSO2 Identity Server and Asgardeo, a machine", issuer: "https://api.asgardeo.io/t/acme/oauth2/token", typ: "at+jwt",
		claims: verifytest.Claims{"sub": "c3d4", "aut": "APPLICATION", "client_id": app, "azp": app, "aud": app, "nbf": -1, "scope": "orders", "jti": "w2"},
		with:   verify.Issuer{Audience: []string{app}, IsMachine: claimIs("aut", "APPLICATION")}, subject: "c3d4", client: app, scope: "orders", machine: true,
		wrong: []wrong{elsewhere},
	},
	{
		name: "Cloudflare Access, a user", issuer: "https://acme.cloudflareaccess.com", typ: "JWT",
		claims: verifytest.Claims{"sub": "7335d417", "aud": []string{"32eafc76"}, "email": "jane@example.com", "nbf": -1, "type": "app", "identity_nonce": "6ei69kaw", "country": "US"},
		with:   verify.Issuer{Audience: []string{"32eafc76"}, AllowNoSubject: true, ClientIDClaim: "common_name", IsMachine: isSubjectless}, subject: "7335d417",
		wrong: []wrong{{"of another application", verifytest.Claims{"aud": []string{"97e2aae1"}}, "", verify.ErrAudience}, {"of another team", verifytest.Claims{"iss": "https://evil.cloudflareaccess.com"}, "", verify.ErrIssuer}},
	},
	{
		name: "Cloudflare Access, a service", issuer: "https://acme.cloudflareaccess.com", typ: "JWT",
		claims: verifytest.Claims{"sub": "", "aud": []string{"32eafc76"}, "type": "app", "common_name": "e367826f.access"},
		with:   verify.Issuer{Audience: []string{"32eafc76"}, AllowNoSubject: true, ClientIDClaim: "common_name", IsMachine: isSubjectless}, client: "e367826f.access", machine: true,
		wrong: []wrong{{"of another application", verifytest.Claims{"aud": []string{"97e2aae1"}}, "", verify.ErrAudience}},
	},
	{
		name: "Google IAP", issuer: "https://cloud.google.com/iap", typ: "JWT",
		claims: verifytest.Claims{"sub": "accounts.google.com:1177", "aud": "/projects/123/global/backendServices/456", "email": "jane@example.com", "azp": "/projects/123/global/backendServices/456", "hd": "example.com"},
		with:   verify.Issuer{Audience: []string{"/projects/123/global/backendServices/456"}}, subject: "accounts.google.com:1177", client: "/projects/123/global/backendServices/456",
		wrong: []wrong{{"of another service", verifytest.Claims{"aud": "/projects/123/global/backendServices/789"}, "", verify.ErrAudience}},
	},
	{
		name: "Microsoft Entra, version 1, a user", issuer: "https://sts.windows.net/72f988bf/", typ: "JWT",
		claims: verifytest.Claims{"sub": "pairwise", "oid": "40e2", "tid": "72f988bf", "aud": "api://orders", "appid": app, "appidacr": "1", "acr": "1", "amr": []string{"pwd"}, "nbf": -1, "scp": "orders.read", "ver": "1.0"},
		with:   verify.Issuer{Audience: []string{"api://orders"}, SubjectClaim: "oid", ClientIDClaim: "appid", IsMachine: claimIs("idtyp", "app")}, subject: "40e2", client: app, scope: "orders.read",
		wrong: []wrong{elsewhere, {"for Microsoft Graph", verifytest.Claims{"aud": "00000003-0000-0000-c000-000000000000"}, "", verify.ErrAudience}, {"without a subject", verifytest.Claims{"oid": nil}, "", verify.ErrClaim}, {"its ID token", verifytest.Claims{"aud": app, "nonce": "n"}, "", verify.ErrType}},
	},
	{
		name: "Microsoft Entra, version 1, a machine", issuer: "https://sts.windows.net/72f988bf/", typ: "JWT",
		claims: verifytest.Claims{"sub": "9b1d", "oid": "9b1d", "tid": "72f988bf", "aud": "api://orders", "appid": app, "appidacr": "1", "nbf": -1, "roles": []string{"Orders.All"}, "idtyp": "app", "ver": "1.0"},
		with:   verify.Issuer{Audience: []string{"api://orders"}, SubjectClaim: "oid", ClientIDClaim: "appid", IsMachine: claimIs("idtyp", "app")}, subject: "9b1d", client: app, machine: true,
		wrong: []wrong{elsewhere},
	},
	{
		name: "ForgeRock", issuer: "https://am.example.com/am/oauth2",
		claims: verifytest.Claims{"sub": "jane", "cts": "OAUTH2_STATELESS_GRANT", "tokenName": "access_token", "token_type": "Bearer", "aud": app, "nbf": -1, "grant_type": "authorization_code", "scope": []string{"orders"}, "auth_time": -60, "realm": "/", "expires_in": 3600, "jti": "fr", "nonce": "n"},
		with:   verify.Issuer{Audience: []string{app}, AllowIDTokenClaims: true}, subject: "jane", scope: "orders",
		wrong: []wrong{elsewhere, {"its ID token", verifytest.Claims{"azp": app, "tokenName": "id_token", "at_hash": "x"}, "", verify.ErrType}},
	},
	{
		name: "Django OAuth Toolkit", issuer: "https://django.example.com/o", opaque: true,
		answer: verifytest.Claims{"iss": nil, "sub": nil, "aud": nil, "jti": nil, "iat": nil, "token_type": nil, "client_id": app, "scope": "read", "username": "jane"},
		with:   verify.Issuer{Audience: []string{api}, SubjectClaim: "username", Introspection: &verify.Introspection{InsecureNoAudience: true}}, subject: "jane", client: app, scope: "read",
		wrong: []wrong{{"without a subject", verifytest.Claims{"username": nil}, "", verify.ErrClaim}, {"for another service", verifytest.Claims{"aud": "other"}, "", verify.ErrAudience}, {"a refresh token", verifytest.Claims{"token_type": "refresh_token"}, "", verify.ErrType}},
	},
}

// With the documented settings a server's tokens are served, and those next to
// them are not.
func TestShapesOfIssuers(t *testing.T) {
	key := verifytest.NewKey("RS256")
	for _, s := range shapes {
		t.Run(s.name, func(t *testing.T) {
			server := verifytest.NewInMemory(s.issuer)
			defer server.Close()
			server.SetKeys(key)
			settings := s.with
			settings.Issuer = s.issuer
			settings.Keys = jwks.Static(verify.Key{ID: key.ID, Algorithm: key.Algorithm, Public: key.Public()})
			if s.with.Introspection != nil {
				in := *s.with.Introspection
				source := introspection.New(introspection.Config{
					Auth: introspection.Basic(verifytest.ClientID, verifytest.ClientSecret), URL: server.URL(verifytest.Introspection),
					Client: server.Client(), InsecureHTTP: strings.HasPrefix(s.issuer, "http:"),
				})
				defer source.Close()
				in.Introspector = source
				settings.Introspection = &in
			}
			v, err := verify.New(verify.Config{Issuers: []verify.Issuer{settings}})
			if err != nil {
				t.Fatal(err)
			}
			mint := func(typ string, changes verifytest.Claims) string {
				if s.opaque {
					token := server.OpaqueToken(nil)
					server.Issue(token, over(s.answer, changes))
					return token
				}
				claims := over(verifytest.Claims{"iss": s.issuer, "iat": -1, "exp": 3600}, s.claims, changes)
				now := time.Now()
				for name, value := range claims {
					if seconds, ok := value.(int); ok && name != "expires_in" {
						claims[name] = now.Add(time.Duration(seconds) * time.Second)
					}
				}
				header := map[string]any{}
				if typ != "" {
					header["typ"] = typ
				}
				token := server.Token(claims, verifytest.WithoutDefaults(), verifytest.WithHeader(header))
				if s.answer != nil {
					server.Issue(token, s.answer)
				}
				return token
			}
			got, err := v.Verify(t.Context(), mint(s.typ, nil))
			if err != nil {
				t.Fatalf("refused: %v", err)
			}
			if got.Subject != s.subject || got.ClientID != s.client || got.Scope != s.scope || got.IsMachine() != s.machine {
				t.Errorf("subject %q, client %q, scope %q, a machine: %v", got.Subject, got.ClientID, got.Scope, got.IsMachine())
			}
			if !got.AuthTime.IsZero() && s.name == "AD FS" {
				t.Errorf("auth_time %v", got.AuthTime)
			}
			for _, w := range s.wrong {
				_, err := v.Verify(t.Context(), mint(cmp.Or(w.typ, s.typ), w.claims))
				if !errors.Is(err, w.reason) {
					t.Errorf("%s: %v, want %v", w.name, err, w.reason)
				}
			}
			// What these settings do not admit of any server.
			for name, c := range map[string]verifytest.Claims{
				"expired": {"exp": -3600}, "bound": {"cnf": map[string]any{"jkt": "x"}}, "perhaps bound": {"cnf": nullCnf},
				"a DPoP proof": {"htm": "GET", "htu": "https://api.example.com"}, "a security event": {"events": map[string]any{"x": map[string]any{}}},
			} {
				if s.opaque || s.typ == "at+jwt" && (c["htm"] != nil || c["events"] != nil) {
					continue
				}
				if _, err := v.Verify(t.Context(), mint(s.typ, c)); err == nil {
					t.Errorf("%s: accepted", name)
				}
			}
		})
	}
}

// Without the settings, the tokens that need them are refused.
func TestShapesNeedTheirSettings(t *testing.T) {
	key := verifytest.NewKey("EdDSA")
	for _, s := range shapes {
		if !s.with.AllowIDTokenClaims && s.with.SubjectClaim == "" && (!s.with.AllowNoSubject || s.subject != "") || s.opaque {
			continue
		}
		server := verifytest.NewInMemory(s.issuer)
		defer server.Close()
		server.SetKeys(key)
		v, err := verify.New(verify.Config{Issuers: []verify.Issuer{{Issuer: s.issuer, Audience: s.with.Audience, Keys: jwks.Static(verify.Key{ID: key.ID, Public: key.Public()})}}})
		if err != nil {
			t.Fatal(err)
		}
		claims := over(verifytest.Claims{"iss": s.issuer, "exp": time.Now().Add(time.Hour)}, s.claims, verifytest.Claims{"nbf": nil, "auth_time": nil})
		got, err := v.Verify(t.Context(), server.Token(claims, verifytest.WithoutDefaults()))
		if err == nil && got.Subject == s.subject && got.ClientID == s.client {
			t.Errorf("%s: accepted without settings", s.name)
		}
	}
}

func over(lists ...verifytest.Claims) verifytest.Claims {
	all := verifytest.Claims{}
	for _, c := range lists {
		maps.Copy(all, c)
	}
	return all
}
