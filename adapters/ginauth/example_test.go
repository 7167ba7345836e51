package ginauth_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/gin-gonic/gin"

	"github.com/bearerkit/bearerkit/adapters/ginauth"
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
	gin.SetMode(gin.ReleaseMode)
	router := gin.New()
	router.GET("/orders", ginauth.Require(auth, bearer.Scope("orders:read")), func(c *gin.Context) {
		token, _ := ginauth.TokenFrom(c)
		c.String(http.StatusOK, "orders of %s\n", token.Subject)
	})

	r := httptest.NewRequest("GET", "/orders", nil)
	r.Header.Set("Authorization", "Bearer "+issuer.Token(verifytest.Claims{"sub": "ada", "scope": "orders:read"}))
	w := httptest.NewRecorder()
	router.ServeHTTP(w, r)
	fmt.Print(w.Code, " ", w.Body)
	// Output:
	// 200 orders of ada
}
