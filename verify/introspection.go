package verify

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// Introspection says how an issuer is asked about tokens (RFC 7662).
//
// What cannot be decided here is always asked: a token that is not a JWS (an
// opaque one, or an encrypted JWT), and a JWT of the issuer while its keys cannot
// be had. A JWT that can be checked here is checked here first; if it fails,
// the server is not asked. A JWT that was refused because of an answer is asked about
// until it expires.
//
// What the server says must not contradict a JWT that it is asked about: "iss",
// "sub" and "client_id" must be equal where both have them; of two "exp" the
// earlier one counts. For everything else that both have the answer counts,
// scopes included: it is the newer of the two. "aud", "nbf", "iat" and "jti"
// are the token's own; but a JWT that has no "aud" or no subject gets the
// answer's, which with Always is enough. What a token is bound to ("cnf") is what
// either of them says; an answer cannot take a binding away.
type Introspection struct {
	// Introspector asks; package
	// [github.com/bearerkit/bearerkit/verify/introspect] has one. Required.
	Introspector Introspector
	// Always asks about every JWT that verifies here, too, so that a
	// revocation counts as soon as answers are no longer reused. Default: a
	// JWT that verifies here is good until it expires.
	Always bool
	// TakesOpaque sends tokens that are not a JWS to this issuer, encrypted ones
	// included. With several issuers at most one can have it, and if none does
	// such tokens are refused. A single issuer does not need it. An issuer of
	// Config.FindIssuer cannot have it: such tokens name no issuer.
	TakesOpaque bool
	// InsecureNoAudience believes answers about tokens that are not a JWS even
	// if they have no "aud": any opaque token of the issuer opens this service
	// then, unless the server looks at who is asking (RFC 7662 section 4). So
	// does a refresh token, at a server whose answers have no "token_type"
	// either. It has no effect on JWTs.
	InsecureNoAudience bool
}

// An Introspector asks one authorization server about tokens. It must be safe
// for concurrent use. It may also have these methods:
//
//   - Check(issuer string) error reports every fault that Bind would, joined,
//     and changes nothing. Without it, [Config.Validate] cannot see them.
//   - Unbind() undoes Bind, because the [New] that bound the introspector has
//     failed.
//   - Ready() error says why questions cannot be answered now; [Verifier.Ready]
//     asks where every token needs an answer.
//   - NeedsAudience() bool reports that it takes signed answers only, and that
//     their "aud" has to be one of the issuer's: without one it is a fault.
//   - Close() error ends it.
//   - Same(Introspector) bool reports whether another one, which is not bound,
//     would ask the same; see [Config].FindIssuer.
type Introspector interface {
	// Bind ties the introspector to the one issuer that it asks, and to one
	// verifier, which checks signed answers for it: open. The error joins every
	// reason why it cannot be bound: faults of its configuration, each a
	// [*Fault], that it is closed, or that it is bound already. Bind starts
	// nothing.
	Bind(issuer string, open Opener) error
	// Introspect returns what the server says, or what it has said lately. An
	// error says that it could not be asked. It returns nil and no error only if
	// q.CacheOnly is set and nothing is known.
	Introspect(ctx context.Context, q *Query) (*Answer, error)
}

// A Query is what is asked about a token.
type Query struct {
	Token string
	// Digest stands for the token where it must be remembered. It is keyed
	// and tells nothing about the token.
	Digest [32]byte
	// Verified says that the token is a JWT whose signature has been checked:
	// it was not made up.
	Verified bool
	// Fresh demands that the server is asked now, whatever it has said before.
	Fresh bool
	// CacheOnly demands that the server is not asked: the answer is one that is
	// remembered and may still be reused, or none.
	CacheOnly bool
}

// An Answer is what an authorization server says of a token.
type Answer struct {
	// Active is whether the server says that the token is active, and nothing
	// is wrong with the form of what it says.
	Active bool
	// Claims is the answer, one strict JSON object, if Active.
	Claims string
	// At is when the question was put.
	At time.Time
	// Stale reports that the answer is reused for longer than normal, because
	// the server cannot be reached.
	Stale bool

	weighed atomic.Pointer[grant] // what it makes of a token that is not a JWT
}

// said asks the server about a token, if an answer is needed, and returns the grant
// that results from the answer. If none is needed, it uses a remembered one; without
// that, the grant of a JWT that has verified is its own.
func (v *Verifier) said(ctx context.Context, e *entry, q *Query) (*grant, error) {
	in := e.issuer.introspection
	if in == nil {
		return nil, unavailable(errNotIntrospected)
	}
	q.Verified = e.evidence == signed
	q.CacheOnly = q.Verified && !in.Always && !q.Fresh && !v.isDenied(e, q.Token)
	began := v.denials.number.Load()
	var start time.Time
	if !q.CacheOnly {
		start = time.Now()
	}
	a, err := in.query(ctx, q)
	switch {
	case err != nil:
		return nil, err
	case a == nil:
		return &e.grant, nil
	}
	g := e.weighed(a)
	if e.evidence == claimed && g.lacks != nil {
		return nil, unavailable(fmt.Errorf("%w, and %w", errNoKeySet, g.lacks))
	}
	if err = g.err; err == nil {
		err = g.times.check(v.now(), v.leeway)
	}
	if e.evidence == opaque {
		return g, err
	}
	if err != nil {
		if e.evidence == claimed {
			e = v.recall(q.Digest)
		}
		if e != nil { // it has verified, now or while there were keys
			var took time.Duration
			if !q.CacheOnly {
				took = time.Since(start)
			}
			v.deny(q, a, took, e.times.exp, err)
		}
		return nil, err
	}
	if v.overrules(g, q, began) {
		return nil, refuse(ErrInactive, "")
	}
	return g, nil
}

var (
	errNotIntrospected = errors.New("verify: the issuer's tokens are not introspected")
	errNoAnswer        = errors.New("verify: the introspector has no answer that could be read")
)

// query returns what the server says. There is no answer only where none was
// demanded: an introspector that forgets to give one opens nothing.
func (in *Introspection) query(ctx context.Context, q *Query) (*Answer, error) {
	cacheOnly := q.CacheOnly
	a, err := introspected(ctx, in.Introspector, q)
	switch {
	case err != nil:
		return nil, unavailable(err)
	case a == nil && !cacheOnly:
		return nil, unavailable(errNoAnswer)
	}
	return a, nil
}

// weighed returns what an answer makes of a token. That is worked out once.
func (e *entry) weighed(a *Answer) *grant {
	last := &e.answered
	if e.evidence == opaque {
		last = &a.weighed // the entry is that of all such tokens
	}
	if g := last.Load(); g != nil && g.answer == a && g.issuer == e.issuer { // verifiers may share an introspector
		return g
	}
	g := e.weigh(a)
	if !errors.Is(g.err, ErrUnavailable) {
		last.Store(g)
		if e.evidence == signed {
			e.reweigh()
		}
	}
	return g
}
