package introspect

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/sony/gobreaker/v2"

	"github.com/bearerkit/bearerkit/internal/part"
	"github.com/bearerkit/bearerkit/internal/upstream"
	"github.com/bearerkit/bearerkit/verify"
)

// Detail is the Detail of a source's [verify.Health].
type Detail struct {
	URL string // of the endpoint, without the values of its query; empty until it has been discovered
	// Open reports that a circuit breaker is open and lets only one call
	// through now and then: the breaker for known tokens, or the one for
	// tokens that anyone may have made up.
	Open        bool
	LastAttempt time.Time // when the last call about a token of a request ended
	Remembered  int       // approximate number of answers in the cache
	Counters    Counters
}

// Counters count since the source was made.
type Counters struct {
	Calls    uint64 // calls about tokens of requests
	Active   uint64 // answers that a token is active
	Inactive uint64 // answers that a token is not active
	Failures uint64 // calls that brought no answer
	Stale    uint64 // times an old answer was reused because of a failure
	Checks   uint64 // calls about an invented token, to see whether the server answers
}

// A report is what the source remembers for its Health and Ready. The source's lock
// guards it.
type report struct {
	status          part.Status
	fault           fault // while failing
	last            time.Time
	err             error
	failures        int // consecutive, of calls about known tokens
	unknownFailures int // consecutive, of calls about unknown tokens
	counters        Counters

	answered time.Time // when the server last answered
	unready  error     // why the source is not ready
	checking bool
	checked  time.Time // when the last check began
}

// Health returns the condition of the source; its Detail is a [Detail]. LastError is
// about the last call for a request.
func (s *Source) Health() verify.Health {
	d := Detail{
		Open:       s.lanes[unknown].breaker.State() != gobreaker.StateClosed || s.lanes[known].breaker.State() != gobreaker.StateClosed,
		Remembered: s.cache.good.EstimatedSize() + s.cache.bad.EstimatedSize(),
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r := &s.report
	d.URL, d.LastAttempt, d.Counters = s.url(), r.last, r.counters
	closed := s.ctx.Err() != nil
	h := verify.Health{
		Part: "introspection", Issuer: s.issuer, State: r.status.State(), Since: r.status.Since(),
		Ready: r.unready == nil && !closed, LastError: r.err, Detail: d,
	}
	if closed {
		h.State = verify.StateClosed
	}
	return h
}

func (s *Source) count(f func(*Counters)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(&s.report.counters)
}

const (
	// minFailures is how many consecutive failures that a token may have
	// caused make the source failing.
	minFailures = 5
	// checkEvery is the shortest time between two checks, and answerValidity
	// how long an answer shows that the server answers.
	checkEvery     = time.Second
	answerValidity = time.Minute
)

var errUnasked = errors.New("introspect: the authorization server has not been asked yet")

// Ready returns why tokens cannot be introspected now, or nil if they can. It does
// not wait: if in doubt, it asks the server about an invented token in the
// background, at most once a second, and a later call returns the result. Any answer
// about a token of a request shows that the server answers. Failures about such
// tokens never make the source unready by themselves, because a token may cause
// them.
func (s *Source) Ready() error {
	if s.ctx.Err() != nil {
		return fmt.Errorf("introspect: %w", errClosed)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r := &s.report
	if r.unready != nil || r.status.State() == verify.StateFailing || upstream.Since(r.answered, s.now()) > answerValidity {
		s.check()
	}
	return r.unready
}

// check asks the server about an invented token, unless that was done within
// checkEvery. mu must be held.
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
		_, _ = s.recorded(checkToken, ownCheck)
	}()
}

// note records how a call ended, and logs a change of state.
func (s *Source) note(from origin, began time.Time, active bool, err error) {
	var logs part.Log
	s.mu.Lock()
	now := s.now()
	s.noteCounters(from, now, active, err)
	r := &s.report
	before, since := r.status.State(), r.status.Since()
	fault := faultOf(err)
	failing := false
	switch {
	case err == nil:
		r.failures, r.unknownFailures = 0, 0
		r.answered, r.unready = now, nil
	case from == unknown:
		// Only a check tells whether the token is the cause.
		r.unknownFailures++
		if before != verify.StateFailing && (r.unknownFailures >= minFailures || before == verify.StateStarting && fault == faultSetup) {
			s.check()
		}
	case from == known:
		r.failures++
		failing = fault == faultTransport || r.failures >= minFailures || before == verify.StateStarting
	case r.answered.After(began): // the server has answered a later call
	case fault == faultServer && before != verify.StateFailing:
		r.unready = nil // the server answers, but not about invented tokens
	default:
		failing = fault != faultServer
		r.unready = fmt.Errorf("introspect: %w", err)
	}
	attrs := []slog.Attr{slog.String("issuer", s.issuer)}
	if url := s.url(); url != "" {
		attrs = append(attrs, slog.String("url", url))
	}
	switch {
	case err == nil && r.status.Set(verify.StateReady, now):
		if before == verify.StateFailing {
			logs.Add(slog.LevelInfo, "the authorization server answers again", "after", now.Sub(since).Round(time.Millisecond))
		} else {
			logs.Add(slog.LevelInfo, "the authorization server answers")
		}
	case failing && (r.status.Set(verify.StateFailing, now) || fault == faultSetup && r.fault != faultSetup):
		r.fault = fault
		if fault == faultSetup {
			logs.Add(slog.LevelError, "this client is not set up for introspection; tokens that need it get 503", "error", err)
		} else {
			logs.Add(slog.LevelWarn, "the authorization server gives no answer; tokens that need one get 503", "error", err)
		}
	}
	s.mu.Unlock()
	logs.Write(s.config.Logger, "introspect", attrs...)
}

// noteCounters counts a call. mu must be held.
func (s *Source) noteCounters(from origin, now time.Time, active bool, err error) {
	r := &s.report
	if from == ownCheck {
		r.counters.Checks++
		return
	}
	r.counters.Calls++
	r.last, r.err = now, err
	switch {
	case err != nil:
		r.counters.Failures++
	case active:
		r.counters.Active++
	default:
		r.counters.Inactive++
	}
}

// url returns the URL of the endpoint without secrets, or "" if it is not known. mu
// must be held.
func (s *Source) url() string {
	if s.config.URL != "" {
		return upstream.Redact(s.config.URL)
	}
	return upstream.Redact(s.endpoint.url)
}
