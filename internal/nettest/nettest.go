// Package nettest has networks that misbehave in the ways that real ones do, on
// the loopback interface, for tests: connections that go silent, addresses and
// name servers that do not answer.
package nettest

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"
)

// A Proxy forwards TCP connections to an address, and can discard what they carry.
type Proxy struct {
	listener net.Listener
	target   string

	mu    sync.Mutex
	conns map[*pair]bool
	total int
	wg    sync.WaitGroup
}

type pair struct {
	client, server net.Conn
	mu             sync.Mutex
	silent         bool
}

// NewProxy starts a proxy, which is closed when the test ends.
func NewProxy(t testing.TB, target string) *Proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{listener: l, target: target, conns: map[*pair]bool{}}
	p.wg.Go(p.accept)
	t.Cleanup(p.close)
	return p
}

// Addr returns where the proxy listens.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// DialContext connects to the proxy, whatever the address: for an http.Transport.
func (p *Proxy) DialContext(ctx context.Context, network, _ string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, network, p.Addr())
}

// Silence discards from now on what the existing connections carry, in both directions,
// and keeps them open. New connections work.
func (p *Proxy) Silence() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		c.mu.Lock()
		c.silent = true
		c.mu.Unlock()
	}
}

// Connections returns how many were made so far.
func (p *Proxy) Connections() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.total
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.target)
		if err != nil {
			client.Close()
			continue
		}
		c := &pair{client: client, server: server}
		p.mu.Lock()
		p.conns[c] = true
		p.total++
		p.mu.Unlock()
		p.wg.Go(func() { c.forward(client, server) })
		p.wg.Go(func() { c.forward(server, client) })
	}
}

func (c *pair) forward(from, to net.Conn) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		c.mu.Lock()
		silent := c.silent
		c.mu.Unlock()
		if n > 0 && !silent {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			if err != io.EOF || !silent {
				to.Close()
			}
			return
		}
	}
}

func (p *Proxy) close() {
	p.listener.Close()
	p.mu.Lock()
	for c := range p.conns {
		c.client.Close()
		c.server.Close()
	}
	p.mu.Unlock()
	p.wg.Wait()
}

// A NameServer answers questions for addresses with the ones that it has, for
// every name.
type NameServer struct {
	conn  net.PacketConn
	addrs []netip.Addr
	wg    sync.WaitGroup

	mu   sync.Mutex
	drop func(isIPv4 bool, question int) bool
	n    int
}

// NewNameServer starts a name server, which is closed when the test ends. drop
// says which questions get no answer; it may be nil.
func NewNameServer(t testing.TB, drop func(isIPv4 bool, question int) bool, addrs ...string) *NameServer {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &NameServer{conn: conn, drop: drop}
	for _, a := range addrs {
		s.addrs = append(s.addrs, netip.MustParseAddr(a))
	}
	s.wg.Go(s.serve)
	t.Cleanup(func() { conn.Close(); s.wg.Wait() })
	return s
}

// Resolver returns a resolver whose first questions, for either family, are put
// to the first server, and all later ones to the last.
func Resolver(servers ...*NameServer) *net.Resolver {
	var mu sync.Mutex
	dials := 0
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		mu.Lock()
		to := servers[0]
		if dials++; dials > 2 {
			to = servers[len(servers)-1]
		}
		mu.Unlock()
		return new(net.Dialer).DialContext(ctx, "udp", to.conn.LocalAddr().String())
	}}
}

// Questions returns how many the server got.
func (s *NameServer) Questions() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.n
}

func (s *NameServer) serve() {
	buf := make([]byte, 1500)
	for {
		n, from, err := s.conn.ReadFrom(buf)
		if err != nil {
			return
		}
		reply, isIPv4 := s.reply(buf[:n])
		s.mu.Lock()
		s.n++
		dropped := reply == nil || s.drop != nil && s.drop(isIPv4, s.n)
		s.mu.Unlock()
		if !dropped {
			_, _ = s.conn.WriteTo(reply, from)
		}
	}
}

// reply answers a message (RFC 1035 section 4.1) with one question.
func (s *NameServer) reply(m []byte) (reply []byte, isIPv4 bool) {
	const header = 12
	end := header
	for end < len(m) && m[end] != 0 {
		end += 1 + int(m[end])
	}
	if end += 5; end > len(m) {
		return nil, false
	}
	isIPv4 = binary.BigEndian.Uint16(m[end-4:]) == 1
	reply = append(reply, m[:end]...)
	reply[2], reply[3] = 0x81, 0x80 // an answer; recursion is desired and available
	clear(reply[6:header])
	n := uint16(0)
	for _, a := range s.addrs {
		if a.Is4() != isIPv4 {
			continue
		}
		n++
		reply = append(reply, 0xc0, header)          // the name of the question
		reply = append(reply, m[end-4:end]...)       // its type and class
		reply = append(reply, 0, 0, 0, 0)            // TTL
		reply = append(reply, 0, byte(a.BitLen()/8)) // length
		reply = append(reply, a.AsSlice()...)
	}
	binary.BigEndian.PutUint16(reply[6:], n)
	return reply, isIPv4
}
