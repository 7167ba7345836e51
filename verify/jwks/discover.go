package jwks

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"

	"github.com/bearerkit/bearerkit/internal/strictjson"
)

// metadata is what the kit uses of an authorization server's metadata (RFC 8414
// section 2, OpenID Connect Discovery 1.0 section 3).
type metadata struct {
	jwksURI string
}

// maxURL is the longest URL that is taken from metadata, in bytes.
const maxURL = 2048

// parseMetadata reads a metadata document of the issuer, strictly. The issuer
// in it must be the configured one to the byte (RFC 8414 section 3.3): else the
// document is somebody else's.
func parseMetadata(data []byte, issuer string, insecureHTTP bool) (metadata, error) {
	var m metadata
	var iss, uri strictjson.Value
	err := strictjson.Object(string(data), func(name string, value strictjson.Value) {
		switch name {
		case "issuer":
			iss = value
		case "jwks_uri":
			uri = value
		}
	})
	switch {
	case err != nil:
		return m, fmt.Errorf("no metadata: %w", err)
	case iss == "":
		return m, errors.New("no metadata: no issuer in it")
	case !iss.Is(issuer):
		return m, errors.New("the issuer in it is not the configured one")
	case uri == "":
		return m, errors.New("no jwks_uri in it")
	}
	s, ok := uri.Text()
	if !ok {
		return m, errors.New("jwks_uri is not a string")
	}
	if problem := checkJWKSURI(s, issuer, insecureHTTP); problem != "" {
		return m, errors.New("jwks_uri " + problem)
	}
	m.jwksURI = s
	return m, nil
}

// checkJWKSURI says what is wrong with a jwks_uri. Another origin than the
// issuer's is fine over https; http would let anybody on the way replace the
// keys, so that it is for development on one machine.
func checkJWKSURI(s, issuer string, insecureHTTP bool) string {
	if len(s) > maxURL {
		return "is too long"
	}
	u, problem := checkURL(s)
	if problem != "" {
		return problem
	}
	if u.Scheme == "http" && !insecureHTTP {
		is, err := url.Parse(issuer)
		if err != nil || !isLoopback(is) || !isLoopback(u) {
			return "is not https"
		}
	}
	return ""
}

// checkURL says what is wrong with a URL to fetch from, apart from http.
func checkURL(s string) (*url.URL, string) {
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return nil, "is not a URL"
	case u.Scheme != "https" && u.Scheme != "http":
		return nil, "is not an https URL"
	case u.Hostname() == "" || u.Opaque != "":
		return nil, "has no host"
	case u.User != nil:
		return nil, "has user information"
	case u.Fragment != "" || strings.Contains(s, "#"):
		return nil, "has a fragment"
	}
	return u, ""
}

// isLoopback reports whether a URL's host is this machine.
func isLoopback(u *url.URL) bool {
	host := u.Hostname()
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// wellKnown returns where an issuer's metadata may be: first as OpenID Connect
// Discovery 1.0 section 4 has it, appended to the issuer less its last slash,
// then as RFC 8414 section 3.1, between host and path.
func wellKnown(issuer string) []string {
	u, err := url.Parse(issuer)
	if err != nil {
		return nil
	}
	origin := u.Scheme + "://" + u.Host
	path := strings.TrimSuffix(u.EscapedPath(), "/")
	return []string{
		origin + path + "/.well-known/openid-configuration",
		origin + "/.well-known/oauth-authorization-server" + path,
	}
}
