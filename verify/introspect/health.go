package introspect

import (
	"context"
	"errors"
	"fmt"
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
	// Open says that a circuit breaker lets only one call through now and
	// then: the one for tokens that are known, or the one for those that
	// anybody may have made up.
	Open        bool
	LastAttempt time.Time // when the last call ended
	LastError   error     // what was wrong with it; nil if nothing was
	Remembered  int       // answers at hand, about
	Counters    Counters
}

// Counters count since the source was made.
type Counters struct {
	Calls    uint64 // that were made about tokens of requests
	Active   uint64 // answers that a token is active
	Inactive uint64 // answers that it is not
	Failures uint64 // calls that brought no answer
	Graced   uint64 // times an old answer was reused because of that
	Checks   uint64 // calls about a made-up token, to find out whether the server answers
}

type report struct {
	state    State
	fault    fault // while failing
	since    time.Time
	last     time.Time
	err      error
	failures int // in a row, of calls about known tokens
	doubts   int // the same, about strangers' ones
	counters Counters

	answered time.Time // when there was an answer last
	unready  error     // why the source is not ready
	checking bool
	checked  time.Time // when the last check began
}

// Health returns how the source is doing.
func (s *Source) Health() Health {
	open := s.lanes[stranger].breaker.State() != gobreaker.StateClosed || s.lanes[known].breaker.State() != gobreaker.StateClosed
	n := s.cache.good.EstimatedSize() + s.cache.bad.EstimatedSize()
	s.mu.Lock()
	defer s.mu.Unlock()
	r := &s.report
	h := Health{
		Issuer: s.issuer, URL: s.url(), State: r.state, Since: r.since, Open: open,
		LastAttempt: r.last, LastError: r.err, Remembered: n, Counters: r.counters,
	}
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

const (
	// A failure that the caller's token could provoke becomes a state only if
	// it is repeated so often in a row.
	provoked = 5
	// checkEvery is how often the source asks its own question at most, and
	// believeFor how long an answer stands for more to come.
	checkEvery = time.Second
	believeFor = time.Minute
)

var errUnasked = errors.New("introspect: the authorization server has not been asked yet")

// Ready says why tokens cannot be asked about now, or nil if they can. It does not
// wait: if it is in doubt it asks the server about a made-up token in the
// background, at most once a second, and a later call says what came of it.
// Answers about callers' tokens, whatever they say, show that the server answers.
// Their failures alone never make a source unready: a token may provoke them.
func (s *Source) Ready() error {
	if s.life.Err() != nil {
		return fmt.Errorf("introspect: %w", errClosed)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r := &s.report
	if r.unready != nil || r.state == StateFailing || upstream.Since(r.answered, s.now()) > believeFor {
		s.check()
	}
	return r.unready
}

// check asks the source's own question, unless that was done lately; mu is held.
func (s *Source) check() {
	r := &s.report
	if r.checking || !r.checked.IsZero() && time.Since(r.checked) < checkEvery {
		return
	}
	r.checking, r.checked = true, time.Now()
	go func() {
		defer func() {
			s.mu.Lock()
			r.checking = false
			s.mu.Unlock()
		}()
		_, _ = s.noted(ownToken, self)
	}()
}

// note takes down how a call ended that began at some time, and logs a change of
// state.
func (s *Source) note(from asker, began time.Time, active bool, err error) {
	s.mu.Lock()
	r := &s.report
	now := s.now()
	before, since := r.state, r.since
	fault := faultOf(err)
	failing := false
	switch {
	case from == self:
		r.counters.Checks++
	case err != nil:
		r.counters.Failures++
	case active:
		r.counters.Active++
	default:
		r.counters.Inactive++
	}
	if from != self {
		r.counters.Calls++
		r.last, r.err = now, err
	}
	switch {
	case err == nil:
		r.state, r.failures, r.doubts = StateReady, 0, 0
		r.answered, r.unready = now, nil
	case from == stranger:
		// Whether it was the token, the source's own question tells.
		if r.doubts++; r.doubts >= provoked && r.state != StateFailing {
			s.check()
		}
		failing = r.state == "" && fault == faultSetup
	case from == known:
		r.failures++
		failing = fault == faultBroken || r.failures >= provoked || r.state == ""
	case r.answered.After(began): // the server has answered a later question
	case fault == faultAnswer && r.state != StateFailing:
		r.unready = nil // the server is there, but does not like made-up tokens
	default:
		failing = failing || fault != faultAnswer
		r.unready = fmt.Errorf("introspect: %w", err)
	}
	changed := false
	if failing && (before != StateFailing || fault == faultSetup && r.fault != faultSetup) {
		r.state, r.fault, changed = StateFailing, fault, true
	}
	if r.state != before {
		r.since, changed = now, true
	}
	to := r.state
	attrs := []slog.Attr{slog.String("issuer", s.issuer)}
	if url := s.url(); url != "" {
		attrs = append(attrs, slog.String("url", url))
	}
	s.mu.Unlock()
	switch {
	case !changed:
	case to == StateFailing && fault == faultSetup:
		s.log(slog.LevelError, "this client is not set up for introspection; what needs an answer is refused with 503", append(attrs, slog.Any("error", err)))
	case to == StateFailing:
		s.log(slog.LevelWarn, "the authorization server gives no answer; what needs one is refused with 503", append(attrs, slog.Any("error", err)))
	case before == StateFailing:
		s.log(slog.LevelInfo, "the authorization server answers again", append(attrs, slog.Duration("after", now.Sub(since).Round(time.Millisecond))))
	default:
		s.log(slog.LevelInfo, "the authorization server answers", attrs)
	}
}

// log writes a record. A handler that panics loses it, and nothing else.
func (s *Source) log(level slog.Level, what string, attrs []slog.Attr) {
	defer func() { _ = recover() }()
	logger := s.config.Logger
	if logger == nil {
		logger = slog.Default()
	}
	logger.LogAttrs(context.Background(), level, "introspect: "+what, attrs...)
}

// url returns where the endpoint is, without secrets, if that is known; mu is
// held.
func (s *Source) url() string {
	if s.config.URL != "" {
		return upstream.Redact(s.config.URL)
	}
	return upstream.Redact(s.place.url)
}
