package upstream

import (
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// A transport is an http.Transport that can leave its connections behind. One
// that has gone silent (a firewall has forgotten it, a peer has died) would
// otherwise be used for all calls over HTTP/2 until the system gives it up,
// many minutes later (golang/go#36026).
type transport struct {
	current atomic.Pointer[http.Transport]
}

// newTransport makes a transport of the kit's own, or a copy of base.
func newTransport(base *http.Transport, timeout time.Duration, dns *net.Resolver) *transport {
	if base == nil {
		base = &http.Transport{
			Proxy:               http.ProxyFromEnvironment,
			DialContext:         newDialer(timeout, dns).DialContext,
			ForceAttemptHTTP2:   true,
			MaxIdleConnsPerHost: 32,
		}
	} else {
		base = base.Clone()
	}
	if base.MaxResponseHeaderBytes <= 0 || base.MaxResponseHeaderBytes > maxHeader {
		base.MaxResponseHeaderBytes = maxHeader
	}
	if base.IdleConnTimeout == 0 {
		base.IdleConnTimeout = 30 * time.Second
	}
	t := &transport{}
	t.current.Store(base)
	return t
}

func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	return t.current.Load().RoundTrip(r)
}

// CloseIdleConnections is for [http.Client].
func (t *transport) CloseIdleConnections() { t.current.Load().CloseIdleConnections() }

// leave has later calls make new connections, if old is still in use. Calls that
// are under way keep theirs.
func (t *transport) leave(old *http.Transport) {
	if t.current.Load() == old {
		t.current.CompareAndSwap(old, old.Clone())
	}
	old.CloseIdleConnections()
}
