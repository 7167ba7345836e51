package middleware

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
)

// A CredentialSource is a place in a request where a token may be.
type CredentialSource struct {
	// method is the RFC 9728 section 2 name of the place, if it has one.
	method string
	read   func(*http.Request) (token string, found presence)
}

type presence int

const (
	absent presence = iota
	present
	malformed // there are credentials, but more than one or with broken syntax
)

// AuthorizationHeader is the Authorization header with the Bearer scheme, whose
// name is case-insensitive (RFC 6750 section 2.1, RFC 9110 section 11.1). It is
// the default, and the only place that every client can use.
func AuthorizationHeader() CredentialSource {
	return CredentialSource{"header", func(r *http.Request) (string, presence) {
		values := r.Header["Authorization"]
		if len(values) == 0 {
			return "", absent
		}
		if len(values) > 1 {
			// The field is a single one (RFC 9110 section 5.3), and whoever
			// else reads the request may take the other value.
			return "", malformed
		}
		const scheme = "bearer"
		v := values[0]
		if len(v) < len(scheme) || !strings.EqualFold(v[:len(scheme)], scheme) {
			return "", absent
		}
		switch rest := v[len(scheme):]; {
		case rest == "":
			return "", malformed
		case rest[0] == ' ':
			// One space; the verifier refuses what is no b64token, a second
			// space included.
			return rest[1:], present
		case isTokenChar(rest[0]):
			return "", absent // a scheme whose name starts alike
		}
		return "", malformed
	}}
}

// Cookie is a cookie of the given name. A service that takes tokens from
// cookies is open to cross-site request forgery, unless something prevents it:
// http.CrossOriginProtection, for one.
func Cookie(name string) CredentialSource {
	return CredentialSource{"", func(r *http.Request) (string, presence) {
		switch c := r.CookiesNamed(name); len(c) {
		case 0:
			return "", absent
		case 1:
			return c[0].Value, present
		}
		return "", malformed
	}}
}

// FormParameter is the access_token parameter of a form-encoded request body
// (RFC 6750 section 2.2). It reads the body of requests with a form: handlers
// find the form where http.Request.ParseForm puts it, and no body.
func FormParameter() CredentialSource {
	return CredentialSource{"body", func(r *http.Request) (string, presence) {
		mediaType, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
		if r.Method == http.MethodGet || r.Method == http.MethodHead ||
			!strings.EqualFold(strings.TrimSpace(mediaType), "application/x-www-form-urlencoded") {
			return "", absent
		}
		// The body alone: what is wrong with the query is between the client
		// and the handler, whose own ParseForm goes on from here.
		body := r.WithContext(r.Context())
		body.URL = nil
		err := body.ParseForm()
		r.PostForm = body.PostForm
		if err != nil {
			return "", malformed
		}
		return parameter(r.PostForm["access_token"])
	}}
}

// InsecureQueryParameter is the access_token parameter of the query (RFC 6750
// section 2.3). It is insecure because URLs end up in logs, histories and
// Referer headers; RFC 9700 section 4.3.2 forbids it. The WebSocket interface
// of browsers, which cannot set headers, is what it may be needed for.
func InsecureQueryParameter() CredentialSource {
	return CredentialSource{"query", func(r *http.Request) (string, presence) {
		if !strings.Contains(r.URL.RawQuery, "access_token") && !strings.Contains(r.URL.RawQuery, "%") {
			return "", absent // the usual case, without parsing
		}
		values, err := url.ParseQuery(r.URL.RawQuery)
		if err != nil && mayHideToken(r.URL.RawQuery) {
			return "", malformed
		}
		return parameter(values["access_token"])
	}}
}

// mayHideToken reports whether somebody else who reads the query, one that
// cannot be parsed, may find an access_token where it is broken.
func mayHideToken(query string) bool {
	broken := false
	for pair := range strings.SplitSeq(query, "&") {
		if _, err := url.ParseQuery(pair); err == nil {
			continue
		}
		broken = true
		readable := escape.ReplaceAllStringFunc(pair, func(s string) string {
			s, _ = url.QueryUnescape(s)
			return s
		})
		if strings.Contains(readable, "access_token") {
			return true
		}
	}
	return !broken // too long a query, of which nothing was parsed
}

var escape = regexp.MustCompile("%[0-9A-Fa-f]{2}")

func parameter(values []string) (string, presence) {
	switch len(values) {
	case 0:
		return "", absent
	case 1:
		return values[0], present
	}
	return "", malformed
}

// isTokenChar reports whether c may be part of a scheme's name (RFC 9110
// section 5.6.2).
func isTokenChar(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' ||
		strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}

// credentials finds the request's one token.
func (a *Auth) credentials(r *http.Request) (token string, found presence) {
	for _, s := range a.config.Credentials {
		t, f := s.read(r)
		switch {
		case f == absent:
		case f == malformed || found == present:
			return "", malformed
		default:
			token, found = t, present
		}
	}
	return token, found
}
