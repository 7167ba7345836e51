package contender

import (
	"context"

	"github.com/bearerkit/bearerkit/bench/token"
)

// Verify checks a token and returns nil if it is good.
type Verify func(ctx context.Context, raw string) error

// A Contender is one library.
type Contender struct {
	Name string
	// New sets the library up for the tokens of one issuer. What it starts
	// ends with ctx.
	New func(ctx context.Context, is *token.Issuer) (Verify, error)
}

// All are the kit and its peers, the kit first.
var All = []Contender{
	{"bearerkit", kit},
	{"keyfunc + golang-jwt", keyfuncGolangJWT},
	{"go-oidc", goOIDC},
	{"zitadel/oidc", zitadel},
	{"jwx v3", jwx},
	{"hashicorp/cap", hashicorpCap},
	{"auth0/go-jwt-middleware v3", auth0},
}

// Decoding are the same with the claims decoded into a struct of the caller's,
// as the library has it done. Those that make a map or an object of all claims
// in any case are in there as they are.
var Decoding = []Contender{
	{"bearerkit", kitDecoding},
	{"keyfunc + golang-jwt", keyfuncGolangJWTDecoding},
	{"go-oidc", goOIDCDecoding},
	{"zitadel/oidc", zitadel},
	{"jwx v3", jwx},
	{"hashicorp/cap", hashicorpCap},
	{"auth0/go-jwt-middleware v3", auth0},
}
