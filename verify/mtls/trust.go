package mtls

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
)

// A Trust says from whom a field is believed. The zero value believes nobody, and
// is a fault of the source.
type Trust struct {
	how      how
	prefixes []netip.Prefix
	keys     []Pin
	faults   []string
}

type how int

const (
	nobody how = iota
	peers
	unixSocket
	proxyCertificate
	anyPeer
)

// FromPeers believes connections from addresses in the prefixes. The server must
// have [ConnContext] as its ConnContext: http.Request.RemoteAddr is not used,
// because middleware overwrites it with what the client says. A listener of the
// PROXY protocol must not be in front: it replaces the peer's address with the
// client's.
func FromPeers(prefixes ...netip.Prefix) Trust {
	t := Trust{how: peers}
	if len(prefixes) == 0 {
		t.faults = append(t.faults, "needs the addresses of the proxies")
	}
	for i, p := range prefixes {
		if p.Addr().Is4In6() && p.Bits() >= 96 {
			p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
		}
		switch {
		case !p.IsValid():
			t.faults = append(t.faults, fmt.Sprintf("address %d is not valid", i))
		case p.Bits() == 0:
			t.faults = append(t.faults, "every address is a trusted one: say InsecureAnyPeer if nobody but the proxy can connect")
		}
		t.prefixes = append(t.prefixes, p)
	}
	return t
}

// FromUnixSocket believes connections through a Unix socket: who may connect is up
// to its file's permissions. The server must have [ConnContext] as its ConnContext.
func FromUnixSocket() Trust { return Trust{how: unixSocket} }

// A Pin is the SHA-256 hash of a certificate's public key, in the form of its
// SubjectPublicKeyInfo.
type Pin [sha256.Size]byte

// PinOf returns the pin of a certificate. It stays the same if the certificate is
// renewed with its key.
func PinOf(c *x509.Certificate) Pin { return sha256.Sum256(c.RawSubjectPublicKeyInfo) }

// FromProxyCertificate believes connections on which the proxy has authenticated
// itself with a client certificate. The pins are those of the proxy's certificates,
// or of an authority that signs for proxies alone. The server must
// verify certificates (tls.VerifyClientCertIfGiven or
// tls.RequireAndVerifyClientCert); one that it has not verified does not count.
func FromProxyCertificate(pins ...Pin) Trust {
	t := Trust{how: proxyCertificate, keys: slices.Clone(pins)}
	if len(pins) == 0 {
		t.faults = append(t.faults, "needs the pins of the proxies' certificates or of their authority")
	}
	return t
}

// InsecureAnyPeer believes everybody who can connect. It is for services that
// only the proxy can reach, which the network has to ensure: anyone else who
// connects can use tokens that are bound to the certificates of others.
func InsecureAnyPeer() Trust { return Trust{how: anyPeer} }

// problems returns the faults of the trust.
func (t Trust) problems() []string {
	if t.how == nobody {
		return []string{"is required: whose field is believed (FromPeers, FromProxyCertificate)"}
	}
	return t.faults
}

// check returns why the sender of a request is not believed.
func (t Trust) check(r *http.Request) error {
	if len(t.faults) > 0 {
		return ErrUntrusted
	}
	switch t.how {
	case anyPeer:
		return nil
	case proxyCertificate:
		return t.checkCertificate(r)
	case peers, unixSocket:
		return t.checkPeer(r)
	}
	return ErrUntrusted
}

func (t Trust) checkPeer(r *http.Request) error {
	p, ok := r.Context().Value(peerKey{}).(peer)
	switch {
	case !ok:
		return ErrNoPeer
	case t.how == unixSocket && p.unix:
		return nil
	case t.how == peers && slices.ContainsFunc(t.prefixes, func(n netip.Prefix) bool { return n.Contains(p.addr) }):
		return nil
	}
	return ErrUntrusted
}

func (t Trust) checkCertificate(r *http.Request) error {
	if r.TLS == nil {
		return ErrUntrusted
	}
	for _, chain := range r.TLS.VerifiedChains {
		for _, c := range chain {
			if slices.Contains(t.keys, PinOf(c)) {
				return nil
			}
		}
	}
	return ErrUntrusted
}

// A peer is the other end of a connection.
type peer struct {
	addr netip.Addr // not valid if it has none
	unix bool
}

type peerKey struct{}

// ConnContext keeps the peer's address of a connection in the context of its
// requests, where no field of a request can change it. It is for
// http.Server.ConnContext; a server that has one already calls it from there.
func ConnContext(ctx context.Context, c net.Conn) context.Context {
	var p peer
	switch a := c.RemoteAddr().(type) {
	case *net.TCPAddr:
		p.addr = a.AddrPort().Addr()
	case *net.UnixAddr:
		p.unix = true
	case nil:
	default:
		if ap, err := netip.ParseAddrPort(a.String()); err == nil {
			p.addr = ap.Addr()
		}
	}
	p.addr = p.addr.Unmap().WithZone("")
	return context.WithValue(ctx, peerKey{}, p)
}
