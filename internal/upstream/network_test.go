package upstream_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/bearerkit/bearerkit/internal/nettest"
	"github.com/bearerkit/bearerkit/internal/upstream"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// limit is the bound of a call in tests: what they measure is in fractions of it.
const limit = 2 * time.Second

func get(t *testing.T, c *upstream.Client, url string) (time.Duration, error) {
	t.Helper()
	began := time.Now()
	_, err := c.Get(context.Background(), url, nil)
	return time.Since(began), err
}

// serveAt serves on an address of this machine, "" for any.
func serveAt(t *testing.T, addr string) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Skipf("this machine has no %s: %v", addr, err)
	}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("{}")) }))
	s.Listener.Close()
	s.Listener = l
	s.Start()
	t.Cleanup(s.Close)
	return netip.MustParseAddrPort(l.Addr().String())
}

func closing(t *testing.T, c upstream.Config) *upstream.Client {
	client := upstream.New(c)
	t.Cleanup(client.CloseIdle)
	return client
}

// Of a name's addresses, those that do not answer cost a moment each: the one
// that does is reached.
func TestAddressesThatDoNotAnswer(t *testing.T) {
	good := serveAt(t, "127.0.0.9:0")
	holes := []string{"127.0.0.5", "127.0.0.6", "127.0.0.7"}
	for _, h := range holes {
		if !nettest.BlackHole(t, netip.AddrPortFrom(netip.MustParseAddr(h), good.Port())) {
			t.Skip("this system has no address that does not answer")
		}
	}
	const alive, closed = "127.0.0.9", "127.0.0.8"
	for _, addrs := range [][]string{
		{alive}, {closed, alive}, {holes[0], alive}, {alive, holes[0]}, {holes[0], closed, alive},
		{holes[0], holes[1], holes[2], alive},
	} {
		t.Run(fmt.Sprint(addrs), func(t *testing.T) {
			t.Parallel()
			dns := nettest.NewNameServer(t, nil, addrs...)
			c := closing(t, upstream.Config{Timeout: limit, DNS: nettest.Resolver(dns)})
			took, err := get(t, c, fmt.Sprintf("http://issuer.test:%d/", good.Port()))
			if err != nil || took > limit/2 {
				t.Errorf("after %v: %v", took, err)
			}
		})
	}
	t.Run("none answers", func(t *testing.T) {
		t.Parallel()
		dns := nettest.NewNameServer(t, nil, holes[0], closed)
		c := closing(t, upstream.Config{Timeout: limit, DNS: nettest.Resolver(dns)})
		took, err := get(t, c, fmt.Sprintf("http://issuer.test:%d/", good.Port()))
		if err == nil || !strings.Contains(err.Error(), "cannot be reached") || took > limit*9/10 {
			t.Errorf("after %v: %v", took, err)
		}
	})
}

// Name servers that do not answer, or answer one of the two questions alone, do
// not keep those from being asked that do.
func TestNameServersThatDoNotAnswer(t *testing.T) {
	at := serveAt(t, "127.0.0.1:0")
	url := fmt.Sprintf("http://issuer.test:%d/", at.Port())
	dead := func(bool, int) bool { return true }
	for name, tc := range map[string]struct {
		servers func(t *testing.T) []*nettest.NameServer
		within  time.Duration
	}{
		"the first is dead": {func(t *testing.T) []*nettest.NameServer {
			return []*nettest.NameServer{nettest.NewNameServer(t, dead), nettest.NewNameServer(t, nil, "127.0.0.1")}
		}, limit / 2},
		"a question is lost": {func(t *testing.T) []*nettest.NameServer {
			lost := false
			return []*nettest.NameServer{nettest.NewNameServer(t, func(isIPv4 bool, _ int) bool {
				first := isIPv4 && !lost
				lost = lost || first
				return first
			}, "127.0.0.1")}
		}, limit / 2},
		"IPv6 is not answered": {func(t *testing.T) []*nettest.NameServer {
			return []*nettest.NameServer{nettest.NewNameServer(t, func(isIPv4 bool, _ int) bool { return !isIPv4 }, "127.0.0.1")}
		}, limit / 5},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := closing(t, upstream.Config{Timeout: limit, DNS: nettest.Resolver(tc.servers(t)...)})
			if took, err := get(t, c, url); err != nil || took > tc.within {
				t.Errorf("after %v: %v", took, err)
			}
		})
	}
	t.Run("all are dead", func(t *testing.T) {
		t.Parallel()
		c := closing(t, upstream.Config{Timeout: limit, DNS: nettest.Resolver(nettest.NewNameServer(t, dead))})
		if took, err := get(t, c, url); err == nil || !strings.Contains(err.Error(), "cannot be resolved") || took > limit {
			t.Errorf("after %v: %v", took, err)
		}
	})
	t.Run("the name is unknown", func(t *testing.T) {
		t.Parallel()
		c := closing(t, upstream.Config{Timeout: limit, DNS: nettest.Resolver(nettest.NewNameServer(t, nil))})
		if took, err := get(t, c, url); err == nil || !strings.Contains(err.Error(), "cannot be resolved") || took > limit/5 {
			t.Errorf("after %v: %v", took, err)
		}
	})
}

// Both families of a name are tried.
func TestBothFamilies(t *testing.T) {
	for alive, dead := range map[string]string{"::1": "127.0.0.1", "127.0.0.1": "::1"} {
		t.Run(alive, func(t *testing.T) {
			at := serveAt(t, net.JoinHostPort(alive, "0"))
			dns := nettest.NewNameServer(t, nil, dead, alive)
			c := closing(t, upstream.Config{Timeout: limit, DNS: nettest.Resolver(dns)})
			for _, host := range []string{"issuer.test", alive} {
				if took, err := get(t, c, "http://"+net.JoinHostPort(host, fmt.Sprint(at.Port()))); err != nil || took > limit/5 {
					t.Errorf("%s after %v: %v", host, took, err)
				}
			}
		})
	}
}

// A connection that has gone silent costs one call its time, over HTTP/2 as over
// HTTP/1.1: the next call makes a new one.
func TestSilentConnection(t *testing.T) {
	for _, major := range []int{1, 2} {
		t.Run(fmt.Sprintf("HTTP/%d", major), func(t *testing.T) {
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.ProtoMajor != major {
					t.Errorf("%s", r.Proto)
				}
				_, _ = w.Write([]byte("{}"))
			}))
			server.EnableHTTP2 = major == 2
			server.StartTLS()
			defer server.Close()
			proxy := nettest.NewProxy(t, server.Listener.Addr().String())
			shared := server.Client().Transport.(*http.Transport).Clone()
			shared.DialContext = proxy.DialContext
			c := closing(t, upstream.Config{HTTP: &http.Client{Transport: shared}, Timeout: 300 * time.Millisecond})
			for range 3 {
				if _, err := get(t, c, server.URL); err != nil {
					t.Fatal(err)
				}
			}
			if n := proxy.Connections(); n != 1 {
				t.Fatalf("%d connections", n)
			}
			proxy.Silence()
			// Over HTTP/2, calls that come while the silence lasts keep the old
			// connection busy.
			calls := 1
			if major == 2 {
				calls = 10
			}
			failed := make(chan error)
			for i := range calls {
				go func() {
					time.Sleep(time.Duration(i) * 20 * time.Millisecond)
					_, err := c.Get(context.Background(), server.URL, nil)
					failed <- err
				}()
			}
			if err := <-failed; err == nil || !strings.Contains(err.Error(), "in time") {
				t.Fatal(err)
			}
			for range 3 {
				if took, err := get(t, c, server.URL); err != nil {
					t.Fatalf("after %v: %v", took, err)
				}
			}
			for range calls - 1 {
				<-failed
			}
		})
	}
}

// A header that is too long is refused with any transport.
func TestLongHeader(t *testing.T) {
	for _, major := range []int{1, 2} {
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			for i := range 9 {
				w.Header().Set(fmt.Sprintf("X-%d", i), strings.Repeat("x", 100<<10))
			}
			if r.URL.Path == "/short" {
				clear(w.Header())
			}
			_, _ = w.Write([]byte("{}"))
		}))
		server.EnableHTTP2 = major == 2
		server.StartTLS()
		defer server.Close()
		base := server.Client().Transport.(*http.Transport)
		large := base.Clone()
		large.MaxResponseHeaderBytes = 64 << 20
		defer large.CloseIdleConnections()
		for name, rt := range map[string]http.RoundTripper{"default": base, "large": large, "foreign": transport(large.RoundTrip)} {
			t.Run(fmt.Sprintf("HTTP/%d/%s", major, name), func(t *testing.T) {
				c := closing(t, upstream.Config{HTTP: &http.Client{Transport: rt}})
				if _, err := get(t, c, server.URL+"/short"); err != nil {
					t.Error(err)
				}
				_, err := get(t, c, server.URL)
				if err == nil {
					t.Fatal("taken")
				}
				// A transport that could be copied does not even read it.
				if read := strings.Contains(err.Error(), "the header is longer"); read != (name == "foreign") {
					t.Error(err)
				}
			})
		}
	}
}
