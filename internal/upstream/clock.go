package upstream

import "time"

// A machine has two clocks. The monotonic one stands still while the machine
// sleeps (golang/go#24595), and the wall clock may be set. Times of time.Now
// have the readings of both, and so have those that Add makes of them; here the
// clock counts that says that more time has passed. Nothing gets younger because
// somebody has set the clock back.

// Since returns how long ago t was at now.
func Since(t, now time.Time) time.Duration {
	return max(now.Sub(t), now.Round(0).Sub(t.Round(0)))
}

// Reached reports whether now is t or later.
func Reached(t, now time.Time) bool {
	return !now.Before(t) || !now.Round(0).Before(t.Round(0))
}

// Lateness is how much later than planned something happens at most, while the
// process runs. What is later shows that it did not: that it was frozen between
// requests, or the machine slept.
const Lateness = time.Second
