// Package part has what the background parts of a verifier (key sources,
// introspectors and the like) share: a state that knows since when it holds, and
// log records that are collected under a part's lock and written outside of it.
package part

import (
	"context"
	"log/slog"
	"time"

	"github.com/bearerkit/bearerkit/verify"
)

// A Status is the state of a part. The zero value is that of a part that has not
// tried anything yet. It is guarded by the part's lock.
type Status struct {
	state verify.State
	since time.Time
}

// State returns the state.
func (s *Status) State() verify.State {
	if s.state == "" {
		return verify.StateStarting
	}
	return s.state
}

// Since returns when the state was set; zero if it never was.
func (s *Status) Since() time.Time { return s.since }

// Set changes the state, and reports whether that is a change. Setting the same
// state again leaves Since as it was.
func (s *Status) Set(state verify.State, now time.Time) (changed bool) {
	if s.state == state {
		return false
	}
	s.state, s.since = state, now
	return true
}

// A Log collects the records of one operation while a lock is held; a handler may
// take its time, or call the part.
type Log []slog.Record

// Add adds a record; the arguments are those of [slog.Logger.Log].
func (l *Log) Add(level slog.Level, msg string, args ...any) {
	r := slog.NewRecord(time.Now(), level, msg, 0)
	r.Add(args...)
	*l = append(*l, r)
}

// Write writes the records to a logger (nil: slog.Default()), each with the name of
// the part's package before its message and the attributes after its own. A
// handler that panics loses the record, and nothing else.
func (l Log) Write(logger *slog.Logger, pkg string, attrs ...slog.Attr) {
	if len(l) == 0 {
		return
	}
	if logger == nil {
		logger = slog.Default()
	}
	for _, r := range l {
		r.Message = pkg + ": " + r.Message
		r.AddAttrs(attrs...)
		write(logger.Handler(), r)
	}
}

func write(h slog.Handler, r slog.Record) {
	defer func() { _ = recover() }()
	if ctx := context.Background(); h.Enabled(ctx, r.Level) {
		_ = h.Handle(ctx, r)
	}
}
