package contender

import (
	"context"
	"net/http"
	"net/url"

	"github.com/MicahParks/keyfunc/v3"
	auth0jwks "github.com/auth0/go-jwt-middleware/v3/jwks"
	auth0validator "github.com/auth0/go-jwt-middleware/v3/validator"
	oidc "github.com/coreos/go-oidc/v3/oidc"
	"github.com/golang-jwt/jwt/v5"
	capjwt "github.com/hashicorp/cap/jwt"
	"github.com/lestrrat-go/httprc/v3"
	"github.com/lestrrat-go/jwx/v3/jwk"
	jwxjwt "github.com/lestrrat-go/jwx/v3/jwt"
	"github.com/zitadel/oidc/v3/pkg/client/rp"
	zoidc "github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"

	"github.com/bearerkit/bearerkit/bench/token"
)

func keyfuncGolangJWT(ctx context.Context, is *token.Issuer) (Verify, error) {
	keys, err := keyfunc.NewDefaultCtx(ctx, []string{is.JWKSURL})
	if err != nil {
		return nil, err
	}
	parser := golangJWT(is)
	return func(_ context.Context, raw string) error {
		_, err := parser.Parse(raw, keys.Keyfunc)
		return err
	}, nil
}

func golangJWT(is *token.Issuer) *jwt.Parser {
	return jwt.NewParser(
		jwt.WithValidMethods([]string{is.Algorithm}),
		jwt.WithIssuer(token.IssuerURL),
		jwt.WithAudience(token.Audience),
		jwt.WithExpirationRequired(),
	)
}

func keyfuncGolangJWTDecoding(ctx context.Context, is *token.Issuer) (Verify, error) {
	keys, err := keyfunc.NewDefaultCtx(ctx, []string{is.JWKSURL})
	if err != nil {
		return nil, err
	}
	type claims struct {
		jwt.RegisteredClaims        // seven of the twelve
		ClientID             string `json:"client_id"`
		Org                  string `json:"org_id"`
		Session              string `json:"sid"`
		Scope                string `json:"scope"`
		AuthTime             int64  `json:"auth_time"`
	}
	parser := golangJWT(is)
	return func(_ context.Context, raw string) error {
		_, err := parser.ParseWithClaims(raw, &claims{}, keys.Keyfunc)
		return err
	}, nil
}

func goOIDC(ctx context.Context, is *token.Issuer) (Verify, error) {
	v := oidcVerifier(ctx, is)
	return func(ctx context.Context, raw string) error {
		_, err := v.Verify(ctx, raw)
		return err
	}, nil
}

func goOIDCDecoding(ctx context.Context, is *token.Issuer) (Verify, error) {
	v := oidcVerifier(ctx, is)
	return func(ctx context.Context, raw string) error {
		t, err := v.Verify(ctx, raw)
		if err != nil {
			return err
		}
		var c token.Claims
		return t.Claims(&c)
	}, nil
}

func oidcVerifier(ctx context.Context, is *token.Issuer) *oidc.IDTokenVerifier {
	return oidc.NewVerifier(token.IssuerURL, oidc.NewRemoteKeySet(ctx, is.JWKSURL), &oidc.Config{
		ClientID:             token.Audience,
		SupportedSigningAlgs: []string{is.Algorithm},
	})
}

// zitadel's verifier of access tokens leaves the audience to its caller.
func zitadel(_ context.Context, is *token.Issuer) (Verify, error) {
	v := op.NewAccessTokenVerifier(token.IssuerURL, rp.NewRemoteKeySet(http.DefaultClient, is.JWKSURL),
		op.WithSupportedAccessTokenSigningAlgorithms(is.Algorithm))
	return func(ctx context.Context, raw string) error {
		claims, err := op.VerifyAccessToken[*zoidc.AccessTokenClaims](ctx, raw, v)
		if err != nil {
			return err
		}
		return zoidc.CheckAudience(claims, token.Audience)
	}, nil
}

func jwx(ctx context.Context, is *token.Issuer) (Verify, error) {
	cache, err := jwk.NewCache(ctx, httprc.NewClient())
	if err != nil {
		return nil, err
	}
	if err := cache.Register(ctx, is.JWKSURL); err != nil {
		return nil, err
	}
	keys, err := cache.CachedSet(is.JWKSURL)
	if err != nil {
		return nil, err
	}
	options := []jwxjwt.ParseOption{
		jwxjwt.WithKeySet(keys),
		jwxjwt.WithIssuer(token.IssuerURL),
		jwxjwt.WithAudience(token.Audience),
		jwxjwt.WithRequiredClaim("exp"),
	}
	return func(_ context.Context, raw string) error {
		_, err := jwxjwt.ParseString(raw, options...)
		return err
	}, nil
}

func hashicorpCap(ctx context.Context, is *token.Issuer) (Verify, error) {
	keys, err := capjwt.NewJSONWebKeySet(ctx, is.JWKSURL, "")
	if err != nil {
		return nil, err
	}
	v, err := capjwt.NewValidator(keys)
	if err != nil {
		return nil, err
	}
	expected := capjwt.Expected{
		Issuer:            token.IssuerURL,
		Audiences:         []string{token.Audience},
		SigningAlgorithms: []capjwt.Alg{capjwt.Alg(is.Algorithm)},
	}
	return func(ctx context.Context, raw string) error {
		_, err := v.Validate(ctx, raw, expected)
		return err
	}, nil
}

func auth0(_ context.Context, is *token.Issuer) (Verify, error) {
	issuer, err := url.Parse(token.IssuerURL)
	if err != nil {
		return nil, err
	}
	keySet, err := url.Parse(is.JWKSURL)
	if err != nil {
		return nil, err
	}
	keys, err := auth0jwks.NewCachingProvider(auth0jwks.WithIssuerURL(issuer), auth0jwks.WithCustomJWKSURI(keySet))
	if err != nil {
		return nil, err
	}
	v, err := auth0validator.New(
		auth0validator.WithKeyFunc(keys.KeyFunc),
		auth0validator.WithAlgorithm(auth0validator.SignatureAlgorithm(is.Algorithm)),
		auth0validator.WithIssuer(token.IssuerURL),
		auth0validator.WithAudience(token.Audience),
	)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, raw string) error {
		_, err := v.ValidateToken(ctx, raw)
		return err
	}, nil
}
