//go:build unix

package e2e_test

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

const (
	zitadelUser     = "user_01ZITADEL"
	zitadelApp      = "orders-app"
	zitadelRedirect = "http://127.0.0.1/callback" // never fetched
	zitadelMachine  = "orders-machine"
	zitadelSecret   = "a secret that opens nothing but this test server"
	zitadelAPI      = "orders-api" // asks about tokens
)

const audiencePrefix = "audience:"

// audienceScope asks for tokens for an API: the library knows no resource
// indicators, and its own products use scopes in their place.
func audienceScope(api string) string { return audiencePrefix + api }

// zitadelAPIKey signs the assertions with which the API proves itself.
var zitadelAPIKey, _ = rsa.GenerateKey(rand.Reader, 2048)

// startZitadel starts an authorization server on loopback and returns its
// issuer identifier.
func startZitadel(t *testing.T, alg jose.SignatureAlgorithm, key crypto.Signer) string {
	t.Helper()
	mux := http.NewServeMux()
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	store := &store{alg: alg, key: key, requests: map[string]*authRequest{}, codes: map[string]string{}, tokens: map[string]issuedToken{}}
	provider, err := op.NewProvider(
		&op.Config{CryptoKey: [32]byte([]byte(rand.Text() + rand.Text())[:32]), CodeMethodS256: true, AuthMethodPrivateKeyJWT: true},
		store, op.StaticIssuer(server.URL),
		op.WithAllowInsecure(), // http, on loopback
		op.WithLogger(slog.New(slog.DiscardHandler)),
	)
	if err != nil {
		t.Fatal(err)
	}
	callback := op.AuthCallbackURL(provider)
	// The login page signs in every visitor as the user.
	mux.Handle("/login", op.NewIssuerInterceptor(provider.IssuerFromRequest).HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := r.URL.Query().Get("id")
		if err := store.login(id); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		http.Redirect(w, r, callback(r.Context(), id), http.StatusFound)
	}))
	mux.Handle("/", provider)
	return server.URL
}

// store is the part of an authorization server that zitadel/oidc leaves to its
// user: keys, clients and sign-ins. Methods that no test needs are those of
// the nil interface, and panic.
type store struct {
	op.Storage
	alg jose.SignatureAlgorithm
	key crypto.Signer

	mu       sync.Mutex
	requests map[string]*authRequest // by ID
	codes    map[string]string       // to IDs
	tokens   map[string]issuedToken  // by ID, until they are revoked
}

// An issuedToken is what introspection knows of an access token.
type issuedToken struct {
	subject, client string
	audience        []string
	scopes          []string
	issued, expiry  time.Time
}

var _ op.ClientCredentialsStorage = (*store)(nil)

func (s *store) login(id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.requests[id]
	if r == nil {
		return errors.New("no such sign-in")
	}
	done := *r
	done.user, done.at = zitadelUser, time.Now()
	s.requests[id] = &done
	return nil
}

func (s *store) CreateAuthRequest(_ context.Context, r *oidc.AuthRequest, _ string) (op.AuthRequest, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := &authRequest{id: rand.Text(), AuthRequest: *r}
	s.requests[a.id] = a
	return a, nil
}

func (s *store) AuthRequestByID(_ context.Context, id string) (op.AuthRequest, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.requests[id]; r != nil {
		return r, nil
	}
	return nil, errors.New("no such sign-in")
}

func (s *store) SaveAuthCode(_ context.Context, id, code string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.codes[code] = id
	return nil
}

func (s *store) AuthRequestByCode(ctx context.Context, code string) (op.AuthRequest, error) {
	s.mu.Lock()
	id := s.codes[code]
	s.mu.Unlock()
	return s.AuthRequestByID(ctx, id)
}

func (s *store) DeleteAuthRequest(_ context.Context, id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.requests, id)
	return nil
}

func (s *store) CreateAccessToken(_ context.Context, r op.TokenRequest) (string, time.Time, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id, now := rand.Text(), time.Now()
	k := issuedToken{r.GetSubject(), r.GetSubject(), r.GetAudience(), r.GetScopes(), now, now.Add(10 * time.Minute)}
	if a, ok := r.(op.AuthRequest); ok {
		k.client = a.GetClientID()
	}
	s.tokens[id] = k
	return id, k.expiry, nil
}

// SetIntrospectionFromToken answers about a token whose signature the library
// has checked. An error says that it is not active.
func (s *store) SetIntrospectionFromToken(ctx context.Context, to *oidc.IntrospectionResponse, id, subject, asker string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	k, ok := s.tokens[id]
	if !ok || k.subject != subject || asker != zitadelAPI {
		return errors.New("not active, or none of the asker's business")
	}
	to.Scope, to.ClientID, to.TokenType = k.scopes, k.client, oidc.BearerToken
	to.Expiration, to.IssuedAt = oidc.FromTime(k.expiry), oidc.FromTime(k.issued)
	to.Subject, to.Audience, to.Issuer, to.JWTID = k.subject, k.audience, op.IssuerFromContext(ctx), id
	return nil
}

func (s *store) RevokeToken(_ context.Context, id, _, client string) *oidc.Error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tokens[id].client == client {
		delete(s.tokens, id)
	}
	return nil
}

func (s *store) GetRefreshTokenInfo(context.Context, string, string) (string, string, error) {
	return "", "", op.ErrInvalidRefreshToken // there are none
}

func (s *store) AuthorizeClientIDSecret(_ context.Context, id, secret string) error {
	if id != zitadelAPI && id != zitadelMachine || secret != zitadelSecret {
		return errors.New("no such client, or another secret")
	}
	return nil
}

// GetKeyByIDAndClientID has the key of the API's assertions (RFC 7523).
func (s *store) GetKeyByIDAndClientID(_ context.Context, id, client string) (*jose.JSONWebKey, error) {
	if id != "api-key" || client != zitadelAPI {
		return nil, errors.New("no such key")
	}
	return &jose.JSONWebKey{Key: zitadelAPIKey.Public(), KeyID: id}, nil
}

// GetPrivateClaimsFromScopes adds the scope, which the library leaves out of
// its access tokens.
func (s *store) GetPrivateClaimsFromScopes(_ context.Context, _, _ string, scopes []string) (map[string]any, error) {
	return map[string]any{"scope": strings.Join(scopes, " ")}, nil
}

// SetUserinfoFromScopes sets what goes from the user into an ID token.
func (s *store) SetUserinfoFromScopes(_ context.Context, info *oidc.UserInfo, user, _ string, _ []string) error {
	info.Subject = user
	return nil
}

func (s *store) SigningKey(context.Context) (op.SigningKey, error) { return signer{s}, nil }

func (s *store) SignatureAlgorithms(context.Context) ([]jose.SignatureAlgorithm, error) {
	return []jose.SignatureAlgorithm{s.alg}, nil
}

func (s *store) KeySet(context.Context) ([]op.Key, error) { return []op.Key{public{s}}, nil }

func (s *store) GetClientByClientID(_ context.Context, id string) (op.Client, error) {
	if id != zitadelApp {
		return nil, errors.New("no such client")
	}
	return &oauthClient{id: id, grants: []oidc.GrantType{oidc.GrantTypeCode}, auth: oidc.AuthMethodNone}, nil
}

func (s *store) ClientCredentials(_ context.Context, id, secret string) (op.Client, error) {
	if id != zitadelMachine || secret != zitadelSecret {
		return nil, errors.New("no such client, or another secret")
	}
	return &oauthClient{id: id, grants: []oidc.GrantType{oidc.GrantTypeClientCredentials}, auth: oidc.AuthMethodBasic}, nil
}

func (s *store) ClientCredentialsTokenRequest(_ context.Context, id string, scopes []string) (op.TokenRequest, error) {
	return &oidc.JWTTokenRequest{Subject: id, Audience: audiences(scopes), Scopes: scopes}, nil
}

func (s *store) Health(context.Context) error { return nil }

// signer and public are the two halves of the key.
type signer struct{ *store }

func (k signer) SignatureAlgorithm() jose.SignatureAlgorithm { return k.alg }
func (k signer) Key() any                                    { return k.key }
func (k signer) ID() string                                  { return "key-1" }

type public struct{ *store }

func (k public) ID() string                         { return "key-1" }
func (k public) Algorithm() jose.SignatureAlgorithm { return k.alg }
func (k public) Use() string                        { return "sig" }
func (k public) Key() any                           { return k.key.Public() }

// An authRequest is a sign-in on its way.
type authRequest struct {
	oidc.AuthRequest
	id   string
	user string    // once signed in
	at   time.Time // when
}

func audiences(scopes []string) (list []string) {
	for _, s := range scopes {
		if api, ok := strings.CutPrefix(s, audiencePrefix); ok {
			list = append(list, api)
		}
	}
	return list
}

func (r *authRequest) GetID() string          { return r.id }
func (r *authRequest) GetACR() string         { return "" }
func (r *authRequest) GetAMR() []string       { return []string{"pwd"} }
func (r *authRequest) GetAudience() []string  { return audiences(r.Scopes) }
func (r *authRequest) GetAuthTime() time.Time { return r.at }
func (r *authRequest) GetClientID() string    { return r.ClientID }
func (r *authRequest) GetNonce() string       { return r.Nonce }
func (r *authRequest) GetRedirectURI() string { return r.RedirectURI }
func (r *authRequest) GetScopes() []string    { return slices.Clone(r.Scopes) }
func (r *authRequest) GetState() string       { return r.State }
func (r *authRequest) GetSubject() string     { return r.user }
func (r *authRequest) Done() bool             { return r.user != "" }

func (r *authRequest) GetResponseType() oidc.ResponseType { return r.ResponseType }
func (r *authRequest) GetResponseMode() oidc.ResponseMode { return r.ResponseMode }

func (r *authRequest) GetCodeChallenge() *oidc.CodeChallenge {
	return &oidc.CodeChallenge{Challenge: r.CodeChallenge, Method: r.CodeChallengeMethod}
}

// An oauthClient is a registered client: a native application, or a machine.
type oauthClient struct {
	id     string
	grants []oidc.GrantType
	auth   oidc.AuthMethod
}

func (c *oauthClient) GetID() string                       { return c.id }
func (c *oauthClient) RedirectURIs() []string              { return []string{zitadelRedirect} }
func (c *oauthClient) PostLogoutRedirectURIs() []string    { return nil }
func (c *oauthClient) ApplicationType() op.ApplicationType { return op.ApplicationTypeNative }
func (c *oauthClient) AuthMethod() oidc.AuthMethod         { return c.auth }
func (c *oauthClient) ResponseTypes() []oidc.ResponseType {
	return []oidc.ResponseType{oidc.ResponseTypeCode}
}
func (c *oauthClient) GrantTypes() []oidc.GrantType         { return c.grants }
func (c *oauthClient) LoginURL(id string) string            { return "/login?id=" + id }
func (c *oauthClient) AccessTokenType() op.AccessTokenType  { return op.AccessTokenTypeJWT }
func (c *oauthClient) IDTokenLifetime() time.Duration       { return 10 * time.Minute }
func (c *oauthClient) DevMode() bool                        { return false }
func (c *oauthClient) IsScopeAllowed(string) bool           { return true }
func (c *oauthClient) IDTokenUserinfoClaimsAssertion() bool { return false }
func (c *oauthClient) ClockSkew() time.Duration             { return 0 }

func (c *oauthClient) RestrictAdditionalIdTokenScopes() func([]string) []string {
	return slices.Clone[[]string]
}
func (c *oauthClient) RestrictAdditionalAccessTokenScopes() func([]string) []string {
	return slices.Clone[[]string]
}
