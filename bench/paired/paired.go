package paired

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"time"
)

// A Subject is one operation to be timed.
type Subject struct {
	Name string
	// Op runs the operation once. The number counts its calls, from 0, so
	// that it can take another input each time. An error ends the run: an
	// operation that fails is not the work that was to be measured.
	Op func(i int) error
}

// Options say how long to measure. The zero value is a full run.
type Options struct {
	// Rounds is how many slices each subject gets. Default: 400.
	Rounds int
	// Slice is how long a slice lasts, about: it is a number of calls that
	// is determined once and then kept. Default: 2 ms.
	Slice time.Duration
	// Seed determines the order within the rounds. Default: 1.
	Seed uint64
	// Now is the clock, for tests. Default: time.Now.
	Now func() time.Time
}

// A Result is what one subject costs.
type Result struct {
	Name string
	// Ratio is the cost of one operation to that of the reference, which is
	// the first subject: the quartiles over all rounds.
	Ratio Quartiles
	// Nanoseconds is the time of one operation on this machine at this time:
	// a hint, and nothing to compare between runs.
	Nanoseconds Quartiles
	// Bytes and Allocs are what one operation allocates.
	Bytes, Allocs float64
	// Calls is how many calls a slice has.
	Calls int
}

// Quartiles of a sample.
type Quartiles struct{ Q1, Median, Q3 float64 }

// Run times all subjects against the first one.
func Run(subjects []Subject, o Options) ([]Result, error) {
	if len(subjects) == 0 {
		return nil, errors.New("paired: no subjects")
	}
	if o.Rounds == 0 {
		o.Rounds = 400
	}
	if o.Slice == 0 {
		o.Slice = 2 * time.Millisecond
	}
	if o.Seed == 0 {
		o.Seed = 1
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	running := make([]*subject, len(subjects))
	for i, s := range subjects {
		r := &subject{Subject: s}
		if err := r.prepare(o); err != nil {
			return nil, err
		}
		running[i] = r
	}
	order := rand.New(rand.NewPCG(o.Seed, 0))
	for range o.Rounds {
		for _, i := range order.Perm(len(running)) {
			s := running[i]
			t, err := s.time(s.calls, o.Now)
			if err != nil {
				return nil, err
			}
			s.times = append(s.times, float64(t.Nanoseconds())/float64(s.calls))
		}
	}
	results := make([]Result, len(running))
	for i, s := range running {
		ratios := make([]float64, o.Rounds)
		for r := range ratios {
			ratios[r] = s.times[r] / running[0].times[r]
		}
		results[i] = Result{
			Name:        s.Name,
			Ratio:       quartiles(ratios),
			Nanoseconds: quartiles(s.times),
			Bytes:       s.bytes,
			Allocs:      s.allocs,
			Calls:       s.calls,
		}
	}
	return results, nil
}

type subject struct {
	Subject
	next          int // the number of the next call
	calls         int // in a slice
	times         []float64
	bytes, allocs float64
}

// prepare warms the subject up, counts its allocations and finds out how many
// calls fill a slice.
func (s *subject) prepare(o Options) error {
	const warm = 32
	if _, err := s.time(warm, o.Now); err != nil {
		return err
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := s.time(warm, o.Now); err != nil {
		return err
	}
	runtime.ReadMemStats(&after)
	s.bytes = float64(after.TotalAlloc-before.TotalAlloc) / warm
	// What others allocate meanwhile, the runtime above all, is a fraction of
	// an allocation.
	s.allocs = math.Floor(float64(after.Mallocs-before.Mallocs) / warm)

	// The fastest of a few: a disturbed one would make the slices short.
	best := time.Duration(math.MaxInt64)
	for range 5 {
		t, err := s.time(warm, o.Now)
		if err != nil {
			return err
		}
		best = min(best, t)
	}
	s.calls = max(1, int(o.Slice*warm/max(best, 1)))
	return nil
}

func (s *subject) time(calls int, now func() time.Time) (time.Duration, error) {
	start := now()
	for range calls {
		if err := s.Op(s.next); err != nil {
			return 0, fmt.Errorf("paired: %s: %w", s.Name, err)
		}
		s.next++
	}
	return now().Sub(start), nil
}

// quartiles interpolates between the two nearest values.
func quartiles(sample []float64) Quartiles {
	sorted := slices.Sorted(slices.Values(sample))
	at := func(q float64) float64 {
		whole, part := math.Modf(q * float64(len(sorted)-1))
		low := sorted[int(whole)]
		high := sorted[min(int(whole)+1, len(sorted)-1)]
		return low + part*(high-low)
	}
	return Quartiles{at(.25), at(.5), at(.75)}
}
