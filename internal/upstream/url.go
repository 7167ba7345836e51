package upstream

import (
	"net/netip"
	"net/url"
	"strings"
)

// CheckURL says what is wrong with the form of a URL that is to be asked;
// [Secure] says whether one may be asked over http.
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

// Secure reports whether a URL may be asked on behalf of an issuer. Another
// origin than the issuer's is fine over https. Plain http would let anybody on
// the way play the server, so it is for development on one machine: the issuer
// that is configured and the URL are both on loopback, or insecureHTTP is set.
func Secure(u *url.URL, issuer string, insecureHTTP bool) bool {
	if u.Scheme == "https" || insecureHTTP {
		return true
	}
	i, err := url.Parse(issuer)
	return err == nil && IsLoopback(i) && IsLoopback(u)
}

// IsLoopback reports whether a URL's host is this machine, by the name
// localhost in any case or by a loopback address. Other names may resolve to
// this machine today and to another one tomorrow.
func IsLoopback(u *url.URL) bool {
	host := u.Hostname()
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}
