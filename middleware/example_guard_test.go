package middleware_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/bearerkit/bearerkit/adapters/httpauth"
	bearer "github.com/bearerkit/bearerkit/middleware"
	"github.com/bearerkit/bearerkit/verify"
	"github.com/bearerkit/bearerkit/verify/introspect"
	"github.com/bearerkit/bearerkit/verify/jwks"
	"github.com/bearerkit/bearerkit/verify/verifytest"
)

// A page for everybody, which greets those who have signed in.
func ExampleAuth_Optional() {
	issuer := verifytest.NewServer() // in production: your authorization server
	defer issuer.Close()
	auth, err := bearer.ForIssuer(issuer.Issuer(), issuer.Audience())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer auth.Close()

	page := httpauth.Optional(auth)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if token, ok := httpauth.TokenFrom(r); ok {
			fmt.Fprintln(w, "Welcome back,", token.Subject)
			return
		}
		fmt.Fprintln(w, "Welcome")
	}))

	for _, credentials := range []string{"", "Bearer " + issuer.Token(verifytest.Claims{"sub": "ada"}), "Bearer abc"} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Authorization", credentials)
		w := httptest.NewRecorder()
		page.ServeHTTP(w, r)
		fmt.Println(w.Code, w.Body)
	}
	// Output:
	// 200 Welcome
	//
	// 200 Welcome back, ada
	//
	// 401 {"error":"invalid_token","error_description":"the token is not a JWT (opaque)"}
}

// A payout must not pass from the moment when its token is revoked; elsewhere an
// answer of the last seconds is good enough.
func ExampleNotRevoked() {
	issuer := verifytest.NewServer() // in production: your authorization server
	defer issuer.Close()
	verifier, err := verify.New(verify.Config{Issuers: []verify.Issuer{{
		Issuer:   issuer.Issuer(),
		Audience: []string{issuer.Audience()},
		Keys:     jwks.Discover(issuer.Issuer()),
		Introspection: &verify.Introspection{Introspector: introspect.New(introspect.Config{
			Auth: introspect.Basic(verifytest.ClientID, verifytest.ClientSecret),
		})},
	}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer verifier.Close()
	auth, err := bearer.New(verifier, bearer.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}

	done := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {})
	mux := http.NewServeMux()
	mux.Handle("GET /payouts", httpauth.Require(auth)(done))
	mux.Handle("POST /payouts", httpauth.Require(auth, bearer.NotRevoked())(done))

	token := issuer.Token(nil)
	try := func(method string) {
		r := httptest.NewRequest(method, "/payouts", nil)
		r.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		fmt.Println(method, w.Code)
	}
	try("GET")
	issuer.Revoke(token)
	try("POST")
	try("GET") // what one route has found out counts for all
	// Output:
	// GET 200
	// POST 401
	// GET 401
}

// A guard for a queue whose messages have a token in a header.
func ExampleGuard_Admit() {
	issuer := verifytest.NewServer() // in production: your authorization server
	defer issuer.Close()
	auth, err := bearer.ForIssuer(issuer.Issuer(), issuer.Audience())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer auth.Close()
	guard := auth.Require(bearer.Scope("orders:write"))

	handle := func(ctx context.Context, authorization []string) {
		var presented *verify.Request // nil: nothing
		scheme, token, err := bearer.Authorization(authorization)
		if token != "" || err != nil { // malformed credentials have no token
			presented = &verify.Request{Scheme: scheme, Token: token}
		}
		ctx, refusal := guard.Admit(ctx, "orders", presented)
		if refusal != nil {
			fmt.Println(refusal.Status, refusal.Reason)
			return
		}
		t, _ := bearer.TokenFrom(ctx)
		fmt.Println("ordered by", t.Subject)
	}
	handle(context.Background(), []string{"Bearer " + issuer.Token(verifytest.Claims{"sub": "ada", "scope": "orders:write"})})
	handle(context.Background(), []string{"Bearer " + issuer.Token(nil)})
	handle(context.Background(), nil)
	handle(context.Background(), []string{"Bearer"})
	// Output:
	// ordered by ada
	// 403 insufficient_scope
	// 401 no_credentials
	// 400 credentials
}
