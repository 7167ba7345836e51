//go:build unix

package redisstore_test

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/bearerkit/bearerkit/internal/redistest"
	"github.com/bearerkit/bearerkit/internal/testkit"
	"github.com/bearerkit/bearerkit/verify"
	"github.com/bearerkit/bearerkit/verify/redisstore"
)

// TestMain checks that nothing is left behind. The client of a cluster needs a
// second for that.
func TestMain(m *testing.M) {
	code := m.Run()
	if code == 0 {
		err := goleak.Find()
		for end := time.Now().Add(30 * time.Second); err != nil && time.Now().Before(end); {
			err = goleak.Find()
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

var ctx = context.Background()

func id(n int) [32]byte { return sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(n))) }

// patient is the longest time that a call may have, for tests in which the Redis is
// well and only the machine may be slow.
const patient = 2 * time.Second

func inAMinute() time.Time { return time.Now().Add(time.Minute) }

// open makes a store and closes it with the test.
func open(t testing.TB, c redisstore.Config) *redisstore.Store {
	t.Helper()
	if c.Service == "" {
		c.Service = "orders"
	}
	if c.Logger == nil {
		c.Logger = new(testkit.LogBuffer).Logger()
	}
	s, err := redisstore.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// first calls First and fails the test if the answer is another.
func first(t testing.TB, s *redisstore.Store, n int, want bool) {
	t.Helper()
	if got, err := s.First(ctx, id(n), inAMinute()); err != nil || got != want {
		t.Errorf("proof %d: %v, %v, want %v", n, got, err, want)
	}
}

// fails waits until a call fails with a text, each within two seconds.
func fails(t testing.TB, s *redisstore.Store, n int, want string) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		began := time.Now()
		got, err := s.First(ctx, id(n), inAMinute())
		if took := time.Since(began); took > 2*time.Second {
			t.Fatalf("a call took %v", took)
		}
		if err != nil && !got && strings.Contains(err.Error(), want) {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%v, %v, want %q", got, err, want)
		}
	}
}

// recovers waits until a call is answered, three seconds at most, and returns n
// and its answer.
func recovers(t testing.TB, s *redisstore.Store, n int) bool {
	t.Helper()
	var got bool
	var err error
	for end := time.Now().Add(3 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if got, err = s.First(ctx, id(n), inAMinute()); err == nil {
			return got
		}
	}
	t.Fatalf("not back after 3 s: %v", err)
	return false
}

func TestFirst(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	log := &testkit.LogBuffer{}
	s, replica := open(t, redisstore.Config{Timeout: patient, URL: server.URL(), Logger: log.Logger()}), open(t, redisstore.Config{Timeout: patient, URL: server.URL() + "/0"})
	other := open(t, redisstore.Config{Timeout: patient, URL: server.URL(), Service: "https://payments.example/"})
	if h := s.Health(); h.State != redisstore.StateIdle || !h.Since.IsZero() || h.LastError != nil {
		t.Errorf("%+v before the first call", h)
	}
	first(t, s, 1, true)
	first(t, s, 1, false)
	first(t, replica, 1, false)
	first(t, replica, 2, true)
	first(t, s, 2, false)
	first(t, other, 1, true)
	if h := s.Health(); h.State != redisstore.StateReady || h.Since.IsZero() || h.LastError != nil || h.Failures != 0 {
		t.Errorf("%+v after it", h)
	}
	for _, until := range []time.Time{time.Now(), time.Now().Add(-time.Hour), {}} {
		if got, err := s.First(ctx, id(3), until); got || err != nil {
			t.Errorf("until %v: %v, %v", until, got, err)
		}
	}
	first(t, s, 3, true)
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	if got, err := s.First(cancelled, id(4), inAMinute()); got || err != context.Canceled {
		t.Errorf("after its request has ended: %v, %v", got, err)
	}
	first(t, s, 4, true)
	if got := strings.Count(log.String(), "\n"); got != 1 || !strings.Contains(log.String(), "Redis answers") {
		t.Errorf("the log is %s", log)
	}
}

// TestWhatIsKept looks into the Redis: a key each, no value, nothing to be read.
func TestWhatIsKept(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	s := open(t, redisstore.Config{Timeout: patient, URL: "unix://" + server.Socket + "?db=3"})
	until := time.Now().Add(90 * time.Second)
	if got, err := s.First(ctx, id(1), until); !got || err != nil {
		t.Fatal(got, err)
	}
	if got := server.Do("INFO", "keyspace"); !strings.Contains(got, "db3:keys=1,expires=1") {
		t.Errorf("%s", got)
	}
	stats := server.Do("INFO", "commandstats")
	if !strings.Contains(stats, "cmdstat_set:calls=1,") {
		t.Errorf("%s", stats)
	}
	got := server.Do("EVAL", `redis.call("SELECT", 3)
		local keys = redis.call("KEYS", "*")
		return keys[1] .. "|" .. redis.call("GET", keys[1]) .. "|" .. redis.call("PTTL", keys[1])`, "0")
	key, rest, _ := strings.Cut(got, "|")
	value, ttl, _ := strings.Cut(rest, "|")
	ms, err := time.ParseDuration(ttl + "ms")
	if !strings.HasPrefix(key, "bearerkit:orders:proof:") || len(key) != len("bearerkit:orders:proof:")+43 || value != "" ||
		err != nil || ms > 90*time.Second || ms < 80*time.Second {
		t.Errorf("%q with %q for %s", key, value, ttl)
	}
}

// TestUntil waits for an end, by the Redis' own clock.
func TestUntil(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	s := open(t, redisstore.Config{Timeout: patient, URL: server.URL()})
	until := time.Now().Add(300 * time.Millisecond)
	if got, err := s.First(ctx, id(1), until); !got || err != nil {
		t.Fatal(got, err)
	}
	for {
		asked := time.Now()
		got, err := s.First(ctx, id(1), inAMinute())
		if err != nil {
			t.Fatal(err)
		}
		if got && asked.Before(until.Add(-5*time.Millisecond)) {
			t.Fatalf("forgotten %v too early", until.Sub(asked))
		}
		if got {
			break
		}
		if time.Since(until) > 30*time.Second {
			t.Fatal("not forgotten")
		}
	}
	// The clock that until is measured by can be another.
	now := time.Unix(1_800_000_000, 0)
	s = open(t, redisstore.Config{Timeout: patient, URL: server.URL(), Now: func() time.Time { return now }})
	if got, err := s.First(ctx, id(2), now.Add(time.Minute)); !got || err != nil {
		t.Error(got, err)
	}
	if got, err := s.First(ctx, id(3), now); got || err != nil {
		t.Error(got, err)
	}
}

func TestConcurrently(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	stores := []*redisstore.Store{open(t, redisstore.Config{Timeout: patient, URL: server.URL()}), open(t, redisstore.Config{Timeout: patient, URL: server.URL()})}
	for round := range 20 {
		var firsts, errs atomic.Int64
		var wg sync.WaitGroup
		start := make(chan struct{})
		for i := range 100 {
			wg.Go(func() {
				<-start
				switch first, err := stores[i%2].First(ctx, id(round), inAMinute()); {
				case err != nil:
					errs.Add(1)
				case first:
					firsts.Add(1)
				}
			})
		}
		close(start)
		wg.Wait()
		if firsts.Load() != 1 || errs.Load() != 0 {
			t.Fatalf("%d of 100 were first, %d errors", firsts.Load(), errs.Load())
		}
	}
}

func TestFaults(t *testing.T) {
	for url, want := range map[string]string{
		"":                                  "required",
		"localhost:6379":                    "redis://",
		"http://user:hunter2@redis":         "redis://",
		"redis://":                          "no host",
		"redis:///0":                        "no host",
		"redis://:hunter2@":                 "no host",
		"rediss://:6379":                    "no host",
		"redis://user:hunter2@redis:port":   "not a URL",
		"redis://user:hunter2@redis:port/0": "not a URL",
		"redis://user:hunt er2@redis":       "not a URL",
		"redis://user:hunter2%zz@redis":     "not a URL",
		"redis://user:hunter2@redis/x":      "database",
		"redis://user:hunter2@redis/0/1":    "database",
		"redis://redis?db=x":                "database",
		"rediss://redis?skip_verify=true":   "skip_verify",
		"unix://":                           "no path",
		" redis://redis":                    "not a URL",
		"redis://user:hunter2@redis\x00":    "not a URL",
	} {
		_, err := redisstore.New(redisstore.Config{URL: url, Service: "orders"})
		faults := verify.Faults(err)
		if len(faults) != 1 || faults[0].Field != "URL" || !strings.Contains(faults[0].Problem, want) {
			t.Errorf("%q: %v, want %q", url, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "hunt") {
			t.Errorf("%q: the error shows the password: %v", url, err)
		}
	}
	for _, url := range []string{
		"redis://redis", "redis://redis:6379/5", "redis://:hunter2@redis", "rediss://user:hunter2@redis:6380", "unix:///run/redis.sock", "unix:///run/redis.sock?db=1",
		"redis://a:1?addr=b:2&addr=c:3", "redis://a:26379?master_set=m", "redis://[::1]:6379", "valkey://redis", "redis://redis?protocol=2",
	} {
		if s, err := redisstore.New(redisstore.Config{URL: url, Service: "orders"}); err != nil {
			t.Errorf("%q: %v", url, err)
		} else {
			s.Close()
		}
	}
	for _, service := range []string{"", "a b", "a\n", "{a}", "ö"} {
		if faults := verify.Faults(errOf(redisstore.New(redisstore.Config{URL: "redis://redis", Service: service}))); len(faults) != 1 || faults[0].Field != "Service" {
			t.Errorf("%q: %v", service, faults)
		}
	}
	for _, timeout := range []time.Duration{-1, 3 * time.Second} {
		if faults := verify.Faults(errOf(redisstore.New(redisstore.Config{URL: "redis://redis", Service: "a", Timeout: timeout}))); len(faults) != 1 || faults[0].Field != "Timeout" {
			t.Errorf("%v: %v", timeout, faults)
		}
	}
	if faults := verify.Faults(errOf(redisstore.New(redisstore.Config{Timeout: -1}))); len(faults) != 3 {
		t.Errorf("%v", faults)
	}
}

func errOf(_ *redisstore.Store, err error) error { return err }

func TestRequiredRedis(t *testing.T) {
	if os.Getenv("BEARERKIT_REDIS") == "required" {
		redistest.Start(t) // fails without one, where the others would be skipped
	}
}
