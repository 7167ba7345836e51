package middleware

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/bearerkit/bearerkit/verify"
)

// Header is a header field whose whole value is the token, as proxies set it:
// Cf-Access-Jwt-Assertion of Cloudflare Access, X-Goog-Iap-Jwt-Assertion of
// Google's Identity-Aware Proxy, X-Forwarded-Access-Token of oauth2-proxy.
//
// The token is verified like any other, so it cannot be forged, but anyone can
// set the field. Make sure that the proxy removes the field from clients'
// requests, also under names that differ in underscores, and that the service can
// be reached only through the proxy: otherwise a client can choose which of its
// tokens counts, and avoid whatever else the proxy checks.
func Header(name string) CredentialSource {
	checkFieldName("Header", name)
	name = http.CanonicalHeaderKey(name)
	switch name {
	case "Authorization":
		panic("middleware: Header of Authorization, which has a scheme before its token: use AuthorizationHeader")
	case "Cookie":
		panic("middleware: Header of Cookie, which is a list: use Cookie")
	case "Host":
		panic("middleware: Header of Host, which is not among the fields of an http.Request")
	}
	place := "the header " + name
	return CredentialSource{name: place, read: func(r *http.Request, _ []string) (found, error) {
		return only(r.Header[name], place)
	}}
}

// WebSocketProtocol is the subprotocol with the given prefix that the client of a
// WebSocket offers: what follows the prefix is the token. Browsers cannot set
// headers for a WebSocket, but they can offer subprotocols (RFC 6455 section
// 4.1):
//
//	new WebSocket(url, ["orders.v1", "bearer." + token])
//
// Subprotocols are compared with the prefix in exact case, in all fields of
// Sec-WebSocket-Protocol; two with the prefix make the request malformed. Tokens
// with characters that a subprotocol cannot have, a slash or an equals sign, have
// to be encoded, and are for [NewCredentialSource].
//
// The handler has to accept another of the subprotocols, "orders.v1" above:
// browsers close a connection for which none was accepted, and accepting the one
// with the token would send it back. WebSockets are not subject to CORS, but a
// page of another origin does not know the token.
func WebSocketProtocol(prefix string) CredentialSource {
	checkFieldName("WebSocketProtocol", prefix)
	const place = "the WebSocket protocols"
	return CredentialSource{name: place, read: func(r *http.Request, _ []string) (found, error) {
		var values []string
		for _, field := range r.Header["Sec-Websocket-Protocol"] {
			for protocol := range strings.SplitSeq(field, ",") {
				if token, ok := strings.CutPrefix(strings.Trim(protocol, " \t"), prefix); ok {
					values = append(values, token)
				}
			}
		}
		return only(values, place)
	}}
}

// FirstOf is the first of several places that has a token; the places after it are
// not looked at. It is for clients that send more than one token, such as browsers
// that add a cookie to each request: give the Authorization header first. A place
// with malformed credentials ends the search.
func FirstOf(sources ...CredentialSource) CredentialSource {
	if len(sources) == 0 || slices.ContainsFunc(sources, func(s CredentialSource) bool { return s.read == nil }) {
		panic("middleware: FirstOf needs sources, all of them made by a function of this package")
	}
	sources = slices.Clone(sources)
	var all CredentialSource
	for i, s := range sources {
		if i > 0 {
			all.name += " or "
		}
		all.name += s.name
		all.methods = append(all.methods, s.methods...)
	}
	all.hint = func(r *http.Request, schemes []string) string {
		for _, s := range sources {
			if s.hint == nil {
				continue
			}
			if mistake := s.hint(r, schemes); mistake != "" {
				return mistake
			}
		}
		return ""
	}
	all.read = func(r *http.Request, schemes []string) (has found, err error) {
		for _, s := range sources {
			if has, err = s.read(r, schemes); has.token != "" || err != nil {
				break
			}
		}
		return has, err
	}
	return all
}

// NewCredentialSource makes a source of a function that finds the token in a
// request. The function returns the token alone, or "" if there are no
// credentials in its place. If they are malformed, it returns an error that wraps
// [verify.ErrSyntax], and the answer is 400; any other error, of a session store,
// say, is answered with 503 and logged at level Error.
//
// The name says in an error_description where the place is, as in "the session
// cookie": printable ASCII without quotes or backslashes. The function must be
// safe for concurrent use. It is called for each guard that a request comes to,
// must not change the request, and must leave its body as it is.
func NewCredentialSource(name string, read func(*http.Request) (token string, err error)) CredentialSource {
	if read == nil || name == "" || !isQuotable(name) {
		panic("middleware: NewCredentialSource needs a function and a name in printable ASCII without quotes or backslashes")
	}
	return CredentialSource{name: name, read: func(r *http.Request, _ []string) (found, error) {
		token, err := read(r)
		switch {
		case err == nil:
			return found{token: token}, nil
		case errors.Is(err, verify.ErrSyntax):
			return found{}, malformed("malformed credentials in " + name)
		}
		return found{}, fmt.Errorf("credentials in %s: %w", name, err)
	}}
}

// checkFieldName panics if a name is not a token of RFC 9110 section 5.6.2, as the
// names of fields, cookies and subprotocols are: no request could have it.
func checkFieldName(maker, name string) {
	if !isToken(name) {
		panic("middleware: " + maker + " of " + strconv.Quote(name) + ", which is not a token of RFC 9110 section 5.6.2")
	}
}
