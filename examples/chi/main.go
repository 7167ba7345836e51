// Command chi is the least that protects a chi service: copy it into one that
// exists. It wants ISSUER and AUDIENCE in the environment.
package main

import (
	"fmt"
	"log"
	"net/http"
	"os"

	"github.com/go-chi/chi/v5"

	"github.com/bearerkit/bearerkit/adapters/chiauth"
	"github.com/bearerkit/bearerkit/middleware"
)

func main() {
	auth, err := middleware.ForIssuer(os.Getenv("ISSUER"), os.Getenv("AUDIENCE"))
	if err != nil {
		log.Fatal(err)
	}
	defer auth.Close()

	r := chi.NewRouter()
	r.Get("/public", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, "hello, whoever you are") })
	r.Group(func(r chi.Router) { // everything in here wants a token …
		r.Use(chiauth.Require(auth))
		r.Get("/hello", hello)
		// … and some of it a scope too. The token is verified once.
		r.With(chiauth.Require(auth, middleware.Scope("orders:read"))).Get("/orders", hello)
	})

	log.Fatal(http.ListenAndServe("127.0.0.1:8080", r))
}

func hello(w http.ResponseWriter, r *http.Request) {
	token, _ := chiauth.TokenFrom(r)
	fmt.Fprintln(w, "hello,", token.Subject)
}
