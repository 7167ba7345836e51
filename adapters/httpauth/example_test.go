package httpauth_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/bearerkit/bearerkit/adapters/httpauth"
	bearer "github.com/bearerkit/bearerkit/middleware"
	"github.com/bearerkit/bearerkit/verify/verifytest"
)

func Example() {
	issuer := verifytest.NewServer() // in production: your authorization server
	defer issuer.Close()

	auth, err := bearer.ForIssuer(issuer.Issuer(), issuer.Audience())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer auth.Close()
	mux := http.NewServeMux()
	mux.Handle("GET /orders", httpauth.Require(auth, bearer.Scope("orders:read"))(http.HandlerFunc(
		func(w http.ResponseWriter, r *http.Request) {
			token, _ := httpauth.TokenFrom(r)
			fmt.Fprintln(w, "orders of", token.Subject)
		})))

	r := httptest.NewRequest("GET", "/orders", nil)
	r.Header.Set("Authorization", "Bearer "+issuer.Token(verifytest.Claims{"sub": "ada", "scope": "orders:read"}))
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, r)
	fmt.Print(w.Code, " ", w.Body)
	// Output:
	// 200 orders of ada
}
