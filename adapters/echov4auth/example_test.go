package echov4auth_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/labstack/echo/v4"

	"github.com/bearerkit/bearerkit/adapters/echov4auth"
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
	e := echo.New()
	e.GET("/orders", func(c echo.Context) error {
		token, _ := echov4auth.TokenFrom(c)
		return c.String(http.StatusOK, fmt.Sprintln("orders of", token.Subject))
	}, echov4auth.Require(auth, bearer.Scope("orders:read")))

	r := httptest.NewRequest("GET", "/orders", nil)
	r.Header.Set("Authorization", "Bearer "+issuer.Token(verifytest.Claims{"sub": "ada", "scope": "orders:read"}))
	w := httptest.NewRecorder()
	e.ServeHTTP(w, r)
	fmt.Print(w.Code, " ", w.Body)
	// Output:
	// 200 orders of ada
}
