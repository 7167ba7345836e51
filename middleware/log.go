package middleware

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/bearerkit/bearerkit/verify"
)

// log writes a line for a refusal, and remembers when a request was last served.
func (a *Auth) log(ctx context.Context, d Decision, f *failure, id *identity) {
	now := time.Now()
	if f == nil {
		if d.Outcome == Allowed {
			a.lastGood.set(now)
		}
		return
	}
	level := a.level(f, now)
	held := 0
	if level > slog.LevelDebug && a.logger.Enabled(ctx, level) {
		var ok bool
		if held, ok = a.lines.allow(causeOf(f, d), now); !ok {
			level = slog.LevelDebug
		}
	}
	if !a.logger.Enabled(ctx, level) {
		return
	}
	message := "request refused"
	switch {
	case d.Outcome == Canceled:
		message = "request canceled"
	case f.unavailable():
		message = "request could not be decided"
	}
	attrs := make([]slog.Attr, 0, 12)
	add := func(name, value string) {
		if value != "" {
			attrs = append(attrs, slog.String(name, value))
		}
	}
	add("reason", string(f.reason))
	attrs = append(attrs, slog.Int("status", d.Status))
	add("route", d.Route)
	if id != nil && id.token != nil { // it has verified
		add("issuer", printable(id.token.Issuer))
		add("subject", printable(id.token.Subject))
		add("client", printable(id.token.ClientID))
		if f.missing != nil {
			add("missing", f.missing(id.token))
		}
	}
	var e *verify.Error
	if errors.As(f.cause, &e) {
		add("expected", e.Expected())
		add("received", e.Received())
	}
	text := ""
	if f.cause != nil {
		text = f.cause.Error()
	}
	if text != "verify: "+f.description {
		add("description", f.description)
	}
	add("error", text)
	if held > 0 {
		attrs = append(attrs, slog.Int("suppressed", held))
	}
	a.logger.LogAttrs(ctx, level, message, attrs...)
}

// level returns the level of a refusal's line. What points to a mistake in the
// configuration of the service or of a client is a warning. A token that has
// expired or was revoked is everyday traffic, unless no other token was good in
// the last minute: then a clock may be wrong, or the authorization server.
func (a *Auth) level(f *failure, now time.Time) slog.Level {
	switch f.reason {
	case ReasonCanceled, Reason(verify.ErrNonce): // how clients learn the nonce
		return slog.LevelDebug
	case ReasonNoCredentials:
		if f == noCredentials || f == noneOfAnyKind { // else something is there, in the wrong form
			return slog.LevelDebug
		}
	case ReasonCredentialsUnavailable, ReasonUserUnavailable, ReasonRequirementUnavailable, ReasonCheckUnavailable:
		return slog.LevelError
	case Reason(verify.ErrExpired), Reason(verify.ErrInactive):
		if a.lastGood.since(now) < time.Minute {
			return slog.LevelInfo
		}
	}
	return slog.LevelWarn
}

// A cause is what a log line is about; there is at most one line a minute for each.
type cause struct {
	reason Reason
	part   string // of the token, where the reason alone does not say it
	route  string // of a requirement
}

// causeOf allocates nothing, because it is asked about every refusal.
func causeOf(f *failure, d Decision) cause {
	c := cause{reason: f.reason}
	if e, ok := f.cause.(*verify.Error); ok {
		c.part = e.Part
	} else if f.reason == ReasonNoCredentials || f.reason == ReasonCredentials {
		c.part = f.description
	}
	if d.Status == http.StatusForbidden || f.code == codeStepUp {
		c.route = d.Route
	}
	return c
}

// throttle allows one line a minute for each cause, and counts the others.
type throttle struct {
	mu     sync.Mutex
	causes map[cause]tally
}

type tally struct {
	last time.Time
	held int
}

const (
	lineEvery = time.Minute
	// maxCauses bounds the memory. Reasons and parts come from closed sets, and
	// so do the routes of any usual router.
	maxCauses = 512
)

// allow reports whether a line may be written now, and how many were held back
// since the last one.
func (t *throttle) allow(c cause, now time.Time) (held int, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, known := t.causes[c]; !known && len(t.causes) >= maxCauses {
		c = cause{reason: c.reason}
	}
	was := t.causes[c]
	if !was.last.IsZero() && now.Sub(was.last) < lineEvery {
		t.causes[c] = tally{was.last, was.held + 1}
		return 0, false
	}
	if t.causes == nil {
		t.causes = map[cause]tally{}
	}
	t.causes[c] = tally{last: now}
	return was.held, true
}

// moment is a time that is stored often and need not be exact.
type moment struct{ unix atomic.Int64 }

// set stores the time, to the second: most calls only read.
func (m *moment) set(t time.Time) {
	if s := t.Unix(); m.unix.Load() != s {
		m.unix.Store(s)
	}
}

func (m *moment) since(t time.Time) time.Duration {
	return time.Duration(t.Unix()-m.unix.Load()) * time.Second
}

// maxShown is how many bytes of a value a log line shows.
const maxShown = 100

// printable shortens and quotes a value of a verified token for a log line.
func printable(s string) string {
	if len(s) > maxShown {
		cut := maxShown
		for cut > 0 && !utf8.RuneStart(s[cut]) {
			cut--
		}
		s = s[:cut] + "…"
	}
	if quoted := strconv.Quote(s); len(quoted) != len(s)+len(`""`) {
		return quoted
	}
	return s
}
