package verify

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// findTimeout bounds one call of FindIssuer.
	findTimeout = 5 * time.Second
	// untrustedFor is how long ErrIssuer of FindIssuer is remembered, and
	// troubledFor how long any other error is.
	untrustedFor = 10 * time.Second
	troubledFor  = time.Second
	// maxIssuerName is the longest "iss" that is looked up, in bytes.
	maxIssuerName = 512
)

var (
	errFinderClosed = errors.New("verify: the verifier is closed")
	errFinderBusy   = errors.New("verify: too many tokens name unknown issuers; FindIssuer is not called for this one now")
	errFinderEnded  = errors.New("verify: FindIssuer has ended its goroutine")
	errFinderSlow   = fmt.Errorf("verify: FindIssuer has not returned within %v", findTimeout)
	errNotItsName   = errors.New("verify: FindIssuer returned an issuer that does not have the name it was called with")
)

// isIssuerName reports whether FindIssuer may be called with s: it has the
// characters of a URI (RFC 3986 section 2) and is not too long.
func isIssuerName(s string) bool {
	for i := range len(s) {
		c := s[i]
		if c <= ' ' || c >= 0x7f || strings.IndexByte("\"<>\\^`{|}", c) >= 0 {
			return false
		}
	}
	return s != "" && len(s) <= maxIssuerName
}

// findIssuer returns an issuer that is not configured. A token that can be refused
// without knowing its issuer is refused before FindIssuer is called.
func (v *Verifier) findIssuer(ctx context.Context, name string, c *claims) (*issuer, error) {
	if v.finder == nil || !isIssuerName(name) {
		return nil, refuseIssuer(v.issuersText, c.iss)
	}
	t, err := c.readTimes(v.profile)
	if err != nil {
		return nil, err
	}
	if err := t.check(v.now(), v.leeway); err != nil {
		return nil, err
	}
	if _, err := (&issuer{bindings: v.bindings}).confirmed(c.cnf); err != nil {
		return nil, err
	}
	iss, untrusted, err := v.finder.issuer(ctx, name)
	switch {
	case untrusted:
		return nil, refuseFound(v.issuersText, c.iss, err)
	case err != nil:
		return nil, unavailable(err)
	}
	return iss, nil
}

// A finder has the issuers that Config.FindIssuer has returned, and a bounded
// memory of other names.
type finder struct {
	v    *Verifier
	find func(ctx context.Context, iss string) (Issuer, error)
	most int // how many issuers may be in use
	life context.Context
	end  context.CancelFunc

	settling sync.Mutex // held while an answer is put into use; locked before mu

	mu        sync.Mutex        // held for moments only
	names     map[string]*found // by each value of "iss"
	held      []*found          // all issuers in use, the oldest first
	calls     map[string]*call
	strangers strangers
	budget    budget
	sweeper   *time.Timer // nil while no issuer is in use
	swept     time.Time
	asking    bool   // askAgain is running
	forgets   uint64 // calls of ForgetIssuer
	closed    bool
}

// A call is a call of FindIssuer that requests wait for.
type call struct {
	ctx  context.Context
	done chan struct{}
	// The result, once done is closed.
	issuer    *issuer
	untrusted bool
	err       error
}

func newFinder(v *Verifier, find func(context.Context, string) (Issuer, error), most int) *finder {
	f := &finder{v: v, find: find, most: most, names: map[string]*found{}, calls: map[string]*call{}, budget: newBudget()}
	if most == 0 {
		f.most = defaultMaxFound
	}
	f.life, f.end = context.WithCancel(context.Background())
	return f
}

// nameDigest returns the digest of a name.
func (f *finder) nameDigest(name string) nameDigest {
	d := f.v.digest(name)
	return nameDigest(d[:len(nameDigest{})])
}

// issuer returns the issuer of a name that is not configured. If it is not in use,
// that may take a call of FindIssuer, which all requests for the name share; each
// waits within its own context. untrusted says that FindIssuer returned ErrIssuer;
// with any other error it is not known whether the issuer is trusted.
func (f *finder) issuer(ctx context.Context, name string) (iss *issuer, untrusted bool, err error) {
	c, iss, known := f.lookUp(name)
	switch {
	case iss != nil:
		return iss, false, nil
	case c == nil:
		return nil, known.untrusted, known.err
	}
	select {
	case <-c.done:
	case <-c.ctx.Done():
		select {
		case <-c.done:
		default:
			if f.life.Err() != nil {
				return nil, false, errFinderClosed
			}
			return nil, false, errFinderSlow
		}
	case <-ctx.Done():
		return nil, false, fmt.Errorf("verify: gave up awaiting FindIssuer: %w", context.Cause(ctx))
	}
	return c.issuer, c.untrusted, c.err
}

// lookUp returns the issuer of a name if it is in use, else a call to wait for, or
// what is known without a call.
func (f *finder) lookUp(name string) (*call, *issuer, stranger) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if r := f.names[name]; r != nil {
		r.used.Store(true)
		return nil, r.issuer.Load(), stranger{}
	}
	if f.closed {
		return nil, nil, stranger{err: errFinderClosed}
	}
	if c := f.calls[name]; c != nil {
		return c, nil, stranger{}
	}
	now, digest := time.Now(), f.nameDigest(name)
	known, again := f.strangers.get(digest, now)
	if known.err != nil {
		return nil, nil, known
	}
	if len(f.calls) >= maxWaste || !f.budget.spend(now, again) {
		f.strangers.put(digest, stranger{})
		return nil, nil, stranger{err: errFinderBusy}
	}
	name = strings.Clone(name) // else it would keep the token in memory
	c := &call{done: make(chan struct{})}
	var cancel context.CancelFunc
	c.ctx, cancel = context.WithTimeout(f.life, findTimeout)
	f.calls[name] = c
	go func() {
		defer cancel()
		defer close(c.done)
		defer f.abort(c, name)
		f.call(c, name)
	}()
	return c, nil, stranger{}
}

// call calls FindIssuer and uses what it returns.
func (f *finder) call(c *call, name string) {
	for {
		since := f.epoch()
		answer, err := f.ask(c.ctx, name)
		if err == nil {
			c.issuer, err = f.settle(name, answer, nil, since)
		}
		f.mu.Lock()
		if f.forgets != since && c.ctx.Err() == nil {
			f.mu.Unlock()
			continue // the result may be older than the call of ForgetIssuer
		}
		f.finish(c, name, err)
		f.mu.Unlock()
		return
	}
}

// abort ends a call whose goroutine a function of the application has ended
// (runtime.Goexit).
func (f *finder) abort(c *call, name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.calls[name] == c {
		f.finish(c, name, errFinderEnded)
	}
}

// finish records the result of a call. The caller holds mu.
func (f *finder) finish(c *call, name string, err error) {
	delete(f.calls, name)
	if err != nil {
		c.issuer, c.untrusted, c.err = nil, isUntrusted(err), err
		f.remember(name, c.untrusted, err)
		return
	}
	if r := c.issuer.found; r.proven.Load() || r.owes {
		f.budget.refund()
	} else {
		r.owes = true
	}
}

// epoch returns how often ForgetIssuer was called.
func (f *finder) epoch() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.forgets
}

// remember remembers an error of FindIssuer for a while. The caller holds mu.
func (f *finder) remember(name string, untrusted bool, err error) {
	lasts := troubledFor
	if untrusted {
		lasts = untrustedFor
	}
	f.strangers.put(f.nameDigest(name), stranger{err, untrusted, time.Now().Add(lasts)})
}

// ask calls FindIssuer. A panic in it becomes an error.
func (f *finder) ask(ctx context.Context, name string) (answer Issuer, err error) {
	defer recovered("function FindIssuer", &err)
	return f.find(ctx, name)
}

// isUntrusted reports whether an error of FindIssuer says that the issuer is not
// trusted, rather than that FindIssuer could not find out.
func isUntrusted(err error) bool {
	return errors.Is(err, ErrIssuer) && !errors.Is(err, ErrUnavailable)
}

// settle puts an issuer into use that FindIssuer has returned for a name, or
// updates the one in use. If only is set, it does so only if that one is still in
// use. since is the epoch before FindIssuer was called. A panic in a part of the
// issuer becomes an error.
func (f *finder) settle(name string, answer Issuer, only *found, since uint64) (iss *issuer, err error) {
	if answer.Issuer == "" {
		answer.Issuer = name
	}
	defer recovered("issuer that FindIssuer returned", &err)
	iss, out, err := f.takeIn(name, answer, only, since)
	_ = closeAll(out)
	if err != nil {
		return nil, err
	}
	_, _ = keySetOf(iss.keys) // starts it
	return iss, nil
}

// takeIn does the work of settle. It returns the parts that are not needed any
// more, for the caller to close.
func (f *finder) takeIn(name string, answer Issuer, only *found, since uint64) (*issuer, []any, error) {
	f.settling.Lock()
	defer f.settling.Unlock()
	for {
		old, before, others := f.lookAround(answer.Issuer)
		if only != nil && only != old {
			return nil, nil, errGone
		}
		var bad faultList
		iss := f.v.newIssuer("", answer, &bad)
		if !iss.hasName(name) {
			return nil, nil, errNotItsName
		}
		for i, n := range iss.names {
			if slices.ContainsFunc(others, func(o *issuer) bool { return o.hasName(n) }) {
				bad.Add(iss.nameField(i), "is another issuer's too")
			}
		}
		if in := iss.introspection; in != nil && in.TakesOpaque {
			bad.Add("Introspection.TakesOpaque", "is for configured issuers: an opaque token does not name its issuer")
		}
		if len(answer.Bindings) > 0 {
			bad.Add("Bindings", "is for configured issuers: FindIssuer is not called for a token that is bound to a key unless Config.Bindings has a binding for it")
		}
		out := iss.parts()
		iss.found = old
		if old == nil {
			iss.found = &found{name: iss.name, calledWith: name}
			iss.found.issuer.Store(iss)
		} else {
			out = append(out, before.parts()...)
			iss.keepParts(before)
		}
		iss.checkParts(before, others, &bad)
		var bound []any
		if len(bad) == 0 {
			bound = f.v.bind(iss, before, &bad)
		}
		if len(bad) > 0 {
			unbindAll(bound)
			return nil, nil, fmt.Errorf("verify: FindIssuer returned an issuer that cannot be used: %w", bad.Err())
		}
		out = slices.DeleteFunc(out, iss.has)
		iss, more, err := f.install(iss, before, answer, since)
		if err == nil {
			return iss, append(out, more...), nil
		}
		unbindAll(bound)
		if err != errGone {
			return nil, nil, err
		}
	}
}

// errGone says that the issuer in use was dropped or replaced while an answer
// about it was processed.
var errGone = errors.New("verify: the issuer was dropped meanwhile")

// lookAround returns the issuer in use that has an identifier, and all others,
// configured ones included.
func (f *finder) lookAround(name string) (old *found, before *issuer, others []*issuer) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if r := f.names[name]; r != nil && r.name == name { // else it is an alternate of another issuer
		old, before = r, r.issuer.Load()
	}
	others = slices.Clone(f.v.list)
	for _, r := range f.held {
		if r != old {
			others = append(others, r.issuer.Load())
		}
	}
	return old, before, others
}

// install puts an issuer into use, if the one before it (nil: none) is still in
// use. It returns the issuer that is in use then, and the parts of those that made
// room for it.
func (f *finder) install(iss, before *issuer, answer Issuer, since uint64) (*issuer, []any, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch r := f.names[iss.name]; {
	case f.closed:
		return nil, nil, errFinderClosed
	case f.forgets != since:
		return nil, nil, errForgotten
	case r != nil && r.issuer.Load() != before, r == nil && before != nil:
		return nil, nil, errGone
	}
	now := time.Now()
	r := iss.found
	var out []any
	switch {
	case before == nil:
		out = f.makeRoom()
		f.held = append(f.held, r)
		r.lastUsed = now
		if f.sweeper == nil {
			f.sweeper = time.AfterFunc(sweepEach, f.sweep)
		}
	case iss.hasPartsOf(before) && r.answer.sameAs(&answer):
		iss = before // so that its cached tokens stay good
	default:
		f.forgetNames(before)
		r.issuer.Store(iss)
	}
	for _, n := range iss.names {
		f.names[n] = r
	}
	r.answer = answer.clone()
	r.confirmed = now
	return iss, out, nil
}

// errForgotten says that an answer may be older than a call of ForgetIssuer.
var errForgotten = errors.New("verify: ForgetIssuer was called meanwhile")
