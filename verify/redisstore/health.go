package redisstore

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"
)

// A State says whether Redis answers a store.
type State string

// The states of a store.
const (
	StateIdle    State = "idle"    // nothing has been asked yet
	StateReady   State = "ready"   // calls are answered
	StateFailing State = "failing" // they are not
	StateClosed  State = "closed"
)

// Health is what an operator wants to know about a store.
type Health struct {
	State State
	Since time.Time // when the store got into State; zero while it is idle
	// LastError is why the last call failed, if State is failing.
	LastError error
	// Policy is the maxmemory-policy of Redis; empty if Redis does not say.
	// All but "noeviction" can lose what has to be remembered.
	Policy string
	// Failures counts the calls that got no answer, including those that were
	// not tried.
	Failures uint64
}

type report struct {
	ready    atomic.Bool // state is StateReady, without the lock
	failures atomic.Uint64

	mu     sync.Mutex
	state  State
	since  time.Time
	err    error
	policy string
}

// Health returns how the store is doing.
func (s *Store) Health() Health {
	r := &s.report
	r.mu.Lock()
	defer r.mu.Unlock()
	h := Health{State: r.state, Since: r.since, LastError: r.err, Policy: r.policy, Failures: r.failures.Load()}
	if h.State == "" {
		h.State = StateIdle
	}
	return h
}

// change changes the state and returns the one before and how long it was. A
// closed store stays closed.
func (r *report) change(to State, err error) (before State, lasted time.Duration, changed bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.state == StateClosed {
		return r.state, 0, false
	}
	r.err = err
	if before = r.state; before == to {
		return before, 0, false
	}
	now := time.Now()
	lasted = now.Sub(r.since)
	r.state, r.since = to, now
	r.ready.Store(to == StateReady)
	return before, lasted, true
}

func (r *report) close() { r.change(StateClosed, nil) }

func (s *Store) noteSuccess() {
	if s.report.ready.Load() {
		return
	}
	switch before, lasted, changed := s.report.change(StateReady, nil); {
	case !changed:
	case before == StateFailing:
		s.log(slog.LevelInfo, "redisstore: Redis answers again", slog.Duration("after", lasted.Round(time.Millisecond)))
	default:
		s.log(slog.LevelInfo, "redisstore: Redis answers")
	}
}

func (s *Store) noteFailure(err error) {
	s.report.failures.Add(1)
	if _, _, changed := s.report.change(StateFailing, err); changed {
		s.log(slog.LevelWarn, "redisstore: Redis does not answer; requests that need it are refused with 503", slog.Any("error", err))
	}
}

// lastError returns why the calls before were in vain, for one that is not tried.
func (s *Store) lastError() error {
	s.report.failures.Add(1)
	s.report.mu.Lock()
	defer s.report.mu.Unlock()
	if s.report.err != nil {
		return s.report.err
	}
	return errTimeout
}

func (s *Store) log(level slog.Level, message string, attrs ...slog.Attr) {
	logger := s.logger
	if logger == nil {
		logger = slog.Default()
	}
	logger.LogAttrs(context.Background(), level, message, attrs...)
}

// checkPolicy warns of a Redis that evicts keys. Many do not tell, which is fine.
func (s *Store) checkPolicy(c rueidis.Client) {
	ctx, cancel := context.WithTimeout(context.Background(), s.timeout)
	defer cancel()
	m, err := c.Do(ctx, c.B().ConfigGet().Parameter("maxmemory-policy").Build()).AsStrMap()
	policy := m["maxmemory-policy"]
	if err != nil || policy == "" {
		return
	}
	s.report.mu.Lock()
	changed := s.report.policy != policy
	s.report.policy = policy
	s.report.mu.Unlock()
	if changed && policy != "noeviction" {
		s.log(slog.LevelWarn, "redisstore: this Redis evicts keys when its memory is full, and an evicted proof can be used again; set maxmemory-policy to noeviction",
			slog.String("policy", cut(policy)))
	}
}

// A replyError is the first word of an error that the Redis has answered, such as
// READONLY or OOM. The rest is text of the server's.
type replyError string

func (e replyError) Error() string { return "answer of Redis: " + string(e) }

// explain puts an error of the client into words that are fit for a log.
func explain(err error) error {
	if reply, ok := rueidis.IsRedisErr(err); ok {
		word, _, _ := strings.Cut(reply.Error(), " ")
		if word != strings.ToUpper(word) {
			word = "ERR" // which the client takes off
		}
		return replyError(cut(word))
	}
	var network *net.OpError
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return errTimeout
	case errors.Is(err, rueidis.ErrClosing):
		return errors.New("the connection is closed")
	case errors.As(err, &network):
		return network
	}
	return err
}

// cut makes foreign text short and printable.
func cut(s string) string {
	s = strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' {
			return -1
		}
		return r
	}, s)
	return s[:min(len(s), 32)]
}
