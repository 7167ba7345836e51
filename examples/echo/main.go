// Command echo is the smallest protected echo v5 service, to copy from; with echo
// v4, it is package echov4auth and echo.Context. ISSUER and AUDIENCE in the
// environment say whose tokens it accepts.
package main

import (
	"cmp"
	"context"
	"log"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/labstack/echo/v5"

	"github.com/bearerkit/bearerkit/adapters/echoauth"
	bearer "github.com/bearerkit/bearerkit/middleware"
)

func main() {
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

func run() error {
	auth, err := bearer.ForIssuer(os.Getenv("ISSUER"), os.Getenv("AUDIENCE"))
	if err != nil {
		return err
	}
	defer auth.Close()

	e := echo.New()
	e.GET("/public", func(c *echo.Context) error { return c.String(http.StatusOK, "hello\n") })
	e.GET("/hello", hello, echoauth.Require(auth))
	e.GET("/orders", hello, echoauth.Require(auth, bearer.Scope("orders:read")))

	// On Ctrl-C or SIGTERM, the requests under way end first.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	server := &http.Server{Addr: cmp.Or(os.Getenv("ADDR"), "127.0.0.1:8080"), Handler: e, ReadHeaderTimeout: 10 * time.Second}
	failed := make(chan error, 1)
	go func() { failed <- server.ListenAndServe() }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return server.Shutdown(grace)
}

func hello(c *echo.Context) error {
	token, _ := echoauth.TokenFrom(c)
	return c.String(http.StatusOK, "hello, "+token.Subject+"\n")
}
