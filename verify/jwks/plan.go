package jwks

import (
	"math/rand/v2"
	"time"
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

	budget   int
	refilled time.Time
}

// An attempt is one fetch, which any number of requests may await.
type attempt struct {
	demanded bool          // a request asked for it: it comes out of the budget
	begun    time.Time     // when it was asked for
	done     chan struct{} // closed when it has ended
	err      error         // set before done is closed
}

func newAttempt(now time.Time, demanded bool) *attempt {
	return &attempt{demanded: demanded, begun: now, done: make(chan struct{})}
}

// init plans the first fetch: at once.
func (p *plan) init(now time.Time) {
	p.budget, p.refilled = budgetSize, now
	p.next = now
	p.fetching = newAttempt(now, false)
}

// spend takes one fetch out of the budget if there is one left. The last one is
// kept for keys that are new: the tokens of withdrawn ones come for as long as
// they live.
func (p *plan) spend(now time.Time, withdrawn bool) bool {
	if n := int(now.Sub(p.refilled) / budgetRefill); n > 0 {
		p.budget = min(p.budget+n, budgetSize)
		p.refilled = p.refilled.Add(time.Duration(n) * budgetRefill)
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

// succeeded plans the refresh after a good answer: ahead of the end of its
// lifetime, by a tenth to a quarter of it, at random, so that a hundred
// replicas do not come at once, and by as long as the last fetch took, so that
// the next is over in time.
func (p *plan) succeeded(begun, now time.Time, lifetime time.Duration) {
	lead := time.Duration((0.10 + 0.15*rand.Float64()) * float64(lifetime))
	lead = min(lead+now.Sub(begun), lifetime/2)
	p.next = begun.Add(lifetime - lead)
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
