// Command echo is the least that protects an echo v5 service: copy it into one
// that exists. With echo v4 it is package echov4auth and echo.Context. It wants
// ISSUER and AUDIENCE in the environment.
package main

import (
	"log"
	"net/http"
	"os"

	"github.com/labstack/echo/v5"

	"github.com/bearerkit/bearerkit/adapters/echoauth"
	"github.com/bearerkit/bearerkit/middleware"
)

func main() {
	auth, err := middleware.ForIssuer(os.Getenv("ISSUER"), os.Getenv("AUDIENCE"))
	if err != nil {
		log.Fatal(err)
	}
	defer auth.Close()

	e := echo.New()
	e.GET("/public", func(c *echo.Context) error { return c.String(http.StatusOK, "hello, whoever you are\n") })
	e.GET("/hello", hello, echoauth.Require(auth))
	e.GET("/orders", hello, echoauth.Require(auth, middleware.Scope("orders:read")))

	log.Fatal(e.Start("127.0.0.1:8080"))
}

func hello(c *echo.Context) error {
	token, _ := echoauth.TokenFrom(c)
	return c.String(http.StatusOK, "hello, "+token.Subject+"\n")
}
