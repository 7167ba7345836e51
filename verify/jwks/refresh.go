package jwks

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/bearerkit/bearerkit/internal/part"
	"github.com/bearerkit/bearerkit/internal/upstream"
	"github.com/bearerkit/bearerkit/verify"
)

// run is the refresher: the only goroutine that calls the issuer. It ends with
// Close.
func (s *Source) run() {
	defer s.fetcher.client.CloseIdle() // a connection may have become idle after Close
	timer := time.NewTimer(0)
	defer timer.Stop()
	for s.ctx.Err() == nil {
		a, pause := s.due()
		if a != nil {
			began := s.now()
			out, err := s.fetcher.fetch(s.ctx, a.demanded)
			s.finish(a, began, out, err)
			continue
		}
		timer.Reset(pause)
		select {
		case <-timer.C:
		case <-s.wake:
		case <-s.ctx.Done():
		}
	}
	// Waiting requests also select on s.ctx, so nothing has to be closed here.
}

// due returns the fetch to make now, or how long to wait for the next one.
func (s *Source) due() (*attempt, time.Duration) {
	var logs part.Log
	defer func() { s.write(logs) }()
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	v := s.view.Load()
	if v.set != nil && s.report.status.State() != verify.StateStale && upstream.Reached(v.until, now) {
		s.becomeStale(v, now, &logs)
	}
	if s.plan.due(now) {
		s.plan.startDue(now)
	}
	if a := s.plan.fetching; a != nil {
		s.report.counters.Fetches++
		s.plan.progress = now
		return a, 0
	}
	at := s.plan.next
	if v.set != nil && v.until.Before(at) && !upstream.Reached(v.until, now) {
		at = v.until
	}
	return nil, at.Sub(now)
}

// finish records how a fetch ended, plans the next one and releases the requests
// that wait for this one.
func (s *Source) finish(a *attempt, began time.Time, out *outcome, err error) {
	s.mu.Lock()
	var logs part.Log
	now := s.now()
	v := s.view.Load()
	p := &s.plan
	p.fetching = nil
	switch {
	case s.closed || s.ctx.Err() != nil:
		err, out = errClosed, nil
	case err != nil:
		err = fmt.Errorf("jwks: %w", err)
		var e *upstream.Error
		var wait time.Duration
		if errors.As(err, &e) {
			wait = pauseWanted(e, now)
		}
		_, unusable := v.keySet(now)
		p.hasFailed(now, err, wait, unusable == nil)
		if a.demanded {
			p.refund()
		}
		s.view.Store(&view{v.set, v.keys, v.fetched, v.until, p.next, err})
		s.noteFailure(v, now, err, &logs)
	default:
		if v.set != nil && v.set.Equal(out.set) {
			out.set = v.set // the same pointer: verified tokens stay in the cache
		} else {
			out.set = out.set.After(v.set)
		}
		p.succeeded(out.asked, now, upstream.Since(began, now), min(out.lifetime, s.config.MaxStale))
		s.view.Store(&view{set: out.set, keys: out.document.keys, fetched: out.asked, until: out.asked.Add(s.config.MaxStale), due: p.next})
		s.noteSuccess(v, now, out, &logs)
	}
	s.report.lastAttempt, s.report.lastAnswer = now, s.fetcher.lastAnswer
	s.report.url = s.fetcher.url
	a.err = err
	s.mu.Unlock()
	close(a.done)
	s.write(logs)
	if out != nil && s.config.Snapshot != "" {
		s.saveSnapshot(out, out.asked)
	}
}

// errNotYet says that a fetch takes longer than a request may wait.
var errNotYet = errors.New("jwks: the issuer has not answered yet")

// Refresh returns the newest key set, after asking the issuer for one that meets
// the demand if it may be asked: see the package documentation. The error says
// that there is no usable set, or that the issuer could not be asked.
func (s *Source) Refresh(ctx context.Context, d verify.Demand) (*verify.KeySet, error) {
	satisfied := d.Satisfied
	if satisfied == nil {
		satisfied = func(*verify.KeySet) bool { return false }
	}
	set, err := s.KeySet()
	if err == nil && satisfied(set) {
		return set, nil
	}
	if s.view.Load() == nil {
		return nil, err // not bound
	}
	arrived := s.now()
	a, patience, err := s.join(arrived, d.Withdrawn)
	if a == nil {
		return s.settle(satisfied, err)
	}
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for {
		select {
		case <-a.done:
		case <-ctx.Done():
			return nil, fmt.Errorf("jwks: gave up waiting for the key set: %w", context.Cause(ctx))
		case <-limit.C:
			return s.settle(satisfied, errNotYet)
		case <-s.ctx.Done():
			return nil, errClosed
		}
		set, err := s.KeySet()
		switch {
		case err == nil && satisfied(set):
			return set, nil
		case a.err != nil:
			return nil, a.err
		case err != nil || !a.begun.Before(arrived):
			return set, err
		}
		// The fetch began before this request arrived, so the issuer may
		// have published the key since. A second fetch cannot miss it.
		if a, err = s.demandAgain(d.Withdrawn); a == nil {
			return s.settle(satisfied, err)
		}
	}
}

// settle returns what a request gets that does not wait, or no longer: the set in
// use, unless it does not satisfy the request and cause says why no other one can
// be had.
func (s *Source) settle(satisfied func(*verify.KeySet) bool, cause error) (*verify.KeySet, error) {
	set, err := s.KeySet()
	if err == nil && cause != nil && !satisfied(set) {
		return nil, cause
	}
	return set, err
}

// join returns the attempt that a request may wait for, and for how long. If there
// is none, the error says why the issuer cannot be asked; if there is no error
// either, the set in use is the answer.
func (s *Source) join(now time.Time, withdrawn bool) (*attempt, time.Duration, error) {
	var logs part.Log
	defer func() { s.write(logs) }()
	s.mu.Lock()
	defer s.mu.Unlock()
	p := &s.plan
	patience := s.fetcher.client.Timeout()
	if p.due(now) && !s.closed {
		p.startDue(now) // the refresher has not got to it yet
		s.poke()
	}
	if p.failures > 0 && !p.overdue(now, patience) {
		if _, err := s.view.Load().keySet(now); err != nil {
			// Every request needs a set. None waits while the issuer
			// fails, or they would pile up.
			return nil, 0, err
		}
		patience = min(patience, failingPatience)
	} else if p.failures > 0 {
		// The process did not run for a while, so the issuer may be back.
		// A limited number of requests wait to find out.
		if p.fetching.waiting == maxWaiting {
			return nil, 0, p.lastErr
		}
		p.fetching.waiting++
	}
	if p.fetching != nil && !s.closed {
		return p.fetching, patience, nil
	}
	a, err := s.demand(now, withdrawn, &logs)
	return a, patience, err
}

// failingPatience limits how long a request waits for the attempt after a failed
// one.
const failingPatience = time.Second

// maxWaiting limits how many requests wait for the first fetch after a time in which
// the process did not run.
const maxWaiting = 64

// demandAgain is join for a request that has already waited for one attempt.
func (s *Source) demandAgain(withdrawn bool) (*attempt, error) {
	var logs part.Log
	defer func() { s.write(logs) }()
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := &s.plan; p.fetching != nil && !s.closed {
		return p.fetching, nil
	}
	return s.demand(s.now(), withdrawn, &logs)
}

// demand starts a fetch for a request, if the plan and the budget allow it.
func (s *Source) demand(now time.Time, withdrawn bool, logs *part.Log) (*attempt, error) {
	p := &s.plan
	s.report.counters.Demands++
	switch {
	case s.closed:
		return nil, errClosed
	case p.failures > 0:
		if p.hasten(p.failed, askedBackoff) {
			s.poke()
		}
		if !p.due(now) {
			return nil, p.lastErr
		}
		p.start(now, false) // the retry was due anyway
	case p.spend(now, withdrawn):
		p.start(now, true)
	default:
		s.report.counters.Declined++
		if !withdrawn && !p.declined {
			p.declined = true
			logs.Add(slog.LevelWarn, "too many tokens name unknown keys to ask the issuer for each of them; tokens signed with a new key are refused for now",
				"until", p.spentUntil(now))
		}
		return nil, nil
	}
	s.poke()
	return p.fetching, nil
}

// progressed records that the attempt under way has made a call.
func (s *Source) progressed() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.plan.progress = s.now()
}

// poke makes the refresher look at the plan again.
func (s *Source) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}
