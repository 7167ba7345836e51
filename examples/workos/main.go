// Command workos is an API behind WorkOS: it takes the access tokens of WorkOS
// Connect applications, of users and of machines (M2M), and those of AuthKit
// sessions, side by side.
//
// Its environment:
//
//	AUTHKIT_DOMAIN   https://<subdomain>.authkit.app, or the custom domain: the
//	                 issuer of Connect tokens. Required.
//	CLIENT_ID        the environment's client id, client_…: the audience of
//	                 Connect tokens without a resource indicator, and the client
//	                 of AuthKit sessions. Required.
//	CLIENT_SECRET    the client's secret. With it, WorkOS is asked about every
//	                 Connect token, so that a revoked one stops within ten
//	                 seconds; without it, tokens are good until they expire.
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
	"log"
	"net/http"
	"os"
	"strings"

	"github.com/bearerkit/bearerkit/adapters/httpauth"
	"github.com/bearerkit/bearerkit/middleware"
	"github.com/bearerkit/bearerkit/verify"
	"github.com/bearerkit/bearerkit/verify/introspect"
	"github.com/bearerkit/bearerkit/verify/jwks"
)

// account is this application's user. WorkOS has users and machines; who acts
// for a user (an impersonating administrator) matters too.
type account struct {
	ID           string `json:"id"`
	Organization string `json:"organization,omitempty"`
	Machine      bool   `json:"machine"`
	Impersonator string `json:"impersonator,omitempty"`
}

// findAccount stands for a look-up in the application's database.
func findAccount(_ context.Context, t *verify.Token) (account, error) {
	a := account{ID: t.Subject, Organization: t.OrganizationID, Machine: t.IsMachine()}
	if !a.Machine && !strings.HasPrefix(t.Subject, "user_") {
		return account{}, middleware.ErrNoUser
	}
	if t.Actor != nil {
		a.Impersonator = t.Actor.Subject
	}
	return a, nil
}

func main() {
	domain, client := os.Getenv("AUTHKIT_DOMAIN"), os.Getenv("CLIENT_ID")
	organization := os.Getenv("ORGANIZATION")
	if domain == "" || client == "" || organization == "" {
		log.Fatal("AUTHKIT_DOMAIN, CLIENT_ID and ORGANIZATION are required")
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
		// Connect: discovery finds the key set in the OpenID document; the RFC
		// 8414 one has no jwks_uri.
		{Issuer: domain, Audience: audience, Keys: jwks.Discover(domain), Introspection: introspection},
		// AuthKit sessions carry no audience. Their issuer names the client and
		// their key set is the client's own, so nobody else's token fits.
		{Issuer: sessions, InsecureNoAudience: true, Keys: jwks.URL(sessionKeys)},
	}})
	if err != nil {
		log.Fatal(err)
	}
	defer verifier.Close()
	auth, err := middleware.New(verifier, middleware.Config{User: middleware.Resolve(findAccount)})
	if err != nil {
		log.Fatal(err)
	}

	mux := http.NewServeMux()
	route := func(pattern string, needs ...middleware.Requirement) {
		mux.Handle(pattern, httpauth.Require(auth, needs...)(http.HandlerFunc(whoami)))
	}
	route("GET /me", middleware.User())                                       // any user
	route("GET /jobs", middleware.Machine())                                  // M2M applications
	route("GET /partner", middleware.Organization(organization))              // users and machines of one organization
	route("GET /admin", middleware.Permission("admin:read"), noImpersonation) // AuthKit sessions have permissions
	log.Fatal(http.ListenAndServe(cmp.Or(os.Getenv("ADDR"), "127.0.0.1:8080"), mux))
}

// noImpersonation is a requirement that the application defines.
var noImpersonation = middleware.Func("not while impersonating a user", func(ctx context.Context, t *verify.Token) error {
	if t.Actor != nil {
		return middleware.ErrDenied
	}
	return nil
})

func whoami(w http.ResponseWriter, r *http.Request) {
	a, _ := httpauth.UserFrom[account](r)
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(a)
}
