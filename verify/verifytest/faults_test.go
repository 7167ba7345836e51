package verifytest_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bearerkit/bearerkit/verify/verifytest"
)

func TestFaults(t *testing.T) {
	onBoth(t, func(t *testing.T, s *verifytest.Server) {
		var seen []string
		look := func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				seen = append(seen, r.Header.Get("X-Seen"))
				next.ServeHTTP(w, r)
			})
		}
		for _, e := range verifytest.Endpoints() {
			s.Fail(e, verifytest.Status(http.StatusBadGateway))
			if a := get(t, s, e); a.status != 502 || strings.HasPrefix(a.body, "{") {
				t.Errorf("%s: %d %s", e, a.status, a.body)
			}
			s.Fail(e, verifytest.Body("text/html", "<p>Sign in</p>"))
			if a := get(t, s, e); a.status != 200 || a.body != "<p>Sign in</p>" || a.header.Get("Content-Type") != "text/html" {
				t.Errorf("%s: %v", e, a)
			}
			s.Fail(e, verifytest.Answer(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Retry-After", "7")
				w.WriteHeader(429)
			}))
			if a := get(t, s, e); a.status != 429 || a.header.Get("Retry-After") != "7" {
				t.Errorf("%s: %v", e, a)
			}
			s.Fail(e, look, verifytest.Times(2, verifytest.Status(500)))
			good := 0
			for i := range 4 {
				if a := get(t, s, e, "X-Seen", "yes"); (a.status == 500) != (i < 2) {
					t.Errorf("%s: request %d got %d", e, i, a.status)
				} else if a.status != 500 {
					good++
				}
			}
			if good != 2 || strings.Join(seen, " ") != "yes yes yes yes" {
				t.Errorf("%s: %d good answers, seen %v", e, good, seen)
			}
			seen = nil
			s.Heal(e)
			if get(t, s, e, "X-Seen", "no"); seen != nil {
				t.Errorf("%s: not healed", e)
			}
			if got := s.Requests(e); got != 8 {
				t.Errorf("%s: %d requests, want 8", e, got)
			}
			s.Fail(e, verifytest.Status(500))
		}
		s.Heal()
		for _, e := range verifytest.Endpoints() {
			if a := get(t, s, e); a.status == 500 {
				t.Errorf("%s: not healed", e)
			}
		}
	})
}

func TestCut(t *testing.T) {
	onBoth(t, func(t *testing.T, s *verifytest.Server) {
		whole := get(t, s, verifytest.JWKS).body
		s.Fail(verifytest.JWKS, verifytest.Cut())
		a, err := do(t, s, "GET", s.JWKSURL(), "")
		if !errors.Is(err, io.ErrUnexpectedEOF) || a.body != whole[:len(whole)/2] {
			t.Errorf("%q, %v", a.body, err)
		}
	})
}

func TestAbortBeforeTheAnswer(t *testing.T) {
	onBoth(t, func(t *testing.T, s *verifytest.Server) {
		s.Fail(verifytest.JWKS, verifytest.Answer(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
		if a, err := do(t, s, "GET", s.JWKSURL(), ""); err == nil {
			t.Errorf("answered %v", a)
		}
	})
}

func TestSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := verifytest.NewInMemory("https://issuer.example")
		defer s.Close()
		s.Fail(verifytest.Introspection, verifytest.Slow(40*time.Second))
		start, token := time.Now(), s.OpaqueToken(nil)
		if introspect(t, s, token)["active"] != true {
			t.Error("the request's body did not survive the delay")
		}
		if took := time.Since(start); took != 40*time.Second {
			t.Errorf("took %v", took)
		}
	})
	s := verifytest.NewServer()
	defer s.Close()
	s.Fail(verifytest.JWKS, verifytest.Slow(20*time.Millisecond), verifytest.Status(500))
	start := time.Now()
	if a := get(t, s, verifytest.JWKS); a.status != 500 || time.Since(start) < 20*time.Millisecond {
		t.Errorf("%d after %v", a.status, time.Since(start))
	}
}

// arrival is a fault that tells when a request has come, and when its handler
// has ended.
func arrival() (f verifytest.Fault, came, left chan struct{}) {
	came, left = make(chan struct{}, 100), make(chan struct{}, 100)
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			came <- struct{}{}
			defer func() { left <- struct{}{} }()
			next.ServeHTTP(w, r)
		})
	}, came, left
}

func TestHangAndSlowEndWithTheClient(t *testing.T) {
	onBoth(t, func(t *testing.T, s *verifytest.Server) {
		for _, fault := range []verifytest.Fault{verifytest.Hang(), verifytest.Slow(time.Hour)} {
			f, came, left := arrival()
			s.Fail(verifytest.Introspection, f, fault)
			ctx, cancel := context.WithCancel(context.Background())
			failed := make(chan error)
			go func() {
				req := must(http.NewRequestWithContext(ctx, "POST", s.URL(verifytest.Introspection), strings.NewReader("token=x")))
				_, err := s.Client().Do(req)
				failed <- err
			}()
			<-came
			cancel()
			if err := <-failed; !errors.Is(err, context.Canceled) {
				t.Errorf("error %v", err)
			}
			<-left // the server has noticed
		}
	})
}

func TestDownAndUp(t *testing.T) {
	onBoth(t, func(t *testing.T, s *verifytest.Server) {
		token, key := s.OpaqueToken(nil), s.Key().ID
		url := s.JWKSURL()
		f, came, left := arrival()
		s.Fail(verifytest.OAuthMetadata, f, verifytest.Hang())
		cut := make(chan error)
		go func() {
			_, err := s.Client().Get(s.URL(verifytest.OAuthMetadata))
			cut <- err
		}()
		<-came
		get(t, s, verifytest.JWKS) // leaves an idle connection behind
		for range 2 {
			s.Down()
			s.Down()
			if _, err := do(t, s, "GET", s.JWKSURL(), ""); !errors.Is(err, syscall.ECONNREFUSED) {
				t.Errorf("down: %v", err)
			}
			s.Up()
			s.Up()
			if s.JWKSURL() != url || kids(t, s) != key || introspect(t, s, token)["active"] != true {
				t.Error("the server came back as another")
			}
		}
		if err := <-cut; err == nil {
			t.Error("a request in flight was answered by a server that is down")
		}
		<-left
		if got := s.Requests(verifytest.JWKS); got != 3 {
			t.Errorf("%d requests, want 3: refused ones do not reach the server", got)
		}
	})
}

// A custom handler may end with its context. What it would then write must
// not look like an answer.
func TestDownLetsNoAnswerThrough(t *testing.T) {
	onBoth(t, func(t *testing.T, s *verifytest.Server) {
		f, came, _ := arrival()
		s.Fail(verifytest.JWKS, f, verifytest.Answer(func(w http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
			w.WriteHeader(200)
		}))
		for range 20 {
			got := make(chan error)
			go func() {
				_, err := s.Client().Get(s.JWKSURL())
				got <- err
			}()
			<-came
			s.Down()
			if err := <-got; err == nil {
				t.Fatal("answered")
			}
			s.Up()
		}
	})
}

func TestDownInTheMiddleOfABody(t *testing.T) {
	onBoth(t, func(t *testing.T, s *verifytest.Server) {
		s.Fail(verifytest.JWKS, verifytest.Answer(func(w http.ResponseWriter, r *http.Request) {
			for {
				if _, err := w.Write(bytes.Repeat([]byte(" "), 1<<10)); err != nil {
					return // the client or the server is gone
				}
			}
		}))
		res := must(s.Client().Get(s.JWKSURL()))
		if _, err := io.ReadFull(res.Body, make([]byte, 1<<16)); err != nil {
			t.Error(err)
		}
		s.Down()
		if n, err := io.Copy(io.Discard, res.Body); err == nil {
			t.Errorf("the endless body ended well after %d bytes", n)
		}
		res.Body.Close()
		s.Up()
		res = must(s.Client().Get(s.JWKSURL()))
		res.Body.Close() // hangs up; Close waits for the handler to notice
	})
}

// A handler may take the server down in the middle of its own request.
func TestDownFromAHandler(t *testing.T) {
	onBoth(t, func(t *testing.T, s *verifytest.Server) {
		s.Fail(verifytest.JWKS, verifytest.Answer(func(http.ResponseWriter, *http.Request) { s.Down() }))
		if _, err := do(t, s, "GET", s.JWKSURL(), ""); err == nil {
			t.Error("answered")
		}
	})
}

func TestClose(t *testing.T) {
	before := runtime.NumGoroutine()
	onBoth(t, func(t *testing.T, s *verifytest.Server) {
		f, came, left := arrival()
		s.Fail(verifytest.JWKS, f, verifytest.Hang())
		cut := make(chan error)
		go func() {
			_, err := s.Client().Get(s.JWKSURL())
			cut <- err
		}()
		<-came
		s.Close()
		select {
		case <-left:
		default:
			t.Error("Close did not wait for the handler")
		}
		if <-cut == nil {
			t.Error("answered")
		}
		s.Up() // not any more
		if _, err := do(t, s, "GET", s.JWKSURL(), ""); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("closed: %v", err)
		}
		s.Close()
	})
	// Connections' goroutines end a moment after their connection.
	for deadline := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > before; runtime.Gosched() {
		if time.Now().After(deadline) {
			stacks := make([]byte, 1<<16)
			t.Fatalf("goroutines are left:\n%s", stacks[:runtime.Stack(stacks, true)])
		}
	}
}

func TestListen(t *testing.T) {
	s := must(verifytest.Listen("localhost:0"))
	defer s.Close()
	if !strings.HasPrefix(s.Issuer(), "http://localhost:") || get(t, s, verifytest.OpenIDConfiguration).json(t)["issuer"] != s.Issuer() {
		t.Errorf("issuer %q", s.Issuer())
	}
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(s.Issuer(), "http://"))
	if other, err := verifytest.Listen("localhost:" + port); err == nil {
		other.Close()
		t.Error("listens on a port that is taken")
	}
	s.Close()
	again := must(verifytest.Listen("localhost:" + port))
	defer again.Close()
	if again.Issuer() != s.Issuer() {
		t.Errorf("issuer %q on the port of %q", again.Issuer(), s.Issuer())
	}
	for _, addr := range []string{":0", "0.0.0.0:0"} {
		anywhere := must(verifytest.Listen(addr))
		defer anywhere.Close()
		if !strings.HasPrefix(anywhere.Issuer(), "http://localhost:") || get(t, anywhere, verifytest.JWKS).status != 200 {
			t.Errorf("issuer %q at %s", anywhere.Issuer(), addr)
		}
	}
}

// Handler serves behind a listener of the test's own, with TLS here.
func TestHandlerBehindTLS(t *testing.T) {
	ts := httptest.NewUnstartedServer(nil)
	var h http.Handler
	ts.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.ServeHTTP(w, r) })
	ts.StartTLS()
	defer ts.Close()
	s := verifytest.NewInMemory(ts.URL)
	defer s.Close()
	h = s.Handler()
	res := must(ts.Client().Get(s.JWKSURL()))
	res.Body.Close()
	if res.StatusCode != 200 || s.Requests(verifytest.JWKS) != 1 {
		t.Errorf("%d", res.StatusCode)
	}
	f, came, left := arrival()
	s.Fail(verifytest.JWKS, f, verifytest.Hang())
	cut := make(chan error)
	go func() {
		_, err := ts.Client().Get(s.JWKSURL())
		cut <- err
	}()
	<-came
	s.Down()
	<-left // although the connection is open
	if <-cut == nil {
		t.Error("a request in flight was answered")
	}
	if _, err := ts.Client().Get(s.JWKSURL()); err == nil {
		t.Error("answered while down")
	}
}

// A redirect may have led the client elsewhere.
func TestCloseEndsTheClientsConnections(t *testing.T) {
	closed := make(chan struct{}, 1)
	other := httptest.NewUnstartedServer(http.NotFoundHandler())
	other.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateClosed {
			closed <- struct{}{}
		}
	}
	other.Start()
	defer other.Close()
	s := verifytest.NewServer()
	if a := must(do(t, s, "GET", other.URL, "")); a.status != 404 {
		t.Errorf("%v", a)
	}
	s.Close()
	<-closed
}

// Everything at the same time, for the race detector.
func TestConcurrentUse(t *testing.T) {
	onBoth(t, func(t *testing.T, s *verifytest.Server) {
		var wg sync.WaitGroup
		work := []func(){
			func() { s.Withdraw(s.Rotate().ID) },
			func() { s.Use(verifytest.NewKey("EdDSA")) },
			func() { s.SetKeys(verifytest.NewKey("ES256")) },
			func() { s.Publish(map[string]any{"kid": "odd"}); s.Withdraw("odd") },
			func() { s.Token(nil, verifytest.WithAlgorithm("Ed25519")); s.Revoke(s.OpaqueToken(nil)) },
			func() { s.Keys(); s.Key().JWK(); s.Requests(verifytest.JWKS) },
			func() {
				s.SetHeader(verifytest.JWKS, "Cache-Control", "no-store")
				s.SetMetadata(verifytest.OAuthMetadata, map[string]any{"a": 1})
			},
			func() { s.Fail(verifytest.JWKS, verifytest.Cut()); s.Heal() },
			func() { s.Down(); s.Up() },
			func() { s.AddClient("a", "b") },
		}
		for range 2 {
			for _, e := range []verifytest.Endpoint{verifytest.JWKS, verifytest.OAuthMetadata} {
				work = append(work, func() { _, _ = do(t, s, "GET", s.URL(e), "") })
			}
			work = append(work, func() {
				body := form("token", s.OpaqueToken(nil), "client_id", verifytest.ClientID, "client_secret", verifytest.ClientSecret)
				_, _ = do(t, s, "POST", s.URL(verifytest.Introspection), body, "Content-Type", "application/x-www-form-urlencoded")
			})
		}
		for _, f := range work {
			wg.Go(func() {
				for range 50 {
					f()
				}
			})
		}
		wg.Wait()
		s.Up()
		s.Heal()
		if err := checkPublished(t, s, s.Token(nil, verifytest.WithKey(s.Rotate()))); err != nil {
			t.Error(err)
		}
	})
}
