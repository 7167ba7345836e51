package upstream

import "time"

// A machine has two clocks. The monotonic one stops while the machine sleeps
// (golang/go#24595), and the wall clock may be set. A time from time.Now has both
// readings, and so has one made from it by Add. The functions here go by the clock
// on which more time has passed, so that nothing gets younger when the wall clock
// is set back.

// Since returns the time from t to now.
func Since(t, now time.Time) time.Duration {
	return max(now.Sub(t), now.Round(0).Sub(t.Round(0)))
}

// Reached reports whether now is t or later.
func Reached(t, now time.Time) bool {
	return !now.Before(t) || !now.Round(0).Before(t.Round(0))
}

// Lateness is how late a planned event can be while the process runs. If it is later
// than that, the process was frozen between requests, or the machine slept.
const Lateness = time.Second
