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
	// knownCalls and unknownCalls limit the number of concurrent calls.
	knownCalls   = 512
	unknownCalls = 128
	// maxQueueing is how long a request waits for a slot.
	maxQueueing = 250 * time.Millisecond

	// A breaker opens after breakAfter consecutive transport faults, and then
	// lets one call through every breakFor.
	breakAfter = 5
	breakFor   = 500 * time.Millisecond
	// patience limits the wait for a call made by another request, and for a
	// breaker's probe. With breakFor it keeps recovery under two seconds.
	patience = 1200 * time.Millisecond
	// discoveryPatience is the same for metadata. A call may start with it, so
	// the two add up.
	discoveryPatience = 400 * time.Millisecond
)

// A lane has slots for concurrent calls and a circuit breaker. Known and unknown
// tokens have separate lanes: a flood of invented tokens does not use up the slots
// of known ones, and tokens that make the server fail do not open their breaker.
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

// An origin says where the token of a call comes from, which determines what a
// failure of the call means.
type origin int

const (
	// unknown: anyone may have made the token up, perhaps to make the server
	// fail.
	unknown origin = iota
	// known: the token is a verified JWT, or the server has said before that it
	// is active.
	known
	// ownCheck: the token is checkToken.
	ownCheck
)

// checkToken is a token that no server has issued. The source asks about it to see
// whether the server answers.
const checkToken = "bearerkit-asks-whether-introspection-works"

// originOf returns the origin of the token of a request.
func (s *Source) originOf(q *verify.Query) origin {
	if q.Verified || s.cache.wasActive(q.Digest) {
		return known
	}
	return unknown
}

// A call is a call under way.
type call struct {
	began  time.Time
	done   chan struct{} // closed when answer and err are set
	answer *verify.Answer
	err    error
}

func (c *call) await(ctx context.Context) (*verify.Answer, error) {
	select {
	case <-c.done:
		return c.answer, c.err
	case <-ctx.Done():
		return nil, fmt.Errorf("introspect: gave up waiting for the answer: %w", context.Cause(ctx))
	}
}

// callNow makes a new call and waits for its answer.
func (s *Source) callNow(ctx context.Context, q *verify.Query) (*verify.Answer, error) {
	from := s.originOf(q)
	leave, err := s.enter(ctx, from)
	if err != nil {
		return nil, err
	}
	c := newCall()
	s.launch(c, q, from, leave)
	return c.await(ctx)
}

// join waits for the answer to a call about the same token that another request
// started at most patience ago, or starts one. Later requests start a new call, so
// that one that the server has lost does not delay requests made after it is back.
func (s *Source) join(ctx context.Context, q *verify.Query) (*verify.Answer, error) {
	s.mu.Lock()
	c := s.joinable(q.Digest)
	s.mu.Unlock()
	if c != nil {
		return c.await(ctx)
	}
	from := s.originOf(q)
	leave, err := s.enter(ctx, from)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	if c = s.joinable(q.Digest); c != nil { // another request was faster
		s.mu.Unlock()
		leave()
		return c.await(ctx)
	}
	c = newCall()
	s.calls[q.Digest] = c
	s.mu.Unlock()
	s.launch(c, q, from, leave)
	return c.await(ctx)
}

func newCall() *call { return &call{began: time.Now(), done: make(chan struct{})} }

// joinable returns a call that requests may join. mu must be held.
func (s *Source) joinable(d digest) *call {
	if c := s.calls[d]; c != nil && time.Since(c.began) <= patience {
		return c
	}
	return nil
}

// enter takes a slot for a call; leave releases it.
func (s *Source) enter(ctx context.Context, from origin) (leave func(), err error) {
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
	timer := time.NewTimer(maxQueueing)
	defer timer.Stop()
	select {
	case slots <- struct{}{}:
		return leave, nil
	case <-timer.C:
		return nil, fmt.Errorf("introspect: %w", errBusy)
	case <-ctx.Done():
		return nil, fmt.Errorf("introspect: gave up waiting to ask: %w", context.Cause(ctx))
	}
}

// answersNow reports whether the server answered so recently that an open breaker
// does not matter.
func (s *Source) answersNow() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return upstream.Since(s.report.answered, s.now()) < breakFor
}

// launch makes the call in a new goroutine, so that it goes on if the requests that
// wait for it leave.
func (s *Source) launch(c *call, q *verify.Query, from origin, leave func()) {
	token, d := q.Token, q.Digest
	go func() {
		c.err = fmt.Errorf("introspect: %w", errEnded)
		defer func() {
			leave()
			s.mu.Lock()
			if s.calls[d] == c {
				delete(s.calls, d)
			}
			s.mu.Unlock()
			close(c.done)
		}()
		begun := s.cache.tick()
		r, err := s.guarded(token, from)
		if err != nil {
			c.err = fmt.Errorf("introspect: %w", err)
			return
		}
		r.begun = begun
		c.answer, c.err = s.cache.put(d, r), nil
	}()
}

// guarded makes a call if the breaker of its lane allows it. Every second probe of an
// open breaker is a check, so that no token can keep it open. A failed call about an
// unknown token counts only if it took long, and opens the breaker only if a check
// fails too.
func (s *Source) guarded(token string, from origin) (*record, error) {
	if s.ctx.Err() != nil {
		return nil, errClosed
	}
	lane := &s.lanes[from]
	done, err := lane.breaker.Allow()
	switch {
	case err != nil && s.answersNow():
		return s.recorded(token, from)
	case err != nil:
		return nil, errOpen
	}
	reported := false
	report := func(err error) {
		reported = true
		done(forBreaker(err))
	}
	defer func() {
		if !reported { // a user's function has ended the goroutine
			done(errEnded)
		}
	}()
	if lane.breaker.State() != gobreaker.StateHalfOpen {
		began := time.Now()
		r, err := s.recorded(token, from)
		switch {
		case from == known || forBreaker(err) == nil:
			report(err)
		case time.Since(began) < min(patience, s.client.Timeout()):
			report(nil) // breakers are against long waits, and this was a short one
		case lane.breaker.Counts().ConsecutiveFailures+1 < breakAfter:
			report(err)
		default:
			// This would open the breaker, but the tokens may be the cause.
			reported = true
			go func() { _, err := s.probe(checkToken, ownCheck); done(forBreaker(err)) }()
		}
		return r, err
	}
	if lane.probes.Add(1)%2 == 0 {
		r, err := s.probe(token, from)
		report(err)
		return r, err
	}
	_, err = s.probe(checkToken, ownCheck)
	if report(err); forBreaker(err) != nil {
		return nil, errOpen
	}
	return s.recorded(token, from)
}

// forBreaker returns err if it counts for a breaker, which only transport faults do.
func forBreaker(err error) error {
	if faultOf(err) != faultTransport {
		return nil
	}
	return err
}

// probe makes the call that an open breaker lets through. It gives up after patience,
// unless the last probe was answered later than that, which shows that the server is
// back but slow: the call goes on for Config.Timeout to find that out.
func (s *Source) probe(token string, from origin) (*record, error) {
	type result struct {
		r   *record
		err error
	}
	s.mu.Lock()
	slowButBack := s.slowButBack
	s.mu.Unlock()
	done := make(chan result, 1)
	go func() {
		began := time.Now()
		res := result{err: errEnded}
		defer func() {
			s.mu.Lock()
			s.slowButBack = res.err == nil && time.Since(began) > patience
			s.mu.Unlock()
			done <- res
		}()
		res.r, res.err = s.recorded(token, from)
	}()
	var giveUp <-chan time.Time
	if !slowButBack {
		giveUp = time.After(patience)
	}
	select {
	case res := <-done:
		return res.r, res.err
	case <-giveUp:
		return nil, &callError{text: "the server does not answer in time", fault: faultTransport, stale: true}
	}
}

// recorded makes a call and records how it ended.
func (s *Source) recorded(token string, from origin) (*record, error) {
	began := s.now()
	claims, active, err := s.post(token)
	if s.ctx.Err() != nil {
		return nil, errClosed
	}
	s.note(from, began, active, err)
	if err != nil {
		return nil, err
	}
	return s.record(claims, active, began), nil
}

// record makes the record of an answer.
func (s *Source) record(claims string, active bool, began time.Time) *record {
	r := &record{answer: &verify.Answer{Active: active, At: began}, until: began.Add(inactiveTTL)}
	if active {
		r.answer.Claims = claims
		r.until = began.Add(s.ttl())
		if s.config.Grace > 0 {
			r.stale = &verify.Answer{Active: true, Claims: claims, At: began, Stale: true}
		}
	}
	return r
}

// share runs f once for all callers with the same key within some time; later callers
// run it again.
func (s *Source) share(key string, within time.Duration, f func() (any, error)) <-chan singleflight.Result {
	return s.shared.DoChan(key, func() (v any, err error) {
		defer recovered(&err)
		defer time.AfterFunc(within, func() { s.shared.Forget(key) }).Stop()
		return f()
	})
}
