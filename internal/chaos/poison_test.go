package chaos_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bearerkit/bearerkit/internal/testkit"
	"github.com/bearerkit/bearerkit/verify"
	"github.com/bearerkit/bearerkit/verify/jwks"
	"github.com/bearerkit/bearerkit/verify/verifytest"
)

// service makes a verifier and its key source.
func service(t *testing.T, issuer *verifytest.Server, c jwks.Config) (*verify.Verifier, *jwks.Source, *testkit.LogBuffer) {
	t.Helper()
	log := &testkit.LogBuffer{}
	c.Issuer, c.Logger = issuer.Issuer(), slog.New(slog.NewTextHandler(log, nil))
	source := jwks.New(c)
	v, err := verify.New(verify.Config{Issuers: []verify.Issuer{{Issuer: issuer.Issuer(), Audience: []string{issuer.Audience()}, Keys: source}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { v.Close() })
	return v, source, log
}

// TestPoison: whatever the issuer answers, a good token is accepted, the fault is in
// Health and once in the log, and the next good answer ends it.
func TestPoison(t *testing.T) {
	t.Parallel()
	body := func(s string) verifytest.Fault { return verifytest.Body("application/json", s) }
	redirect := func(to string) verifytest.Fault {
		return verifytest.Answer(func(w http.ResponseWriter, r *http.Request) {
			if to == "" {
				to = r.URL.Path
			}
			http.Redirect(w, r, to, http.StatusFound)
		})
	}
	var thousands strings.Builder
	for i := range 10_000 {
		fmt.Fprintf(&thousands, `,{"kty":"OKP","crv":"Ed25519","kid":"%d","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`, i)
	}
	faults := map[string]verifytest.Fault{
		"an empty object":          body("{}"),
		"no keys":                  body(`{"keys":[]}`),
		"Keys":                     body(`{"Keys":[]}`),
		"keys twice":               body(`{"keys":[],"keys":[]}`),
		"keys is an object":        body(`{"keys":{}}`),
		"truncated":                body(`{"keys":[{"kty":"RSA"`),
		"trailing":                 body(`{"keys":[]} x`),
		"an array":                 body("[]"),
		"nothing":                  body(""),
		"ten thousand keys":        body(`{"keys":[` + thousands.String()[1:] + "]}"),
		"HTML":                     verifytest.Body("text/html", "<html>maintenance</html>"),
		"204":                      verifytest.Status(204),
		"400":                      verifytest.Status(400),
		"404":                      verifytest.Status(404),
		"500":                      verifytest.Status(500),
		"cut":                      verifytest.Cut(),
		"endless":                  verifytest.Answer(endless),
		"gzip bomb":                bomb(`{"keys":[`),
		"a header of 1 MiB":        verifytest.Answer(func(w http.ResponseWriter, r *http.Request) { w.Header().Set("X", strings.Repeat("x", 1<<20)) }),
		"redirect in a loop":       redirect(""),
		"redirect to another host": redirect("http://localhost:1/jwks"),
		"redirect to link-local":   redirect("http://169.254.169.254/jwks"),
		"redirect to a file":       redirect("file:///etc/passwd"),
		"hangs":                    verifytest.Hang(),
		"a byte a second": verifytest.Answer(func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				io.WriteString(w, " ")
				w.(http.Flusher).Flush()
				select {
				case <-time.After(time.Second):
				case <-r.Context().Done():
				}
			}
		}),
		"a header without end": verifytest.Answer(func(w http.ResponseWriter, r *http.Request) {
			c, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				return
			}
			defer c.Close()
			io.WriteString(c, "HTTP/1.1 200 OK\r\n")
			for line := "X: " + strings.Repeat("x", 4096) + "\r\n"; err == nil; {
				_, err = io.WriteString(c, line)
			}
		}),
	}
	// Each API has all of the issuers, and each of them a fault.
	issuers := map[string]*verifytest.Server{}
	var list []*verifytest.Server
	for name := range faults {
		issuer := verifytest.NewServer()
		t.Cleanup(issuer.Close)
		issuer.SetHeader(verifytest.JWKS, "Cache-Control", "max-age=1")
		issuers[name] = issuer
		list = append(list, issuer)
	}
	on := frameworks
	if !*long {
		on = frameworks[:1]
	}
	var apis []string
	for _, framework := range on {
		apis = append(apis, run(t, framework, list))
	}
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			issuer := issuers[name]
			v, source, log := service(t, issuer, jwks.Config{})
			tok := issuer.Token(nil)
			calls := 0
			good := func() {
				t.Helper()
				if _, err := v.Verify(context.Background(), tok); err != nil {
					t.Fatalf("a good token: %v", err)
				}
				calls++
				if n := calls % len(apis); call(apis[n], tok) != 200 {
					t.Fatalf("a good token was refused on %s", on[n])
				}
			}
			for range apis {
				good() // each has its keys now
			}
			issuer.Fail(verifytest.JWKS, fault)
			testkit.Eventually(t, "failing", func() bool { good(); return source.Health().State == verify.StateFailing })
			h := source.Health()
			if !h.Ready || h.LastError == nil || detailOf(source).Keys != 1 {
				t.Errorf("health %+v", h)
			}
			failures := detailOf(source).Counters.Failures
			if name != "hangs" && name != "a byte a second" {
				testkit.Eventually(t, "another try", func() bool { good(); return detailOf(source).Counters.Failures > failures })
			}
			issuer.Heal()
			testkit.Eventually(t, "ready again", func() bool { good(); return source.Health().State == verify.StateReady })
			// The line is written a moment after the state has changed.
			testkit.Eventually(t, "the log says so", func() bool { return strings.Contains(log.String(), "refreshed again") })
			text := log.String()
			for part, want := range map[string]int{"level=WARN": 1, "level=ERROR": 0, "refreshed again": 1} {
				if n := strings.Count(text, part); n != want {
					t.Errorf("%q %d times in the log, want %d:\n%s", part, n, want, text)
				}
			}
		})
	}
}

func detailOf(s *jwks.Source) jwks.Detail { return s.Health().Detail.(jwks.Detail) }

// TestPoisonIsBounded: an endless answer costs a few times the limit of 1 MiB,
// including what a growing buffer leaves behind; less than that is in use at a time.
func TestPoisonIsBounded(t *testing.T) {
	t.Run("bubble", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			issuer := bubble.issuer(t)
			poisonIsBounded(t, issuer, jwks.Config{Client: issuer.Client()})
		})
	})
	if *long {
		t.Run("loopback", func(t *testing.T) { poisonIsBounded(t, verifytest.NewServer(), jwks.Config{}) })
	}
}

func poisonIsBounded(t *testing.T, issuer *verifytest.Server, c jwks.Config) {
	defer issuer.Close()
	issuer.SetHeader(verifytest.JWKS, "Cache-Control", "max-age=1")
	_, source, _ := service(t, issuer, c)
	testkit.Eventually(t, "ready", func() bool { return source.Health().Ready })
	issuer.Fail(verifytest.JWKS, verifytest.Answer(endless))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	n := detailOf(source).Counters.Failures
	testkit.Eventually(t, "three failures", func() bool { return detailOf(source).Counters.Failures >= n+3 })
	runtime.ReadMemStats(&after)
	// TotalAlloc counts the server's side and this loop's too.
	if mib := (after.TotalAlloc - before.TotalAlloc) >> 20; mib > 3*6 {
		t.Errorf("%d MiB were allocated for three answers", mib)
	}
}

// TestSnapshot: after a restart during an outage the keys in the file are used at once,
// and a file that cannot be trusted is refused.
func TestSnapshot(t *testing.T) {
	issuer := verifytest.NewServer()
	defer issuer.Close()
	other := verifytest.NewServer()
	defer other.Close()
	tok := issuer.Token(nil)
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	write := func(t *testing.T, from *verifytest.Server, file string) {
		t.Helper()
		v, _, _ := service(t, from, jwks.Config{Snapshot: file})
		testkit.Eventually(t, "a snapshot", func() bool { _, err := os.Stat(file); return err == nil && v.Ready() })
		v.Close()
	}
	file := filepath.Join(dir, "keys.json")
	write(t, issuer, file)
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	issuer.Down()
	defer issuer.Up()

	t.Run("good", func(t *testing.T) {
		v, source, _ := service(t, issuer, jwks.Config{Snapshot: file})
		if _, err := v.Verify(context.Background(), tok); err != nil {
			t.Errorf("during the outage: %v", err)
		}
		if h := source.Health(); !h.Ready || !detailOf(source).FromSnapshot {
			t.Errorf("health %+v", h)
		}
	})
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(t *testing.T, dir, file string) jwks.Config{
		"broken": func(t *testing.T, dir, file string) jwks.Config {
			os.WriteFile(file, text[:len(text)/2], 0o600)
			return jwks.Config{}
		},
		"empty": func(t *testing.T, dir, file string) jwks.Config { os.WriteFile(file, nil, 0o600); return jwks.Config{} },
		"for another issuer": func(t *testing.T, dir, file string) jwks.Config {
			os.Remove(file)
			write(t, other, file)
			return jwks.Config{}
		},
		"too old": func(t *testing.T, dir, file string) jwks.Config {
			os.WriteFile(file, regexp.MustCompile(`"time":"[^"]*"`).ReplaceAll(text, []byte(`"time":"2020-01-02T03:04:05Z"`)), 0o600)
			return jwks.Config{}
		},
		"writable by others":  func(t *testing.T, dir, file string) jwks.Config { os.Chmod(file, 0o666); return jwks.Config{} },
		"writable directory":  func(t *testing.T, dir, file string) jwks.Config { os.Chmod(dir, 0o777); return jwks.Config{} },
		"owned by another":    func(t *testing.T, dir, file string) jwks.Config { chown(t, file); return jwks.Config{} },
		"directory another's": func(t *testing.T, dir, file string) jwks.Config { chown(t, dir); return jwks.Config{} },
		"a symbolic link": func(t *testing.T, dir, file string) jwks.Config {
			os.Rename(file, file+".real")
			os.Chmod(file+".real", 0o666)
			os.Symlink(file+".real", file)
			return jwks.Config{}
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "d")
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(dir, "keys.json")
			if err := os.WriteFile(file, text, 0o600); err != nil {
				t.Fatal(err)
			}
			c := spoil(t, dir, file)
			c.Snapshot = file
			v, source, log := service(t, issuer, c)
			if _, err := v.Verify(context.Background(), tok); !errors.Is(err, verify.ErrUnavailable) {
				t.Errorf("verified with a snapshot that is refused: %v", err)
			}
			if h := source.Health(); h.Ready || detailOf(source).Snapshot == nil || !strings.Contains(log.String(), "snapshot") {
				t.Errorf("health %+v, log %s", h, log)
			}
		})
	}
}

// chown gives a file to another user, if the test is allowed to.
func chown(t *testing.T, path string) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("only root can give a file away")
	}
	if err := os.Chown(path, 12345, 12345); err != nil {
		t.Fatal(err)
	}
}

// TestLife: a thousand sources are opened and closed, some of them failing or during a
// fetch, and leave no goroutine behind.
func TestLife(t *testing.T) {
	good, hanging, down := verifytest.NewServer(), verifytest.NewServer(), verifytest.NewServer()
	defer good.Close()
	defer hanging.Close()
	defer down.Close()
	hanging.Fail(verifytest.JWKS, verifytest.Hang())
	down.Down()
	before := runtime.NumGoroutine()
	quiet := slog.New(slog.DiscardHandler)
	for i := range 1000 {
		issuer := []*verifytest.Server{good, hanging, down}[i%3].Issuer()
		s := jwks.New(jwks.Config{Issuer: issuer, Logger: quiet})
		if err := s.Bind(issuer); err != nil {
			t.Fatal(err)
		}
		_, _ = s.KeySet()
		if i%2 == 0 {
			ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
			_, _ = s.Refresh(ctx, verify.Demand{Satisfied: func(*verify.KeySet) bool { return true }})
			cancel()
		}
		start := time.Now()
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(start); d > 2*time.Second {
			t.Fatalf("Close took %v", d)
		}
	}
	testkit.Eventually(t, "the goroutines are gone", func() bool { return runtime.NumGoroutine() <= before+5 })
}

// TestRestart: an API that restarts while its issuer is down serves at once with the
// snapshot, on every framework; without one it answers 503, never 401.
func TestRestart(t *testing.T) {
	t.Parallel()
	for _, framework := range frameworks {
		t.Run(framework, func(t *testing.T) {
			t.Parallel()
			issuer := verifytest.NewServer()
			defer issuer.Close()
			dir := t.TempDir()
			if err := os.Chmod(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(dir, "keys.json")
			issuers := []*verifytest.Server{issuer}
			tok := issuer.Token(nil)
			base := run(t, framework, issuers, "JWKS_SNAPSHOT="+file)
			testkit.Eventually(t, "ready", func() bool { return call(base, tok) == 200 })
			testkit.Eventually(t, "a snapshot", func() bool { _, err := os.Stat(file); return err == nil })
			issuer.Down()
			if status := call(run(t, framework, issuers, "JWKS_SNAPSHOT="+file), tok); status != 200 {
				t.Errorf("with a snapshot: %d", status)
			}
			bare := run(t, framework, issuers)
			if status := call(bare, tok); status != 503 {
				t.Errorf("without a snapshot: %d", status)
			}
			issuer.Up()
			up := time.Now()
			testkit.Eventually(t, "recovered", func() bool { return call(bare, tok) == 200 })
			if d := time.Since(up); d > 2*time.Second+ground(framework).slack() {
				t.Errorf("served again after %v", d)
			}
		})
	}
}

// TestOddKeys: unusable keys beside a usable one, and a wrong content type, affect no
// request, on any framework.
func TestOddKeys(t *testing.T) {
	issuer := verifytest.NewServer()
	defer issuer.Close()
	issuer.SetHeader(verifytest.JWKS, "Content-Type", "text/plain")
	with := func(change map[string]any) map[string]any {
		jwk := verifytest.NewKey("ES256").JWK()
		for name, value := range change {
			jwk[name] = value
		}
		return jwk
	}
	good, odd := issuer.Key(), verifytest.NewKey("EdDSA")
	twin := verifytest.NewKey("EdDSA")
	twin.ID = odd.ID
	issuer.Publish(
		with(map[string]any{"use": "enc"}), with(map[string]any{"use": 1}), with(map[string]any{"key_ops": []string{"sign"}}),
		with(map[string]any{"kid": 7}), with(map[string]any{"kty": "AKP", "alg": "ML-DSA-44"}), with(map[string]any{"crv": "secp256k1"}),
		with(map[string]any{"alg": "HS256"}), with(map[string]any{"x": "AAAA"}), with(map[string]any{"x5c": []string{"garbage"}}),
		with(map[string]any{"d": "AAAA"}), map[string]any{"kty": "oct", "k": "AAAA", "kid": "oct"},
		map[string]any{"kty": "RSA", "kid": "short", "n": "AQAB", "e": "AQAB"}, "no object", nil,
		odd.JWK(), twin.JWK(), good.JWK(),
	)
	tok := issuer.Token(nil, verifytest.WithKey(good))
	bad := issuer.Token(nil, verifytest.WithKey(odd))
	for _, framework := range frameworks {
		base := run(t, framework, []*verifytest.Server{issuer})
		if status := call(base, tok); status != 200 {
			t.Errorf("%s: the good key's token got %d", framework, status)
		}
		if status := call(base, bad); status != 401 {
			t.Errorf("%s: a skipped key's token got %d", framework, status)
		}
	}
}
