package part_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/bearerkit/bearerkit/internal/part"
	"github.com/bearerkit/bearerkit/verify"
)

func TestStatus(t *testing.T) {
	var s part.Status
	if s.State() != verify.StateStarting || !s.Since().IsZero() {
		t.Errorf("the zero value is %s since %v", s.State(), s.Since())
	}
	t0 := time.Unix(1_700_000_000, 0)
	for i, step := range []struct {
		to      verify.State
		changed bool
		since   int // the step at which the state was entered
	}{
		{verify.StateStarting, true, 0}, // started, though nothing has been tried
		{verify.StateStarting, false, 0},
		{verify.StateReady, true, 2},
		{verify.StateReady, false, 2},
		{verify.StateFailing, true, 4},
	} {
		changed := s.Set(step.to, t0.Add(time.Duration(i)*time.Second))
		since := t0.Add(time.Duration(step.since) * time.Second)
		if changed != step.changed || s.State() != step.to || !s.Since().Equal(since) {
			t.Errorf("step %d: changed %v, %s since %v; want %+v", i, changed, s.State(), s.Since(), step)
		}
	}
}

// panicking is a handler that panics with one record.
type panicking struct{ slog.Handler }

func (h panicking) Handle(ctx context.Context, r slog.Record) error {
	if strings.Contains(r.Message, "panic") {
		panic(r.Message)
	}
	return h.Handler.Handle(ctx, r)
}

func TestLog(t *testing.T) {
	var out bytes.Buffer
	logger := slog.New(panicking{slog.NewTextHandler(&out, nil)})
	var l part.Log
	l.Write(logger, "pkg")
	l.Add(slog.LevelDebug, "not enabled")
	l.Add(slog.LevelWarn, "panic")
	l.Add(slog.LevelInfo, "it works", "n", 1, slog.Int("m", 2))
	l.Write(logger, "pkg", slog.String("issuer", "i"))
	got := out.String()
	if strings.Count(got, "\n") != 1 || !strings.HasSuffix(got, `level=INFO msg="pkg: it works" n=1 m=2 issuer=i`+"\n") {
		t.Errorf("logged %q", got)
	}
	l.Write(nil, "pkg") // to slog.Default()
}
