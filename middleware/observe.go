package middleware

import (
	"context"
	"time"
)

// An Outcome is what a guard did with a request.
type Outcome string

// The outcomes.
const (
	Allowed   Outcome = "allowed"   // served, with a verified token
	Anonymous Outcome = "anonymous" // served without credentials, on an optional route
	Refused   Outcome = "refused"
	Canceled  Outcome = "canceled" // not decided: the client has hung up before
)

// A Decision is what an [Observer] is told. All its texts come from closed sets, so
// that they can be labels of metrics: callers cannot add to them.
type Decision struct {
	Outcome  Outcome
	Reason   Reason        // of a refusal; else empty
	Status   int           // of a refusal; 499 of a canceled request; else 200
	Route    string        // the route's pattern, as far as the guard knows it; else empty
	Issuer   string        // of a token that has verified, or of an Authenticator; else empty
	Duration time.Duration // what deciding took, the user's resolution included
	// Nested says that an earlier guard has admitted this request, so that it
	// has been counted already.
	Nested bool
}

// An Observer is told of decisions, on the request's goroutine, for metrics and
// traces. It must be safe for concurrent use, and quick.
//
// Where guards follow each other, it is told of each; requests are counted by the
// decisions without Decision.Nested. [WithRecord] tells a layer outside of all
// guards the last decision.
type Observer interface {
	// Begin is called before a guard decides. The context that it returns is the
	// one for verification, the resolver and the requirements, so that a span in
	// it is the parent of theirs. The handler does not get it.
	Begin(ctx context.Context) context.Context
	// End is called with that context when the guard has decided.
	End(ctx context.Context, d Decision)
}

// ObserverFunc makes an Observer of a function that counts: it is called once for
// each request, and once more if a later guard refuses it (Decision.Nested).
type ObserverFunc func(ctx context.Context, d Decision)

// Begin returns ctx.
func (f ObserverFunc) Begin(ctx context.Context) context.Context { return ctx }

// End calls f, unless an earlier guard has admitted the request and so does this
// one.
func (f ObserverFunc) End(ctx context.Context, d Decision) {
	if !d.Nested || d.Outcome == Refused || d.Outcome == Canceled {
		f(ctx, d)
	}
}
