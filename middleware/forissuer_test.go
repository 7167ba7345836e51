package middleware_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"github.com/bearerkit/bearerkit/adapters/httpauth"
	"github.com/bearerkit/bearerkit/internal/testkit"
	"github.com/bearerkit/bearerkit/middleware"
	"github.com/bearerkit/bearerkit/verify"
	"github.com/bearerkit/bearerkit/verify/verifytest"
)

// The short way takes a configuration: for requests and, the logger, for keys.
func TestForIssuerWithAConfiguration(t *testing.T) {
	issuer := verifytest.NewServer()
	defer issuer.Close()
	var log testkit.LogBuffer // to which the key source writes as well, when it gets to it
	seen := 0
	auth, err := middleware.Config{
		User:     middleware.Resolve(findUser),
		Logger:   log.Logger(),
		Observer: middleware.ObserverFunc(func(context.Context, middleware.Decision) { seen++ }),
	}.ForIssuer(issuer.Issuer(), "https://unused.example", issuer.Audience())
	if err != nil {
		t.Fatal(err)
	}
	r, f := auth.Require().Decide(request(issuer.Token(nil)))
	if f != nil {
		t.Fatal(f)
	}
	if u, _ := middleware.UserFrom[user](r.Context()); u.id != "user_1" || seen != 1 {
		t.Errorf("user %v, %d decisions", u, seen)
	}
	auth.Require(middleware.Scope("x")).Decide(r)
	for _, part := range []string{"insufficient_scope", issuer.JWKSURL()} {
		testkit.Eventually(t, "the log has "+part, func() bool { return log.Count(part) > 0 })
	}
	if err := auth.Close(); err != nil {
		t.Fatal(err)
	}
}

// Every fault is named at once, and nothing is started.
func TestForIssuerFaults(t *testing.T) {
	_, err := middleware.Config{Realm: `"`, Credentials: []middleware.CredentialSource{{}}}.ForIssuer("ftp://issuer.example")
	var fields []string
	for _, f := range verify.Faults(err) {
		fields = append(fields, f.Field)
	}
	for _, want := range []string{"Audience", "Realm", "Credentials[0]"} {
		if !slices.Contains(fields, want) {
			t.Errorf("faults of %q, want %s too: %v", fields, want, err)
		}
	}
	if len(fields) < 4 { // that of the issuer, whose field is Keys or Issuer
		t.Errorf("faults of %q", fields)
	}
}

// One line to begin with; a user, a logger, an observer are fields in front of
// the same call. What goes beyond one issuer takes the configuration along to
// New.
func ExampleConfig_ForIssuer() {
	issuer := verifytest.NewServer() // in production: your authorization server
	defer issuer.Close()

	first, err := middleware.ForIssuer(issuer.Issuer(), issuer.Audience())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer first.Close()

	second, err := middleware.Config{
		User: middleware.Resolve(func(ctx context.Context, t *verify.Token) (string, error) { return "Ada", nil }),
	}.ForIssuer(issuer.Issuer(), issuer.Audience())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer second.Close()

	for _, auth := range []*middleware.Auth{first, second} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Authorization", "Bearer "+issuer.Token(nil))
		httpauth.Require(auth)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			user, ok := middleware.UserFrom[string](r.Context())
			fmt.Printf("%q %v\n", user, ok)
		})).ServeHTTP(httptest.NewRecorder(), r)
	}
	// Output:
	// "" false
	// "Ada" true
}
