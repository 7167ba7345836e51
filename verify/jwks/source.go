package jwks

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bearerkit/bearerkit/internal/faults"
	"github.com/bearerkit/bearerkit/internal/part"
	"github.com/bearerkit/bearerkit/internal/upstream"
	"github.com/bearerkit/bearerkit/verify"
)

// Config says where an issuer publishes its keys. The zero value finds them
// through the metadata of the issuer that the source is bound to.
type Config struct {
	// Issuer is the issuer identifier, exactly as in tokens and metadata: an
	// https URL. Default: the issuer that the source is bound to.
	Issuer string
	// URL is the URL of the key set, for issuers without metadata. Default:
	// the jwks_uri of the issuer's OpenID or RFC 8414 metadata.
	URL string
	// Client provides the transport, for proxies or private certificate
	// authorities. Its Timeout and CheckRedirect are not used.
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
	// Timeout limits one call to the issuer, from name resolution to the last
	// byte, and how long a request waits for it; 100 ms to 1 min. Default: 5 s.
	Timeout time.Duration
	// MaxStale is how long a key set may be used after the issuer last
	// confirmed it; at least 1 s. Default: 24 h.
	MaxStale time.Duration
	// Snapshot is the path of a file for the last good public keys, so that a
	// service restarted during an outage of the issuer can verify tokens at
	// once. The source reads the file when it starts and replaces it
	// atomically; if a changed set cannot be written, it removes the old file.
	// Neither the file nor its directory may be owned or writable by another
	// user. Default: none.
	Snapshot string
	// InsecureHTTP allows plain http, which lets anyone on the network path
	// replace the keys and issue tokens. Default: http is allowed only if both
	// the issuer and the URL are on this machine (localhost or a loopback
	// address).
	InsecureHTTP bool
	// Logger receives one record for each change of state. Default:
	// slog.Default().
	Logger *slog.Logger
}

const defaultMaxStale = 24 * time.Hour

// Discover returns a source of the keys that an issuer's metadata points to
// (OpenID Connect Discovery 1.0 section 4, RFC 8414 section 3).
func Discover(issuer string) *Source {
	s := New(Config{Issuer: issuer})
	if issuer == "" {
		s.faults.Add("Issuer", "is required")
	}
	return s
}

// URL returns a source of the key set at a fixed URL.
func URL(url string) *Source {
	s := New(Config{URL: url})
	if url == "" {
		s.faults.Add("URL", "is required")
	}
	return s
}

// New returns a source. It starts nothing: [Source.Check] reports what is wrong
// with the configuration, and the first [Source.KeySet] or [Source.Refresh]
// after [Source.Bind] starts the goroutine that keeps the set fresh until
// [Source.Close]. [verify.New] calls all of them.
func New(c Config) *Source {
	return &Source{config: c, now: time.Now}
}

// A Source keeps the key set of one issuer fresh. It is safe for concurrent
// use.
type Source struct {
	config Config
	faults faults.List[verify.Fault] // found by the constructor
	now    func() time.Time

	view atomic.Pointer[view] // nil until the source has started

	mu     sync.Mutex // never held while waiting
	issuer string     // that the source is bound to
	bound  int        // how many times; several verifiers may share the source
	ctx    context.Context
	cancel context.CancelFunc
	wake   chan struct{} // tells the refresher that the plan has changed
	closed bool
	plan   plan
	report report

	fetcher  *fetcher     // used by the refresher only
	snapshot snapshotFile // mu guards its mutable part
}

// A view is what requests see. They load it without a lock.
type view struct {
	set     *verify.KeySet
	keys    []verify.Key // the keys in set
	fetched time.Time    // when the issuer confirmed the set
	until   time.Time    // when the set becomes too old to be used
	due     time.Time    // when the next fetch is due, if known
	err     error        // why there is no set, or no newer one
}

var (
	errClosed   = errors.New("jwks: the key source is closed")
	errUnbound  = errors.New("jwks: the key source is not bound to an issuer")
	errStarting = errors.New("jwks: the key set has not been fetched yet")
)

// Check returns every reason why the source cannot be bound to the issuer, joined,
// each a [*verify.Fault]: faults of the configuration, that the source is bound
// to another issuer, or that it is closed. It changes nothing.
func (s *Source) Check(issuer string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.check(issuer)
}

// Bind ties the source to an issuer. If [Source.Check] finds a fault, Bind returns
// it and changes nothing.
func (s *Source) Bind(issuer string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.check(issuer); err != nil {
		return err
	}
	if s.bound++; s.bound == 1 {
		s.issuer = issuer
	}
	return nil
}

// Unbind undoes one Bind. Once all are undone the source can be bound to any
// issuer, unless it has been started.
func (s *Source) Unbind() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bound > 0 && s.view.Load() == nil {
		if s.bound--; s.bound == 0 {
			s.issuer = ""
		}
	}
}

// Same reports whether another source has the same configuration, so that this one
// can be kept instead; see [verify.Config].FindIssuer. Clients and
// loggers are compared as pointers.
func (s *Source) Same(other verify.KeySource) bool {
	o, ok := other.(*Source)
	if !ok || len(s.faults)+len(o.faults) > 0 {
		return false
	}
	a, open := s.configured()
	b, alsoOpen := o.configured()
	return open && alsoOpen && a == b
}

// configured returns the configuration with its defaults, and whether the source
// is open.
func (s *Source) configured() (Config, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.config.withDefaults(), !s.closed
}

func (c Config) withDefaults() Config {
	c.MaxStale = cmp.Or(c.MaxStale, defaultMaxStale)
	c.Timeout = cmp.Or(c.Timeout, upstream.DefaultTimeout)
	return c
}

func (s *Source) check(issuer string) error {
	bad := slices.Clone(s.faults)
	c := &s.config
	if s.closed {
		bad.Add("", "the key source is closed")
	}
	switch {
	case s.issuer != "" && s.issuer != issuer:
		bad.Add("Issuer", "is already bound to another issuer: keys belong to one issuer")
	case c.Issuer != "" && c.Issuer != issuer:
		bad.Add("Issuer", "%q is not the issuer %q that the source is bound to", upstream.Redact(c.Issuer), upstream.Redact(issuer))
	}
	if c.URL != "" {
		checkURL(&bad, "URL", c.URL, issuer, c.InsecureHTTP)
	} else if len(s.faults) == 0 {
		name := c.Issuer
		if name == "" {
			name = issuer
		}
		u := checkURL(&bad, "Issuer", name, name, c.InsecureHTTP)
		if u != nil && (u.RawQuery != "" || u.ForceQuery) {
			bad.Add("Issuer", "%q has a query, so it cannot have metadata (RFC 8414 section 2): set URL", upstream.Redact(name))
		}
	}
	if c.MaxStale != 0 && c.MaxStale < time.Second {
		bad.Add("MaxStale", "%v is less than a second: a key set would be too old before it can be refreshed", c.MaxStale)
	}
	if problem := upstream.CheckTimeout(c.Timeout); problem != "" {
		bad.Add("Timeout", "%s", problem)
	}
	if c.Snapshot != "" {
		if problem := checkSnapshotPath(c.Snapshot); problem != "" {
			bad.Add("Snapshot", "%q %s", c.Snapshot, problem)
		}
	}
	return bad.Err()
}

// checkURL checks a URL in the configuration.
func checkURL(bad *faults.List[verify.Fault], field, s, issuer string, insecureHTTP bool) *url.URL {
	u, problem := upstream.CheckURL(s)
	switch {
	case problem != "":
		bad.Add(field, "%q %s", upstream.Redact(s), problem)
		return nil
	case !upstream.Secure(u, issuer, insecureHTTP):
		bad.Add(field, "%q is not https, so anyone on the network path could replace the keys (http is allowed if issuer and URL are both on this machine, or with InsecureHTTP)", upstream.Redact(s))
	}
	return u
}

// KeySet returns the key set to use now, or why there is none. It does not wait,
// except that the first call reads the snapshot.
func (s *Source) KeySet() (*verify.KeySet, error) {
	v := s.view.Load()
	if v == nil {
		if err := s.start(); err != nil {
			return nil, err
		}
		v = s.view.Load()
	}
	now := s.now()
	if !v.due.IsZero() && upstream.Reached(v.due, now) {
		s.poke() // timers stand still while the machine sleeps
	}
	return v.keySet(now)
}

func (v *view) keySet(now time.Time) (*verify.KeySet, error) {
	switch {
	case v.set == nil:
		return nil, v.err
	case !upstream.Reached(v.until, now):
		return v.set, nil
	case v.err != nil:
		return nil, fmt.Errorf("jwks: the last key set, from %s, is too old: %w", v.fetched.UTC().Format(time.RFC3339), v.err)
	}
	return nil, fmt.Errorf("jwks: the last key set, from %s, is too old", v.fetched.UTC().Format(time.RFC3339))
}

// start starts the refresher, once. It reads the snapshot first, so that no
// request waits for the issuer if there are recent keys on disk.
func (s *Source) start() error {
	var logs part.Log
	defer func() { s.write(logs) }()
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.view.Load() != nil:
		return nil // started, or closed
	case s.issuer == "":
		return errUnbound
	}
	c := s.config
	if c.MaxStale == 0 {
		s.config.MaxStale = defaultMaxStale
	}
	f := &fetcher{issuer: s.issuer, url: c.URL, discover: c.URL == "", insecureHTTP: c.InsecureHTTP, now: s.now}
	f.client = upstream.New(upstream.Config{HTTP: c.Client, Timeout: c.Timeout, Now: s.now, Quote: true, Seen: func(answer string) {
		f.lastAnswer = answer
		s.progressed()
	}})
	s.fetcher = f
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.wake = make(chan struct{}, 1)
	now := s.now()
	s.plan.init(now)
	s.report.status.Set(verify.StateStarting, now)
	first := &view{err: errStarting}
	if c.Snapshot != "" {
		s.snapshot = snapshotFile{path: c.Snapshot, issuer: s.issuer}
		if v := s.loadSnapshot(now, &logs); v != nil {
			first = v
		}
	}
	s.view.Store(first)
	go s.run()
	return nil
}

// Close stops the source: it cancels a fetch under way, and from now on there is no
// key set. It does not wait, always returns nil, and may be called more than once.
func (s *Source) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	s.view.Store(&view{err: errClosed})
	s.report.status.Set(verify.StateClosed, s.now())
	if s.cancel != nil {
		s.cancel()
	}
	if s.fetcher != nil {
		s.fetcher.client.CloseIdle()
	}
	return nil
}
