package dpop_test

import (
	"math"
	"testing"
	"time"

	"github.com/bearerkit/bearerkit/verify/dpop"
)

func TestAge(t *testing.T) {
	const max, leeway = 60 * time.Second, 30 * time.Second
	const now = 1_800_000_000
	for _, c := range []struct {
		iat   float64
		ok    bool
		until float64 // since iat
	}{
		{now, true, 91},
		{now - 10, true, 91},
		{now + 8, true, 91},
		{now - 90, true, 91},
		{now - 90.001, false, 0},
		{now - 91, false, 0},
		{now + 30, true, 91},
		{now + 30.001, false, 0},
		{now + 61, false, 0},
		{now - 0.5, true, 91},
		{now - 3600, false, 0},
		{now + 3600, false, 0},
		{0, false, 0},
		{-1, false, 0},
		{-0.5, false, 0},
		{1 << 40, false, 0},
		{1e300, false, 0},
		{-1e300, false, 0},
		{math.MaxInt64, false, 0},
		{math.MaxFloat64, false, 0},
		{math.Inf(1), false, 0},
		{math.Inf(-1), false, 0},
		{math.NaN(), false, 0},
	} {
		until, ok := dpop.Age(max, leeway, c.iat, time.Unix(now, 0))
		if ok != c.ok {
			t.Errorf("iat %v: %v", c.iat, ok)
		}
		if ok {
			if got := float64(until.UnixNano())/1e9 - c.iat; math.Abs(got-c.until) > 1e-5 {
				t.Errorf("iat %v: until %v after it", c.iat, got)
			}
		}
	}
}

// A proof is remembered at every moment at which it passes.
func TestAgeIsRemembered(t *testing.T) {
	const iat = 1_800_000_000.25
	for ms := int64(-100_000); ms < 200_000; ms += 50 {
		now := time.UnixMilli(1_800_000_000_250 + ms)
		if until, ok := dpop.Age(time.Minute, 30*time.Second, iat, now); ok && !now.Before(until) {
			t.Fatalf("%d ms after its iat the proof passes, and is remembered until %v", ms, until)
		}
	}
}
