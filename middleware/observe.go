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

// A Decision is what an [Observer] learns. All its texts come from closed sets:
// a caller cannot make up labels.
type Decision struct {
	Outcome  Outcome
	Reason   Reason        // of a refusal; else empty
	Status   int           // of a refusal; 499 of a canceled request; else 200
	Route    string        // the route's pattern, as far as the router tells it to the guard; else empty
	Issuer   string        // of the token, if it has verified, or as an Authenticator says; else empty
	Duration time.Duration // what deciding took, the user's resolution included
	// Nested says that an earlier guard has admitted this request, so that it
	// has been counted already.
	Nested bool
}

// An Observer learns of decisions, on the request's goroutine; metrics and traces
// can hang on it. It must be safe for concurrent use, and quick.
//
// Where guards follow each other, it learns of each: the decisions without
// Decision.Nested count requests. [WithRecord] tells a layer outside what came of
// a request in the end.
type Observer interface {
	// Begin is called before a guard decides. What it returns is the context of
	// whatever the decision takes: verification, the resolver, requirements. So
	// it can hold a span, the parent of theirs; the handler's context does not.
	Begin(ctx context.Context) context.Context
	// End is called with that context when the guard has decided.
	End(ctx context.Context, d Decision)
}

// ObserverFunc makes an Observer of a function that counts: it learns of each
// request once, and once more if a later guard refuses it (Decision.Nested).
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
