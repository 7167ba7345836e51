package verifytest_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bearerkit/bearerkit/verify"
	introspectors "github.com/bearerkit/bearerkit/verify/introspect"
	"github.com/bearerkit/bearerkit/verify/jwks"
	"github.com/bearerkit/bearerkit/verify/verifytest"
)

// source is a key source whose methods can be replaced.
type source struct {
	*jwks.Source
	bind    func(string) error
	keySet  func() (*verify.KeySet, error)
	refresh func(context.Context, verify.Demand) (*verify.KeySet, error)
	check   func(string) error
	unbind  func()
	close   func() error
}

func (s *source) Bind(issuer string) error        { return s.bind(issuer) }
func (s *source) KeySet() (*verify.KeySet, error) { return s.keySet() }
func (s *source) Check(issuer string) error       { return s.check(issuer) }
func (s *source) Unbind()                         { s.unbind() }
func (s *source) Close() error                    { return s.close() }
func (s *source) Refresh(ctx context.Context, d verify.Demand) (*verify.KeySet, error) {
	return s.refresh(ctx, d)
}

// Each rule finds the source that breaks it, and no other rule does.
func TestKeySourceRules(t *testing.T) {
	for _, tc := range []struct {
		name    string
		rules   []string // the beginnings of the rules that are broken
		corrupt func(*verifytest.Server, *source)
	}{
		{"nothing wrong", nil, func(*verifytest.Server, *source) {}},
		{"bound to two issuers", []string{"Bind accepts", "Unbind undoes"}, func(_ *verifytest.Server, s *source) {
			good := s.bind
			s.bind = func(issuer string) error {
				if issuer != "http://127.0.0.1:9/other" {
					return good(issuer)
				}
				return nil
			}
		}},
		{"fetching in Bind", []string{"Bind and Check"}, func(issuer *verifytest.Server, s *source) {
			good := s.bind
			s.bind = func(name string) error {
				client := http.Client{Timeout: 100 * time.Millisecond}
				if resp, err := client.Get(issuer.JWKSURL()); err == nil {
					resp.Body.Close()
				}
				return good(name)
			}
		}},
		{"a Check that finds nothing", []string{"Check returns"}, func(_ *verifytest.Server, s *source) {
			s.check = func(string) error { return nil }
		}},
		{"a Check that binds", []string{"Check returns"}, func(_ *verifytest.Server, s *source) {
			s.check = s.bind
		}},
		{"an Unbind without effect", []string{"Unbind undoes"}, func(_ *verifytest.Server, s *source) {
			s.unbind = func() {}
		}},
		{"a KeySet that waits", []string{"KeySet does not wait"}, func(_ *verifytest.Server, s *source) {
			good := s.keySet
			var called atomic.Bool
			s.keySet = func() (*verify.KeySet, error) {
				if !called.Swap(true) {
					ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
					defer cancel()
					_, _ = s.Source.Refresh(ctx, verify.Demand{})
				}
				return good()
			}
		}},
		{"no set and no error", []string{"KeySet does not wait", "all methods"}, func(_ *verifytest.Server, s *source) {
			good := s.keySet
			s.keySet = func() (*verify.KeySet, error) {
				set, err := good()
				if err != nil && !strings.Contains(err.Error(), "closed") {
					err = nil
				}
				return set, err
			}
		}},
		{"an error for a demand that cannot be satisfied", []string{"Refresh returns the newest set"}, func(_ *verifytest.Server, s *source) {
			good := s.refresh
			s.refresh = func(ctx context.Context, d verify.Demand) (*verify.KeySet, error) {
				set, err := good(ctx, d)
				if err == nil && (d.Satisfied == nil || !d.Satisfied(set)) {
					return nil, errors.New("not found")
				}
				return set, err
			}
		}},
		{"a panic without a condition", []string{"Refresh returns the newest set", "a good set", "Close ends"}, func(_ *verifytest.Server, s *source) {
			good := s.refresh
			s.refresh = func(ctx context.Context, d verify.Demand) (*verify.KeySet, error) {
				d.Satisfied(nil)
				return good(ctx, d)
			}
		}},
		{"a Refresh that ignores its context", []string{"Refresh returns when"}, func(_ *verifytest.Server, s *source) {
			good := s.refresh
			s.refresh = func(_ context.Context, d verify.Demand) (*verify.KeySet, error) { return good(context.Background(), d) }
		}},
		{"a set that is dropped by a failure", []string{"a good set"}, func(_ *verifytest.Server, s *source) {
			good := s.refresh
			var failed atomic.Bool
			s.refresh = func(ctx context.Context, d verify.Demand) (*verify.KeySet, error) {
				set, err := good(ctx, d)
				if err != nil && ctx.Err() == nil {
					failed.Store(true)
				}
				return set, err
			}
			set := s.keySet
			s.keySet = func() (*verify.KeySet, error) {
				if failed.Load() {
					return nil, errors.New("the last fetch failed")
				}
				return set()
			}
		}},
		{"a Close without effect", []string{"Close ends"}, func(_ *verifytest.Server, s *source) {
			s.close = func() error { return nil }
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var opened []*jwks.Source
			err := verifytest.TestKeySource(func(issuer *verifytest.Server) verify.KeySource {
				k := jwks.New(jwks.Config{URL: issuer.JWKSURL(), Logger: slog.New(slog.DiscardHandler)})
				opened = append(opened, k)
				s := &source{k, k.Bind, k.KeySet, k.Refresh, k.Check, k.Unbind, k.Close}
				tc.corrupt(issuer, s)
				return s
			})
			for _, k := range opened {
				k.Close()
			}
			wantRules(t, err, "KeySource", tc.rules)
		})
	}
}

// wantRules compares the rules that a suite found broken.
func wantRules(t *testing.T, err error, part string, rules []string) {
	t.Helper()
	var list []error
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		list = joined.Unwrap()
	}
	if len(list) != len(rules) {
		t.Fatalf("%d rules are broken, want %d:\n%v", len(list), len(rules), err)
	}
	for i, e := range list {
		if !strings.HasPrefix(e.Error(), "verifytest: "+part+": "+rules[i]) {
			t.Errorf("%v\nwant rule %q", e, rules[i])
		}
	}
}

// introspector is an introspector whose methods can be replaced.
type introspector struct {
	verify.Introspector
	ask func(context.Context, *verify.Query) (*verify.Answer, error)
	all interface {
		Check(string) error
		Unbind()
		io.Closer
	}
	close func() error
}

func (i *introspector) Introspect(ctx context.Context, q *verify.Query) (*verify.Answer, error) {
	return i.ask(ctx, q)
}
func (i *introspector) Check(issuer string) error { return i.all.Check(issuer) }
func (i *introspector) Unbind()                   { i.all.Unbind() }
func (i *introspector) Close() error              { return i.close() }

func TestIntrospectorRules(t *testing.T) {
	for _, tc := range []struct {
		name    string
		rules   []string
		corrupt func(*introspector)
	}{
		{"an inactive token when the server fails", []string{"a failing server", "Introspect returns", "Close ends"}, func(i *introspector) {
			ask := i.ask
			i.ask = func(ctx context.Context, q *verify.Query) (*verify.Answer, error) {
				a, err := ask(ctx, q)
				if err != nil {
					return &verify.Answer{At: time.Now()}, nil
				}
				return a, nil
			}
		}},
		{"an error that contains the token", []string{"a failing server"}, func(i *introspector) {
			ask := i.ask
			i.ask = func(ctx context.Context, q *verify.Query) (*verify.Answer, error) {
				a, err := ask(ctx, q)
				if err != nil {
					err = errors.New("cannot ask about " + q.Token)
				}
				return a, err
			}
		}},
		{"Fresh is ignored", []string{"a Fresh query"}, func(i *introspector) {
			ask := i.ask
			i.ask = func(ctx context.Context, q *verify.Query) (*verify.Answer, error) {
				c := *q
				c.Fresh = false
				return ask(ctx, &c)
			}
		}},
		{"CacheOnly is ignored", []string{"a CacheOnly query"}, func(i *introspector) {
			ask := i.ask
			i.ask = func(ctx context.Context, q *verify.Query) (*verify.Answer, error) {
				c := *q
				c.CacheOnly = false
				return ask(ctx, &c)
			}
		}},
		{"one answer for all tokens", []string{"Unbind undoes", "an answer says", "answers about different", "a Fresh query", "a failing server", "Close ends"}, func(i *introspector) {
			ask := i.ask
			i.ask = func(ctx context.Context, q *verify.Query) (*verify.Answer, error) {
				c := *q
				c.Digest = [32]byte{}
				return ask(ctx, &c)
			}
		}},
		{"the time of the answer is missing", []string{"Unbind undoes", "an answer says", "a Fresh query", "a failing server", "Close ends"}, func(i *introspector) {
			ask := i.ask
			i.ask = func(ctx context.Context, q *verify.Query) (*verify.Answer, error) {
				a, err := ask(ctx, q)
				if a != nil {
					a = &verify.Answer{Active: a.Active, Claims: a.Claims}
				}
				return a, err
			}
		}},
		{"a Close without effect", []string{"Close ends"}, func(i *introspector) {
			i.close = func() error { return nil }
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			err := verifytest.TestIntrospector(func(*verifytest.Server) verify.Introspector {
				s := introspectors.New(introspectors.Config{
					Auth:   introspectors.Basic(verifytest.ClientID, verifytest.ClientSecret),
					Logger: slog.New(slog.DiscardHandler),
				})
				i := &introspector{Introspector: s, ask: s.Introspect, all: s, close: s.Close}
				tc.corrupt(i)
				return i
			})
			wantRules(t, err, "Introspector", tc.rules)
		})
	}
}
