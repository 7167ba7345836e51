// Command workos is an API behind WorkOS. It accepts the access tokens of WorkOS
// Connect applications, for users and for machines (M2M), and those of AuthKit
// sessions, side by side.
//
// The environment configures it:
//
//	AUTHKIT_DOMAIN   https://<subdomain>.authkit.app, or the custom domain: the
//	                 issuer of Connect tokens. Required.
//	CLIENT_ID        the environment's client ID, client_…: the audience of
//	                 Connect tokens without a resource indicator, and the client
//	                 of AuthKit sessions. Required.
//	CLIENT_SECRET    the client's secret. With it, every Connect token is
//	                 introspected, so that a revoked one is refused within ten
//	                 seconds; without it, tokens are valid until they expire.
//	RESOURCE         the resource indicator configured for this API, if any: a
//	                 second accepted audience.
//	SESSION_ISSUER   the issuer of AuthKit session tokens. Default:
//	                 https://api.workos.com/user_management/<CLIENT_ID>.
//	SESSION_JWKS     their key set. Default:
//	                 https://api.workos.com/sso/jwks/<CLIENT_ID>.
//	ORGANIZATION     the organization that may use /partner. Required.
//	ADDR             the listen address. Default: 127.0.0.1:8080.
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"log"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/bearerkit/bearerkit/adapters/httpauth"
	bearer "github.com/bearerkit/bearerkit/middleware"
	"github.com/bearerkit/bearerkit/verify"
	"github.com/bearerkit/bearerkit/verify/introspect"
	"github.com/bearerkit/bearerkit/verify/jwks"
)

// account is this application's user: a person or a machine. An administrator
// who impersonates the user is recorded too.
type account struct {
	ID           string `json:"id"`
	Organization string `json:"organization,omitempty"`
	Machine      bool   `json:"machine"`
	Impersonator string `json:"impersonator,omitempty"`
}

// findAccount stands for a query of the application's database.
func findAccount(_ context.Context, t *verify.Token) (account, error) {
	a := account{ID: t.Subject, Organization: t.OrganizationID, Machine: t.IsMachine()}
	if !a.Machine && !strings.HasPrefix(t.Subject, "user_") {
		return account{}, bearer.ErrNoUser
	}
	if t.Actor != nil {
		a.Impersonator = t.Actor.Subject
	}
	return a, nil
}

func main() {
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

func run() error {
	domain, client := os.Getenv("AUTHKIT_DOMAIN"), os.Getenv("CLIENT_ID")
	organization := os.Getenv("ORGANIZATION")
	if domain == "" || client == "" || organization == "" {
		return errors.New("AUTHKIT_DOMAIN, CLIENT_ID and ORGANIZATION are required")
	}
	audience := []string{client}
	if r := os.Getenv("RESOURCE"); r != "" {
		audience = append(audience, r)
	}
	sessions := cmp.Or(os.Getenv("SESSION_ISSUER"), "https://api.workos.com/user_management/"+client)
	sessionKeys := cmp.Or(os.Getenv("SESSION_JWKS"), "https://api.workos.com/sso/jwks/"+client)

	var introspection *verify.Introspection
	if secret := os.Getenv("CLIENT_SECRET"); secret != "" {
		introspection = &verify.Introspection{
			Introspector: introspect.New(introspect.Config{Auth: introspect.Post(client, secret)}),
			Always:       true,
		}
	}

	verifier, err := verify.New(verify.Config{Issuers: []verify.Issuer{
		// Connect: discovery finds the key set in the OpenID document. The
		// document of RFC 8414 has no jwks_uri.
		{Issuer: domain, Audience: audience, Keys: jwks.Discover(domain), Introspection: introspection},
		// AuthKit sessions have no audience. Issuer and key set are those of
		// this client alone, so tokens of other clients are refused.
		{Issuer: sessions, InsecureNoAudience: true, Keys: jwks.URL(sessionKeys)},
	}})
	if err != nil {
		return err
	}
	defer verifier.Close()
	auth, err := bearer.New(verifier, bearer.Config{User: bearer.Resolve(findAccount)})
	if err != nil {
		return err
	}

	mux := http.NewServeMux()
	route := func(pattern string, needs ...bearer.Requirement) {
		mux.Handle(pattern, httpauth.Require(auth, needs...)(http.HandlerFunc(whoami)))
	}
	route("GET /me", bearer.OnlyUsers())                                  // any user
	route("GET /jobs", bearer.OnlyMachines())                             // M2M applications
	route("GET /partner", bearer.Organization(organization))              // users and machines of one organization
	route("GET /admin", bearer.Permission("admin:read"), noImpersonation) // AuthKit sessions have permissions

	// On Ctrl-C or SIGTERM, the requests under way end first.
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

// noImpersonation is a requirement of this application's own.
var noImpersonation = bearer.Func("not while impersonating a user", func(ctx context.Context, t *verify.Token) error {
	if t.Actor != nil {
		return bearer.ErrDenied
	}
	return nil
})

func whoami(w http.ResponseWriter, r *http.Request) {
	a, _ := httpauth.UserFrom[account](r)
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(a)
}
