package jwks

import "github.com/bearerkit/bearerkit/internal/discovery"

// parseMetadata reads where the issuer's metadata says that its keys are.
func parseMetadata(data []byte, issuer string, insecureHTTP bool) (jwksURI string, err error) {
	m, err := discovery.Parse(data, issuer)
	if err != nil {
		return "", err
	}
	return m.Endpoint("jwks_uri", issuer, insecureHTTP)
}
