package verify

import "time"

const (
	// maxWaste is how many calls of FindIssuer may come to nothing before they
	// are limited to one every wasteEach. It also bounds how many run at a time.
	maxWaste  = 256
	wasteEach = 100 * time.Millisecond
	// maxStrangers bounds each of the two maps of names that are not in use.
	maxStrangers = 1 << 14
)

// A budget bounds what made-up issuers cost. A call of FindIssuer spends one, and
// gets it back when a token of the issuer has verified.
//
// Half of it is reserved for names that have come before: an attacker makes up a
// new name for each token, and the client of a new tenant tries again.
type budget struct {
	left float64
	at   time.Time
}

func newBudget() budget { return budget{left: maxWaste} }

func (b *budget) spend(now time.Time, again bool) bool {
	if !b.at.IsZero() {
		b.left = min(maxWaste, b.left+float64(now.Sub(b.at))/float64(wasteEach))
	}
	b.at = now
	reserve := 0.0
	if !again {
		reserve = maxWaste / 2
	}
	if b.left < reserve+1 {
		return false
	}
	b.left--
	return true
}

func (b *budget) refund() { b.left = min(maxWaste, b.left+1) }

// A stranger is what is known about a name that is not in use. The zero value
// only says that it has come before.
type stranger struct {
	err       error // what FindIssuer said; nil if it was not called
	untrusted bool  // it said that the issuer is not trusted
	until     time.Time
}

// strangers remembers names that are not in use. New ones push out old ones.
type strangers struct {
	young, old map[nameDigest]stranger
}

// A nameDigest stands for a name, so that long names take no more room.
type nameDigest [16]byte

// get returns what is known about a name, and whether it has come before.
func (s *strangers) get(d nameDigest, now time.Time) (k stranger, again bool) {
	if k, again = s.young[d]; !again {
		k, again = s.old[d]
	}
	if !now.Before(k.until) {
		k = stranger{}
	}
	return k, again
}

func (s *strangers) put(d nameDigest, k stranger) {
	if s.young == nil || len(s.young) >= maxStrangers {
		s.young, s.old = map[nameDigest]stranger{}, s.young
	}
	s.young[d] = k
}
