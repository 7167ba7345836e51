//go:build unix

package e2e_test

import (
	"io"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/bearerkit/bearerkit/verify/verifytest"
)

// TestSmallExamples runs the smallest services: they serve, and SIGTERM lets a
// request that is under way end first, and then them, with exit status 0.
func TestSmallExamples(t *testing.T) {
	dir := t.TempDir()
	cmd := exec.Command("go", "build", "-o", dir+string(filepath.Separator), "./examples/...")
	cmd.Dir = filepath.Join("..", "..")
	if err := run(t, "go build ./examples/...", 3*time.Minute, cmd); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"nethttp", "chi", "gin", "echo"} {
		t.Run(name, func(t *testing.T) {
			issuer := verifytest.NewServer()
			defer issuer.Close()
			addr := freeAddr(t)
			cmd := exec.Command(filepath.Join(dir, name))
			cmd.Env = []string{"ADDR=" + addr, "ISSUER=" + issuer.Issuer(), "AUDIENCE=" + issuer.Audience()}
			p := start(t, name, cmd)
			get := func(path, token string) (int, string) {
				r, err := http.NewRequest("GET", "http://"+addr+path, nil)
				if err != nil {
					t.Fatal(err)
				}
				r.Close = true
				if token != "" {
					r.Header.Set("Authorization", "Bearer "+token)
				}
				resp, err := http.DefaultTransport.RoundTrip(r)
				if err != nil {
					return 0, err.Error()
				}
				defer resp.Body.Close()
				body, err := io.ReadAll(resp.Body)
				if err != nil {
					return 0, err.Error()
				}
				return resp.StatusCode, string(body)
			}
			await(t, "it serves", func() bool { status, _ := get("/public", ""); return status == 200 })
			reader := issuer.Token(verifytest.Claims{"scope": "orders:read"})
			for _, c := range []struct {
				path, token string
				want        int
			}{
				{"/hello", "", 401}, {"/hello", reader, 200}, {"/orders", reader, 200}, {"/orders", issuer.Token(nil), 403}, {"/nowhere", "", 404},
			} {
				if status, body := get(c.path, c.token); status != c.want {
					t.Errorf("%s: %d %s", c.path, status, body)
				}
			}

			// A token under a new key waits for the issuer to answer.
			asked, answer := make(chan struct{}), make(chan struct{})
			issuer.Fail(verifytest.JWKS, verifytest.Times(1, func(next http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					close(asked)
					<-answer
					next.ServeHTTP(w, r)
				})
			}))
			issuer.Rotate()
			token := issuer.Token(nil)
			done := make(chan struct{})
			go func() {
				defer close(done)
				if status, body := get("/hello", token); status != 200 {
					t.Errorf("a request under way: %d %s", status, body)
				}
			}()
			<-asked
			stopped := make(chan error, 1)
			go func() { stopped <- p.stop() }()
			await(t, "it takes no more", func() bool {
				c, err := net.Dial("tcp", addr)
				if err == nil {
					c.Close()
				}
				return err != nil
			})
			close(answer)
			<-done
			if err := <-stopped; err != nil {
				t.Errorf("%v\n%s", err, p.output.String())
			}
		})
	}
}

// freeAddr returns an address on which no program listens.
func freeAddr(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

// await waits for a condition.
func await(t *testing.T, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(startTimeout); !f(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}
