package verify

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// A Condition must hold each time a token is used: that it has not been revoked,
// say. It must be safe for concurrent use. It may also have these methods:
//
//   - Bind(Opener) error ties it to a verifier; called by [New]. The error joins
//     every reason why it cannot be. Unbind() undoes it.
//   - Health() Health is for [Verifier.Health]; while it says that the condition is
//     not ready, the verifier is not.
//   - Close() error ends it.
type Condition interface {
	// Watch looks at a token once, when it has verified, and returns what is to be
	// called at each use of it; nil if the condition does not concern the token.
	// Watch may keep the token, but not change it. An error counts as one of a
	// Still does.
	Watch(t *Token) (Still, error)
}

// A Still returns nil if a condition still holds. An error that is a [Reason] or an
// [*Error], wrapped or not, refuses the token for that reason. Any other error, such
// as that of a database, means that it could not find out: the token then gets
// ErrUnavailable. A Still must be safe for concurrent use.
type Still func(ctx context.Context, r *Request) error

// Check makes a condition of a function that is called at each use of a token, with
// the token that [Verifier.Verify] is going to return. If f returns nil, the token is
// accepted. If it returns ErrRejected or another Reason, wrapped or not, the token is
// refused with ErrRejected. Any other error means that f could not find out: the token
// then gets ErrUnavailable.
func Check(f func(ctx context.Context, t *Token) error) Condition { return checkFunc(f) }

type checkFunc func(context.Context, *Token) error

// Watch implements [Condition].
func (f checkFunc) Watch(*Token) (Still, error) {
	return func(ctx context.Context, r *Request) error {
		err := f(ctx, r.verified)
		if err == nil {
			return nil
		}
		var reason Reason
		var e *Error
		if !errors.Is(err, ErrUnavailable) && (errors.As(err, &reason) || errors.As(err, &e)) {
			return &Error{Reason: ErrRejected, Cause: err}
		}
		return &Error{Reason: ErrUnavailable, Part: "check", Cause: err}
	}, nil
}

// refusedBy makes the error of a condition or a binding one of the verifier. Only a
// Reason says something about the token.
func refusedBy(part string, err error) error {
	e, ok := err.(*Error)
	if ok && (e.Reason == ErrUnavailable || !errors.Is(err, ErrUnavailable)) {
		return e
	}
	var r Reason
	switch {
	case errors.Is(err, ErrUnavailable):
	case errors.As(err, &e):
		return &Error{Reason: e.Reason, Part: e.Part, Cause: err}
	case errors.As(err, &r) && descriptions[r] != "":
		return &Error{Reason: r, Cause: err}
	}
	return &Error{Reason: ErrUnavailable, Part: part, Cause: err}
}

// newConditions appends conditions to others. field is that of the list.
func newConditions(others, list []Condition, field string, bad *faultList) []Condition {
	all := slices.Clip(others)
	for i, c := range list {
		if isNil(c) {
			bad.Add(fmt.Sprintf("%s[%d]", field, i), "is nil")
			continue
		}
		all = append(all, c)
	}
	return all
}

// watch has the issuer's conditions look at the token of a grant.
func (g *grant) watch() error {
	if len(g.issuer.conditions) == 0 {
		return nil
	}
	t := g.token.clone() // callers have copies of the other one
	for _, c := range g.issuer.conditions {
		still, err := watched(c, t)
		if err != nil {
			return refusedBy("condition", err)
		}
		if still != nil {
			g.still = append(g.still, still)
		}
	}
	return nil
}

func watched(c Condition, t *Token) (still Still, err error) {
	defer recovered("condition", &err)
	return c.Watch(t)
}

func holds(ctx context.Context, still Still, r *Request) (err error) {
	defer recovered("condition", &err)
	return still(ctx, r)
}

// holds returns the token of a grant for the caller, if all that must hold at this
// use of it does: that the client has proved the keys that it is bound to, and the
// conditions. r is nil if the client presents nothing but the token.
func (v *Verifier) holds(ctx context.Context, g *grant, token string, r *Request) (*Token, error) {
	if err := g.prove(ctx, r); err != nil {
		return nil, err
	}
	t := v.copyOf(g)
	if len(g.still) == 0 {
		return t, nil
	}
	if r == nil {
		r = &Request{Token: token}
	}
	r.verified = t
	defer func() { r.verified = nil }()
	for _, still := range g.still {
		if err := holds(ctx, still, r); err != nil {
			return nil, refusedBy("condition", err)
		}
	}
	return t, nil
}
