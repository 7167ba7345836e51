package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	bearer "github.com/bearerkit/bearerkit/middleware"
	"github.com/bearerkit/bearerkit/verify/verifytest"
)

type claims = verifytest.Claims

// TestRoutes shows what each caller may do. The authorization server of
// verifytest makes the tokens.
func TestRoutes(t *testing.T) {
	issuer := verifytest.NewServer()
	defer issuer.Close()
	users := userTable{
		{ID: "1", Name: "Ada", Issuer: issuer.Issuer(), Subject: "ada"},
		{ID: "2", Name: "Mallory", Issuer: issuer.Issuer(), Subject: "mallory", Blocked: true},
		{ID: "3", Name: "Another Ada", Issuer: "https://another.example.com", Subject: "ada"},
	}
	auth, err := bearer.Config{User: bearer.Resolve(users.find), Logger: slog.New(slog.DiscardHandler)}.ForIssuer(issuer.Issuer(), issuer.Audience())
	if err != nil {
		t.Fatal(err)
	}
	defer auth.Close()

	ada := func(more claims) string {
		c := claims{"sub": "ada", "org_id": "acme", "scope": "orders:read orders:write", "auth_time": time.Now(), "permissions": []string{"orders:cancel"}}
		for name, value := range more {
			c[name] = value
		}
		return issuer.Token(c)
	}
	const orders, cancel = "/organizations/acme/orders", "/organizations/acme/orders/order_1/cancel"
	const tea = `{"item": "tea", "cents": 450, "placed_by": "somebody else"}`
	for _, c := range []struct {
		name, method, path, token, body string
		status                          int
		answer                          string
	}{
		{"a visitor", "GET", "/", "", "", 200, "Sign in"},
		{"a user on the open page", "GET", "/", ada(nil), "", 200, "Hello, Ada."},
		{"a bad token on the open page", "GET", "/", "x.y.z", "", 401, "invalid_token"},
		{"no token", "GET", orders, "", "", 401, ""},
		{"a member", "GET", orders, ada(nil), "", 200, "[{"},
		{"without the scope", "GET", orders, ada(claims{"scope": "openid"}), "", 403, "insufficient_scope"},
		{"of another organization", "GET", orders, ada(claims{"org_id": "other"}), "", 403, "another organization"},
		{"of no organization", "GET", orders, ada(claims{"org_id": nil}), "", 403, "another organization"},
		{"of another audience", "GET", orders, ada(claims{"aud": "https://other.example.com"}), "", 401, "invalid_token"},
		{"an unknown user", "GET", orders, ada(claims{"sub": "nobody"}), "", 401, "invalid_token"},
		{"a blocked user", "GET", orders, ada(claims{"sub": "mallory"}), "", 403, ""},
		{"order", "POST", orders, ada(nil), tea, 201, `"placed_by":"1"`},
		{"order nothing", "POST", orders, ada(nil), `{}`, 400, "an item"},
		{"order with the scope to read", "POST", orders, ada(claims{"scope": "orders:read"}), tea, 403, "insufficient_scope"},
		{"cancel", "POST", cancel, ada(nil), "", 200, `"canceled":true`},
		{"cancel without the permission", "POST", cancel, ada(claims{"permissions": nil}), "", 403, ""},
		{"cancel long after the sign-in", "POST", cancel, ada(claims{"auth_time": time.Now().Add(-time.Hour)}), "", 401, "insufficient_user_authentication"},
		{"cancel an unknown order", "POST", strings.Replace(cancel, "_1", "_7", 1), ada(nil), "", 404, "no such order"},
	} {
		t.Run(c.name, func(t *testing.T) {
			store := &orderStore{}
			store.add("acme", "1", order{Item: "coffee", Cents: 390})
			r := httptest.NewRequest(c.method, c.path, strings.NewReader(c.body))
			if c.token != "" {
				r.Header.Set("Authorization", "Bearer "+c.token)
			}
			w := httptest.NewRecorder()
			newAPI(auth, store).ServeHTTP(w, r)
			if w.Code != c.status || !strings.Contains(w.Body.String(), c.answer) {
				t.Errorf("%d %s, want %d and %q", w.Code, w.Body, c.status, c.answer)
			}
		})
	}
}

// TestOrderLimit tests a handler alone. It needs neither a guard nor an
// authorization server: verifytest.NewToken makes a verified token with claims.
func TestOrderLimit(t *testing.T) {
	const limit = "https://orders.example.com/order_limit"
	for _, c := range []struct {
		name   string
		claims claims
		status int
	}{
		{"no limit", claims{}, 201},
		{"at the limit", claims{limit: 450}, 201},
		{"over the limit", claims{limit: 449}, 403},
		{"an unreadable limit", claims{limit: "many"}, 403},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := httptest.NewRequest("POST", "/organizations/acme/orders", strings.NewReader(`{"item": "tea", "cents": 450}`))
			r = r.WithContext(bearer.NewContext(r.Context(), &user{ID: "1"}, verifytest.NewToken(c.claims)))
			w := httptest.NewRecorder()
			(&api{orders: &orderStore{}}).place(w, r)
			if w.Code != c.status {
				t.Errorf("%d %s, want %d", w.Code, w.Body, c.status)
			}
		})
	}
}

// TestRun starts the service as main does, looks at what operators see, and
// stops it.
func TestRun(t *testing.T) {
	issuer := verifytest.NewServer()
	defer issuer.Close()
	file := filepath.Join(t.TempDir(), "users.json")
	row := `[{"id": "1", "name": "Ada", "issuer": "` + issuer.Issuer() + `", "subject": "ada"}]`
	if err := os.WriteFile(file, []byte(row), 0o600); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"ISSUER": issuer.Issuer(), "AUDIENCE": issuer.Audience(), "USERS": file,
		"ADDR": "127.0.0.1:0", "ADMIN_ADDR": "127.0.0.1:0"}

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	logs, sink := io.Pipe()
	stopped := make(chan error, 1)
	go func() {
		stopped <- run(ctx, func(name string) string { return env[name] }, slog.New(slog.NewJSONHandler(sink, nil)))
		sink.Close()
	}()
	type line struct {
		Msg, API, Admin, User, Route string
		Status                       int
	}
	lines := make(chan line, 100)
	go func() {
		defer close(lines)
		for s := bufio.NewScanner(logs); s.Scan(); {
			var l line
			if json.Unmarshal(s.Bytes(), &l) == nil {
				lines <- l
			}
		}
	}()
	await := func(msg string) line {
		for l := range lines {
			if l.Msg == msg {
				return l
			}
		}
		t.Fatalf("run ended without the line %q: %v", msg, <-stopped)
		return line{}
	}
	get := func(url, token string) (int, string) {
		r, _ := http.NewRequest("GET", url, nil)
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(body)
	}

	at := await("listening")
	token := issuer.Token(claims{"sub": "ada", "org_id": "acme", "scope": "orders:read"})
	if status, body := get("http://"+at.API+"/organizations/acme/orders", token); status != 200 || body != "[]\n" {
		t.Errorf("orders: %d %q", status, body)
	}
	if l := await("request"); l.User != "1" || l.Status != 200 || l.Route != "GET /organizations/{org}/orders" {
		t.Errorf("the access log has %+v", l)
	}
	get("http://"+at.API+"/organizations/acme/orders", "")
	for path, want := range map[string]string{"/livez": "", "/readyz": "", "/debug/vars": `"refusals": {"no_credentials": 1}`} {
		if status, body := get("http://"+at.Admin+path, ""); status != 200 || !strings.Contains(body, want) {
			t.Errorf("%s: %d %s, want 200 and %s", path, status, body, want)
		}
	}
	stop()
	if err := <-stopped; err != nil {
		t.Errorf("run: %v", err)
	}
	env["AUDIENCE"] = ""
	if err := run(t.Context(), func(name string) string { return env[name] }, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("run without an audience")
	}
}
