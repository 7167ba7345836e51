// Command gin is the least that protects a gin service: copy it into one that
// exists. It wants ISSUER and AUDIENCE in the environment.
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
	"github.com/bearerkit/bearerkit/middleware"
)

func main() {
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

func run() error {
	auth, err := middleware.ForIssuer(os.Getenv("ISSUER"), os.Getenv("AUDIENCE"))
	if err != nil {
		return err
	}
	defer auth.Close()

	r := gin.Default()
	r.GET("/public", func(c *gin.Context) { c.String(http.StatusOK, "hello\n") })
	r.GET("/hello", ginauth.Require(auth), hello)
	r.GET("/orders", ginauth.Require(auth, middleware.Scope("orders:read")), hello)

	// Ctrl-C and SIGTERM let the requests under way end first.
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
