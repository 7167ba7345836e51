package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	bearer "github.com/bearerkit/bearerkit/middleware"
	"github.com/bearerkit/bearerkit/verify"
	"github.com/bearerkit/bearerkit/verify/verifytest"
)

// start serves the API on every framework, out of one environment.
func start(t *testing.T, env map[string]string) map[string]*httptest.Server {
	t.Helper()
	s, faults := readSettings(func(name string) string { return env[name] })
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	servers := map[string]*httptest.Server{}
	for name, mount := range frameworks {
		v, err := verify.New(s.verifier())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { v.Close() })
		auth, err := bearer.New(v, s.middleware())
		if err != nil {
			t.Fatal(err)
		}
		servers[name] = httptest.NewServer(mount(newAPI(auth, s.introspection != "off")))
		t.Cleanup(servers[name].Close)
	}
	return servers
}

// whenReady waits until every server is ready.
func whenReady(t *testing.T, servers map[string]*httptest.Server) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for name, s := range servers {
		for !strings.HasPrefix(call(t, s.URL, "GET", "/readyz", ""), "200") {
			if time.Now().After(deadline) {
				t.Fatalf("%s is not ready", name)
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
}

// call returns an answer as one text: status, the headers that matter, body.
func call(t *testing.T, base, method, path, token string) string {
	t.Helper()
	r, err := http.NewRequest(method, base+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintln(resp.StatusCode)
	for _, h := range []string{"WWW-Authenticate", "Content-Type", "Cache-Control", "Retry-After", "Allow", "Location", "Vary",
		"Access-Control-Allow-Origin", "Access-Control-Allow-Methods", "Access-Control-Allow-Headers"} {
		for _, v := range resp.Header.Values(h) {
			text += h + ": " + v + "\n"
		}
	}
	return text + string(body)
}

// TestContract walks through the routes on every framework; the answers are
// exact.
func TestContract(t *testing.T) {
	issuer := verifytest.NewServer()
	defer issuer.Close()
	servers := start(t, map[string]string{"ISSUER": issuer.Issuer(), "AUDIENCE": issuer.Audience(), "USERS": "user_1"})
	whenReady(t, servers)
	type claims = verifytest.Claims
	reader := issuer.Token(claims{"scope": "orders:read"})
	writer := issuer.Token(claims{"scope": "orders:write"})
	member := issuer.Token(claims{"scope": nil, "client_id": nil, "org_id": "org_9"})
	recent := issuer.Token(claims{"scope": "a", "client_id": "c", "auth_time": time.Now().Unix() - 10})
	ghost := issuer.Token(claims{"sub": "ghost"})
	const (
		noUser = "401\nWWW-Authenticate: Bearer error=\"invalid_token\", error_description=\"the token's subject is not a user\"\nContent-Type: application/json\nCache-Control: no-store\n{\"error\":\"invalid_token\",\"error_description\":\"the token's subject is not a user\"}"
		orders = "401\nWWW-Authenticate: Bearer error=\"invalid_token\", error_description=\"the token's subject is not a user\", scope=\"orders:read\"\nContent-Type: application/json\nCache-Control: no-store\n{\"error\":\"invalid_token\",\"error_description\":\"the token's subject is not a user\"}"
		none   = "401\nWWW-Authenticate: Bearer\nContent-Type: application/json\nCache-Control: no-store\n{\"error\":\"unauthorized\",\"error_description\":\"a bearer token is required\"}"
		ok     = "200\nContent-Type: application/json\n"
	)
	for _, c := range []struct{ method, path, token, want string }{
		{"GET", "/public", "", ok + `{"public":true}`},
		{"GET", "/public", "garbage", ok + `{"public":true}`},
		{"GET", "/livez", "", ok + `{"live":true}`},
		{"GET", "/readyz", "", ok + `{"ready":true}`},
		{"GET", "/api/protected", "", none},
		{"GET", "/api/protected", member, ok + `{"sub":"user_1","org_id":"org_9","user":{"id":"user_1"}}`},
		{"GET", "/api/sensitive", member, ok + `{"sub":"user_1","org_id":"org_9","user":{"id":"user_1"}}`},
		{"GET", "/api/protected", ghost, noUser},
		{"GET", "/api/optional", "", ok + `{"user":null}`},
		{"GET", "/api/optional", reader, ok + `{"user":{"id":"user_1"}}`},
		{"GET", "/api/optional", ghost, noUser},
		{"GET", "/api/orders", reader, ok + `{"orders":[{"id":"order_1","total":1200},{"id":"order_2","total":3400}]}`},
		{"GET", "/api/orders", writer, "403\nWWW-Authenticate: Bearer error=\"insufficient_scope\", error_description=\"the token lacks a scope that is required\", scope=\"orders:read\"\nContent-Type: application/json\nCache-Control: no-store\n{\"error\":\"insufficient_scope\",\"error_description\":\"the token lacks a scope that is required\"}"},
		{"GET", "/api/orders", ghost, orders},
		{"GET", "/api/orders", "", strings.Replace(none, "Bearer", `Bearer scope="orders:read"`, 1)},
		{"POST", "/api/orders", writer, "201\nContent-Type: application/json\n" + `{"created":true}`},
		{"GET", "/api/stepup", recent, ok + `{"sub":"user_1","client_id":"c","scope":"a","user":{"id":"user_1"}}`},
		{"GET", "/api/stepup", reader, "401\nWWW-Authenticate: Bearer error=\"insufficient_user_authentication\", error_description=\"a more recent authentication is required\", max_age=\"300\"\nContent-Type: application/json\nCache-Control: no-store\n{\"error\":\"insufficient_user_authentication\",\"error_description\":\"a more recent authentication is required\"}"},
		{"GET", "/.well-known/oauth-protected-resource", "", "404\nContent-Type: application/json\nAccess-Control-Allow-Origin: *\n{\"error\":\"not_found\",\"error_description\":\"this resource has no metadata\"}"},
		// Answers outside of the contract are alike too.
		{"HEAD", "/api/protected", "", "401\nWWW-Authenticate: Bearer\nContent-Type: application/json\nCache-Control: no-store\n"},
		{"HEAD", "/api/protected", reader, ok},
		{"OPTIONS", "/api/protected", "", none},
		{"TRACE", "/api/protected", "", none},
		{"BREW", "/api/protected", "", none},
		{"DELETE", "/api/orders", "", none},
		{"DELETE", "/api/orders", reader, "405\nContent-Type: application/json\nAllow: GET, HEAD, POST\n{\"error\":\"method_not_allowed\"}"},
		{"BREW", "/api/orders", reader, "405\nContent-Type: application/json\nAllow: GET, HEAD, POST\n{\"error\":\"method_not_allowed\"}"},
		{"POST", "/public", "", "405\nContent-Type: application/json\nAllow: GET, HEAD\n{\"error\":\"method_not_allowed\"}"},
		{"POST", "/api/optional", "garbage", "401\n…"},
		{"GET", "/nowhere", "", "404\nContent-Type: application/json\n{\"error\":\"not_found\"}"},
		{"GET", "/api/protected/", "", "404\nContent-Type: application/json\n{\"error\":\"not_found\"}"},
		{"GET", "//api/protected", "", "404\nContent-Type: application/json\n{\"error\":\"not_found\"}"},
		{"GET", "/public/../api/protected", "", "404\nContent-Type: application/json\n{\"error\":\"not_found\"}"},
	} {
		for name, s := range servers {
			got := call(t, s.URL, c.method, c.path, c.token)
			if start, cut := strings.CutSuffix(c.want, "…"); got != c.want && !(cut && strings.HasPrefix(got, start)) {
				t.Errorf("%s: %s %s:\n%s\nwant:\n%s", name, c.method, c.path, got, c.want)
			}
		}
	}
}

func TestMetadataRoute(t *testing.T) {
	issuer := verifytest.NewServer()
	defer issuer.Close()
	const (
		cors      = "Access-Control-Allow-Origin: *\n"
		preflight = "204\nAllow: GET, HEAD, OPTIONS\n" + cors + "Access-Control-Allow-Methods: GET, HEAD, OPTIONS\n" +
			"Access-Control-Allow-Headers: *, Authorization, Content-Type, Mcp-Protocol-Version\n"
		other = "405\nContent-Type: application/json\nAllow: GET, HEAD, OPTIONS\n" + cors +
			`{"error":"method_not_allowed","error_description":"this document can only be read"}`
	)
	document := "200\nContent-Type: application/json\n" + cors + `{"resource":"https://api.example.test/v1","authorization_servers":["` + issuer.Issuer() + `"],"scopes_supported":["orders:read","orders:write"],"bearer_methods_supported":["header"]}`
	for name, s := range start(t, map[string]string{"ISSUER": issuer.Issuer(), "AUDIENCE": "a", "RESOURCE": "https://api.example.test/v1"}) {
		for _, path := range []string{"/.well-known/oauth-protected-resource", "/.well-known/oauth-protected-resource/v1"} {
			for method, want := range map[string]string{
				"GET": document, "HEAD": document[:strings.IndexByte(document, '{')], "OPTIONS": preflight,
				"POST": other, "PUT": other, "PATCH": other, "DELETE": other, "TRACE": other, "BREW": other,
			} {
				if got := call(t, s.URL, method, path, ""); got != want {
					t.Errorf("%s %s %s: %s, want %s", name, method, path, got, want)
				}
			}
		}
	}
}

func TestIssuerDown(t *testing.T) {
	issuer := verifytest.NewServer()
	defer issuer.Close()
	tok := issuer.Token(nil)
	issuer.Down()
	servers := start(t, map[string]string{"ISSUER": issuer.Issuer(), "AUDIENCE": issuer.Audience()})
	for name, s := range servers {
		for path, want := range map[string]string{
			"/livez":         "200\nContent-Type: application/json\n" + `{"live":true}`,
			"/readyz":        "503\nContent-Type: application/json\nRetry-After: 1\n" + `{"ready":false}`,
			"/api/protected": "503\nContent-Type: application/json\nCache-Control: no-store\nRetry-After: 1\n" + `{"error":"temporarily_unavailable","error_description":"the token cannot be verified at the moment"}`,
		} {
			if got := call(t, s.URL, "GET", path, tok); got != want {
				t.Errorf("%s %s: %s", name, path, got)
			}
		}
	}
	issuer.Up()
	whenReady(t, servers)
	for name, s := range servers {
		if got := call(t, s.URL, "GET", "/api/protected", tok); !strings.HasPrefix(got, "200") {
			t.Errorf("%s does not recover: %s", name, got)
		}
	}
}

func TestFaults(t *testing.T) {
	good := map[string]string{"ISSUER": "https://issuer.test", "AUDIENCE": "a"}
	for _, c := range []struct{ changes, want string }{
		{"", ""},
		{"ISSUER=", ""},
		{"ISSUER= AUDIENCE=", ""},
		{"LEEWAY=0", ""},
		{"LEEWAY=1m", ""},
		{"ISSUER=https://a.test,https://b.test", ""},
		{"INTROSPECTION=off DPOP=off REDIS_URL=off", ""},
		{"ALGORITHMS=ES256,Ed25519", ""},
		{"FRAMEWORK=rails", "FRAMEWORK"},
		{"LEEWAY=soon", "LEEWAY"},
		{"LEEWAY=-5s", "LEEWAY"},
		{"LEEWAY=48h", "LEEWAY"},
		{"AUDIENCE=", "AUDIENCE"},
		{"AUDIENCE=a,,b", "AUDIENCE"},
		{"ISSUER=not_a_url", "ISSUER"},
		{"ISSUER=http://issuer.test", "ISSUER"},
		{"ISSUER=https://a.test,https://a.test", "ISSUER"},
		{"ALGORITHMS=none", "ALGORITHMS"},
		{"ALGORITHMS=HS256,RS256", "ALGORITHMS"},
		{"ALGORITHMS=XX999", "ALGORITHMS"},
		{"TOKEN_TYPE=banana", "TOKEN_TYPE"},
		{"INTROSPECTION=sometimes", "CLIENT_ID INTROSPECTION"},
		{"INTROSPECTION=always", "CLIENT_ID"},
		{"INTROSPECTION=fallback CLIENT_ID=x CLIENT_SECRET=y CLIENT_AUTH=post INTROSPECTION_TTL=0", ""},
		{"INTROSPECTION=fallback CLIENT_ID=x CLIENT_SECRET=y INTROSPECTION_URL=http://issuer.test/x", "INTROSPECTION_URL"},
		{"INTROSPECTION=always CLIENT_ID=x CLIENT_SECRET=y INTROSPECTION_TTL=48h", "INTROSPECTION_TTL"},
		{"INTROSPECTION=always CLIENT_ID=x INTROSPECTION_TTL=x", "CLIENT_SECRET INTROSPECTION_TTL"},
		{"CLIENT_AUTH=smoke", "CLIENT_AUTH"},
		{"CLIENT_AUTH=post", ""},
		{"INTROSPECTION_URL=https://issuer.test/introspect INTROSPECTION_TTL=1m", ""},
		{"INTROSPECTION_URL=::", "INTROSPECTION_URL"},
		{"INTROSPECTION_TTL=48h", "INTROSPECTION_TTL"},
		{"DPOP=perhaps", "DPOP"},
		{"DPOP=required", "DPOP"},
		{"ISSUER=https://a.test,https://b.test JWKS_URL=https://a.test/jwks", "JWKS_URL"},
		{"ISSUER= JWKS_URL=https://a.test/jwks", "JWKS_URL"},
		{"JWKS_URL=ftp://x", "JWKS_URL"},
		{"JWKS_SNAPSHOT=/nowhere/at/all/keys.json", "JWKS_SNAPSHOT"},
		{"ISSUER=https://a.test,https://b.test JWKS_SNAPSHOT=keys.json", "JWKS_SNAPSHOT"},
		{"RESOURCE=::::", "RESOURCE"},
		{"REDIS_URL=http://nope", "REDIS_URL"},
		{"REDIS_URL=redis://127.0.0.1:6379", "REDIS_URL"},
		{"USERS=,", "USERS"},
		{"USERS=a\x00b,", "USERS"},
		{"ALGORITHMS=none,HS256,XX", "ALGORITHMS ALGORITHMS ALGORITHMS"},
		{"ISSUER=http://a.test,http://b.test AUDIENCE=", "AUDIENCE ISSUER ISSUER"},

		{"ALTERNATES=https://a.test,stytch.com/p AUDIENCE_CLAIM=azp SUBJECT_CLAIM=oid ALLOW_NO_SUBJECT=on ALLOW_ID_TOKEN_CLAIMS=on INSECURE_HTTP=on", ""},
		{"INSECURE_NO_AUDIENCE=off ALLOW_NO_SUBJECT=off ALLOW_ID_TOKEN_CLAIMS=off INSECURE_HTTP=off SUBJECT_CLAIM=sub ISSUER=https://a.test,https://b.test", ""},
		{"INSECURE_NO_AUDIENCE=on AUDIENCE=", ""},
		{"INSECURE_NO_AUDIENCE=on AUDIENCE= ISSUER=", ""},
		{"INSECURE_NO_AUDIENCE=on", "INSECURE_NO_AUDIENCE"},
		{"INSECURE_NO_AUDIENCE=on ISSUER=", "INSECURE_NO_AUDIENCE"},
		{"INSECURE_NO_AUDIENCE=on AUDIENCE= AUDIENCE_CLAIM=azp", "INSECURE_NO_AUDIENCE"},
		{"INSECURE_NO_AUDIENCE=yes AUDIENCE=", "AUDIENCE INSECURE_NO_AUDIENCE"},
		{"INSECURE_NO_AUDIENCE=off AUDIENCE=", "AUDIENCE"},
		{"ALLOW_NO_SUBJECT=true ALLOW_ID_TOKEN_CLAIMS=ON INSECURE_HTTP=1", "ALLOW_ID_TOKEN_CLAIMS ALLOW_NO_SUBJECT INSECURE_HTTP"},
		{"AUDIENCE_CLAIM=aud", "AUDIENCE_CLAIM"},
		{"AUDIENCE_CLAIM=client_id AUDIENCE=", "AUDIENCE"},
		{"AUDIENCE_CLAIM=client_id AUDIENCE= ISSUER=", ""},
		{"SUBJECT_CLAIM=iss", "SUBJECT_CLAIM"},
		{"SUBJECT_CLAIM=a\"b", "SUBJECT_CLAIM"},
		{"ALTERNATES=https://issuer.test", "ALTERNATES"},
		{"ALTERNATES=https://a.test,,", "ALTERNATES"},
		{"ISSUER=https://a.test,https://b.test AUDIENCE= ALTERNATES=https://c.test INSECURE_NO_AUDIENCE=on SUBJECT_CLAIM=oid ALLOW_NO_SUBJECT=on ALLOW_ID_TOKEN_CLAIMS=on",
			"ALLOW_ID_TOKEN_CLAIMS ALLOW_NO_SUBJECT ALTERNATES INSECURE_NO_AUDIENCE SUBJECT_CLAIM"},
		{"ISSUER=https://a.test,https://b.test AUDIENCE_CLAIM=azp INSECURE_HTTP=on", "AUDIENCE_CLAIM"},
		{"ISSUER=http://a.test,http://b.test INSECURE_HTTP=on", ""},
		{"ISSUER=http://issuer.test INSECURE_HTTP=on INTROSPECTION=always CLIENT_ID=x CLIENT_SECRET=y", ""},
		{"INTROSPECTION=fallback CLIENT_ID=x CLIENT_SECRET=y INTROSPECTION_URL=http://issuer.test/x JWKS_URL=http://issuer.test/x INSECURE_HTTP=on", ""},
		{"JWKS_URL=http://issuer.test/x", "JWKS_URL"},
		{"AUDIENCE= LEEWAY=soon FRAMEWORK=rails TOKEN_TYPE=banana DPOP=perhaps INTROSPECTION=sometimes ALGORITHMS=none RESOURCE=x", "ALGORITHMS AUDIENCE CLIENT_ID DPOP FRAMEWORK INTROSPECTION LEEWAY RESOURCE TOKEN_TYPE"},
	} {
		env := map[string]string{}
		for name, value := range good {
			env[name] = value
		}
		for _, change := range strings.Fields(c.changes) {
			name, value, _ := strings.Cut(change, "=")
			env[name] = value
		}
		_, lines := readSettings(func(name string) string { return env[name] })
		var names []string
		for _, l := range lines {
			name, _, found := strings.Cut(l, ": ")
			if !found || strings.Contains(l, "\n") {
				t.Errorf("%s: %q is not a line that begins with a variable", c.changes, l)
			}
			names = append(names, name)
		}
		slices.Sort(names)
		if got := strings.Join(names, " "); got != c.want {
			t.Errorf("%s: faults in %q, want %q: %q", c.changes, got, c.want, lines)
		}
	}
}

// TestProgram runs the program as a new user does: no environment, the first
// token out of its output, SIGTERM. Each line of settings has to do as well.
func TestProgram(t *testing.T) {
	if os.Getenv("BEARERKIT_RUN_MAIN") != "" {
		main()
	}
	for _, settings := range []string{
		"FRAMEWORK=nethttp", "FRAMEWORK=chi", "FRAMEWORK=gin", "FRAMEWORK=echo",
		"AUDIENCE=a,b USERS=u,v ALGORITHMS=RS256 LEEWAY=0 TOKEN_TYPE=at+jwt RESOURCE=https://api.test",
		"INTROSPECTION=always CLIENT_ID=id CLIENT_SECRET=secret CLIENT_AUTH=post",
		"AUDIENCE_CLAIM=client_id SUBJECT_CLAIM=username USERS=u ALTERNATES=https://a.test",
		"AUDIENCE_CLAIM=client_id AUDIENCE=c INTROSPECTION=always CLIENT_ID=id CLIENT_SECRET=secret",
		"INSECURE_NO_AUDIENCE=on ALLOW_NO_SUBJECT=on ALLOW_ID_TOKEN_CLAIMS=on INSECURE_HTTP=on",
	} {
		t.Run(settings, func(t *testing.T) {
			t.Parallel()
			cmd := command("ADDR=127.0.0.1:0 " + settings)
			stdout, _ := cmd.StdoutPipe()
			stderr, _ := cmd.StderrPipe()
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			defer cmd.Process.Kill()
			base := find(t, stderr, `listening on (http://\S+)`)
			tok := find(t, stdout, `(eyJ[\w-]+\.[\w-]+\.[\w-]+)`)
			go io.Copy(io.Discard, stdout)
			go io.Copy(io.Discard, stderr)
			if got := call(t, base, "GET", "/api/protected", tok); !strings.HasPrefix(got, "200") {
				t.Errorf("the first token printed: %s", got)
			}
			if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			stuck := time.AfterFunc(30*time.Second, func() { cmd.Process.Kill() })
			defer stuck.Stop()
			if err := cmd.Wait(); err != nil {
				t.Errorf("SIGTERM: %v", err)
			}
		})
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { taken.Close() })
	for _, addr := range []string{taken.Addr().String(), "127.0.0.1:99999", "nonsense", "two\nlines"} {
		t.Run(addr, func(t *testing.T) {
			t.Parallel()
			cmd := command("LEEWAY=soon")
			cmd.Env = append(cmd.Env, "ADDR="+addr)
			out, err := cmd.CombinedOutput()
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != 2 || !regexp.MustCompile(`\ALEEWAY: .*\nADDR: .*\n\z`).Match(out) {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
}

// command runs this program with settings. It leaves at once when it ends, which
// the race detector would delay by a second.
func command(settings string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], "-test.run=^TestProgram$")
	cmd.Env = append(strings.Fields(settings), "BEARERKIT_RUN_MAIN=1", "GORACE=atexit_sleep_ms=0")
	return cmd
}

// TestSlowStop: the program ends within five seconds even while a request waits
// for an issuer that hangs, and a connection sends nothing.
func TestSlowStop(t *testing.T) {
	t.Parallel()
	issuer := verifytest.NewServer()
	defer issuer.Close()
	token := issuer.Token(nil)
	asked := make(chan struct{}, 1)
	issuer.Fail(verifytest.Introspection, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.FormValue("token") == token { // and not a question of the kit's own
				select {
				case asked <- struct{}{}:
				default:
				}
			}
			verifytest.Hang()(next).ServeHTTP(w, r)
		})
	})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	servers := start(t, map[string]string{
		"ISSUER": issuer.Issuer(), "AUDIENCE": issuer.Audience(),
		"INTROSPECTION": "always", "CLIENT_ID": verifytest.ClientID, "CLIENT_SECRET": verifytest.ClientSecret,
	})
	status := make(chan int, 1)
	go func() { status <- serve(ctx, ln, servers["nethttp"].Config.Handler) }()
	silent, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		r, _ := http.NewRequest("GET", "http://"+ln.Addr().String()+"/api/protected", nil)
		r.Header.Set("Authorization", "Bearer "+token)
		http.DefaultTransport.RoundTrip(r)
	}()
	<-asked
	began := time.Now()
	stop()
	if code := <-status; code != 0 {
		t.Errorf("exit status %d", code)
	}
	if d := time.Since(began); d > 5*time.Second {
		t.Errorf("took %v", d)
	}
	<-answered
}

// find reads until a line matches and returns the group.
func find(t *testing.T, r io.Reader, pattern string) string {
	t.Helper()
	re := regexp.MustCompile(pattern)
	b := bufio.NewReader(r)
	for {
		line, err := b.ReadString('\n')
		if m := re.FindStringSubmatch(line); m != nil {
			return m[1]
		}
		if err != nil {
			t.Fatalf("%s: %v", pattern, err)
		}
	}
}
