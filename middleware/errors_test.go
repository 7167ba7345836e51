package middleware_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/bearerkit/bearerkit/middleware"
	"github.com/bearerkit/bearerkit/verify"
)

// timeout is an error as drivers of databases have them.
type timeout struct{}

func (timeout) Error() string { return "i/o timeout" }
func (timeout) Timeout() bool { return true }

// TestErrorsOfTheApplication: a function of the application says no with an
// error that was made for that. Anything else it returns is a failure, which is
// 503 and logged at level Error, never the caller's fault.
func TestErrorsOfTheApplication(t *testing.T) {
	const trouble = "trouble"
	type answer struct {
		status      int
		reason      middleware.Reason
		description string
	}
	functions := map[string]struct {
		config  func(error, *verify.Config, *middleware.Config) []middleware.Requirement
		answers map[string]answer // to an error
	}{
		"Func": {
			func(err error, _ *verify.Config, _ *middleware.Config) []middleware.Requirement {
				return []middleware.Requirement{middleware.Func("only on weekdays", func(context.Context, *verify.Token) error { return err })}
			},
			map[string]answer{
				"denied":   {403, "requirement", "only on weekdays"},
				"no user":  {401, "no_user", "the token's subject is not a user"},
				"rejected": {503, "requirement_unavailable", "a requirement cannot be checked at the moment"},
				trouble:    {503, "requirement_unavailable", "a requirement cannot be checked at the moment"},
			},
		},
		"Func in All and Any": {
			func(err error, _ *verify.Config, _ *middleware.Config) []middleware.Requirement {
				q := middleware.Func("only on weekdays", func(context.Context, *verify.Token) error { return err })
				return []middleware.Requirement{middleware.All(middleware.OnlyUsers(), middleware.Any(middleware.Any(q), middleware.OnlyMachines()))}
			},
			map[string]answer{
				"denied":   {403, "requirement", "only on weekdays"},
				"no user":  {401, "no_user", "the token's subject is not a user"},
				"rejected": {503, "requirement_unavailable", "a requirement cannot be checked at the moment"},
				trouble:    {503, "requirement_unavailable", "a requirement cannot be checked at the moment"},
			},
		},
		"RequestFunc": {
			func(err error, _ *verify.Config, _ *middleware.Config) []middleware.Requirement {
				return []middleware.Requirement{middleware.RequestFunc("only on weekdays", func(*http.Request, *verify.Token) error { return err })}
			},
			map[string]answer{
				"denied":   {403, "requirement", "only on weekdays"},
				"no user":  {401, "no_user", "the token's subject is not a user"},
				"rejected": {503, "requirement_unavailable", "a requirement cannot be checked at the moment"},
				trouble:    {503, "requirement_unavailable", "a requirement cannot be checked at the moment"},
			},
		},
		"Resolve": {
			func(err error, _ *verify.Config, c *middleware.Config) []middleware.Requirement {
				c.User = middleware.Resolve(func(context.Context, *verify.Token) (user, error) { return user{"x"}, err })
				return nil
			},
			map[string]answer{
				"denied":   {403, "user_denied", "the user is not admitted"},
				"no user":  {401, "no_user", "the token's subject is not a user"},
				"rejected": {503, "user_unavailable", "the user cannot be looked up at the moment"},
				trouble:    {503, "user_unavailable", "the user cannot be looked up at the moment"},
			},
		},
		"Checks": {
			func(err error, v *verify.Config, _ *middleware.Config) []middleware.Requirement {
				v.Conditions = []verify.Condition{verify.Check(func(context.Context, *verify.Token) error { return err })}
				return nil
			},
			map[string]answer{
				"denied":   {503, "check_unavailable", "the token cannot be verified at the moment (check)"},
				"no user":  {503, "check_unavailable", "the token cannot be verified at the moment (check)"},
				"rejected": {401, "rejected", "the token was rejected"},
				trouble:    {503, "check_unavailable", "the token cannot be verified at the moment (check)"},
			},
		},
	}
	errs := map[string][]error{
		"denied":   {middleware.ErrDenied, fmt.Errorf("sunday: %w", middleware.ErrDenied), errors.Join(io.EOF, middleware.ErrDenied)},
		"no user":  {middleware.ErrNoUser, fmt.Errorf("users: %w", middleware.ErrNoUser)},
		"rejected": {verify.ErrRejected, fmt.Errorf("blocked: %w", verify.ErrRejected), verify.ErrInactive},
		trouble: {
			context.DeadlineExceeded, fmt.Errorf("select: %w", context.DeadlineExceeded), errors.New("connection refused"), sql.ErrNoRows, timeout{}, io.EOF,
			verify.ErrUnavailable, fmt.Errorf("calendar: %w", verify.ErrUnavailable), (*verify.Error)(&verify.Error{Reason: verify.ErrUnavailable, Cause: io.EOF}),
		},
	}
	for name, function := range functions {
		for kind, list := range errs {
			want := function.answers[kind]
			for _, err := range list {
				var log bytes.Buffer
				m := middleware.Config{Logger: slog.New(slog.NewTextHandler(&log, nil))} // Info and above
				var q []middleware.Requirement
				v := func(c *verify.Config) { q = function.config(err, c, &m) }
				issuer, auth := newStaticOf(t, v, &m)
				f := refusal(auth.Require(q...), issuer.Token(nil))
				if f == nil || f.Status != want.status || f.Reason != want.reason || f.Description != want.description {
					t.Errorf("%s, %v: %+v, want %+v", name, err, f, want)
					continue
				}
				if (len(f.Header["Www-Authenticate"]) > 0) != (f.Status == 401) || (f.Header.Get("Retry-After") != "") != (f.Status == 503) || !slices.Contains(middleware.Reasons(), f.Reason) {
					t.Errorf("%s, %v: %+v", name, err, f)
				}
				if loud := strings.Contains(log.String(), "level=ERROR"); loud != (f.Status == 503) || loud && !strings.Contains(log.String(), fmt.Sprintf("reason=%s status=503 ", f.Reason)) {
					t.Errorf("%s, %v: log %q", name, err, &log)
				}
				if f.Status == 503 && !strings.Contains(log.String(), strings.ReplaceAll(err.Error(), "\n", `\n`)) {
					t.Errorf("%s, %v: the log has no cause: %q", name, err, &log)
				}
			}
		}
	}
}

// TestTroubleOfAnAlternative: what could not be found out might have been met,
// so that the answer is 503, unless another alternative is met.
func TestTroubleOfAnAlternative(t *testing.T) {
	issuer, auth := newStatic(t, middleware.Config{Logger: slog.New(slog.DiscardHandler)}, nil)
	trouble := middleware.Func("x", func(context.Context, *verify.Token) error { return context.DeadlineExceeded })
	for name, c := range map[string]struct {
		q      middleware.Requirement
		status int // 0: served
	}{
		"met after trouble":   {middleware.Any(trouble, middleware.OnlyUsers()), 0},
		"met before trouble":  {middleware.Any(middleware.OnlyUsers(), trouble), 0},
		"unmet after trouble": {middleware.Any(trouble, middleware.OnlyMachines()), 503},
		"unmet before":        {middleware.Any(middleware.OnlyMachines(), trouble), 503},
		"all, unmet before":   {middleware.All(middleware.OnlyMachines(), trouble), 403},
		"all, unmet after":    {middleware.All(trouble, middleware.OnlyMachines()), 503},
	} {
		status := 0
		if f := refusal(auth.Require(c.q), issuer.Token(nil)); f != nil {
			status = f.Status
		}
		if status != c.status {
			t.Errorf("%s: %d, want %d", name, status, c.status)
		}
	}
}
