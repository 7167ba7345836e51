package paired_test

import (
	"errors"
	"math"
	"testing"
	"time"

	"github.com/bearerkit/bearerkit/bench/paired"
)

// clock is a clock that only the operations move.
type clock struct{ t time.Time }

func (c *clock) now() time.Time { return c.t }

// costs is an operation that takes so long by the clock.
func (c *clock) costs(name string, d time.Duration) paired.Subject {
	return paired.Subject{Name: name, Op: func(int) error { c.t = c.t.Add(d); return nil }}
}

func TestRatio(t *testing.T) {
	var c clock
	results, err := paired.Run([]paired.Subject{
		c.costs("reference", 20*time.Microsecond), c.costs("same", 20*time.Microsecond),
		c.costs("dear", 50*time.Microsecond), c.costs("cheap", 5*time.Microsecond),
	}, paired.Options{Rounds: 20, Slice: time.Millisecond, Now: c.now})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []struct {
		name  string
		ratio float64
		ns    float64
		calls int
	}{{"reference", 1, 20e3, 50}, {"same", 1, 20e3, 50}, {"dear", 2.5, 50e3, 20}, {"cheap", .25, 5e3, 200}} {
		r := results[i]
		exact := func(x float64) paired.Quartiles { return paired.Quartiles{Q1: x, Median: x, Q3: x} }
		if r.Name != want.name || r.Ratio != exact(want.ratio) || r.Nanoseconds != exact(want.ns) || r.Calls != want.calls {
			t.Errorf("%+v, want %+v", r, want)
		}
	}
}

// A machine that grows slower and slower, and stalls now and then, changes
// every time and no ratio.
func TestDisturbed(t *testing.T) {
	var c clock
	speed, calls := 1.0, 0
	op := func(d float64) func(int) error {
		return func(int) error {
			speed *= 1.00001
			if calls++; calls%997 == 0 {
				c.t = c.t.Add(time.Second)
			}
			c.t = c.t.Add(time.Duration(d * speed))
			return nil
		}
	}
	results, err := paired.Run([]paired.Subject{{Name: "reference", Op: op(1e5)}, {Name: "twice", Op: op(2e5)}},
		paired.Options{Rounds: 400, Now: c.now})
	if err != nil {
		t.Fatal(err)
	}
	if m := results[1].Ratio.Median; math.Abs(m-2) > .01 {
		t.Errorf("median ratio %v, want 2", m)
	}
	if n := results[0].Nanoseconds; n.Q3 < 1.02*n.Q1 {
		t.Errorf("the machine did not grow slower: %+v", n)
	}
}

// Each subject gets another input every time, and none is left out.
func TestCounts(t *testing.T) {
	var c clock
	next, other := 0, 0
	reference := paired.Subject{Name: "reference", Op: func(i int) error {
		if i != next {
			t.Errorf("call %d is numbered %d", next, i)
		}
		next++
		c.t = c.t.Add(time.Millisecond)
		return nil
	}}
	subject := paired.Subject{Name: "subject", Op: func(int) error {
		other++
		c.t = c.t.Add(time.Millisecond)
		return nil
	}}
	results, err := paired.Run([]paired.Subject{reference, subject}, paired.Options{Rounds: 7, Slice: 3 * time.Millisecond, Now: c.now})
	if err != nil {
		t.Fatal(err)
	}
	if results[0].Calls != 3 || next != other || next < 7*3 {
		t.Errorf("%+v, %d and %d calls", results, next, other)
	}
}

var sink []byte

func TestAllocations(t *testing.T) {
	results, err := paired.Run([]paired.Subject{
		{Name: "none", Op: func(int) error { return nil }},
		{Name: "two", Op: func(int) error { sink = make([]byte, 1024); sink = make([]byte, 1024); return nil }},
	}, paired.Options{Rounds: 3, Slice: time.Microsecond})
	if err != nil {
		t.Fatal(err)
	}
	if none := results[0]; none.Allocs != 0 || none.Bytes > 200 {
		t.Errorf("%+v", none)
	}
	if two := results[1]; two.Allocs != 2 || two.Bytes < 2048 || two.Bytes > 2300 {
		t.Errorf("%+v", two)
	}
}

// What fails is not timed.
func TestErrorEndsTheRun(t *testing.T) {
	var c clock
	bad := errors.New("bad")
	_, err := paired.Run([]paired.Subject{c.costs("reference", time.Millisecond), {Name: "late", Op: func(i int) error {
		c.t = c.t.Add(time.Millisecond)
		if i > 300 {
			return bad
		}
		return nil
	}}}, paired.Options{Now: c.now})
	if !errors.Is(err, bad) {
		t.Errorf("error %v", err)
	}
	if _, err := paired.Run(nil, paired.Options{}); err == nil {
		t.Error("nothing was compared with nothing")
	}
}
