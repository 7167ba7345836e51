package introspect_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/bearerkit/bearerkit/verify"
	"github.com/bearerkit/bearerkit/verify/introspect"
	"github.com/bearerkit/bearerkit/verify/jwks"
	"github.com/bearerkit/bearerkit/verify/verifytest"
)

// A revoked token stops working before it expires.
func ExampleNew() {
	issuer := verifytest.NewServer() // stands for the authorization server
	defer issuer.Close()
	source := introspect.New(introspect.Config{
		Auth: introspect.Basic(verifytest.ClientID, verifytest.ClientSecret),
		TTL:  5 * time.Second,
	})
	verifier, err := verify.New(verify.Config{Issuers: []verify.Issuer{{
		Issuer:        issuer.Issuer(),
		Audience:      []string{issuer.Audience()},
		Keys:          jwks.Discover(issuer.Issuer()),
		Introspection: &verify.Introspection{Introspector: source, Always: true},
	}}})
	if err != nil {
		log.Fatal(err)
	}
	defer verifier.Close()

	token := issuer.Token(verifytest.Claims{"sub": "user_42"})
	issuer.Revoke(token)
	_, err = verifier.Verify(context.Background(), token)
	fmt.Println("refused as inactive:", errors.Is(err, verify.ErrInactive))

	health := source.Health()
	detail := health.Detail.(introspect.Detail)
	fmt.Println(health.Part, health.State, detail.Counters.Inactive)
	// Output:
	// refused as inactive: true
	// introspection ready 1
}
