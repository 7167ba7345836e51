package introspect

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/sony/gobreaker/v2"

	"github.com/bearerkit/bearerkit/internal/upstream"
)

// A State is how a source gets on with its server.
type State string

// The states of a source.
const (
	StateIdle    State = "idle"    // nothing has been asked yet
	StateReady   State = "ready"   // questions are answered
	StateFailing State = "failing" // they are not
	StateClosed  State = "closed"
)

// Health is what an operator wants to know about a source.
type Health struct {
	Issuer string
	URL    string // of the endpoint; empty until it has been discovered
	State  State
	Since  time.Time // when the source got into State
	// Open says that the circuit breaker lets only one call through now and
	// then.
	Open        bool
	LastAttempt time.Time // when the last call ended
	LastError   error     // what was wrong with it; nil if nothing was
	Remembered  int       // answers at hand, about
	Counters    Counters
}

// Counters count since the source was made.
type Counters struct {
	Calls    uint64 // that were made
	Active   uint64 // answers that a token is active
	Inactive uint64 // answers that it is not
	Failures uint64 // calls that brought no answer
	Graced   uint64 // times an old answer was reused because of that
}

type report struct {
	state    State
	since    time.Time
	last     time.Time
	err      error
	failures int // in a row
	counters Counters
}

// Health returns how the source is doing.
func (s *Source) Health() Health {
	open := s.breaker.State() != gobreaker.StateClosed
	n := s.cache.good.EstimatedSize() + s.cache.bad.EstimatedSize()
	s.mu.Lock()
	defer s.mu.Unlock()
	r := &s.report
	h := Health{
		Issuer: s.issuer, URL: s.config.URL, State: r.state, Since: r.since, Open: open,
		LastAttempt: r.last, LastError: r.err, Remembered: n, Counters: r.counters,
	}
	if h.URL == "" {
		h.URL = s.place.url
	}
	h.URL = upstream.Redact(h.URL)
	switch {
	case s.life.Err() != nil:
		h.State = StateClosed
	case h.State == "":
		h.State = StateIdle
	}
	return h
}

func (s *Source) count(f func(*Counters)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(&s.report.counters)
}

// A failure that a caller's token could provoke becomes a state only if it is
// repeated so often in a row.
const provoked = 5

// note takes down how a call ended, and logs a change of state.
func (s *Source) note(active bool, err error) {
	s.mu.Lock()
	r := &s.report
	now := time.Now()
	r.last, r.err = now, err
	r.counters.Calls++
	state := r.state
	var e *callError
	switch {
	case err == nil:
		state, r.failures = StateReady, 0
		if active {
			r.counters.Active++
		} else {
			r.counters.Inactive++
		}
	default:
		r.counters.Failures++
		r.failures++
		if errors.As(err, &e) && e.broken || r.failures >= provoked || state == "" {
			state = StateFailing
		}
	}
	before, since := r.state, r.since
	if state != before {
		r.state, r.since = state, now
	}
	logger, issuer := s.config.Logger, s.issuer
	s.mu.Unlock()
	if state == before {
		return
	}
	if logger == nil {
		logger = slog.Default()
	}
	ctx := context.Background()
	switch {
	case state == StateFailing:
		logger.LogAttrs(ctx, slog.LevelWarn, "introspect: the authorization server does not answer; what needs its answer is refused with 503",
			slog.String("issuer", issuer), slog.Any("error", err))
	case before == StateFailing:
		logger.LogAttrs(ctx, slog.LevelInfo, "introspect: the authorization server answers again",
			slog.String("issuer", issuer), slog.Duration("after", now.Sub(since).Round(time.Millisecond)))
	default:
		logger.LogAttrs(ctx, slog.LevelInfo, "introspect: the authorization server answers", slog.String("issuer", issuer))
	}
}
