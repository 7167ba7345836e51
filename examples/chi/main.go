// Command chi is the smallest protected chi service, to copy from. ISSUER and
// AUDIENCE in the environment say whose tokens it accepts.
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

	"github.com/go-chi/chi/v5"

	"github.com/bearerkit/bearerkit/adapters/chiauth"
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

	r := chi.NewRouter()
	r.Get("/public", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, "hello") })
	r.Group(func(r chi.Router) { // everything in this group requires a token,
		r.Use(chiauth.Require(auth))
		r.Get("/hello", hello)
		// and this a scope too. The token is verified once.
		r.With(chiauth.Require(auth, bearer.Scope("orders:read"))).Get("/orders", hello)
	})

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

func hello(w http.ResponseWriter, r *http.Request) {
	token, _ := chiauth.TokenFrom(r)
	fmt.Fprintln(w, "hello,", token.Subject)
}
