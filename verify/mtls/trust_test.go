package mtls_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/bearerkit/bearerkit/verify"
	"github.com/bearerkit/bearerkit/verify/mtls"
)

func prefixes(list ...string) (out []netip.Prefix) {
	for _, s := range list {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

// A conn is a connection from an address.
type conn struct {
	net.Conn
	addr net.Addr
}

func (c conn) RemoteAddr() net.Addr { return c.addr }

type textAddr string

func (a textAddr) Network() string { return "tcp" }
func (a textAddr) String() string  { return string(a) }

func tcp(s string) net.Addr { return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(s)) }

func TestFromPeers(t *testing.T) {
	unix := &net.UnixAddr{Net: "unix", Name: "/run/s"}
	for _, c := range []struct {
		name  string
		trust mtls.Trust
		peer  net.Addr
		want  mtls.Absence
	}{
		{"in the prefix", mtls.FromPeers(prefixes("10.0.0.0/8")...), tcp("10.1.2.3:4"), ""},
		{"one address", mtls.FromPeers(prefixes("10.1.2.3/32")...), tcp("10.1.2.3:4"), ""},
		{"in the second", mtls.FromPeers(prefixes("10.0.0.0/8", "192.0.2.0/24")...), tcp("192.0.2.7:4"), ""},
		{"in a prefix with host bits", mtls.FromPeers(prefixes("10.9.9.9/8")...), tcp("10.1.2.3:4"), ""},
		{"outside", mtls.FromPeers(prefixes("10.0.0.0/8")...), tcp("11.1.2.3:4"), mtls.ErrUntrusted},
		{"IPv4 on an IPv6 socket", mtls.FromPeers(prefixes("10.0.0.0/8")...), tcp("[::ffff:10.1.2.3]:4"), ""},
		{"IPv4 on an IPv6 socket, outside", mtls.FromPeers(prefixes("10.0.0.0/8")...), tcp("[::ffff:11.1.2.3]:4"), mtls.ErrUntrusted},
		{"a prefix of mapped addresses", mtls.FromPeers(prefixes("::ffff:10.0.0.0/104")...), tcp("10.1.2.3:4"), ""},
		{"a prefix of mapped addresses, outside", mtls.FromPeers(prefixes("::ffff:10.0.0.0/104")...), tcp("11.1.2.3:4"), mtls.ErrUntrusted},
		{"IPv6", mtls.FromPeers(prefixes("fd00::/8")...), tcp("[fd00::1]:4"), ""},
		{"IPv6, outside", mtls.FromPeers(prefixes("fd00::/8")...), tcp("[2001:db8::1]:4"), mtls.ErrUntrusted},
		{"IPv6 with a zone", mtls.FromPeers(prefixes("fe80::/10")...), &net.TCPAddr{IP: net.ParseIP("fe80::1"), Port: 4, Zone: "eth0"}, ""},
		{"IPv4 is not IPv6", mtls.FromPeers(prefixes("::/1")...), tcp("10.1.2.3:4"), mtls.ErrUntrusted},
		{"an address as text", mtls.FromPeers(prefixes("10.0.0.0/8")...), textAddr("10.1.2.3:4"), ""},
		{"an address that is none", mtls.FromPeers(prefixes("10.0.0.0/8")...), textAddr("10.1.2.3"), mtls.ErrUntrusted},
		{"no address", mtls.FromPeers(prefixes("0.0.0.0/1")...), nil, mtls.ErrUntrusted},
		{"a Unix socket", mtls.FromPeers(prefixes("0.0.0.0/1", "::/1")...), unix, mtls.ErrUntrusted},
		{"a Unix socket that is trusted", mtls.FromUnixSocket(), unix, ""},
		{"TCP where a Unix socket is trusted", mtls.FromUnixSocket(), tcp("127.0.0.1:4"), mtls.ErrUntrusted},
		{"no address where a Unix socket is trusted", mtls.FromUnixSocket(), nil, mtls.ErrUntrusted},
		{"anybody", mtls.InsecureAnyPeer(), tcp("203.0.113.9:4"), ""},
		{"nobody", mtls.Trust{}, tcp("127.0.0.1:4"), mtls.ErrUntrusted},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := httptest.NewRequest("GET", "/", nil)
			r.Header.Set("Client-Cert", ":"+rfc8705+":")
			r = r.WithContext(mtls.ConnContext(r.Context(), conn{addr: c.peer}))
			r.RemoteAddr = "10.1.2.3:4" // does not count
			r.Header.Set("X-Forwarded-For", "10.1.2.3")
			got, err := mtls.ClientCert(c.trust).Thumbprint(r)
			if c.want == "" && (err != nil || mtls.Thumbprint(got).String() != x5t) || c.want != "" && err != c.want {
				t.Errorf("%v, %v", got, err)
			}
		})
	}
	r := httptest.NewRequest("GET", "/", nil)
	r.RemoteAddr = "10.1.2.3:4"
	r.Header.Set("Client-Cert", ":"+rfc8705+":")
	if _, err := mtls.ClientCert(mtls.FromPeers(prefixes("10.0.0.0/8")...)).Thumbprint(r); err != mtls.ErrNoPeer {
		t.Errorf("without ConnContext: %v", err)
	}
	r.Header.Del("Client-Cert") // then it is nobody's fault
	if _, err := mtls.ClientCert(mtls.FromPeers(prefixes("10.0.0.0/8")...)).Thumbprint(r); err != mtls.ErrNone {
		t.Errorf("without the field: %v", err)
	}
	for _, bad := range [][]netip.Prefix{nil, {{}}, prefixes("0.0.0.0/0"), prefixes("::/0"), prefixes("10.0.0.0/8", "::ffff:0:0/96")} {
		source := mtls.ClientCert(mtls.FromPeers(bad...))
		if faults := verify.Faults(source.Validate()); len(faults) != 1 || faults[0].Field != "Trust" {
			t.Errorf("%v: %v", bad, faults)
		}
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Client-Cert", ":"+rfc8705+":")
		r = r.WithContext(mtls.ConnContext(r.Context(), conn{addr: tcp("10.1.2.3:4")}))
		if _, err := source.Thumbprint(r); err != mtls.ErrUntrusted {
			t.Errorf("%v, which is a fault: %v", bad, err)
		}
	}
}

// answers returns a handler that tells what a source finds, and the answers.
func answers(source mtls.Source) (http.Handler, chan error) {
	found := make(chan error, 1)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.RemoteAddr = "10.1.2.3:4" // as a middleware may do
		_, err := source.Thumbprint(r)
		found <- err
	}), found
}

// TestConnContext asks real servers: plain, TLS with HTTP/2, and a Unix socket.
func TestConnContext(t *testing.T) {
	loopback := mtls.ClientCert(mtls.FromPeers(prefixes("127.0.0.0/8", "::1/128")...))
	for name, start := range map[string]func(*httptest.Server){
		"plain":      (*httptest.Server).Start,
		"TLS":        (*httptest.Server).StartTLS,
		"TLS with 2": func(s *httptest.Server) { s.EnableHTTP2 = true; s.StartTLS() },
	} {
		for _, c := range []struct {
			source mtls.Source
			want   error
		}{{loopback, nil}, {mtls.ClientCert(mtls.FromPeers(prefixes("10.0.0.0/8")...)), mtls.ErrUntrusted}} {
			handler, found := answers(c.source)
			server := httptest.NewUnstartedServer(handler)
			server.Config.ConnContext = mtls.ConnContext
			start(server)
			r, err := http.NewRequest("GET", server.URL, nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Client-Cert", ":"+rfc8705+":")
			res, err := server.Client().Do(r)
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			if got := <-found; got != c.want {
				t.Errorf("%s: %v, want %v", name, got, c.want)
			}
			server.Close()
		}
	}

	dir, err := os.MkdirTemp("", "mtls")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "s")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Skipf("no Unix sockets: %v", err)
	}
	handler, found := answers(mtls.ClientCert(mtls.FromUnixSocket()))
	server := &http.Server{Handler: handler, ConnContext: mtls.ConnContext}
	go server.Serve(listener)
	defer server.Close()
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}}
	defer transport.CloseIdleConnections()
	r, err := http.NewRequest("GET", "http://service/", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Client-Cert", ":"+rfc8705+":")
	res, err := (&http.Client{Transport: transport}).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if got := <-found; got != nil {
		t.Errorf("Unix socket: %v", got)
	}
}

// TestFromProxyCertificate has proxies authenticate themselves in real handshakes.
func TestFromProxyCertificate(t *testing.T) {
	ca, caKey := newCert(t, "authority of proxies", nil, nil)
	proxy, proxyKey := newCert(t, "proxy", ca, caKey)
	neighbour, neighbourKey := newCert(t, "neighbour", ca, caKey)
	stranger, strangerKey := newCert(t, "proxy", nil, nil)
	pool := x509.NewCertPool()
	pool.AddCert(ca)
	pair := func(c *x509.Certificate, key any, chain ...*x509.Certificate) []tls.Certificate {
		raw := [][]byte{c.Raw}
		for _, c := range chain {
			raw = append(raw, c.Raw)
		}
		return []tls.Certificate{{Certificate: raw, PrivateKey: key}}
	}
	leaf, authority := mtls.FromProxyCertificate(mtls.PinOf(proxy)), mtls.FromProxyCertificate(mtls.PinOf(ca))
	for _, c := range []struct {
		name  string
		trust mtls.Trust
		auth  tls.ClientAuthType
		certs []tls.Certificate
		want  error
	}{
		{"the proxy", leaf, tls.VerifyClientCertIfGiven, pair(proxy, proxyKey), nil},
		{"one of its authority", authority, tls.RequireAndVerifyClientCert, pair(proxy, proxyKey), nil},
		{"another of its authority", authority, tls.RequireAndVerifyClientCert, pair(neighbour, neighbourKey), nil},
		{"another of its authority, where one is meant", leaf, tls.VerifyClientCertIfGiven, pair(neighbour, neighbourKey), mtls.ErrUntrusted},
		{"none", leaf, tls.VerifyClientCertIfGiven, nil, mtls.ErrUntrusted},
		{"the proxy, but nobody has verified it", leaf, tls.RequireAnyClientCert, pair(proxy, proxyKey), mtls.ErrUntrusted},
		{"a stranger", leaf, tls.RequireAnyClientCert, pair(stranger, strangerKey), mtls.ErrUntrusted},
		{"a stranger who sends the authority's certificate along", authority, tls.RequireAnyClientCert, pair(stranger, strangerKey, ca), mtls.ErrUntrusted},
	} {
		t.Run(c.name, func(t *testing.T) {
			handler, found := answers(mtls.ClientCert(c.trust))
			server := httptest.NewUnstartedServer(handler)
			server.TLS = &tls.Config{ClientAuth: c.auth, ClientCAs: pool}
			server.StartTLS()
			defer server.Close()
			transport := server.Client().Transport.(*http.Transport).Clone()
			// Whatever authorities the server names.
			transport.TLSClientConfig.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
				if len(c.certs) == 0 {
					return &tls.Certificate{}, nil
				}
				return &c.certs[0], nil
			}
			defer transport.CloseIdleConnections()
			r, err := http.NewRequest("GET", server.URL, nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Client-Cert", ":"+rfc8705+":")
			res, err := (&http.Client{Transport: transport}).Do(r)
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			if got := <-found; got != c.want {
				t.Errorf("%v, want %v", got, c.want)
			}
		})
	}
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("Client-Cert", ":"+rfc8705+":")
	if _, err := mtls.ClientCert(leaf).Thumbprint(r); err != mtls.ErrUntrusted {
		t.Errorf("without TLS: %v", err)
	}
}
