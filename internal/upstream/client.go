// Package upstream calls authorization servers. All parts of the kit that do so
// share its HTTP client and limits, its rules for URLs and redirects, its reader of
// issuer metadata (OpenID Connect Discovery 1.0 section 4, RFC 8414 section 3), and
// its errors, which are fit for a log.
package upstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/bearerkit/bearerkit/internal/strictjson"
)

const (
	// DefaultTimeout limits one call, from name resolution to the last byte.
	DefaultTimeout = 5 * time.Second
	minTimeout     = 100 * time.Millisecond
	maxTimeout     = time.Minute
	// MaxBody is the largest response body in bytes, after decompression.
	MaxBody = 1 << 20
	// maxHeader is the largest response header in bytes.
	maxHeader = 64 << 10
	// maxRedirects is how many redirects are followed.
	maxRedirects = 3
)

// Config has the options of a [Client].
type Config struct {
	// HTTP provides the transport; its redirect policy is not used. An
	// *http.Transport is copied: the copy abandons connections that have gone
	// silent, and limits response headers. Default: a new transport.
	HTTP *http.Client
	// DNS resolves names for the default transport. Default:
	// net.DefaultResolver.
	DNS *net.Resolver
	// Timeout limits one call. Default: DefaultTimeout.
	Timeout time.Duration
	// Quote lets errors contain text of the server or of a library, made
	// printable and cut to length. Without it errors consist of fixed
	// sentences, since a server that knows tokens could send one.
	Quote bool
	// Seen is called with a short description of the outcome of each GET.
	// Optional.
	Seen func(answer string)
	// Now is the clock. Default: time.Now.
	Now func() time.Time
}

// A Client calls one authorization server. It is safe for concurrent use.
type Client struct {
	get, post *http.Client
	transport *transport // nil if the user's RoundTripper is not an *http.Transport
	timeout   time.Duration
	quote     bool
	seen      func(string)
	now       func() time.Time
}

// New returns a client.
func New(c Config) *Client {
	client := &Client{timeout: c.Timeout, quote: c.Quote, seen: c.Seen, now: c.Now}
	if client.timeout == 0 {
		client.timeout = DefaultTimeout
	}
	if client.now == nil {
		client.now = time.Now
	}
	if client.seen == nil {
		client.seen = func(string) {}
	}
	var base http.Client
	if c.HTTP != nil {
		base = *c.HTTP
		if base.Transport == nil {
			base.Transport = http.DefaultTransport
		}
	}
	copied, ok := base.Transport.(*http.Transport)
	if ok || c.HTTP == nil {
		client.transport = newTransport(copied, client.timeout, c.DNS)
		base.Transport = client.transport
	}
	get, post := base, base
	get.CheckRedirect = CheckRedirect
	post.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	client.get, client.post = &get, &post
	return client
}

// CheckTimeout returns what is wrong with a [Config.Timeout], or "".
func CheckTimeout(d time.Duration) (problem string) {
	if d != 0 && (d < minTimeout || d > maxTimeout) {
		return fmt.Sprintf("%v is not between %v and %v", d, minTimeout, maxTimeout)
	}
	return ""
}

// Timeout returns the limit of one call.
func (c *Client) Timeout() time.Duration { return c.timeout }

// CloseIdle closes idle connections, but not those of a user's RoundTripper.
func (c *Client) CloseIdle() {
	if c.transport != nil {
		c.transport.CloseIdleConnections()
	}
}

// CheckRedirect allows redirects on the same host only. Otherwise anyone who can make
// one URL of the issuer redirect could replace its keys, or reach hosts in the
// network of this machine.
func CheckRedirect(next *http.Request, via []*http.Request) error {
	last := via[len(via)-1].URL
	switch {
	case len(via) > maxRedirects:
		return redirectError("too many redirects")
	case next.URL.Host != last.Host || next.URL.User != nil:
		return redirectError("redirect to another host refused")
	case next.URL.Scheme != last.Scheme && next.URL.Scheme != "https":
		return redirectError("redirect to http refused")
	}
	return nil
}

type redirectError string

func (e redirectError) Error() string { return string(e) }

// A Response is a response with status 200, or 304 if the request had If-None-Match.
type Response struct {
	Status int
	Header http.Header
	Body   []byte
	Asked  time.Time // when the request was made
}

// Get fetches a document, following redirects on the same host. The error is an
// [*Error].
func (c *Client) Get(ctx context.Context, url string, h http.Header) (*Response, error) {
	resp, err := c.do(ctx, c.get, http.MethodGet, url, h, nil)
	switch e, _ := err.(*Error); {
	case err == nil && resp.Status == http.StatusOK:
		c.seen(fmt.Sprintf("%s, %d bytes", answerLine(resp.Status, resp.Header), len(resp.Body)))
	case err == nil:
		c.seen(answerLine(resp.Status, resp.Header))
	case e.Status == 0:
		c.seen("none: " + e.Reason())
	default:
		c.seen(answerLine(e.Status, e.Header) + ": " + e.Reason())
	}
	return resp, err
}

// Post sends a form that asks for something and changes nothing: it may be sent
// again if a connection turns out to be closed. form makes it, each time anew and
// always as long: something in it may be good for one request only. Redirects are
// never followed: they would send what is in the form elsewhere. The error is an
// [*Error], or the one of form.
func (c *Client) Post(ctx context.Context, url string, h http.Header, form func() (url.Values, error)) (*Response, error) {
	h = h.Clone()
	h.Set("Content-Type", "application/x-www-form-urlencoded")
	h["Idempotency-Key"] = nil // net/http takes it as said, and does not send it
	return c.do(ctx, c.post, http.MethodPost, url, h, func() (string, error) {
		values, err := form()
		return values.Encode(), err
	})
}

// do makes a call, and makes it again if the process did not run meanwhile: that
// a server was not heard says nothing of it then.
func (c *Client) do(ctx context.Context, client *http.Client, method, url string, h http.Header, form func() (string, error)) (*Response, error) {
	for {
		began := c.now()
		resp, err := c.call(ctx, client, method, url, h, form)
		if err == nil {
			resp.Asked = began
			return resp, nil
		}
		if e, _ := err.(*Error); e == nil || !e.Broken || ctx.Err() != nil || Since(began, c.now()) < c.timeout+Lateness {
			return nil, err
		}
	}
}

func (c *Client) call(ctx context.Context, client *http.Client, method, url string, h http.Header, form func() (string, error)) (*Response, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	var body io.Reader
	if form != nil {
		text, err := form()
		if err != nil {
			return nil, err
		}
		body = strings.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return nil, &Error{URL: Redact(url), words: "is not a URL that can be requested"}
	}
	if form != nil {
		req.GetBody = func() (io.ReadCloser, error) {
			text, err := form()
			return io.NopCloser(strings.NewReader(text)), err
		}
	}
	if req.Header = h.Clone(); req.Header == nil {
		req.Header = http.Header{}
	}
	req.Header.Set("User-Agent", "bearerkit")
	var used *http.Transport
	if c.transport != nil {
		used = c.transport.current.Load()
	}
	resp, err := c.roundTrip(client, req)
	switch e, _ := err.(*Error); {
	case e != nil && e.Timeout && used != nil:
		c.transport.abandon(used)
	case e != nil && e.Timeout:
		client.CloseIdleConnections() // all that is possible with a user's RoundTripper
	case used != nil && used != c.transport.current.Load():
		used.CloseIdleConnections()
	}
	return resp, err
}

func (c *Client) roundTrip(client *http.Client, req *http.Request) (*Response, error) {
	at := Redact(req.URL.String())
	resp, err := client.Do(req)
	if err != nil {
		// The outer error only adds the method and the URL.
		if inner := errors.Unwrap(err); inner != nil {
			err = inner
		}
		if refused, ok := err.(redirectError); ok && resp != nil {
			return nil, &Error{URL: at, Status: resp.StatusCode, Header: resp.Header, words: fmt.Sprintf("status %d: %s", resp.StatusCode, refused)}
		}
		return nil, c.transportError(req.Context(), at, err)
	}
	defer resp.Body.Close()
	r := &Response{Status: resp.StatusCode, Header: resp.Header}
	fail := func(format string, args ...any) (*Response, error) {
		return nil, &Error{URL: at, Status: resp.StatusCode, Header: resp.Header, words: fmt.Sprintf(format, args...)}
	}
	switch {
	case headerSize(resp.Header) > maxHeader:
		// Only a user's RoundTripper lets such a header through.
		return fail("the header is longer than %d bytes", maxHeader)
	case resp.StatusCode == http.StatusNotModified && req.Header.Get("If-None-Match") != "":
		return r, nil
	case resp.StatusCode >= 400 && resp.StatusCode < 500:
		_, err := fail("status %d", resp.StatusCode)
		e := err.(*Error)
		if e.Code = readCode(resp); e.Code != "" {
			e.words += " " + e.Code
		}
		return nil, e
	case resp.StatusCode != http.StatusOK:
		return fail("status %d", resp.StatusCode)
	case resp.ContentLength > MaxBody:
		return fail("longer than %d bytes", MaxBody)
	}
	// Content-Length may be absent or wrong.
	r.Body, err = io.ReadAll(io.LimitReader(resp.Body, MaxBody+1))
	switch {
	case err != nil:
		e := c.transportError(req.Context(), at, err)
		e.Status, e.Header = resp.StatusCode, resp.Header
		return nil, e
	case len(r.Body) > MaxBody:
		return fail("longer than %d bytes", MaxBody)
	}
	return r, nil
}

// maxErrorBody limits an error response in bytes.
const maxErrorBody = 4 << 10

// readCode returns the error code of a response (RFC 6749 section 5.2, RFC 6750
// section 3.1), or "".
func readCode(resp *http.Response) string {
	if mediaType, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); mediaType != "application/json" {
		return ""
	}
	text, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody))
	return Code(string(text))
}

// Code returns the code of an error object (RFC 6749 section 5.2), or "" if the text
// is not one or the code is unknown: a code that a server makes up could be anything.
func Code(text string) string {
	var code strictjson.Value
	err := strictjson.Object(text, func(name string, value strictjson.Value) {
		if name == "error" {
			code = value
		}
	})
	if err != nil {
		return ""
	}
	for _, known := range []string{
		"invalid_client", "unauthorized_client", "invalid_request", "unsupported_token_type", "invalid_token", "insufficient_scope",
		"access_denied", "server_error", "temporarily_unavailable",
	} {
		if code.Is(known) {
			return known
		}
	}
	return ""
}

func headerSize(h http.Header) int {
	n := 0
	for name, values := range h {
		for _, v := range values {
			n += len(name) + len(v) + 4 // as in HTTP/1.1
		}
	}
	return n
}

func answerLine(status int, h http.Header) string {
	line := fmt.Sprintf("status %d", status)
	if t := h.Get("Content-Type"); t != "" {
		line += ", " + Printable(t, 60)
	}
	return line
}
