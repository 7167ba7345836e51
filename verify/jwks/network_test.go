package jwks_test

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bearerkit/bearerkit/internal/nettest"
	"github.com/bearerkit/bearerkit/verify"
	"github.com/bearerkit/bearerkit/verify/jwks"
)

// The one HTTP/2 connection to the issuer goes silent, and new ones work
// (golang/go#36026): a rotation is noticed after the first call that is lost.
func TestSilentConnection(t *testing.T) {
	var set atomic.Value
	set.Store(document(newKey("a")))
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 2 {
			t.Error(r.Proto)
		}
		serving(set.Load().(string), "Cache-Control", "max-age=1")(w, r)
	}))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	proxy := nettest.NewProxy(t, server.Listener.Addr().String())
	transport := server.Client().Transport.(*http.Transport).Clone()
	transport.DialContext = proxy.DialContext
	s := open(t, jwks.Config{URL: server.URL, Client: &http.Client{Transport: transport}, Timeout: 300 * time.Millisecond})
	defer s.Close()
	if set, err := s.Refresh(t.Context(), verify.Demand{Satisfied: has("a")}); err != nil || !has("a")(set) {
		t.Fatal(err)
	}
	set.Store(document(newKey("b")))
	proxy.Silence()
	// A token signed with a new key arrives. Its client tries again as long as
	// the result is unavailable.
	began := time.Now()
	for {
		set, err := s.Refresh(t.Context(), verify.Demand{Satisfied: has("b")})
		if err == nil && has("b")(set) {
			break
		}
		if time.Since(began) > 10*time.Second {
			t.Fatalf("not noticed: %v", err)
		}
		time.Sleep(10 * time.Millisecond)
	}
	if n := healthOf(s).Counters.Failures; n != 1 {
		t.Errorf("%d calls were lost", n)
	}
}

// The issuer's name has an address that does not answer, and a name server that
// does not: the others are reached within the first fetch.
func TestDeadAddressAndNameServer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.9:0")
	if err != nil {
		t.Skip(err)
	}
	server := &httptest.Server{Listener: l, Config: &http.Server{Handler: serving(document(newKey("a")))}}
	server.Start()
	defer server.Close()
	port := l.Addr().(*net.TCPAddr).AddrPort().Port()
	if !nettest.BlackHole(t, netip.AddrPortFrom(netip.MustParseAddr("127.0.0.5"), port)) {
		t.Skip("this system has no address that does not answer")
	}
	dead := nettest.NewNameServer(t, func(bool, int) bool { return true })
	good := nettest.NewNameServer(t, nil, "127.0.0.5", "127.0.0.9")
	system := net.DefaultResolver
	net.DefaultResolver = nettest.Resolver(dead, good)
	defer func() { net.DefaultResolver = system }()
	s := open(t, jwks.Config{URL: fmt.Sprintf("http://issuer.test:%d/", port), InsecureHTTP: true, Timeout: 2 * time.Second})
	defer s.Close()
	if set, err := s.Refresh(t.Context(), verify.Demand{Satisfied: anySet}); err != nil || !has("a")(set) {
		t.Error(err)
	}
	if dead.Questions() == 0 || healthOf(s).Counters.Failures != 0 {
		t.Errorf("%d questions to the dead name server, %+v", dead.Questions(), healthOf(s))
	}
}

func TestTimeout(t *testing.T) {
	for d, want := range map[time.Duration]bool{
		0: true, 100 * time.Millisecond: true, time.Minute: true,
		-1: false, 1: false, time.Minute + 1: false,
	} {
		err := jwks.New(jwks.Config{Timeout: d}).Bind(issuerURL)
		faults := verify.Faults(err)
		if (err == nil) != want || !want && (len(faults) != 1 || faults[0].Field != "Timeout") {
			t.Errorf("%v: %v", d, err)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		for d, want := range map[time.Duration]time.Duration{0: 5 * time.Second, 20 * time.Second: 20 * time.Second, time.Second: time.Second} {
			s := open(t, jwks.Config{URL: keysURL, Client: &http.Client{Transport: &fakeIssuer{handler: hanging}}, Timeout: d})
			began := time.Now()
			if _, err := s.Refresh(t.Context(), verify.Demand{Satisfied: anySet}); err == nil {
				t.Error("no error")
			}
			if took := time.Since(began); took != want {
				t.Errorf("%v: gave up after %v", d, took)
			}
			s.Close()
		}
	})
}
