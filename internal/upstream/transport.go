package upstream

import (
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// A transport is an http.Transport that can abandon its connections. Otherwise an
// HTTP/2 connection that has gone silent, because a firewall dropped it or the peer
// died, would be used for all calls until the system gives it up many minutes later
// (golang/go#36026).
type transport struct {
	current atomic.Pointer[http.Transport]
}

// newTransport returns a copy of base, or the default transport if base is nil.
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

// CloseIdleConnections implements the interface that [http.Client] looks for.
func (t *transport) CloseIdleConnections() { t.current.Load().CloseIdleConnections() }

// abandon makes later calls open new connections, if old is the current transport.
// Calls under way keep theirs.
func (t *transport) abandon(old *http.Transport) {
	if t.current.Load() == old {
		t.current.CompareAndSwap(old, old.Clone())
	}
	old.CloseIdleConnections()
}
