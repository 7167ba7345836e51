// Command nethttp is the least that protects a net/http service: copy it into
// one that exists. It wants ISSUER and AUDIENCE in the environment.
package main

import (
	"fmt"
	"log"
	"net/http"
	"os"

	"github.com/bearerkit/bearerkit/adapters/httpauth"
	"github.com/bearerkit/bearerkit/middleware"
)

func main() {
	auth, err := middleware.ForIssuer(os.Getenv("ISSUER"), os.Getenv("AUDIENCE"))
	if err != nil {
		log.Fatal(err)
	}
	defer auth.Close()

	mux := http.NewServeMux()
	mux.HandleFunc("GET /public", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, "hello, whoever you are")
	})
	mux.Handle("GET /hello", httpauth.Require(auth)(http.HandlerFunc(hello)))
	mux.Handle("GET /orders", httpauth.Require(auth, middleware.Scope("orders:read"))(http.HandlerFunc(hello)))

	log.Fatal(http.ListenAndServe("127.0.0.1:8080", mux))
}

func hello(w http.ResponseWriter, r *http.Request) {
	token, _ := httpauth.TokenFrom(r)
	fmt.Fprintln(w, "hello,", token.Subject)
}
