package middleware_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/bearerkit/bearerkit/middleware"
	"github.com/bearerkit/bearerkit/verify"
	"github.com/bearerkit/bearerkit/verify/verifytest"
)

// credentialSentences are the descriptions of malformed credentials in
// AuthorizationHeader, Header("X-Token") and WebSocketProtocol.
var credentialSentences = []string{"more than one Authorization header", "more than one token in the header X-Token", "more than one token in the WebSocket protocols"}

// incoming makes a request with header lines.
func incoming(lines ...string) *http.Request {
	r := httptest.NewRequest("GET", "/", nil)
	for _, l := range lines {
		name, value, _ := strings.Cut(l, ":")
		r.Header.Add(name, strings.TrimSpace(value))
	}
	return r
}

// outcome decides about a request on a route that requires a token and on one
// where it is optional, and returns "served", "anonymous", or status and
// description.
func outcome(auth *middleware.Auth, r *http.Request) (required, optional string) {
	body, _ := io.ReadAll(r.Body)
	say := func(g *middleware.Guard) string {
		r := r.Clone(r.Context())
		r.Body = io.NopCloser(bytes.NewReader(body))
		admitted, f := g.Decide(r)
		if f != nil {
			return fmt.Sprint(f.Status, " ", f.Description)
		}
		if _, ok := middleware.TokenFrom(admitted.Context()); !ok {
			return "anonymous"
		}
		return "served"
	}
	return say(auth.Require()), say(auth.Optional())
}

// TestPlaces: which tokens count, place by place, and what a request is told
// whose tokens are too many. No credentials at all are not an error where they
// are optional.
func TestPlaces(t *testing.T) {
	var (
		authorization = middleware.AuthorizationHeader()
		cookie        = middleware.Cookie("session")
		header        = middleware.Header("x-token")
		webSocket     = middleware.WebSocketProtocol("bearer.")
		query         = middleware.InsecureQueryParameter()
		form          = middleware.FormParameter()
	)
	issuer, _ := newStatic(t, middleware.Config{}, nil)
	tok, other := issuer.Token(verifytest.Claims{"sub": "user_1"}), issuer.Token(verifytest.Claims{"sub": "user_2"})
	const (
		served = "served"
		none   = "401 a bearer token is required"
	)
	in := func(s ...middleware.CredentialSource) []middleware.CredentialSource { return s }
	withQuery := func(q string, lines ...string) *http.Request {
		r := incoming(lines...)
		r.URL.RawQuery = q
		return r
	}
	withForm := func(body string, lines ...string) *http.Request {
		r := incoming(append(lines, "Content-Type: application/x-www-form-urlencoded")...)
		r.Method, r.Body = "POST", io.NopCloser(strings.NewReader(body))
		return r
	}
	for _, c := range []struct {
		name    string
		sources []middleware.CredentialSource
		r       *http.Request
		want    string
	}{
		// What is empty is not there.
		{"an empty cookie", in(cookie), incoming("Cookie: session="), none},
		{"an empty cookie in quotes", in(cookie), incoming(`Cookie: session=""`), none},
		{"a cookie without a value", in(cookie), incoming("Cookie: session"), none},
		{"an empty header", in(header), incoming("X-Token:"), none},
		{"an empty parameter", in(query), withQuery("access_token="), none},
		{"an empty parameter without its sign", in(query), withQuery("access_token"), none},
		{"an empty form parameter", in(form), withForm("access_token="), none},
		{"an empty subprotocol", in(webSocket), incoming("Sec-WebSocket-Protocol: orders, bearer."), none},
		{"all of them empty", in(authorization, cookie, header, webSocket, query), withQuery("access_token=", "Cookie: session=", "X-Token:", "Sec-WebSocket-Protocol: bearer."), none},
		{"an empty one beside a token, same place", in(cookie), incoming("Cookie: session=; session=" + tok), served},
		{"an empty one behind a token, same place", in(cookie), incoming("Cookie: session=" + tok + "; session="), served},
		{"an empty parameter beside a token", in(query), withQuery("access_token=&access_token=" + tok), served},
		{"an empty header beside a token", in(header), incoming("X-Token:", "X-Token: "+tok), served},
		{"an empty cookie beside a header", in(authorization, cookie), incoming("Cookie: session=", "Authorization: Bearer "+tok), served},
		{"a scheme without a token", in(authorization, cookie), incoming("Authorization: Bearer"), "400 no token follows Bearer in the Authorization header"},
		{"a scheme without a token, a space", in(authorization), &http.Request{Method: "GET", URL: incoming().URL, Body: http.NoBody, Header: http.Header{"Authorization": {"Bearer "}}}, "400 no token follows Bearer in the Authorization header"},

		// One place with several.
		{"two cookies", in(cookie), incoming("Cookie: session=" + tok + "; session=" + other), "400 more than one token in the cookie session"},
		{"two cookies in two fields", in(cookie), incoming("Cookie: session="+tok, "Cookie: session="+other), "400 more than one token in the cookie session"},
		{"two cookies with one value", in(cookie), incoming("Cookie: session=" + tok + "; session=" + tok), "400 more than one token in the cookie session"},
		{"a cookie of another name", in(cookie), incoming("Cookie: session2=" + other + "; session=" + tok), served},
		{"a cookie of a name in another case", in(cookie), incoming("Cookie: Session=" + tok), none},
		{"two headers", in(header), incoming("X-Token: "+tok, "X-Token: "+other), "400 more than one token in the header X-Token"},
		{"two in one header", in(header), incoming("X-Token: " + tok + ", " + other), "400 more than one token, or a comma in it"},
		{"two parameters", in(query), withQuery("access_token=" + tok + "&access_token=" + other), "400 more than one token in the query"},
		{"two form parameters", in(form), withForm("access_token=" + tok + "&access_token=" + other), "400 more than one token in the form"},
		{"two Authorization fields", in(authorization), incoming("Authorization: Bearer "+tok, "Authorization: Basic dTpw"), "400 more than one Authorization header"},
		{"a query that cannot be read", in(query), withQuery("access_token=%zz"), "400 the query cannot be read"},
		{"a form that cannot be read", in(form), withForm("access_token=%zz"), "400 the form cannot be read"},

		// Two places, without and with an order.
		{"header and cookie", in(authorization, cookie), incoming("Authorization: Bearer "+tok, "Cookie: session="+other), "400 tokens in two places: the Authorization header and the cookie session"},
		{"header and cookie, the same token", in(authorization, cookie), incoming("Authorization: Bearer "+tok, "Cookie: session="+tok), "400 tokens in two places: the Authorization header and the cookie session"},
		{"cookie and header", in(cookie, authorization), incoming("Authorization: Bearer "+tok, "Cookie: session="+other), "400 tokens in two places: the cookie session and the Authorization header"},
		{"three places", in(authorization, cookie, query), withQuery("access_token="+tok, "Cookie: session="+tok), "400 tokens in two places: the cookie session and the query"},
		{"a place that is not configured", in(authorization), incoming("Authorization: Bearer "+tok, "Cookie: session="+other), served},
		{"another scheme beside a cookie", in(authorization, cookie), incoming("Authorization: Basic dTpw", "Cookie: session="+tok), served},
		{"in order, the first", in(middleware.FirstOf(authorization, cookie)), incoming("Authorization: Bearer "+tok, "Cookie: session=garbage"), served},
		{"in order, the first although the second is there twice", in(middleware.FirstOf(authorization, cookie)), incoming("Authorization: Bearer "+tok, "Cookie: session=a; session=b"), served},
		{"in order, the second alone", in(middleware.FirstOf(authorization, cookie)), incoming("Cookie: session=" + tok), served},
		{"in order, the first of them bad", in(middleware.FirstOf(cookie, authorization)), incoming("Authorization: Bearer "+tok, "Cookie: session=garbage"), "401 the token is not a JWT (opaque)"},
		{"in order, the first empty", in(middleware.FirstOf(cookie, authorization)), incoming("Authorization: Bearer "+tok, "Cookie: session="), served},
		{"in order, the first malformed", in(middleware.FirstOf(authorization, cookie)), incoming("Authorization: Bearer", "Cookie: session="+tok), "400 no token follows Bearer in the Authorization header"},
		{"in order, none", in(middleware.FirstOf(authorization, cookie)), incoming(), none},
		{"in order, beside another place", in(middleware.FirstOf(authorization, cookie), query), withQuery("access_token="+tok, "Cookie: session="+tok), "400 tokens in two places: the Authorization header or the cookie session and the query"},
		{"an order in an order", in(middleware.FirstOf(middleware.FirstOf(authorization, cookie), query)), withQuery("access_token=garbage", "Cookie: session="+tok), served},

		// A header that a proxy sets.
		{"Header", in(header), incoming("x-token: " + tok), served},
		{"Header, with a scheme", in(header), incoming("X-Token: Bearer " + tok), "400 a scheme stands before the token, where only the token belongs"},
		{"Header, in place of another", in(header), incoming("X-Tokens: "+tok, "Authorization: Bearer "+tok), none},
		{"Header of Cloudflare", in(middleware.Header("Cf-Access-Jwt-Assertion")), incoming("Cf-Access-Jwt-Assertion: " + tok), served},
		{"Header of Google", in(middleware.Header("x-goog-iap-jwt-assertion")), incoming("X-Goog-IAP-JWT-Assertion: " + tok), served},

		// The subprotocols of a WebSocket.
		{"WebSocket", in(webSocket), incoming("Sec-WebSocket-Protocol: bearer." + tok), served},
		{"WebSocket, among others", in(webSocket), incoming("Sec-WebSocket-Protocol: orders.v1 ,\tbearer." + tok + " ,orders.v2"), served},
		{"WebSocket, in another field", in(webSocket), incoming("Sec-WebSocket-Protocol: orders.v1", "Sec-WebSocket-Protocol: bearer."+tok), served},
		{"WebSocket, twice in a field", in(webSocket), incoming("Sec-WebSocket-Protocol: bearer." + tok + ", bearer." + tok), "400 more than one token in the WebSocket protocols"},
		{"WebSocket, in two fields", in(webSocket), incoming("Sec-WebSocket-Protocol: bearer."+tok, "Sec-WebSocket-Protocol: bearer."+other), "400 more than one token in the WebSocket protocols"},
		{"WebSocket, none", in(webSocket), incoming("Sec-WebSocket-Protocol: orders.v1"), none},
		{"WebSocket, empty elements", in(webSocket), incoming("Sec-WebSocket-Protocol: ,, ,bearer." + tok + ",,"), served},
		{"WebSocket, another case", in(webSocket), incoming("Sec-WebSocket-Protocol: Bearer." + tok), none},
		{"WebSocket, a prefix inside", in(webSocket), incoming("Sec-WebSocket-Protocol: x-bearer." + tok), none},
		{"WebSocket, without the prefix", in(webSocket), incoming("Sec-WebSocket-Protocol: bearer, " + tok), none},
		{"WebSocket, a space behind the prefix", in(webSocket), incoming("Sec-WebSocket-Protocol: bearer. " + tok), "400 more than one space before the token"},
	} {
		auth := newStaticWith(t, issuer, middleware.Config{Credentials: c.sources, Logger: slog.New(slog.DiscardHandler)})
		required, optional := outcome(auth, c.r)
		if !strings.HasPrefix(required, c.want) {
			t.Errorf("%s: %q, want %q", c.name, required, c.want)
		}
		want := required
		if required == none {
			want = "anonymous"
		}
		if optional != want {
			t.Errorf("%s, optional: %q, want %q", c.name, optional, want)
		}
	}
}

// TestOwnSource: a source of the application's says that there are no
// credentials, that they are malformed, or that it could not find out.
func TestOwnSource(t *testing.T) {
	issuer, _ := newStatic(t, middleware.Config{}, nil)
	good := issuer.Token(nil)
	for _, c := range []struct {
		name   string
		token  string
		err    error
		want   string
		reason middleware.Reason
	}{
		{"a token", good, nil, "served", ""},
		{"none", "", nil, "401 a bearer token is required", "no_credentials"},
		{"a bad one", "a.b.c", nil, "401 the token is not a JWT (opaque)", "malformed"},
		{"one that is not a token", "a b", nil, "400 white space in the token", "credentials"},
		{"malformed", "", verify.ErrSyntax, "400 malformed credentials in the session", "credentials"},
		{"malformed, wrapped", "", fmt.Errorf("base64: %w", verify.ErrSyntax), "400 malformed credentials in the session", "credentials"},
		{"malformed beside a token", good, verify.ErrSyntax, "400 malformed credentials in the session", "credentials"},
		{"trouble", "", errors.New("redis: connection refused"), "503 the credentials cannot be read at the moment", "credentials_unavailable"},
		{"trouble beside a token", good, context.DeadlineExceeded, "503 the credentials cannot be read at the moment", "credentials_unavailable"},
		{"another reason", "", verify.ErrExpired, "503 the credentials cannot be read at the moment", "credentials_unavailable"},
	} {
		var log bytes.Buffer
		source := middleware.NewCredentialSource("the session", func(*http.Request) (string, error) { return c.token, c.err })
		for kind, sources := range map[string][]middleware.CredentialSource{
			"alone":    {source},
			"in order": {middleware.FirstOf(middleware.AuthorizationHeader(), source)},
		} {
			auth := newStaticWith(t, issuer, middleware.Config{Credentials: sources, Logger: slog.New(slog.NewTextHandler(&log, nil))})
			_, f := auth.Require().Decide(incoming())
			got, reason := "served", middleware.Reason("")
			if f != nil {
				got, reason = fmt.Sprint(f.Status, " ", f.Description), f.Reason
			}
			if got != c.want || reason != c.reason {
				t.Errorf("%s, %s: %q %s, want %q %s", c.name, kind, got, reason, c.want, c.reason)
			}
			if loud := strings.Contains(log.String(), "level=ERROR"); loud != (c.reason == "credentials_unavailable") || loud && !strings.Contains(log.String(), "credentials in the session: ") {
				t.Errorf("%s, %s: log %q", c.name, kind, &log)
			}
		}
	}
}

// TestMethodsOfPlaces: the metadata name the places that have a name (RFC 9728
// section 2), those in an order too.
func TestMethodsOfPlaces(t *testing.T) {
	_, auth := newStatic(t, middleware.Config{
		Metadata: &middleware.ResourceMetadata{Resource: "https://api.test", AuthorizationServers: []string{}},
		Credentials: []middleware.CredentialSource{
			middleware.Header("X-Token"), middleware.WebSocketProtocol("bearer."), middleware.NewCredentialSource("x", func(*http.Request) (string, error) { return "", nil }),
			middleware.FirstOf(middleware.InsecureQueryParameter(), middleware.AuthorizationHeader(), middleware.Cookie("session")), middleware.InsecureQueryParameter(),
		},
	}, nil)
	if got, want := metadataDocument(auth), `{"resource":"https://api.test","bearer_methods_supported":["query","header"]}`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestSourcesThatCannotBe(t *testing.T) {
	read := func(*http.Request) (string, error) { return "", nil }
	for name, f := range map[string]func(){
		"a header without a name":            func() { middleware.Header("") },
		"a header with a space":              func() { middleware.Header("X Token") },
		"a header beyond ASCII":              func() { middleware.Header("X-Tök") },
		"a header with a letter that folds":  func() { middleware.Header("X-To\u212aen") },
		"Authorization":                      func() { middleware.Header("authorization") },
		"Cookie":                             func() { middleware.Header("COOKIE") },
		"Host":                               func() { middleware.Header("host") },
		"a cookie without a name":            func() { middleware.Cookie("") },
		"a cookie with an equals sign":       func() { middleware.Cookie("a=b") },
		"no prefix":                          func() { middleware.WebSocketProtocol("") },
		"a prefix with a comma":              func() { middleware.WebSocketProtocol("a,b") },
		"a source without a name":            func() { middleware.NewCredentialSource("", read) },
		"a source with quotes":               func() { middleware.NewCredentialSource(`the "session"`, read) },
		"a source without a function":        func() { middleware.NewCredentialSource("the session", nil) },
		"the first of nothing":               func() { middleware.FirstOf() },
		"the first of a source that is zero": func() { middleware.FirstOf(middleware.Cookie("a"), middleware.CredentialSource{}) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			f()
		}()
	}
}

// TestFirstOfCopies: an order does not change with the list it was made of.
func TestFirstOfCopies(t *testing.T) {
	issuer, _ := newStatic(t, middleware.Config{}, nil)
	list := slices.Grow([]middleware.CredentialSource{middleware.Cookie("a")}, 4)
	first := middleware.FirstOf(append(list, middleware.Cookie("b"))...)
	middleware.FirstOf(append(list, middleware.Cookie("c"))...)
	list[0] = middleware.Cookie("d")
	auth := newStaticWith(t, issuer, middleware.Config{Credentials: []middleware.CredentialSource{first}})
	for cookie, want := range map[string]string{"a": "served", "b": "served", "c": "401 a bearer token is required", "d": "401 a bearer token is required"} {
		if got, _ := outcome(auth, incoming("Cookie: "+cookie+"="+issuer.Token(nil))); got != want {
			t.Errorf("%s: %s", cookie, got)
		}
	}
}
