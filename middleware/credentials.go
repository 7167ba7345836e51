package middleware

import (
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/bearerkit/bearerkit/verify"
)

// A CredentialSource is a place in a request where a token may be. The functions
// of this package make one for each place that is in use, and
// [NewCredentialSource] makes one for any other.
//
// A place without a token, or with an empty one, has no credentials. Tokens in
// two of the configured places, or two in one place, make the request malformed,
// even if they are equal (RFC 6750 section 2); [FirstOf] lets the order of the
// places decide instead.
type CredentialSource struct {
	// name is the place in the words of an error_description.
	name string
	// methods are the RFC 9728 section 2 names of the place, if it has any.
	methods []string
	// read returns the token, or "" if there are no credentials. An error that
	// wraps verify.ErrSyntax means that the request is malformed.
	read func(*http.Request) (token string, err error)
	// hint says why a request has no credentials in the place though something
	// is there, or returns "". It may be nil.
	hint func(*http.Request) string
}

// malformed is the error of a request whose credentials are malformed. It is a
// sentence for the error_description.
type malformed string

func (m malformed) Error() string { return string(m) }

func (m malformed) Is(target error) bool { return target == verify.ErrSyntax }

func severalIn(place string) error { return malformed("more than one token in " + place) }

// AuthorizationHeader is the Authorization header with the Bearer scheme, whose
// name is case-insensitive (RFC 6750 section 2.1, RFC 9110 section 11.1). It is
// the default, and the only place that every client can use. Credentials of
// another scheme are left to others.
func AuthorizationHeader() CredentialSource {
	const place = "the Authorization header"
	read := func(r *http.Request) (string, error) {
		values := r.Header["Authorization"]
		if len(values) == 0 {
			return "", nil
		}
		if len(values) > 1 {
			// The field is a single one (RFC 9110 section 5.3), and another
			// reader of the request may take the other value.
			return "", malformed("more than one Authorization header")
		}
		if !hasBearer(values[0]) {
			return "", nil
		}
		switch rest := values[0][len(bearer):]; {
		case len(rest) > 1 && rest[0] == ' ' && strings.Trim(rest, " ") != "":
			// One space; the verifier refuses what is not a b64token, a second
			// space included.
			return rest[1:], nil
		case rest != "" && isTokenChar(rest[0]):
			return "", nil // a scheme whose name starts alike
		default:
			return "", afterBearer(rest)
		}
	}
	return CredentialSource{name: place, methods: []string{"header"}, read: read, hint: authorizationMistake}
}

// Cookie is a cookie of the given name. A service that takes tokens from cookies
// is open to cross-site request forgery unless something prevents it, such as
// [http.CrossOriginProtection].
func Cookie(name string) CredentialSource {
	checkFieldName("Cookie", name)
	place := "the cookie " + name
	return CredentialSource{name: place, read: func(r *http.Request) (string, error) {
		var values []string
		for _, c := range r.CookiesNamed(name) {
			values = append(values, c.Value)
		}
		return only(values, place)
	}}
}

// FormParameter is the access_token parameter of a form-encoded request body
// (RFC 6750 section 2.2). It reads the body of requests with a form: handlers
// find the form where http.Request.ParseForm puts it, and no body.
func FormParameter() CredentialSource {
	const place = "the form"
	return CredentialSource{name: place, methods: []string{"body"}, read: func(r *http.Request) (string, error) {
		mediaType, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
		if r.Method == http.MethodGet || r.Method == http.MethodHead ||
			!strings.EqualFold(strings.TrimSpace(mediaType), "application/x-www-form-urlencoded") {
			return "", nil
		}
		// The body alone: what is wrong with the query is between the client
		// and the handler, whose own ParseForm goes on from here.
		body := r.WithContext(r.Context())
		body.URL = nil
		err := body.ParseForm()
		r.PostForm = body.PostForm
		if err != nil {
			return "", malformed("the form cannot be read")
		}
		return only(r.PostForm["access_token"], place)
	}}
}

// InsecureQueryParameter is the access_token parameter of the query (RFC 6750
// section 2.3). It is insecure because URLs end up in logs, histories and
// Referer headers; RFC 9700 section 4.3.2 forbids it. For browsers' WebSockets,
// which cannot set headers, there is [WebSocketProtocol].
func InsecureQueryParameter() CredentialSource {
	const place = "the query"
	return CredentialSource{name: place, methods: []string{"query"}, read: func(r *http.Request) (string, error) {
		if !strings.Contains(r.URL.RawQuery, "access_token") && !strings.Contains(r.URL.RawQuery, "%") {
			return "", nil // the usual case, without parsing
		}
		values, err := url.ParseQuery(r.URL.RawQuery)
		if err != nil && mayHideToken(r.URL.RawQuery) {
			return "", malformed("the query cannot be read")
		}
		return only(values["access_token"], place)
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

// only returns the one value that is not empty, or "" if there is none. An empty
// parameter counts as omitted (RFC 6749 section 3.1), and so does what a logout
// leaves of a cookie.
func only(values []string, place string) (token string, err error) {
	for _, v := range values {
		switch {
		case v == "":
		case token != "":
			return "", severalIn(place)
		default:
			token = v
		}
	}
	return token, nil
}

// isTokenChar reports whether c may be part of a token of RFC 9110 section
// 5.6.2, such as the name of a scheme or of a field.
func isTokenChar(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' ||
		strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}

// credentials finds the request's one token; it is "" if there is none.
func (a *Auth) credentials(r *http.Request) (token string, err error) {
	var place string
	for _, s := range a.config.Credentials {
		switch t, err := s.read(r); {
		case err != nil:
			return "", err
		case t == "":
		case token != "":
			return "", malformed("tokens in two places: " + place + " and " + s.name)
		default:
			token, place = t, s.name
		}
	}
	return token, nil
}

// badCredentials is the failure of a request whose credentials could not be
// read.
func badCredentials(err error) *failure {
	var m malformed
	switch {
	case errors.As(err, &m):
		return malformedRequest(string(m))
	case errors.Is(err, verify.ErrSyntax):
		return malformedRequest(verify.ErrSyntax.Description())
	}
	return credentialsUnavailable.with(err)
}
