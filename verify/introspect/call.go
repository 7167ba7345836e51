package introspect

import (
	"context"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"time"

	"github.com/bearerkit/bearerkit/internal/strictjson"
	"github.com/bearerkit/bearerkit/internal/upstream"
	"github.com/bearerkit/bearerkit/verify"
)

// A fault is the kind of cause why a call brought no answer.
type fault int

const (
	// faultNone: no call was made, or the source was closed.
	faultNone fault = iota
	// faultServer: the server responded, but without an answer: 400, 500, or
	// a document that is not an answer. A token may cause that.
	faultServer
	// faultTransport: the connection or a gateway failed, or there was no
	// response in time.
	faultTransport
	// faultSetup: this client's credentials or the endpoint's URL are wrong.
	// That does not change by itself.
	faultSetup
)

// A callError says why there is no answer. It has no text of the server, which knows
// the token and could send it back.
type callError struct {
	fault fault
	text  string
	stale bool // an earlier answer may be reused: the server is down or has an internal error
	cause error
}

func (e *callError) Error() string { return e.text }

func (e *callError) Unwrap() error { return e.cause }

// faultOf returns the fault of an error of call.
func faultOf(err error) fault {
	var e *callError
	if errors.As(err, &e) {
		return e.fault
	}
	return faultNone
}

// allowsStale reports whether an earlier answer may be reused after an error of call.
func allowsStale(err error) bool {
	var e *callError
	return errors.As(err, &e) && e.stale
}

var (
	errOpen   = &callError{text: "the introspection endpoint did not answer the last calls; it is called again within a second", stale: true}
	errBusy   = &callError{text: "too many calls to the introspection endpoint are waiting", stale: true}
	errClosed = &callError{text: "the source is closed"}
	errEnded  = &callError{text: "a function of the configuration ended its goroutine", stale: true, fault: faultSetup}
)

const signedType = "token-introspection+jwt" // RFC 9701 section 5

// post asks the server about a token, and returns the claims of the answer and whether
// the token is active. If a user's function panics (credentials, a transport),
// that is an error.
func (s *Source) post(token string) (claims string, active bool, err error) {
	defer recovered(&err)
	ctx, cancel := context.WithTimeout(s.ctx, s.client.Timeout())
	defer cancel()
	at, err := s.locate(ctx)
	if err != nil {
		return "", false, err
	}
	h := http.Header{"Accept": {"application/json"}}
	switch {
	case s.config.Signed:
		h.Set("Accept", "application/"+signedType)
	case at.signed && s.config.Auth.clientID != "":
		h.Set("Accept", "application/"+signedType+", application/json;q=0.9")
	}
	question := func(h http.Header) (url.Values, error) {
		form := url.Values{"token": {token}, "token_type_hint": {"access_token"}}
		return form, s.config.Auth.apply(ctx, s.issuer, form, h)
	}
	form, err := question(h)
	if err != nil {
		if ctx.Err() != nil {
			return "", false, &callError{text: "this client did not get its credentials in time", fault: faultTransport, stale: true}
		}
		return "", false, &callError{text: "this client cannot authenticate: " + err.Error(), fault: faultSetup, cause: err}
	}
	resp, err := s.client.Post(ctx, at.url, h, func() (url.Values, error) {
		first := form
		if s.config.Auth.once {
			form = nil
		}
		if first != nil {
			return first, nil
		}
		return question(http.Header{})
	})
	if err != nil {
		return "", false, fromUpstream(err)
	}
	text := string(resp.Body)
	if mediaType, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); mediaType == "application/"+signedType {
		s.mu.Lock()
		open := s.open
		s.mu.Unlock()
		if text, err = openSigned(ctx, open, s.issuer, strings.TrimSpace(text), s.config.Auth.clientID); err != nil {
			return "", false, err
		}
	} else if s.config.Signed {
		return "", false, notSigned("the answer is not signed")
	}
	return read(text)
}

// recovered turns a panic into an error; it must be deferred. The error has the text
// of a runtime error, but of any other value only the type: it may have
// credentials.
func recovered(err *error) {
	p := recover()
	if p == nil {
		return
	}
	what := fmt.Sprintf("%T", p)
	if e, ok := p.(runtime.Error); ok {
		what = e.Error()
	}
	*err = &callError{text: "a function of the configuration panicked: " + what, fault: faultSetup, stale: true}
}

// notSigned is for an answer that is not signed as it has to be, which no token can
// cause.
func notSigned(text string) error { return &callError{text: text, fault: faultSetup, stale: true} }

// read reads an answer (RFC 7662 section 2.2): one strict JSON object with a boolean
// "active". Anything else, such as an error object, is not an answer.
func read(text string) (claims string, active bool, err error) {
	var member strictjson.Value
	err = strictjson.Object(text, func(name string, value strictjson.Value) {
		if name == "active" {
			member = value
		}
	})
	e := &callError{fault: faultServer, stale: true}
	switch {
	case err == nil && member.True():
		return text, true, nil
	case err == nil && member.Kind() == strictjson.Bool:
		return "", false, nil
	case err == nil:
		e.text = `the answer has no "active" that is a boolean`
		if code := upstream.Code(text); code != "" {
			e.text += ", but the error " + code
			if isClientError(code) {
				e.fault = faultSetup
			}
		}
	default:
		e.text = "the answer is not a JSON object, or not a strict one"
		if !strings.HasPrefix(strings.TrimSpace(text), "{") {
			e.fault = faultSetup // no introspection endpoint answers so
		}
	}
	return "", false, e
}

// isClientError reports whether an error code says that the server does not accept
// this client (RFC 6749 section 5.2).
func isClientError(code string) bool {
	return code == "invalid_client" || code == "unauthorized_client"
}

// maxSignedAge is how old a signed answer may be.
const maxSignedAge = time.Minute

// openSigned returns the answer in a signed answer (RFC 9701 section 5).
func openSigned(ctx context.Context, open verify.Opener, issuer, jws, clientID string) (string, error) {
	kind := verify.Kind{Types: []string{signedType}, Audience: open.Audience(issuer), MaxAge: maxSignedAge}
	if clientID != "" {
		kind.Audience = append(kind.Audience, clientID)
	}
	claims, err := open.Open(ctx, issuer, jws, kind)
	if err != nil {
		return "", notSigned("the signed answer is not valid: " + err.Error())
	}
	var inner strictjson.Value
	_ = strictjson.Object(claims, func(name string, value strictjson.Value) {
		if name == "token_introspection" {
			inner = value
		}
	})
	if inner.Kind() != strictjson.Obj {
		return "", notSigned("the signed answer has no token_introspection object")
	}
	return string(inner), nil
}

// fromUpstream turns an error of the client into a callError.
func fromUpstream(err error) *callError {
	c := &callError{text: err.Error(), fault: faultServer, stale: true}
	var e *upstream.Error
	if !errors.As(err, &e) {
		return c // about a document
	}
	c.stale = e.Broken || e.Status == http.StatusOK || e.Status >= 500 || e.Status == http.StatusTooManyRequests
	switch {
	case e.Broken || e.Status >= 502 && e.Status <= 504:
		c.fault = faultTransport
	case e.Status == http.StatusUnauthorized, e.Status == http.StatusForbidden, isClientError(e.Code):
		c.fault = faultSetup
		c.text += ": the server does not accept this client's credentials"
	case e.Status == http.StatusNotFound, e.Status == http.StatusMethodNotAllowed, e.Status == http.StatusGone,
		e.Status == http.StatusNotImplemented, e.Status >= 300 && e.Status < 400:
		c.fault = faultSetup
		c.text += ": this is not an introspection endpoint"
	case e.Status == http.StatusBadRequest:
		c.text += ": the server refuses the question"
	}
	return c
}

// An endpoint is the introspection endpoint according to the metadata.
type endpoint struct {
	url    string
	signed bool      // the server offers signed answers
	asked  time.Time // when metadata was last requested
	err    error     // why there is no URL
}

const (
	// metadataLifetime is how long metadata is used, and metadataRetry how soon it
	// is read again if calls fail.
	metadataLifetime = time.Hour
	metadataRetry    = 10 * time.Second
	// metadataMissing is how long it is remembered that a server has no usable
	// metadata: long enough to limit the cost of invented tokens, and short
	// enough to notice a change soon. If the server does not answer, the
	// breaker limits the calls.
	metadataMissing = time.Second
)

// locate returns the endpoint. Only the first call waits for metadata; later ones use
// the last known endpoint until newer metadata has been read.
func (s *Source) locate(ctx context.Context) (endpoint, error) {
	if s.config.URL != "" {
		return endpoint{url: s.config.URL}, nil
	}
	s.mu.Lock()
	last := s.endpoint
	age := upstream.Since(last.asked, s.now())
	old := age >= metadataLifetime || age > metadataRetry && s.report.status.State() == verify.StateFailing
	if last.url != "" && old {
		s.endpoint.asked = s.now()
	}
	s.mu.Unlock()
	switch {
	case last.url != "" && !old:
		return last, nil
	case last.err != nil && age < metadataMissing:
		return endpoint{}, last.err
	}
	found := s.share("metadata", discoveryPatience, func() (any, error) {
		ctx, cancel := context.WithTimeout(s.ctx, s.client.Timeout())
		defer cancel()
		p, err := s.discover(ctx)
		s.mu.Lock()
		defer s.mu.Unlock()
		if err == nil {
			s.endpoint = p
		} else if s.endpoint.url == "" && faultOf(err) != faultTransport {
			s.endpoint = endpoint{asked: s.now(), err: err}
		}
		return p, err
	})
	if last.url != "" {
		return last, nil
	}
	select {
	case r := <-found:
		p, _ := r.Val.(endpoint)
		return p, r.Err
	case <-ctx.Done():
		return last, &callError{text: "metadata: the issuer does not answer in time", fault: faultTransport, stale: true}
	}
}

// discover reads the endpoint from the first of the issuer's metadata documents that
// has it.
func (s *Source) discover(ctx context.Context) (endpoint, error) {
	var p endpoint
	err := s.client.Discover(ctx, s.issuer, false, func(m upstream.Metadata, _ *upstream.Response) error {
		u, err := m.Endpoint("introspection_endpoint", s.issuer, s.config.InsecureHTTP)
		if err == nil {
			p = endpoint{url: u, signed: m["introspection_signing_alg_values_supported"].Kind() == strictjson.Array, asked: s.now()}
		}
		return err
	})
	if err == nil {
		return p, nil
	}
	e := &callError{text: "metadata: " + err.Error(), fault: faultSetup, stale: true}
	var all upstream.DiscoveryError
	if errors.As(err, &all) && fromUpstream(all[len(all)-1]).fault == faultTransport {
		e.fault = faultTransport
	}
	return p, e
}
