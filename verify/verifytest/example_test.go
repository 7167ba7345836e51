package verifytest_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/bearerkit/bearerkit/verify"
	"github.com/bearerkit/bearerkit/verify/jwks"
	"github.com/bearerkit/bearerkit/verify/verifytest"
)

// A verifier that is configured as in production, but for the address of its
// issuer.
func Example() {
	issuer := verifytest.NewServer()
	defer issuer.Close()
	keys := jwks.Discover(issuer.Issuer())
	defer keys.Close()
	verifier, err := verify.New(verify.Config{
		Issuers: []verify.Issuer{{
			Issuer:   issuer.Issuer(),
			Audience: []string{issuer.Audience()},
			Keys:     keys,
		}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()

	token, err := verifier.Verify(ctx, issuer.Token(verifytest.Claims{"sub": "user_7", "scope": "orders:read"}))
	fmt.Println(token.Subject, token.HasScope("orders:read"), err)

	_, err = verifier.Verify(ctx, issuer.Token(verifytest.Claims{"exp": time.Now().Add(-time.Hour)}))
	fmt.Println(err)

	_, err = verifier.Verify(ctx, issuer.Token(nil, verifytest.WithHeader(map[string]any{"typ": "logout+jwt"})))
	fmt.Println(err)

	// An attacker's key, under the name of the issuer's.
	key := verifytest.NewKey("ES256")
	key.ID = issuer.Key().ID
	_, err = verifier.Verify(ctx, issuer.Token(nil, verifytest.WithKey(key)))
	fmt.Println(err)

	// Output:
	// user_7 true <nil>
	// verify: the token has expired
	// verify: the token is not an access token (typ)
	// verify: the token's signature is not valid
}

// What becomes of good tokens when the issuer rotates its key, and when it
// cannot be reached at all.
func ExampleServer_Fail() {
	issuer := verifytest.NewServer()
	defer issuer.Close()
	keys := jwks.Discover(issuer.Issuer())
	defer keys.Close()
	verifier, err := verify.New(verify.Config{
		Issuers: []verify.Issuer{{
			Issuer:   issuer.Issuer(),
			Audience: []string{issuer.Audience()},
			Keys:     keys,
		}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	before := issuer.Token(nil)
	_, err = verifier.Verify(ctx, before)
	fmt.Println("at first:", err)

	issuer.Rotate()
	_, err = verifier.Verify(ctx, issuer.Token(nil))
	fmt.Println("rotated:", err)

	issuer.Fail(verifytest.JWKS, verifytest.Status(http.StatusInternalServerError))
	issuer.Rotate()
	_, err = verifier.Verify(ctx, before)
	fmt.Println("issuer down:", err)
	_, err = verifier.Verify(ctx, issuer.Token(nil)) // signed with the new key
	fmt.Println("issuer down, new key: unavailable:", errors.Is(err, verify.ErrUnavailable))

	// Output:
	// at first: <nil>
	// rotated: <nil>
	// issuer down: <nil>
	// issuer down, new key: unavailable: true
}

// A token that no honest issuer makes.
func ExampleForge() {
	token := verifytest.Forge(`{"alg":"none"}`, `{"sub":"admin"}`, func([]byte) []byte { return nil })
	fmt.Println(token)
	// Output: eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZG1pbiJ9.
}

// Without a socket: the client calls the server within the process. In a
// testing/synctest bubble all of it is in fake time.
func ExampleNewInMemory() {
	issuer := verifytest.NewInMemory("https://issuer.example.com")
	defer issuer.Close()
	issuer.Down()
	_, err := issuer.Client().Get(issuer.JWKSURL())
	fmt.Println(err)
	issuer.Up()
	res, err := issuer.Client().Get(issuer.JWKSURL())
	if err != nil {
		fmt.Println(err)
		return
	}
	res.Body.Close()
	fmt.Println(res.StatusCode, issuer.Requests(verifytest.JWKS))
	// Output:
	// Get "https://issuer.example.com/jwks": dial tcp: connection refused
	// 200 1
}
