package jwks

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	minLifetime     = time.Second     // with less, the issuer would be asked too often
	maxLifetime     = time.Hour       // with more, withdrawn keys would be used too long
	defaultLifetime = 5 * time.Minute // without a positive lifetime in the header
)

// lifetime returns how long an answer may be used (RFC 9111 section 4.2), less the
// time it has spent in caches (section 5.1), and whether the header says anything
// about it.
func lifetime(h http.Header, now time.Time) (d time.Duration, said bool) {
	fresh, said := advertised(h, now)
	if fresh <= 0 {
		return defaultLifetime, said
	}
	if age := h.Get("Age"); age != "" {
		if a, ok := deltaSeconds(age); ok {
			if a >= fresh {
				// A cache served a stale answer: asking it more often
				// will not help.
				return min(max(fresh, minLifetime), defaultLifetime), true
			}
			fresh -= a
		}
	}
	return min(max(fresh, minLifetime), maxLifetime), true
}

// advertised returns the lifetime according to the header; 0 or less means none.
func advertised(h http.Header, now time.Time) (d time.Duration, said bool) {
	maxAge, hasMaxAge := time.Duration(0), false
	for _, line := range h.Values("Cache-Control") {
		for part := range strings.SplitSeq(line, ",") {
			name, value, _ := strings.Cut(part, "=")
			switch strings.ToLower(strings.TrimSpace(name)) {
			case "no-store", "no-cache":
				return 0, true
			case "max-age":
				value = strings.TrimSpace(value)
				if len(value) >= 2 && value[0] == '"' && value[len(value)-1] == '"' {
					value = value[1 : len(value)-1]
				}
				// The shortest of several counts; one that is not a number
				// means stale (RFC 9111 section 4.2.1).
				if d, _ := deltaSeconds(value); !hasMaxAge || d < maxAge {
					maxAge, hasMaxAge = d, true
				}
			}
		}
	}
	if hasMaxAge {
		return maxAge, true
	}
	expires := h.Get("Expires")
	if expires == "" {
		return 0, false
	}
	until, err := http.ParseTime(expires)
	if err != nil {
		return 0, true
	}
	from := now
	if date, err := http.ParseTime(h.Get("Date")); err == nil {
		from = date // Expires is by the issuer's clock, and so is Date
	}
	return until.Sub(from), true
}

// deltaSeconds reads a number of seconds (RFC 9111 section 1.2.2). One that is too
// large means a very long time.
func deltaSeconds(s string) (time.Duration, bool) {
	s = strings.TrimSpace(s)
	if s == "" || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 32)
	if err != nil {
		n = 1<<31 - 1
	}
	return time.Duration(n) * time.Second, true
}

// retryAfter returns the pause that Retry-After asks for (RFC 9110 section 10.2.3), 0
// if there is none.
func retryAfter(h http.Header, now time.Time) time.Duration {
	s := h.Get("Retry-After")
	if d, ok := deltaSeconds(s); ok {
		return d
	}
	if t, err := http.ParseTime(s); err == nil {
		return max(t.Sub(now), 0)
	}
	return 0
}
