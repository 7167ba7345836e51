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

// An Endpoint is an endpoint of an authorization server that resource servers use.
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

// A Server is an authorization server for tests. It is safe for concurrent use; its
// settings can be changed while it serves requests.
type Server struct {
	issuer    string
	origin    *url.URL // scheme and host of the issuer
	endpoints map[Endpoint]*endpoint
	paths     map[string]*endpoint
	client    *http.Client
	handlers  sync.WaitGroup // running request handlers, for Close

	mu       sync.Mutex
	up       bool
	closed   bool
	ctx      context.Context // canceled when the server goes down
	cancel   context.CancelFunc
	addr     string // to listen on; empty: in memory
	listener *http.Server
	serving  chan struct{} // closed when listener's Serve has returned

	keys    keyring
	tokens  map[digest]issued
	clients map[string]string // secret by client id
}

// An endpoint has the settings of an endpoint. The server's mu guards all but the
// first three fields.
type endpoint struct {
	name   Endpoint
	path   string
	answer http.HandlerFunc

	requests int
	faulty   http.Handler // nil without a fault
	header   http.Header  // of normal responses, in addition to the defaults
	metadata map[string]any
}

// NewServer starts a server on a free port of the loopback interface. It panics if it
// cannot. The issuer identifier is the server's URL.
func NewServer() *Server {
	s, err := Listen("127.0.0.1:0")
	if err != nil {
		panic(fmt.Sprintf("verifytest: %v", err))
	}
	return s
}

// Listen starts a server on a TCP address, such as "127.0.0.1:9000", or "localhost:0"
// for a free port. The issuer identifier is http:// and the address, with localhost
// if the address has no host.
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

// NewInMemory returns a server without a listener: its [Server.Client] calls it within
// the process. A test can also serve its [Server.Handler], with TLS for example.
// The issuer identifier is an http or https URL of any host, with or without a
// path; NewInMemory panics if it is not.
//
// With testing/synctest, create the server inside the bubble.
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
	s.ctx, s.cancel = context.WithCancel(context.Background())
	// One well-known path is appended to the path of the issuer, the other is
	// put before it (RFC 8414 section 5).
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

// serve serves on a listener. mu must be held.
func (s *Server) serve(l net.Listener) {
	s.listener = &http.Server{Handler: s, ReadHeaderTimeout: time.Minute}
	s.serving = make(chan struct{})
	go func(srv *http.Server, done chan<- struct{}) {
		defer close(done)
		_ = srv.Serve(l) // ends with Down or Close
	}(s.listener, s.serving)
}

// Issuer returns the issuer identifier, the "iss" of the server's tokens.
func (s *Server) Issuer() string { return s.issuer }

// Audience returns the default "aud" of the server's tokens.
func (s *Server) Audience() string { return defaultAudience }

// URL returns the URL of an endpoint.
func (s *Server) URL(e Endpoint) string { return s.origin.String() + s.endpoint(e).path }

// JWKSURL returns the URL of the key set.
func (s *Server) JWKSURL() string { return s.URL(JWKS) }

// Client returns a client for the server, until it is closed. The client of a server
// in memory cannot reach any other host.
func (s *Server) Client() *http.Client { return s.client }

// Handler returns the server's handler, for a listener or RoundTripper of the test.
// While the server is down, the handler closes the connection.
func (s *Server) Handler() http.Handler { return s }

// ServeHTTP answers a request: the server is its own [Server.Handler].
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h, up, ok := s.enter(r)
	if !ok {
		panic(http.ErrAbortHandler)
	}
	defer s.handlers.Done()
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(up, cancel)()
	h.ServeHTTP(w, r.WithContext(ctx))
}

// enter counts a request and returns its handler.
func (s *Server) enter(r *http.Request) (h http.Handler, up context.Context, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.up {
		return nil, nil, false
	}
	s.handlers.Add(1)
	e := s.paths[r.URL.EscapedPath()]
	if e == nil {
		return http.NotFoundHandler(), s.ctx, true
	}
	e.requests++
	if e.faulty != nil {
		return e.faulty, s.ctx, true
	}
	return e.answer, s.ctx, true
}

// Requests returns how many requests an endpoint has received, including those that a
// fault answered.
func (s *Server) Requests(e Endpoint) int {
	ep := s.endpoint(e)
	s.mu.Lock()
	defer s.mu.Unlock()
	return ep.requests
}

// Down makes the server unreachable: it closes all connections and refuses new ones,
// and cancels the contexts of requests under way. It does nothing if the server is
// down.
func (s *Server) Down() {
	s.mu.Lock()
	if !s.up {
		s.mu.Unlock()
		return
	}
	s.up = false
	listener, serving, cancel := s.listener, s.serving, s.cancel
	s.listener = nil
	s.mu.Unlock()
	// Close the connections first, so that no handler that ends with its
	// context can still send a response.
	if listener != nil {
		_ = listener.Close()
		<-serving
	}
	cancel()
}

// Up makes the server reachable again on the same port, with the same state. It panics
// if another program uses the port, and does nothing if the server is up or closed.
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
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.up = true
}

// relisten listens on a port that was in use a moment ago. The outgoing connection of
// another program may occupy it for a while.
func relisten(addr string) (net.Listener, error) {
	const patience, pause = 5 * time.Second, 10 * time.Millisecond
	for start := time.Now(); ; time.Sleep(pause) {
		l, err := net.Listen("tcp", addr)
		if err == nil || time.Since(start) > patience {
			return l, err
		}
	}
}

// Close stops the server for good. It cancels the contexts of requests under way and
// waits for their handlers. Another server may reuse the RSA keys that this one has
// generated, so do not use them after Close.
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
