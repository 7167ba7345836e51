package verify_test

import (
	"context"
	"crypto/elliptic"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bearerkit/bearerkit/verify"
)

// A server is an Introspector without a memory that says what a function says,
// and takes down about what it was asked.
type server struct {
	mu    sync.Mutex
	says  func(q *verify.Query) (*verify.Answer, error)
	asked []string
}

func (*server) Bind(string, verify.Opener) error { return nil }

func (s *server) Introspect(_ context.Context, q *verify.Query) (*verify.Answer, error) {
	s.mu.Lock()
	if q.CacheOnly {
		s.mu.Unlock()
		return nil, nil
	}
	says := s.says
	s.asked = append(s.asked, q.Token)
	s.mu.Unlock()
	return says(q)
}

func (s *server) set(says func(q *verify.Query) (*verify.Answer, error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.says = says
}

// questions returns how many were put since the last call.
func (s *server) questions() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.asked)
	s.asked = nil
	return n
}

func says(active bool, at time.Time) func(*verify.Query) (*verify.Answer, error) {
	return func(*verify.Query) (*verify.Answer, error) {
		a := &verify.Answer{Active: active, At: at}
		if active {
			a.Claims = `{"active":true}`
		}
		return a, nil
	}
}

// now says something that it was asked for now.
func now(active bool) func(*verify.Query) (*verify.Answer, error) {
	return func(q *verify.Query) (*verify.Answer, error) { return says(active, time.Now())(q) }
}

func askingServer(t testing.TB, edit func(*verify.Config)) (*verify.Verifier, *source, *server) {
	t.Helper()
	s := &server{says: now(true)}
	v, keys := build(t, func(c *verify.Config) {
		c.Issuers[0].Introspection = &verify.Introspection{Introspector: s}
		if edit != nil {
			edit(c)
		}
	})
	return v, keys, s
}

func refuseFresh(t testing.TB, v *verify.Verifier, token string, want verify.Reason) {
	t.Helper()
	if _, err := verifyFresh(v)(t.Context(), token); !errors.Is(err, want) {
		t.Fatalf("fresh: %v, want %q", err, string(want))
	}
}

// twin is the other valid signature of an ES256 token: r and the order less s.
func twin(token string) string {
	i := strings.LastIndexByte(token, '.') + 1
	sig := must(base64.RawURLEncoding.DecodeString(token[i:]))
	s := new(big.Int).SetBytes(sig[32:])
	s.Sub(elliptic.P256().Params().N, s).FillBytes(sig[32:])
	return token[:i] + b64(sig)
}

// Once a token was denied, no path takes it at its own word: the server is asked.
func TestDeniedTokenIsAskedAbout(t *testing.T) {
	token := es256.good()
	deny := func(t *testing.T, v *verify.Verifier, s *server) {
		s.set(now(false))
		refuseFresh(t, v, token, verify.ErrInactive)
		s.questions()
	}
	for _, tc := range []struct {
		name  string
		edit  func(*verify.Config)
		after func(*testing.T, *verify.Verifier, *source, *server) (token string)
	}{
		{"the token itself", nil, nil},
		{"never seen before", nil, func(t *testing.T, v *verify.Verifier, _ *source, s *server) string { return token }},
		{"its twin", nil, func(*testing.T, *verify.Verifier, *source, *server) string { return twin(token) }},
		{"no cache", func(c *verify.Config) { c.CacheSize = verify.NoCache }, nil},
		{"a full cache", func(c *verify.Config) { c.CacheSize = 1 }, func(t *testing.T, v *verify.Verifier, _ *source, s *server) string {
			for i := range 20 {
				accept(t, v, es256.with("jti", fmt.Sprintf(`"%d"`, i)))
			}
			return token
		}},
		{"the answer is lost", nil, func(t *testing.T, v *verify.Verifier, _ *source, s *server) string {
			s.set(func(*verify.Query) (*verify.Answer, error) { return nil, errors.New("down") })
			refuse(t, v, token, verify.ErrUnavailable)
			s.set(now(false))
			s.questions()
			return token
		}},
		{"an answer from before", nil, func(t *testing.T, v *verify.Verifier, _ *source, s *server) string {
			s.set(says(true, time.Now().Add(-time.Minute)))
			refuse(t, v, token, verify.ErrInactive)
			refuse(t, v, token, verify.ErrInactive)
			s.set(now(false))
			s.questions()
			return token
		}},
		{"an active answer about its twin", nil, func(t *testing.T, v *verify.Verifier, _ *source, s *server) string {
			s.set(now(true))
			if _, err := verifyFresh(v)(t.Context(), twin(token)); err != nil {
				t.Error(err)
			}
			s.set(now(false))
			s.questions()
			return token
		}},
		{"both were denied, one is active", nil, func(t *testing.T, v *verify.Verifier, _ *source, s *server) string {
			refuseFresh(t, v, twin(token), verify.ErrInactive)
			s.set(now(true))
			if _, err := verifyFresh(v)(t.Context(), twin(token)); err != nil {
				t.Error(err)
			}
			s.set(now(false))
			s.questions()
			return token
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			v, keys, s := askingServer(t, tc.edit)
			if tc.name != "never seen before" {
				accept(t, v, token)
			}
			deny(t, v, s)
			again := token
			if tc.after != nil {
				again = tc.after(t, v, keys, s)
			}
			for range 2 {
				refuse(t, v, again, verify.ErrInactive)
				if n := s.questions(); n != 1 {
					t.Errorf("%d questions", n)
				}
			}
			accept(t, v, es256.with("jti", `"another"`))
			if n := s.questions(); n != 0 {
				t.Errorf("%d questions about another token", n)
			}
		})
	}
}

// It is the refusal that counts, whatever in the answer it is for.
func TestEveryRefusalByAnAnswerIsADenial(t *testing.T) {
	for name, answer := range map[string]string{
		"expired": answer("exp", at(-60)), "another subject": answer("sub", `"user-2"`), "another audience": answer("aud", `"other"`),
		"not yet": answer("nbf", at(60)), "bound": answer("cnf", `{"jkt":"x"}`), "ill-typed": answer("scope", `5`),
	} {
		t.Run(name, func(t *testing.T) {
			v, _, s := askingServer(t, nil)
			token := es256.good()
			accept(t, v, token)
			s.set(func(*verify.Query) (*verify.Answer, error) {
				return &verify.Answer{Active: true, Claims: answer, At: time.Now()}, nil
			})
			if _, err := verifyFresh(v)(t.Context(), token); err == nil {
				t.Fatal("accepted")
			}
			s.questions()
			if _, err := v.Verify(t.Context(), token); err == nil || s.questions() != 1 {
				t.Errorf("taken at its own word: %v", err)
			}
		})
	}
}

// A denial while the keys are away counts when they are back, for a token that
// had verified before.
func TestDenialWithoutKeys(t *testing.T) {
	v, keys, s := askingServer(t, nil)
	token := es256.good()
	accept(t, v, token)
	keys.mu.Lock()
	keys.setErr, keys.refErr = errors.New("none"), errors.New("none")
	keys.mu.Unlock()
	s.set(now(false))
	refuseFresh(t, v, token, verify.ErrInactive)
	// An older answer does not help it, with keys or without.
	s.set(func(*verify.Query) (*verify.Answer, error) {
		return &verify.Answer{Active: true, Claims: answer(), At: time.Now().Add(-time.Minute)}, nil
	})
	refuse(t, v, token, verify.ErrInactive)
	keys.mu.Lock()
	keys.setErr, keys.refErr = nil, nil
	keys.mu.Unlock()
	refuse(t, v, token, verify.ErrInactive)
	s.set(now(false))
	s.questions()
	refuse(t, v, token, verify.ErrInactive)
	if n := s.questions(); n != 1 {
		t.Errorf("%d questions", n)
	}
}

// An active answer lifts a denial if its question was put after the denial was
// known.
func TestDenialIsLifted(t *testing.T) {
	token := es256.good()
	base := time.Now()
	after := func(d time.Duration) func(*verify.Query) (*verify.Answer, error) { return says(true, base.Add(d)) }
	for _, tc := range []struct {
		name    string
		active  func(*verify.Query) (*verify.Answer, error)
		fresh   bool
		believe bool
	}{
		{"later", after(time.Minute), false, true},
		{"later, fresh", after(time.Minute), true, true},
		{"at the same time by the clock", after(0), false, true},
		{"fresh, at the same time by the clock", after(0), true, true},
		{"earlier", after(-time.Nanosecond), false, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			v, _, s := askingServer(t, nil)
			s.set(says(false, base))
			refuseFresh(t, v, token, verify.ErrInactive)
			s.set(tc.active)
			check := v.Verify
			if tc.fresh {
				check = verifyFresh(v)
			}
			if _, err := check(t.Context(), token); (err == nil) != tc.believe {
				t.Errorf("%v", err)
			}
			s.questions()
			_, err := v.Verify(t.Context(), token)
			if (err == nil) != tc.believe || (s.questions() == 0) != tc.believe {
				t.Errorf("later: %v", err)
			}
		})
	}
}

// Of answers whose calls overlap the denial counts, whichever question was put
// first and whichever answer comes first.
func TestOverlappingAnswers(t *testing.T) {
	for _, activeAskedLater := range []bool{false, true} {
		for _, activeComesLater := range []bool{false, true} {
			t.Run(fmt.Sprintf("active asked later %v, comes later %v", activeAskedLater, activeComesLater), func(t *testing.T) {
				v, _, s := askingServer(t, nil)
				token := es256.good()
				accept(t, v, token)
				gates := map[bool]chan struct{}{true: make(chan struct{}), false: make(chan struct{})}
				put := make(chan struct{})
				order := []bool{!activeAskedLater, activeAskedLater}
				done := map[bool]chan error{true: make(chan error, 1), false: make(chan error, 1)}
				for _, active := range order {
					s.set(func(q *verify.Query) (*verify.Answer, error) {
						at := time.Now()
						put <- struct{}{}
						<-gates[active]
						return says(active, at)(q)
					})
					go func() {
						_, err := verifyFresh(v)(context.Background(), token)
						done[active] <- err
					}()
					<-put
				}
				for _, active := range []bool{!activeComesLater, activeComesLater} {
					close(gates[active])
					if err := <-done[active]; !active && !errors.Is(err, verify.ErrInactive) || active && activeComesLater && !errors.Is(err, verify.ErrInactive) {
						t.Errorf("active %v: %v", active, err)
					}
				}
				s.set(now(false))
				s.questions()
				refuse(t, v, token, verify.ErrInactive)
				if n := s.questions(); n != 1 {
					t.Errorf("%d questions", n)
				}
			})
		}
	}
}

// Two requests with a token that nobody has seen, one of them fresh: the other
// one's copy in the cache is not taken at its own word either.
func TestDenialOfAFirstRequest(t *testing.T) {
	v, _, s := askingServer(t, nil)
	token := es256.good()
	put, gate := make(chan struct{}), make(chan struct{})
	s.set(func(q *verify.Query) (*verify.Answer, error) {
		put <- struct{}{}
		<-gate
		return now(false)(q)
	})
	done := make(chan error, 1)
	go func() {
		_, err := verifyFresh(v)(context.Background(), token)
		done <- err
	}()
	<-put
	accept(t, v, token)
	close(gate)
	if err := <-done; !errors.Is(err, verify.ErrInactive) {
		t.Error(err)
	}
	s.set(now(false))
	s.questions()
	refuse(t, v, token, verify.ErrInactive)
	if n := s.questions(); n != 1 {
		t.Errorf("%d questions", n)
	}
}

// The memory is bounded, and what it has no room for is asked about.
func TestDenialsAreBounded(t *testing.T) {
	const limit = 8
	clock := testNow
	v, _, s := askingServer(t, func(c *verify.Config) { c.Now, c.Leeway = func() time.Time { return clock }, verify.NoLeeway })
	verify.LimitDenials(v, limit)
	innocent := es256.with("jti", `"innocent"`)
	token := func(i int) string { return es256.with("jti", fmt.Sprintf(`"%d"`, i), "exp", at(int64(100+i))) }
	s.set(now(false))
	var tokens []string
	for i := range limit {
		tokens = append(tokens, token(i))
		refuseFresh(t, v, tokens[i], verify.ErrInactive)
	}
	s.questions()
	accept(t, v, innocent)
	if n := s.questions(); n != 0 {
		t.Fatalf("%d questions before it is full", n)
	}
	tokens = append(tokens, token(limit))
	refuseFresh(t, v, tokens[limit], verify.ErrInactive)
	if n := verify.Denials(v); n > limit {
		t.Errorf("remembers %d", n)
	}
	s.questions()
	// The one that ends first had to go; until then everything is asked about.
	for i := range tokens {
		refuse(t, v, tokens[i], verify.ErrInactive)
	}
	s.set(now(true))
	accept(t, v, innocent)
	if n := s.questions(); n != len(tokens)+1 {
		t.Errorf("%d questions while it is too full", n)
	}
	clock = clock.Add(101 * time.Second)
	accept(t, v, innocent)
	if n := s.questions(); n != 0 {
		t.Errorf("%d questions when what had no room has expired", n)
	}
	s.set(now(false))
	for i := range tokens[2:] {
		refuse(t, v, tokens[2+i], verify.ErrInactive)
	}
	if n := s.questions(); n != len(tokens)-2 {
		t.Errorf("%d questions about %d tokens", n, len(tokens)-2)
	}
	// What has expired makes room.
	clock = clock.Add(time.Minute)
	for i := range limit {
		refuseFresh(t, v, es256.with("jti", fmt.Sprintf(`"new %d"`, i)), verify.ErrInactive)
	}
	s.set(now(true))
	s.questions()
	accept(t, v, innocent)
	if n := s.questions(); n != 0 || verify.Denials(v) != limit {
		t.Errorf("%d questions, %d remembered", n, verify.Denials(v))
	}
}

// Nobody fills the memory with tokens that have not verified.
func TestOnlyVerifiedTokensAreRemembered(t *testing.T) {
	v, keys, s := askingServer(t, nil)
	s.set(now(false))
	refuseFresh(t, v, opaqueToken, verify.ErrInactive)
	keys.mu.Lock()
	keys.setErr, keys.refErr = errors.New("none"), errors.New("none")
	keys.mu.Unlock()
	refuseFresh(t, v, es256.good(), verify.ErrInactive)
	if n := verify.Denials(v); n != 0 {
		t.Errorf("%d denials", n)
	}
}
