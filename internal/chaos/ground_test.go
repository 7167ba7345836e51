package chaos_test

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bearerkit/bearerkit/adapters/httpauth"
	"github.com/bearerkit/bearerkit/middleware"
	"github.com/bearerkit/bearerkit/verify"
	"github.com/bearerkit/bearerkit/verify/introspect"
	"github.com/bearerkit/bearerkit/verify/jwks"
	"github.com/bearerkit/bearerkit/verify/verifytest"
)

var long = flag.Bool("chaos.long", false, "repeat the scenarios in real time against the example API, on every framework, and draw more seeds")

// buildDir has the example API once it is built.
var buildDir string

func TestMain(m *testing.M) {
	// Most of these tests wait most of the time. The command line can say
	// otherwise.
	flag.Set("test.parallel", "32")
	flag.Parse()
	os.Exit(func() int {
		var err error
		if buildDir, err = os.MkdirTemp("", "chaos"); err != nil {
			log.Fatal(err)
		}
		defer os.RemoveAll(buildDir)
		return m.Run()
	}())
}

// program builds the example API and returns its path.
var program = sync.OnceValues(func() (string, error) {
	path := filepath.Join(buildDir, "api")
	build := exec.Command("go", "build", "-o", path, "./examples/api")
	build.Dir = "../.."
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%v\n%s", err, out)
	}
	return path, nil
})

// frameworks are those that the example API runs on.
var frameworks = []string{"nethttp", "chi", "gin", "echo"}

// A ground is where a scenario takes place: bubble, or the framework of the
// example API that runs in a process of its own.
type ground string

// bubble is within a testing/synctest bubble: the clock jumps from one event to
// the next, nothing else takes time, and no other work on this machine can
// delay anything. Issuers and API are called in memory.
const bubble ground = ""

// everywhere runs a scenario in a bubble and, with -chaos.long, on every framework in
// real time.
func everywhere(t *testing.T, scenario func(t *testing.T, g ground)) {
	t.Run("bubble", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { scenario(t, bubble) })
	})
	if *long {
		for _, framework := range frameworks {
			t.Run(framework, func(t *testing.T) { scenario(t, ground(framework)) })
		}
	}
}

// slack is how much a busy machine may add to a delay.
func (g ground) slack() time.Duration {
	if g == bubble {
		return 0
	}
	return 2 * time.Second
}

// serial numbers the issuers and APIs in memory.
var serial atomic.Int64

// issuer makes an authorization server, which is closed when the test ends.
func (g ground) issuer(t *testing.T) *verifytest.Server {
	var s *verifytest.Server
	if g == bubble {
		s = verifytest.NewInMemory(fmt.Sprintf("https://issuer-%d.test", serial.Add(1)))
	} else {
		s = verifytest.NewServer()
	}
	t.Cleanup(s.Close)
	return s
}

// api starts an API for some issuers and returns its address. Its environment
// is that of the example API; in a bubble only the introspection's counts.
func (g ground) api(t *testing.T, issuers []*verifytest.Server, env ...string) string {
	t.Helper()
	if g != bubble {
		return run(t, string(g), issuers, env...)
	}
	value := map[string]string{}
	for _, e := range env {
		name, v, _ := strings.Cut(e, "=")
		value[name] = v
	}
	quiet := slog.New(slog.DiscardHandler)
	var c verify.Config
	for i, is := range issuers {
		trusted := verify.Issuer{
			Issuer: is.Issuer(), Audience: []string{is.Audience()},
			Keys: jwks.New(jwks.Config{Client: is.Client(), Logger: quiet}),
		}
		if mode := value["INTROSPECTION"]; mode == "fallback" || mode == "always" {
			ttl, err := time.ParseDuration(value["INTROSPECTION_TTL"])
			if err == nil && ttl == 0 {
				ttl = introspect.NoTTL
			}
			trusted.Introspection = &verify.Introspection{
				Introspector: introspect.New(introspect.Config{
					Client: is.Client(), TTL: ttl, Logger: quiet,
					Auth: introspect.Basic(value["CLIENT_ID"], value["CLIENT_SECRET"]),
				}),
				Always: mode == "always", TakesOpaque: i == 0,
			}
		}
		c.Issuers = append(c.Issuers, trusted)
	}
	v, err := verify.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { v.Close() })
	auth, err := middleware.New(v, middleware.Config{Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	ok := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok") })
	mux := http.NewServeMux()
	mux.Handle("/api/protected", httpauth.Require(auth)(ok))
	mux.Handle("/api/optional", httpauth.Optional(auth)(ok))
	if v.Introspects() {
		mux.Handle("/api/sensitive", httpauth.Require(auth, middleware.NotRevoked())(ok))
	}
	host := fmt.Sprintf("api-%d.test", serial.Add(1))
	inMemory.Store(host, mux)
	t.Cleanup(func() { inMemory.Delete(host) })
	return "http://" + host
}

// run starts the example API for some issuers and returns its address.
func run(t *testing.T, framework string, issuers []*verifytest.Server, env ...string) string {
	t.Helper()
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, is := range issuers {
		names = append(names, is.Issuer())
	}
	cmd := exec.Command(path)
	cmd.Env = append([]string{"ADDR=127.0.0.1:0", "FRAMEWORK=" + framework, "ISSUER=" + strings.Join(names, ","), "AUDIENCE=" + issuers[0].Audience()}, env...)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	lines := bufio.NewScanner(stderr)
	re := regexp.MustCompile(`listening on (http://\S+)`)
	for lines.Scan() {
		if m := re.FindStringSubmatch(lines.Text()); m != nil {
			go io.Copy(io.Discard, stderr)
			return m[1]
		}
	}
	t.Fatal("the API does not listen")
	return ""
}

// inMemory has the handlers of the APIs in bubbles, by host.
var inMemory sync.Map

// transport calls an API in memory, or over the network.
type transport struct{ network http.RoundTripper }

func (tr transport) RoundTrip(r *http.Request) (*http.Response, error) {
	h, ok := inMemory.Load(r.URL.Host)
	if !ok {
		return tr.network.RoundTrip(r)
	}
	in := httptest.NewRequestWithContext(r.Context(), r.Method, r.URL.RequestURI(), r.Body)
	in.Host, in.Header = r.URL.Host, r.Header.Clone()
	w := httptest.NewRecorder()
	h.(http.Handler).ServeHTTP(w, in)
	return w.Result(), nil
}

var client = &http.Client{Timeout: 15 * time.Second, Transport: transport{&http.Transport{MaxIdleConnsPerHost: 32}}}

// call returns the status of a call with a token, 0 if there was no answer.
func call(base, token string) int {
	req, err := http.NewRequest("GET", base+"/api/protected", nil)
	if err != nil {
		return 0
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := client.Do(req)
	if err != nil {
		return 0
	}
	io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	return resp.StatusCode
}
