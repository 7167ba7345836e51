package jwks

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bearerkit/bearerkit/internal/upstream"
	"github.com/bearerkit/bearerkit/verify"
)

// Config describes where an issuer's keys are. The zero value discovers them
// at the issuer that the source gets bound to.
type Config struct {
	// Issuer is the issuer identifier, exactly as in tokens and metadata: an
	// https URL. Default: the issuer that the source gets bound to.
	Issuer string
	// URL is where the key set is, for issuers without metadata. Default:
	// the jwks_uri of the issuer's OpenID or RFC 8414 metadata.
	URL string
	// Client has the transport to use: a proxy, private certificate
	// authorities. Timeout and the rule for redirects hold whatever it says.
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
	// Timeout bounds one call to the issuer, from the name server to the last
	// byte, and how long a request waits for it; within 100 ms and 1 min.
	// Default: 5 s.
	Timeout time.Duration
	// MaxStale is how long a key set serves after the issuer has confirmed it
	// for the last time; a second at least. Default: 24 h.
	MaxStale time.Duration
	// Snapshot is the path of a file that holds the last good keys, public as
	// they are, so that a restart during an outage of the issuer can serve at
	// once. The source writes it, replacing it as a whole, and reads it once
	// when it starts; where it cannot write a changed set, it removes the old
	// one. Neither the file nor its directory may be owned or writable by
	// another user. Default: none.
	Snapshot string
	// InsecureHTTP allows plain http: somebody on the way can then replace the
	// keys and issue tokens. Default: http is for an issuer on this machine
	// (localhost, a loopback address) alone, and for URLs on this machine.
	InsecureHTTP bool
	// Logger gets one record for each change of state. Default:
	// slog.Default().
	Logger *slog.Logger
	// Context ends the source when it ends, as Close does. Default: none.
	Context context.Context
}

const defaultMaxStale = 24 * time.Hour

// Discover is the source of the keys that an issuer's metadata points to
// (OpenID Connect Discovery 1.0 section 4, RFC 8414 section 3).
func Discover(issuer string) *Source {
	s := New(Config{Issuer: issuer})
	if issuer == "" {
		s.faults.add("Issuer", "is required")
	}
	return s
}

// URL is the source of a key set at a fixed place.
func URL(url string) *Source {
	s := New(Config{URL: url})
	if url == "" {
		s.faults.add("URL", "is required")
	}
	return s
}

// New makes a source. It starts nothing: [Source.Check] reports what is wrong
// with the configuration, and the first [Source.KeySet] or [Source.Refresh]
// after [Source.Bind] starts the goroutine that keeps the set fresh until Close.
// [verify.New] calls all of them.
func New(c Config) *Source {
	return &Source{config: c, now: time.Now}
}

// A Source keeps the key set of one issuer fresh. It is safe for concurrent
// use.
type Source struct {
	config Config
	faults faults // that New and its like found
	now    func() time.Time

	view atomic.Pointer[view] // nil until the source has started

	mu     sync.Mutex // held for moments only, never while something is awaited
	issuer string     // bound to
	bound  int        // how many times; several verifiers may share the source
	ctx    context.Context
	cancel context.CancelFunc
	wake   chan struct{} // tells the refresher that the plan has changed
	closed bool
	plan   plan
	report report

	fetcher  *fetcher     // the refresher's own
	snapshot snapshotFile // its mutable part is guarded by mu
}

// A view is what requests see: they load it and never wait for more.
type view struct {
	set     *verify.KeySet
	keys    []verify.Key // that set was made of
	fetched time.Time    // when the issuer confirmed the set
	until   time.Time    // when it becomes too old to be used
	due     time.Time    // when the next fetch is, if that is known
	err     error        // why there is no set, or none newer
}

var (
	errClosed   = errors.New("jwks: the key source is closed")
	errUnbound  = errors.New("jwks: the key source is not bound to an issuer")
	errStarting = errors.New("jwks: the key set has not been fetched yet")
)

// Check reports every fault that keeps the source from having the keys of an
// issuer, joined, each as a [*verify.Fault]: what is wrong with the
// configuration, that the source is bound to another issuer, or that it is
// closed. It changes nothing.
func (s *Source) Check(issuer string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.check(issuer)
}

// Bind ties the source to an issuer. It returns what [Source.Check] does, and
// then the source is as it was.
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

// Unbind undoes one Bind. A source that nobody has bound can be bound to any
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

func (s *Source) check(issuer string) error {
	bad := append(faults(nil), s.faults...)
	c := &s.config
	if s.closed || c.Context != nil && c.Context.Err() != nil {
		bad.add("", "the key source is closed")
	}
	switch {
	case s.issuer != "" && s.issuer != issuer:
		bad.add("Issuer", "is bound to another issuer already: keys belong to one")
	case c.Issuer != "" && c.Issuer != issuer:
		bad.add("Issuer", "%q is not the issuer %q that the keys are for", upstream.Redact(c.Issuer), upstream.Redact(issuer))
	}
	if c.URL != "" {
		checkPlace(&bad, "URL", c.URL, issuer, c.InsecureHTTP)
	} else if len(s.faults) == 0 {
		name := c.Issuer
		if name == "" {
			name = issuer
		}
		u := checkPlace(&bad, "Issuer", name, name, c.InsecureHTTP)
		if u != nil && (u.RawQuery != "" || u.ForceQuery) {
			bad.add("Issuer", "%q has a query: it can have no metadata (RFC 8414 section 2); set URL", upstream.Redact(name))
		}
	}
	if c.MaxStale != 0 && c.MaxStale < time.Second {
		bad.add("MaxStale", "%v is less than a second: a set would be too old before it can be refreshed", c.MaxStale)
	}
	if problem := upstream.CheckTimeout(c.Timeout); problem != "" {
		bad.add("Timeout", "%s", problem)
	}
	if c.Snapshot != "" {
		if problem := checkSnapshotPath(c.Snapshot); problem != "" {
			bad.add("Snapshot", "%q %s", c.Snapshot, problem)
		}
	}
	return bad.join()
}

// checkPlace checks a URL of the configuration.
func checkPlace(bad *faults, field, s, issuer string, insecureHTTP bool) *url.URL {
	u, problem := upstream.CheckURL(s)
	switch {
	case problem != "":
		bad.add(field, "%q %s", upstream.Redact(s), problem)
		return nil
	case !upstream.Secure(u, issuer, insecureHTTP):
		bad.add(field, "%q is not https: somebody on the way could replace the keys (InsecureHTTP allows it, and so does an issuer on this machine for URLs on this machine)", upstream.Redact(s))
	}
	return u
}

// KeySet returns the key set to use now. It waits for nothing but, in its first
// call, for the snapshot to be read.
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
		s.poke() // the refresher's timer may have slept with the machine
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
		return nil, fmt.Errorf("jwks: the last key set is too old, from %s: %w", v.fetched.UTC().Format(time.RFC3339), v.err)
	}
	return nil, fmt.Errorf("jwks: the last key set is too old, from %s", v.fetched.UTC().Format(time.RFC3339))
}

// start starts the refresher, once. The snapshot is read first, so that nobody
// waits for the issuer while the keys of an hour ago lie on the disk.
func (s *Source) start() error {
	var logs logs
	defer func() { logs.write(s) }()
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
		s.moved()
	}})
	s.fetcher = f
	parent := c.Context
	if parent == nil {
		parent = context.Background()
	}
	s.ctx, s.cancel = context.WithCancel(parent)
	s.wake = make(chan struct{}, 1)
	now := s.now()
	s.plan.init(now)
	s.report.since, s.report.state = now, StateStarting
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

// Close ends the source: a fetch that is under way is given up, and from now on
// there is no key set. It returns at once and may be called more than once.
func (s *Source) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	s.view.Store(&view{err: errClosed})
	s.report.to(StateClosed, s.now())
	if s.cancel != nil {
		s.cancel()
	}
	if s.fetcher != nil {
		s.fetcher.client.CloseIdle()
	}
	return nil
}

// faults collects what is wrong with a configuration.
type faults []error

func (f *faults) add(field, format string, args ...any) {
	*f = append(*f, &verify.Fault{Field: field, Problem: fmt.Sprintf(format, args...)})
}

func (f faults) join() error { return errors.Join(f...) }
