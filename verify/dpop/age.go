package dpop

import (
	"math"
	"time"
)

// An age says how old a proof may be by its "iat" (RFC 9449 section 11.1).
type age struct {
	max    time.Duration // since iat
	leeway time.Duration // by which clocks may differ, both ways
}

// maxDate bounds what is taken for a date, in seconds since 1970: what is beyond
// does not fit the arithmetic, and is not a date.
const maxDate = 1 << 40

// check reports whether a proof that was made at iat, in seconds since 1970, may
// be used now, and from when on it may not be. Until then it has to be
// remembered. A fraction of a second counts.
func (a age) check(iat float64, now time.Time) (until time.Time, ok bool) {
	if !(math.Abs(iat) < maxDate) { // false for what is not a number as well
		return time.Time{}, false
	}
	whole, fraction := math.Modf(iat)
	made := time.Unix(int64(whole), int64(math.Ceil(fraction*1e9)))
	// The second covers the last moment at which the proof is good, and the
	// rounding of stores.
	until = made.Add(a.max + a.leeway + time.Second)
	return until, !now.Before(made.Add(-a.leeway)) && !now.After(made.Add(a.max+a.leeway))
}
