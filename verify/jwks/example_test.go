package jwks_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/bearerkit/bearerkit/verify"
	"github.com/bearerkit/bearerkit/verify/jwks"
	"github.com/bearerkit/bearerkit/verify/verifytest"
)

// Discover needs nothing but the issuer.
func ExampleDiscover() {
	issuer := verifytest.NewServer() // stands for "https://auth.example.com"
	defer issuer.Close()

	verifier, err := verify.New(verify.Config{Issuers: []verify.Issuer{{
		Issuer:   issuer.Issuer(),
		Audience: []string{"https://api.example.com"},
		Keys:     jwks.Discover(issuer.Issuer()),
	}}})
	if err != nil {
		log.Fatal(err)
	}
	defer verifier.Close()

	token, err := verifier.Verify(context.Background(), issuer.Token(verifytest.Claims{"sub": "user_42"}))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(token.Subject)
	// Output: user_42
}

// A source made by New can be observed: Health is for dashboards and alerts.
func ExampleNew() {
	issuer := verifytest.NewServer()
	defer issuer.Close()
	keys := jwks.New(jwks.Config{
		Timeout:  2 * time.Second,
		MaxStale: 12 * time.Hour,
	})
	verifier, err := verify.New(verify.Config{Issuers: []verify.Issuer{{
		Issuer:   issuer.Issuer(),
		Audience: []string{issuer.Audience()},
		Keys:     keys,
	}}})
	if err != nil {
		log.Fatal(err)
	}
	defer verifier.Close()
	if _, err := verifier.Verify(context.Background(), issuer.Token(nil)); err != nil {
		log.Fatal(err)
	}

	health := keys.Health()
	detail := health.Detail.(jwks.Detail)
	fmt.Println(health.Part, health.State, health.Ready, health.LastError)
	fmt.Println(detail.Keys, "key, confirmed by the issuer:", !detail.FromSnapshot)
	// Output:
	// keys ready true <nil>
	// 1 key, confirmed by the issuer: true
}

// A key from a file or from the configuration.
func ExampleStatic() {
	keys, skipped, err := jwks.Parse([]byte(`{"keys":[{
		"kty": "OKP", "crv": "Ed25519", "kid": "2025", "alg": "EdDSA",
		"x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
	}]}`))
	if err != nil || len(skipped) > 0 {
		log.Fatal(err, skipped)
	}
	source := jwks.Static(keys...)
	set, err := source.KeySet()
	fmt.Println(set.IDs(), err)
	// Output: [2025] <nil>
}
