package jwks

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	minLifetime     = time.Second     // below it, a set is fetched once a second
	maxLifetime     = time.Hour       // above it, a withdrawn key would live too long
	defaultLifetime = 5 * time.Minute // where the issuer says nothing to go by
)

// lifetime returns how long an answer may be used (RFC 9111 section 4.2), and
// whether the answer says so at all. Time that it has spent in caches on the
// way counts (section 5.1).
func lifetime(h http.Header, now time.Time) (d time.Duration, said bool) {
	fresh, said := advertised(h, now)
	if fresh <= 0 {
		return defaultLifetime, said
	}
	if age := h.Get("Age"); age != "" {
		if a, ok := deltaSeconds(age); ok {
			if a >= fresh {
				// A cache that serves what it should not: asking it
				// more often will not help.
				return min(max(fresh, minLifetime), defaultLifetime), true
			}
			fresh -= a
		}
	}
	return min(max(fresh, minLifetime), maxLifetime), true
}

// advertised returns the lifetime that the headers give, 0 or less if none.
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
				// Of several the shortest counts; one that is no number
				// is as good as stale (RFC 9111 section 4.2.1).
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
		from = date // the issuer's own clock, for the issuer's own date
	}
	return until.Sub(from), true
}

// deltaSeconds reads RFC 9111 section 1.2.2's number; one too large to be one
// means a very long time.
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

// retryAfter reads when the issuer wants to be asked again (RFC 9110 section
// 10.2.3); 0 if it does not say.
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
