// Command gin is the least that protects a gin service: copy it into one that
// exists. It wants ISSUER and AUDIENCE in the environment.
package main

import (
	"log"
	"net/http"
	"os"

	"github.com/gin-gonic/gin"

	"github.com/bearerkit/bearerkit/adapters/ginauth"
	"github.com/bearerkit/bearerkit/middleware"
)

func main() {
	auth, err := middleware.ForIssuer(os.Getenv("ISSUER"), os.Getenv("AUDIENCE"))
	if err != nil {
		log.Fatal(err)
	}
	defer auth.Close()

	r := gin.Default()
	r.GET("/public", func(c *gin.Context) { c.String(http.StatusOK, "hello, whoever you are\n") })
	r.GET("/hello", ginauth.Require(auth), hello)
	r.GET("/orders", ginauth.Require(auth, middleware.Scope("orders:read")), hello)

	log.Fatal(r.Run("127.0.0.1:8080"))
}

func hello(c *gin.Context) {
	token, _ := ginauth.TokenFrom(c)
	c.String(http.StatusOK, "hello, %s\n", token.Subject)
}
