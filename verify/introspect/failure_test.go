package introspect_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bearerkit/bearerkit/internal/testkit"
	"github.com/bearerkit/bearerkit/verify"
	"github.com/bearerkit/bearerkit/verify/introspect"
	"github.com/bearerkit/bearerkit/verify/verifytest"
)

// An outage is a failure of the endpoint, and what must result from it.
type outage struct {
	name  string
	fault verifytest.Fault // nil: the server is down
	says  string           // in the error
	grace bool             // whether an old answer may be reused
	opens bool             // whether it opens the circuit breaker
	waits time.Duration    // how long a question takes, in a bubble
}

func (o outage) strike(s *verifytest.Server) {
	if o.fault == nil {
		s.Down()
		return
	}
	s.Fail(verifytest.Introspection, o.fault)
}

func cure(s *verifytest.Server) {
	s.Up()
	s.Heal()
}

func outages() []outage {
	status := func(code int, grace, opens bool) outage {
		return outage{fmt.Sprint("status ", code), verifytest.Status(code), fmt.Sprint("status ", code), grace, opens, 0}
	}
	drip := verifytest.Answer(func(w http.ResponseWriter, r *http.Request) {
		for range 1000 {
			if _, err := io.WriteString(w, " "); err != nil {
				return
			}
			select {
			case <-r.Context().Done():
				panic(http.ErrAbortHandler)
			case <-time.After(time.Second):
			}
		}
	})
	oversized := verifytest.Answer(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"active":true,"x":"`)
		for range 100 {
			if _, err := w.Write(bytes.Repeat([]byte{'x'}, 1<<20)); err != nil {
				return
			}
		}
		_, _ = io.WriteString(w, `"}`)
	})
	challenge := verifytest.Answer(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, `{"error":"unsupported_token_type","active":true}`)
	})
	return []outage{
		{"down", nil, "cannot be reached", true, true, 0},
		{"hangs", verifytest.Hang(), "in time", true, true, 5 * time.Second},
		{"drips", drip, "in time", true, true, 5 * time.Second},
		{"cuts", verifytest.Cut(), "breaks the connection", true, true, 0},
		status(500, true, false), status(501, true, false), status(502, true, true), status(503, true, true), status(504, true, true),
		status(429, true, false),
		status(400, false, false), status(401, false, false), status(403, false, false), status(404, false, false), status(405, false, false),
		status(201, false, false), status(204, false, false), status(206, false, false),
		{"an error about the token", challenge, "status 400", false, false, 0},
		{"a login page", verifytest.Body("text/html", "<html><form>"), "not a JSON object", true, false, 0},
		{"nothing", verifytest.Body("application/json", ""), "not a JSON object", true, false, 0},
		{"an array", says("[]"), "not a JSON object", true, false, 0},
		{"an object without active", says("{}"), "a boolean", true, false, 0},
		{"an error object", says(`{"error":"server_error","error_description":"active"}`), "but the error server_error", true, false, 0},
		{"duplicate members", says(`{"active":true,"sub":"user_1","sub":"admin"}`), "not a strict one", true, false, 0},
		{"truncated", says(`{"active":true,"sub":"us`), "not a JSON object", true, false, 0},
		{"100 MB", oversized, "longer than", true, false, 0},
		{"a redirect", verifytest.Answer(http.RedirectHandler("https://issuer.example/elsewhere", http.StatusTemporaryRedirect).ServeHTTP), "status 307", false, false, 0},
	}
}

// Any failure of the endpoint is a 503 for requests that need it, and does not affect
// others.
func TestOutages(t *testing.T) {
	for _, outage := range outages() {
		t.Run(outage.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				issuer := verifytest.NewInMemory(issuerURL)
				defer issuer.Close()
				fallback, s := verifier(t, issuer, false, nil)
				defer fallback.Close()
				always, _ := verifier(t, issuer, true, nil)
				defer always.Close()
				jwt, opaque := issuer.Token(nil), issuer.OpaqueToken(nil)
				outage.strike(issuer)
				for name, ask := range map[string]func() error{
					"opaque": func() error { _, err := fallback.Verify(t.Context(), opaque); return err },
					"always": func() error { _, err := always.Verify(t.Context(), jwt); return err },
					"fresh":  func() error { _, err := verifyFresh(fallback)(t.Context(), jwt); return err },
				} {
					start := time.Now()
					err := ask()
					refuse(t, err, verify.ErrUnavailable)
					if !strings.Contains(err.Error(), outage.says) {
						t.Errorf("%s: %v, want %q", name, err, outage.says)
					}
					if d := time.Since(start); d != outage.waits {
						t.Errorf("%s: after %v", name, d)
					}
				}
				start := time.Now()
				accept(t, fallback, jwt)
				if time.Since(start) != 0 {
					t.Error("a JWT waits")
				}
				h := healthOf(s)
				if h.State != verify.StateFailing || h.LastError == nil || h.Counters.Failures != 2 || h.Counters.Calls != 2 {
					t.Errorf("%+v", h)
				}
				cure(issuer)
				accept(t, fallback, opaque)
				accept(t, always, jwt)
				if h := healthOf(s); h.State != verify.StateReady || h.LastError != nil || h.Counters.Active != 1 {
					t.Errorf("%+v", h)
				}
			})
		})
	}
}

// The limit of a response applies after decompression.
func TestGzipBomb(t *testing.T) {
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	_, _ = io.WriteString(z, `{"active":true,"x":"`)
	for range 8 {
		_, _ = z.Write(bytes.Repeat([]byte{'x'}, 1<<20))
	}
	_, _ = io.WriteString(z, `"}`)
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	issuer := verifytest.NewServer()
	defer issuer.Close()
	issuer.Fail(verifytest.Introspection, verifytest.Answer(func(w http.ResponseWriter, r *http.Request) {
		if !strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
			t.Error("the client does not unpack")
		}
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(bomb.Bytes())
	}))
	for _, client := range []*http.Client{nil, issuer.Client()} {
		s := open(t, issuer, func(c *introspect.Config) { c.Client = client })
		if err := fail(t, s, query("token")); !strings.Contains(err.Error(), "longer than") {
			t.Error(err)
		}
	}
}

// An endless header is not an answer either.
func TestEndlessHeader(t *testing.T) {
	issuer := verifytest.NewServer()
	defer issuer.Close()
	issuer.Fail(verifytest.Introspection, verifytest.Answer(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Big", strings.Repeat("x", 128<<10))
		_, _ = io.WriteString(w, `{"active":true}`)
	}))
	fail(t, open(t, issuer, func(c *introspect.Config) { c.Client = nil }), query("token"))
}

// With Grace an old answer is reused while the server fails: the token is marked as
// stale, the time is limited, and a fresh query is not answered with it.
func TestGrace(t *testing.T) {
	const ttl, grace = 10 * time.Second, time.Minute
	for _, outage := range outages() {
		t.Run(outage.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				issuer := verifytest.NewInMemory(issuerURL)
				defer issuer.Close()
				v, s := verifier(t, issuer, true, func(c *introspect.Config) { c.TTL, c.Grace = ttl, grace })
				defer v.Close()
				for _, token := range []string{issuer.Token(nil), issuer.OpaqueToken(nil)} {
					cure(issuer)
					time.Sleep(time.Second)
					asked := time.Now()
					if got := accept(t, v, token); got.Stale || !got.Introspected.Equal(asked) {
						t.Fatalf("%+v", got)
					}
					outage.strike(issuer)
					time.Sleep(ttl - 1)
					if got := accept(t, v, token); got.Stale {
						t.Error("grace within the TTL")
					}
					time.Sleep(time.Nanosecond)
					graced := healthOf(s).Counters.Stale
					got, err := v.Verify(t.Context(), token)
					if !outage.grace {
						refuse(t, err, verify.ErrUnavailable)
						continue
					}
					if err != nil || !got.Stale || !got.Introspected.Equal(asked) || healthOf(s).Counters.Stale != graced+1 {
						t.Fatalf("%+v, %v", got, err)
					}
					_, err = verifyFresh(v)(t.Context(), token)
					refuse(t, err, verify.ErrUnavailable)
					// Grace starts when the TTL ends.
					time.Sleep(time.Until(asked.Add(ttl + grace - 10*time.Second)))
					accept(t, v, token)
					time.Sleep(time.Until(asked.Add(ttl + grace)))
					_, err = v.Verify(t.Context(), token)
					refuse(t, err, verify.ErrUnavailable)
				}
			})
		})
	}
}

func TestGraceHasBounds(t *testing.T) {
	within := func(edit func(*introspect.Config), f func(*testing.T, *verifytest.Server, *verify.Verifier)) func(*testing.T) {
		return func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				issuer := verifytest.NewInMemory(issuerURL)
				defer issuer.Close()
				v, _ := verifier(t, issuer, true, edit)
				defer v.Close()
				f(t, issuer, v)
			})
		}
	}
	hour := func(c *introspect.Config) { c.Grace = time.Hour }
	t.Run("none by default", within(nil, func(t *testing.T, issuer *verifytest.Server, v *verify.Verifier) {
		token := issuer.Token(nil)
		accept(t, v, token)
		issuer.Down()
		time.Sleep(10 * time.Second)
		_, err := v.Verify(t.Context(), token)
		refuse(t, err, verify.ErrUnavailable)
	}))
	t.Run("without a TTL", within(func(c *introspect.Config) { c.TTL, c.Grace = introspect.NoTTL, time.Minute }, func(t *testing.T, issuer *verifytest.Server, v *verify.Verifier) {
		token := issuer.Token(nil)
		accept(t, v, token)
		issuer.Down()
		if !accept(t, v, token).Stale {
			t.Error("not said")
		}
	}))
	t.Run("never beyond exp", within(hour, func(t *testing.T, issuer *verifytest.Server, v *verify.Verifier) {
		token := issuer.OpaqueToken(verifytest.Claims{"exp": time.Now().Add(time.Minute)})
		accept(t, v, token)
		issuer.Down()
		time.Sleep(time.Minute + v.Leeway() - time.Second)
		accept(t, v, token)
		time.Sleep(time.Second)
		_, err := v.Verify(t.Context(), token)
		refuse(t, err, verify.ErrExpired)
	}))
	t.Run("never after a revocation was seen", within(hour, func(t *testing.T, issuer *verifytest.Server, v *verify.Verifier) {
		token := issuer.Token(nil)
		accept(t, v, token)
		issuer.Revoke(token)
		_, err := verifyFresh(v)(t.Context(), token)
		refuse(t, err, verify.ErrInactive)
		issuer.Down()
		time.Sleep(5*time.Second - 1)
		_, err = v.Verify(t.Context(), token)
		refuse(t, err, verify.ErrInactive)
		time.Sleep(time.Nanosecond)
		_, err = v.Verify(t.Context(), token)
		refuse(t, err, verify.ErrUnavailable)
	}))
	t.Run("not after a revocation that was seen meanwhile", within(hour, func(t *testing.T, issuer *verifytest.Server, v *verify.Verifier) {
		token := issuer.Token(nil)
		accept(t, v, token)
		issuer.Revoke(token)
		time.Sleep(10 * time.Second)
		issuer.Fail(verifytest.Introspection, verifytest.Times(1, verifytest.Hang()))
		var wg sync.WaitGroup
		wg.Go(func() {
			if got, err := v.Verify(context.Background(), token); err == nil {
				t.Errorf("%+v", got)
			}
		})
		synctest.Wait()
		_, err := verifyFresh(v)(t.Context(), token)
		refuse(t, err, verify.ErrInactive)
		wg.Wait()
	}))
	t.Run("not for a token that was never seen", within(hour, func(t *testing.T, issuer *verifytest.Server, v *verify.Verifier) {
		token := issuer.Token(nil)
		issuer.Down()
		_, err := v.Verify(t.Context(), token)
		refuse(t, err, verify.ErrUnavailable)
	}))
}

// Calls about known tokens that fail in the transport open the breaker, and then
// queries take no time. Failures that a token may cause do not: for unknown tokens
// these are all failures that do not take long.
func TestCircuitBreaker(t *testing.T) {
	for _, outage := range outages() {
		for name, about := range map[string]func(string) *verify.Query{"known": verified, "strangers": query} {
			t.Run(outage.name+"/"+name, func(t *testing.T) {
				bubble(t, nil, func(t *testing.T, issuer *verifytest.Server, s *introspect.Source) {
					outage.strike(issuer)
					testBreaker(t, s, about, name == "known" && outage.opens || outage.waits > 0)
				})
			})
		}
	}
	t.Run("only in a row", func(t *testing.T) {
		bubble(t, nil, func(t *testing.T, issuer *verifytest.Server, s *introspect.Source) {
			for range 10 {
				issuer.Fail(verifytest.Introspection, verifytest.Times(4, verifytest.Cut()))
				for i := range 5 {
					q := verified("token")
					q.Fresh = true
					if _, err := s.Introspect(t.Context(), q); (err == nil) != (i == 4) {
						t.Errorf("call %d: %v", i, err)
					}
				}
			}
			if healthOf(s).Open {
				t.Error("open")
			}
		})
	})
}

func testBreaker(t *testing.T, s *introspect.Source, about func(string) *verify.Query, opens bool) {
	for i := range 5 {
		if healthOf(s).Open {
			t.Fatalf("open after %d calls", i)
		}
		fail(t, s, about(fmt.Sprint("token ", i)))
	}
	time.Sleep(2 * time.Second)
	synctest.Wait()
	if healthOf(s).Open != opens {
		t.Fatalf("open: %v", healthOf(s).Open)
	}
	calls := func() uint64 { c := healthOf(s).Counters; return c.Calls + c.Checks }
	if !opens {
		for i := range 15 {
			fail(t, s, about(fmt.Sprint("another ", i)))
		}
		if n := healthOf(s).Counters.Calls; n != 20 {
			t.Errorf("%d calls", n)
		}
		return
	}
	fail(t, s, about("probe")) // breakFor is over
	before := calls()
	for i := range 1000 {
		start := time.Now()
		if err := fail(t, s, about(fmt.Sprint("another ", i))); time.Since(start) != 0 {
			t.Fatalf("after %v: %v", time.Since(start), err)
		}
		q := about("fresh")
		q.Fresh = true
		fail(t, s, q)
	}
	if n := calls() - before; n != 0 {
		t.Errorf("%d calls through an open breaker", n)
	}
	// In a minute with a hundred requests a second, few calls are made and few
	// requests wait.
	var waited, tried int
	end := time.Now().Add(time.Minute)
	for i := 0; time.Now().Before(end); i++ {
		start := time.Now()
		fail(t, s, about(fmt.Sprint("later ", i)))
		if tried++; time.Since(start) > 0 {
			waited++
		}
		time.Sleep(10 * time.Millisecond)
	}
	if n := calls() - before; n > 125 || n < 20 {
		t.Errorf("%d calls in a minute", n)
	}
	if waited > 60 {
		t.Errorf("%d of %d requests waited", waited, tried)
	}
}

// A server that is back is noticed within two seconds, however it failed and whenever
// it comes back.
func TestRecovery(t *testing.T) {
	for _, outage := range outages() {
		if !outage.opens && outage.name != "status 500" && outage.name != "status 401" {
			continue // of the rest these two stand for all
		}
		for _, discover := range []bool{false, true} {
			for _, tokens := range []int{1, 20} {
				t.Run(fmt.Sprintf("%s/discovery %v/%d tokens", outage.name, discover, tokens), func(t *testing.T) {
					edit := func(c *introspect.Config) {
						if discover {
							c.URL = ""
						}
					}
					for length := 500 * time.Millisecond; length < 40*time.Second; length = length*5/4 + 337*time.Millisecond {
						bubble(t, edit, func(t *testing.T, issuer *verifytest.Server, s *introspect.Source) {
							var names []string
							for range tokens {
								names = append(names, issuer.OpaqueToken(nil))
							}
							outage.strike(issuer)
							if discover && outage.fault != nil {
								issuer.Fail(verifytest.OpenIDConfiguration, outage.fault)
								issuer.Fail(verifytest.OAuthMetadata, outage.fault)
							}
							var wg sync.WaitGroup
							ctx, stop := context.WithCancel(context.Background())
							begin := time.Now()
							for i := 0; time.Since(begin) < length; i++ {
								wg.Go(func() { _, _ = s.Introspect(ctx, query(names[i%tokens])) })
								time.Sleep(100 * time.Millisecond)
							}
							cure(issuer)
							back := time.Now()
							recovered := make(chan time.Duration, 1)
							for i := 0; len(recovered) == 0; i++ {
								if time.Since(back) > 10*time.Second {
									t.Fatalf("not back after an outage of %v", length)
								}
								wg.Go(func() {
									if _, err := s.Introspect(ctx, query(names[i%tokens])); err == nil {
										select {
										case recovered <- time.Since(back):
										default:
										}
									}
								})
								time.Sleep(100 * time.Millisecond)
							}
							if d := <-recovered; d > 2*time.Second+100*time.Millisecond { // as often as it is looked
								t.Errorf("back after %v, outage of %v", d, length)
							}
							stop()
							wg.Wait()
						})
					}
				})
			}
		}
	}
}

// A server that is back but slow is used again too.
func TestSlowRecovery(t *testing.T) {
	bubble(t, func(c *introspect.Config) { c.TTL = introspect.NoTTL }, func(t *testing.T, issuer *verifytest.Server, s *introspect.Source) {
		token := issuer.OpaqueToken(nil)
		issuer.Down()
		for range 5 {
			fail(t, s, query(token))
		}
		issuer.Up()
		issuer.Fail(verifytest.Introspection, verifytest.Slow(3*time.Second))
		start := time.Now()
		for time.Since(start) < 30*time.Second && healthOf(s).Open {
			_, _ = s.Introspect(t.Context(), query(token))
			time.Sleep(100 * time.Millisecond)
		}
		if healthOf(s).Open {
			t.Error("never used again")
		}
		for range 5 {
			ask(t, s, query(token))
		}
	})
}

// Requests that give up early do not count as failures of the server.
func TestImpatientCallers(t *testing.T) {
	bubble(t, nil, func(t *testing.T, issuer *verifytest.Server, s *introspect.Source) {
		issuer.Fail(verifytest.Introspection, verifytest.Slow(time.Second))
		for i := range 20 {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
			_, err := s.Introspect(ctx, query(fmt.Sprint("token ", i)))
			cancel()
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Error(err)
			}
		}
		time.Sleep(2 * time.Second)
		if h := healthOf(s); h.Open || h.State != verify.StateReady || h.Counters.Inactive != 20 {
			t.Errorf("%+v", h)
		}
	})
}

// The log has one line for each change of state, however long the state lasts.
func TestLogSaysChangesOnce(t *testing.T) {
	var log testkit.LogBuffer
	bubble(t, func(c *introspect.Config) { c.Logger = log.Logger() }, func(t *testing.T, issuer *verifytest.Server, s *introspect.Source) {
		want := func(lines int, last string) {
			t.Helper()
			text := strings.TrimSpace(log.String())
			if log.Count("\n") != lines || !strings.Contains(text[strings.LastIndex(text, "\n")+1:], last) {
				t.Errorf("%d lines, want %d and last %q:\n%s", log.Count("\n"), lines, last, text)
			}
		}
		many := func() {
			for range 50 {
				_, _ = s.Introspect(t.Context(), fresh("token"))
				time.Sleep(100 * time.Millisecond)
			}
		}
		many()
		want(1, "answers\" issuer="+issuerURL)
		issuer.Down()
		many()
		want(2, "gives no answer")
		issuer.Up()
		many()
		want(3, "answers again")
		// Failures that a token may cause change the state only if they are repeated.
		issuer.Fail(verifytest.Introspection, verifytest.Times(4, verifytest.Status(400)))
		many()
		want(3, "answers again")
		issuer.Fail(verifytest.Introspection, verifytest.Status(401))
		many()
		want(4, "credentials")
		issuer.Heal()
		many()
		want(5, "answers again")
	})
}

func TestHealth(t *testing.T) {
	bubble(t, func(c *introspect.Config) { c.URL, c.Grace = "", time.Hour }, func(t *testing.T, issuer *verifytest.Server, s *introspect.Source) {
		h := healthOf(s)
		if h.Issuer != issuerURL || h.URL != "" || h.State != verify.StateStarting || h.Open || !h.Since.IsZero() || !h.LastAttempt.IsZero() || h.LastError != nil {
			t.Errorf("%+v", h)
		}
		start := time.Now()
		token := issuer.OpaqueToken(nil)
		ask(t, s, query(token))
		ask(t, s, query(token))
		ask(t, s, query("unknown"))
		time.Sleep(20 * time.Second)
		issuer.Down()
		down := time.Now()
		for range 3 {
			ask(t, s, query(token)) // by grace
		}
		want := introspect.Counters{Calls: 5, Active: 1, Inactive: 1, Failures: 3, Stale: 3}
		h = healthOf(s)
		if h.URL != issuer.URL(verifytest.Introspection) || h.State != verify.StateFailing || !h.Since.Equal(down) || !h.LastAttempt.Equal(down) ||
			h.LastError == nil || h.Remembered != 2 || h.Counters != want {
			t.Errorf("%+v", h)
		}
		issuer.Up()
		time.Sleep(time.Second)
		ask(t, s, query(token))
		if h = healthOf(s); h.State != verify.StateReady || h.LastError != nil || !h.Since.Equal(time.Now()) {
			t.Errorf("%+v", h)
		}
		if down.Before(start) || s.Close() != nil || healthOf(s).State != verify.StateClosed {
			t.Errorf("%+v", healthOf(s))
		}
	})
}

// Close cancels calls under way, and later queries fail even if there is an answer in
// the cache.
func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		issuer := verifytest.NewInMemory(issuerURL)
		defer issuer.Close()
		v, s := verifier(t, issuer, true, func(c *introspect.Config) { c.TTL, c.Grace = time.Hour, time.Hour })
		token, waiting := issuer.Token(nil), issuer.OpaqueToken(nil)
		accept(t, v, token)
		issuer.Fail(verifytest.Introspection, verifytest.Hang())
		start := time.Now()
		var wg sync.WaitGroup
		for _, q := range []*verify.Query{query(waiting), query(waiting), fresh(waiting)} {
			wg.Go(func() {
				if _, err := s.Introspect(context.Background(), q); err == nil || !strings.Contains(err.Error(), "closed") || time.Since(start) != time.Second {
					t.Errorf("after %v: %v", time.Since(start), err)
				}
			})
		}
		time.Sleep(time.Second)
		if err := v.Close(); err != nil {
			t.Error(err)
		}
		wg.Wait()
		issuer.Heal()
		before := calls(issuer)
		for _, ask := range []func(context.Context, string) (*verify.Token, error){v.Verify, verifyFresh(v)} {
			for _, token := range []string{token, waiting} {
				_, err := ask(t.Context(), token)
				refuse(t, err, verify.ErrUnavailable)
			}
		}
		if calls(issuer) != before {
			t.Error("asked after the end")
		}
		if h := healthOf(s); h.State != verify.StateClosed || h.Counters.Failures != 0 {
			t.Errorf("%+v", h)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

// Without Always, JWTs are still verified when the source is closed.
func TestCloseLeavesFallback(t *testing.T) {
	issuer := newIssuer(t)
	v, s := verifier(t, issuer, false, nil)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	accept(t, v, issuer.Token(nil))
}

// Credentials that hang are treated like a server that hangs.
func TestHangingCredentials(t *testing.T) {
	hang := introspect.Bearer(func(ctx context.Context) (string, error) { <-ctx.Done(); return "", ctx.Err() })
	bubble(t, func(c *introspect.Config) { c.Auth = hang }, func(t *testing.T, issuer *verifytest.Server, s *introspect.Source) {
		for range 5 {
			fail(t, s, verified("token"))
		}
		start := time.Now()
		fail(t, s, verified("token"))
		if time.Since(start) != 0 || !healthOf(s).Open {
			t.Errorf("waited %v", time.Since(start))
		}
	})
}
