package jwks

import "github.com/bearerkit/bearerkit/internal/discovery"

// What tests outside of the package see of its inside.
var (
	Lifetime      = lifetime
	RetryAfter    = retryAfter
	WellKnown     = discovery.WellKnown
	CheckRedirect = checkRedirect
)

// ParseMetadata returns the jwks_uri of a metadata document.
func ParseMetadata(data []byte, issuer string, insecureHTTP bool) (string, error) {
	return parseMetadata(data, issuer, insecureHTTP)
}
