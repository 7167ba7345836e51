//go:build unix

package redisstore_test

import (
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bearerkit/bearerkit/internal/redistest"
	"github.com/bearerkit/bearerkit/internal/testkit"
	"github.com/bearerkit/bearerkit/verify/redisstore"
)

func TestDown(t *testing.T) {
	t.Parallel()
	server := redistest.New(t)
	log := &testkit.LogBuffer{}
	s := open(t, redisstore.Config{URL: server.URL(), Logger: log.Logger()}) // starts without it
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
	took := time.Hour
	for range 3 { // a machine with other work may be slow once
		began := time.Now()
		if got, err := s.First(ctx, id(2), inAMinute()); err == nil {
			t.Errorf("%v from a Redis that hangs", got)
		}
		took = min(took, time.Since(began))
	}
	if took > 900*time.Millisecond {
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
	for end := time.Now().Add(30 * time.Second); strings.Count(server.Do("CLIENT", "LIST"), " addr=127") != 1; time.Sleep(5 * time.Millisecond) {
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
		log := &testkit.LogBuffer{}
		for _, c := range []struct{ user, want string }{{"", "NOAUTH"}, {":hunter2@", "WRONGPASS"}, {"nobody:hunter2@", "WRONGPASS"}} {
			s := open(t, redisstore.Config{URL: "redis://" + c.user + server.Addr, Logger: log.Logger()})
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
	log := &testkit.LogBuffer{}
	s := open(t, redisstore.Config{URL: server.URL(), Logger: log.Logger()})
	first(t, s, 1, true)
	if s.Health().Policy != "allkeys-lru" || !strings.Contains(log.String(), "level=WARN") || !strings.Contains(log.String(), "allkeys-lru") {
		t.Errorf("%q, %s", s.Health().Policy, log)
	}
	// Who may not ask is not warned, and not refused.
	server.Do("ACL", "SETUSER", "app", "on", ">secret", "~bearerkit:*", "+set", "+hello", "+client", "+auth")
	log = &testkit.LogBuffer{}
	s = open(t, redisstore.Config{URL: "redis://app:secret@" + server.Addr, Logger: log.Logger()})
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
		for end := time.Now().Add(60 * time.Second); !ok(); time.Sleep(20 * time.Millisecond) {
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
