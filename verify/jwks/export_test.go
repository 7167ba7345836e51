package jwks

// What tests outside of the package see of its inside.
var (
	Lifetime      = lifetime
	RetryAfter    = retryAfter
	WellKnown     = wellKnown
	CheckRedirect = checkRedirect
)

// ParseMetadata returns the jwks_uri of a metadata document.
func ParseMetadata(data []byte, issuer string, insecureHTTP bool) (string, error) {
	m, err := parseMetadata(data, issuer, insecureHTTP)
	return m.jwksURI, err
}
