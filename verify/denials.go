package verify

import (
	"errors"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// maxDenials bounds how many denials are remembered, at about 200 bytes each.
// Only tokens that have verified get in, so nobody can fill the memory with
// made-up ones.
const maxDenials = 16384

// denials remembers which verified JWTs their authorization server has denied,
// so that until such a token expires no path takes it at its own word again. The
// key is a digest of what is signed: anybody can make a second valid ECDSA
// signature out of a first one.
//
// A denied token is not refused for good: its server is asked again, and an
// answer that it is active counts if the question was put after the denial was
// known. Two questions whose calls overlap may reach the server in any order, so
// of their answers the denial counts.
//
// If there are too many denials, those that end first are given up. Until then
// every JWT is asked about, as with [Introspection.Always].
type denials struct {
	// number counts denials, and added those of them that are about other
	// claims than all before. An answer that was cleared at the current number
	// need not be looked up, nor an entry that was at the current value of
	// added; at 0 there is nothing to find.
	number, added atomic.Uint64

	mu       sync.Mutex
	bySigned map[digest]denial
	limit    int       // of bySigned
	overflow time.Time // until when every JWT is asked about
}

// A denial says that a token was refused because of an answer.
type denial struct {
	number uint64
	token  digest // of the whole token that the answer was about
	others bool   // it was not the only one with these claims
	asked  time.Time
	known  time.Time // when the answer was here, by the clock of asked
	until  time.Time // when the token has expired
}

// signedDigest returns the digest of what a JWT's signature covers.
func (v *Verifier) signedDigest(token string) digest {
	return v.digest(token[:strings.LastIndexByte(token, '.')])
}

// isDenied reports whether a token must not be taken at its own word.
func (v *Verifier) isDenied(e *entry, token string) bool {
	d := &v.denials
	added := d.added.Load()
	if e.cleared.Load() == added {
		return false
	}
	signed, now := v.signedDigest(token), v.now()
	d.mu.Lock()
	_, found := d.bySigned[signed]
	found = found || now.Before(d.overflow)
	d.mu.Unlock()
	if !found {
		e.cleared.Store(added)
	}
	return found
}

// deny remembers that a token, which expires at exp, was refused with an error
// because of an answer. took is how long the call for the answer lasted.
func (v *Verifier) deny(q *Query, a *Answer, took time.Duration, exp float64, err error) {
	if errors.Is(err, ErrUnavailable) {
		return // it says nothing about the token
	}
	signed := v.signedDigest(q.Token)
	last := math.Ceil(exp + v.leeway.Seconds()) // at most some decades ahead, see times.check
	next := denial{token: q.Digest, asked: a.At, known: a.At.Add(took), until: time.Unix(int64(last), 0)}
	d := &v.denials
	d.mu.Lock()
	defer d.mu.Unlock()
	if old, ok := d.bySigned[signed]; ok {
		next.others = old.others || old.token != next.token
		if next.others == old.others && !next.asked.After(old.asked) {
			return // the same answer again
		}
		next.asked = later(old.asked, next.asked)
		next.known = later(old.known, next.known)
	} else {
		d.makeRoom(v.now())
		d.added.Add(1)
	}
	next.number = d.number.Add(1)
	d.bySigned[signed] = next
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// makeRoom makes room for one denial; mu is held.
func (d *denials) makeRoom(now time.Time) {
	if len(d.bySigned) < d.limit {
		return
	}
	var ends []time.Time
	for signed, old := range d.bySigned {
		if now.Before(old.until) {
			ends = append(ends, old.until)
		} else {
			delete(d.bySigned, signed)
		}
	}
	over := len(ends) - d.limit + d.limit/16 + 1 // some more, so that this is not done for every denial
	if over <= 0 {
		return
	}
	slices.SortFunc(ends, time.Time.Compare)
	end := ends[over-1]
	for signed, old := range d.bySigned {
		if !old.until.After(end) {
			delete(d.bySigned, signed)
		}
	}
	d.overflow = later(d.overflow, end)
}

// overrules reports whether a token was denied at the time of an answer that it
// is active, or later, so that the answer does not count. An answer that was
// asked for after that lifts the denial of the token that it is about. began is
// the number of denials when the call for the answer began.
func (v *Verifier) overrules(g *grant, q *Query, began uint64) bool {
	d := &v.denials
	number := d.number.Load()
	if g.cleared.Load() == number {
		return false
	}
	signed := v.signedDigest(q.Token)
	d.mu.Lock()
	defer d.mu.Unlock()
	if found, ok := d.bySigned[signed]; ok {
		// The clock may stand still between two questions.
		same := began >= found.number && (q.Fresh || g.answer.At.Equal(found.asked))
		if !same && !g.answer.At.After(found.known) {
			return true
		}
		if !found.others && found.token == q.Digest {
			delete(d.bySigned, signed)
		}
	}
	g.cleared.Store(number)
	return false
}
