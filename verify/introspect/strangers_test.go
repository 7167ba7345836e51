package introspect_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bearerkit/bearerkit/verify"
	"github.com/bearerkit/bearerkit/verify/introspect"
	"github.com/bearerkit/bearerkit/verify/verifytest"
)

// Tokens that are made to let the server fail do not affect others: neither JWTs nor
// tokens seen before, nor, if the server fails quickly, new ones.
func TestStrangersDoNotStopOthers(t *testing.T) {
	isEvil := func(token string) bool { return strings.HasPrefix(token, "evil") }
	for _, tc := range []struct {
		name  string
		some  func(s *verifytest.Server, good map[string]bool) func(string) bool
		fault verifytest.Fault
		newer bool // tokens that were never seen are served, too
	}{
		{"502", nil, verifytest.Status(502), true},
		{"503", nil, verifytest.Status(503), true},
		{"cut", nil, verifytest.Cut(), true},
		{"500", nil, verifytest.Status(500), true},
		{"hang", nil, verifytest.Hang(), true},
		{"502 for all that are unknown", func(_ *verifytest.Server, good map[string]bool) func(string) bool {
			return func(token string) bool { return !good[token] }
		}, verifytest.Status(502), true},
		{"hang for all that are unknown", func(_ *verifytest.Server, good map[string]bool) func(string) bool {
			return func(token string) bool { return !good[token] }
		}, verifytest.Hang(), false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble(t, func(c *introspect.Config) { c.TTL = introspect.NoTTL }, func(t *testing.T, issuer *verifytest.Server, s *introspect.Source) {
				good := map[string]bool{}
				issue := func() string {
					token := issuer.OpaqueToken(nil)
					good[token] = true
					return token
				}
				jwt, seen := issue(), issue()
				var fresh []string
				for range 60 {
					fresh = append(fresh, issue())
				}
				ask(t, s, query(seen))
				some := isEvil
				if tc.some != nil {
					some = tc.some(issuer, good)
				}
				issuer.Fail(verifytest.Introspection, about(some, tc.fault))
				ctx, stop := context.WithCancel(t.Context())
				for i := range 60 {
					// Fewer than there are slots for, or new tokens would have
					// to wait; there is a test for that.
					for j := range 5 {
						go func() { _, _ = s.Introspect(ctx, query(fmt.Sprint("evil ", i%5, j))) }()
					}
					synctest.Wait()
					for what, q := range map[string]*verify.Query{"a JWT": verified(jwt), "a token that was seen": query(seen), "a new token": query(fresh[i])} {
						start := time.Now()
						a, err := s.Introspect(t.Context(), q)
						if what == "a new token" && !tc.newer {
							continue
						}
						if err != nil || !a.Active || time.Since(start) != 0 {
							t.Fatalf("round %d, %s: %v after %v", i, what, err, time.Since(start))
						}
					}
					time.Sleep(300 * time.Millisecond)
				}
				stop()
			})
		})
	}
}

// While the server hangs, invented tokens whose clients leave take a limited number of
// calls and goroutines. Further ones get a 503 quickly, and known tokens have their
// own slots.
func TestFloodOfStrangers(t *testing.T) {
	bubble(t, nil, func(t *testing.T, issuer *verifytest.Server, s *introspect.Source) {
		seen := issuer.OpaqueToken(nil)
		ask(t, s, query(seen))
		time.Sleep(time.Minute) // it has to be asked about again
		var now, most atomic.Int64
		watch := func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				n := now.Add(1)
				defer now.Add(-1)
				for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
				}
				next.ServeHTTP(w, r)
			})
		}
		issuer.Fail(verifytest.Introspection, watch, about(func(token string) bool { return strings.HasPrefix(token, "made up") }, verifytest.Hang()))
		before := runtime.NumGoroutine()
		var wg sync.WaitGroup
		var quick atomic.Int64
		for i := range 3000 {
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				start := time.Now()
				_, err := s.Introspect(ctx, query(fmt.Sprint("made up ", i)))
				if err == nil {
					t.Error("an answer")
				}
				if !errors.Is(err, context.DeadlineExceeded) {
					if d := time.Since(start); d > 250*time.Millisecond || !strings.Contains(err.Error(), "too many calls") {
						t.Errorf("after %v: %v", d, err)
					}
					quick.Add(1)
				}
			})
		}
		synctest.Wait()
		for _, q := range []*verify.Query{query(seen), verified(issuer.OpaqueToken(nil))} {
			start := time.Now()
			if ask(t, s, q); time.Since(start) != 0 {
				t.Errorf("waited %v", time.Since(start))
			}
		}
		wg.Wait()
		synctest.Wait()
		if n := most.Load(); n != 129 { // one of a known token at a time
			t.Errorf("%d calls at the same time", n)
		}
		if n := quick.Load(); n != 3000-128 {
			t.Errorf("%d quick refusals", n)
		}
		// The calls go on until they time out.
		if n := runtime.NumGoroutine() - before; n > 128*5 {
			t.Errorf("%d goroutines", n)
		}
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if n := now.Load(); n != 0 {
			t.Errorf("%d calls are left", n)
		}
	})
}

// A short burst of new tokens is not a flood: they wait for a slot.
func TestBurstOfNewTokens(t *testing.T) {
	bubble(t, nil, func(t *testing.T, issuer *verifytest.Server, s *introspect.Source) {
		issuer.Fail(verifytest.Introspection, verifytest.Slow(50*time.Millisecond))
		var wg sync.WaitGroup
		for range 500 {
			token := issuer.OpaqueToken(nil)
			wg.Go(func() {
				if a, err := s.Introspect(t.Context(), query(token)); err != nil || !a.Active {
					t.Errorf("%v", err)
				}
			})
		}
		wg.Wait()
	})
}

// Invented tokens do not evict an answer that a token is no longer active, and no
// answer of an earlier call replaces it.
func TestRevocationStaysKnown(t *testing.T) {
	issuer := newIssuer(t)
	const size = 40
	s := open(t, issuer, func(c *introspect.Config) { c.CacheSize, c.TTL = size, time.Hour })
	token := issuer.OpaqueToken(nil)
	ask(t, s, query(token))
	issuer.Revoke(token)
	if ask(t, s, fresh(token)).Active {
		t.Fatal("active")
	}
	for i := range 20 * size {
		ask(t, s, query(fmt.Sprint("made up ", i)))
	}
	if a := must(s.Introspect(t.Context(), known(token))); a == nil || a.Active {
		t.Errorf("%+v", a)
	}
}

// If the calls of an active and an inactive answer overlap, the inactive one counts if
// it arrived first: the order in which the server decided is not known.
func TestOverlappingAnswers(t *testing.T) {
	bubble(t, func(c *introspect.Config) { c.TTL = time.Minute }, func(t *testing.T, issuer *verifytest.Server, s *introspect.Source) {
		answer := func(active bool, after time.Duration) verifytest.Fault {
			return func(next http.Handler) http.Handler {
				return verifytest.Slow(after)(says(fmt.Sprintf(`{"active":%v}`, active))(next))
			}
		}
		// Both begin at once: the first says no after a second, the second yes
		// after two.
		issuer.Fail(verifytest.Introspection, verifytest.Times(1, answer(false, time.Second)), answer(true, 2*time.Second))
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() {
				if ask(t, s, fresh("token")).Active {
					t.Error("active")
				}
			})
			synctest.Wait()
		}
		wg.Wait()
		if ask(t, s, query("token")).Active {
			t.Error("active for others")
		}
		// A question that is put later counts.
		if !ask(t, s, fresh("token")).Active || !ask(t, s, query("token")).Active {
			t.Error("inactive for ever")
		}
	})
}

// Functions of the configuration that panic, or end their goroutine, end neither
// the process nor the source: what needs an answer is told that there is none.
func TestFunctionsThatPanic(t *testing.T) {
	panics := func() { panic("secret-of-the-application") }
	for name, do := range map[string]func(){
		"panic": panics, "runtime error": func() { var none []string; _ = none[len(none)] }, "nil pointer": func() { var r *http.Request; _ = r.URL }, "Goexit": runtime.Goexit,
	} {
		for where, edit := range map[string]func(c *introspect.Config, do func()){
			"credentials": func(c *introspect.Config, do func()) {
				c.Auth = introspect.Bearer(func(context.Context) (string, error) { do(); return "x", nil })
			},
			"transport": func(c *introspect.Config, do func()) {
				next := c.Client.Transport
				c.Client = &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) { do(); return next.RoundTrip(r) })}
			},
			"transport, for metadata": func(c *introspect.Config, do func()) {
				next := c.Client.Transport
				c.URL = ""
				c.Client = &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) { do(); return next.RoundTrip(r) })}
			},
		} {
			t.Run(name+"/"+where, func(t *testing.T) {
				var works atomic.Bool
				edit := func(c *introspect.Config) {
					edit(c, func() {
						if !works.Load() {
							do()
						}
					})
				}
				bubble(t, edit, func(t *testing.T, issuer *verifytest.Server, s *introspect.Source) {
					issuer.Fail(verifytest.Introspection, says(`{"active":true}`))
					for i := range 3 {
						for _, q := range []*verify.Query{query("token"), fresh("token"), verified("another")} {
							if err := fail(t, s, q); strings.Contains(err.Error(), "secret-of") {
								t.Errorf("round %d: %v", i, err)
							}
						}
						if s.Ready() == nil {
							t.Error("ready")
						}
						time.Sleep(2 * time.Second)
					}
					works.Store(true)
					time.Sleep(2 * time.Second)
					for i := 0; ; i++ {
						if _, err := s.Introspect(t.Context(), verified("token")); err == nil {
							break
						} else if i == 3 {
							t.Fatal(err)
						}
						time.Sleep(time.Second)
					}
				})
			})
		}
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// Made-up tokens that the server does not answer open no breaker, as long as it
// answers the source's own question.
func TestStrangersAloneOpenNothing(t *testing.T) {
	bubble(t, nil, func(t *testing.T, issuer *verifytest.Server, s *introspect.Source) {
		issuer.Fail(verifytest.Introspection, about(func(token string) bool { return strings.HasPrefix(token, "evil") }, verifytest.Hang()))
		for i := range 20 {
			fail(t, s, query(fmt.Sprint("evil ", i)))
			synctest.Wait()
			if healthOf(s).Open {
				t.Fatalf("open after %d calls", i+1)
			}
		}
		start := time.Now()
		if !ask(t, s, query(issuer.OpaqueToken(nil))).Active || time.Since(start) != 0 {
			t.Errorf("after %v", time.Since(start))
		}
	})
}

// Not even the holder of a good token that makes the server fail can hold the
// breaker open; nor does a server that does not like made-up tokens.
func TestBreakerCloses(t *testing.T) {
	for name, tc := range map[string]struct {
		strike func(*verifytest.Server)
		fault  func(good string) verifytest.Fault // when the server is back
	}{
		"one token fails": {
			strike: func(s *verifytest.Server) {},
			fault: func(string) verifytest.Fault {
				return about(func(token string) bool { return token == "evil" }, verifytest.Status(502))
			},
		},
		"made-up tokens fail": {
			strike: (*verifytest.Server).Down,
			fault: func(good string) verifytest.Fault {
				return about(func(token string) bool { return token != good }, verifytest.Status(502))
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, nil, func(t *testing.T, issuer *verifytest.Server, s *introspect.Source) {
				good := issuer.OpaqueToken(nil)
				issuer.Fail(verifytest.Introspection, tc.fault(good))
				tc.strike(issuer)
				evil := verified("evil")
				evil.Fresh = true
				for range 5 {
					fail(t, s, evil)
				}
				if !healthOf(s).Open {
					t.Fatal("not open")
				}
				issuer.Up()
				start := time.Now()
				for {
					if name == "one token fails" {
						for range 3 { // it is always there first
							fail(t, s, evil)
						}
					}
					if _, err := s.Introspect(t.Context(), verified(good)); err == nil {
						break
					}
					if time.Since(start) > 2*time.Second {
						t.Fatal("never served again")
					}
					time.Sleep(10 * time.Millisecond)
				}
			})
		})
	}
}
