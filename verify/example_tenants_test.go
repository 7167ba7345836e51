package verify_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/bearerkit/bearerkit/verify"
	"github.com/bearerkit/bearerkit/verify/jwks"
	"github.com/bearerkit/bearerkit/verify/verifytest"
)

// Each customer has an issuer, which is in the service's database. The function
// looks it up.
func ExampleConfig_findIssuer() {
	keys, issue := newIssuer("https://idp.customer-1.example", "key-1")
	type customer struct {
		audience string
		keys     verify.KeySource
	}
	database := map[string]customer{"https://idp.customer-1.example": {"shop", keys}}

	verifier, err := verify.New(verify.Config{
		FindIssuer: func(ctx context.Context, iss string) (verify.Issuer, error) {
			c, ok := database[iss] // return errors of a database as they are: 503
			if !ok {
				return verify.Issuer{}, verify.ErrIssuer // 401
			}
			return verify.Issuer{Issuer: iss, Audience: []string{c.audience}, Keys: c.keys}, nil
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer verifier.Close()

	token, err := verifier.Verify(context.Background(), issue("shop", "user-1", time.Hour))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(token.Issuer, token.Subject)

	_, stranger := newIssuer("https://idp.stranger.example", "key-1")
	_, err = verifier.Verify(context.Background(), stranger("shop", "user-1", time.Hour))
	fmt.Println(err)

	// The customer leaves. ForgetIssuer makes that take effect at once.
	delete(database, token.Issuer)
	verifier.ForgetIssuer(token.Issuer)
	_, err = verifier.Verify(context.Background(), issue("shop", "user-1", time.Hour))
	fmt.Println(err)

	// Output:
	// https://idp.customer-1.example user-1
	// verify: the token's issuer is not trusted
	// verify: the token's issuer is not trusted
}

// An API that several Microsoft Entra tenants use. Each tenant is an issuer:
// https://login.microsoftonline.com/{tenantid}/v2.0, with the tenant's ID.
func ExampleConfig_microsoftEntra() {
	const (
		application = "00000003-aaaa-bbbb-cccc-000000000000" // the API's application (client) ID
		customer    = "11111111-2222-3333-4444-555555555555" // a tenant that may use it
	)
	// A server in this process plays the tenant.
	entra := verifytest.NewInMemory("https://login.microsoftonline.com/" + customer + "/v2.0")
	defer entra.Close()
	client := entra.Client() // in production: nil, or the service's own

	isCustomer := func(_ context.Context, tenant string) (bool, error) { return tenant == customer, nil }

	verifier, err := verify.New(verify.Config{
		FindIssuer: func(ctx context.Context, iss string) (verify.Issuer, error) {
			tenant, ok := strings.CutPrefix(iss, "https://login.microsoftonline.com/")
			tenant, v2 := strings.CutSuffix(tenant, "/v2.0")
			if !ok || !v2 {
				return verify.Issuer{}, verify.ErrIssuer
			}
			switch known, err := isCustomer(ctx, tenant); {
			case err != nil:
				return verify.Issuer{}, err
			case !known:
				return verify.Issuer{}, verify.ErrIssuer
			}
			return verify.Issuer{
				Issuer:   iss,
				Audience: []string{application},
				Keys:     jwks.New(jwks.Config{Issuer: iss, Client: client}), // the tenant's own metadata and keys
			}, nil
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer verifier.Close()

	for _, claims := range []verifytest.Claims{
		{"aud": application, "sub": "user-1"},
		{"aud": application, "sub": "user-1", "iss": "https://login.microsoftonline.com/99999999-2222-3333-4444-555555555555/v2.0"},
		{"aud": application, "sub": "user-1", "iss": "https://login.microsoftonline.com/{tenantid}/v2.0"},
	} {
		token, err := verifier.Verify(context.Background(), entra.Token(claims))
		switch {
		case errors.Is(err, verify.ErrIssuer):
			fmt.Println("not a customer")
		case err != nil:
			fmt.Println(err)
		default:
			fmt.Println(token.Issuer, token.Subject)
		}
	}

	// Output:
	// https://login.microsoftonline.com/11111111-2222-3333-4444-555555555555/v2.0 user-1
	// not a customer
	// not a customer
}
