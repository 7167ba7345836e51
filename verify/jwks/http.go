package jwks

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
	"unicode"
)

const (
	// fetchTimeout bounds one request, from dialling to the last byte.
	fetchTimeout = 5 * time.Second
	// dialTimeout is shorter, so that an issuer which cannot be reached at
	// all is tried again sooner; it leaves room for one lost packet.
	dialTimeout = 2 * time.Second
	// maxBody bounds a document in bytes, after decompression.
	maxBody = 1 << 20
	// maxHeader bounds an answer's header in bytes.
	maxHeader = 64 << 10
	// maxRedirects bounds how often an answer may point elsewhere.
	maxRedirects = 3
)

// newClient makes a client of the kit's own, or one that uses c's transport by
// the kit's rules. own is the transport that is to be closed in the end.
func newClient(c *http.Client) (client *http.Client, own *http.Transport) {
	if c != nil {
		copied := *c
		copied.CheckRedirect = checkRedirect
		return &copied, nil
	}
	own = &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: dialTimeout}).DialContext,
		ForceAttemptHTTP2:      true,
		MaxIdleConnsPerHost:    1,
		IdleConnTimeout:        30 * time.Second,
		MaxResponseHeaderBytes: maxHeader,
	}
	return &http.Client{Transport: own, CheckRedirect: checkRedirect}, own
}

// checkRedirect lets an answer point to another path of the same host alone:
// what says which keys are the issuer's must not be moved by whoever can make
// one host redirect, to a foreign one or into the network of this machine.
func checkRedirect(next *http.Request, via []*http.Request) error {
	last := via[len(via)-1].URL
	switch {
	case len(via) > maxRedirects:
		return errors.New("too many redirects")
	case next.URL.Host != last.Host || next.URL.User != nil:
		return errors.New("redirect to another host refused")
	case next.URL.Scheme != last.Scheme && next.URL.Scheme != "https":
		return errors.New("redirect to http refused")
	}
	return nil
}

// An answer is a document that came with status 200, or the word that the one
// at hand is current (304).
type answer struct {
	notModified bool
	body        []byte
	etag        string
	lifetime    time.Duration
	said        bool // the answer itself says how long it lives
}

// A fetchError says why there is no document.
type fetchError struct {
	url        string
	cause      error
	status     int           // 0 if no answer came
	retryAfter time.Duration // what the issuer asked for
	timeout    bool
}

func (e *fetchError) Error() string { return e.url + ": " + printable(e.cause.Error(), 200) }

func (e *fetchError) Unwrap() error { return e.cause }

// printable makes text that a stranger may have written fit for a log line: no
// control characters, nor any that turn text around.
func printable(s string, limit int) string {
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) || r == '\uFFFD' {
			return '?'
		}
		return r
	}, s)
	if len(s) > limit {
		s = strings.ToValidUTF8(s[:limit], "") + "…"
	}
	return s
}

// get fetches one document. seen is told what came back, in a few words, for
// those who have to find out what is wrong.
func get(ctx context.Context, client *http.Client, url, etag string, seen func(string)) (*answer, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	fail := func(cause error) error {
		seen("none: " + printable(cause.Error(), 200))
		return &fetchError{url: url, cause: cause, timeout: isTimeout(cause)}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, fail(errors.New("not a URL that can be asked"))
	}
	req.Header.Set("Accept", "application/jwk-set+json, application/json")
	req.Header.Set("User-Agent", "bearerkit")
	if etag != "" {
		req.Header.Set("If-None-Match", etag)
	}
	resp, err := client.Do(req)
	if err != nil {
		// The outer error repeats method and URL.
		if inner := errors.Unwrap(err); inner != nil {
			err = inner
		}
		return nil, fail(err)
	}
	defer resp.Body.Close()
	now := time.Now()
	line := fmt.Sprintf("status %d", resp.StatusCode)
	if t := resp.Header.Get("Content-Type"); t != "" {
		line += ", " + printable(t, 60)
	}
	fail = func(cause error) error {
		seen(line + ": " + printable(cause.Error(), 200))
		e := &fetchError{url: url, cause: cause, status: resp.StatusCode, timeout: isTimeout(cause)}
		if e.status == http.StatusTooManyRequests || e.status == http.StatusServiceUnavailable {
			e.retryAfter = retryAfter(resp.Header, now)
		}
		return e
	}
	a := &answer{etag: entityTag(resp.Header.Get("ETag"))}
	a.lifetime, a.said = lifetime(resp.Header, now)
	switch {
	case resp.StatusCode == http.StatusNotModified && etag != "":
		seen(line)
		a.notModified = true
		return a, nil
	case resp.StatusCode != http.StatusOK:
		return nil, fail(fmt.Errorf("status %d", resp.StatusCode))
	case resp.ContentLength > maxBody:
		return nil, fail(fmt.Errorf("longer than %d bytes", maxBody))
	}
	// Whatever the content type says, what is a key set is one.
	a.body, err = io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	switch {
	case err != nil:
		return nil, fail(err)
	case len(a.body) > maxBody:
		return nil, fail(fmt.Errorf("longer than %d bytes", maxBody))
	}
	seen(fmt.Sprintf("%s, %d bytes", line, len(a.body)))
	return a, nil
}

// entityTag returns an ETag (RFC 9110 section 8.8.3) that can be sent back, else
// nothing: a header that cannot be sent would fail every request from then on.
func entityTag(s string) string {
	if len(s) > 256 || !strings.HasSuffix(s, `"`) || strings.ContainsFunc(s, func(r rune) bool { return r < '!' || r > '~' }) {
		return ""
	}
	return s
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &t) && t.Timeout()
}
