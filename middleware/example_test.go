package middleware_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"

	"github.com/bearerkit/bearerkit/adapters/httpauth"
	"github.com/bearerkit/bearerkit/middleware"
	"github.com/bearerkit/bearerkit/verify"
	"github.com/bearerkit/bearerkit/verify/jwks"
	"github.com/bearerkit/bearerkit/verify/verifytest"
)

// The whole way: an issuer, a verifier, the application's user, a route that
// requires a scope.
func Example() {
	issuer := verifytest.NewServer() // in production: your authorization server
	defer issuer.Close()

	verifier, err := verify.New(verify.Config{
		Issuers: []verify.Issuer{{
			Issuer:   issuer.Issuer(),
			Audience: []string{issuer.Audience()},
			Keys:     jwks.Discover(issuer.Issuer()),
		}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer verifier.Close()

	type User struct{ Name string }
	auth, err := middleware.New(verifier, middleware.Config{
		User: middleware.Resolve(func(ctx context.Context, t *verify.Token) (User, error) {
			if t.Subject != "user_1" {
				return User{}, middleware.ErrNoUser
			}
			return User{Name: "Ada"}, nil
		}),
	})
	if err != nil {
		fmt.Println(err)
		return
	}

	orders := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, _ := middleware.UserFrom[User](r.Context())
		fmt.Fprintln(w, "orders of", user.Name)
	})
	mux := http.NewServeMux()
	mux.Handle("GET /orders", httpauth.Require(auth, middleware.Scope("orders:read"))(orders))

	for _, scope := range []string{"orders:read", "openid"} {
		r := httptest.NewRequest("GET", "/orders", nil)
		r.Header.Set("Authorization", "Bearer "+issuer.Token(verifytest.Claims{"sub": "user_1", "scope": scope}))
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		fmt.Println(w.Code, w.Body)
	}
	// Output:
	// 200 orders of Ada
	//
	// 403 {"error":"insufficient_scope","error_description":"the token lacks a scope that is required"}
}

// A handler is tested without a guard: the test says who is there, and what the
// token says.
func ExampleNewContext() {
	handler := func(w http.ResponseWriter, r *http.Request) {
		name, _ := middleware.UserFrom[string](r.Context())
		token, _ := middleware.TokenFrom(r.Context())
		fmt.Fprintln(w, "hello,", name, token.HasPermission("orders.delete"))
	}
	r := httptest.NewRequest("GET", "/", nil)
	r = r.WithContext(middleware.NewContext(r.Context(), "Ada", verifytest.NewToken(verifytest.Claims{
		"sub": "user_1", "permissions": []string{"orders.delete"},
	})))
	w := httptest.NewRecorder()
	handler(w, r)
	fmt.Println(w.Body)
	// Output: hello, Ada true
}

// The wrong way: a resolver that answers every trouble with ErrNoUser logs
// users out when the database is down. ErrNoUser means that the user does not
// exist; anything else is returned as it is and becomes 503.
func ExampleResolve_wrong() {
	issuer := verifytest.NewServer()
	defer issuer.Close()
	verifier, err := verify.New(verify.Config{Issuers: []verify.Issuer{{Issuer: issuer.Issuer(), Audience: []string{issuer.Audience()}, Keys: jwks.Discover(issuer.Issuer())}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer verifier.Close()
	database := func(context.Context, *verify.Token) (string, error) { return "", fmt.Errorf("connection refused") }

	wrong := middleware.Resolve(func(ctx context.Context, t *verify.Token) (string, error) {
		user, err := database(ctx, t)
		if err != nil {
			return "", middleware.ErrNoUser // says something about the user that nobody knows
		}
		return user, nil
	})
	right := middleware.Resolve(database)

	for _, resolver := range []middleware.Resolver{wrong, right} {
		auth, err := middleware.New(verifier, middleware.Config{User: resolver})
		if err != nil {
			fmt.Println(err)
			return
		}
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Authorization", "Bearer "+issuer.Token(nil))
		_, refusal := auth.Require().Decide(r)
		fmt.Println(refusal.Status, refusal.Description)
	}
	// Output:
	// 401 the token's subject is not a user
	// 503 the user cannot be looked up at the moment
}

// An access log outside of the guards: when the handler has returned, the record
// says for whom the request was served, or why it was not.
func ExampleWithRecord() {
	issuer := verifytest.NewServer()
	defer issuer.Close()
	auth, err := middleware.Config{
		Logger: slog.New(slog.DiscardHandler),
		User: middleware.Resolve(func(ctx context.Context, t *verify.Token) (string, error) {
			return "Ada", nil
		}),
	}.ForIssuer(issuer.Issuer(), issuer.Audience())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer auth.Close()
	accessLog := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			ctx, record := middleware.WithRecord(r.Context())
			next.ServeHTTP(w, r.WithContext(ctx))
			decision, _ := record.Decision()
			user, _ := middleware.UserFrom[string](record.Context())
			fmt.Println(r.Method, r.URL.Path, decision.Outcome, decision.Reason, user)
		})
	}
	mux := http.NewServeMux()
	mux.Handle("GET /orders", httpauth.Require(auth)(http.NotFoundHandler()))
	mux.Handle("GET /reports", httpauth.Require(auth, middleware.Scope("reports"))(http.NotFoundHandler()))
	service := accessLog(mux)
	for _, path := range []string{"/orders", "/reports"} {
		r := httptest.NewRequest("GET", path, nil)
		r.Header.Set("Authorization", "Bearer "+issuer.Token(nil))
		service.ServeHTTP(httptest.NewRecorder(), r)
	}
	// Output:
	// GET /orders allowed  Ada
	// GET /reports refused insufficient_scope Ada
}

// API keys beside bearer tokens, on the same routes: an authenticator says whose a
// key is in the words of a token, and the requirements look at either. Of the
// keys, only digests are stored.
func ExampleAuthenticator() {
	issuer := verifytest.NewServer()
	defer issuer.Close()
	type record struct {
		owner, scope string
		permissions  []string
	}
	keys := map[[sha256.Size]byte]record{
		sha256.Sum256([]byte("3f6c-example-key")): {"warehouse", "orders:read", []string{"orders.ship"}},
	}
	auth, err := middleware.Config{
		Logger: slog.New(slog.DiscardHandler),
		Authenticators: []middleware.Authenticator{{
			Credentials: middleware.Header("X-Api-Key"),
			Challenge:   `ApiKey realm="orders"`,
			Authenticate: func(ctx context.Context, key string) (*verify.Token, error) {
				r, ok := keys[sha256.Sum256([]byte(key))]
				if !ok {
					return nil, middleware.ErrNoUser
				}
				t := &verify.Token{Issuer: "api-keys", Subject: r.owner, Scope: r.scope}
				return t.WithPermissions(r.permissions...), nil
			},
		}},
	}.ForIssuer(issuer.Issuer(), issuer.Audience())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer auth.Close()
	orders := httpauth.Require(auth, middleware.Scope("orders:read"))(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, _ := middleware.TokenFrom(r.Context())
		fmt.Println("orders for", token.Subject, token.HasPermission("orders.ship"))
	}))
	for _, header := range [][2]string{
		{"Authorization", "Bearer " + issuer.Token(verifytest.Claims{"scope": "orders:read"})},
		{"X-Api-Key", "3f6c-example-key"},
		{"X-Api-Key", "guessed"},
	} {
		r := httptest.NewRequest("GET", "/orders", nil)
		r.Header.Set(header[0], header[1])
		w := httptest.NewRecorder()
		orders.ServeHTTP(w, r)
		if w.Code != http.StatusOK {
			fmt.Println(w.Code, w.Header().Values("WWW-Authenticate"))
		}
	}
	// Output:
	// orders for user_1 false
	// orders for warehouse true
	// 401 [Bearer scope="orders:read" ApiKey realm="orders"]
}
