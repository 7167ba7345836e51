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
)

// A fault says who is to blame for a call that brought no answer.
type fault int

const (
	// faultNone: no call was made, or the source was closed.
	faultNone fault = iota
	// faultAnswer: the server has answered, but not the question. A token may
	// provoke that: a 400, a 500, something that is not an answer.
	faultAnswer
	// faultBroken: the connection or a gateway failed, or the answer did not
	// come in time.
	faultBroken
	// faultSetup: this client's credentials or the endpoint's address are
	// wrong. That does not change by itself.
	faultSetup
)

// A callError says why there is no answer. It holds nothing that the server has
// written: a server that knows the token could write it.
type callError struct {
	fault fault
	text  string
	// graced says that an earlier answer may be reused: the server is down,
	// or has an internal fault.
	graced bool
	cause  error
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

func isGraced(err error) bool {
	var e *callError
	return errors.As(err, &e) && e.graced
}

var (
	errOpen   = &callError{text: "the introspection endpoint has not answered lately; it is tried again within a second", graced: true}
	errBusy   = &callError{text: "too many questions are waiting for the introspection endpoint", graced: true}
	errClosed = &callError{text: "the source is closed"}
	errEnded  = &callError{text: "a function of the configuration has ended its goroutine", graced: true, fault: faultSetup}
)

const signedType = "token-introspection+jwt" // RFC 9701 section 5

// call asks about a token: it returns the answer's claims, and whether the token
// is active. A function of the user's that panics (credentials, a transport) ends
// neither the process nor the source.
func (s *Source) call(token string) (claims string, active bool, err error) {
	defer recovered(&err)
	ctx, cancel := context.WithTimeout(s.life, s.client.Timeout())
	defer cancel()
	at, err := s.endpoint(ctx)
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
			return "", false, &callError{text: "this client has no credentials in time", fault: faultBroken, graced: true}
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
		if text, err = openSigned(ctx, open, strings.TrimSpace(text), s.config.Auth.clientID); err != nil {
			return "", false, err
		}
	} else if s.config.Signed {
		return "", false, notAnswer("the answer is not signed")
	}
	return read(text)
}

// recovered makes a panic an error; it must be deferred. Of the panic's value the
// error has only what the runtime has written: anything else may hold credentials.
func recovered(err *error) {
	p := recover()
	if p == nil {
		return
	}
	what := fmt.Sprintf("%T", p)
	if e, ok := p.(runtime.Error); ok {
		what = e.Error()
	}
	*err = &callError{text: "a function of the configuration panicked: " + what, fault: faultSetup, graced: true}
}

func notAnswer(text string) error { return &callError{text: text, fault: faultAnswer, graced: true} }

// read reads an answer (RFC 7662 section 2.2): one strict JSON object with a
// boolean "active". Anything else, an error object included, is not an answer.
func read(text string) (claims string, active bool, err error) {
	var member strictjson.Value
	err = strictjson.Object(text, func(name string, value strictjson.Value) {
		if name == "active" {
			member = value
		}
	})
	switch {
	case err != nil:
		return "", false, notAnswer("the answer is not a JSON object, or not a strict one")
	case member.True():
		return text, true, nil
	case member.Kind() == strictjson.Bool:
		return "", false, nil
	}
	return "", false, notAnswer(`the answer has no "active" that is a boolean`)
}

// openSigned returns what a signed answer holds (RFC 9701 section 5).
func openSigned(ctx context.Context, open func(context.Context, string, string, ...string) (string, error), jws, clientID string) (string, error) {
	var audience []string
	if clientID != "" {
		audience = append(audience, clientID)
	}
	claims, err := open(ctx, jws, signedType, audience...)
	if err != nil {
		return "", notAnswer("the signed answer cannot be believed: " + err.Error())
	}
	var inner strictjson.Value
	_ = strictjson.Object(claims, func(name string, value strictjson.Value) {
		if name == "token_introspection" {
			inner = value
		}
	})
	if inner.Kind() != strictjson.Obj {
		return "", notAnswer("the signed answer holds none")
	}
	return string(inner), nil
}

// fromUpstream describes a call that brought no document.
func fromUpstream(err error) *callError {
	c := &callError{text: err.Error(), fault: faultAnswer, graced: true}
	var e *upstream.Error
	if !errors.As(err, &e) {
		return c // a document that cannot be used
	}
	c.graced = e.Broken || e.Status == http.StatusOK || e.Status >= 500 || e.Status == http.StatusTooManyRequests
	switch {
	case e.Broken || e.Status >= 502 && e.Status <= 504:
		c.fault = faultBroken
	case e.Status == http.StatusUnauthorized, e.Status == http.StatusForbidden:
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

// A place is where the endpoint is.
type place struct {
	url    string
	signed bool      // the server offers signed answers
	asked  time.Time // when metadata was last asked for
	err    error     // why there is no URL
}

const (
	// placeLifetime is how long metadata is believed, and placeRetry how soon
	// it is asked for again if calls fail.
	placeLifetime = time.Hour
	placeRetry    = 10 * time.Second
	// placeMissing is how long it is remembered that a server which answers has
	// no metadata: it is noticed soon when it has, and tokens that somebody
	// makes up cost it little meanwhile. Where it does not answer, the breaker
	// sees to that.
	placeMissing = time.Second
)

// endpoint returns where to ask. Only the first question waits for metadata:
// what is known is good enough until there is something newer.
func (s *Source) endpoint(ctx context.Context) (place, error) {
	if s.config.URL != "" {
		return place{url: s.config.URL}, nil
	}
	s.mu.Lock()
	known := s.place
	age := upstream.Since(known.asked, s.now())
	old := age >= placeLifetime || age > placeRetry && s.report.state == StateFailing
	if known.url != "" && old {
		s.place.asked = s.now()
	}
	s.mu.Unlock()
	switch {
	case known.url != "" && !old:
		return known, nil
	case known.err != nil && age < placeMissing:
		return place{}, known.err
	}
	found := s.share("metadata", discoveryPatience, func() (any, error) {
		ctx, cancel := context.WithTimeout(s.life, s.client.Timeout())
		defer cancel()
		p, err := s.discover(ctx)
		s.mu.Lock()
		defer s.mu.Unlock()
		if err == nil {
			s.place = p
		} else if s.place.url == "" && faultOf(err) != faultBroken {
			s.place = place{asked: s.now(), err: err}
		}
		return p, err
	})
	if known.url != "" {
		return known, nil
	}
	select {
	case r := <-found:
		p, _ := r.Val.(place)
		return p, r.Err
	case <-ctx.Done():
		return known, &callError{text: "metadata: the issuer does not answer in time", fault: faultBroken, graced: true}
	}
}

// discover reads the issuer's metadata: whichever document has the endpoint.
func (s *Source) discover(ctx context.Context) (place, error) {
	var p place
	err := s.client.Discover(ctx, s.issuer, false, func(m upstream.Metadata, _ *upstream.Response) error {
		u, err := m.Endpoint("introspection_endpoint", s.issuer, s.config.InsecureHTTP)
		if err == nil {
			p = place{url: u, signed: m["introspection_signing_alg_values_supported"].Kind() == strictjson.Array, asked: s.now()}
		}
		return err
	})
	if err == nil {
		return p, nil
	}
	e := &callError{text: "metadata: " + err.Error(), fault: faultSetup, graced: true}
	var all upstream.DiscoveryError
	if errors.As(err, &all) && fromUpstream(all[len(all)-1]).fault == faultBroken {
		e.fault = faultBroken
	}
	return p, e
}
