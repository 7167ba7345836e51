package dpop

import (
	"errors"
	"fmt"
	"strings"

	"github.com/bearerkit/bearerkit/verify"
)

// Origins are the URLs by which clients call a service. They are configured and
// not taken from requests: a service behind a proxy cannot see what its client
// has typed, and a Host or X-Forwarded-Host field that chose the origin would
// let a proof that was made for another service pass here.
type Origins struct {
	list []origin
}

// An origin is an http or https URL in normal form.
type origin struct {
	scheme    string // "https://" or "http://"
	authority string // host, and the port unless it is the scheme's own
	prefix    string // of the path, without the last slash
	text      string // all three
}

// NewOrigins reads the URLs by which clients call a service:
// "https://api.example.com", or "https://example.com/api" if a proxy takes "/api"
// off the path before the service sees it. An http URL must be on loopback,
// unless insecureHTTP is set. The error joins a [verify.Fault] for each URL that
// cannot be used, named "Origins[0]" and so on.
func NewOrigins(urls []string, insecureHTTP bool) (*Origins, error) {
	o := &Origins{}
	var faults []error
	fault := func(field, problem string) { faults = append(faults, &verify.Fault{Field: field, Problem: problem}) }
	if len(urls) == 0 {
		fault("Origins", "is required: what clients call this service, to compare a proof's htu with")
	}
	for i, s := range urls {
		one, problem := newOrigin(s, insecureHTTP)
		if problem != "" {
			fault(fmt.Sprintf("Origins[%d]", i), problem)
			continue
		}
		o.list = append(o.list, one)
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	return o, nil
}

func newOrigin(s string, insecureHTTP bool) (origin, string) {
	if strings.ContainsAny(s, "?#") {
		return origin{}, "has a query or a fragment"
	}
	scheme, rest, ok := cutScheme(s)
	if !ok {
		return origin{}, "is not an absolute http or https URL"
	}
	authority, path := cutAuthority(rest)
	if strings.Contains(authority, "@") {
		return origin{}, "has user information"
	}
	host, ok := appendAuthority(nil, scheme, authority)
	if !ok {
		return origin{}, "has no host, or one that is not valid"
	}
	prefix, ok := appendPath(nil, path)
	if !ok || hasDotSegment(string(prefix)) {
		return origin{}, "has a path that is not in normal form"
	}
	if scheme == "http://" && !insecureHTTP && !isLoopback(string(host)) {
		return origin{}, "is http on another host than this one"
	}
	one := origin{scheme: scheme, authority: string(host), prefix: strings.TrimSuffix(string(prefix), "/")}
	one.text = one.scheme + one.authority + one.prefix
	return one, ""
}

// Strings returns the origins in normal form.
func (o *Origins) Strings() []string {
	list := make([]string, len(o.list))
	for i, one := range o.list {
		list[i] = one.text
	}
	return list
}

// Match reports whether a proof's "htu" claim names the resource of a request
// (RFC 9449 section 4.3, point 9). Both are brought into the normal form of RFC
// 3986 sections 6.2.2 and 6.2.3; query and fragment do not count.
//
// The target is the request target as it was received, http.Request.RequestURI
// for instance, because routers change the URL of a request while they pass it
// on. The host is that of the request. If it is the authority of a configured
// origin, only such origins count, so that a proof for one of a service's names
// is not good at another; a host that is not known, as proxies send it, is
// ignored. It can never add an origin.
func (o *Origins) Match(htu, host, target string) bool {
	path, authority, ok := cutTarget(target)
	if !ok {
		return false
	}
	if authority != "" {
		host = authority // RFC 9112 section 3.2.2: the Host field then does not count
	}
	narrowed := o.narrows(host)
	if isPlain(path) {
		for i := range o.list {
			if one := &o.list[i]; len(htu) == len(one.text)+len(path) && htu[:len(one.text)] == one.text && htu[len(one.text):] == path {
				return !narrowed || one.isNamed(host)
			}
		}
	}
	var room, room2 [512]byte
	// Dot segments stay in the request and are removed from the claim, so that
	// such a request matches nothing: a client removes them before it sends, and
	// what a proxy or a router makes of them cannot be known.
	request, ok1 := appendPath(room[:0], path)
	claim, ok2 := appendURL(room2[:0], htu)
	if !ok1 || !ok2 {
		return false
	}
	for i := range o.list {
		one := &o.list[i]
		if len(claim) < len(one.text) || string(claim[:len(one.text)]) != one.text || narrowed && !one.isNamed(host) {
			continue
		}
		switch rest := claim[len(one.text):]; {
		case string(rest) == string(request):
			return true
		case len(rest) == 0 && len(request) == 1:
			// The proxy has taken the whole path: to the service, "/api" and
			// "/api/" are one resource. Without a prefix rest is "/" at least.
			return true
		}
	}
	return false
}

// narrows reports whether a host is the authority of one of the origins.
func (o *Origins) narrows(host string) bool {
	for i := range o.list {
		if o.list[i].isNamed(host) {
			return true
		}
	}
	return false
}

// isNamed reports whether a host is the authority of the origin.
func (one *origin) isNamed(host string) bool {
	if host == one.authority {
		return true
	}
	var room [256]byte
	authority, ok := appendAuthority(room[:0], one.scheme, host)
	return ok && string(authority) == one.authority
}

// cutTarget returns the path of a request target in origin form or absolute form
// (RFC 9112 section 3.2), and the authority if it has one. Other targets name no
// resource that a proof could be for.
func cutTarget(target string) (path, authority string, ok bool) {
	if i := strings.IndexByte(target, '?'); i >= 0 {
		target = target[:i]
	}
	if strings.HasPrefix(target, "/") {
		return target, "", true
	}
	_, rest, ok := cutScheme(target)
	if !ok {
		return "", "", false
	}
	authority, path = cutAuthority(rest)
	if path == "" {
		path = "/"
	}
	return path, authority, authority != ""
}
