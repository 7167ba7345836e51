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
// even if they are equal (RFC 6750 section 2), unless [FirstOf] gives the places
// an order.
type CredentialSource struct {
	// name is the place as an error_description calls it.
	name string
	// methods are the RFC 9728 section 2 names of the place, if it has any.
	methods []string
	// read returns what is in the place; the zero value if there are no
	// credentials. schemes are those that the Authorization header may have. An
	// error that wraps verify.ErrSyntax means that the request is malformed.
	read func(r *http.Request, schemes []string) (found, error)
	// hint says why a request has no credentials in the place though something
	// is there, or returns "". It may be nil.
	hint func(r *http.Request, schemes []string) string
}

// found is what a place in a request has: a token, or credentials of another
// kind.
type found struct {
	token  string
	scheme string // that came before the token; empty in places without schemes
	inURL  bool
}

// malformed is the error of a request with malformed credentials, as a sentence
// for the error_description.
type malformed string

func (m malformed) Error() string { return string(m) }

func (m malformed) Is(target error) bool { return target == verify.ErrSyntax }

func severalIn(place string) error { return malformed("more than one token in " + place) }

// AuthorizationHeader is the Authorization header with the Bearer scheme, whose
// name is case-insensitive (RFC 6750 section 2.1, RFC 9110 section 11.1), or with
// a scheme of the verifier's bindings, such as DPoP. It is the default, and the
// only place that every client can use. Credentials of other schemes are left to
// others.
func AuthorizationHeader() CredentialSource {
	return CredentialSource{
		name:    "the Authorization header",
		methods: []string{"header"},
		read: func(r *http.Request, schemes []string) (found, error) {
			scheme, token, err := Authorization(r.Header["Authorization"], schemes...)
			return found{token: token, scheme: scheme}, err
		},
		hint: authorizationMistake,
	}
}

// Authorization reads the Authorization field of a request, or what stands for it
// in a transport that is not HTTP, for the [verify.Request] of [Guard.Admit]. The
// values are those of the field, the schemes the ones that count: Bearer if none
// are given. It returns the scheme as it is spelled in that list, and the token;
// both are empty if there is no such field, or one with another scheme. If the
// field is malformed, the error wraps [verify.ErrSyntax] and there is no token;
// the scheme is that of the field, if it could be read. A Request without a token
// is refused with 400.
//
// The token is what follows the scheme and one space. The verifier refuses what
// is not a token in it, such as a second space.
func Authorization(values []string, schemes ...string) (scheme, token string, err error) {
	if len(values) == 0 {
		return "", "", nil
	}
	if len(values) > 1 {
		// The field is a single one (RFC 9110 section 5.3), and another
		// reader of the request may take the other value.
		return "", "", malformed("more than one Authorization header")
	}
	if len(schemes) == 0 {
		schemes = bearerAlone
	}
	for _, scheme := range schemes {
		if !hasScheme(values[0], scheme) {
			continue
		}
		rest := values[0][len(scheme):]
		if len(rest) > 1 && rest[0] == ' ' && strings.Trim(rest, " ") != "" {
			return scheme, rest[1:], nil
		}
		return scheme, "", schemeMistake(scheme, rest)
	}
	return "", "", nil
}

var bearerAlone = []string{schemeBearer}

// hasScheme reports whether the value of an Authorization field begins with the
// scheme, in any case, and not with another one whose name starts alike.
func hasScheme(value, scheme string) bool {
	return startsWith(value, scheme) && (len(value) == len(scheme) || !isTokenChar(value[len(scheme)]))
}

// startsWith reports whether s begins with the prefix, in any case.
func startsWith(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

// Cookie is a cookie of the given name. A service that takes tokens from cookies
// is open to cross-site request forgery unless something prevents it, such as
// [http.CrossOriginProtection].
func Cookie(name string) CredentialSource {
	checkFieldName("Cookie", name)
	place := "the cookie " + name
	return CredentialSource{name: place, read: func(r *http.Request, _ []string) (found, error) {
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
	return CredentialSource{name: place, methods: []string{"body"}, read: func(r *http.Request, _ []string) (found, error) {
		mediaType, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
		if r.Method == http.MethodGet || r.Method == http.MethodHead ||
			!strings.EqualFold(strings.TrimSpace(mediaType), "application/x-www-form-urlencoded") {
			return found{}, nil
		}
		// The body alone: what is wrong with the query is between the client
		// and the handler, whose own ParseForm goes on from here.
		body := r.WithContext(r.Context())
		body.URL = nil
		err := body.ParseForm()
		r.PostForm = body.PostForm
		if err != nil {
			return found{}, malformed("the form cannot be read")
		}
		return only(r.PostForm["access_token"], place)
	}}
}

// InsecureQueryParameter is the access_token parameter of the query (RFC 6750
// section 2.3). It is insecure because URLs end up in logs, histories and
// Referer headers; RFC 9700 section 4.3.2 forbids it. For browsers' WebSockets,
// which cannot set headers, there is [WebSocketProtocol].
//
// [Guard.Serve] marks the answers to such requests with Cache-Control: private,
// which a handler can replace.
func InsecureQueryParameter() CredentialSource {
	const place = "the query"
	return CredentialSource{name: place, methods: []string{"query"}, read: func(r *http.Request, _ []string) (found, error) {
		if !strings.Contains(r.URL.RawQuery, "access_token") && !strings.Contains(r.URL.RawQuery, "%") {
			return found{}, nil // the usual case, without parsing
		}
		values, err := url.ParseQuery(r.URL.RawQuery)
		if err != nil && mayHideToken(r.URL.RawQuery) {
			return found{}, malformed("the query cannot be read")
		}
		has, err := only(values["access_token"], place)
		has.inURL = has.token != ""
		return has, err
	}}
}

// mayHideToken reports whether another reader of a query that cannot be parsed may
// find an access_token in the part that is broken.
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

// only returns the one value that is not empty, if there is one. An empty
// parameter counts as omitted (RFC 6749 section 3.1), and so does what a logout
// leaves of a cookie.
func only(values []string, place string) (has found, err error) {
	for _, v := range values {
		switch {
		case v == "":
		case has.token != "":
			return found{}, severalIn(place)
		default:
			has.token = v
		}
	}
	return has, nil
}

// isToken reports whether s is a token of RFC 9110 section 5.6.2.
func isToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(c rune) bool { return c > '~' || !isTokenChar(byte(c)) })
}

// isTokenChar reports whether c may be part of a token of RFC 9110 section
// 5.6.2, such as the name of a scheme or of a field.
func isTokenChar(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' ||
		strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}

// bearerToken finds the request's one token; it is the zero value if there is
// none. An error comes with the scheme, if it is known.
func (a *Auth) bearerToken(r *http.Request) (has found, err error) {
	var place string
	for _, s := range a.config.Credentials {
		switch f, err := s.read(r, a.accepted); {
		case err != nil:
			return f, err
		case f.token == "":
		case has.token != "":
			return found{}, malformed("tokens in two places: " + place + " and " + s.name)
		default:
			has, place = f, s.name
		}
	}
	return has, nil
}

// presented finds the request's credentials: a token, or else those of the first
// authenticator that has some. They are the zero value if there are none.
func (a *Auth) presented(r *http.Request) (by *Authenticator, has found, err error) {
	has, err = a.bearerToken(r)
	for i := 0; has.token == "" && err == nil && i < len(a.config.Authenticators); i++ {
		by = &a.config.Authenticators[i]
		has, err = by.Credentials.read(r, nil)
	}
	return by, has, err
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
