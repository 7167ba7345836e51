package jwks

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/bearerkit/bearerkit/internal/upstream"
	"github.com/bearerkit/bearerkit/verify"
)

// run is the refresher: the one goroutine that asks the issuer, until the
// source is closed.
func (s *Source) run() {
	stop := context.AfterFunc(s.ctx, func() { s.Close() })
	defer stop()
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
	// Whoever awaits a fetch sees that the source has ended by itself.
}

// due returns the fetch to make now, or how long there is nothing to do.
func (s *Source) due() (*attempt, time.Duration) {
	var logs logs
	defer func() { logs.write(s) }()
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	v := s.view.Load()
	if v.set != nil && s.report.state != StateStale && upstream.Reached(v.until, now) {
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

// finish records how a fetch ended, plans the next and lets those go who await
// this one.
func (s *Source) finish(a *attempt, began time.Time, out *outcome, err error) {
	s.mu.Lock()
	var logs logs
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
			wait = wantsPause(e, now)
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
			out.set = v.set // the same set, for those who remember it
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
	logs.write(s)
	if out != nil && s.config.Snapshot != "" {
		s.saveSnapshot(out, out.asked)
	}
}

// errNotYet is returned when a fetch takes longer than a request should wait.
var errNotYet = errors.New("jwks: the issuer has not answered yet")

// Refresh returns a newer key set if the issuer has one that meets the demand, as
// far as it can be asked: see the package's documentation. The error says that
// there is no usable set, or that the issuer could not be asked.
func (s *Source) Refresh(ctx context.Context, d verify.Demand) (*verify.KeySet, error) {
	good := d.Satisfied
	if good == nil {
		good = func(*verify.KeySet) bool { return false }
	}
	set, err := s.KeySet()
	if err == nil && good(set) {
		return set, nil
	}
	if s.view.Load() == nil {
		return nil, err // it could not be started
	}
	arrived := s.now()
	a, patience, err := s.join(arrived, d.Withdrawn)
	if a == nil {
		return s.settle(good, err)
	}
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for {
		select {
		case <-a.done:
		case <-ctx.Done():
			return nil, fmt.Errorf("jwks: gave up awaiting the key set: %w", context.Cause(ctx))
		case <-limit.C:
			return s.settle(good, errNotYet)
		case <-s.ctx.Done():
			return nil, errClosed
		}
		set, err := s.KeySet()
		switch {
		case err == nil && good(set):
			return set, nil
		case a.err != nil:
			return nil, a.err
		case err != nil || !a.begun.Before(arrived):
			return set, err
		}
		// The fetch began before the request came, so it may have missed
		// what the request is about. One that begins now cannot.
		if a, err = s.ask(d.Withdrawn); a == nil {
			return s.settle(good, err)
		}
	}
}

// settle is the answer for a request that has nothing to wait for, or no longer.
func (s *Source) settle(good func(*verify.KeySet) bool, cause error) (*verify.KeySet, error) {
	set, err := s.KeySet()
	if err == nil && cause != nil && !good(set) {
		return nil, cause
	}
	return set, err
}

// join returns the attempt that a request may await, and for how long at most.
// Without one, the error says why the issuer cannot be asked; without either,
// the set at hand is all there is.
func (s *Source) join(now time.Time, withdrawn bool) (*attempt, time.Duration, error) {
	var logs logs
	defer func() { logs.write(s) }()
	s.mu.Lock()
	defer s.mu.Unlock()
	p := &s.plan
	patience := s.fetcher.client.Timeout()
	if p.due(now) && !s.closed {
		p.startDue(now) // before the refresher itself gets to it
		s.poke()
	}
	if p.failures > 0 && !p.overdue(now, patience) {
		if _, err := s.view.Load().keySet(now); err != nil {
			// Every request needs a set. None waits while the issuer
			// fails: they would only pile up.
			return nil, 0, err
		}
		patience = min(patience, failingPatience)
	} else if p.failures > 0 {
		// The process has not run for a while, so nobody knows how the
		// issuer is. Some may find out.
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

// failingPatience bounds how long a request waits for the next try after one
// that has failed.
const failingPatience = time.Second

// maxWaiting bounds how many requests wait for the first fetch after a while in
// which the process did not run.
const maxWaiting = 64

// ask is join for a request that has waited already.
func (s *Source) ask(withdrawn bool) (*attempt, error) {
	var logs logs
	defer func() { logs.write(s) }()
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := &s.plan; p.fetching != nil && !s.closed {
		return p.fetching, nil
	}
	return s.demand(s.now(), withdrawn, &logs)
}

// demand starts a fetch because a request needs one, if it may.
func (s *Source) demand(now time.Time, withdrawn bool, logs *logs) (*attempt, error) {
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
		p.start(now, false) // the retry that is due anyway
	case p.spend(now, withdrawn):
		p.start(now, true)
	default:
		s.report.counters.Declined++
		if !withdrawn && !p.declined {
			p.declined = true
			logs.add(slog.LevelWarn, "tokens name keys that the issuer does not have, too many to ask it for each: until then, tokens of a new key are refused, too",
				"until", p.spentUntil(now))
		}
		return nil, nil
	}
	s.poke()
	return p.fetching, nil
}

// moved takes down that the attempt under way has made a call.
func (s *Source) moved() {
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
