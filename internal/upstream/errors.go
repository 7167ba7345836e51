package upstream

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strings"
	"unicode"
)

// An Error says why a call brought no document.
type Error struct {
	URL     string      // that was requested, without secrets
	Status  int         // 0 without a response
	Header  http.Header // of the response
	Code    string      // the error code in a response, if it is a registered one
	Broken  bool        // the connection failed, before or during the response
	Timeout bool        // it failed because it took too long

	words  string
	quoted string // text of a library or of the server
	cause  error
}

func (e *Error) Error() string { return e.URL + ": " + e.Reason() }

// Reason returns the text of Error without the URL.
func (e *Error) Reason() string {
	if e.quoted == "" {
		return e.words
	}
	return e.words + ": " + e.quoted
}

func (e *Error) Unwrap() error { return e.cause }

// transportError turns an error of the transport into an Error.
func (c *Client) transportError(ctx context.Context, at string, err error) *Error {
	e := &Error{URL: at, Broken: true, Timeout: isTimeout(err) || errors.Is(ctx.Err(), context.DeadlineExceeded)}
	var op *net.OpError
	var dns *net.DNSError
	var certificate *tls.CertificateVerificationError
	var authority x509.UnknownAuthorityError
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		e.words = "the call was canceled"
	case errors.As(err, &dns):
		e.words = "the host cannot be resolved"
	case errors.As(err, &op) && op.Op == "dial":
		e.words = "the host cannot be reached"
	case e.Timeout:
		e.words = "does not answer in time"
	case errors.As(err, &certificate), errors.As(err, &authority):
		e.words = "has a certificate that is not trusted"
	default:
		e.words = "breaks the connection, or does not speak HTTP"
	}
	if c.quote {
		e.cause = err
		e.quoted = Printable(redactIn(err.Error()), 200)
	}
	return e
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &t) && t.Timeout()
}

// A DocumentError says what is wrong with a document that was fetched.
type DocumentError struct {
	URL   string // of the document, without secrets
	Cause error
}

func (e *DocumentError) Error() string { return e.URL + ": " + e.Cause.Error() }

func (e *DocumentError) Unwrap() error { return e.Cause }

// Printable makes untrusted text fit for a log line: it replaces control characters
// and those that change the direction of text, and cuts the text to limit bytes.
func Printable(s string, limit int) string {
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

const redacted = "xxxxx"

// Redact returns a URL without its user information, the values of its query, and its
// fragment, which may be secret. Text that is not a URL is treated as if it were.
func Redact(s string) string {
	head, fragment, hasFragment := strings.Cut(s, "#")
	head, query, hasQuery := strings.Cut(head, "?")
	start := 0
	if i := strings.Index(head, "://"); i >= 0 {
		start = i + len("://")
	}
	end := len(head)
	if _, err := url.Parse(s); err == nil {
		// The authority ends where the path begins, and a path may have an @.
		if i := strings.IndexByte(head[start:], '/'); i >= 0 {
			end = start + i
		}
	} else if strings.LastIndexByte(s, '@') >= len(head) {
		// The @ is in a query, or follows a password that looks like one.
		return head[:start] + redacted
	}
	if i := strings.LastIndexByte(head[:end], '@'); i >= start {
		head = head[:start] + redacted + head[i:]
	}
	if hasQuery {
		head += "?" + redactQuery(query)
	}
	if hasFragment {
		head += "#"
		if fragment != "" {
			head += redacted
		}
	}
	return head
}

// redactQuery keeps the names of a query's parameters. A parameter without "=" counts
// as a value.
func redactQuery(q string) string {
	if q == "" {
		return ""
	}
	parts := strings.Split(q, "&")
	for i, p := range parts {
		name, _, ok := strings.Cut(p, "=")
		if parts[i] = redacted; ok {
			parts[i] = name + "=" + redacted
		}
	}
	return strings.Join(parts, "&")
}

// redactIn redacts the URLs in a text.
func redactIn(s string) string {
	words := strings.FieldsFunc(s, isDelimiter)
	var b strings.Builder
	for _, w := range words {
		i := strings.Index(s, w)
		b.WriteString(s[:i])
		s = s[i+len(w):]
		if strings.Contains(w, "://") {
			w = Redact(w)
		}
		b.WriteString(w)
	}
	b.WriteString(s)
	return b.String()
}

func isDelimiter(r rune) bool { return unicode.IsSpace(r) || r == '"' || r == '\'' }
