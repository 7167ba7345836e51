package redisstore

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/redis/rueidis"
	"github.com/sony/gobreaker/v2"

	"github.com/bearerkit/bearerkit/verify"
	"github.com/bearerkit/bearerkit/verify/dpop"
)

// Config says where Redis is and which service uses it.
type Config struct {
	// URL is redis://user:password@host:port/db, rediss:// for TLS, or
	// unix:///path/to/socket?db=0. More addresses of a cluster follow as
	// "?addr=host:port"; with "?master_set=name" the addresses are those of
	// sentinels. Required.
	URL string
	// Service is the name of the service, which begins its keys. Services that
	// share a Redis have different ones. Required; printable ASCII without
	// blanks and braces.
	Service string
	// TLS is the configuration of a rediss:// connection: private authorities, a
	// client certificate. Default: the system's authorities.
	TLS *tls.Config
	// Timeout bounds a call, connecting included. Default: 500 ms; at most 2 s.
	Timeout time.Duration
	// Logger gets one record for each change of state. Default:
	// slog.Default().
	Logger *slog.Logger
	// Now is the clock by which the times that are given to the store are
	// measured. Default: time.Now.
	Now func() time.Time
}

const (
	defaultTimeout = 500 * time.Millisecond
	maxTimeout     = 2 * time.Second

	dialTimeout = time.Second // to connect, and again for the greeting
	pingTimeout = time.Second // after which a silent connection is given up

	// breakAfter failures in a row make calls fail at once; one tries every
	// breakFor.
	breakAfter = 3
	breakFor   = 250 * time.Millisecond

	// maxCalls bounds the calls under way. It is less than a connection holds, so
	// that none waits for room while the Redis is silent.
	maxCalls   = 512
	bufferSize = 32 << 10 // of a connection, each way, in bytes
)

// A Store keeps used proofs in Redis. It is safe for concurrent use.
type Store struct {
	option  rueidis.ClientOption
	prefix  string
	timeout time.Duration
	logger  *slog.Logger
	now     func() time.Time
	breaker *gobreaker.CircuitBreaker[bool]
	calls   chan struct{} // one for each call under way

	mu         sync.Mutex
	client     rueidis.Client // nil while there is no connection
	dialing    *dialing       // nil unless one is being made
	closed     bool
	background sync.WaitGroup

	report report
}

// A dialing is a connection that is being made.
type dialing struct {
	done   chan struct{} // closed when it has ended
	client rueidis.Client
	err    error
}

var _ dpop.ReplayStore = (*Store)(nil)

var (
	errClosed  = errors.New("redisstore: closed")
	errTimeout = errors.New("no answer from Redis in time")
	errBusy    = errors.New("too many calls wait for Redis")
)

// New makes a store. It connects to nothing; the first call does. The error joins
// a [verify.Fault] for each thing that is wrong with the configuration, and has
// nothing of the URL in it.
func New(c Config) (*Store, error) {
	var faults []error
	fault := func(field, problem string) { faults = append(faults, &verify.Fault{Field: field, Problem: problem}) }
	option, problem := options(c.URL, c.TLS)
	if problem != "" {
		fault("URL", problem)
	}
	switch {
	case c.Service == "":
		fault("Service", "is required")
	case strings.ContainsFunc(c.Service, func(r rune) bool { return r <= ' ' || r > '~' || r == '{' || r == '}' }):
		fault("Service", "has characters other than printable ASCII, or braces")
	}
	switch {
	case c.Timeout == 0:
		c.Timeout = defaultTimeout
	case c.Timeout < 0 || c.Timeout > maxTimeout:
		fault("Timeout", fmt.Sprintf("is not within 0 and %v", maxTimeout))
	}
	if len(faults) > 0 {
		return nil, fmt.Errorf("redisstore: invalid configuration: %w", errors.Join(faults...))
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	s := &Store{
		option:  option,
		prefix:  "bearerkit:" + c.Service + ":proof:",
		timeout: c.Timeout,
		logger:  c.Logger,
		now:     c.Now,
		calls:   make(chan struct{}, maxCalls),
	}
	s.breaker = gobreaker.NewCircuitBreaker[bool](gobreaker.Settings{
		Timeout:     breakFor,
		ReadyToTrip: func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= breakAfter },
	})
	return s, nil
}

// options reads a URL and says what is wrong with it, never what is in it.
func options(s string, config *tls.Config) (rueidis.ClientOption, string) {
	var none rueidis.ClientOption
	if s == "" {
		return none, "is required"
	}
	u, err := url.Parse(s)
	if err != nil {
		return none, "is not a URL"
	}
	switch u.Scheme {
	case "redis", "rediss", "valkey", "valkeys":
		if u.Hostname() == "" {
			return none, "has no host"
		}
	case "unix":
		if u.Path == "" {
			return none, "has no path"
		}
	default:
		return none, "is not a redis://, rediss:// or unix:// URL"
	}
	if u.Query().Has("skip_verify") {
		return none, "has skip_verify: give the authority that has signed the certificate in TLS"
	}
	o, err := rueidis.ParseURL(s)
	if err != nil {
		return none, "has a database number or an option that is not valid"
	}
	switch {
	case config != nil && o.TLSConfig == nil:
		return none, "is not a rediss:// URL, but TLS is set"
	case config != nil:
		name := o.TLSConfig.ServerName
		if o.TLSConfig = config.Clone(); o.TLSConfig.ServerName == "" {
			o.TLSConfig.ServerName = name
		}
	}
	o.Dialer.Timeout, o.Dialer.KeepAlive, o.ConnWriteTimeout = dialTimeout, time.Second, pingTimeout
	o.Sentinel.Dialer, o.Sentinel.TLSConfig = o.Dialer, o.TLSConfig
	o.ReadBufferEachConn, o.WriteBufferEachConn = bufferSize, bufferSize
	o.DisableCache = true // of replies, in the client: some servers do not have it
	o.DisableRetry = true
	o.PipelineMultiplex = -1 // one connection: calls at the same time share its round trips
	return o, ""
}

// First implements [dpop.ReplayStore], in one round trip. It ends within
// [Config.Timeout], but not sooner because the context is cancelled.
func (s *Store) First(ctx context.Context, id [32]byte, until time.Time) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	// Rounded up: a proof is remembered too long rather than too short.
	ttl := (until.Sub(s.now()) + time.Millisecond - 1).Milliseconds()
	if ttl <= 0 {
		return false, nil
	}
	var used rueidis.Client
	first, err := s.breaker.Execute(func() (first bool, err error) {
		// The request's end does not end the call: it would break the
		// connection, which others use as well.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.timeout)
		defer cancel()
		if used, err = s.connected(ctx); err != nil {
			return false, err
		}
		select {
		case s.calls <- struct{}{}:
			defer func() { <-s.calls }()
		case <-ctx.Done():
			return false, errBusy
		}
		return s.set(ctx, used, id, ttl)
	})
	switch {
	case err == nil:
		s.noteSuccess()
		return first, nil
	case errors.Is(err, errClosed):
		return false, err
	case errors.Is(err, gobreaker.ErrOpenState), errors.Is(err, gobreaker.ErrTooManyRequests):
		return false, fmt.Errorf("redisstore: not tried again yet: %w", s.lastError())
	}
	s.noteFailure(err)
	var reply replyError
	if errors.As(err, &reply) && reply == "READONLY" || !errors.As(err, &reply) && s.breaker.State() == gobreaker.StateOpen {
		// The server is a replica now, or nothing comes from it: the name may
		// lead to another one.
		s.drop(used)
	}
	return false, fmt.Errorf("redisstore: %w", err)
}

// set makes the one call: SET with NX and PX.
func (s *Store) set(ctx context.Context, c rueidis.Client, id [32]byte, ttl int64) (bool, error) {
	key := s.prefix + base64.RawURLEncoding.EncodeToString(id[:])
	err := c.Do(ctx, c.B().Set().Key(key).Value("").Nx().PxMilliseconds(ttl).Build()).Error()
	switch {
	case err == nil:
		return true, nil
	case rueidis.IsRedisNil(err):
		return false, nil
	}
	return false, explain(err)
}

// connected returns the client, and waits for the connection if there is none.
func (s *Store) connected(ctx context.Context) (rueidis.Client, error) {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil, errClosed
	}
	if c := s.client; c != nil {
		s.mu.Unlock()
		return c, nil
	}
	d := s.dialing
	if d == nil {
		d = &dialing{done: make(chan struct{})}
		s.dialing = d
		s.background.Go(func() { s.dial(d) })
	}
	s.mu.Unlock()
	select {
	case <-d.done:
		return d.client, d.err
	case <-ctx.Done():
		return nil, errTimeout
	}
}

// dial makes a connection. It belongs to no request: those that need it stop
// waiting, each at its own time.
func (s *Store) dial(d *dialing) {
	defer close(d.done)
	c, err := rueidis.NewClient(s.option)
	if err == nil {
		s.checkPolicy(c)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dialing = nil
	switch {
	case err != nil:
		d.err = explain(err)
	case s.closed:
		d.err = errClosed
		s.background.Go(c.Close)
	default:
		s.client, d.client = c, c
	}
}

// drop gives a client up; the next call makes a new one.
func (s *Store) drop(c rueidis.Client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c == nil || s.client != c || s.closed {
		return
	}
	s.client = nil
	s.background.Go(c.Close)
}

// Close closes the connections. Later calls get an error. It takes about a second
// if the Redis hangs, and so long after it a goroutine of a cluster's client may
// be left.
func (s *Store) Close() error {
	s.mu.Lock()
	c := s.client
	closing := !s.closed
	s.closed, s.client = true, nil
	s.mu.Unlock()
	if closing {
		s.report.close()
	}
	if c != nil {
		c.Close()
	}
	s.background.Wait()
	return nil
}
