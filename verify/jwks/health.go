package jwks

import (
	"crypto"
	"log/slog"
	"slices"
	"time"

	"github.com/bearerkit/bearerkit/internal/part"
	"github.com/bearerkit/bearerkit/internal/upstream"
	"github.com/bearerkit/bearerkit/verify"
)

// Detail is the Detail of a source's [verify.Health].
type Detail struct {
	URL string // of the key set, without the values of its query; empty until it has been discovered

	Confirmed    time.Time           // when the issuer last confirmed the set in use; zero if there is none
	Age          time.Duration       // time since Confirmed
	Expires      time.Time           // when the set in use becomes too old, unless it is confirmed again
	FromSnapshot bool                // the set in use is from the snapshot, and the issuer has not confirmed it yet
	KeyIDs       []string            // the IDs in the set in use, sorted
	Keys         int                 // the number of keys in it, including those without an ID
	Skipped      []verify.SkippedKey // keys of the issuer that cannot be used: tokens signed with them are refused
	OtherUse     []verify.SkippedKey // keys of the issuer that are not for signatures, such as encryption keys
	Noted        []verify.SkippedKey // keys in use whose certificate (x5c) cannot be read

	LastAttempt time.Time // when the last fetch ended
	LastAnswer  string    // what the issuer answered (status, content type, size), or that it did not
	Snapshot    error     // what is wrong with the snapshot file; nil if nothing is
	NextRefresh time.Time // when the next fetch is due; zero while one is under way
	SpentUntil  time.Time // until then unknown keys cause no fetch, so tokens signed with a new key are refused; zero if they do
	Counters    Counters
}

// Counters count since the source was started.
type Counters struct {
	Fetches     uint64 // attempts to get the key set
	Failures    uint64 // attempts that brought no usable set
	NotModified uint64 // attempts that the issuer answered with 304
	Changes     uint64 // attempts that brought a different set
	Demands     uint64 // times a request needed a fetch and none was under way
	Declined    uint64 // times it got none because the budget was spent
}

// A report is what the source remembers for its Health. The source's lock guards
// it.
type report struct {
	status       part.Status
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

// Health returns the condition of the source; its Detail is a [Detail]. LastError
// may be about the metadata although a key set was read.
func (s *Source) Health() verify.Health {
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	r, p := &s.report, &s.plan
	d := Detail{
		URL:          r.url,
		FromSnapshot: r.fromSnapshot,
		Skipped:      slices.Clone(r.skipped),
		OtherUse:     slices.Clone(r.otherUse),
		Noted:        slices.Clone(r.noted),
		LastAttempt:  r.lastAttempt,
		LastAnswer:   r.lastAnswer,
		Snapshot:     r.snapshotErr,
		SpentUntil:   p.spentUntil(now),
		Counters:     r.counters,
	}
	if d.URL == "" {
		d.URL = s.config.URL
	}
	d.URL = upstream.Redact(d.URL)
	if p.fetching == nil && !s.closed {
		d.NextRefresh = p.next
	}
	h := verify.Health{Part: "keys", Issuer: s.issuer, State: r.status.State(), Since: r.status.Since(), LastError: p.lastErr}
	if h.LastError == nil {
		h.LastError = r.metadataErr
	}
	if v := s.view.Load(); v != nil {
		_, err := v.keySet(now)
		h.Ready = err == nil
		if v.set != nil {
			d.Confirmed, d.Age, d.Expires = v.fetched, upstream.Since(v.fetched, now), v.until
			d.KeyIDs, d.Keys = v.set.IDs(), v.set.Len()
		}
	}
	h.Detail = d
	return h
}

// write writes log records; no lock may be held.
func (s *Source) write(logs part.Log) {
	logs.Write(s.config.Logger, "jwks", slog.String("issuer", s.issuer))
}

// noteFailure records a failed attempt; v is what requests see meanwhile.
func (s *Source) noteFailure(v *view, now time.Time, err error, logs *part.Log) {
	r := &s.report
	r.counters.Failures++
	switch {
	case v.set == nil:
		if r.status.Set(verify.StateFailing, now) {
			logs.Add(slog.LevelError, "cannot read the key set; no token can be verified until it can be read",
				"error", err, "last_answer", s.fetcher.lastAnswer)
		}
	case upstream.Reached(v.until, now):
		s.becomeStale(v, now, logs)
	default:
		if r.status.Set(verify.StateFailing, now) {
			logs.Add(slog.LevelWarn, "cannot refresh the key set; the last good one stays in use",
				"error", err, "last_answer", s.fetcher.lastAnswer, "age", upstream.Since(v.fetched, now).Round(time.Second), "usable_until", v.until, keyIDs("keys", v.set.IDs()))
		}
	}
}

// becomeStale records that the set in use has become too old.
func (s *Source) becomeStale(v *view, now time.Time, logs *part.Log) {
	if s.report.status.Set(verify.StateStale, now) {
		logs.Add(slog.LevelError, "the last good key set is too old; no token can be verified until a new one can be read",
			"confirmed", v.fetched, "max_stale", s.config.MaxStale, "error", v.err)
	}
	s.plan.earliest = time.Time{} // as in hasFailed
	s.plan.hasten(now, emptyBackoff)
}

// noteSuccess records a good answer; v is what requests saw before.
func (s *Source) noteSuccess(v *view, now time.Time, out *outcome, logs *part.Log) {
	r, d := &s.report, out.document
	url := upstream.Redact(out.url)
	if out.notModified {
		r.counters.NotModified++
	}
	r.fromSnapshot = false
	before, since := r.status.State(), r.status.Since()
	if r.status.Set(verify.StateReady, now) {
		if before == verify.StateStarting {
			logs.Add(slog.LevelInfo, "key set ready", "url", url, keyIDs("keys", out.set.IDs()), withoutID(d.keys))
		} else {
			logs.Add(slog.LevelInfo, "key set refreshed again", "url", url, "after", now.Sub(since).Round(time.Millisecond), keyIDs("keys", out.set.IDs()), withoutID(d.keys))
		}
	}
	if v.set != nil && v.set != out.set {
		r.counters.Changes++
		was, is := v.set.IDs(), out.set.IDs()
		logs.Add(slog.LevelInfo, "key set changed", keyIDs("added", without(is, was)), keyIDs("removed", without(was, is)),
			keyIDs("replaced", replaced(d.keys, v.keys)), keyIDs("keys", is), withoutID(d.keys))
	}
	if !slices.Equal(r.skipped, d.skipped) {
		r.skipped = d.skipped
		logKeys(logs, slog.LevelWarn, "some keys of the set cannot be used", "skipped", d.skipped)
	}
	if !slices.Equal(r.noted, d.noted) {
		r.noted = d.noted
		logKeys(logs, slog.LevelInfo, "some keys have a certificate that cannot be read; the keys are used", "noted", d.noted)
	}
	r.otherUse = d.otherUse
	if had := r.metadataErr != nil; had != (out.metadataErr != nil) {
		if had {
			logs.Add(slog.LevelInfo, "metadata can be used again", "url", url)
		} else {
			logs.Add(slog.LevelWarn, "metadata cannot be used; the key set is read from its last known URL", "url", url, "error", out.metadataErr)
		}
	}
	r.metadataErr = out.metadataErr
}

// noteSnapshot records what is wrong with the snapshot; nil if nothing is. It logs
// the same fault once.
func (s *Source) noteSnapshot(err error, logs *part.Log) {
	if r := &s.report; err == nil || r.snapshotErr == nil || err.Error() != r.snapshotErr.Error() {
		r.snapshotErr = err
		if err != nil {
			logs.Add(slog.LevelWarn, "snapshot of the key set", "file", s.config.Snapshot, "error", err)
		}
	}
}

// logKeys logs keys with the reason given for each, if there are any.
func logKeys(logs *part.Log, level slog.Level, msg, name string, keys []verify.SkippedKey) {
	if len(keys) == 0 {
		return
	}
	texts := make([]string, len(keys))
	for i, k := range keys {
		texts[i] = k.String()
	}
	logs.Add(level, msg, "count", len(keys), keyIDs(name, texts))
}

// replaced returns the IDs under which two sets have different keys, or the same
// key for different algorithms.
func replaced(is, was []verify.Key) (ids []string) {
	// among reports whether keys has k's ID, and k itself under that ID.
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

// withoutID returns how many keys have no ID, which a list of IDs does not show; an
// empty attribute if there are none.
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

// without returns the elements of a that are not in b.
func without(a, b []string) []string {
	return slices.DeleteFunc(slices.Clone(a), func(s string) bool { return slices.Contains(b, s) })
}

// keyIDs makes a list fit for a log line: the issuer chooses the texts, and up to a
// thousand are allowed.
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
