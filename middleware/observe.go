package middleware

import (
	"context"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"
)

// An Outcome is what a guard did with a request.
type Outcome string

// The outcomes.
const (
	Allowed   Outcome = "allowed"   // served, with a verified token
	Anonymous Outcome = "anonymous" // served without credentials, on an optional route
	Refused   Outcome = "refused"
)

// A Decision is what an [Observer] learns. All its texts come from closed sets:
// a caller cannot make up labels.
type Decision struct {
	Outcome  Outcome
	Reason   string        // of a refusal, as in Refusal.Reason; else empty
	Status   int           // of a refusal; else 200
	Duration time.Duration // what deciding took, the user's resolution included
}

// An Observer learns of every decision, on the request's goroutine; metrics can
// hang on it. It must be safe for concurrent use, and quick.
type Observer interface {
	Observe(ctx context.Context, d Decision)
}

// ObserverFunc makes an Observer of a function.
type ObserverFunc func(ctx context.Context, d Decision)

// Observe calls f.
func (f ObserverFunc) Observe(ctx context.Context, d Decision) { f(ctx, d) }

// report logs a refusal and tells the observer.
func (a *Auth) report(r *http.Request, d Decision, f *Refusal) {
	ctx := r.Context()
	if a.config.Observer != nil {
		a.config.Observer.Observe(ctx, d)
	}
	if f == nil {
		return
	}
	level, message := slog.LevelDebug, "request refused"
	switch {
	case f.Reason == "user_unavailable" || f.Reason == "requirement_unavailable":
		level, message = slog.LevelError, "request could not be decided"
	case f.Status == http.StatusServiceUnavailable:
		level, message = slog.LevelWarn, "token could not be verified"
		if !a.lastWarn.allow(time.Second) {
			level = slog.LevelDebug
		}
	}
	if !a.logger.Enabled(ctx, level) {
		return
	}
	attrs := []slog.Attr{slog.String("reason", f.Reason), slog.Int("status", f.Status)}
	if r.Pattern != "" {
		attrs = append(attrs, slog.String("route", r.Pattern))
	}
	if f.Err != nil {
		attrs = append(attrs, slog.String("error", f.Err.Error()))
	}
	a.logger.LogAttrs(ctx, level, message, attrs...)
}

// throttle lets something happen at most so often.
type throttle struct{ last atomic.Int64 }

func (t *throttle) allow(every time.Duration) bool {
	now := time.Now().UnixNano()
	last := t.last.Load()
	return now-last >= int64(every) && t.last.CompareAndSwap(last, now)
}
