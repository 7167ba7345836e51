package middleware_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/bearerkit/bearerkit/adapters/httpauth"
	"github.com/bearerkit/bearerkit/middleware"
	"github.com/bearerkit/bearerkit/verify"
	"github.com/bearerkit/bearerkit/verify/verifytest"
)

// A function refuses with ErrDenied. It returns any other error as it is: the answer
// is then 503, with a line in the log.
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

// Each organization has its own routes, and a token opens those of its own.
func ExampleRequestFunc() {
	issuer := verifytest.NewServer()
	defer issuer.Close()
	auth, err := middleware.ForIssuer(issuer.Issuer(), issuer.Audience())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer auth.Close()

	organizationInPath := middleware.RequestFunc("the token is for another organization", func(r *http.Request, t *verify.Token) error {
		if org := r.PathValue("org"); org == "" || org != t.OrganizationID {
			return middleware.ErrDenied
		}
		return nil
	})
	members := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "members of ", r.PathValue("org"))
	})
	mux := http.NewServeMux()
	mux.Handle("GET /orgs/{org}/members", httpauth.Require(auth, organizationInPath)(members))

	for _, path := range []string{"/orgs/org_1/members", "/orgs/org_2/members"} {
		r := httptest.NewRequest("GET", path, nil)
		r.Header.Set("Authorization", "Bearer "+issuer.Token(verifytest.Claims{"org_id": "org_1"}))
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		fmt.Println(w.Code, w.Body)
	}
	// Output:
	// 200 members of org_1
	// 403 {"error":"access_denied","error_description":"the token is for another organization"}
}
