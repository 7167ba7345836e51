package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/bearerkit/bearerkit/adapters/httpauth"
	bearer "github.com/bearerkit/bearerkit/middleware"
	"github.com/bearerkit/bearerkit/verify"
)

// api is the service behind its guards. Each handler can rely on what its route
// requires.
type api struct {
	orders *orderStore
}

func newAPI(auth *bearer.Auth, orders *orderStore) http.Handler {
	a := &api{orders: orders}
	mux := http.NewServeMux()
	route := func(pattern string, h http.HandlerFunc, requirements ...bearer.Requirement) {
		mux.Handle(pattern, httpauth.Require(auth, requirements...)(h))
	}
	mux.Handle("GET /{$}", httpauth.Optional(auth)(http.HandlerFunc(a.welcome)))
	route("GET /organizations/{org}/orders", a.list, bearer.Scope("orders:read"), member)
	route("POST /organizations/{org}/orders", a.place, bearer.Scope("orders:write"), member)
	route("POST /organizations/{org}/orders/{id}/cancel", a.cancel,
		bearer.Scope("orders:write"), member, bearer.Permission("orders:cancel"), bearer.MaxAge(15*time.Minute))
	return mux
}

// member requires a token for the organization in the path: 403 otherwise.
var member = bearer.RequestFunc("the token is for another organization", func(r *http.Request, t *verify.Token) error {
	if org := r.PathValue("org"); org == "" || org != t.OrganizationID {
		return bearer.ErrDenied
	}
	return nil
})

// tokenClaims are the claims of this API's own that its tokens may have.
type tokenClaims struct {
	// OrderLimit is the highest price in cents that the caller may order for.
	// Without it there is no limit.
	OrderLimit *int `json:"https://orders.example.com/order_limit"`
}

// welcome is for everybody, and greets users by name.
func (a *api) welcome(w http.ResponseWriter, r *http.Request) {
	if u, ok := httpauth.UserFrom[*user](r); ok {
		fmt.Fprintf(w, "Hello, %s.\n", u.Name)
		return
	}
	fmt.Fprintln(w, "Hello. Sign in to order.")
}

func (a *api) list(w http.ResponseWriter, r *http.Request) {
	writeJSON(w, http.StatusOK, a.orders.of(r.PathValue("org")))
}

func (a *api) place(w http.ResponseWriter, r *http.Request) {
	var o order
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<16)).Decode(&o); err != nil || o.Item == "" || o.Cents <= 0 {
		writeError(w, http.StatusBadRequest, "an order has an item and a price in cents")
		return
	}
	u, _ := httpauth.UserFrom[*user](r)
	t, _ := httpauth.TokenFrom(r)
	claims, err := verify.ClaimsOf[tokenClaims](t)
	if err != nil { // the issuer writes something that is not a number
		writeError(w, http.StatusForbidden, "the token's order limit cannot be read")
		return
	}
	if limit := claims.OrderLimit; limit != nil && o.Cents > *limit {
		writeError(w, http.StatusForbidden, fmt.Sprintf("the token allows orders up to %d cents", *limit))
		return
	}
	writeJSON(w, http.StatusCreated, a.orders.add(r.PathValue("org"), u.ID, o))
}

func (a *api) cancel(w http.ResponseWriter, r *http.Request) {
	o, ok := a.orders.cancel(r.PathValue("org"), r.PathValue("id"))
	if !ok {
		writeError(w, http.StatusNotFound, "there is no such order")
		return
	}
	writeJSON(w, http.StatusOK, o)
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // fails only if the client has gone
}

func writeError(w http.ResponseWriter, status int, description string) {
	writeJSON(w, status, map[string]string{"error": description})
}
