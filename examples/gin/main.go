// Command gin is the smallest protected gin service, to copy from. ISSUER and
// AUDIENCE in the environment say whose tokens it accepts.
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

	"github.com/gin-gonic/gin"

	"github.com/bearerkit/bearerkit/adapters/ginauth"
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

	r := gin.Default()
	r.GET("/public", func(c *gin.Context) { c.String(http.StatusOK, "hello\n") })
	r.GET("/hello", ginauth.Require(auth), hello)
	r.GET("/orders", ginauth.Require(auth, bearer.Scope("orders:read")), hello)

	// On Ctrl-C or SIGTERM, the requests under way end first.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	server := &http.Server{Addr: cmp.Or(os.Getenv("ADDR"), "127.0.0.1:8080"), Handler: r, ReadHeaderTimeout: 10 * time.Second}
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

func hello(c *gin.Context) {
	token, _ := ginauth.TokenFrom(c)
	c.String(http.StatusOK, "hello, %s\n", token.Subject)
}
