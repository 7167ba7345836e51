package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/bearerkit/bearerkit/adapters/httpauth"
	bearer "github.com/bearerkit/bearerkit/middleware"
)

// A route is one operation of the API and what it requires.
type route struct {
	method, path string
	access       access
	requirements []bearer.Requirement
	handler      http.HandlerFunc
}

type access int

const (
	open     access = iota // no token required
	optional               // a token in the request must be good
	required
)

// api is the application, whatever framework runs it.
type api struct {
	auth   *bearer.Auth
	routes []route
}

func newAPI(auth *bearer.Auth, introspected bool) *api {
	a := &api{auth: auth}
	scope := func(s string) []bearer.Requirement { return []bearer.Requirement{bearer.Scope(s)} }
	var sensitive []bearer.Requirement
	if introspected {
		sensitive = append(sensitive, bearer.NotRevoked())
	}
	recent := []bearer.Requirement{bearer.MaxAge(5 * time.Minute)}
	a.routes = []route{
		{"GET", "/public", open, nil, a.public},
		{"GET", "/livez", open, nil, a.live},
		{"GET", "/readyz", open, nil, a.ready},
		{"GET", "/api/protected", required, nil, a.me},
		{"GET", "/api/optional", optional, nil, a.maybe},
		{"GET", "/api/orders", required, scope("orders:read"), a.orders},
		{"POST", "/api/orders", required, scope("orders:write"), a.createOrder},
		{"GET", "/api/sensitive", required, sensitive, a.me},
		{"GET", "/api/stepup", required, recent, a.me},
	}
	for _, path := range a.metadataPaths() {
		a.routes = append(a.routes, route{"GET", path, open, nil, auth.MetadataHandler().ServeHTTP})
	}
	for _, r := range slices.Clone(a.routes) {
		if r.method == http.MethodGet {
			r.method = http.MethodHead
			a.routes = append(a.routes, r)
		}
	}
	return a
}

// metadataPaths returns where clients look for the metadata: at the root and, for
// a resource with a path, where RFC 9728 section 3.1 puts it.
func (a *api) metadataPaths() []string {
	return slices.Compact([]string{"/.well-known/oauth-protected-resource", a.auth.MetadataPath()})
}

func (a *api) public(w http.ResponseWriter, r *http.Request) {
	write(w, http.StatusOK, map[string]bool{"public": true})
}

func (a *api) live(w http.ResponseWriter, r *http.Request) {
	write(w, http.StatusOK, map[string]bool{"live": true})
}

func (a *api) ready(w http.ResponseWriter, r *http.Request) {
	if !a.auth.Verifier().Ready() {
		w.Header().Set("Retry-After", "1")
		write(w, http.StatusServiceUnavailable, map[string]bool{"ready": false})
		return
	}
	write(w, http.StatusOK, map[string]bool{"ready": true})
}

func (a *api) me(w http.ResponseWriter, r *http.Request) {
	u, _ := bearer.UserFrom[user](r.Context())
	t, _ := bearer.TokenFrom(r.Context())
	write(w, http.StatusOK, struct {
		Subject      string `json:"sub,omitempty"`
		ClientID     string `json:"client_id,omitempty"`
		Organization string `json:"org_id,omitempty"`
		Scope        string `json:"scope,omitempty"`
		User         user   `json:"user"`
	}{t.Subject, t.ClientID, t.OrganizationID, t.Scope, u})
}

func (a *api) maybe(w http.ResponseWriter, r *http.Request) {
	var body struct {
		User *user `json:"user"`
	}
	if u, ok := bearer.UserFrom[user](r.Context()); ok {
		body.User = &u
	}
	write(w, http.StatusOK, body)
}

func (a *api) orders(w http.ResponseWriter, r *http.Request) {
	type order struct {
		ID    string `json:"id"`
		Total int    `json:"total"`
	}
	write(w, http.StatusOK, map[string][]order{"orders": {{"order_1", 1200}, {"order_2", 3400}}})
}

func (a *api) createOrder(w http.ResponseWriter, r *http.Request) {
	write(w, http.StatusCreated, map[string]bool{"created": true})
}

func write(w http.ResponseWriter, status int, v any) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(bytes.TrimSuffix(b.Bytes(), []byte("\n")))
}

// notFound answers requests for paths that do not exist, alike on every
// framework.
func (a *api) notFound(w http.ResponseWriter, r *http.Request) {
	write(w, http.StatusNotFound, map[string]string{"error": "not_found"})
}

// otherMethod answers methods that a path does not have. It requires credentials
// where the path does: callers who may not use a path do not learn its methods.
func (a *api) otherMethod(w http.ResponseWriter, r *http.Request) {
	w.Header().Del("Allow") // some frameworks have set it, each differently
	if slices.Contains(a.metadataPaths(), r.URL.Path) {
		a.auth.MetadataHandler().ServeHTTP(w, r)
		return
	}
	var allow []string
	level := open
	for _, route := range a.routes {
		if route.path == r.URL.Path {
			allow = append(allow, route.method)
			level = max(level, route.access)
		}
	}
	if allow == nil {
		a.notFound(w, r)
		return
	}
	slices.Sort(allow)
	var h http.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Allow", strings.Join(allow, ", "))
		write(w, http.StatusMethodNotAllowed, map[string]string{"error": "method_not_allowed"})
	})
	switch level {
	case optional:
		h = httpauth.Optional(a.auth)(h)
	case required:
		h = httpauth.Require(a.auth)(h)
	}
	h.ServeHTTP(w, r)
}
