// Command nethttp is the least that protects a net/http service: copy it into
// one that exists. It wants ISSUER and AUDIENCE in the environment.
package main

import (
	"cmp"
	"context"
	"fmt"
	"log"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/bearerkit/bearerkit/adapters/httpauth"
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

	mux := http.NewServeMux()
	mux.HandleFunc("GET /public", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, "hello")
	})
	mux.Handle("GET /hello", httpauth.Require(auth)(http.HandlerFunc(hello)))
	mux.Handle("GET /orders", httpauth.Require(auth, middleware.Scope("orders:read"))(http.HandlerFunc(hello)))

	// Ctrl-C and SIGTERM let the requests under way end first.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	server := &http.Server{Addr: cmp.Or(os.Getenv("ADDR"), "127.0.0.1:8080"), Handler: mux, ReadHeaderTimeout: 10 * time.Second}
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

func hello(w http.ResponseWriter, r *http.Request) {
	token, _ := httpauth.TokenFrom(r)
	fmt.Fprintln(w, "hello,", token.Subject)
}
