package verifytest

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// An Endpoint is one of the places where a resource server meets its
// authorization server.
type Endpoint string

// The endpoints.
const (
	OpenIDConfiguration Endpoint = "openid-configuration"       // metadata, OpenID Connect Discovery 1.0 section 4
	OAuthMetadata       Endpoint = "oauth-authorization-server" // metadata, RFC 8414 section 3
	JWKS                Endpoint = "jwks"                       // the key set, RFC 7517 section 5
	Introspection       Endpoint = "introspection"              // RFC 7662 section 2
	Revocation          Endpoint = "revocation"                 // RFC 7009 section 2
)

// Endpoints returns all endpoints.
func Endpoints() []Endpoint {
	return []Endpoint{OpenIDConfiguration, OAuthMetadata, JWKS, Introspection, Revocation}
}

const defaultAudience = "https://api.example.com"

// A Server is an authorization server for tests. It is safe for concurrent
// use, its adjustment included.
type Server struct {
	issuer    string
	origin    *url.URL // scheme and host of the issuer
	endpoints map[Endpoint]*endpoint
	paths     map[string]*endpoint
	client    *http.Client
	handlers  sync.WaitGroup // what runs for requests, so that Close can wait for it

	mu       sync.Mutex
	up       bool
	closed   bool
	life     context.Context // ends when the server goes down
	end      context.CancelFunc
	addr     string // to listen on; empty: in memory
	listener *http.Server
	serving  chan struct{} // closed when listener's Serve has returned

	keys    keyring
	tokens  map[digest]issued
	clients map[string]string // secret by client id
}

// endpoint has what can be adjusted about an endpoint; the server's mu guards
// all but the first three fields.
type endpoint struct {
	name   Endpoint
	path   string
	answer http.HandlerFunc

	requests int
	faulty   http.Handler // nil: in good health
	header   http.Header  // of every good answer, over the defaults
	metadata map[string]any
}

// NewServer starts a server on a free port of the loopback interface and
// panics if it cannot. Its issuer identifier is its URL.
func NewServer() *Server {
	s, err := Listen("127.0.0.1:0")
	if err != nil {
		panic(fmt.Sprintf("verifytest: %v", err))
	}
	return s
}

// Listen starts a server on a TCP address ("127.0.0.1:9000", or "localhost:0"
// for any free port). Its issuer identifier is http:// and the address, with
// localhost for an address that has no host.
func Listen(addr string) (*Server, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	host, _, err := net.SplitHostPort(addr)
	if ip := net.ParseIP(host); err != nil || host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	s := newServer("http://" + net.JoinHostPort(host, port))
	s.addr = l.Addr().String()
	s.client = &http.Client{Transport: http.DefaultTransport.(*http.Transport).Clone()}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.serve(l)
	return s, nil
}

// NewInMemory makes a server that listens nowhere: its [Server.Client] reaches
// it within the process, and its [Server.Handler] can be put behind a listener
// of the test's own (with TLS, say). The issuer identifier is an http or https
// URL of any host, with or without a path; NewInMemory panics if it is not.
//
// In a testing/synctest bubble, make the server inside of the bubble.
func NewInMemory(issuer string) *Server {
	s := newServer(issuer)
	s.client = &http.Client{Transport: memory{s}}
	return s
}

func newServer(issuer string) *Server {
	u, err := url.Parse(issuer)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		panic("verifytest: the issuer must be an http or https URL without query, fragment and user")
	}
	s := &Server{
		issuer:  issuer,
		origin:  &url.URL{Scheme: u.Scheme, Host: u.Host},
		up:      true,
		tokens:  map[digest]issued{},
		clients: map[string]string{ClientID: ClientSecret},
	}
	s.life, s.end = context.WithCancel(context.Background())
	// The one well-known path is put behind the issuer's own path, the other
	// one before it (RFC 8414 section 5).
	base := strings.TrimSuffix(u.EscapedPath(), "/")
	s.endpoints, s.paths = map[Endpoint]*endpoint{}, map[string]*endpoint{}
	for _, e := range []*endpoint{
		{name: OpenIDConfiguration, path: base + "/.well-known/openid-configuration", answer: s.serveMetadata(OpenIDConfiguration)},
		{name: OAuthMetadata, path: "/.well-known/oauth-authorization-server" + base, answer: s.serveMetadata(OAuthMetadata)},
		{name: JWKS, path: base + "/jwks", answer: s.serveKeys},
		{name: Introspection, path: base + "/introspect", answer: s.serveIntrospection},
		{name: Revocation, path: base + "/revoke", answer: s.serveRevocation},
	} {
		e.header = http.Header{}
		s.endpoints[e.name], s.paths[e.path] = e, e
	}
	s.keys.init()
	return s
}

// serve serves on a listener; mu is held.
func (s *Server) serve(l net.Listener) {
	s.listener = &http.Server{Handler: s, ReadHeaderTimeout: time.Minute}
	s.serving = make(chan struct{})
	go func(srv *http.Server, done chan<- struct{}) {
		defer close(done)
		_ = srv.Serve(l) // ends with Down or Close
	}(s.listener, s.serving)
}

// Issuer returns the issuer identifier, the "iss" of its tokens.
func (s *Server) Issuer() string { return s.issuer }

// Audience returns the "aud" that its tokens have by default.
func (s *Server) Audience() string { return defaultAudience }

// URL returns the address of an endpoint.
func (s *Server) URL(e Endpoint) string { return s.origin.String() + s.endpoint(e).path }

// JWKSURL returns the address of the key set.
func (s *Server) JWKSURL() string { return s.URL(JWKS) }

// Client returns a client that reaches the server, until it is closed. The
// client of a server in memory reaches nothing else: every other host is
// unknown to it.
func (s *Server) Client() *http.Client { return s.client }

// Handler returns what answers requests, for a listener or a RoundTripper of
// the test's own. While the server is down the handler cuts the connection.
func (s *Server) Handler() http.Handler { return s }

// ServeHTTP answers a request, as [Server.Handler].
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h, life, ok := s.enter(r)
	if !ok {
		panic(http.ErrAbortHandler)
	}
	defer s.handlers.Done()
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(life, cancel)()
	h.ServeHTTP(w, r.WithContext(ctx))
}

// enter counts a request in and finds its handler.
func (s *Server) enter(r *http.Request) (h http.Handler, life context.Context, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.up {
		return nil, nil, false
	}
	s.handlers.Add(1)
	e := s.paths[r.URL.EscapedPath()]
	if e == nil {
		return http.NotFoundHandler(), s.life, true
	}
	e.requests++
	if e.faulty != nil {
		return e.faulty, s.life, true
	}
	return e.answer, s.life, true
}

// Requests returns how many requests have reached an endpoint, those included
// that a fault answered.
func (s *Server) Requests(e Endpoint) int {
	ep := s.endpoint(e)
	s.mu.Lock()
	defer s.mu.Unlock()
	return ep.requests
}

// Down takes the server off the network: connections are cut, new ones are
// refused. Handlers still at work see their request's context end. It does
// nothing to a server that is down.
func (s *Server) Down() {
	s.mu.Lock()
	if !s.up {
		s.mu.Unlock()
		return
	}
	s.up = false
	listener, serving, end := s.listener, s.serving, s.end
	s.listener = nil
	s.mu.Unlock()
	// The connections go first, so that no handler that ends with its context
	// gets an answer through.
	if listener != nil {
		_ = listener.Close()
		<-serving
	}
	end()
}

// Up brings the server back, with all that it knew, on the same port. It
// panics if somebody else has taken the port, and does nothing to a server
// that is up or closed.
func (s *Server) Up() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.up || s.closed {
		return
	}
	if s.addr != "" {
		l, err := relisten(s.addr)
		if err != nil {
			panic(fmt.Sprintf("verifytest: %v", err))
		}
		s.serve(l)
	}
	s.life, s.end = context.WithCancel(context.Background())
	s.up = true
}

// relisten listens on a port that was in use a moment ago. An outgoing
// connection of some other program may sit on it for a while.
func relisten(addr string) (net.Listener, error) {
	const patience, pause = 5 * time.Second, 10 * time.Millisecond
	for start := time.Now(); ; time.Sleep(pause) {
		l, err := net.Listen("tcp", addr)
		if err == nil || time.Since(start) > patience {
			return l, err
		}
	}
}

// Close ends the server for good and waits for the handlers at work, whose
// requests' contexts have ended by then. RSA keys that the server generated
// itself may serve another server afterwards: do not use them any more.
func (s *Server) Close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.Down()
	s.client.CloseIdleConnections()
	s.handlers.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys.release()
}

func (s *Server) endpoint(e Endpoint) *endpoint {
	ep := s.endpoints[e]
	if ep == nil {
		panic(fmt.Sprintf("verifytest: no endpoint %q", string(e)))
	}
	return ep
}
