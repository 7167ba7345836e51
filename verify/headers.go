package verify

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
	// headersLifetime is how soon a full memory is emptied. An issuer that
	// puts something new into every header gains nothing and costs little.
	headersLifetime = time.Minute
)

// headers remembers the headers of tokens that have verified, by their encoded
// text: what was checked once for its bytes need not be checked again. It is
// replaced as a whole when it learns, so that readers need no lock.
type headers struct {
	known atomic.Pointer[map[string]*header]
	mu    sync.Mutex
	since time.Time
}

func (h *headers) get(segment string) *header {
	if m := h.known.Load(); m != nil {
		return (*m)[segment]
	}
	return nil
}

// learn remembers the header of a token that has verified.
func (h *headers) learn(p *parsed, now time.Time) {
	if h.get(p.segment) != nil || len(p.segment) > maxHeaderSegment || !h.mu.TryLock() {
		return
	}
	defer h.mu.Unlock()
	next := map[string]*header{}
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
	k := *p.header
	k.kid = strings.Clone(k.kid)
	next[strings.Clone(p.segment)] = &k
	h.known.Store(&next)
}
