package upstream

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"
)

// maxAddresses is how many addresses of a name are tried.
const maxAddresses = 8

// A dialer connects to hosts although some of their addresses, or some name servers,
// do not answer: it tries the others within the time of one call (RFC 8305).
// net.Dialer waits longer than that for the first address or name server.
type dialer struct {
	limit    time.Duration // for all of it
	attempt  time.Duration // for one address; leaves time for a lost packet
	stagger  time.Duration // between attempts while none succeeds
	resolver *net.Resolver
	dial     func(ctx context.Context, network, addr string) (net.Conn, error)
}

func newDialer(timeout time.Duration, dns *net.Resolver) *dialer {
	if dns == nil {
		dns = net.DefaultResolver
	}
	servers := &nameServers{dial: dns.Dial, limit: timeout / 4, failed: map[string]bool{}}
	if servers.dial == nil {
		servers.dial = new(net.Dialer).DialContext
	}
	return &dialer{
		limit:    9 * timeout / 10, // less than the call, so that the error tells the cause
		attempt:  2 * timeout / 5,
		stagger:  min(timeout/10, 300*time.Millisecond),
		resolver: &net.Resolver{PreferGo: dns.PreferGo, StrictErrors: dns.StrictErrors, Dial: servers.dialServer},
		dial:     new(net.Dialer).DialContext,
	}
}

// DialContext is for [net/http.Transport].
func (d *dialer) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, d.limit)
	defer cancel() // also ends the attempts that are no longer needed
	done := make(chan struct{})
	defer close(done)

	lookups := d.lookUp(ctx, host)
	attempts := make(chan attempt)
	next := time.NewTimer(d.stagger) // when to try the next address although others are still pending
	defer next.Stop()
	var todo []netip.Addr
	var failed error = &net.DNSError{Err: "no address", Name: host, IsNotFound: true}
	started, running := 0, 0
	for {
		if len(todo) > 0 && started == maxAddresses {
			todo = nil
		}
		select {
		case l, ok := <-lookups:
			if !ok {
				lookups = nil
			}
			todo = interleave(todo, l.addrs)
			failed = moreTelling(failed, l.err)
			if running > 0 {
				continue // the timer starts the next one
			}
		case a := <-attempts:
			running--
			if a.err == nil {
				return a.conn, nil
			}
			failed = moreTelling(failed, a.err)
		case <-next.C:
		case <-ctx.Done():
			if started == 0 {
				return nil, &net.DNSError{Err: "no answer", Name: host, IsTimeout: true}
			}
			return nil, moreTelling(failed, &net.OpError{Op: "dial", Net: network, Err: ctx.Err()})
		}
		switch {
		case len(todo) > 0:
			to := net.JoinHostPort(todo[0].String(), port)
			todo = todo[1:]
			started++
			running++
			go func() {
				a := d.try(ctx, network, to)
				select {
				case attempts <- a:
				case <-done:
					if a.conn != nil {
						a.conn.Close()
					}
				}
			}()
		case lookups == nil && running == 0:
			return nil, failed
		}
		next.Reset(d.stagger)
	}
}

type attempt struct {
	conn net.Conn
	err  error
}

func (d *dialer) try(ctx context.Context, network, addr string) attempt {
	ctx, cancel := context.WithTimeout(ctx, d.attempt)
	defer cancel()
	conn, err := d.dial(ctx, network, addr)
	return attempt{conn, err}
}

type lookup struct {
	addrs []netip.Addr
	err   error
}

// lookUp sends a host's addresses and closes the channel after the last. It looks up
// IPv4 and IPv6 separately, because some name servers never answer one of them.
func (d *dialer) lookUp(ctx context.Context, host string) <-chan lookup {
	found := make(chan lookup, 2)
	if ip, err := netip.ParseAddr(host); err == nil {
		found <- lookup{addrs: []netip.Addr{ip}}
		close(found)
		return found
	}
	var wg sync.WaitGroup
	for _, family := range []string{"ip6", "ip4"} {
		wg.Go(func() {
			addrs, err := d.resolver.LookupNetIP(ctx, family, host)
			found <- lookup{addrs, err}
		})
	}
	go func() {
		wg.Wait()
		close(found)
	}()
	return found
}

// interleave merges the addresses of the two families so that they alternate.
func interleave(a, b []netip.Addr) []netip.Addr {
	var all []netip.Addr
	for i := range max(len(a), len(b)) {
		if i < len(a) {
			all = append(all, a[i])
		}
		if i < len(b) {
			all = append(all, b[i].Unmap())
		}
	}
	return all
}

// moreTelling returns the error that says more about why there is no connection: an
// address that does not answer, then a failing name server, then an unknown name.
func moreTelling(a, b error) error {
	rank := func(err error) int {
		var dns *net.DNSError
		var family *net.AddrError
		switch {
		case err == nil:
			return 0
		case errors.As(err, &dns) && dns.IsNotFound, errors.As(err, &family):
			return 1
		case dns != nil:
			return 2
		}
		return 3
	}
	if rank(a) > rank(b) {
		return a
	}
	return b
}

// nameServers connects a resolver to name servers. By default Go's resolver waits for
// each of them as long as a whole call may last, and starts every question with
// the first.
type nameServers struct {
	dial  func(ctx context.Context, network, addr string) (net.Conn, error)
	limit time.Duration // for one question to one server, if there are others

	mu     sync.Mutex
	failed map[string]bool // servers that did not answer the last question
	good   string          // the server that answered last
}

func (n *nameServers) dialServer(ctx context.Context, network, server string) (net.Conn, error) {
	n.mu.Lock()
	limit := n.limit
	switch {
	case !n.failed[server]:
	case n.good == "" || n.good == server:
		limit = 0 // none is known to be better, so it may be slow
	default:
		limit /= 4
	}
	n.mu.Unlock()
	conn, err := n.dial(ctx, network, server)
	if err != nil {
		n.note(server, err)
		return nil, err
	}
	c := &serverConn{Conn: conn, servers: n, server: server, ctx: ctx}
	// The resolver ignores the context while it waits for an answer.
	c.stop = context.AfterFunc(ctx, func() { _ = conn.SetDeadline(longAgo) })
	if limit > 0 {
		c.until = time.Now().Add(limit)
	}
	if packets, ok := conn.(net.PacketConn); ok {
		return packetConn{c, packets}, nil
	}
	return c, nil
}

func (n *nameServers) note(server string, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.failed[server] = err != nil; err == nil {
		n.good = server
	} else if n.good == server {
		n.good = ""
	}
}

// A serverConn is a connection to a name server with an earlier deadline.
type serverConn struct {
	net.Conn
	servers *nameServers
	server  string
	until   time.Time // the latest deadline; zero for none
	ctx     context.Context
	stop    func() bool
}

func (c *serverConn) Close() error {
	c.stop()
	return c.Conn.Close()
}

func (c *serverConn) SetDeadline(t time.Time) error {
	if !c.until.IsZero() && (t.IsZero() || c.until.Before(t)) {
		t = c.until
	}
	err := c.Conn.SetDeadline(t)
	if c.ctx.Err() != nil {
		err = c.Conn.SetDeadline(longAgo)
	}
	return err
}

var longAgo = time.Unix(1, 0)

// A packetConn is a serverConn over UDP. The resolver checks for net.PacketConn to
// know whether messages are preceded by their length.
type packetConn struct {
	*serverConn
	packets net.PacketConn
}

func (c packetConn) ReadFrom(b []byte) (int, net.Addr, error) { return c.packets.ReadFrom(b) }

func (c packetConn) WriteTo(b []byte, to net.Addr) (int, error) { return c.packets.WriteTo(b, to) }

func (c *serverConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if err == nil || c.ctx.Err() == nil {
		c.servers.note(c.server, err)
	}
	return n, err
}
