// Package discovery has what finding an authorization server's endpoints takes:
// where its metadata is (OpenID Connect Discovery 1.0 section 4, RFC 8414
// section 3), what of it may be believed, and which URLs may be asked.
package discovery

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"

	"github.com/bearerkit/bearerkit/internal/strictjson"
)

// maxURL is the longest URL that is taken from metadata, in bytes.
const maxURL = 2048

// WellKnown returns where an issuer's metadata may be: first as OpenID Connect
// Discovery 1.0 section 4 has it, appended to the issuer less its last slash,
// then as RFC 8414 section 3.1, between host and path.
func WellKnown(issuer string) []string {
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

// Metadata are the members of a metadata document.
type Metadata map[string]strictjson.Value

// Parse reads a metadata document of the issuer, strictly. The issuer in it must
// be the configured one to the byte (RFC 8414 section 3.3): else the document is
// somebody else's.
func Parse(data []byte, issuer string) (Metadata, error) {
	m := Metadata{}
	err := strictjson.Object(string(data), func(name string, value strictjson.Value) { m[name] = value })
	switch {
	case err != nil:
		return nil, fmt.Errorf("no metadata: %w", err)
	case m["issuer"] == "":
		return nil, errors.New("no metadata: no issuer in it")
	case !m["issuer"].Is(issuer):
		return nil, errors.New("the issuer in it is not the configured one")
	}
	return m, nil
}

// Endpoint returns the URL of an endpoint. Another origin than the issuer's is
// fine over https; http would let anybody on the way play the endpoint, so that
// it is for development on one machine.
func (m Metadata) Endpoint(name, issuer string, insecureHTTP bool) (string, error) {
	if m[name] == "" {
		return "", fmt.Errorf("no %s in it", name)
	}
	s, ok := m[name].Text()
	if !ok {
		return "", fmt.Errorf("%s is not a string", name)
	}
	if len(s) > maxURL {
		return "", fmt.Errorf("%s is too long", name)
	}
	u, problem := CheckURL(s)
	if problem != "" {
		return "", fmt.Errorf("%s %s", name, problem)
	}
	if u.Scheme == "http" && !insecureHTTP {
		is, err := url.Parse(issuer)
		if err != nil || !IsLoopback(is) || !IsLoopback(u) {
			return "", fmt.Errorf("%s is not https", name)
		}
	}
	return s, nil
}

// CheckURL says what is wrong with a URL to ask, apart from http.
func CheckURL(s string) (*url.URL, string) {
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

// IsLoopback reports whether a URL's host is this machine.
func IsLoopback(u *url.URL) bool {
	host := u.Hostname()
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
