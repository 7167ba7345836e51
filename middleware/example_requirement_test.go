package middleware_test

import (
	"context"
	"fmt"
	"net/http/httptest"

	"github.com/bearerkit/bearerkit/middleware"
	"github.com/bearerkit/bearerkit/verify"
	"github.com/bearerkit/bearerkit/verify/verifytest"
)

// A function says no with ErrDenied. What it could not find out it returns as it
// is: that is 503, and a line in the log.
func ExampleFunc() {
	issuer := verifytest.NewServer()
	defer issuer.Close()
	auth, err := middleware.ForIssuer(issuer.Issuer(), issuer.Audience())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer auth.Close()

	var database error // what the database answers
	inGoodStanding := middleware.Func("the account is closed", func(ctx context.Context, t *verify.Token) error {
		switch {
		case database != nil:
			return fmt.Errorf("accounts: %w", database)
		case t.Subject == "user_2":
			return middleware.ErrDenied
		}
		return nil
	})
	guard := auth.Require(inGoodStanding)

	decide := func(subject string) {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Authorization", "Bearer "+issuer.Token(verifytest.Claims{"sub": subject}))
		if _, refusal := guard.Decide(r); refusal != nil {
			fmt.Println(refusal.Status, refusal.Description)
			return
		}
		fmt.Println("served")
	}
	decide("user_1")
	decide("user_2")
	database = context.DeadlineExceeded
	decide("user_1")
	// Output:
	// served
	// 403 the account is closed
	// 503 a requirement cannot be checked at the moment
}
