package verify_test

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"github.com/bearerkit/bearerkit/verify"
)

// staticKeys is the simplest key source: one set that never changes. Package
// verify/jwks has sources that fetch an issuer's keys and keep them fresh.
type staticKeys struct{ set *verify.KeySet }

func (s staticKeys) Bind(string) error               { return nil }
func (s staticKeys) KeySet() (*verify.KeySet, error) { return s.set, nil }
func (s staticKeys) Refresh(context.Context, verify.Demand) (*verify.KeySet, error) {
	return s.set, nil
}

// newIssuer makes up an authorization server: its public keys, and a function
// that issues tokens.
func newIssuer(name, kid string) (keys verify.KeySource, issue func(aud, sub string, lifetime time.Duration) string) {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		panic(err)
	}
	set, _ := verify.NewKeySet([]verify.Key{{ID: kid, Algorithm: "EdDSA", Public: public}})
	return staticKeys{set}, func(aud, sub string, lifetime time.Duration) string {
		header := fmt.Sprintf(`{"alg":"EdDSA","typ":"at+jwt","kid":%q}`, kid)
		claims := fmt.Sprintf(`{"iss":%q,"aud":%q,"sub":%q,"scope":"orders:read","tenant":"blue","exp":%d}`,
			name, aud, sub, time.Now().Add(lifetime).Unix())
		encode := base64.RawURLEncoding.EncodeToString
		signed := encode([]byte(header)) + "." + encode([]byte(claims))
		return signed + "." + encode(ed25519.Sign(private, []byte(signed)))
	}
}

// A verifier of one issuer, whose keys are known beforehand.
func Example() {
	keys, issue := newIssuer("https://issuer.example", "key-1")

	verifier, err := verify.New(verify.Config{
		Issuers: []verify.Issuer{{
			Issuer:   "https://issuer.example",
			Audience: []string{"https://api.example"},
			Keys:     keys,
		}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}

	token, err := verifier.Verify(context.Background(), issue("https://api.example", "user-1", time.Hour))
	if err != nil {
		fmt.Println(err)
		return
	}
	var custom struct {
		Tenant string `json:"tenant"`
	}
	if err := token.Claims(&custom); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(token.Subject, token.HasScope("orders:read"), token.HasScope("orders:write"), custom.Tenant)

	// What is not good comes back with a reason.
	_, err = verifier.Verify(context.Background(), issue("https://api.example", "user-1", -time.Hour))
	fmt.Println(err, "-", errors.Is(err, verify.ErrExpired))
	_, err = verifier.Verify(context.Background(), issue("https://shop.example", "user-1", time.Hour))
	fmt.Println(err)

	// Output:
	// user-1 true false blue
	// verify: the token has expired - true
	// verify: the token is meant for another audience
}

// Several issuers, each with audiences and keys of its own. A user is the pair
// of issuer and subject.
func ExampleNew_severalIssuers() {
	staff, issueStaff := newIssuer("https://staff.example", "key-1")
	customers, issueCustomers := newIssuer("https://customers.example", "key-1")

	verifier, err := verify.New(verify.Config{
		Issuers: []verify.Issuer{
			{Issuer: "https://staff.example", Audience: []string{"https://api.example"}, Keys: staff},
			{Issuer: "https://customers.example", Audience: []string{"shop"}, Keys: customers},
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, text := range []string{
		issueStaff("https://api.example", "user-1", time.Hour),
		issueCustomers("shop", "user-1", time.Hour),
		issueCustomers("https://api.example", "user-1", time.Hour), // the other issuer's audience
	} {
		token, err := verifier.Verify(context.Background(), text)
		if err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Println(token.Issuer, token.Subject)
	}

	// Output:
	// https://staff.example user-1
	// https://customers.example user-1
	// verify: the token is meant for another audience
}

// The wrong way: a verifier that does not say for whom tokens must be meant
// would take those that the issuer made for any other service. It does not
// build, and neither does one with a symmetric algorithm; all faults are named
// at once.
func ExampleNew_wrongWay() {
	keys, _ := newIssuer("https://issuer.example", "key-1")

	_, err := verify.New(verify.Config{
		Issuers: []verify.Issuer{{
			Issuer: "https://issuer.example",
			Keys:   keys,
		}},
		Algorithms: []string{"HS256"},
	})
	for _, fault := range verify.Faults(err) {
		fmt.Println(fault)
	}

	// Output:
	// Issuers[0].Audience: is required: without it, tokens for other services open this one
	// Algorithms: "HS256" is symmetric: anyone who can verify with it can also issue
}

// Claims of the application's own, in a type of its own. It is decoded once for
// as long as the verifier remembers the token.
func ExampleClaimsOf() {
	keys, issue := newIssuer("https://issuer.example", "key-1")
	verifier, err := verify.New(verify.Config{Issuers: []verify.Issuer{{Issuer: "https://issuer.example", Audience: []string{"https://api.example"}, Keys: keys}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	token, err := verifier.Verify(context.Background(), issue("https://api.example", "user-1", time.Hour))
	if err != nil {
		fmt.Println(err)
		return
	}

	type Claims struct {
		Tenant string `json:"tenant"`
	}
	claims, err := verify.ClaimsOf[Claims](token)
	fmt.Println(claims.Tenant, err)
	// Output: blue <nil>
}
