// Package upstream talks to authorization servers. It has what all parts of the
// kit that call one share: the HTTP client and its bounds, which URLs may be
// asked and which redirects followed, the issuer's metadata (OpenID Connect
// Discovery 1.0 section 4, RFC 8414 section 3), and errors that are fit for a
// log.
package upstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	// DefaultTimeout bounds one call, from the name server to the last byte.
	DefaultTimeout = 5 * time.Second
	minTimeout     = 100 * time.Millisecond
	maxTimeout     = time.Minute
	// MaxBody bounds a document in bytes, after decompression.
	MaxBody = 1 << 20
	// maxHeader bounds an answer's header in bytes.
	maxHeader = 64 << 10
	// maxRedirects bounds how often an answer may point elsewhere.
	maxRedirects = 3
)

// Config says how a [Client] calls.
type Config struct {
	// HTTP has the transport to use. Its policy for redirects is replaced. An
	// *http.Transport is copied: the copy drops connections that have gone
	// silent, and bounds an answer's header. Default: a transport of the
	// client's own.
	HTTP *http.Client
	// DNS resolves names for the client's own transport. Default:
	// net.DefaultResolver.
	DNS *net.Resolver
	// Timeout bounds one call. Default: DefaultTimeout.
	Timeout time.Duration
	// Quote lets errors hold what the server or a library has written, made
	// printable and cut. Without it errors consist of fixed sentences: a
	// server that knows tokens could write one.
	Quote bool
	// Seen is told what each GET brought, in a few words. Optional.
	Seen func(answer string)
	// Now is the clock. Default: time.Now.
	Now func() time.Time
}

// A Client calls one authorization server. It is safe for concurrent use.
type Client struct {
	get, post *http.Client
	transport *transport // nil: the user's, which the client knows nothing of
	timeout   time.Duration
	quote     bool
	seen      func(string)
	now       func() time.Time
}

// New makes a client.
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

// CheckTimeout says what is wrong with a [Config.Timeout].
func CheckTimeout(d time.Duration) (problem string) {
	if d != 0 && (d < minTimeout || d > maxTimeout) {
		return fmt.Sprintf("%v is not within %v and %v", d, minTimeout, maxTimeout)
	}
	return ""
}

// Timeout returns how long one call takes at most.
func (c *Client) Timeout() time.Duration { return c.timeout }

// CloseIdle closes the connections that are not in use, unless they are those of
// a user's transport.
func (c *Client) CloseIdle() {
	if c.transport != nil {
		c.transport.CloseIdleConnections()
	}
}

// CheckRedirect lets an answer point to another path of the same host alone:
// what says which keys are the issuer's must not be moved by somebody who can
// make one host redirect, to a foreign one or into the network of this machine.
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

// A Response is an answer with status 200, or 304 to a request with an
// If-None-Match.
type Response struct {
	Status int
	Header http.Header
	Body   []byte
	Asked  time.Time // when the call began
}

// Get fetches a document. Redirects are followed within the host. The error is
// an [*Error].
func (c *Client) Get(ctx context.Context, url string, h http.Header) (*Response, error) {
	resp, err := c.do(ctx, c.get, http.MethodGet, url, h, "")
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
// again if a connection turns out to be closed. Redirects are never followed:
// they would send what is in the form elsewhere. The error is an [*Error].
func (c *Client) Post(ctx context.Context, url string, h http.Header, form url.Values) (*Response, error) {
	h = h.Clone()
	h.Set("Content-Type", "application/x-www-form-urlencoded")
	h["Idempotency-Key"] = nil // net/http takes it as said, and does not send it
	return c.do(ctx, c.post, http.MethodPost, url, h, form.Encode())
}

// do makes a call, and makes it again if the process did not run meanwhile: that
// a server was not heard says nothing of it then.
func (c *Client) do(ctx context.Context, client *http.Client, method, url string, h http.Header, form string) (*Response, error) {
	for {
		began := c.now()
		resp, err := c.call(ctx, client, method, url, h, form)
		if err == nil {
			resp.Asked = began
			return resp, nil
		}
		if e, _ := err.(*Error); !e.Broken || ctx.Err() != nil || Since(began, c.now()) < c.timeout+Lateness {
			return nil, err
		}
	}
}

func (c *Client) call(ctx context.Context, client *http.Client, method, url string, h http.Header, form string) (*Response, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	var body io.Reader
	if method == http.MethodPost {
		body = strings.NewReader(form)
	}
	req, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return nil, &Error{URL: Redact(url), words: "is not a URL that can be asked"}
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
		c.transport.leave(used)
	case e != nil && e.Timeout:
		client.CloseIdleConnections() // as much as can be done to a user's transport
	case used != nil && used != c.transport.current.Load():
		used.CloseIdleConnections()
	}
	return resp, err
}

func (c *Client) roundTrip(client *http.Client, req *http.Request) (*Response, error) {
	at := Redact(req.URL.String())
	resp, err := client.Do(req)
	if err != nil {
		// The outer error repeats method and URL.
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
		// Only a user's transport lets it come this far.
		return fail("the header is longer than %d bytes", maxHeader)
	case resp.StatusCode == http.StatusNotModified && req.Header.Get("If-None-Match") != "":
		return r, nil
	case resp.StatusCode != http.StatusOK:
		return fail("status %d", resp.StatusCode)
	case resp.ContentLength > MaxBody:
		return fail("longer than %d bytes", MaxBody)
	}
	// What a Content-Length promises need not be so.
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

func headerSize(h http.Header) int {
	n := 0
	for name, values := range h {
		for _, v := range values {
			n += len(name) + len(v) + 4 // as HTTP/1.1 writes them
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
