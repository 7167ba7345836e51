package jwks

import (
	"context"
	"crypto"
	"log/slog"
	"slices"
	"time"

	"github.com/bearerkit/bearerkit/internal/upstream"
	"github.com/bearerkit/bearerkit/verify"
)

// A State is what a source is up to.
type State string

// The states of a source.
const (
	// StateStarting is before the first fetch has ended.
	StateStarting State = "starting"
	// StateReady is after a good answer.
	StateReady State = "ready"
	// StateFailing is after an answer that was not good, or none. The last
	// good set serves meanwhile, if there is one.
	StateFailing State = "failing"
	// StateStale is when the last good set has become too old to serve.
	StateStale State = "stale"
	// StateClosed is after Close.
	StateClosed State = "closed"
)

// Health is what an operator wants to know about a source.
type Health struct {
	Issuer string
	URL    string // of the key set, without the values of a query; empty until it has been discovered
	State  State
	Since  time.Time // when the source got into State
	Ready  bool      // there is a key set that may be used now

	Confirmed    time.Time           // when the issuer confirmed the set at hand; zero if there is none
	Age          time.Duration       // since Confirmed
	Expires      time.Time           // when the set at hand becomes too old to serve, if it is not confirmed again
	FromSnapshot bool                // the set at hand is from the snapshot; the issuer has not confirmed it yet
	KeyIDs       []string            // the IDs in the set at hand, sorted
	Keys         int                 // the number of keys in it, those without an ID included
	Skipped      []verify.SkippedKey // keys of the issuer that cannot be used: tokens by them are refused
	OtherUse     []verify.SkippedKey // keys of the issuer that are not for signatures, for encryption say
	Noted        []verify.SkippedKey // keys in the set whose certificate (x5c) cannot be read; it would say nothing more

	LastAttempt time.Time // when the last fetch ended
	LastAnswer  string    // what came back: status, content type, size, or that nothing did
	LastError   error     // what was wrong with the last attempt, the metadata included; nil if nothing was
	Snapshot    error     // what is wrong with the snapshot file; nil if nothing is
	NextRefresh time.Time // when the next fetch is due; zero while one is under way
	SpentUntil  time.Time // until then no token with an unknown key causes a fetch, and those of a new key are refused; zero if there is no such time
	Counters    Counters
}

// Counters count since the source started.
type Counters struct {
	Fetches     uint64 // attempts to get the key set, whatever came of them
	Failures    uint64 // attempts that brought no usable set
	NotModified uint64 // attempts that the issuer answered with 304
	Changes     uint64 // attempts that brought another set than the one before
	Demands     uint64 // times a request wanted a fetch that was not under way
	Declined    uint64 // times it got none because the budget was spent
}

// report is the part of Health that is kept; the source's lock guards it.
type report struct {
	state        State
	since        time.Time
	url          string
	skipped      []verify.SkippedKey
	otherUse     []verify.SkippedKey
	noted        []verify.SkippedKey
	fromSnapshot bool
	snapshotErr  error
	metadataErr  error
	lastAttempt  time.Time
	lastAnswer   string
	counters     Counters
}

// to changes the state, and says whether it has changed.
func (r *report) to(state State, now time.Time) bool {
	if r.state == state {
		return false
	}
	r.state, r.since = state, now
	return true
}

// Health returns how the source is doing. A source that has not started yet,
// because nobody asked it for keys, is not ready and has no state.
func (s *Source) Health() Health {
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	r, p := &s.report, &s.plan
	h := Health{
		Issuer:       s.issuer,
		URL:          r.url,
		State:        r.state,
		Since:        r.since,
		FromSnapshot: r.fromSnapshot,
		Skipped:      slices.Clone(r.skipped),
		OtherUse:     slices.Clone(r.otherUse),
		Noted:        slices.Clone(r.noted),
		LastAttempt:  r.lastAttempt,
		LastAnswer:   r.lastAnswer,
		LastError:    p.lastErr,
		Snapshot:     r.snapshotErr,
		Counters:     r.counters,
	}
	if h.URL == "" {
		h.URL = s.config.URL
	}
	h.URL = upstream.Redact(h.URL)
	if h.LastError == nil {
		h.LastError = r.metadataErr
	}
	if p.fetching == nil && !s.closed {
		h.NextRefresh = p.next
	}
	h.SpentUntil = p.spentUntil(now)
	if v := s.view.Load(); v != nil {
		_, err := v.keySet(now)
		h.Ready = err == nil
		if v.set != nil {
			h.Confirmed, h.Age, h.Expires = v.fetched, upstream.Since(v.fetched, now), v.until
			h.KeyIDs, h.Keys = v.set.IDs(), v.set.Len()
		}
	}
	return h
}

// noteFailure takes down a failed attempt; v is what serves meanwhile.
func (s *Source) noteFailure(v *view, now time.Time, err error, logs *logs) {
	r := &s.report
	r.counters.Failures++
	switch {
	case v.set == nil:
		if r.to(StateFailing, now) {
			logs.add(slog.LevelError, "no key set could be read: tokens cannot be verified until one can",
				"error", err, "last_answer", s.fetcher.lastAnswer)
		}
	case upstream.Reached(v.until, now):
		s.becomeStale(v, now, logs)
	default:
		if r.to(StateFailing, now) {
			logs.add(slog.LevelWarn, "key set cannot be refreshed; the last good one serves",
				"error", err, "last_answer", s.fetcher.lastAnswer, "age", upstream.Since(v.fetched, now).Round(time.Second), "serves_until", v.until, keyIDs("keys", v.set.IDs()))
		}
	}
}

// becomeStale takes down that the set at hand has become too old.
func (s *Source) becomeStale(v *view, now time.Time, logs *logs) {
	if s.report.to(StateStale, now) {
		logs.add(slog.LevelError, "last good key set is too old: tokens cannot be verified until a new one can be read",
			"confirmed", v.fetched, "max_stale", s.config.MaxStale, "error", v.err)
	}
	s.plan.earliest = time.Time{} // as in hasFailed
	s.plan.hasten(now, emptyBackoff)
}

// noteSuccess takes down a good answer; v is what served before.
func (s *Source) noteSuccess(v *view, now time.Time, out *outcome, logs *logs) {
	r := &s.report
	if out.notModified {
		r.counters.NotModified++
	}
	r.fromSnapshot = false
	before, since := r.state, r.since
	if r.to(StateReady, now) {
		switch before {
		case StateStarting:
			logs.add(slog.LevelInfo, "key set ready", "url", upstream.Redact(out.url), keyIDs("keys", out.set.IDs()), withoutID(out.document.keys))
		default:
			logs.add(slog.LevelInfo, "key set refreshed again", "url", upstream.Redact(out.url), "after", now.Sub(since).Round(time.Millisecond), keyIDs("keys", out.set.IDs()), withoutID(out.document.keys))
		}
	}
	if v.set != nil && v.set != out.set {
		r.counters.Changes++
		was, is := v.set.IDs(), out.set.IDs()
		logs.add(slog.LevelInfo, "key set changed", keyIDs("added", without(is, was)), keyIDs("removed", without(was, is)),
			keyIDs("replaced", replaced(out.document.keys, v.keys)), keyIDs("keys", is), withoutID(out.document.keys))
	}
	tell := func(last *[]verify.SkippedKey, now []verify.SkippedKey, level slog.Level, what, name string) {
		if slices.Equal(*last, now) {
			return
		}
		*last = now
		if n := len(now); n > 0 {
			texts := make([]string, n)
			for i, k := range now {
				texts[i] = k.String()
			}
			logs.add(level, what, "count", n, keyIDs(name, texts))
		}
	}
	d := out.document
	tell(&r.skipped, d.skipped, slog.LevelWarn, "keys of the set cannot be used and were skipped", "skipped")
	tell(&r.noted, d.noted, slog.LevelInfo, "certificates of keys cannot be read; the keys are used all the same", "noted")
	r.otherUse = d.otherUse
	if had := r.metadataErr != nil; had != (out.metadataErr != nil) {
		if had {
			logs.add(slog.LevelInfo, "metadata can be used again", "url", upstream.Redact(out.url))
		} else {
			logs.add(slog.LevelWarn, "metadata cannot be used; the key set is read where it was", "url", upstream.Redact(out.url), "error", out.metadataErr)
		}
	}
	r.metadataErr = out.metadataErr
}

// noteSnapshot takes down what is wrong with the snapshot, if anything is.
func (s *Source) noteSnapshot(err error, logs *logs) {
	if r := &s.report; err == nil || r.snapshotErr == nil || err.Error() != r.snapshotErr.Error() {
		r.snapshotErr = err
		if err != nil {
			logs.add(slog.LevelWarn, "snapshot of the key set", "file", s.config.Snapshot, "error", err)
		}
	}
}

// replaced returns the IDs under which two sets have other keys, or the same for
// another algorithm.
func replaced(is, was []verify.Key) (ids []string) {
	// among has k's equal among the keys of its ID.
	among := func(keys []verify.Key, k verify.Key) (found, equal bool) {
		p, _ := k.Public.(interface{ Equal(crypto.PublicKey) bool })
		for _, o := range keys {
			if o.ID == k.ID {
				found = true
				equal = equal || o.Algorithm == k.Algorithm && p != nil && p.Equal(o.Public)
			}
		}
		return found, equal
	}
	for _, pair := range [][2][]verify.Key{{is, was}, {was, is}} {
		for _, k := range pair[0] {
			id := k.ID
			if id == "" {
				id = "(no kid)"
			}
			if found, equal := among(pair[1], k); found && !equal && !slices.Contains(ids, id) {
				ids = append(ids, id)
			}
		}
	}
	return ids
}

// withoutID says how many keys have no ID, if any: nothing else in a list of IDs
// shows them.
func withoutID(keys []verify.Key) slog.Attr {
	n := 0
	for _, k := range keys {
		if k.ID == "" {
			n++
		}
	}
	if n == 0 {
		return slog.Attr{}
	}
	return slog.Int("without_id", n)
}

// without returns what is in a and not in b.
func without(a, b []string) []string {
	return slices.DeleteFunc(slices.Clone(a), func(s string) bool { return slices.Contains(b, s) })
}

// keyIDs makes a list fit for a log line: the issuer writes these, and a
// thousand of them are legal.
func keyIDs(name string, ids []string) slog.Attr {
	const most = 20
	var list []string
	for i, id := range ids {
		if i == most {
			list = append(list, "…")
			break
		}
		list = append(list, upstream.Printable(id, 100))
	}
	return slog.Any(name, list)
}

// logs are the records of one change, written when no lock is held: how long a
// handler takes is not ours to know.
type logs []slog.Record

func (l *logs) add(level slog.Level, msg string, args ...any) {
	r := slog.NewRecord(time.Now(), level, "jwks: "+msg, 0)
	r.Add(args...)
	*l = append(*l, r)
}

func (l logs) write(s *Source) {
	if len(l) == 0 {
		return
	}
	logger := s.config.Logger
	if logger == nil {
		logger = slog.Default()
	}
	h := logger.Handler()
	for _, r := range l {
		if h.Enabled(context.Background(), r.Level) {
			r.AddAttrs(slog.String("issuer", s.issuer))
			_ = h.Handle(context.Background(), r)
		}
	}
}
