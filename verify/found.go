package verify

import (
	"cmp"
	"context"
	"errors"
	"reflect"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	defaultMaxFound = 1000
	// sweepEach is how often issuers in use are reviewed.
	sweepEach = time.Minute
	// idleFor is how long an issuer is kept after its last token. One of which
	// no token has verified yet is kept for sweepEach.
	idleFor = 15 * time.Minute
	// askEach is how often FindIssuer is called for an issuer in use,
	// asksAtOnce how many of these calls run at a time, and unconfirmedFor how
	// long an issuer is kept while they fail.
	askEach        = 5 * time.Minute
	asksAtOnce     = 8
	unconfirmedFor = 24 * time.Hour
)

// newShare returns how many of most issuers may be such that no token of theirs
// has verified yet, when there is no room left.
func newShare(most int) int { return max(most/8, min(most/2, 16)) }

// A found is an issuer in use that FindIssuer has returned.
type found struct {
	name       string                 // its identifier
	calledWith string                 // the name that FindIssuer was called with
	issuer     atomic.Pointer[issuer] // its current configuration; nil once it is dropped
	used       atomic.Bool            // since the last sweep
	proven     atomic.Bool            // a token of it has verified

	// The finder's mu guards what follows.
	owes      bool   // its call is still counted as wasted
	asking    bool   // FindIssuer is being called for it again
	answer    Issuer // what FindIssuer returned
	lastUsed  time.Time
	confirmed time.Time // when FindIssuer last returned it
}

// proved records that a token of the issuer has verified.
func (f *finder) proved(r *found) {
	if r.proven.Load() {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if !r.proven.Swap(true) && r.owes {
		f.budget.refund()
	}
}

// failed records that a token of the issuer could not be verified. If none has
// ever been, and there are no keys, the issuer is dropped: it may be made up, and
// then its key source must not keep fetching.
func (f *finder) failed(ctx context.Context, iss *issuer, err error) {
	r := iss.found
	if r.proven.Load() || ctx.Err() != nil || !errors.Is(err, ErrUnavailable) {
		return
	}
	if _, keys := keySetOf(iss.keys); keys == nil {
		return
	}
	f.mu.Lock()
	if f.names[r.name] == r && !r.proven.Load() {
		f.remember(r.calledWith, false, err)
	}
	out := f.drop(r)
	f.mu.Unlock()
	_ = closeAll(out)
}

// drop takes an issuer out of use and returns its parts, for the caller to close
// after releasing mu, which it holds.
func (f *finder) drop(r *found) []any {
	if f.names[r.name] != r {
		return nil // already dropped
	}
	iss := r.issuer.Swap(nil)
	f.forgetNames(iss)
	f.held = slices.DeleteFunc(f.held, func(o *found) bool { return o == r })
	return iss.parts()
}

func (f *finder) forgetNames(iss *issuer) {
	for _, n := range iss.names {
		delete(f.names, n)
	}
}

// makeRoom drops issuers until there is room for one more, and returns their
// parts: the least recently used one, but those of which no token has verified go
// first if they have more than their share. The caller holds mu.
func (f *finder) makeRoom() (out []any) {
	for len(f.held) >= f.most {
		var unproven, oldest *found // the first unproven one, and the least recently used of the others
		n := 0                      // unproven ones
		for _, r := range f.held {
			switch {
			case !r.proven.Load():
				n++
				if unproven == nil {
					unproven = r
				}
			case oldest == nil || f.usedAt(r).Before(f.usedAt(oldest)):
				oldest = r
			}
		}
		if oldest == nil || n > newShare(f.most) {
			oldest = unproven
		}
		out = append(out, f.drop(oldest)...)
	}
	return out
}

// usedAt returns when an issuer was last used, to the minute. The caller holds mu.
func (f *finder) usedAt(r *found) time.Time {
	if r.used.Load() && r.lastUsed.Before(f.swept) {
		return f.swept
	}
	return r.lastUsed
}

// sweep drops issuers that are not needed any more, and has FindIssuer called for
// the others when it is time.
func (f *finder) sweep() {
	f.mu.Lock()
	if f.closed {
		f.mu.Unlock()
		return
	}
	now := time.Now()
	f.swept = now
	var out []any
	var due []*found
	for _, r := range slices.Clone(f.held) {
		if r.used.Swap(false) {
			r.lastUsed = now
		}
		idle := idleFor
		if !r.proven.Load() {
			idle = sweepEach
		}
		switch {
		case age(r.lastUsed, now) >= idle, age(r.confirmed, now) >= unconfirmedFor:
			out = append(out, f.drop(r)...)
		case age(r.confirmed, now) >= askEach && !r.asking:
			due = append(due, r)
		}
	}
	f.sweeper = nil
	if len(f.held) > 0 {
		f.sweeper = time.AfterFunc(sweepEach, f.sweep)
	}
	if len(due) > 0 && !f.asking {
		f.asking = true
		go f.askAgain(due)
	}
	f.mu.Unlock()
	_ = closeAll(out)
}

// age returns how long ago a time was, by the monotonic or the wall clock,
// whichever says longer: the one stops while a machine sleeps, the other can be
// set.
func age(t, now time.Time) time.Duration {
	return max(now.Sub(t), now.Round(0).Sub(t.Round(0)))
}

// askAgain calls FindIssuer for issuers in use. A call that does not return in time
// goes on alone, so that it does not hold up those for other issuers.
func (f *finder) askAgain(due []*found) {
	var g errgroup.Group
	g.SetLimit(asksAtOnce)
	for _, r := range due {
		f.setAsking(r, true)
		g.Go(func() error {
			ctx, cancel := context.WithTimeout(f.life, findTimeout)
			go func() {
				defer cancel()
				defer f.setAsking(r, false)
				f.askAbout(ctx, r)
			}()
			<-ctx.Done()
			return nil
		})
	}
	_ = g.Wait()
	f.mu.Lock()
	f.asking = false
	f.mu.Unlock()
}

func (f *finder) setAsking(r *found, asking bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	r.asking = asking
}

func (f *finder) askAbout(ctx context.Context, r *found) {
	since := f.epoch()
	answer, err := f.ask(ctx, r.calledWith)
	switch {
	case err == nil:
		if name := cmp.Or(answer.Issuer, r.calledWith); name != r.name {
			f.distrust(r, nil) // its tokens belong to another issuer now
			return
		}
		// An answer that cannot be used changes nothing; the next sweep tries
		// again.
		_, _ = f.settle(r.calledWith, answer, r, since)
	case isUntrusted(err):
		f.distrust(r, err)
	}
}

// distrust drops an issuer. The error is FindIssuer's, if it does not trust it.
func (f *finder) distrust(r *found, untrusted error) {
	f.mu.Lock()
	if untrusted != nil && f.names[r.name] == r {
		f.remember(r.calledWith, true, untrusted)
	}
	out := f.drop(r)
	f.mu.Unlock()
	_ = closeAll(out)
}

// ForgetIssuer drops what Config.FindIssuer has returned for a value of "iss", so
// that the function is called again for the issuer's next token. Call it when an
// issuer is no longer trusted, or is trusted now, or when its configuration has
// changed. Cached tokens of the issuer are verified again. It has no effect on
// configured issuers.
func (v *Verifier) ForgetIssuer(iss string) {
	f := v.finder
	if f == nil {
		return
	}
	f.mu.Lock()
	f.forgets++
	f.strangers.put(f.nameDigest(iss), stranger{})
	var out []any
	if r := f.names[iss]; r != nil {
		out = f.drop(r)
	}
	f.mu.Unlock()
	_ = closeAll(out)
}

// notReady returns why no issuer can be found.
func (f *finder) notReady() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return errFinderClosed
	}
	return nil
}

// inUse returns the issuer of a name that is in use, or nil.
func (f *finder) inUse(name string) *issuer {
	f.mu.Lock()
	defer f.mu.Unlock()
	if r := f.names[name]; r != nil {
		return r.issuer.Load()
	}
	return nil
}

// issuers returns the issuers that are in use.
func (f *finder) issuers() (list []*issuer) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range f.held {
		list = append(list, r.issuer.Load())
	}
	return list
}

// close drops all issuers. Calls of FindIssuer that are running have their
// contexts canceled, and what they return is not used.
func (f *finder) close() error {
	f.mu.Lock()
	f.closed = true
	f.end() // not before closed is set: a call that ends with it must find it so
	var out []any
	for len(f.held) > 0 {
		out = append(out, f.drop(f.held[0])...)
	}
	if f.sweeper != nil {
		f.sweeper.Stop()
	}
	f.mu.Unlock()
	return closeAll(out)
}

// clone returns a copy that shares no slices with the original.
func (c *Issuer) clone() Issuer {
	d := *c
	d.Audience, d.Alternates = slices.Clone(c.Audience), slices.Clone(c.Alternates)
	d.Bindings, d.Conditions = slices.Clone(c.Bindings), slices.Clone(c.Conditions)
	if c.Introspection != nil {
		in := *c.Introspection
		d.Introspection = &in
	}
	return d
}

// sameAs reports whether two issuers have the same configuration, key sources and
// introspectors aside. Functions are never the same.
func (c *Issuer) sameAs(o *Issuer) bool {
	a, b := c.clone(), o.clone()
	for _, c := range []*Issuer{&a, &b} {
		c.Keys, c.Bindings, c.Conditions = nil, nil, nil // compared as parts
		if c.Introspection != nil {
			c.Introspection.Introspector = nil
		}
	}
	return reflect.DeepEqual(a, b)
}
