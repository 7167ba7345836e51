package upstream

import (
	"net/netip"
	"net/url"
	"strings"
)

// CheckURL parses a URL that is to be requested, or returns what is wrong with its
// form. [Secure] reports whether it may be requested over http.
func CheckURL(s string) (u *url.URL, problem string) {
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

// Secure reports whether a URL may be requested on behalf of an issuer. An https URL
// may have any host. With http, anyone on the network path can impersonate the
// server, so it is for development on one machine: both the configured issuer and
// the URL must be on loopback, unless insecureHTTP is set.
func Secure(u *url.URL, issuer string, insecureHTTP bool) bool {
	if u.Scheme == "https" || insecureHTTP {
		return true
	}
	i, err := url.Parse(issuer)
	return err == nil && IsLoopback(i) && IsLoopback(u)
}

// IsLoopback reports whether a URL's host is this machine: localhost, in any case, or
// a loopback address. Any other name may resolve to another machine tomorrow.
func IsLoopback(u *url.URL) bool {
	host := u.Hostname()
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}
