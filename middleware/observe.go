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
	Duration time.Duration // what deciding took, the user's resolution included
	// Nested says that an earlier guard has admitted this request, so that it
	// has been counted already.
	Nested bool
}

// An Observer learns of decisions, on the request's goroutine; metrics can hang
// on it. It must be safe for concurrent use, and quick.
//
// Where guards follow each other, it learns once that a request was admitted,
// and of a refusal by a later guard with Decision.Nested: the decisions without
// it count requests. [WithRecord] tells a layer outside what came of a request in
// the end.
type Observer interface {
	Observe(ctx context.Context, d Decision)
}

// ObserverFunc makes an Observer of a function.
type ObserverFunc func(ctx context.Context, d Decision)

// Observe calls f.
func (f ObserverFunc) Observe(ctx context.Context, d Decision) { f(ctx, d) }
