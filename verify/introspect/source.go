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

// Config says whom to ask and how.
type Config struct {
	// Auth is how this API authenticates. Required.
	Auth Auth
	// URL is the introspection endpoint. Default: the introspection_endpoint
	// of the issuer's OpenID or RFC 8414 metadata.
	URL string
	// Client has the transport to use: a proxy, private certificate
	// authorities, a client certificate. Timeout holds whatever it says, and
	// redirects are never followed: they would send the token and the
	// credentials elsewhere.
	//
	// An *http.Transport is copied, and so is http.DefaultTransport, which a
	// client without a transport stands for. The copy bounds an answer's
	// header to 64 KiB, and makes new connections after a call that has timed
	// out: one that has gone silent is not used again. Another RoundTripper
	// has to do both itself; where it is made of an http.Transport, by
	// MaxResponseHeaderBytes and HTTP2.SendPingTimeout.
	//
	// Default: a client of the source's own. It reaches a host of which not
	// all addresses, or not all name servers, answer.
	Client *http.Client
	// Timeout bounds one call, from the name server to the last byte, metadata
	// included; within 100 ms and 1 min. Default: 5 s.
	Timeout time.Duration
	// TTL is how long an answer that a token is active is reused: a revoked
	// token is refused that much later at the latest. Default: 10 s; [NoTTL]
	// asks every time; at most an hour.
	TTL time.Duration
	// Grace is how much longer such an answer may be reused while the server
	// cannot be reached or has an internal fault; [verify.Token.Stale] says
	// so. It never opens a route that wants a fresh answer. Default: none, at
	// most a day.
	Grace time.Duration
	// Signed believes signed answers alone (RFC 9701). Default: signed ones
	// are asked for if the server's metadata offers them, and plain ones are
	// believed too.
	Signed bool
	// CacheSize is how many answers are remembered that a token is active,
	// each of at most 2 KiB; larger ones count as several. Those for inactive
	// tokens have a quarter of that beside it. Default: 16384.
	CacheSize int
	// InsecureHTTP allows http to hosts other than this one: whoever is on
	// the way reads tokens and credentials.
	InsecureHTTP bool
	// Logger gets one record for each change of state. Default:
	// slog.Default().
	Logger *slog.Logger
}

// NoTTL as [Config.TTL] reuses no answer that a token is active.
const NoTTL time.Duration = -1

const (
	defaultTTL  = 10 * time.Second
	maxTTL      = time.Hour
	maxGrace    = 24 * time.Hour
	inactiveTTL = 5 * time.Second // RFC 7662 section 4: a token does not come back to life
)

// New makes a source. It starts nothing: [Source.Check] reports what is wrong
// with the configuration, and the first question is the first call.
func New(c Config) *Source {
	s := &Source{config: c, cache: newCache(c.CacheSize), flights: map[digest]*flight{}, now: time.Now}
	s.lanes = [...]lane{stranger: newLane(strangerCalls), known: newLane(knownCalls)}
	s.report.unready = errUnasked
	s.client = upstream.New(upstream.Config{HTTP: c.Client, Timeout: c.Timeout})
	s.life, s.end = context.WithCancel(context.Background())
	return s
}

// A Source asks one issuer about tokens, and remembers what it said. It is safe
// for concurrent use.
type Source struct {
	config Config
	now    func() time.Time
	client *upstream.Client
	life   context.Context // ends with Close
	end    context.CancelFunc
	cache  *cache
	lanes  [2]lane            // of calls about strangers' tokens, and about known ones
	shared singleflight.Group // of what is not about a caller's token

	mu      sync.Mutex // held for moments only
	flights map[digest]*flight
	bound   bool
	issuer  string
	open    verify.Opener
	place   place
	report  report
	slow    bool // a probe was answered, but later than patience
	own     bool // the next probe is the source's own question
}

// Check reports every fault that keeps the source from being bound to an
// issuer, joined, each as a [*verify.Fault]: what is wrong with the
// configuration, that a verifier has the source already, or that it is closed.
// It changes nothing.
func (s *Source) Check(issuer string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.faultsOf(issuer)
}

// Bind ties the source to an issuer and to the verifier of open, whose keys
// signed answers are checked with. It returns what [Source.Check] does, and then
// the source is as it was. Another verifier needs a source of its own, also for
// the same issuer.
func (s *Source) Bind(issuer string, open verify.Opener) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.faultsOf(issuer); err != nil {
		return err
	}
	s.bound, s.issuer, s.open = true, issuer, open
	return nil
}

// Unbind undoes Bind, before anything was asked.
func (s *Source) Unbind() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bound, s.issuer, s.open = false, "", nil
}

func (s *Source) faultsOf(issuer string) error {
	var bad faults.List[verify.Fault]
	c := &s.config
	if s.life.Err() != nil {
		bad.Add("", "the source is closed")
	}
	switch {
	case s.bound && s.issuer != issuer:
		bad.Add("Issuer", "is bound to another issuer already: a token is shown to its own issuer only")
	case s.bound:
		bad.Add("Issuer", "is bound by another verifier already: make a source for each verifier")
	}
	if c.URL != "" {
		u, problem := upstream.CheckURL(c.URL)
		switch {
		case problem != "":
			bad.Add("URL", "%s", problem)
		case !upstream.Secure(u, issuer, c.InsecureHTTP):
			bad.Add("URL", "%q is not https: somebody on the way could read tokens and credentials (InsecureHTTP allows it)", upstream.Redact(c.URL))
		}
	} else if u, problem := upstream.CheckURL(issuer); problem != "" || u.RawQuery != "" {
		bad.Add("URL", "is required: the issuer %q has no metadata", upstream.Redact(issuer))
	} else if !upstream.Secure(u, issuer, c.InsecureHTTP) {
		bad.Add("URL", "is required: the issuer %q is not https (InsecureHTTP allows it)", issuer)
	}
	switch {
	case c.Auth.problem != "":
		bad.Add("Auth", "%s", c.Auth.problem)
	case c.Auth.apply == nil:
		bad.Add("Auth", "is required")
	case c.Auth.certificate && c.Client == nil:
		bad.Add("Client", "is required with TLS: it has the certificate")
	}
	if problem := upstream.CheckTimeout(c.Timeout); problem != "" {
		bad.Add("Timeout", "%s", problem)
	}
	if c.TTL != NoTTL && (c.TTL < 0 || c.TTL > maxTTL) {
		bad.Add("TTL", "%v is not within 0 and %v", c.TTL, maxTTL)
	}
	if c.Grace < 0 || c.Grace > maxGrace {
		bad.Add("Grace", "%v is not within 0 and %v", c.Grace, maxGrace)
	}
	if c.CacheSize < 0 {
		bad.Add("CacheSize", "%d is negative", c.CacheSize)
	}
	return bad.Err()
}

// NeedsAudience reports that signed answers are demanded and that this client has
// no ID which could be their "aud" (RFC 9701 section 5): it has to be one of the
// issuer's audiences.
func (s *Source) NeedsAudience() bool { return s.config.Signed && s.config.Auth.clientID == "" }

// ttl is how long an active answer is reused.
func (s *Source) ttl() time.Duration {
	switch s.config.TTL {
	case 0:
		return defaultTTL
	case NoTTL:
		return 0
	}
	return s.config.TTL
}

// Introspect returns what the issuer says of a token, or has said within the
// time that answers are reused. It waits for a call at most as long as ctx and
// [Config.Timeout] last.
func (s *Source) Introspect(ctx context.Context, q *verify.Query) (*verify.Answer, error) {
	arrived := s.now()
	if q.CacheOnly {
		if r := s.cache.get(q.Digest); r != nil && !upstream.Reached(r.until, arrived) {
			return r.answer, nil
		}
		return nil, nil
	}
	if s.life.Err() != nil {
		return nil, fmt.Errorf("introspect: %w", errClosed)
	}
	if q.Fresh {
		// What was asked before this request came does not answer it.
		return s.ask(ctx, q)
	}
	if r := s.cache.get(q.Digest); r != nil && !upstream.Reached(r.until, arrived) {
		return r.answer, nil
	}
	a, err := s.join(ctx, q)
	if a != nil && a.Active && a.At.Before(arrived) && upstream.Since(a.At, s.now()) > s.ttl() {
		// The call that was joined had begun before and took longer than
		// answers may be reused. The next one begins now.
		a, err = s.join(ctx, q)
	}
	if isGraced(err) {
		// Looked at only now: a fresh answer may have come meanwhile.
		if r := s.cache.get(q.Digest); r != nil && r.graced != nil && !upstream.Reached(r.until.Add(s.config.Grace), s.now()) {
			s.count(func(c *Counters) { c.Graced++ })
			return r.graced, nil
		}
	}
	return a, err
}

// Close ends the source: calls that are under way are given up, and later
// questions get an error.
func (s *Source) Close() error {
	s.end()
	s.client.CloseIdle()
	return nil
}
