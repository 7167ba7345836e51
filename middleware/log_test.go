package middleware_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bearerkit/bearerkit/middleware"
	"github.com/bearerkit/bearerkit/verify"
	"github.com/bearerkit/bearerkit/verify/verifytest"
)

// A flood of one cause is one line a minute, which tells how many were held
// back; another cause is not hidden by it.
func TestLinesAreThrottled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		issuer, auth := newClocked(t, 0)
		auth = must(middleware.New(auth.Verifier(), middleware.Config{
			Logger: slog.New(slog.NewTextHandler(&log, nil)),
			User: middleware.Resolve(func(context.Context, *verify.Token) (user, error) {
				return user{}, errors.New("users: connection refused")
			}),
		}))
		other := issuer.Token(verifytest.Claims{"aud": "other"})
		storm := issuer.Token(nil)
		refuse := func(token string, n int) {
			for range n {
				if _, f := auth.Require().Decide(request(token)); f == nil {
					t.Fatal("admitted")
				}
			}
		}
		take := func() string { defer log.Reset(); return log.String() }

		refuse(other, 100)
		if text := take(); strings.Count(text, "\n") != 1 || !strings.Contains(text, "level=WARN") || strings.Contains(text, "suppressed") {
			t.Errorf("a flood: %s", text)
		}
		refuse(storm, 50)
		if text := take(); strings.Count(text, "\n") != 1 || !strings.Contains(text, "level=ERROR") || !strings.Contains(text, "connection refused") {
			t.Errorf("another cause: %s", text)
		}
		time.Sleep(time.Minute - time.Nanosecond)
		refuse(other, 1)
		if text := take(); text != "" {
			t.Errorf("within the minute: %s", text)
		}
		time.Sleep(time.Nanosecond)
		refuse(other, 2)
		refuse(storm, 2)
		text := take()
		if strings.Count(text, "\n") != 2 || !strings.Contains(text, "suppressed=100") || !strings.Contains(text, "suppressed=49") {
			t.Errorf("a minute later: %s", text)
		}
		refuse(issuer.Token(verifytest.Claims{"exp": "soon"}), 2)
		refuse(issuer.Token(verifytest.Claims{"iat": "now"}), 2)
		if text := take(); strings.Count(text, "\n") != 2 {
			t.Errorf("two claims at fault: %s", text)
		}
		refuse("", 3)
		if text := take(); text != "" {
			t.Errorf("no credentials: %s", text)
		}
	})
}

// What is held back is there at level Debug.
func TestDebugHasEveryLine(t *testing.T) {
	var log bytes.Buffer
	_, auth := newAuth(t, middleware.Config{Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	for range 5 {
		auth.Require().Decide(request("a b"))
		auth.Require().Decide(request(""))
	}
	if n, warnings := strings.Count(log.String(), "request refused"), strings.Count(log.String(), "level=WARN"); n != 10 || warnings != 1 {
		t.Errorf("%d lines, %d warnings: %s", n, warnings, &log)
	}
}

// Tokens that have expired are everyday traffic while others pass, and a
// warning if none does: a clock may be wrong.
func TestExpiredTokensInTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		issuer, auth := newClocked(t, 0)
		auth = must(middleware.New(auth.Verifier(), middleware.Config{Logger: slog.New(slog.NewTextHandler(&log, nil))}))
		good := issuer.Token(verifytest.Claims{"exp": time.Now().Add(24 * time.Hour)})
		level := func(token string) string {
			defer log.Reset()
			auth.Require().Decide(request(token))
			_, rest, _ := strings.Cut(log.String(), "level=")
			level, _, _ := strings.Cut(rest, " ")
			return level
		}
		expired := issuer.Token(verifytest.Claims{"exp": time.Now().Add(-time.Hour)})
		auth.Optional().Decide(request("")) // passes, without a token
		for i, step := range []struct {
			wait  time.Duration
			token string
			want  string
		}{
			{0, expired, "WARN"},
			{0, good, ""},
			{59 * time.Second, expired, ""}, // throttled
			{0, good, ""},
			{2 * time.Second, expired, "INFO"},
			{61 * time.Second, expired, "WARN"},
		} {
			time.Sleep(step.wait)
			if got := level(step.token); got != step.want {
				t.Errorf("step %d: level %q, want %q", i, got, step.want)
			}
		}
	})
}

// A line that is held back costs nothing beside the refusal itself.
func TestThrottledLinesAllocateNothing(t *testing.T) {
	issuer, quiet := newAuth(t, middleware.Config{})
	loud := must(middleware.New(quiet.Verifier(), middleware.Config{Logger: slog.New(slog.NewTextHandler(new(bytes.Buffer), nil))}))
	r := request(issuer.Token(verifytest.Claims{"scope": "a"}))
	r.Pattern = "GET /orders/{id}"
	other := request(issuer.Token(verifytest.Claims{"aud": "other"}))
	cost := func(a *middleware.Auth) float64 {
		guard := a.Require(middleware.Scope("b"))
		guard.Decide(r)
		guard.Decide(other)
		return testing.AllocsPerRun(100, func() { guard.Decide(r); guard.Decide(other) })
	}
	if with, without := cost(loud), cost(quiet); with > without {
		t.Errorf("%v allocations with a log, %v without", with, without)
	}
}

// However many routes there seem to be, the memory for causes is bounded, and
// the log too.
func TestCausesAreBounded(t *testing.T) {
	var log bytes.Buffer
	issuer, auth := newAuth(t, middleware.Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	r, guard := request(issuer.Token(nil)), auth.Require(middleware.Scope("b"))
	for i := range 2000 {
		guard.Serve(httptest.NewRecorder(), r, fmt.Sprint("/", i))
	}
	if n := strings.Count(log.String(), "level=WARN"); n < 100 || n > 600 {
		t.Errorf("%d lines", n)
	}
}

// One warning says what this service expects and what the token had, for each
// mistake that a configuration can have; and nothing else of the token.
func TestLogNamesBothSides(t *testing.T) {
	now := time.Now()
	marked := verifytest.Claims{"sub": "mark-of-the-subject", "client_id": "mark-of-the-client", "jti": "mark-of-the-id"}
	with := func(more verifytest.Claims) verifytest.Claims {
		c := maps.Clone(marked)
		maps.Copy(c, more)
		return c
	}
	strange := verifytest.NewKey("ES256")
	strange.ID = "mark-of-the-kid"
	for name, c := range map[string]struct {
		token func(*verifytest.Server) string
		want  []string
	}{
		"another audience": {func(s *verifytest.Server) string {
			return s.Token(with(verifytest.Claims{"aud": "https://other.example"}))
		},
			[]string{"reason=audience", "https://api.example.com", "https://other.example"}},
		"a list of audiences": {func(s *verifytest.Server) string {
			return s.Token(with(verifytest.Claims{"aud": []string{"https://one.example", "https://two.example"}}))
		}, []string{"reason=audience", "https://api.example.com", "https://one.example", "https://two.example"}},
		"another issuer": {func(s *verifytest.Server) string {
			return s.Token(with(verifytest.Claims{"iss": "https://issuer.example/"}))
		}, []string{"reason=issuer", `\"https://issuer.example\"`, `\"https://issuer.example/\"`}},
		"expired": {func(s *verifytest.Server) string {
			return s.Token(with(verifytest.Claims{"exp": now.Add(-2 * time.Hour), "iat": nil}))
		}, []string{"reason=expired", now.UTC().Format("2006-01-02T15:04"), now.Add(-2 * time.Hour).UTC().Format(time.RFC3339)}},
		"issued in the future": {func(s *verifytest.Server) string {
			return s.Token(with(verifytest.Claims{"iat": now.Add(10 * time.Minute)}))
		}, []string{"reason=not_yet_valid", now.UTC().Format("2006-01-02T15:04"), now.Add(10 * time.Minute).UTC().Format(time.RFC3339)}},
		"an unknown key": {func(s *verifytest.Server) string { return s.Token(with(nil), verifytest.WithKey(strange)) },
			[]string{"reason=unknown_key", "KEY-OF-THE-ISSUER"}},
		"another typ": {func(s *verifytest.Server) string {
			return s.Token(with(nil), verifytest.WithHeader(map[string]any{"typ": "logout+jwt"}))
		}, []string{"reason=type", "at+jwt", "logout+jwt"}},
		"an ID token": {func(s *verifytest.Server) string {
			return s.Token(with(verifytest.Claims{"nonce": "mark-of-the-nonce"}), verifytest.WithHeader(map[string]any{"typ": "JWT"}))
		}, []string{"reason=type", "nonce", "at+jwt"}},
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			issuer, quiet := newClocked(t, 0)
			auth := must(middleware.New(quiet.Verifier(), middleware.Config{Logger: slog.New(slog.NewTextHandler(&log, nil))}))
			for range 3 {
				resp := refused(auth.Require(), request(c.token(issuer)))
				if resp == nil || resp.StatusCode != 401 {
					t.Fatalf("%v", resp)
				}
				answer := fmt.Sprint(resp.Header) + must(readAll(resp))
				if strings.Contains(answer, "example") {
					t.Errorf("the answer names a side: %s", answer)
				}
			}
			text := log.String()
			if strings.Count(text, "\n") != 1 || !strings.Contains(text, "level=WARN") {
				t.Errorf("%s", text)
			}
			for _, want := range c.want {
				if want == "KEY-OF-THE-ISSUER" {
					want = issuer.Key().ID
				}
				if !strings.Contains(text, want) {
					t.Errorf("the log lacks %q: %s", want, text)
				}
			}
			if strings.Contains(text, "mark-of") {
				t.Errorf("the log has what is nobody's business: %s", text)
			}
		})
	}
}

func readAll(resp *http.Response) (string, error) {
	b, err := io.ReadAll(resp.Body)
	return string(b), err
}

// A 403 says who lacks what, and where.
func TestLogSaysWhatIsMissing(t *testing.T) {
	var log bytes.Buffer
	issuer, quiet := newClocked(t, 0)
	auth := must(middleware.New(quiet.Verifier(), middleware.Config{Logger: slog.New(slog.NewTextHandler(&log, nil))}))
	authTime := time.Now().Add(-time.Hour).Truncate(time.Second)
	token := issuer.Token(verifytest.Claims{
		"sub": "user_7", "client_id": "client_7", "scope": "a b", "permissions": []string{"p"}, "org_id": "org_1", "auth_time": authTime,
	})
	for name, c := range map[string]struct {
		requirement middleware.Requirement
		missing     string
	}{
		"scope":            {middleware.Scope("a", "c", "d"), `scope \"c\", \"d\"`},
		"any scope":        {middleware.AnyScope("c", "d"), `scope \"c\" or \"d\"`},
		"permission":       {middleware.Permission("p", "q"), `permission \"q\"`},
		"any permission":   {middleware.AnyPermission("q", "r"), `permission \"q\" or \"r\"`},
		"organization":     {middleware.Organization("org_2"), `organization \"org_2\"`},
		"acr":              {middleware.ACR("mfa", "hwk"), `acr \"mfa\" or \"hwk\"`},
		"max age":          {middleware.MaxAge(time.Minute), "auth_time within 1m0s, not " + authTime.UTC().Format(time.RFC3339)},
		"inside of All":    {middleware.All(middleware.OnlyUsers(), middleware.Scope("c")), `scope \"c\"`},
		"the first of Any": {middleware.Any(middleware.Scope("c"), middleware.Organization("org_2")), `scope \"c\"`},
	} {
		log.Reset()
		r := request(token)
		r.Pattern = "GET /" + name
		if resp := refused(auth.Require(c.requirement), r); resp == nil {
			t.Fatalf("%s: admitted", name)
		}
		for _, want := range []string{"level=WARN", `route="GET /` + name + `"`, "issuer=https://issuer.example", "subject=user_7", "client=client_7", `missing="` + c.missing + `"`} {
			if !strings.Contains(log.String(), want) {
				t.Errorf("%s: the log lacks %s: %s", name, want, &log)
			}
		}
	}
	// A subject is the issuer's text, not the log's.
	log.Reset()
	long := strings.Repeat("x", 1000)
	refused(auth.Require(middleware.OnlyUsers(), middleware.Scope("z")), request(issuer.Token(verifytest.Claims{"sub": "a\nlevel=ERROR\u202e" + long})))
	if text := log.String(); strings.Count(text, "\n") != 1 || strings.Contains(text, "\u202e") || strings.Contains(text, strings.Repeat("x", 101)) {
		t.Errorf("%s", text)
	}
}
