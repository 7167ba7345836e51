package dpop

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"
)

// A ReplayStore remembers which proofs were used, so that none is used twice (RFC
// 9449 section 11.1).
type ReplayStore interface {
	// First records an id until a time and reports whether it was not recorded
	// before. Of calls for one id at the same time exactly one gets true, on
	// all replicas that share the store. A time that has passed gets false:
	// such a proof is too old. An error says that this cannot be known now;
	// the proof is then neither accepted nor called a replay.
	//
	// The id is the hash of all that identifies a proof.
	First(ctx context.Context, id [32]byte, until time.Time) (first bool, err error)
}

// replayID returns what identifies a proof: its "jti" among the proofs of one key
// at one service. The jti alone would let a client use up those of others, and
// the whole text of a proof can be changed without a key (ECDSA has two
// signatures for each). The service keeps a gateway and the service behind it
// apart if they share a store.
func replayID(service string, thumbprint [32]byte, jti string) [32]byte {
	b := make([]byte, 0, 256)
	b = binary.BigEndian.AppendUint64(b, uint64(len(service)))
	b = append(b, service...)
	b = append(b, thumbprint[:]...)
	b = append(b, jti...)
	return sha256.Sum256(b)
}

// ErrFull is what [Memory.First] returns while it remembers as many proofs as it
// may: not one is forgotten while it could be used again.
var ErrFull = errors.New("dpop: the memory of used proofs is full")

// errClock is what Memory.First returns for a proof about which it may have known
// something before the clock was set back.
var errClock = errors.New("dpop: the clock was set back; whether the proof was used is not known")

// Memory is a [ReplayStore] in the memory of one process. Replicas do not share
// it: a proof can be used once at each of them. The zero value is ready to use,
// and has nothing that must be closed. An entry takes about 70 bytes.
type Memory struct {
	// MaxEntries is how many proofs are remembered at most. A service needs
	// room for the proofs of MaxAge + 2·Leeway + 1 s: 5,000 requests a second
	// with the defaults need 605,000. Default, and for values below 1:
	// 1,048,576.
	MaxEntries int
	// Now is the clock. Default: time.Now.
	Now func() time.Time

	start   sync.Once
	seed    maphash.Seed
	elapsed func(now time.Time) time.Duration // since the first call
	shards  [32]shard
	entries atomic.Int64
	refused atomic.Uint64
}

const (
	defaultEntries = 1 << 20
	// bucketSpan is the span of time whose entries are forgotten together, in
	// milliseconds.
	bucketSpan = 8000
	// drainAtOnce bounds how many entries one call forgets, so that no request
	// waits for a crowd of them.
	drainAtOnce = 64
	// maxStepBack is how far the clock may be set back and proofs be refused
	// because what was known of them is forgotten already. After a larger step
	// the clock was wrong before it.
	maxStepBack = 5 * time.Minute
)

// An entryID is half of a proof's id. The ids are hashes: to find a second proof
// with the same half takes 2^128 tries.
type entryID [16]byte

// A shard has a part of the entries and the lock for them.
type shard struct {
	mu      sync.Mutex
	until   map[entryID]int64 // in milliseconds since 1970
	buckets map[int64]*bucket // by until/bucketSpan
	oldest  int64             // no bucket is older
	gone    int64             // what ended before may have been forgotten
}

// A bucket has the entries that end in the same span of time.
type bucket struct {
	ids []entryID
	// elapsed is how much time must have passed since the first call for all to
	// have ended. The monotonic clock tells, which cannot be set.
	elapsed time.Duration
}

// Len returns how many proofs are remembered, about.
func (m *Memory) Len() int { return int(m.entries.Load()) }

// Refused returns how often a proof was refused because the memory was full.
func (m *Memory) Refused() uint64 { return m.refused.Load() }

// First implements [ReplayStore].
func (m *Memory) First(_ context.Context, id [32]byte, until time.Time) (bool, error) {
	m.start.Do(m.init)
	now := m.Now()
	if !until.After(now) {
		return false, nil
	}
	end := ceilMilli(until)
	key := entryID(id[:])
	// The hash has a seed, so that clients cannot choose ids of one shard.
	s := &m.shards[maphash.Bytes(m.seed, key[:])%uint64(len(m.shards))]
	first, full, err := m.record(s, key, end, until.Sub(now), now)
	if full {
		// Others may have entries that have ended.
		for i := range m.shards {
			m.forget(&m.shards[i], now)
		}
		if first, full, err = m.record(s, key, end, until.Sub(now), now); full {
			m.refused.Add(1)
			return false, ErrFull
		}
	}
	return first, err
}

func (m *Memory) init() {
	if m.MaxEntries < 1 {
		m.MaxEntries = defaultEntries
	}
	if m.Now == nil {
		m.Now = time.Now
	}
	m.seed = maphash.MakeSeed()
	if m.elapsed == nil {
		began := m.Now()
		m.elapsed = func(now time.Time) time.Duration { return now.Sub(began) }
	}
}

// record records an entry in its shard. It lasts until end by the clock, and for
// as long as that is from now.
func (m *Memory) record(s *shard, key entryID, end int64, lasts time.Duration, now time.Time) (first, full bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drain(m, now, drainAtOnce)
	known, ok := s.until[key]
	switch {
	case ok && known > now.UnixMilli():
		return false, false, nil
	case s.gone-now.UnixMilli() > maxStepBack.Milliseconds():
		s.gone = 0
	case end <= s.gone:
		return false, false, errClock
	}
	if !ok && m.entries.Add(1) > int64(m.MaxEntries) {
		m.entries.Add(-1)
		return false, true, nil
	}
	if s.until == nil {
		s.until, s.buckets = map[entryID]int64{}, map[int64]*bucket{}
	}
	s.until[key] = end
	n := floorDiv(end, bucketSpan)
	b := s.buckets[n]
	if b == nil {
		b = &bucket{}
		if s.buckets[n] = b; len(s.buckets) == 1 || n < s.oldest {
			s.oldest = n
		}
	}
	b.ids = append(b.ids, key)
	b.elapsed = max(b.elapsed, m.elapsed(now)+lasts)
	return true, false, nil
}

// forget forgets all entries of a shard that have ended.
func (m *Memory) forget(s *shard, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drain(m, now, -1)
}

// drain forgets at most n entries that have ended; all of them if n is negative.
// They must have ended by the clock and by the time that has passed: a clock that
// is ahead for a moment makes nothing be forgotten that can still be used.
func (s *shard) drain(m *Memory, now time.Time, n int) {
	for len(s.buckets) > 0 && (s.oldest+1)*bucketSpan <= now.UnixMilli() {
		b := s.buckets[s.oldest]
		if b == nil {
			s.skip()
			continue
		}
		if m.elapsed(now) < b.elapsed {
			return
		}
		s.gone = max(s.gone, (s.oldest+1)*bucketSpan)
		for n != 0 && len(b.ids) > 0 {
			key := b.ids[len(b.ids)-1]
			b.ids = b.ids[:len(b.ids)-1]
			n--
			// An entry that came again after its end is in two buckets.
			if until, ok := s.until[key]; ok && floorDiv(until, bucketSpan) == s.oldest {
				delete(s.until, key)
				m.entries.Add(-1)
			}
		}
		if len(b.ids) > 0 {
			return
		}
		delete(s.buckets, s.oldest)
		s.oldest++
	}
}

// skip moves on to the oldest bucket that there is.
func (s *shard) skip() {
	first := true
	for n := range s.buckets {
		if first || n < s.oldest {
			s.oldest, first = n, false
		}
	}
}

func ceilMilli(t time.Time) int64 {
	ms := t.UnixMilli()
	if t.After(time.UnixMilli(ms)) {
		ms++
	}
	return ms
}
