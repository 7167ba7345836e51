package jwks

import (
	"math/rand/v2"
	"time"

	"github.com/bearerkit/bearerkit/internal/upstream"
)

const (
	// Requests may cause budgetSize fetches at once, and one more every
	// budgetRefill: enough for two rotations in a row, and few enough for the
	// issuer however many tokens with unknown keys arrive.
	budgetSize   = 2
	budgetRefill = 10 * time.Second

	firstBackoff = time.Second // the longest pause after the first failure
	maxBackoff   = time.Minute
	// emptyBackoff is the longest pause while there is no usable set.
	emptyBackoff = time.Second
	// askedBackoff is the longest pause while requests demand a fetch.
	askedBackoff = 2 * time.Second
)

// A plan says when the issuer is asked next. It only computes; the source's lock
// guards it.
type plan struct {
	next     time.Time // when the next fetch is due
	fetching *attempt  // under way, or about to be
	failures int       // consecutive
	failed   time.Time // when the last of them ended
	earliest time.Time // not before then, by Retry-After
	lastErr  error     // of the last attempt, nil if it succeeded
	progress time.Time // when the attempt under way last made progress

	budget   int
	refilled time.Time
	declined bool // a request was declined since the budget was last full
}

// An attempt is one fetch, which any number of requests may wait for.
type attempt struct {
	demanded bool          // by a request, so it is paid for by the budget
	begun    time.Time     // when it was planned
	late     bool          // it starts later than planned, because the process did not run
	waiting  int           // number of requests that wait although the last attempt failed
	done     chan struct{} // closed when the attempt has ended
	err      error         // set before done is closed
}

// init plans the first fetch, for now.
func (p *plan) init(now time.Time) {
	p.budget, p.refilled = budgetSize, now
	p.next = now
	p.start(now, false)
}

// start makes a fetch the one under way.
func (p *plan) start(now time.Time, demanded bool) *attempt {
	p.fetching = &attempt{demanded: demanded, begun: now, done: make(chan struct{})}
	p.progress = now
	return p.fetching
}

// spend takes one fetch out of the budget, if one is left. The last one is kept for
// unknown keys: tokens of withdrawn keys keep arriving until they expire.
func (p *plan) spend(now time.Time, withdrawn bool) bool {
	if n := int(upstream.Since(p.refilled, now) / budgetRefill); n > 0 {
		p.budget = min(p.budget+n, budgetSize)
		p.refilled = p.refilled.Add(time.Duration(n) * budgetRefill)
	}
	if p.budget == budgetSize {
		p.declined = false
	}
	if p.budget == 0 || withdrawn && p.budget < budgetSize {
		return false
	}
	if p.budget == budgetSize {
		p.refilled = now
	}
	p.budget--
	return true
}

// refund returns a failed fetch to the budget: it brought no news of the keys.
func (p *plan) refund() { p.budget = min(p.budget+1, budgetSize) }

// succeeded plans the refresh after a good answer to a request made at asked. It is
// ahead of the end of the answer's lifetime by a random tenth to quarter of it, so
// that many replicas do not refresh at once, and by as long as the last attempt
// took, so that the next one ends in time.
func (p *plan) succeeded(asked, now time.Time, took, lifetime time.Duration) {
	lead := time.Duration((0.10 + 0.15*rand.Float64()) * float64(lifetime))
	lead = min(lead+took, lifetime/2)
	p.next = asked.Add(lifetime - lead)
	if soonest := now.Add(minLifetime / 2); p.next.Before(soonest) {
		p.next = soonest
	}
	p.failures, p.lastErr, p.earliest = 0, nil, time.Time{}
}

// hasFailed plans the next attempt: the pauses double, each a random value between
// half of the step and the whole step.
func (p *plan) hasFailed(now time.Time, err error, retryAfter time.Duration, usable bool) {
	p.failures++
	p.failed, p.lastErr = now, err
	step := maxBackoff
	if n := p.failures - 1; n < 6 {
		step = min(firstBackoff<<n, maxBackoff)
	}
	p.earliest = now.Add(min(retryAfter, maxBackoff))
	if !usable {
		step = min(step, emptyBackoff)
		// Without usable keys, do not wait as long as Retry-After asks.
		p.earliest = now.Add(min(retryAfter, emptyBackoff))
	}
	pause := step/2 + rand.N(step/2+1)
	p.next = now.Add(pause)
	if p.next.Before(p.earliest) {
		p.next = p.earliest
	}
}

// due reports whether it is time for the next fetch.
func (p *plan) due(now time.Time) bool { return p.fetching == nil && upstream.Reached(p.next, now) }

// startDue starts the fetch that is due.
func (p *plan) startDue(now time.Time) {
	p.start(now, false).late = upstream.Reached(p.next.Add(upstream.Lateness), now)
}

// overdue reports whether the fetch under way is late, or has taken so long that the
// process cannot have run. Earlier failures do not tell how such a fetch will end.
func (p *plan) overdue(now time.Time, timeout time.Duration) bool {
	a := p.fetching
	return a != nil && (a.late || upstream.Reached(p.progress.Add(timeout+upstream.Lateness), now))
}

// spentUntil returns when requests can cause a fetch again; zero if they can now.
func (p *plan) spentUntil(now time.Time) time.Time {
	if p.budget > 0 || p.failures > 0 || upstream.Since(p.refilled, now) >= budgetRefill {
		return time.Time{}
	}
	return p.refilled.Add(budgetRefill)
}

// hasten moves the next attempt after a failure forward to at most pause after from,
// but not before the time that Retry-After asked for.
func (p *plan) hasten(from time.Time, pause time.Duration) (changed bool) {
	limit := from.Add(pause)
	if limit.Before(p.earliest) {
		limit = p.earliest
	}
	if !p.next.After(limit) {
		return false
	}
	p.next = limit
	return true
}
