package introspect

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/bearerkit/bearerkit/internal/faults"
	"github.com/bearerkit/bearerkit/internal/upstream"
	"github.com/bearerkit/bearerkit/verify"
)

// Config says how to call the introspection endpoint. Auth is required.
type Config struct {
	// Auth is how this API authenticates to the endpoint. Required.
	Auth ClientAuth
	// URL is the introspection endpoint. Default: the introspection_endpoint
	// of the issuer's OpenID or RFC 8414 metadata.
	URL string
	// Client provides the transport, for proxies, private certificate
	// authorities or a client certificate. Its Timeout and CheckRedirect are
	// not used: redirects are never followed, because they would send the
	// token and the credentials elsewhere.
	//
	// The source works with a copy of an *http.Transport, or of
	// http.DefaultTransport if Client has no transport. The copy limits
	// response headers to 64 KiB, and opens new connections after a call that
	// timed out, so that a connection that has gone silent is not used again.
	// Any other RoundTripper must do both itself; if it wraps an
	// http.Transport, set MaxResponseHeaderBytes and HTTP2.SendPingTimeout.
	//
	// Default: a client that also reaches hosts when some of their addresses
	// or name servers do not answer.
	Client *http.Client
	// Timeout limits one call, from name resolution to the last byte,
	// including metadata; 100 ms to 1 min. Default: 5 s.
	Timeout time.Duration
	// TTL is how long an answer that a token is active is reused, and so how
	// long a revoked token may still be accepted; at most 1 h. [NoTTL] asks
	// every time. Default: 10 s.
	TTL time.Duration
	// Grace is how much longer such an answer may be reused while the server
	// cannot be reached or has an internal error; [verify.Token.Stale] is then
	// set. Queries that demand a fresh answer never get one. At most 24 h.
	// Default: none.
	Grace time.Duration
	// Signed accepts signed answers only (RFC 9701). Default: signed answers
	// are requested if the server's metadata offers them, and unsigned ones
	// are accepted too.
	Signed bool
	// CacheSize is how many active answers are remembered. An answer of more
	// than 2 KiB counts as several. A quarter as many inactive answers are
	// remembered in addition. Default: 16384.
	CacheSize int
	// InsecureHTTP allows plain http, which lets anyone on the network path
	// read tokens and credentials. Default: http is allowed only if both the
	// issuer and the URL are on this machine.
	InsecureHTTP bool
	// Logger receives one record for each change of state. Default:
	// slog.Default().
	Logger *slog.Logger
}

// NoTTL as [Config.TTL] means that no active answer is reused.
const NoTTL time.Duration = -1

const (
	defaultTTL  = 10 * time.Second
	maxTTL      = time.Hour
	maxGrace    = 24 * time.Hour
	inactiveTTL = 5 * time.Second // inactive tokens rarely become active
)

// New returns a source. It starts nothing: [Source.Check] reports what is wrong with
// the configuration, and the first query causes the first call.
func New(c Config) *Source {
	s := &Source{config: c, cache: newCache(c.CacheSize), calls: map[digest]*call{}, now: time.Now}
	s.lanes = [...]lane{unknown: newLane(unknownCalls), known: newLane(knownCalls)}
	s.report.unready = errUnasked
	s.client = upstream.New(upstream.Config{HTTP: c.Client, Timeout: c.Timeout})
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// A Source asks one issuer about tokens and remembers the answers. It is safe for
// concurrent use.
type Source struct {
	config Config
	now    func() time.Time
	client *upstream.Client
	ctx    context.Context // canceled by Close
	cancel context.CancelFunc
	cache  *cache
	lanes  [2]lane            // by origin: unknown and known
	shared singleflight.Group // of calls that are not about one token

	mu          sync.Mutex // never held while waiting
	calls       map[digest]*call
	bound       bool
	issuer      string
	open        verify.Opener
	endpoint    endpoint
	report      report
	slowButBack bool // the last probe was answered, but later than patience
}

// Check returns every reason why the source cannot be bound to the issuer, joined, each
// a [*verify.Fault]: faults of the configuration, that the source is bound already,
// or that it is closed. It changes nothing.
func (s *Source) Check(issuer string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.faultsOf(issuer)
}

// Bind ties the source to an issuer and to one verifier: open checks signed answers
// with its keys. If [Source.Check] finds a fault, Bind returns it and changes
// nothing. Another verifier needs another source, even for the same issuer.
func (s *Source) Bind(issuer string, open verify.Opener) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.faultsOf(issuer); err != nil {
		return err
	}
	s.bound, s.issuer, s.open = true, issuer, open
	return nil
}

// Unbind undoes Bind, before the first query.
func (s *Source) Unbind() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bound, s.issuer, s.open = false, "", nil
}

func (s *Source) faultsOf(issuer string) error {
	var bad faults.List[verify.Fault]
	c := &s.config
	if s.ctx.Err() != nil {
		bad.Add("", "the source is closed")
	}
	switch {
	case s.bound && s.issuer != issuer:
		bad.Add("Issuer", "is already bound to another issuer: a token is shown only to the issuer it comes from")
	case s.bound:
		bad.Add("Issuer", "is already bound by another verifier: each verifier needs its own source")
	}
	if c.URL != "" {
		u, problem := upstream.CheckURL(c.URL)
		switch {
		case problem != "":
			bad.Add("URL", "%s", problem)
		case !upstream.Secure(u, issuer, c.InsecureHTTP):
			bad.Add("URL", "%q is not https, so anyone on the network path could read tokens and credentials (http is allowed if issuer and URL are both on this machine, or with InsecureHTTP)", upstream.Redact(c.URL))
		}
	} else if u, problem := upstream.CheckURL(issuer); problem != "" || u.RawQuery != "" {
		bad.Add("URL", "is required, because the issuer %q cannot have metadata", upstream.Redact(issuer))
	} else if !upstream.Secure(u, issuer, c.InsecureHTTP) {
		bad.Add("URL", "is required, because the issuer %q is not https (or set InsecureHTTP)", issuer)
	}
	switch {
	case c.Auth.problem != "":
		bad.Add("Auth", "%s", c.Auth.problem)
	case c.Auth.apply == nil:
		bad.Add("Auth", "is required")
	case c.Auth.certificate && c.Client == nil:
		bad.Add("Client", "is required with TLS, for its certificate")
	}
	if problem := upstream.CheckTimeout(c.Timeout); problem != "" {
		bad.Add("Timeout", "%s", problem)
	}
	if c.TTL != NoTTL && (c.TTL < 0 || c.TTL > maxTTL) {
		bad.Add("TTL", "%v is not between 0 and %v", c.TTL, maxTTL)
	}
	if c.Grace < 0 || c.Grace > maxGrace {
		bad.Add("Grace", "%v is not between 0 and %v", c.Grace, maxGrace)
	}
	if c.CacheSize < 0 {
		bad.Add("CacheSize", "%d is negative", c.CacheSize)
	}
	return bad.Err()
}

// NeedsAudience reports whether the issuer needs an audience: signed answers are
// required, and without a client ID their "aud" (RFC 9701 section 5) can only be
// one of the issuer's audiences.
func (s *Source) NeedsAudience() bool { return s.config.Signed && s.config.Auth.clientID == "" }

// ttl returns how long an active answer is reused.
func (s *Source) ttl() time.Duration {
	switch s.config.TTL {
	case 0:
		return defaultTTL
	case NoTTL:
		return 0
	}
	return s.config.TTL
}

// Introspect returns the issuer's answer about a token, or an earlier one that may be
// reused. It waits for a call no longer than ctx and [Config.Timeout] allow. The
// error says that the issuer could not be asked.
func (s *Source) Introspect(ctx context.Context, q *verify.Query) (*verify.Answer, error) {
	arrived := s.now()
	if q.CacheOnly {
		if r := s.cache.get(q.Digest); r != nil && !upstream.Reached(r.until, arrived) {
			return r.answer, nil
		}
		return nil, nil
	}
	if s.ctx.Err() != nil {
		return nil, fmt.Errorf("introspect: %w", errClosed)
	}
	if q.Fresh {
		// A call that began before this request does not answer it.
		return s.callNow(ctx, q)
	}
	if r := s.cache.get(q.Digest); r != nil && !upstream.Reached(r.until, arrived) {
		return r.answer, nil
	}
	a, err := s.join(ctx, q)
	if a != nil && a.Active && a.At.Before(arrived) && upstream.Since(a.At, s.now()) > s.ttl() {
		// The joined call began earlier, and took longer than its answer may
		// be reused. The next one begins now.
		a, err = s.join(ctx, q)
	}
	if allowsStale(err) {
		// Look in the cache only now: it may have a newer answer.
		if r := s.cache.get(q.Digest); r != nil && r.stale != nil && !upstream.Reached(r.until.Add(s.config.Grace), s.now()) {
			s.count(func(c *Counters) { c.Stale++ })
			return r.stale, nil
		}
	}
	return a, err
}

// Close stops the source: calls under way are canceled, and later queries get an
// error. It does not wait, always returns nil, and may be called more than once.
func (s *Source) Close() error {
	s.cancel()
	s.client.CloseIdle()
	return nil
}
