package introspect

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/sony/gobreaker/v2"
	"golang.org/x/sync/singleflight"

	"github.com/bearerkit/bearerkit/internal/upstream"
	"github.com/bearerkit/bearerkit/verify"
)

const (
	// knownCalls and strangerCalls bound the calls that are made at the same
	// time.
	knownCalls    = 512
	strangerCalls = 128
	// queueing is how long a request waits for a slot.
	queueing = 250 * time.Millisecond

	// A breaker opens after breakAfter calls in a row that were broken, and
	// lets one call through each breakFor.
	breakAfter = 5
	breakFor   = 500 * time.Millisecond
	// patience bounds the wait for a call that another request made, and for
	// a breaker's probe. With breakFor it keeps the time under two seconds
	// until a server that is back is noticed.
	patience = 1200 * time.Millisecond
	// discoveryPatience is the same for metadata, which a call may begin with:
	// the two add up.
	discoveryPatience = 400 * time.Millisecond
)

// A lane has the slots for calls, and a circuit breaker. Tokens that strangers may
// have made up have one of their own: a flood of them takes no slot of tokens that
// are known, and tokens that make the server fail open no breaker for those.
type lane struct {
	slots   chan struct{}
	breaker *gobreaker.TwoStepCircuitBreaker[any]
	probes  *atomic.Uint64
}

func newLane(calls int) lane {
	return lane{
		slots: make(chan struct{}, calls),
		breaker: gobreaker.NewTwoStepCircuitBreaker[any](gobreaker.Settings{
			Timeout:     breakFor,
			ReadyToTrip: func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= breakAfter },
		}),
		probes: &atomic.Uint64{},
	}
}

// An asker says whose token a call is about, and so what its failure means.
type asker int

const (
	// stranger: anybody may have made the token up, perhaps so that it makes
	// the server fail.
	stranger asker = iota
	// known: the token is a JWT that has verified, or the server has said once
	// that it is active.
	known
	// self: the token is ownToken.
	self
)

// ownToken is a made-up token that no server has issued. A server is asked about
// it to find out whether it answers this client.
const ownToken = "bearerkit-asks-whether-introspection-works"

func (s *Source) askerOf(q *verify.Query) asker {
	if q.Verified || s.cache.wasActive(q.Digest) {
		return known
	}
	return stranger
}

// A flight is a call under way.
type flight struct {
	began  time.Time
	done   chan struct{} // closed when answer and err are there
	answer *verify.Answer
	err    error
}

func (f *flight) await(ctx context.Context) (*verify.Answer, error) {
	select {
	case <-f.done:
		return f.answer, f.err
	case <-ctx.Done():
		return nil, fmt.Errorf("introspect: gave up awaiting the answer: %w", context.Cause(ctx))
	}
}

// ask makes a call and awaits its answer.
func (s *Source) ask(ctx context.Context, q *verify.Query) (*verify.Answer, error) {
	from := s.askerOf(q)
	leave, err := s.enter(ctx, from)
	if err != nil {
		return nil, err
	}
	f := newFlight()
	s.fly(f, q, from, leave)
	return f.await(ctx)
}

// join awaits the answer of a call about the same token that other requests
// began at most patience ago, or begins one. A call that the server has lost
// thus does not delay requests that come when it is back.
func (s *Source) join(ctx context.Context, q *verify.Query) (*verify.Answer, error) {
	s.mu.Lock()
	f := s.young(q.Digest)
	s.mu.Unlock()
	if f != nil {
		return f.await(ctx)
	}
	from := s.askerOf(q)
	leave, err := s.enter(ctx, from)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	if f = s.young(q.Digest); f != nil { // somebody was faster
		s.mu.Unlock()
		leave()
		return f.await(ctx)
	}
	f = newFlight()
	s.flights[q.Digest] = f
	s.mu.Unlock()
	s.fly(f, q, from, leave)
	return f.await(ctx)
}

func newFlight() *flight { return &flight{began: time.Now(), done: make(chan struct{})} }

// young returns a call that may be joined; mu is held.
func (s *Source) young(d digest) *flight {
	if f := s.flights[d]; f != nil && time.Since(f.began) <= patience {
		return f
	}
	return nil
}

// enter takes a slot for a call; leave gives it back.
func (s *Source) enter(ctx context.Context, from asker) (leave func(), err error) {
	if s.lanes[from].breaker.State() == gobreaker.StateOpen && !s.answersNow() {
		return nil, fmt.Errorf("introspect: %w", errOpen)
	}
	slots := s.lanes[from].slots
	leave = func() { <-slots }
	select {
	case slots <- struct{}{}:
		return leave, nil
	default:
	}
	timer := time.NewTimer(queueing)
	defer timer.Stop()
	select {
	case slots <- struct{}{}:
		return leave, nil
	case <-timer.C:
		return nil, fmt.Errorf("introspect: %w", errBusy)
	case <-ctx.Done():
		return nil, fmt.Errorf("introspect: gave up before asking: %w", context.Cause(ctx))
	}
}

// answersNow reports whether the server has answered so lately that an open
// breaker does not matter.
func (s *Source) answersNow() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return upstream.Since(s.report.answered, s.now()) < breakFor
}

// fly makes the call of a flight on a goroutine of its own, so that everybody who
// awaits it may leave.
func (s *Source) fly(f *flight, q *verify.Query, from asker, leave func()) {
	token, d := q.Token, q.Digest
	go func() {
		f.err = fmt.Errorf("introspect: %w", errEnded)
		defer func() {
			leave()
			s.mu.Lock()
			if s.flights[d] == f {
				delete(s.flights, d)
			}
			s.mu.Unlock()
			close(f.done)
		}()
		begun := s.cache.tick()
		r, err := s.through(token, from)
		if err != nil {
			f.err = fmt.Errorf("introspect: %w", err)
			return
		}
		r.begun = begun
		f.answer, f.err = s.cache.put(d, r), nil
	}()
}

// through makes a call if the breaker of its lane lets it pass. Every other probe
// of a breaker that is open is the source's own question, so that no token can
// hold it open. A call about a stranger's token counts only if it took its time,
// and opens the breaker only if the source's own question is not answered either.
func (s *Source) through(token string, from asker) (*record, error) {
	if s.life.Err() != nil {
		return nil, errClosed
	}
	lane := &s.lanes[from]
	done, err := lane.breaker.Allow()
	switch {
	case err != nil && s.answersNow():
		return s.noted(token, from)
	case err != nil:
		return nil, errOpen
	}
	reported := false
	report := func(err error) {
		reported = true
		done(ifBroken(err))
	}
	defer func() {
		if !reported { // a function of the configuration has ended the goroutine
			done(errEnded)
		}
	}()
	if lane.breaker.State() != gobreaker.StateHalfOpen {
		began := time.Now()
		r, err := s.noted(token, from)
		switch {
		case from == known || ifBroken(err) == nil:
			report(err)
		case time.Since(began) < min(patience, s.client.Timeout()):
			report(nil) // it has cost nobody much time, which is what the breaker is for
		case lane.breaker.Counts().ConsecutiveFailures+1 < breakAfter:
			report(err)
		default:
			// This would open the breaker, but the tokens may be to blame.
			reported = true
			go func() { _, err := s.probe(ownToken, self); done(ifBroken(err)) }()
		}
		return r, err
	}
	if lane.probes.Add(1)%2 == 0 {
		r, err := s.probe(token, from)
		report(err)
		return r, err
	}
	_, err = s.probe(ownToken, self)
	if report(err); ifBroken(err) != nil {
		return nil, errOpen
	}
	return s.noted(token, from)
}

// ifBroken returns an error that counts for a breaker, and nil instead of others.
func ifBroken(err error) error {
	if faultOf(err) != faultBroken {
		return nil
	}
	return err
}

// probe makes the call that the open breaker lets through. It gives up after
// patience, unless the last one has shown that the server is back but slow: a
// call goes on for Config.Timeout, to find that out.
func (s *Source) probe(token string, from asker) (*record, error) {
	type result struct {
		r   *record
		err error
	}
	s.mu.Lock()
	slow := s.slow
	s.mu.Unlock()
	done := make(chan result, 1)
	go func() {
		began := time.Now()
		res := result{err: errEnded}
		defer func() {
			s.mu.Lock()
			s.slow = res.err == nil && time.Since(began) > patience
			s.mu.Unlock()
			done <- res
		}()
		res.r, res.err = s.noted(token, from)
	}()
	var giveUp <-chan time.Time
	if !slow {
		giveUp = time.After(patience)
	}
	select {
	case res := <-done:
		return res.r, res.err
	case <-giveUp:
		return nil, &callError{text: "the server does not answer in time", fault: faultBroken, graced: true}
	}
}

// noted makes a call and takes down how it ended.
func (s *Source) noted(token string, from asker) (*record, error) {
	began := s.now()
	claims, active, err := s.call(token)
	if s.life.Err() != nil {
		return nil, errClosed
	}
	s.note(from, began, active, err)
	if err != nil {
		return nil, err
	}
	return s.record(claims, active, began), nil
}

func (s *Source) record(claims string, active bool, began time.Time) *record {
	r := &record{answer: &verify.Answer{Active: active, At: began}, until: began.Add(inactiveTTL)}
	if active {
		r.answer.Claims = claims
		r.until = began.Add(s.ttl())
		if s.config.Grace > 0 {
			r.graced = &verify.Answer{Active: true, Claims: claims, At: began, Stale: true}
		}
	}
	return r
}

// share runs f once for all who want the same within some time; later callers
// begin anew.
func (s *Source) share(key string, within time.Duration, f func() (any, error)) <-chan singleflight.Result {
	return s.shared.DoChan(key, func() (v any, err error) {
		defer recovered(&err)
		defer time.AfterFunc(within, func() { s.shared.Forget(key) }).Stop()
		return f()
	})
}
