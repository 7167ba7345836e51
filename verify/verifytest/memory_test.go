package verifytest_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bearerkit/bearerkit/verify/verifytest"
)

// A bubble fails if a goroutine is left in it, so this is also a test of what
// Close leaves behind.
func TestInABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := verifytest.NewInMemory("https://issuer.example")
		client := s.Client()
		client.Timeout = 5 * time.Second
		start := time.Now()
		s.Fail(verifytest.JWKS, verifytest.Hang())
		_, err := client.Get(s.JWKSURL())
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 5*time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		client.Timeout = 0
		go func() { _, _ = client.Get(s.JWKSURL()) }()
		synctest.Wait()
		s.Close()
		if time.Since(start) != 5*time.Second {
			t.Error("Close took time")
		}
	})
}

func TestMemoryReachesOneHost(t *testing.T) {
	s := verifytest.NewInMemory("https://issuer.example/a")
	defer s.Close()
	for _, url := range []string{"http://issuer.example/a/jwks", "https://other.example/a/jwks", "https://issuer.example:444/a/jwks"} {
		var dns *net.DNSError
		if _, err := do(t, s, "GET", url, ""); !errors.As(err, &dns) || !dns.IsNotFound {
			t.Errorf("%s: %v", url, err)
		}
	}
	if a, err := do(t, s, "GET", "https://ISSUER.example/a/jwks?x=y", ""); err != nil || a.status != 200 {
		t.Errorf("%v %v", a, err)
	}
}

// The body comes as it is written, and the client may stop in the middle.
func TestMemoryStreams(t *testing.T) {
	s := verifytest.NewInMemory("https://issuer.example")
	defer s.Close()
	next, ended := make(chan string), make(chan error, 1)
	s.Fail(verifytest.JWKS, verifytest.Answer(func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		for line := range next {
			_, _ = io.WriteString(w, line+"\n")
		}
		<-r.Context().Done()
		_, err := io.WriteString(w, "more")
		ended <- err
	}))
	res := must(s.Client().Get(s.JWKSURL()))
	lines := bufio.NewScanner(res.Body)
	for _, want := range []string{"one", "two"} {
		next <- want
		if !lines.Scan() || lines.Text() != want {
			t.Errorf("line %q, %v", lines.Text(), lines.Err())
		}
	}
	close(next)
	res.Body.Close()
	if err := <-ended; err == nil {
		t.Error("wrote to a client that has hung up")
	}
}

// A client that gives up is free at once, whatever the handler does.
func TestMemoryClientGivesUp(t *testing.T) {
	for name, answered := range map[string]bool{"before the answer": false, "in the body": true} {
		t.Run(name, func(t *testing.T) {
			s := verifytest.NewInMemory("https://issuer.example")
			defer s.Close()
			stubborn := make(chan struct{})
			defer close(stubborn)
			f, came, _ := arrival()
			s.Fail(verifytest.JWKS, f, verifytest.Answer(func(w http.ResponseWriter, _ *http.Request) {
				if answered {
					w.(http.Flusher).Flush()
				}
				<-stubborn
			}))
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			got := make(chan error)
			reading := make(chan struct{})
			go func() {
				res, err := s.Client().Do(must(http.NewRequestWithContext(ctx, "GET", s.JWKSURL(), nil)))
				if err == nil {
					close(reading)
					_, err = io.ReadAll(res.Body)
					res.Body.Close()
				}
				got <- err
			}()
			if <-came; answered {
				<-reading
			}
			cancel()
			if err := <-got; !errors.Is(err, context.Canceled) {
				t.Errorf("error %v", err)
			}
		})
	}
}

func TestMemoryAnswersLikeHTTP(t *testing.T) {
	onBoth(t, func(t *testing.T, s *verifytest.Server) {
		var got *http.Request
		s.Fail(verifytest.JWKS, verifytest.Answer(func(w http.ResponseWriter, r *http.Request) {
			got = r
			w.Header().Set("X-A", "1")
			w.WriteHeader(http.StatusEarlyHints)
			w.WriteHeader(http.StatusTeapot)
			w.Header().Set("X-A", "2") // too late
			_, _ = io.WriteString(w, "<html>")
		}))
		a := must(do(t, s, "GET", s.JWKSURL()+"?a=b", ""))
		if a.status != 418 || a.header.Get("X-A") != "1" || a.body != "<html>" {
			t.Errorf("%v", a)
		}
		if _, err := http.ParseTime(a.header.Get("Date")); err != nil {
			t.Errorf("Date: %v", err)
		}
		if got.URL.Host != "" || got.URL.RawQuery != "a=b" || got.RequestURI != got.URL.RequestURI() || got.Host == "" {
			t.Errorf("request %q %q for %q", got.URL, got.RequestURI, got.Host)
		}
		s.Fail(verifytest.JWKS, verifytest.Answer(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") }))
		if a := get(t, s, verifytest.JWKS); a.status != 200 || a.header.Get("Content-Type") != "text/html; charset=utf-8" {
			t.Errorf("%v", a)
		}
		s.Fail(verifytest.JWKS, verifytest.Answer(func(http.ResponseWriter, *http.Request) {}))
		if a := get(t, s, verifytest.JWKS); a.status != 200 || a.body != "" {
			t.Errorf("an empty answer is %v", a)
		}
		s.Fail(verifytest.JWKS, verifytest.Answer(http.RedirectHandler(s.URL(verifytest.OAuthMetadata), http.StatusFound).ServeHTTP))
		if a := get(t, s, verifytest.JWKS); a.json(t)["issuer"] != s.Issuer() {
			t.Errorf("the redirect was not followed: %v", a)
		}
	})
}
