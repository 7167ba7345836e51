package introspect_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bearerkit/bearerkit/internal/testkit"
	"github.com/bearerkit/bearerkit/verify"
	"github.com/bearerkit/bearerkit/verify/introspect"
	"github.com/bearerkit/bearerkit/verify/verifytest"
)

// bubble runs a test in fake time with a new issuer and a source that asks it.
func bubble(t *testing.T, edit func(*introspect.Config), f func(*testing.T, *verifytest.Server, *introspect.Source)) {
	synctest.Test(t, func(t *testing.T) {
		issuer := verifytest.NewInMemory(issuerURL)
		defer issuer.Close()
		s := introspect.New(config(issuer, edit))
		defer s.Close()
		if err := s.Bind(issuer.Issuer(), nil); err != nil {
			t.Fatal(err)
		}
		f(t, issuer, s)
	})
}

func calls(issuer *verifytest.Server) int { return issuer.Requests(verifytest.Introspection) }

// A thousand requests with one token make one call; those with another make
// another.
func TestStampede(t *testing.T) {
	bubble(t, nil, func(t *testing.T, issuer *verifytest.Server, s *introspect.Source) {
		issuer.Fail(verifytest.Introspection, verifytest.Slow(time.Second))
		tokens := []string{issuer.OpaqueToken(nil), issuer.OpaqueToken(nil), "unknown"}
		var wg sync.WaitGroup
		var right atomic.Int64
		for i := range 3000 {
			wg.Go(func() {
				a, err := s.Introspect(context.Background(), query(tokens[i%3]))
				if err == nil && a.Active == (i%3 < 2) {
					right.Add(1)
				}
			})
		}
		wg.Wait()
		if n := calls(issuer); n != 3 || right.Load() != 3000 {
			t.Errorf("%d calls, %d right answers", n, right.Load())
		}
	})
}

// If a call takes longer than its answer may be reused, requests that arrived after it
// began make one more call together.
func TestStampedeOnASlowServer(t *testing.T) {
	for _, ttl := range []time.Duration{introspect.NoTTL, 500 * time.Millisecond} {
		bubble(t, func(c *introspect.Config) { c.TTL = ttl }, func(t *testing.T, issuer *verifytest.Server, s *introspect.Source) {
			issuer.Fail(verifytest.Introspection, verifytest.Slow(time.Second))
			token := issuer.OpaqueToken(nil)
			var wg sync.WaitGroup
			ask := func() {
				arrived := time.Now()
				a, err := s.Introspect(context.Background(), query(token))
				if err != nil || !a.Active || a.At.Before(arrived) && time.Since(a.At) > ttl {
					t.Errorf("%+v, %v", a, err)
				}
			}
			wg.Go(ask)
			time.Sleep(100 * time.Millisecond)
			for range 200 {
				wg.Go(ask)
			}
			wg.Wait()
			if n := calls(issuer); n != 2 {
				t.Errorf("%d calls", n)
			}
		})
	}
}

// A request that waits for a call waits no longer than its own context, and so does
// the request that began the call.
func TestWaitersLeave(t *testing.T) {
	for _, q := range []func(string) *verify.Query{query, fresh} {
		bubble(t, nil, func(t *testing.T, issuer *verifytest.Server, s *introspect.Source) {
			issuer.Fail(verifytest.Introspection, verifytest.Slow(time.Second))
			token := issuer.OpaqueToken(nil)
			start := time.Now()
			errGone := errors.New("the client has gone")
			var wg sync.WaitGroup
			for i := range 10 {
				wg.Go(func() {
					ctx, cancel := context.WithCancelCause(context.Background())
					defer cancel(nil)
					d := time.Duration(i) * 50 * time.Millisecond
					time.AfterFunc(d, func() { cancel(errGone) })
					_, err := s.Introspect(ctx, q(token))
					if !errors.Is(err, errGone) || time.Since(start) != d {
						t.Errorf("after %v: %v", time.Since(start), err)
					}
				})
			}
			wg.Go(func() {
				if a, err := s.Introspect(context.Background(), q(token)); err != nil || !a.Active || time.Since(start) != time.Second {
					t.Errorf("after %v: %v", time.Since(start), err)
				}
			})
			wg.Wait()
			// The answer is in the cache although no request waited for it.
			if n := calls(issuer); n != 1 && q(token).Fresh == false {
				t.Errorf("%d calls", n)
			}
		})
	}
}

// A call that the server has lost delays only requests that arrived soon after it.
func TestLateComersCallAnew(t *testing.T) {
	bubble(t, nil, func(t *testing.T, issuer *verifytest.Server, s *introspect.Source) {
		issuer.Fail(verifytest.Introspection, verifytest.Times(1, verifytest.Hang()))
		token := issuer.OpaqueToken(nil)
		var wg sync.WaitGroup
		wg.Go(func() { _, _ = s.Introspect(context.Background(), query(token)) })
		time.Sleep(2 * time.Second)
		start := time.Now()
		if ask(t, s, query(token)); time.Since(start) != 0 {
			t.Errorf("waited %v", time.Since(start))
		}
		wg.Wait()
		ask(t, s, query(token))
		if n := calls(issuer); n != 2 {
			t.Errorf("%d calls", n)
		}
	})
}

// How long answers are reused.
func TestReuse(t *testing.T) {
	for _, tc := range []struct {
		name   string
		ttl    time.Duration
		active bool
		want   time.Duration
	}{
		{"default", 0, true, 10 * time.Second},
		{"a minute", time.Minute, true, time.Minute},
		{"a second", time.Second, true, time.Second},
		{"none", introspect.NoTTL, true, 0},
		{"inactive", 0, false, 5 * time.Second},
		{"inactive, a minute", time.Minute, false, 5 * time.Second},
		{"inactive, a second", time.Second, false, 5 * time.Second},
		{"inactive, none", introspect.NoTTL, false, 5 * time.Second},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble(t, func(c *introspect.Config) { c.TTL = tc.ttl }, func(t *testing.T, issuer *verifytest.Server, s *introspect.Source) {
				// The time starts with the request: the token may have been
				// revoked between the server's decision and the response.
				const delay = 300 * time.Millisecond
				issuer.Fail(verifytest.Introspection, verifytest.Slow(delay))
				token := issuer.OpaqueToken(nil)
				if !tc.active {
					issuer.Revoke(token)
				}
				start := time.Now()
				first := ask(t, s, query(token))
				if first.Active != tc.active || !first.At.Equal(start) {
					t.Errorf("%v at %v", first.Active, first.At)
				}
				if tc.want > 0 {
					time.Sleep(tc.want - delay - 1)
					if ask(t, s, query(token)) != first {
						t.Error("not reused")
					}
					time.Sleep(time.Nanosecond)
				}
				if n := calls(issuer); n != 1 {
					t.Errorf("%d calls", n)
				}
				if ask(t, s, query(token)) == first || calls(issuer) != 2 {
					t.Error("reused for too long")
				}
			})
		})
	}
}

// A revoked token is refused at most one TTL later, and an answer is never reused after
// the token's exp.
func TestReuseEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		issuer := verifytest.NewInMemory(issuerURL)
		defer issuer.Close()
		v, _ := verifier(t, issuer, true, func(c *introspect.Config) { c.TTL = time.Minute })
		defer v.Close()
		for _, token := range []string{issuer.Token(nil), issuer.OpaqueToken(nil)} {
			accept(t, v, token)
			issuer.Revoke(token)
			time.Sleep(time.Minute - 1)
			accept(t, v, token)
			time.Sleep(time.Nanosecond)
			_, err := v.Verify(t.Context(), token)
			refuse(t, err, verify.ErrInactive)
		}
		// The answer's exp is in ten seconds, the JWT's own in an hour.
		jwt := issuer.Token(nil)
		issuer.Issue(jwt, verifytest.Claims{"exp": time.Now().Add(10 * time.Second)})
		opaque := issuer.OpaqueToken(verifytest.Claims{"exp": time.Now().Add(10 * time.Second)})
		before := calls(issuer)
		for _, token := range []string{jwt, opaque} {
			accept(t, v, token)
		}
		time.Sleep(10*time.Second + v.Leeway() - time.Millisecond)
		for _, token := range []string{jwt, opaque} {
			accept(t, v, token)
		}
		time.Sleep(time.Millisecond)
		for _, token := range []string{jwt, opaque} {
			_, err := v.Verify(t.Context(), token)
			refuse(t, err, verify.ErrExpired)
		}
		if n := calls(issuer) - before; n != 2 {
			t.Errorf("%d calls", n)
		}
	})
}

// Invented tokens do not evict the answers about good ones.
func TestBadTokensDoNotPushOutGoodOnes(t *testing.T) {
	issuer := newIssuer(t)
	const good = 50
	s := open(t, issuer, func(c *introspect.Config) { c.CacheSize, c.TTL = 4*good, time.Hour })
	var tokens []string
	for range good {
		tokens = append(tokens, issuer.OpaqueToken(nil))
	}
	all := func() {
		for _, token := range tokens {
			if !ask(t, s, query(token)).Active {
				t.Fatal("inactive")
			}
		}
	}
	all()
	for i := range 20 * good {
		if ask(t, s, query(fmt.Sprint("made up ", i))).Active {
			t.Fatal("active")
		}
	}
	before := calls(issuer)
	all()
	if n := calls(issuer) - before; n != 0 {
		t.Errorf("%d of %d good tokens were forgotten", n, good)
	}
	testkit.Eventually(t, "within its bounds", func() bool { return healthOf(s).Remembered <= good+good })
}

// The cache is bounded, in entries and in bytes.
func TestCacheIsBounded(t *testing.T) {
	issuer := newIssuer(t)
	const size = 64
	s := open(t, issuer, func(c *introspect.Config) { c.CacheSize, c.TTL = size, time.Hour })
	for i := range 10 * size {
		ask(t, s, query(issuer.OpaqueToken(verifytest.Claims{"n": i})))
	}
	testkit.Eventually(t, "no more than its entries", func() bool { return healthOf(s).Remembered <= size })
	s = open(t, issuer, func(c *introspect.Config) { c.CacheSize, c.TTL = size, time.Hour })
	big := strings.Repeat("x", 20<<10)
	for i := range 10 * size {
		ask(t, s, query(issuer.OpaqueToken(verifytest.Claims{"n": i, "big": big})))
	}
	testkit.Eventually(t, "no more than its bytes", func() bool { return healthOf(s).Remembered <= size/10 })
}

// The answer to a fresh query counts for all other queries at once.
func TestFreshAnswersCount(t *testing.T) {
	for _, always := range []bool{false, true} {
		t.Run(fmt.Sprintf("always %v", always), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				issuer := verifytest.NewInMemory(issuerURL)
				defer issuer.Close()
				v, _ := verifier(t, issuer, always, func(c *introspect.Config) { c.TTL = time.Minute })
				defer v.Close()
				jwt, opaque := issuer.Token(nil), issuer.OpaqueToken(nil)
				for _, token := range []string{jwt, opaque} {
					accept(t, v, token)
					before := calls(issuer)
					got, err := verifyFresh(v)(t.Context(), token)
					if err != nil || !got.Introspected.Equal(time.Now()) || calls(issuer) != before+1 {
						t.Fatalf("%v, %d calls", err, calls(issuer)-before)
					}
					issuer.Revoke(token)
					accept(t, v, token)
					_, err = verifyFresh(v)(t.Context(), token)
					refuse(t, err, verify.ErrInactive)
					before = calls(issuer)
					_, err = v.Verify(t.Context(), token)
					refuse(t, err, verify.ErrInactive)
					time.Sleep(5*time.Second - 1)
					_, err = v.Verify(t.Context(), token)
					refuse(t, err, verify.ErrInactive)
					if n := calls(issuer) - before; n != 0 {
						t.Errorf("%d calls", n)
					}
					time.Sleep(time.Nanosecond)
					_, err = v.Verify(t.Context(), token)
					refuse(t, err, verify.ErrInactive) // asked again, in every mode
				}
				// A fresh active answer takes the old one's place, too.
				token := issuer.OpaqueToken(nil)
				accept(t, v, token)
				time.Sleep(50 * time.Second)
				if _, err := verifyFresh(v)(t.Context(), token); err != nil {
					t.Error(err)
				}
				before := calls(issuer)
				time.Sleep(50 * time.Second)
				accept(t, v, token)
				if calls(issuer) != before {
					t.Error("asked again")
				}
			})
		})
	}
}

// Of two answers that cross, the one to the later call counts.
func TestCrossingAnswers(t *testing.T) {
	for _, first := range []bool{true, false} { // what the older one says
		for _, olderFresh := range []bool{false, true} {
			t.Run(fmt.Sprintf("%v then %v, fresh %v", first, !first, olderFresh), func(t *testing.T) {
				bubble(t, func(c *introspect.Config) { c.TTL = time.Minute }, func(t *testing.T, issuer *verifytest.Server, s *introspect.Source) {
					answer := func(active bool) verifytest.Fault { return says(fmt.Sprintf(`{"active":%v}`, active)) }
					older := func(next http.Handler) http.Handler { return verifytest.Slow(2 * time.Second)(answer(first)(next)) }
					issuer.Fail(verifytest.Introspection, verifytest.Times(1, older), answer(!first))
					var wg sync.WaitGroup
					wg.Go(func() {
						q := query("token")
						q.Fresh = olderFresh
						if a := ask(t, s, q); a.Active == first {
							t.Error("the older answer counts")
						}
					})
					synctest.Wait()
					time.Sleep(time.Second)
					if a := ask(t, s, fresh("token")); a.Active == first {
						t.Error("the wrong answer")
					}
					wg.Wait()
					if a := ask(t, s, query("token")); a.Active == first {
						t.Error("overwritten")
					}
					if a := must(s.Introspect(context.Background(), known("token"))); a == nil || a.Active == first {
						t.Errorf("known: %+v", a)
					}
				})
			})
		}
	}
}

// A CacheOnly query does not ask the server.
func TestKnown(t *testing.T) {
	bubble(t, nil, func(t *testing.T, issuer *verifytest.Server, s *introspect.Source) {
		want := func(said, active bool) {
			t.Helper()
			a, err := s.Introspect(t.Context(), known("token"))
			if err != nil || (a != nil) != said || a != nil && a.Active != active {
				t.Errorf("%+v, %v", a, err)
			}
		}
		want(false, false)
		issuer.Issue("token", nil)
		ask(t, s, query("token"))
		before := calls(issuer)
		want(true, true)
		time.Sleep(10 * time.Second)
		want(false, false)
		if calls(issuer) != before {
			t.Error("asked")
		}
		issuer.Revoke("token")
		ask(t, s, fresh("token"))
		before = calls(issuer)
		want(true, false)
		time.Sleep(5 * time.Second)
		want(false, false)
		if calls(issuer) != before {
			t.Error("asked")
		}
	})
}

// An answer is about one token only, however similar another one is.
func TestAnswersAreOfOneToken(t *testing.T) {
	issuer := newIssuer(t)
	v, _ := verifier(t, issuer, true, nil)
	token := issuer.Token(nil)
	accept(t, v, token)
	opaque := strings.Repeat("a", 3000)
	issuer.Issue(opaque, nil)
	accept(t, v, opaque)
	for _, other := range []string{opaque[1:], opaque + "a", opaque[:2999] + "b", "b" + opaque[1:]} {
		_, err := v.Verify(t.Context(), other)
		refuse(t, err, verify.ErrInactive)
	}
	// The same claims under another signature.
	again := issuer.Token(nil)
	issuer.Revoke(again)
	_, err := v.Verify(t.Context(), again)
	refuse(t, err, verify.ErrInactive)
}

// Errors, Health and logs never contain the token or the secret, whatever the server
// sends.
func TestNothingSaysTheToken(t *testing.T) {
	const token = "raw-token-0123456789"
	for name, fault := range map[string]verifytest.Fault{
		"status": verifytest.Answer(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, token, 400) }),
		"redirect": verifytest.Answer(func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://issuer.example/?token="+token, http.StatusTemporaryRedirect)
		}),
		"odd status": verifytest.Answer(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(599) }),
		"page":       verifytest.Body("text/html", "<p>"+token),
		"type":       verifytest.Body(token, "x"),
		"signed":     verifytest.Body("application/token-introspection+jwt", token+".a.b"),
		"claims":     says(`{"active":true,"sub":5,"` + token + `":"` + token + `"}`),
		"iss":        says(`{"active":true,"iss":"` + token + `"}`),
		"broken":     verifytest.Cut(),
		"inactive":   says(`{"active":false,"` + token + `":1}`),
	} {
		t.Run(name, func(t *testing.T) {
			issuer := newIssuer(t)
			issuer.Fail(verifytest.Introspection, fault)
			var log testkit.LogBuffer
			v, s := verifier(t, issuer, false, func(c *introspect.Config) { c.Logger = log.Logger() })
			var said bytes.Buffer
			for range 6 {
				_, err := verifyFresh(v)(t.Context(), token)
				if err == nil {
					t.Fatal("accepted")
				}
				fmt.Fprintf(&said, "%v %+v %#v\n", err, err, err)
			}
			h := healthOf(s)
			fmt.Fprintf(&said, "%+v %#v\n%s", h, h, log.String())
			if text := said.String(); strings.Contains(text, token) || strings.Contains(text, verifytest.ClientSecret) {
				t.Error(text)
			}
		})
	}
}
