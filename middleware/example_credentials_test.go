package middleware_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/bearerkit/bearerkit/middleware"
	"github.com/bearerkit/bearerkit/verify"
	"github.com/bearerkit/bearerkit/verify/verifytest"
)

// answer says what a guard decides about a request.
func answer(guard *middleware.Guard, r *http.Request) string {
	admitted, refusal := guard.Decide(r)
	if refusal != nil {
		return fmt.Sprint(refusal.Status, " ", refusal.Description)
	}
	token, _ := middleware.TokenFrom(admitted.Context())
	return "served, for " + token.Subject
}

// A service behind Cloudflare Access. The proxy has to remove the field from
// what clients send, and clients must not get around the proxy.
func ExampleHeader() {
	issuer := verifytest.NewServer() // in production: https://<team>.cloudflareaccess.com
	defer issuer.Close()
	auth, err := middleware.Config{
		Credentials: []middleware.CredentialSource{middleware.Header("Cf-Access-Jwt-Assertion")},
	}.ForIssuer(issuer.Issuer(), issuer.Audience())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer auth.Close()

	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("Cf-Access-Jwt-Assertion", issuer.Token(verifytest.Claims{"sub": "user_1"}))
	fmt.Println(answer(auth.Require(), r))
	// Output: served, for user_1
}

// A WebSocket that a browser opens with
//
//	new WebSocket(url, ["orders.v1", "bearer." + token])
//
// The handler accepts orders.v1 and never the subprotocol with the token.
func ExampleWebSocketProtocol() {
	issuer := verifytest.NewServer()
	defer issuer.Close()
	auth, err := middleware.Config{
		Credentials: []middleware.CredentialSource{
			middleware.AuthorizationHeader(), // for clients that are not browsers
			middleware.WebSocketProtocol("bearer."),
		},
	}.ForIssuer(issuer.Issuer(), issuer.Audience())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer auth.Close()

	r := httptest.NewRequest("GET", "/stream", nil)
	r.Header.Set("Upgrade", "websocket")
	r.Header.Set("Sec-WebSocket-Protocol", "orders.v1, bearer."+issuer.Token(verifytest.Claims{"sub": "user_1"}))
	fmt.Println(answer(auth.Require(), r))
	// Output: served, for user_1
}

// A browser adds its cookie to every request, also to those that carry a token in
// the header. With an order the header counts; without one, such a request is
// malformed.
func ExampleFirstOf() {
	issuer := verifytest.NewServer()
	defer issuer.Close()
	header, cookie := middleware.AuthorizationHeader(), middleware.Cookie("session")

	for _, sources := range [][]middleware.CredentialSource{
		{header, cookie},
		{middleware.FirstOf(header, cookie)},
	} {
		auth, err := middleware.Config{Credentials: sources}.ForIssuer(issuer.Issuer(), issuer.Audience())
		if err != nil {
			fmt.Println(err)
			return
		}
		defer auth.Close()
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Authorization", "Bearer "+issuer.Token(verifytest.Claims{"sub": "user_1"}))
		r.AddCookie(&http.Cookie{Name: "session", Value: issuer.Token(verifytest.Claims{"sub": "user_2"})})
		fmt.Println(answer(auth.Require(), r))
	}
	// Output:
	// 400 tokens in two places: the Authorization header and the cookie session
	// served, for user_1
}

// The subprotocol by which Kubernetes' clients send a token: it is encoded, so
// that it may have any characters.
func ExampleNewCredentialSource() {
	const prefix = "base64url.bearer.authorization.k8s.io."
	kubernetes := middleware.NewCredentialSource("the WebSocket protocols", func(r *http.Request) (string, error) {
		found := ""
		for _, field := range r.Header.Values("Sec-WebSocket-Protocol") {
			for protocol := range strings.SplitSeq(field, ",") {
				encoded, ok := strings.CutPrefix(strings.TrimSpace(protocol), prefix)
				if !ok {
					continue
				}
				token, err := base64.RawURLEncoding.DecodeString(encoded)
				if err != nil || found != "" {
					return "", verify.ErrSyntax // the request is malformed
				}
				found = string(token)
			}
		}
		return found, nil
	})

	issuer := verifytest.NewServer()
	defer issuer.Close()
	auth, err := middleware.Config{Credentials: []middleware.CredentialSource{kubernetes}}.ForIssuer(issuer.Issuer(), issuer.Audience())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer auth.Close()

	r := httptest.NewRequest("GET", "/", nil)
	fmt.Println(answer(auth.Require(), r))
	r.Header.Set("Sec-WebSocket-Protocol", prefix+"%, v1.channel")
	fmt.Println(answer(auth.Require(), r))
	token := issuer.Token(verifytest.Claims{"sub": "user_1"})
	r.Header.Set("Sec-WebSocket-Protocol", prefix+base64.RawURLEncoding.EncodeToString([]byte(token))+", v1.channel")
	fmt.Println(answer(auth.Require(), r))
	// Output:
	// 401 a bearer token is required
	// 400 malformed credentials in the WebSocket protocols
	// served, for user_1
}
