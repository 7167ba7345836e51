package dpop_test

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bearerkit/bearerkit/verify/dpop"
)

var ctx = context.Background()

// id makes the id of a proof.
func id(n int) [32]byte { return sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(n))) }

// A clock is set by the test.
type clock struct{ nanos atomic.Int64 }

func newClock(t time.Time) *clock {
	c := &clock{}
	c.set(t)
	return c
}

func (c *clock) set(t time.Time)     { c.nanos.Store(t.UnixNano()) }
func (c *clock) add(d time.Duration) { c.nanos.Add(int64(d)) }
func (c *clock) now() time.Time      { return time.Unix(0, c.nanos.Load()) }

// first calls First and fails the test if the answer is another.
func first(t testing.TB, m *dpop.Memory, n int, until time.Time, want bool) {
	t.Helper()
	if got, err := m.First(ctx, id(n), until); err != nil || got != want {
		t.Errorf("proof %d until %v: %v, %v, want %v", n, until, got, err, want)
	}
}

func TestMemory(t *testing.T) {
	var m dpop.Memory
	until := time.Now().Add(time.Minute)
	first(t, &m, 1, until, true)
	first(t, &m, 1, until, false)
	first(t, &m, 1, until.Add(time.Second), false) // the same jti in a newer proof
	first(t, &m, 1, until.Add(-time.Second), false)
	first(t, &m, 2, until, true)
	if m.Len() != 2 {
		t.Errorf("%d entries", m.Len())
	}
}

func TestMemoryBoundary(t *testing.T) {
	c := newClock(time.Unix(1_800_000_000, 0))
	m := &dpop.Memory{Now: c.now}
	until := c.now().Add(91*time.Second + 500*time.Microsecond)
	first(t, m, 1, until, true)
	c.set(until.Add(-time.Nanosecond))
	first(t, m, 1, until, false)
	c.set(until.Add(time.Millisecond))
	first(t, m, 1, until, false) // too old to be anything
	first(t, m, 1, until.Add(time.Minute), true)
	first(t, m, 1, until.Add(time.Minute), false)
	first(t, m, 2, c.now(), false)
	first(t, m, 2, c.now().Add(-time.Hour), false)
	first(t, m, 2, time.Time{}, false)
	first(t, m, 2, c.now().Add(time.Nanosecond), true)
	if m.Len() != 2 {
		t.Errorf("%d entries", m.Len())
	}
}

// A proof that comes again after its end, in a new form, is not forgotten together
// with the old one.
func TestMemoryAgainAfterItsEnd(t *testing.T) {
	c := newClock(time.Unix(1_800_000_000, 0))
	m := &dpop.Memory{Now: c.now}
	first(t, m, 1, c.now().Add(time.Second), true)
	c.add(2 * time.Second)
	until := c.now().Add(time.Minute)
	first(t, m, 1, until, true)
	c.add(30 * time.Second)
	first(t, m, 1, until, false)
	if m.Len() != 1 {
		t.Errorf("%d entries", m.Len())
	}
	c.add(time.Hour)
	first(t, m, 1, c.now().Add(time.Minute), true)
	if m.Len() != 1 {
		t.Errorf("%d entries", m.Len())
	}
}

// At each moment until its end an entry is known, whatever else comes and ends.
func TestMemoryForgetsNothingEarly(t *testing.T) {
	c := newClock(time.Unix(1_800_000_000, 0))
	m := &dpop.Memory{Now: c.now}
	ends := map[int]time.Time{}
	for n := range 4000 {
		until := c.now().Add(time.Duration(1+n*37%120) * time.Second)
		first(t, m, n, until, true)
		ends[n] = until
		c.add(time.Duration(n%7) * 10 * time.Millisecond)
		if n%250 == 0 {
			for k, end := range ends {
				if c.now().Before(end) {
					first(t, m, k, c.now().Add(time.Minute), false)
				}
			}
		}
	}
}

func TestMemoryCleansUp(t *testing.T) {
	c := newClock(time.Unix(1_800_000_000, 0))
	m := &dpop.Memory{Now: c.now}
	n := 0
	for range 100 { // 1000 a second, each for a minute
		for range 1000 {
			first(t, m, n, c.now().Add(time.Minute), true)
			n++
		}
		c.add(time.Second)
	}
	if m.Len() > 75_000 {
		t.Errorf("%d entries, of which 60000 can matter", m.Len())
	}
	c.add(time.Hour)
	for range 50_000 {
		first(t, m, n, c.now().Add(time.Minute), true)
		n++
	}
	if m.Len() > 51_000 {
		t.Errorf("%d entries, of which 50000 can matter", m.Len())
	}
}

func TestMemoryFull(t *testing.T) {
	c := newClock(time.Unix(1_800_000_000, 0))
	const most = 100
	m := &dpop.Memory{MaxEntries: most, Now: c.now}
	until := c.now().Add(time.Minute)
	for n := range most {
		first(t, m, n, until, true)
	}
	for n := most; n < 2*most; n++ {
		if got, err := m.First(ctx, id(n), until); got || !errors.Is(err, dpop.ErrFull) {
			t.Fatalf("proof %d of at most %d: %v, %v", n, most, got, err)
		}
	}
	if m.Len() != most || m.Refused() != most {
		t.Errorf("%d entries, %d refused", m.Len(), m.Refused())
	}
	for n := range most {
		first(t, m, n, until, false) // none was put out
	}
	// Room is made by what has ended, in every shard.
	c.add(time.Minute + 10*time.Second)
	until = c.now().Add(time.Minute)
	for n := 2 * most; n < 3*most; n++ {
		first(t, m, n, until, true)
	}
}

func TestMemoryClock(t *testing.T) {
	start := time.Unix(1_800_000_000, 0)
	const lasts = 91 * time.Second
	t.Run("set back while the proof is known", func(t *testing.T) {
		c := newClock(start)
		m := &dpop.Memory{Now: c.now}
		first(t, m, 1, start.Add(lasts), true)
		c.add(-30 * time.Second)
		first(t, m, 1, start.Add(lasts), false)
		first(t, m, 2, start.Add(lasts), true)
	})
	t.Run("set back after the proof was forgotten", func(t *testing.T) {
		c := newClock(start)
		m := &dpop.Memory{Now: c.now}
		const many = 500 // of which some share the shard
		for n := range many {
			first(t, m, n, start.Add(lasts), true)
		}
		c.add(lasts + 20*time.Second)
		for n := many; n < 20*many; n++ {
			first(t, m, n, c.now().Add(lasts), true)
		}
		c.set(start.Add(lasts - 2*time.Second))
		for n := range many {
			if got, err := m.First(ctx, id(n), start.Add(lasts)); got {
				t.Fatalf("proof %d passes a second time: %v", n, err)
			}
		}
		// Those made by the clock as it is now are not in doubt.
		first(t, m, 100*many, c.now().Add(lasts), true)
		// Nor is any once the clock turns out to have been far ahead.
		c.set(start.Add(-time.Hour))
		for n := 200 * many; n < 201*many; n++ {
			first(t, m, n, c.now().Add(lasts), true)
		}
	})
}

// A clock that is ahead for a moment makes the memory forget nothing: the time that
// has passed counts as well.
func TestMemoryClockAheadForAMoment(t *testing.T) {
	start := time.Unix(1_800_000_000, 0)
	c := newClock(start)
	m := &dpop.Memory{Now: c.now}
	var passed time.Duration
	dpop.SetElapsed(m, func() time.Duration { return passed })
	const many = 500
	for n := range many {
		first(t, m, n, start.Add(time.Minute), true)
	}
	passed += time.Second
	c.add(time.Hour)
	for n := many; n < 20*many; n++ { // would forget the others
		first(t, m, n, c.now().Add(time.Minute), true)
	}
	passed += time.Second
	c.set(start.Add(2 * time.Second))
	for n := range many {
		first(t, m, n, start.Add(time.Minute), false)
	}
	first(t, m, 100*many, c.now().Add(time.Minute), true)
}

func TestMemoryConcurrently(t *testing.T) {
	const callers = 100
	for range 20 {
		var m dpop.Memory
		until := time.Now().Add(time.Minute)
		var firsts, errs atomic.Int64
		var wg sync.WaitGroup
		start := make(chan struct{})
		for range callers {
			wg.Go(func() {
				<-start
				switch first, err := m.First(ctx, id(1), until); {
				case err != nil:
					errs.Add(1)
				case first:
					firsts.Add(1)
				}
			})
		}
		close(start)
		wg.Wait()
		if firsts.Load() != 1 || errs.Load() != 0 {
			t.Fatalf("%d of %d were first, %d errors", firsts.Load(), callers, errs.Load())
		}
	}
	// Different proofs at the same time, up to the bound.
	m := dpop.Memory{MaxEntries: 5000}
	var firsts, full atomic.Int64
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for n := range 1000 {
				switch first, err := m.First(ctx, id(g*1000+n), time.Now().Add(time.Minute)); {
				case errors.Is(err, dpop.ErrFull):
					full.Add(1)
				case first:
					firsts.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if firsts.Load() != 5000 || full.Load() != 3000 || m.Len() != 5000 {
		t.Errorf("%d were recorded, %d refused, %d are there", firsts.Load(), full.Load(), m.Len())
	}
}

func TestReplayID(t *testing.T) {
	a, b := sha256.Sum256([]byte("a")), sha256.Sum256([]byte("b"))
	seen := map[[32]byte]string{}
	for _, c := range []struct {
		service    string
		thumbprint [32]byte
		jti        string
	}{
		{"orders", a, "1"}, {"orders", a, "2"}, {"orders", b, "1"}, {"gateway", a, "1"}, {"", a, "1"}, {"orders", a, ""},
		{"orders" + string(a[:1]), a, "1"}, {"order", a, "s1"},
		// The same bytes, cut elsewhere.
		{"orders" + string(a[:2]), [32]byte(append(append([]byte(nil), a[2:]...), "xy"...)), "z"}, {"orders", a, "xyz"},
		{"orders", a, "é"}, {"orders", a, "e\u0301"}, {"orders", a, "A"}, {"orders", a, "a"}, {"orders", a, "\x00"},
	} {
		got := dpop.ReplayID(c.service, c.thumbprint, c.jti)
		name := fmt.Sprintf("%q %x %q", c.service, c.thumbprint[:2], c.jti)
		if other, ok := seen[got]; ok {
			t.Errorf("%s and %s have one id", name, other)
		}
		if again := dpop.ReplayID(c.service, c.thumbprint, c.jti); again != got {
			t.Errorf("%s has two ids", name)
		}
		seen[got] = name
	}
}

// BenchmarkMemory fills the memory with a million proofs and reports what an entry
// takes: the space of all, and the mean time of the quickest half of the thousands
// in which they come, so that other work on the machine does not count.
func BenchmarkMemory(b *testing.B) {
	const many = 1 << 20
	ids := make([][32]byte, many)
	for n := range ids {
		ids[n] = id(n)
	}
	for b.Loop() {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		// As in 121 seconds of constant traffic.
		c := newClock(time.Unix(1_800_000_000, 0))
		m := &dpop.Memory{Now: c.now, MaxEntries: many}
		var thousands []time.Duration
		began := time.Now()
		for n := range ids {
			if n%(many/121) == 0 {
				c.add(time.Second)
			}
			if n%1024 == 1023 {
				thousands = append(thousands, time.Since(began))
				began = time.Now()
			}
			if ok, err := m.First(ctx, ids[n], c.now().Add(121*time.Second)); !ok || err != nil {
				b.Fatal(ok, err)
			}
		}
		slices.Sort(thousands)
		var took time.Duration
		for _, d := range thousands[:len(thousands)/2] {
			took += d
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/many, "bytes/entry")
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/(1<<20), "MiB")
		b.ReportMetric(float64(took.Nanoseconds())/(many/2), "ns/entry")
		runtime.KeepAlive(m)
	}
}

// BenchmarkMemorySteady records proofs while others end, from all processors.
func BenchmarkMemorySteady(b *testing.B) {
	c := newClock(time.Unix(1_800_000_000, 0))
	m := &dpop.Memory{Now: c.now}
	var n atomic.Int64
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			k := n.Add(1)
			if k%5000 == 0 {
				c.add(time.Second)
			}
			var id [32]byte
			binary.BigEndian.PutUint64(id[:], uint64(k))
			if ok, err := m.First(ctx, id, c.now().Add(121*time.Second)); !ok || err != nil {
				b.Error(ok, err)
			}
		}
	})
}
