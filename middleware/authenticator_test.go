package middleware_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bearerkit/bearerkit/middleware"
	"github.com/bearerkit/bearerkit/verify"
	"github.com/bearerkit/bearerkit/verify/verifytest"
)

// keyed is an authenticator of API keys; asked counts its calls.
func keyed(asked *int) middleware.Authenticator {
	return middleware.Authenticator{
		Credentials: middleware.Header("X-Api-Key"),
		Challenge:   `ApiKey realm="orders"`,
		Authenticate: func(ctx context.Context, key string) (*verify.Token, error) {
			*asked++
			t := &verify.Token{Issuer: "keys", Subject: "robot_1", ClientID: "robots", Scope: "read"}
			switch key {
			case "good":
				return t.WithPermissions("orders.delete"), nil
			case "expired":
				t.Expiry = time.Now().Add(-time.Hour)
				return t, nil
			case "blocked":
				return nil, fmt.Errorf("blocked: %w", middleware.ErrDenied)
			case "storm":
				return nil, errors.New("keys: connection refused")
			case "nil":
				return nil, nil
			case "ghost":
				return &verify.Token{Issuer: "keys", Subject: "ghost"}, nil
			}
			return nil, fmt.Errorf("keys: %w", middleware.ErrNoUser)
		},
	}
}

// On one route, callers have a bearer token or an API key, and requirements look
// at either.
func TestAuthenticator(t *testing.T) {
	asked := 0
	issuer, auth := newAuth(t, middleware.Config{
		Realm:          "orders",
		Authenticators: []middleware.Authenticator{keyed(&asked)},
		User: middleware.Resolve(func(_ context.Context, t *verify.Token) (user, error) {
			if t.Subject == "ghost" {
				return user{}, middleware.ErrNoUser
			}
			return user{t.Issuer + "/" + t.Subject}, nil
		}),
	})
	const (
		bearer = `Bearer realm="orders"`
		apiKey = `ApiKey realm="orders"`
	)
	good := issuer.Token(verifytest.Claims{"scope": "read"})
	for name, c := range map[string]struct {
		token, key   string
		requirements []middleware.Requirement
		status       int // 0: admitted
		reason       middleware.Reason
		challenges   []string // their beginnings
		user         string
	}{
		"a token":              {good, "", nil, 0, "", nil, issuer.Issuer() + "/user_1"},
		"a key":                {"", "good", nil, 0, "", nil, "keys/robot_1"},
		"both":                 {good, "good", nil, 0, "", nil, issuer.Issuer() + "/user_1"},
		"a bad token, a key":   {"a.b.c", "good", nil, 401, "malformed", []string{"Bearer", apiKey}, ""},
		"a token, a bad key":   {good, "bad", nil, 0, "", nil, issuer.Issuer() + "/user_1"},
		"neither":              {"", "", nil, 401, "no_credentials", []string{bearer, apiKey}, ""},
		"nobody's key":         {"", "bad", nil, 401, "invalid_credentials", []string{bearer, apiKey}, ""},
		"an expired key":       {"", "expired", nil, 401, "invalid_credentials", []string{bearer, apiKey}, ""},
		"a key with no user":   {"", "ghost", nil, 401, "no_user", []string{"Bearer", apiKey}, ""},
		"a blocked key":        {"", "blocked", nil, 403, "user_denied", nil, ""},
		"trouble":              {"", "storm", nil, 503, "credentials_unavailable", nil, ""},
		"no token of a key":    {"", "nil", nil, 503, "credentials_unavailable", nil, ""},
		"scope":                {"", "good", []middleware.Requirement{middleware.Scope("read")}, 0, "", nil, "keys/robot_1"},
		"scope missing":        {"", "good", []middleware.Requirement{middleware.Scope("write")}, 403, "insufficient_scope", []string{"Bearer"}, ""},
		"permission":           {"", "good", []middleware.Requirement{middleware.Permission("orders.delete")}, 0, "", nil, "keys/robot_1"},
		"permission missing":   {"", "good", []middleware.Requirement{middleware.Permission("orders.create")}, 403, "permission", nil, ""},
		"organization missing": {"", "good", []middleware.Requirement{middleware.Organization("org_1")}, 403, "organization", nil, ""},
		"recently signed in":   {"", "good", []middleware.Requirement{middleware.MaxAge(time.Hour)}, 401, "max_age", []string{"Bearer"}, ""},
		"a function": {"", "good", []middleware.Requirement{middleware.Func("no", func(ctx context.Context, t *verify.Token) error {
			if u, _ := middleware.UserFrom[user](ctx); u.id != "keys/robot_1" || t.ClientID != "robots" {
				return middleware.ErrDenied
			}
			return nil
		})}, 0, "", nil, "keys/robot_1"},
	} {
		t.Run(name, func(t *testing.T) {
			for kind, g := range map[string]*middleware.Guard{"Require": auth.Require(c.requirements...), "Optional": auth.Optional(c.requirements...)} {
				if name == "neither" && kind == "Optional" {
					continue
				}
				r := request(c.token)
				if c.key != "" {
					r.Header.Set("X-Api-Key", c.key)
				}
				asked = 0
				admitted, f := g.Decide(r)
				if calls := asked; calls > 1 || c.token != "" && calls > 0 {
					t.Errorf("%s: Authenticate was called %d times", kind, calls)
				}
				if c.status == 0 {
					if f != nil {
						t.Fatalf("%s: %+v", kind, f)
					}
					if u, _ := middleware.UserFrom[user](admitted.Context()); u.id != c.user {
						t.Errorf("%s: user %q", kind, u.id)
					}
					if tok, ok := middleware.TokenFrom(admitted.Context()); !ok || !tok.HasScope("read") {
						t.Errorf("%s: token %v", kind, ok)
					}
					continue
				}
				if f == nil || f.Status != c.status || f.Reason != c.reason || len(f.Header["Www-Authenticate"]) != len(c.challenges) {
					t.Fatalf("%s: %+v", kind, f)
				}
				for i, start := range c.challenges {
					if !strings.HasPrefix(f.Header["Www-Authenticate"][i], start) {
						t.Errorf("%s: challenges %q", kind, f.Header["Www-Authenticate"])
					}
				}
			}
		})
	}
}

// What an earlier guard has found out about a key holds for the later ones, as
// long as the key is in the request.
func TestAuthenticatorBehindAnother(t *testing.T) {
	asked := 0
	issuer, auth := newAsking(t, middleware.Config{Authenticators: []middleware.Authenticator{keyed(&asked)}})
	r := request("")
	r.Header.Set("X-Api-Key", "good")
	r, f := auth.Optional().Decide(r)
	if f != nil {
		t.Fatal(f)
	}
	r = r.WithContext(context.WithValue(r.Context(), layerKey{}, 1))
	if _, f := auth.Require(middleware.Scope("read")).Decide(r); f != nil || asked != 1 {
		t.Errorf("%+v after %d calls", f, asked)
	}
	if _, f := auth.Require(middleware.NotRevoked()).Decide(r); f != nil || asked != 2 {
		t.Errorf("Fresh: %+v after %d calls", f, asked)
	}
	if err := middleware.Recheck(r.Context()); err != nil || asked != 3 {
		t.Errorf("Recheck: %v after %d calls", err, asked)
	}
	if raw, ok := middleware.ExposeRawToken(r.Context()); ok {
		t.Errorf("an API key is returned as a token: %q", raw)
	}
	other := r.Clone(r.Context())
	other.Header.Set("X-Api-Key", "bad")
	if _, f := auth.Require().Decide(other); f == nil || f.Status != 401 {
		t.Errorf("another key: %+v", f)
	}
	bare := r.Clone(r.Context())
	bare.Header.Del("X-Api-Key")
	if _, f := auth.Require().Decide(bare); f == nil || f.Status != 401 {
		t.Errorf("without the key: %+v", f)
	}
	if admitted, f := auth.Optional().Decide(bare); f != nil {
		t.Error(f)
	} else if _, ok := middleware.TokenFrom(admitted.Context()); ok {
		t.Error("the key's owner is served without the key")
	}
	// An API key is not a token, even if both have the same text: equal texts are not equal
	// credentials.
	token := issuer.Token(nil)
	swapped := request(token)
	admitted, f := auth.Require().Decide(swapped)
	if f != nil {
		t.Fatal(f)
	}
	moved := admitted.Clone(admitted.Context())
	moved.Header.Del("Authorization")
	moved.Header.Set("X-Api-Key", token)
	if _, f := auth.Require().Decide(moved); f == nil || f.Reason != "invalid_credentials" {
		t.Errorf("a token in the place of a key: %+v", f)
	}
}

// A request without any credentials is silent in the log; one that tried is not.
func TestAuthenticatorInTheLog(t *testing.T) {
	asked := 0
	var log bytes.Buffer
	_, auth := newAuth(t, middleware.Config{Authenticators: []middleware.Authenticator{keyed(&asked)}, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	auth.Require().Decide(request(""))
	if log.Len() > 0 {
		t.Errorf("%s", &log)
	}
	r := request("")
	r.Header.Set("X-Api-Key", "secret-key")
	auth.Require().Decide(r)
	if !strings.Contains(log.String(), "level=WARN") || !strings.Contains(log.String(), "reason=invalid_credentials") || strings.Contains(log.String(), "secret") {
		t.Errorf("%s", &log)
	}
}

func TestAuthenticatorFaults(t *testing.T) {
	good := func(context.Context, string) (*verify.Token, error) { return nil, nil }
	key := middleware.Header("X-Api-Key")
	err := middleware.Config{Authenticators: []middleware.Authenticator{
		{Credentials: key, Authenticate: good},
		{},
		{Credentials: key, Authenticate: good, Challenge: `Bearer realm="x"`},
		{Credentials: key, Authenticate: good, Challenge: "ApiKey\r\nX: y"},
		{Credentials: key, Authenticate: good, Challenge: ` ApiKey`},
		{Credentials: key, Authenticate: good, Challenge: `ApiKey realm="x", location=header`},
	}}.Validate()
	var fields []string
	for _, f := range verify.Faults(err) {
		fields = append(fields, f.Field)
	}
	want := []string{"Authenticators[1].Credentials", "Authenticators[1].Authenticate", "Authenticators[2].Challenge", "Authenticators[3].Challenge", "Authenticators[4].Challenge"}
	if !slices.Equal(fields, want) {
		t.Errorf("faults %q, want %q: %v", fields, want, err)
	}
}

// A client that hangs up while its key is looked up is not a failure.
func TestAuthenticatorCanceled(t *testing.T) {
	_, auth := newAuth(t, middleware.Config{Authenticators: []middleware.Authenticator{{
		Credentials:  middleware.Header("X-Api-Key"),
		Authenticate: func(ctx context.Context, key string) (*verify.Token, error) { return nil, waiting(ctx) },
	}}})
	ctx, cancel := context.WithCancel(t.Context())
	r := request("").WithContext(ctx)
	r.Header.Set("X-Api-Key", "k")
	cancel()
	if _, f := auth.Require().Decide(r); f == nil || f.Status != 499 {
		t.Errorf("%+v", f)
	}
	if http.StatusText(499) != "" {
		t.Error("499 has a name now")
	}
}
