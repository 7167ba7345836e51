package jwks_test

import (
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bearerkit/bearerkit/internal/nettest"
	"github.com/bearerkit/bearerkit/verify"
	"github.com/bearerkit/bearerkit/verify/jwks"
)

// sleeping makes a source on a machine that can sleep, and waits for its first key set.
func sleeping(t *testing.T, f *fakeIssuer, c jwks.Config) (*jwks.Source, *nettest.Machine) {
	t.Helper()
	m := nettest.NewMachine(t)
	c.URL, c.Client, c.Logger = keysURL, &http.Client{Transport: f}, quiet()
	s := jwks.New(c)
	jwks.SetClock(s, m.Now)
	if err := s.Bind(issuerURL); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Refresh(t.Context(), verify.Demand{Satisfied: anySet}); err != nil {
		t.Fatal(err)
	}
	f.requests()
	return s, m
}

// A machine sleeps for three days, which count for MaxStale. The first request after
// that causes a fetch.
func TestMachineSleeps(t *testing.T) {
	hourly := func(kid string) http.HandlerFunc {
		return serving(document(newKey(kid)), "Cache-Control", "max-age=3600")
	}
	synctest.Test(t, func(t *testing.T) {
		f := &fakeIssuer{handler: hourly("a")}
		s, m := sleeping(t, f, jwks.Config{})
		defer s.Close()
		f.set(hourly("b"))
		m.Sleep(72 * time.Hour)
		if _, err := s.KeySet(); err == nil || !strings.Contains(err.Error(), "too old") {
			t.Errorf("a key set of three days ago serves: %v", err)
		}
		if h := healthOf(s); h.Ready || h.Age < 72*time.Hour {
			t.Errorf("health: %+v", h)
		}
		if set, err := s.Refresh(t.Context(), verify.Demand{Satisfied: anySet}); err != nil || !has("b")(set) {
			t.Errorf("the first request after the sleep: %v", err)
		}
		if n := len(f.requests()); n != 1 {
			t.Errorf("%d fetches", n)
		}
	})
	t.Run("less than MaxStale", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := &fakeIssuer{handler: hourly("a")}
			s, m := sleeping(t, f, jwks.Config{})
			defer s.Close()
			f.set(hourly("b"))
			time.Sleep(time.Minute)
			wantKeys(t, s, "a")
			synctest.Wait()
			if n := len(f.requests()); n != 0 {
				t.Errorf("%d fetches without a reason", n)
			}
			m.Sleep(2 * time.Hour)
			wantKeys(t, s, "a") // without waiting
			synctest.Wait()
			wantKeys(t, s, "b")
			if n := len(f.requests()); n != 1 {
				t.Errorf("%d fetches", n)
			}
		})
	})
	t.Run("the issuer is down", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := &fakeIssuer{handler: hourly("a")}
			s, m := sleeping(t, f, jwks.Config{})
			defer s.Close()
			f.set(status(500))
			m.Sleep(72 * time.Hour)
			if _, err := s.Refresh(t.Context(), verify.Demand{Satisfied: anySet}); err == nil {
				t.Error("a key set of three days ago serves")
			}
			time.Sleep(time.Minute)
			if h := healthOf(s); h.State != verify.StateStale || h.Ready {
				t.Errorf("health: %+v", h)
			}
			f.set(hourly("b"))
			time.Sleep(1100 * time.Millisecond)
			wantKeys(t, s, "b")
		})
	})
}

// A wall clock that is set back makes nothing younger than it is by the monotonic clock,
// and delays no refresh.
func TestClockSetBack(t *testing.T) {
	for name, down := range map[string]bool{"issuer up": false, "issuer down": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				good := serving(document(newKey("a")), "Cache-Control", "max-age=60")
				f := &fakeIssuer{handler: good}
				s, m := sleeping(t, f, jwks.Config{MaxStale: time.Hour})
				defer s.Close()
				confirmed := healthOf(s).Age
				m.Sleep(-72 * time.Hour)
				if down {
					f.set(status(500))
				}
				time.Sleep(time.Hour - confirmed - time.Nanosecond)
				wantKeys(t, s, "a")
				time.Sleep(time.Nanosecond)
				_, err := s.KeySet()
				if n := len(f.requests()); down != (err != nil) || n < 60 {
					t.Errorf("%v after %d fetches", err, n)
				}
			})
		})
	}
}

// After a time in which the process did not run, some requests wait to see whether the
// issuer is back. The others get an error at once.
func TestFewAwaitAnOverdueTry(t *testing.T) {
	const few = 64
	synctest.Test(t, func(t *testing.T) {
		f := &fakeIssuer{handler: serving(document(newKey("a")), "Cache-Control", "max-age=3600")}
		s, m := sleeping(t, f, jwks.Config{MaxStale: time.Minute})
		defer s.Close()
		f.set(status(500))
		time.Sleep(2 * time.Minute)
		if _, err := s.Refresh(t.Context(), verify.Demand{Satisfied: anySet}); err == nil {
			t.Fatal("no error")
		}
		f.requests()
		f.set(slowly(time.Second, serving(document(newKey("b")))))
		m.Sleep(time.Hour)
		began := time.Now()
		var wg sync.WaitGroup
		var got, refused atomic.Int32
		for range 3 * few {
			wg.Go(func() {
				if set, err := s.Refresh(t.Context(), verify.Demand{Satisfied: anySet}); err == nil && has("b")(set) {
					got.Add(1)
				} else if time.Since(began) == 0 {
					refused.Add(1)
				}
			})
		}
		wg.Wait()
		if got.Load() != few || refused.Load() != 2*few {
			t.Errorf("%d waited, %d were refused at once", got.Load(), refused.Load())
		}
		if n := len(f.requests()); n != 1 {
			t.Errorf("%d fetches", n)
		}
	})
}
