package jwks

import (
	"time"

	"github.com/bearerkit/bearerkit/internal/upstream"
)

// What tests outside of the package see of its inside.
var (
	Lifetime      = lifetime
	RetryAfter    = retryAfter
	WellKnown     = upstream.WellKnown
	CheckRedirect = upstream.CheckRedirect
)

// ParseMetadata returns the jwks_uri of a metadata document.
func ParseMetadata(data []byte, issuer string, insecureHTTP bool) (string, error) {
	m, err := upstream.ParseMetadata(data, issuer, true)
	if err != nil {
		return "", err
	}
	return m.Endpoint("jwks_uri", issuer, insecureHTTP)
}

// SetClock replaces the clock of a source that has not started.
func SetClock(s *Source, now func() time.Time) { s.now = now }
