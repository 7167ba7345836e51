package nettest

import (
	"sync/atomic"
	"testing"
	"time"
	"unsafe"
)

// A Machine has two clocks, for a test in a synctest bubble or out of one: the
// monotonic one runs with the test, and the wall clock is ahead of it by what
// the machine has slept, or was set by.
type Machine struct {
	t       testing.TB
	started time.Time
	slept   atomic.Int64
}

// NewMachine makes a machine that has not slept.
func NewMachine(t testing.TB) *Machine { return &Machine{t: t, started: time.Now()} }

// Now is the machine's time.Now.
func (m *Machine) Now() time.Time {
	m.t.Helper()
	return Asleep(m.t, loaded.Add(time.Since(m.started)), time.Duration(m.slept.Load()))
}

// Sleep has the machine sleep for whole seconds, or its wall clock set.
func (m *Machine) Sleep(d time.Duration) { m.slept.Add(int64(d)) }

// loaded has a monotonic reading, which times in a bubble have not.
var loaded = time.Now()

// Asleep returns now as a machine would have it that has slept for d, or whose
// wall clock was set by d: the wall clock has moved, and the monotonic one has
// not. No function of package time makes such a Time, so its fields are set.
func Asleep(t testing.TB, now time.Time, d time.Duration) time.Time {
	t.Helper()
	const nanoseconds = 30 // bits of them, below the seconds (see time.Time)
	moved := now
	*(*uint64)(unsafe.Pointer(&moved)) += uint64(d/time.Second) << nanoseconds
	if d%time.Second != 0 || moved.Sub(now) != 0 || moved.Round(0).Sub(now.Round(0)) != d {
		t.Fatalf("time.Time is not what it was: %v from %v, by %v", moved, now, d)
	}
	return moved
}
