package jose

import (
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// maxHeaders bounds how many headers are remembered: an issuer has a few
	// keys and one way to write a header.
	maxHeaders = 32
	// maxHeaderSegment is the longest header that is, in bytes as encoded.
	maxHeaderSegment = 512
	// headersLifetime is how soon a full memory is emptied. An issuer that puts
	// something new into every header gains nothing and costs little.
	headersLifetime = time.Minute
)

// Headers remembers the headers of JWSs that have verified, by their encoded text:
// what was checked once for its bytes need not be checked again. It is replaced as
// a whole when it learns, so that readers need no lock.
type Headers struct {
	known atomic.Pointer[map[string]*Header]
	mu    sync.Mutex
	since time.Time
}

func (h *Headers) get(segment string) *Header {
	if h == nil {
		return nil
	}
	if m := h.known.Load(); m != nil {
		return (*m)[segment]
	}
	return nil
}

// Len returns how many headers are remembered.
func (h *Headers) Len() int {
	if m := h.known.Load(); m != nil {
		return len(*m)
	}
	return 0
}

// Learn remembers the header of a JWS that has verified.
func (h *Headers) Learn(j *JWS, now time.Time) {
	if h.get(j.segment) != nil || len(j.segment) > maxHeaderSegment || !h.mu.TryLock() {
		return
	}
	defer h.mu.Unlock()
	next := map[string]*Header{}
	if old := h.known.Load(); old != nil {
		if len(*old) < maxHeaders {
			for s, k := range *old {
				next[s] = k
			}
		} else if now.Sub(h.since) < headersLifetime {
			return
		}
	}
	if len(next) == 0 {
		h.since = now
	}
	// A copy: the token would be kept in memory by its part.
	k := *j.Header
	k.KeyID = strings.Clone(k.KeyID)
	next[strings.Clone(j.segment)] = &k
	h.known.Store(&next)
}
