package main

import (
	"context"
	"expvar"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	bearer "github.com/bearerkit/bearerkit/middleware"
)

// metrics count decisions, by outcome and by reason. Both come from closed sets,
// so that callers cannot make the maps grow.
type metrics struct {
	decisions, refusals expvar.Map
}

// count is a [bearer.ObserverFunc].
func (m *metrics) count(_ context.Context, d bearer.Decision) {
	if !d.Nested { // counted by an earlier guard
		m.decisions.Add(string(d.Outcome), 1)
	}
	if d.Outcome == bearer.Refused {
		m.refusals.Add(string(d.Reason), 1)
	}
}

// newAdmin is for the platform and its operators.
func newAdmin(auth *bearer.Auth, m *metrics) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, r *http.Request) {})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if !auth.Verifier().Ready() { // no usable keys
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	mux.HandleFunc("GET /debug/vars", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, "{\"decisions\": %v, \"refusals\": %v}\n", &m.decisions, &m.refusals)
	})
	return mux
}

// accessLog logs a line for each request: what was answered, and to whom. It
// stands outside of the guards and learns from them by a [bearer.Record].
func accessLog(logger *slog.Logger, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		ctx, record := bearer.WithRecord(r.Context())
		out := &statusWriter{ResponseWriter: w, status: http.StatusOK}
		next.ServeHTTP(out, r.WithContext(ctx))

		decision, _ := record.Decision()
		attrs := []slog.Attr{
			slog.String("method", r.Method), slog.String("route", decision.Route),
			slog.Int("status", out.status), slog.Duration("took", time.Since(start)),
		}
		if u, ok := bearer.UserFrom[*user](record.Context()); ok {
			attrs = append(attrs, slog.String("user", u.ID))
		}
		if decision.Reason != "" {
			attrs = append(attrs, slog.String("refused", string(decision.Reason)))
		}
		logger.LogAttrs(ctx, slog.LevelInfo, "request", attrs...)
	})
}

// A statusWriter remembers the status of an answer.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap lets [http.ResponseController] find what w wraps.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
