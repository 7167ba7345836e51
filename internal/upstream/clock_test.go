package upstream_test

import (
	"testing"
	"time"

	"github.com/bearerkit/bearerkit/internal/nettest"
	"github.com/bearerkit/bearerkit/internal/upstream"
)

// Of two clocks that have parted, the one counts that says that more time has
// passed.
func TestClocks(t *testing.T) {
	const hour = time.Hour
	for _, tc := range []struct{ ran, slept, want time.Duration }{
		{0, 0, 0}, {hour, 0, hour},
		{0, 72 * hour, 72 * hour}, {hour, 72 * hour, 73 * hour},
		{hour, -hour / 2, hour}, {hour, -hour, hour}, {hour, -72 * hour, hour},
	} {
		then := time.Now()
		now := nettest.Asleep(t, then.Add(tc.ran), tc.slept)
		if got := upstream.Since(then, now); got != tc.want {
			t.Errorf("%v and asleep for %v: %v ago", tc.ran, tc.slept, got)
		}
		for d, want := range map[time.Duration]bool{tc.want - 1: true, tc.want: true, tc.want + 1: false} {
			if got := upstream.Reached(then.Add(d), now); got != want {
				t.Errorf("%v and asleep for %v: %v is reached: %v", tc.ran, tc.slept, d, got)
			}
		}
	}
	// A time without a monotonic reading, out of a file.
	if got := upstream.Since(time.Now().Round(0).Add(-hour), time.Now()); got < hour || got > 2*hour {
		t.Error(got)
	}
}
