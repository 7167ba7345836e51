package jwks_test

import (
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
	"github.com/bearerkit/bearerkit/verify/jwks"
)

// Refreshes come ahead of expiry, within the jitter, and never less often than
// the lifetime.
func TestRefreshAheadOfExpiry(t *testing.T) {
	for _, tc := range []struct {
		header   []string
		lifetime time.Duration
	}{
		{[]string{"Cache-Control", "max-age=600"}, 10 * time.Minute},
		{[]string{"Cache-Control", "max-age=1"}, time.Second},
		{[]string{"Cache-Control", "max-age=315360000"}, time.Hour},
		{nil, 5 * time.Minute},
		{[]string{"Cache-Control", "max-age=0"}, 5 * time.Minute},
		{[]string{"Cache-Control", "no-store"}, 5 * time.Minute},
		{[]string{"Cache-Control", "max-age=600", "Age", "540"}, time.Minute},
	} {
		t.Run(strings.Join(tc.header, " "), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &fakeIssuer{handler: serving(document(newKey("a")), tc.header...)}
				s := ready(t, f, jwks.Config{})
				defer s.Close()
				time.Sleep(20 * tc.lifetime)
				log := f.requests()
				if len(log) < 20 {
					t.Fatalf("%d fetches in 20 lifetimes", len(log))
				}
				spread := map[time.Duration]bool{}
				for i := 1; i < len(log); i++ {
					gap := log[i].at.Sub(log[i-1].at)
					if gap > tc.lifetime*9/10 || gap < tc.lifetime*74/100 {
						t.Errorf("refresh after %v of a lifetime of %v", gap, tc.lifetime)
					}
					spread[gap] = true
				}
				if len(spread) < len(log)/2 {
					t.Error("no jitter")
				}
				if f.most > 1 {
					t.Errorf("%d fetches at once", f.most)
				}
			})
		})
	}
}

// A hundred replicas that start at the same time do not refresh at the same time.
func TestReplicasSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeIssuer{handler: serving(document(newKey("a")), "Cache-Control", "max-age=1000")}
		for range 100 {
			defer ready(t, f, jwks.Config{}).Close()
		}
		f.requests()
		time.Sleep(1000 * time.Second)
		buckets := map[int64]int{}
		for _, r := range f.requests() {
			buckets[r.at.Unix()/15]++
		}
		for b, n := range buckets {
			if n > 35 {
				t.Errorf("%d of 100 came within 15 s (%d)", n, b)
			}
		}
		if len(buckets) < 8 {
			t.Errorf("spread over %d intervals only", len(buckets))
		}
	})
}

// The set of a slow issuer is fetched in time, so that a withdrawn key is not accepted
// for longer than the lifetime.
func TestWithdrawnKeyDiesInTime(t *testing.T) {
	for _, delay := range []time.Duration{0, 100 * time.Millisecond, 3 * time.Second} {
		for _, maxAge := range []int{1, 10, 300} {
			if delay > time.Second && maxAge == 1 {
				continue // an answer that takes longer than it lives
			}
			t.Run(fmt.Sprint(delay, maxAge), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					a, b := newKey("a"), newKey("b")
					cc := fmt.Sprintf("max-age=%d", maxAge)
					f := &fakeIssuer{handler: slowly(delay, serving(document(a, b), "Cache-Control", cc))}
					s := ready(t, f, jwks.Config{})
					defer s.Close()
					for range 10 {
						f.set(slowly(delay, serving(document(b), "Cache-Control", cc)))
						time.Sleep(time.Duration(maxAge)*time.Second + time.Second)
						wantKeys(t, s, "b")
						f.set(slowly(delay, serving(document(a, b), "Cache-Control", cc)))
						time.Sleep(time.Duration(maxAge)*time.Second + time.Second)
						wantKeys(t, s, "a", "b")
					}
				})
			})
		}
	}
}

func TestETag(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newKey("a")
		var notModified atomic.Int32
		tagged := func(tag, body string) http.HandlerFunc {
			return func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("ETag", tag)
				w.Header().Set("Cache-Control", "max-age=60")
				if r.Header.Get("If-None-Match") == tag {
					notModified.Add(1)
					w.WriteHeader(304)
					return
				}
				_, _ = w.Write([]byte(body))
			}
		}
		f := &fakeIssuer{handler: tagged(`W/"1"`, document(a))}
		s := ready(t, f, jwks.Config{MaxStale: 2 * time.Minute})
		defer s.Close()
		first, _ := s.KeySet()
		time.Sleep(10 * time.Minute) // longer than MaxStale: 304 confirms
		wantKeys(t, s, "a")
		if n := len(f.requests()); notModified.Load() != int32(n-1) {
			t.Errorf("%d of %d fetches were answered with 304", notModified.Load(), n)
		}
		if again, _ := s.KeySet(); again != first {
			t.Error("an unmodified set is another set")
		}
		if h := healthOf(s); h.Counters.NotModified == 0 || h.Age > time.Minute {
			t.Errorf("health: %+v", h)
		}
		f.set(tagged(`"2"`, document(newKey("b"))))
		time.Sleep(time.Minute)
		wantKeys(t, s, "b")

		// ETags that cannot be sent back are not sent.
		f.set(serving(document(newKey("c")), "ETag", "\"\u00e9\x01\"", "Cache-Control", "max-age=1"))
		time.Sleep(2 * time.Minute)
		f.requests()
		time.Sleep(10 * time.Second)
		for _, r := range f.requests() {
			if r.etag != "" {
				t.Errorf("sent %q", r.etag)
			}
		}
		wantKeys(t, s, "c")

		// A 304 to an unconditional request is not a key set.
		f.set(status(304))
		time.Sleep(10 * time.Second)
		if h := healthOf(s); h.State != verify.StateFailing || !h.Ready {
			t.Errorf("health: %+v", h)
		}
	})
}

// While the issuer fails the last good set is used, retries slow down from under a
// second to a minute, and recovery is noticed.
func TestBackoffWithKeysInHand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var logs testkit.LogBuffer
		f := &fakeIssuer{handler: serving(document(newKey("a")), "Cache-Control", "max-age=60")}
		s := ready(t, f, jwks.Config{Logger: logs.Logger()})
		defer s.Close()
		f.set(status(500))
		time.Sleep(time.Minute)
		f.requests()
		time.Sleep(time.Hour)
		log := f.requests()
		for i := 1; i < len(log); i++ {
			gap := log[i].at.Sub(log[i-1].at)
			if gap < 500*time.Millisecond || gap > time.Minute {
				t.Errorf("pause of %v", gap)
			}
			if i > 10 && gap < 30*time.Second {
				t.Errorf("pause %d is %v still", i, gap)
			}
		}
		if len(log) < 60 {
			t.Errorf("%d fetches in an hour", len(log))
		}
		wantKeys(t, s, "a")
		h := healthOf(s)
		if h.State != verify.StateFailing || !h.Ready || h.LastError == nil || h.Age < time.Hour || time.Since(h.Since) < time.Hour ||
			!strings.Contains(h.LastAnswer, "500") || h.URL != keysURL {
			t.Errorf("health: %+v", h)
		}
		f.set(serving(document(newKey("b"))))
		time.Sleep(time.Minute)
		wantKeys(t, s, "b")
		if n := logs.Count("level=WARN"); n != 1 {
			t.Errorf("%d warnings for one outage:\n%s", n, &logs)
		}
		for _, want := range []string{"key set ready", "key set refreshed again", "key set changed", "added=[b]", "removed=[a]", "issuer=" + issuerURL} {
			if logs.Count(want) == 0 {
				t.Errorf("no %q in the log:\n%s", want, &logs)
			}
		}
	})
}

func TestFirstRetryIsSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeIssuer{handler: serving(document(newKey("a")), "Cache-Control", "max-age=60")}
		s := ready(t, f, jwks.Config{})
		defer s.Close()
		failed := make(chan time.Time, 1)
		f.set(func(w http.ResponseWriter, r *http.Request) {
			f.set(serving(document(newKey("b"))))
			failed <- time.Now()
			w.WriteHeader(500)
		})
		at := <-failed
		time.Sleep(time.Second)
		synctest.Wait()
		if h := healthOf(s); h.State != verify.StateReady {
			t.Errorf("still %v %v after the first failure", h.State, time.Since(at))
		}
	})
}

// If the issuer is down at the start, the source retries at most a second apart,
// requests are answered at once, and it is ready within a second of the issuer.
func TestDownAtStart(t *testing.T) {
	for name, down := range map[string]http.HandlerFunc{
		"500":             status(500),
		"503 retry-after": status(503, "Retry-After", "3600"),
		"empty":           serving(`{"keys":[]}`),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var logs testkit.LogBuffer
				f := &fakeIssuer{handler: slowly(50*time.Millisecond, down)}
				s := open(t, jwks.Config{URL: keysURL, Client: &http.Client{Transport: f}, Logger: logs.Logger()})
				defer s.Close()
				if _, err := s.Refresh(t.Context(), verify.Demand{Satisfied: anySet}); err == nil {
					t.Fatal("no error")
				}
				f.requests()
				for range 60 {
					start := time.Now()
					for range 5 {
						if _, err := s.Refresh(t.Context(), verify.Demand{Satisfied: anySet}); err == nil {
							t.Fatal("no error")
						}
					}
					if d := time.Since(start); d > 0 {
						t.Fatalf("a request waited for %v", d)
					}
					time.Sleep(time.Second)
				}
				log := f.requests()
				for i := 1; i < len(log); i++ {
					if gap := log[i].at.Sub(log[i-1].at); gap > 1050*time.Millisecond || gap < 500*time.Millisecond {
						t.Errorf("pause of %v", gap)
					}
				}
				if len(log) < 55 {
					t.Errorf("%d fetches in a minute", len(log))
				}
				if h := healthOf(s); h.Ready || h.State != verify.StateFailing || h.LastError == nil {
					t.Errorf("health: %+v", h)
				}
				f.set(serving(document(newKey("a"))))
				time.Sleep(1100 * time.Millisecond)
				wantKeys(t, s, "a")
				if logs.Count("level=ERROR") != 1 || logs.Count("refreshed again") != 1 {
					t.Errorf("log:\n%s", &logs)
				}
			})
		})
	}
}

// Requests that need the first fetch wait for it, even if others give up.
func TestFirstFetchIsAwaited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeIssuer{handler: slowly(2*time.Second, serving(document(newKey("a"))))}
		s := open(t, jwks.Config{URL: keysURL, Client: &http.Client{Transport: f}})
		defer s.Close()
		var wg sync.WaitGroup
		for i := range 200 {
			wg.Go(func() {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if i%2 == 0 {
					time.AfterFunc(time.Second, cancel)
				}
				_, err := s.Refresh(ctx, verify.Demand{Satisfied: has("a")})
				if i%2 == 0 && !errors.Is(err, context.Canceled) || i%2 == 1 && err != nil {
					t.Errorf("request %d: %v", i, err)
				}
			})
		}
		wg.Wait()
		if n := len(f.requests()); n != 1 {
			t.Errorf("%d fetches", n)
		}
	})
}

// An issuer that hangs delays the first requests by at most the timeout, and later ones
// not at all.
func TestHangingIssuer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeIssuer{handler: hanging}
		s := open(t, jwks.Config{URL: keysURL, Client: &http.Client{Transport: f}})
		defer s.Close()
		start := time.Now()
		if _, err := s.Refresh(t.Context(), verify.Demand{Satisfied: anySet}); err == nil || time.Since(start) > 5*time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		time.Sleep(3 * time.Second) // the second attempt is under way
		start = time.Now()
		if _, err := s.Refresh(t.Context(), verify.Demand{Satisfied: anySet}); err == nil || time.Since(start) > 0 {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})
}

// After MaxStale there is an error in place of a set, and retries are faster.
func TestMaxStale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var logs testkit.LogBuffer
		f := &fakeIssuer{handler: serving(document(newKey("a")), "Cache-Control", "max-age=60")}
		s := ready(t, f, jwks.Config{MaxStale: time.Hour, Logger: logs.Logger()})
		defer s.Close()
		f.set(status(429, "Retry-After", "86400"))
		time.Sleep(time.Hour - time.Second)
		wantKeys(t, s, "a")
		time.Sleep(time.Minute)
		if _, err := s.KeySet(); err == nil || !strings.Contains(err.Error(), "too old") {
			t.Fatalf("a stale set serves: %v", err)
		}
		start := time.Now()
		if _, err := s.Refresh(t.Context(), verify.Demand{Satisfied: anySet}); err == nil || time.Since(start) > 0 {
			t.Fatalf("%v after %v", err, time.Since(start))
		}
		if h := healthOf(s); h.State != verify.StateStale || h.Ready {
			t.Errorf("health: %+v", h)
		}
		f.requests()
		time.Sleep(time.Minute)
		if n := len(f.requests()); n < 55 {
			t.Errorf("%d fetches in a minute", n)
		}
		f.set(serving(document(newKey("a"))))
		time.Sleep(1100 * time.Millisecond)
		wantKeys(t, s, "a")
		if logs.Count("too old") != 1 || logs.Count("level=WARN") != 1 {
			t.Errorf("log:\n%s", &logs)
		}
	})
}

// A lifetime longer than MaxStale does not make the set too old between refreshes.
func TestMaxStaleShorterThanLifetime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeIssuer{handler: serving(document(newKey("a")), "Cache-Control", "max-age=3600")}
		s := ready(t, f, jwks.Config{MaxStale: time.Minute})
		defer s.Close()
		for range 600 {
			time.Sleep(time.Second)
			wantKeys(t, s, "a")
		}
	})
}

func TestRetryAfter(t *testing.T) {
	for _, tc := range []struct {
		value    string
		min, max time.Duration
	}{
		{"30", 30 * time.Second, 31 * time.Second},
		{"86400", time.Minute, 61 * time.Second},
		{"-5", 500 * time.Millisecond, 2 * time.Second},
	} {
		t.Run(tc.value, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &fakeIssuer{handler: serving(document(newKey("a")), "Cache-Control", "max-age=60")}
				s := ready(t, f, jwks.Config{})
				defer s.Close()
				f.set(status(429, "Retry-After", tc.value))
				f.requests()
				if _, err := s.Refresh(t.Context(), verify.Demand{Satisfied: has("b")}); err == nil {
					t.Fatal("no error")
				}
				failed := time.Now()
				f.set(serving(document(newKey("b"))))
				f.requests()
				for len(f.requests()) == 0 {
					// Demands do not make the attempt come sooner.
					_, _ = s.Refresh(t.Context(), verify.Demand{Satisfied: has("b")})
					time.Sleep(100 * time.Millisecond)
				}
				if d := time.Since(failed); d < tc.min || d > tc.max+200*time.Millisecond {
					t.Errorf("asked again after %v", d)
				}
			})
		})
	}
}

// The budget is two fetches at once and one more every ten seconds.
func TestBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeIssuer{handler: slowly(50*time.Millisecond, serving(document(newKey("a")), "Cache-Control", "max-age=3600"))}
		s := ready(t, f, jwks.Config{})
		defer s.Close()
		f.requests()
		flood := func(d time.Duration) (slow int) {
			for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
				start := time.Now()
				set, err := s.Refresh(t.Context(), verify.Demand{Satisfied: nothing})
				if err != nil || set == nil {
					t.Fatalf("not answered with the current set: %v", err)
				}
				if time.Since(start) > 0 {
					slow++
				}
			}
			return slow
		}
		slow := flood(5 * time.Second)
		if n := len(f.requests()); n != 2 || slow != 2 {
			t.Errorf("%d fetches in the first 5 s, %d requests waited", n, slow)
		}
		flood(100 * time.Second)
		if n := len(f.requests()); n < 9 || n > 11 {
			t.Errorf("%d fetches in the next 100 s", n)
		}
		time.Sleep(time.Hour)
		f.requests()
		flood(5 * time.Second)
		if n := len(f.requests()); n != 2 {
			t.Errorf("%d fetches after a rest", n)
		}
		if c := healthOf(s).Counters; c.Declined == 0 || c.Demands <= c.Declined {
			t.Errorf("counters: %+v", c)
		}
	})
}

// A flood does not hide a rotation for longer than the budget's interval.
func TestRotationInAFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeIssuer{handler: serving(document(newKey("a")), "Cache-Control", "max-age=3600")}
		s := ready(t, f, jwks.Config{})
		defer s.Close()
		for range 500 {
			_, _ = s.Refresh(t.Context(), verify.Demand{Satisfied: nothing})
			time.Sleep(10 * time.Millisecond)
		}
		f.set(serving(document(newKey("b"))))
		start := time.Now()
		for {
			_, _ = s.Refresh(t.Context(), verify.Demand{Satisfied: nothing})
			if set, err := s.Refresh(t.Context(), verify.Demand{Satisfied: has("b")}); err == nil && has("b")(set) {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		if d := time.Since(start); d > 10*time.Second {
			t.Errorf("noticed after %v", d)
		}
	})
}

// Tokens of a withdrawn key cause a fetch only if the budget is full, and leave the last
// fetch to tokens of new keys.
func TestWithdrawnKeysLeaveSomeBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeIssuer{handler: serving(document(newKey("a")), "Cache-Control", "max-age=3600")}
		s := ready(t, f, jwks.Config{})
		defer s.Close()
		f.requests()
		for range 60 {
			_, _ = s.Refresh(t.Context(), verify.Demand{Satisfied: nothing, Withdrawn: true})
			time.Sleep(500 * time.Millisecond)
		}
		if n := len(f.requests()); n < 2 || n > 4 {
			t.Errorf("%d fetches in 30 s", n)
		}
		f.set(serving(document(newKey("b"))))
		if set, err := s.Refresh(t.Context(), verify.Demand{Satisfied: has("b")}); err != nil || !has("b")(set) {
			t.Errorf("a new key is not noticed: %v", err)
		}
	})
}

// A rotation right after the start, and another one right after that, are noticed by
// the first request that needs the key.
func TestTwoRotationsInARow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeIssuer{handler: slowly(50*time.Millisecond, serving(document(newKey("a"))))}
		s := ready(t, f, jwks.Config{})
		defer s.Close()
		for _, kid := range []string{"b", "c"} {
			f.set(slowly(50*time.Millisecond, serving(document(newKey(kid)))))
			set, err := s.Refresh(t.Context(), verify.Demand{Satisfied: has(kid)})
			if err != nil || !has(kid)(set) {
				t.Errorf("%s: %v", kid, err)
			}
		}
	})
}

// The same kid with another key: the demand is satisfied by the new set only.
func TestReplacedUnderTheSameKid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeIssuer{handler: serving(document(newKey("a")))}
		s := ready(t, f, jwks.Config{})
		defer s.Close()
		old, _ := s.KeySet()
		f.set(serving(document(newKey("a"))))
		set, err := s.Refresh(t.Context(), verify.Demand{Satisfied: func(k *verify.KeySet) bool { return !k.Equal(old) }})
		if err != nil || set.Equal(old) {
			t.Errorf("still the old key: %v", err)
		}
	})
}

// Many requests that need a fetch cause one. Those that arrive while a fetch is under
// way, which may have begun too early, cause one more.
func TestCoalescing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newKey("a"), newKey("b")
		f := &fakeIssuer{handler: serving(document(a))}
		s := ready(t, f, jwks.Config{})
		defer s.Close()
		// The answer is made when the request comes and is then on its way
		// for a second, as on a network.
		var current atomic.Value
		current.Store(document(a))
		f.set(func(w http.ResponseWriter, r *http.Request) {
			body := current.Load().(string)
			slowly(time.Second, serving(body))(w, r)
		})
		f.requests()
		var wg sync.WaitGroup
		ask := func(n int) {
			for range n {
				wg.Go(func() {
					set, err := s.Refresh(t.Context(), verify.Demand{Satisfied: has("b")})
					if err != nil || !has("b")(set) {
						t.Errorf("not noticed: %v", err)
					}
				})
			}
		}
		wg.Go(func() { _, _ = s.Refresh(t.Context(), verify.Demand{Satisfied: nothing}) })
		time.Sleep(500 * time.Millisecond)
		current.Store(document(b)) // too late for the fetch that is under way
		ask(200)
		wg.Wait()
		if n := len(f.requests()); n != 2 {
			t.Errorf("%d fetches", n)
		}
		if f.most > 1 {
			t.Errorf("%d at once", f.most)
		}
	})
}

// A fetch outlives every request that waits for it.
func TestFetchOutlivesRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeIssuer{handler: serving(document(newKey("a")))}
		s := ready(t, f, jwks.Config{})
		defer s.Close()
		f.set(slowly(time.Second, serving(document(newKey("b")))))
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if _, err := s.Refresh(ctx, verify.Demand{Satisfied: has("b")}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		time.Sleep(time.Second)
		wantKeys(t, s, "b")
	})
}

// A failed fetch is refunded, no fetch starts within the backoff, and while requests
// demand keys, a recovery of the issuer is noticed within two seconds.
func TestFailureWhileRequestsAsk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeIssuer{handler: serving(document(newKey("a")), "Cache-Control", "max-age=3600")}
		s := ready(t, f, jwks.Config{})
		defer s.Close()
		f.set(status(500))
		f.requests()
		for end := time.Now().Add(10 * time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
			start := time.Now()
			if set, err := s.Refresh(t.Context(), verify.Demand{Satisfied: has("b")}); err == nil {
				t.Fatalf("the issuer cannot be asked, and it is not said: %v", set.IDs())
			}
			if time.Since(start) > 0 {
				t.Fatalf("waited for %v", time.Since(start))
			}
			wantKeys(t, s, "a")
		}
		log := f.requests()
		for i := 1; i < len(log); i++ {
			if gap := log[i].at.Sub(log[i-1].at); gap < 500*time.Millisecond || gap > 2020*time.Millisecond {
				t.Errorf("pause %d is %v", i, gap)
			}
		}
		f.set(serving(document(newKey("b")), "Cache-Control", "max-age=3600"))
		// Keep demanding: the last attempt may have failed after the last
		// request.
		for end := time.Now().Add(2100 * time.Millisecond); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
			_, _ = s.Refresh(t.Context(), verify.Demand{Satisfied: has("b")})
		}
		wantKeys(t, s, "b")
		f.requests()
		// The budget is full again.
		for range 10 {
			_, _ = s.Refresh(t.Context(), verify.Demand{Satisfied: nothing})
		}
		if n := len(f.requests()); n != 2 {
			t.Errorf("%d fetches after the outage", n)
		}
	})
}

// A demanded fetch that failed does not count.
func TestRefund(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		good := serving(document(newKey("a")), "Cache-Control", "max-age=3600")
		f := &fakeIssuer{handler: good}
		s := ready(t, f, jwks.Config{})
		defer s.Close()
		for range 3 { // more than the budget has, within its interval
			f.set(func(w http.ResponseWriter, r *http.Request) { f.set(good); w.WriteHeader(500) })
			if _, err := s.Refresh(t.Context(), verify.Demand{Satisfied: nothing}); err == nil {
				t.Fatal("no error")
			}
			time.Sleep(1100 * time.Millisecond) // the retry succeeds
			if healthOf(s).State != verify.StateReady {
				t.Fatal("not recovered")
			}
		}
		f.requests()
		for range 10 {
			_, _ = s.Refresh(t.Context(), verify.Demand{Satisfied: nothing})
		}
		if n := len(f.requests()); n != 2 {
			t.Errorf("%d fetches left", n)
		}
	})
}

// Hours with random faults: never two fetches at once, never none for longer than the
// longest lifetime, and always the last good set.
func TestHoursOfLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		doc := document(newKey("a"))
		f := &fakeIssuer{}
		handlers := []http.HandlerFunc{
			serving(doc), serving(doc, "Cache-Control", "max-age=5"), serving(doc, "Cache-Control", "max-age=999999999999999999999"),
			slowly(3*time.Second, serving(doc, "Cache-Control", "max-age=2")), status(500), status(429, "Retry-After", "7200"),
			hanging, serving("<html>"), serving(`{"keys":[]}`), status(204), serving(doc, "Expires", "0"),
		}
		n := 0
		f.handler = func(w http.ResponseWriter, r *http.Request) {
			n++
			handlers[(n*7)%len(handlers)](w, r)
		}
		s := open(t, jwks.Config{URL: keysURL, Client: &http.Client{Transport: f}})
		defer s.Close()
		time.Sleep(time.Minute)
		for range 48 * 60 {
			time.Sleep(time.Minute)
			wantKeys(t, s, "a")
		}
		log := f.requests()
		for i := 1; i < len(log); i++ {
			if gap := log[i].at.Sub(log[i-1].at); gap > time.Hour {
				t.Errorf("nothing for %v", gap)
			}
		}
		if f.most > 1 {
			t.Errorf("%d at once", f.most)
		}
	})
}
