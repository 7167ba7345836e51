//go:build unix

package e2e_test

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// build builds examples/api and returns the program's path.
func build(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "api")
	cmd := exec.Command("go", "build", "-o", path, "./examples/api")
	cmd.Dir = filepath.Join("..", "..")
	if err := run(t, "go build ./examples/api", 3*time.Minute, cmd); err != nil {
		t.Fatal(err)
	}
	return path
}

// An api is one examples/api that runs.
type api struct {
	*program
	url    string
	tokens []string // that it was sent
}

var listening = regexp.MustCompile(`listening on (http://127\.0\.0\.1:[1-9][0-9]*)\b`)

// serve starts examples/api with the given settings only. When the test ends it checks
// that the program stops properly and has printed no token.
func serve(t *testing.T, path string, settings map[string]string) *api {
	t.Helper()
	cmd := exec.Command(path)
	cmd.Env = []string{"ADDR=127.0.0.1:0", "HOME=" + os.Getenv("HOME"), "PATH=" + os.Getenv("PATH")}
	for name, value := range settings {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	a := &api{program: start(t, "examples/api", cmd)}
	a.url = a.line(t, listening)
	t.Cleanup(func() {
		if err := a.stop(); err != nil {
			t.Error(err)
		}
		text := a.output.String()
		for _, token := range a.tokens {
			if part := tail(token); strings.Contains(text, part) {
				t.Error("examples/api prints a token")
			}
		}
		if t.Failed() {
			t.Logf("examples/api said:\n%s", text)
		}
	})
	return a
}

// tail returns the part of a token that no other token has: the signature, or all of
// an opaque token.
func tail(token string) string { return token[strings.LastIndexByte(token, '.')+1:] }

// An answer is what a test compares of a response. Two are equal if a client
// cannot tell them apart.
type answer struct {
	status      int
	challenge   string // WWW-Authenticate, all of them
	cache       string // Cache-Control
	retry       string // Retry-After
	contentType string
	body        string
}

func (a answer) json(t *testing.T) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal([]byte(a.body), &m); err != nil {
		t.Fatalf("body %q is not a JSON object: %v", a.body, err)
	}
	return m
}

var client = &http.Client{Timeout: 90 * time.Second}

// ask sends a request, with token as bearer token unless it is empty.
func ask(t *testing.T, method, url, token string) answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	w, err := client.Do(r)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	defer w.Body.Close()
	body, err := io.ReadAll(w.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	return answer{
		status:      w.StatusCode,
		challenge:   strings.Join(w.Header.Values("WWW-Authenticate"), "\n"),
		cache:       w.Header.Get("Cache-Control"),
		retry:       w.Header.Get("Retry-After"),
		contentType: w.Header.Get("Content-Type"),
		body:        string(body),
	}
}

func (a *api) ask(t *testing.T, method, path, token string) answer {
	t.Helper()
	if token != "" {
		a.tokens = append(a.tokens, token)
	}
	return ask(t, method, a.url+path, token)
}

// checkWho checks the answer of /api/protected.
func checkWho(t *testing.T, got answer, sub, clientID, scope string) {
	t.Helper()
	if got.status != http.StatusOK {
		t.Fatalf("status %d, want 200; challenge %q, body %s", got.status, got.challenge, got.body)
	}
	m := got.json(t)
	user, _ := m["user"].(map[string]any)
	for _, c := range []struct {
		name string
		got  any
		want string
	}{{"sub", m["sub"], sub}, {"client_id", m["client_id"], clientID}, {"scope", m["scope"], scope}, {"user.id", user["id"], sub}} {
		if c.got != c.want {
			t.Errorf("%s is %v, want %q", c.name, c.got, c.want)
		}
	}
}

// checkRefused checks a refusal: its status, its error code where there is one,
// in both challenge and body, and that it must not be stored.
func checkRefused(t *testing.T, got answer, status int, code string) {
	t.Helper()
	if got.status != status {
		t.Errorf("status %d, want %d; challenge %q, body %s", got.status, status, got.challenge, got.body)
		return
	}
	if !strings.HasPrefix(got.challenge, "Bearer") {
		t.Errorf("challenge %q is not for Bearer", got.challenge)
	}
	if code == "" {
		if strings.Contains(got.challenge, "error") {
			t.Errorf("challenge %q has an error, and nothing was presented", got.challenge)
		}
	} else {
		if !strings.Contains(got.challenge, `error="`+code+`"`) {
			t.Errorf("challenge %q does not say %s", got.challenge, code)
		}
		if m := got.json(t); m["error"] != code {
			t.Errorf("body says %v, want %q", m["error"], code)
		}
	}
	if !strings.Contains(got.cache, "no-store") {
		t.Errorf("Cache-Control is %q: a refusal must not be stored", got.cache)
	}
}
