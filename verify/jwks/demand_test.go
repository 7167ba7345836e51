package jwks_test

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bearerkit/bearerkit/internal/testkit"
	"github.com/bearerkit/bearerkit/verify"
	"github.com/bearerkit/bearerkit/verify/jwks"
)

// An issuer, or a cache in front of it, has an ETag that never changes. A request that
// demands a key gets the whole set, and so does a planned fetch once an hour.
func TestETagThatNeverChanges(t *testing.T) {
	for _, maxAge := range []string{"max-age=10", "max-age=300", "max-age=3600"} {
		t.Run(maxAge, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				constant := func(body string) http.HandlerFunc {
					return func(w http.ResponseWriter, r *http.Request) {
						w.Header().Set("ETag", `"constant"`)
						w.Header().Set("Cache-Control", maxAge)
						if r.Header.Get("If-None-Match") != "" {
							w.WriteHeader(304)
							return
						}
						_, _ = w.Write([]byte(body))
					}
				}
				f := &fakeIssuer{handler: constant(document(newKey("a")))}
				s := ready(t, f, jwks.Config{})
				defer s.Close()
				f.set(constant(document(newKey("b"))))
				f.requests()
				set, err := s.Refresh(t.Context(), verify.Demand{Satisfied: has("b")})
				if err != nil || !has("b")(set) {
					t.Errorf("a new key is not found: %v", err)
				}
				if r := f.requests(); len(r) != 1 || r[0].etag != "" || r[0].cacheControl != "no-cache" {
					t.Errorf("demanded with %+v", r)
				}
				f.set(constant(document(newKey("c"))))
				time.Sleep(time.Hour)
				wantKeys(t, s, "c")
				for _, r := range f.requests() {
					if r.cacheControl != "" {
						t.Errorf("no request demanded %+v", r)
					}
				}
			})
		})
	}
}

// An ETag belongs to its URL: a key set that has moved is read without it.
func TestETagOfAMovedKeySet(t *testing.T) {
	const elsewhere = "https://elsewhere.example/keys"
	synctest.Test(t, func(t *testing.T) {
		old, moved := newKey("a"), newKey("b")
		s, f := discovering(t, routes(openIDURL, metadata(keysURL), keysURL, serving(document(old), "ETag", `"1"`, "Cache-Control", "max-age=60")), nil)
		defer s.Close()
		time.Sleep(time.Second)
		wantKeys(t, s, "a")
		f.set(routes(openIDURL, metadata(elsewhere), keysURL, status(404), elsewhere, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("ETag", `"1"`)
			if r.Header.Get("If-None-Match") != "" {
				w.WriteHeader(304)
				return
			}
			_, _ = w.Write([]byte(document(moved)))
		})))
		f.requests()
		time.Sleep(time.Minute)
		wantKeys(t, s, "b")
		for _, r := range f.requests() {
			if r.url == elsewhere {
				if r.etag != "" {
					t.Errorf("sent %s there", r.etag)
				}
				break
			}
		}
	})
}

// A set is too old when its age is MaxStale, to the nanosecond.
func TestEdgesOfMaxStale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeIssuer{handler: serving(document(newKey("a")), "Cache-Control", "max-age=3600")}
		s := ready(t, f, jwks.Config{MaxStale: 10 * time.Minute})
		defer s.Close()
		f.set(status(500))
		time.Sleep(10*time.Minute - time.Nanosecond)
		wantKeys(t, s, "a")
		if h := healthOf(s); !h.Ready || h.Age != 10*time.Minute-time.Nanosecond {
			t.Errorf("health: %+v", h)
		}
		time.Sleep(time.Nanosecond)
		if _, err := s.KeySet(); err == nil || !strings.Contains(err.Error(), "too old") {
			t.Errorf("one that is as old as MaxStale serves: %v", err)
		}
		if h := healthOf(s); h.Ready {
			t.Errorf("health: %+v", h)
		}
	})
}

// The last fetch of the budget is for unknown keys: tokens of withdrawn keys can only
// cause the first.
func TestLastFetchIsForNewKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeIssuer{handler: serving(document(newKey("a")), "Cache-Control", "max-age=3600")}
		s := ready(t, f, jwks.Config{})
		defer s.Close()
		for _, step := range []struct {
			withdrawn bool
			want      int
		}{{true, 1}, {true, 0}, {true, 0}, {false, 1}, {false, 0}, {true, 0}} {
			f.requests()
			if _, err := s.Refresh(t.Context(), verify.Demand{Satisfied: nothing, Withdrawn: step.withdrawn}); err != nil {
				t.Fatal(err)
			}
			if n := len(f.requests()); n != step.want {
				t.Errorf("withdrawn %v: %d fetches, want %d", step.withdrawn, n, step.want)
			}
		}
	})
}

// When the budget is spent, so that tokens of a new key may be refused, the log has one
// line until the budget is full again, and Health says until when.
func TestSpentBudgetIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var logs testkit.LogBuffer
		f := &fakeIssuer{handler: serving(document(newKey("a")), "Cache-Control", "max-age=3600")}
		s := ready(t, f, jwks.Config{Logger: logs.Logger()})
		defer s.Close()
		flood := func(d time.Duration) {
			for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
				_, _ = s.Refresh(t.Context(), verify.Demand{Satisfied: nothing})
			}
		}
		warnings := func(want int) {
			t.Helper()
			if n := logs.Count("level=WARN"); n != want || logs.Count("until=") != want {
				t.Errorf("%d warnings, want %d:\n%s", n, want, &logs)
			}
		}
		// Tokens of withdrawn keys alone do not spend the budget.
		for range 5 {
			_, _ = s.Refresh(t.Context(), verify.Demand{Satisfied: nothing, Withdrawn: true})
		}
		if h := healthOf(s); !h.SpentUntil.IsZero() {
			t.Errorf("health: %+v", h)
		}
		warnings(0)
		flood(time.Second)
		warnings(1)
		h := healthOf(s)
		if d := time.Until(h.SpentUntil); d < 8*time.Second || d > 10*time.Second {
			t.Errorf("spent for %v", d)
		}
		time.Sleep(time.Until(h.SpentUntil) - time.Nanosecond)
		if healthOf(s).SpentUntil.IsZero() {
			t.Error("not spent any longer, too soon")
		}
		time.Sleep(time.Nanosecond)
		if h := healthOf(s); !h.SpentUntil.IsZero() {
			t.Errorf("health: %+v", h)
		}
		f.requests()
		if _, _ = s.Refresh(t.Context(), verify.Demand{Satisfied: nothing}); len(f.requests()) != 1 {
			t.Error("no fetch when Health says that there is one")
		}
		flood(time.Minute)
		warnings(1)
		time.Sleep(time.Minute)
		flood(time.Second)
		warnings(2)
	})
}
