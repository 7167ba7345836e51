//go:build unix

package redisstore_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/bearerkit/bearerkit/internal/redistest"
	"github.com/bearerkit/bearerkit/verify"
	"github.com/bearerkit/bearerkit/verify/redisstore"
)

// TestMain checks that nothing is left behind. The client of a cluster needs a
// second for that.
func TestMain(m *testing.M) {
	code := m.Run()
	if code == 0 {
		err := goleak.Find()
		for end := time.Now().Add(5 * time.Second); err != nil && time.Now().Before(end); {
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

func inAMinute() time.Time { return time.Now().Add(time.Minute) }

// A logBuffer collects a logger's lines.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *logBuffer) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

// open makes a store and closes it with the test.
func open(t testing.TB, c redisstore.Config) *redisstore.Store {
	t.Helper()
	if c.Service == "" {
		c.Service = "orders"
	}
	if c.Logger == nil {
		c.Logger = new(logBuffer).logger()
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
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(5 * time.Millisecond) {
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
	log := &logBuffer{}
	s, replica := open(t, redisstore.Config{URL: server.URL(), Logger: log.logger()}), open(t, redisstore.Config{URL: server.URL() + "/0"})
	other := open(t, redisstore.Config{URL: server.URL(), Service: "https://payments.example/"})
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
	s := open(t, redisstore.Config{URL: "unix://" + server.Socket + "?db=3"})
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
	s := open(t, redisstore.Config{URL: server.URL()})
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
		if time.Since(until) > 5*time.Second {
			t.Fatal("not forgotten")
		}
	}
	// The clock that until is measured by can be another.
	now := time.Unix(1_800_000_000, 0)
	s = open(t, redisstore.Config{URL: server.URL(), Now: func() time.Time { return now }})
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
	stores := []*redisstore.Store{open(t, redisstore.Config{URL: server.URL()}), open(t, redisstore.Config{URL: server.URL()})}
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

func TestDown(t *testing.T) {
	t.Parallel()
	server := redistest.New(t)
	log := &logBuffer{}
	s := open(t, redisstore.Config{URL: server.URL(), Logger: log.logger()}) // starts without it
	fails(t, s, 1, "refused")
	fails(t, s, 1, "not tried again yet")
	if h := s.Health(); h.State != redisstore.StateFailing || h.LastError == nil || h.Failures < 4 {
		t.Errorf("%+v", h)
	}
	server.Start()
	if !recovers(t, s, 1) {
		t.Error("what failed was recorded")
	}
	first(t, s, 1, false)
	if h := s.Health(); h.State != redisstore.StateReady || h.LastError != nil {
		t.Errorf("%+v", h)
	}
	server.Kill()
	fails(t, s, 2, "")
	server.Start()
	if !recovers(t, s, 3) {
		t.Error("a new proof was used before")
	}
	first(t, s, 3, false)
	text := log.String()
	if strings.Count(text, "does not answer") != 2 || strings.Count(text, "answers again") != 2 || strings.Count(text, "\n") != 4 {
		t.Errorf("the log is %s", text)
	}
}

func TestHung(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	fresh, used := open(t, redisstore.Config{URL: server.URL()}), open(t, redisstore.Config{URL: server.URL()})
	first(t, used, 1, true)
	server.Freeze()
	// More requests wait than calls may be under way, none of them longer than its
	// time, which is half a second; the rest is for a machine with other work.
	var wg sync.WaitGroup
	var slowest atomic.Int64
	for n := range 1200 {
		wg.Go(func() {
			began := time.Now()
			if got, err := used.First(ctx, id(100+n), inAMinute()); err == nil {
				t.Errorf("%v from a Redis that hangs", got)
			}
			for took := int64(time.Since(began)); ; {
				old := slowest.Load()
				if took <= old || slowest.CompareAndSwap(old, took) {
					return
				}
			}
		})
	}
	wg.Wait()
	if took := time.Duration(slowest.Load()); took > 4*time.Second {
		t.Errorf("one call took %v", took)
	}
	fails(t, fresh, 2, "no answer")
	fails(t, used, 2, "")
	server.Thaw()
	recovers(t, fresh, 3) // whether it is the first: calls that had been sent count
	recovers(t, used, 4)
	first(t, used, 1, false)
	first(t, fresh, 1, false)
}

// TestTimeout has a call end at its own time, which is less than that after which
// a silent connection is given up.
func TestTimeout(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	s := open(t, redisstore.Config{URL: server.URL(), Timeout: 20 * time.Millisecond})
	recovers(t, s, 1)
	server.Freeze()
	began := time.Now()
	if got, err := s.First(ctx, id(2), inAMinute()); err == nil {
		t.Errorf("%v from a Redis that hangs", got)
	}
	if took := time.Since(began); took > 900*time.Millisecond {
		t.Errorf("a call took %v", took)
	}
	server.Thaw()
}

// A forwarder is a name that leads to one server, and after a failover to
// another; connections stay where they are.
type forwarder struct {
	net.Listener
	mu     sync.Mutex
	target string
	wg     sync.WaitGroup
}

func newForwarder(t *testing.T, target string) *forwarder {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &forwarder{Listener: l, target: target}
	f.wg.Go(func() {
		for {
			from, err := l.Accept()
			if err != nil {
				return
			}
			f.mu.Lock()
			target := f.target
			f.mu.Unlock()
			to, err := net.Dial("tcp", target)
			if err != nil {
				from.Close()
				continue
			}
			for _, pair := range [][2]net.Conn{{from, to}, {to, from}} {
				f.wg.Go(func() {
					_, _ = io.Copy(pair[0], pair[1])
					from.Close()
					to.Close()
				})
			}
		}
	})
	return f
}

func (f *forwarder) leadTo(target string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.target = target
}

// TestFailover has a name lead to another server, while the old one lives on as a
// replica, or hangs. The connection to it must be given up.
func TestFailover(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]func(old, next *redistest.Server){
		"replica": func(old, next *redistest.Server) {
			host, port, _ := strings.Cut(next.Addr, ":")
			old.Do("REPLICAOF", host, port)
		},
		"hung": func(old, _ *redistest.Server) { old.Freeze() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			old, next := redistest.Start(t), redistest.Start(t)
			f := newForwarder(t, old.Addr)
			s := open(t, redisstore.Config{URL: "redis://" + f.Addr().String()})
			first(t, s, 1, true)
			f.leadTo(next.Addr)
			first(t, s, 2, true) // by the old connection
			fail(old, next)
			fails(t, s, 3, "")
			recovers(t, s, 4)
			first(t, s, 5, true)
			if got := next.Do("DBSIZE"); got == ":0" {
				t.Errorf("the other server has nothing: %s", got)
			}
			s.Close()
			f.Close()
			old.Kill()
			next.Kill()
			f.wg.Wait()
		})
	}
}

func TestCloseWhileDialing(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	server.Freeze()
	s := open(t, redisstore.Config{URL: server.URL(), Timeout: 10 * time.Millisecond})
	if _, err := s.First(ctx, id(1), inAMinute()); err == nil {
		t.Error("an answer from a Redis that hangs")
	}
	closed := make(chan struct{})
	go func() { s.Close(); close(closed) }()
	for s.Health().State != redisstore.StateClosed {
		time.Sleep(time.Millisecond)
	}
	server.Thaw() // and now the connection comes
	<-closed
	for end := time.Now().Add(5 * time.Second); strings.Count(server.Do("CLIENT", "LIST"), " addr=127") != 1; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("a connection is left: %s", server.Do("CLIENT", "LIST"))
		}
	}
}

func TestCloseWhileHung(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	used, dialing := open(t, redisstore.Config{URL: server.URL()}), open(t, redisstore.Config{URL: server.URL()})
	first(t, used, 1, true)
	server.Freeze()
	_, _ = dialing.First(ctx, id(2), inAMinute())
	failed, ended := make(chan struct{}), make(chan struct{})
	go func() {
		_, _ = used.First(ctx, id(3), inAMinute())
		close(failed)
		_, _ = used.First(ctx, id(3), inAMinute())
		close(ended)
	}()
	<-failed // so that the second is under way
	began := time.Now()
	used.Close()
	<-ended // and does not change that it is closed
	dialing.Close()
	if took := time.Since(began); took > 4*time.Second {
		t.Errorf("closing took %v", took)
	}
	for _, s := range []*redisstore.Store{used, dialing} {
		if got, err := s.First(ctx, id(3), inAMinute()); got || err == nil || !strings.Contains(err.Error(), "closed") {
			t.Errorf("after Close: %v, %v", got, err)
		}
		if h := s.Health(); h.State != redisstore.StateClosed {
			t.Errorf("%+v", h)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	server.Thaw()
}

// TestErrors has the Redis answer with errors. All are as if it were away.
func TestErrors(t *testing.T) {
	t.Parallel()
	t.Run("full", func(t *testing.T) {
		t.Parallel()
		server := redistest.Start(t, "--maxmemory", "1", "--maxmemory-policy", "noeviction")
		s := open(t, redisstore.Config{URL: server.URL()})
		fails(t, s, 1, "OOM")
		server.Do("CONFIG", "SET", "maxmemory", "0")
		if !recovers(t, s, 1) {
			t.Error("what failed was recorded")
		}
	})
	t.Run("password", func(t *testing.T) {
		t.Parallel()
		server := redistest.Start(t, "--requirepass", "correct")
		log := &logBuffer{}
		for _, c := range []struct{ user, want string }{{"", "NOAUTH"}, {":hunter2@", "WRONGPASS"}, {"nobody:hunter2@", "WRONGPASS"}} {
			s := open(t, redisstore.Config{URL: "redis://" + c.user + server.Addr, Logger: log.logger()})
			fails(t, s, 1, c.want)
			if h := s.Health(); strings.Contains(h.LastError.Error(), "hunter2") {
				t.Errorf("%v", h.LastError)
			}
		}
		if strings.Contains(log.String(), "hunter2") {
			t.Errorf("the log is %s", log)
		}
		first(t, open(t, redisstore.Config{URL: "redis://:correct@" + server.Addr}), 1, true)
	})
	t.Run("database", func(t *testing.T) {
		t.Parallel()
		server := redistest.Start(t)
		fails(t, open(t, redisstore.Config{URL: server.URL() + "/99"}), 1, "DB")
	})
	t.Run("replica", func(t *testing.T) {
		t.Parallel()
		primary, replica := redistest.Start(t), redistest.Start(t)
		host, port, _ := strings.Cut(primary.Addr, ":")
		s := open(t, redisstore.Config{URL: replica.URL()})
		first(t, s, 1, true)
		replica.Do("REPLICAOF", host, port)
		fails(t, s, 2, "READONLY")
		replica.Do("REPLICAOF", "NO", "ONE")
		recovers(t, s, 3)
	})
	t.Run("not a Redis", func(t *testing.T) {
		t.Parallel()
		server := redistest.Start(t)
		fails(t, open(t, redisstore.Config{URL: "rediss://" + server.Addr}), 1, "")
	})
}

func TestEviction(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, "--maxmemory-policy", "allkeys-lru")
	log := &logBuffer{}
	s := open(t, redisstore.Config{URL: server.URL(), Logger: log.logger()})
	first(t, s, 1, true)
	if s.Health().Policy != "allkeys-lru" || !strings.Contains(log.String(), "level=WARN") || !strings.Contains(log.String(), "allkeys-lru") {
		t.Errorf("%q, %s", s.Health().Policy, log)
	}
	// Who may not ask is not warned, and not refused.
	server.Do("ACL", "SETUSER", "app", "on", ">secret", "~bearerkit:*", "+set", "+hello", "+client", "+auth")
	log = &logBuffer{}
	s = open(t, redisstore.Config{URL: "redis://app:secret@" + server.Addr, Logger: log.logger()})
	first(t, s, 2, true)
	if s.Health().Policy != "" || strings.Contains(log.String(), "WARN") {
		t.Errorf("%q, %s", s.Health().Policy, log)
	}
}

func TestCluster(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, "--cluster-enabled", "yes", "--cluster-port", redistest.FreePort(t)) // the default, 10000 more than the port, may be out of range
	if got := server.Do("CLUSTER", "ADDSLOTSRANGE", "0", "16383"); got != "+OK" {
		t.Fatal(got)
	}
	s := open(t, redisstore.Config{URL: server.URL()})
	for n := range 20 {
		if got := recovers(t, s, n); !got && n > 0 { // the cluster needs a moment
			t.Errorf("proof %d was not the first", n)
		}
		first(t, s, n, false)
	}
	server.Kill()
	fails(t, s, 100, "")
}

func TestSentinel(t *testing.T) {
	t.Parallel()
	primary := redistest.Start(t, "--repl-diskless-sync-delay", "0")
	host, port, _ := strings.Cut(primary.Addr, ":")
	replica := redistest.Start(t, "--replicaof", host+" "+port)
	sentinel := redistest.Start(t, "--sentinel")
	if got := sentinel.Do("SENTINEL", "MONITOR", "main", host, port, "1"); got != "+OK" {
		t.Fatal(got)
	}
	s := open(t, redisstore.Config{URL: sentinel.URL() + "?master_set=main"})
	first(t, s, 1, true)
	first(t, s, 1, false)
	_, replicaPort, _ := strings.Cut(replica.Addr, ":")
	until := func(what string, ok func() bool) {
		t.Helper()
		for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(20 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal(what)
			}
		}
	}
	until("the replica is not in step", func() bool {
		return strings.Contains(replica.Do("INFO", "replication"), "master_link_status:up") && replica.Do("DBSIZE") == ":1"
	})
	until("no failover", func() bool { return sentinel.Do("SENTINEL", "FAILOVER", "main") == "+OK" })
	n := 100
	until("the store does not follow", func() bool {
		n++
		_, _ = s.First(ctx, id(n), inAMinute())
		return strings.Contains(replica.Do("INFO", "replication"), "role:master") && replica.Do("DBSIZE") != ":1" &&
			strings.Contains(sentinel.Do("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "main"), replicaPort)
	})
	recovers(t, s, 2)
	first(t, s, 1, false) // the replica had it
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
