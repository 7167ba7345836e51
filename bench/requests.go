package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"time"

	"github.com/bearerkit/bearerkit/adapters/httpauth"
	"github.com/bearerkit/bearerkit/bench/contender"
	"github.com/bearerkit/bearerkit/bench/paired"
	"github.com/bearerkit/bearerkit/bench/token"
	"github.com/bearerkit/bearerkit/middleware"
	"github.com/bearerkit/bearerkit/verify"
	"github.com/bearerkit/bearerkit/verify/jwks"
	"github.com/bearerkit/bearerkit/verify/verifytest"
)

// nowhere is a response that nobody reads.
type nowhere struct{ status int }

func (*nowhere) Header() http.Header         { return http.Header{} }
func (*nowhere) Write(b []byte) (int, error) { return len(b), nil }
func (w *nowhere) WriteHeader(status int)    { w.status = status }
func newRequest(raw string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/orders", nil)
	r.Header.Set("Authorization", "Bearer "+raw)
	return r
}

// inProcess calls handlers without a server around them.
func inProcess(ctx context.Context, r *report) error {
	return r.withTokens(ctx, "RS256", r.tokens, func(ctx context.Context, is *token.Issuer, tokens []token.Token) error {
		v, err := contender.NewKit(is, 0)
		if err != nil {
			return err
		}
		auth, err := middleware.New(v, middleware.Config{})
		if err != nil {
			return err
		}
		served := 0
		bare := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { served++ })
		call := func(name string, h http.Handler) paired.Subject {
			request, w := newRequest(tokens[0].Raw), &nowhere{}
			return paired.Subject{Name: name, Op: func(int) error {
				before := served
				if h.ServeHTTP(w, request); served == before {
					return fmt.Errorf("refused with %d", w.status)
				}
				return nil
			}}
		}
		subjects, err := withRaw(is, tokens, func() ([]paired.Subject, error) {
			return []paired.Subject{
				call("no middleware", bare),
				call("middleware", httpauth.Require(auth)(bare)),
				call("middleware that demands a scope", httpauth.Require(auth, middleware.Scope("orders:read"))(bare)),
			}, nil
		})
		if err != nil {
			return err
		}
		results, err := r.list(subjects)
		if err != nil {
			return err
		}
		if len(results) == 4 {
			n, m := results[1].Nanoseconds, results[2].Nanoseconds
			r.goal("net/http middleware, token seen before, over no middleware", "≤ 1.5 µs, ≤ 4 allocations",
				fmt.Sprintf("%.2f µs (%.2f–%.2f), %.0f", (m.Median-n.Median)/1000, (m.Q1-n.Q1)/1000, (m.Q3-n.Q3)/1000, results[2].Allocs-results[1].Allocs))
		}
		return nil
	})
}

// whileRefreshing has two issuers, of which one keeps its service fetching.
func whileRefreshing(_ context.Context, r *report) error {
	for _, c := range []struct {
		name string
		size int
	}{{"a signature check each", verify.NoCache}, {"tokens seen before", 0}} {
		sides := []*side{{name: "at rest", control: "max-age=86400"}, {name: "refreshing", control: "max-age=1"}}
		for _, s := range sides {
			if err := s.start(c.size); err != nil {
				return err
			}
			defer s.close()
		}
		sides[1].issuer.Fail(verifytest.JWKS, verifytest.Slow(500*time.Millisecond))
		for end := time.Now().Add(r.latencies / 2); time.Now().Before(end); {
			for _, s := range sides {
				if err := s.slice(64); err != nil {
					return err
				}
			}
		}
		fmt.Fprintf(r.w, "\n%s; the slow issuer was asked %d times:\n\n| | requests | median | p99 | p99.9 | maximum |\n|---|---|---|---|---|---|\n",
			c.name, sides[1].issuer.Requests(verifytest.JWKS))
		for _, s := range sides {
			fmt.Fprintf(r.w, "| %s | %d | %v | %v | %v | %v |\n", s.name, len(s.times), s.at(.5), s.at(.99), s.at(.999), s.at(1))
		}
		r.goal("good requests' p99 while keys refresh slowly, to quiet: "+c.name, "≤ 1.2", fmt.Sprintf("%.2f (%v to %v)",
			float64(sides[1].at(.99))/float64(sides[0].at(.99)), sides[1].at(.99), sides[0].at(.99)))
	}
	return nil
}

// A side is a service with an issuer of its own.
type side struct {
	name    string
	control string // the key set's Cache-Control

	issuer   *verifytest.Server
	auth     *middleware.Auth
	handler  http.Handler
	requests []*http.Request
	served   int
	times    []time.Duration
}

func (s *side) start(cacheSize int) error {
	s.issuer = verifytest.NewInMemory("https://issuer.example")
	s.issuer.SetHeader(verifytest.JWKS, "Cache-Control", s.control)
	quiet := slog.New(slog.DiscardHandler)
	v, err := verify.New(verify.Config{
		Issuers: []verify.Issuer{{
			Issuer: s.issuer.Issuer(), Audience: []string{s.issuer.Audience()},
			Keys: jwks.New(jwks.Config{URL: s.issuer.JWKSURL(), Client: s.issuer.Client(), Logger: quiet}),
		}},
		CacheSize: cacheSize,
	})
	if err != nil {
		return err
	}
	if s.auth, err = middleware.New(v, middleware.Config{Logger: quiet}); err != nil {
		return err
	}
	s.handler = httpauth.Require(s.auth)(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { s.served++ }))
	for range hot {
		s.requests = append(s.requests, newRequest(s.issuer.Token(nil)))
	}
	for !v.Ready() {
		time.Sleep(time.Millisecond)
	}
	return nil
}

func (s *side) close() {
	_ = s.auth.Close()
	s.issuer.Close()
}

// slice makes n requests and notes what each takes.
func (s *side) slice(n int) error {
	w := &nowhere{}
	for i := range n {
		start := time.Now()
		s.handler.ServeHTTP(w, s.requests[i%len(s.requests)])
		s.times = append(s.times, time.Since(start))
	}
	if s.served != len(s.times) {
		return fmt.Errorf("%s: refused with %d", s.name, w.status)
	}
	return nil
}

// at is a quantile of the times.
func (s *side) at(q float64) time.Duration {
	slices.Sort(s.times)
	return s.times[int(q*float64(len(s.times)-1))]
}
