package jwks

import (
	"math/rand/v2"
	"time"

	"github.com/bearerkit/bearerkit/internal/upstream"
)

const (
	// budgetSize fetches may be asked for at once, and one more each
	// budgetRefill: enough for two rotations in a row, and for an issuer to
	// bear whatever is thrown at the service.
	budgetSize   = 2
	budgetRefill = 10 * time.Second

	firstBackoff = time.Second // the longest pause after the first failure
	maxBackoff   = time.Minute
	// emptyBackoff is the longest pause while there is no usable set.
	emptyBackoff = time.Second
	// askedBackoff is the longest pause while requests ask.
	askedBackoff = 2 * time.Second
)

// A plan says when the issuer is asked next. It is all arithmetic; the source's
// lock guards it.
type plan struct {
	next     time.Time // when the next fetch is due
	fetching *attempt  // under way, or about to be
	failures int       // in a row
	failed   time.Time // when the last of them ended
	earliest time.Time // what a Retry-After has asked for
	lastErr  error     // of the last attempt, nil if it was good
	progress time.Time // when the attempt that is under way was last seen to move on

	budget   int
	refilled time.Time
	declined bool // a request got no fetch since the budget was whole
}

// An attempt is one fetch, which any number of requests may await.
type attempt struct {
	demanded bool          // a request asked for it: it comes out of the budget
	begun    time.Time     // when it was asked for
	late     bool          // it begins later than planned, because the process did not run
	waiting  int           // how many requests await it although the last one failed
	done     chan struct{} // closed when it has ended
	err      error         // set before done is closed
}

// init plans the first fetch: at once.
func (p *plan) init(now time.Time) {
	p.budget, p.refilled = budgetSize, now
	p.next = now
	p.start(now, false)
}

// start puts a fetch under way.
func (p *plan) start(now time.Time, demanded bool) *attempt {
	p.fetching = &attempt{demanded: demanded, begun: now, done: make(chan struct{})}
	p.progress = now
	return p.fetching
}

// spend takes one fetch out of the budget if there is one left. The last one is
// kept for keys that are new: the tokens of withdrawn ones come for as long as
// they live.
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

// refund gives back what a failed fetch took: the issuer told us nothing.
func (p *plan) refund() { p.budget = min(p.budget+1, budgetSize) }

// succeeded plans the refresh after a good answer to a question that was put at
// asked: ahead of the end of its lifetime, by a tenth to a quarter of it, at
// random, so that a hundred replicas do not come at once, and by as long as the
// last attempt took, so that the next is over in time.
func (p *plan) succeeded(asked, now time.Time, took, lifetime time.Duration) {
	lead := time.Duration((0.10 + 0.15*rand.Float64()) * float64(lifetime))
	lead = min(lead+took, lifetime/2)
	p.next = asked.Add(lifetime - lead)
	if soonest := now.Add(minLifetime / 2); p.next.Before(soonest) {
		p.next = soonest
	}
	p.failures, p.lastErr, p.earliest = 0, nil, time.Time{}
}

// hasFailed plans the next try: the pauses double, each between half and all of
// the step, at random.
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
		// Whoever has no keys has no time to wait as long as is asked.
		p.earliest = now.Add(min(retryAfter, emptyBackoff))
	}
	pause := step/2 + rand.N(step/2+1)
	p.next = now.Add(pause)
	if p.next.Before(p.earliest) {
		p.next = p.earliest
	}
}

// due says that the time for the next fetch has come.
func (p *plan) due(now time.Time) bool { return p.fetching == nil && upstream.Reached(p.next, now) }

// startDue starts the fetch whose time has come.
func (p *plan) startDue(now time.Time) {
	p.start(now, false).late = upstream.Reached(p.next.Add(upstream.Lateness), now)
}

// overdue reports whether the fetch that is under way is late, or has taken so
// long that the process cannot have run: the failures before it say nothing of
// how it will end.
func (p *plan) overdue(now time.Time, timeout time.Duration) bool {
	a := p.fetching
	return a != nil && (a.late || upstream.Reached(p.progress.Add(timeout+upstream.Lateness), now))
}

// spentUntil returns when requests can ask for a fetch again; zero if they can
// now.
func (p *plan) spentUntil(now time.Time) time.Time {
	if p.budget > 0 || p.failures > 0 || upstream.Since(p.refilled, now) >= budgetRefill {
		return time.Time{}
	}
	return p.refilled.Add(budgetRefill)
}

// hasten brings the next try after a failure forward to within pause of now, or
// of the failure if that is nearer, but not before the issuer wants to be asked.
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
