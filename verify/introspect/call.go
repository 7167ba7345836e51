package introspect

import (
	"context"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/sony/gobreaker/v2"

	"github.com/bearerkit/bearerkit/internal/strictjson"
	"github.com/bearerkit/bearerkit/internal/upstream"
)

// A callError says why there is no answer. It holds nothing that the server has
// written: a server that is lying could write the token.
type callError struct {
	text string
	// broken says that the call cost its time and brought nothing: what the
	// breaker counts. No token can bring that about by what it says.
	broken bool
	// ill says that the server is to blame, and neither this client nor,
	// perhaps, the token.
	ill bool
}

func (e *callError) Error() string { return e.text }

func isIll(err error) bool {
	var e *callError
	return errors.As(err, &e) && e.ill
}

var (
	errOpen   = &callError{text: "the introspection endpoint has not answered lately; it is tried again within a second", ill: true}
	errClosed = &callError{text: "the source is closed"}
)

// ask makes one call: it returns the answer's claims, and whether the token is
// active.
func (s *Source) ask(token string) (claims string, active bool, err error) {
	if s.life.Err() != nil {
		return "", false, errClosed
	}
	allowed, err := s.breaker.Allow()
	if err != nil {
		return "", false, errOpen
	}
	if s.breaker.State() == gobreaker.StateHalfOpen {
		claims, active, err = s.probe(token)
	} else {
		claims, active, err = s.introspect(token)
	}
	var e *callError
	if errors.As(err, &e) && e.broken {
		allowed(err)
	} else {
		allowed(nil)
	}
	if s.life.Err() != nil {
		return "", false, errClosed
	}
	s.note(active, err)
	return claims, active, err
}

// probe makes the call that the breaker lets through. It gives up after
// patience, unless the last one has shown that the server is back but slow: a
// call goes on for Config.Timeout on its own, to find that out.
func (s *Source) probe(token string) (string, bool, error) {
	type answer struct {
		claims string
		active bool
		err    error
	}
	s.mu.Lock()
	slow := s.slow
	s.mu.Unlock()
	done := make(chan answer, 1)
	go func() {
		began := time.Now()
		claims, active, err := s.introspect(token)
		s.mu.Lock()
		s.slow = err == nil && time.Since(began) > patience
		s.mu.Unlock()
		done <- answer{claims, active, err}
	}()
	var giveUp <-chan time.Time
	if !slow {
		giveUp = time.After(patience)
	}
	select {
	case a := <-done:
		return a.claims, a.active, a.err
	case <-giveUp:
		return "", false, &callError{text: "the server does not answer in time", broken: true, ill: true}
	}
}

const signedType = "token-introspection+jwt" // RFC 9701 section 5

func (s *Source) introspect(token string) (claims string, active bool, err error) {
	ctx, cancel := context.WithTimeout(s.life, s.client.Timeout())
	defer cancel()
	at, err := s.endpoint(ctx)
	if err != nil {
		return "", false, err
	}
	form := url.Values{"token": {token}, "token_type_hint": {"access_token"}}
	h := http.Header{"Accept": {"application/json"}}
	switch {
	case s.config.Signed:
		h.Set("Accept", "application/"+signedType)
	case at.signed:
		h.Set("Accept", "application/"+signedType+", application/json;q=0.9")
	}
	if err := s.config.Auth.apply(ctx, s.issuer, form, h); err != nil {
		if ctx.Err() != nil {
			return "", false, &callError{text: "this client has no credentials in time", broken: true, ill: true}
		}
		return "", false, fmt.Errorf("this client cannot authenticate: %w", err)
	}
	resp, err := s.client.Post(ctx, at.url, h, form)
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
		return "", false, &callError{text: "the answer is not signed", ill: true}
	}
	return read(text)
}

// read reads an answer (RFC 7662 section 2.2). A JSON object that is not strict,
// or does not say active with the boolean true, says that the token is not;
// anything else is no answer.
func read(text string) (claims string, active bool, err error) {
	var member strictjson.Value
	err = strictjson.Object(text, func(name string, value strictjson.Value) {
		if name == "active" {
			member = value
		}
	})
	switch {
	case err == nil && member.True():
		return text, true, nil
	case err == nil || strictjson.Loosely(text):
		return "", false, nil
	}
	return "", false, &callError{text: "the answer is no JSON object", ill: true}
}

// openSigned returns what a signed answer holds (RFC 9701 section 5).
func openSigned(ctx context.Context, open func(context.Context, string, string, ...string) (string, error), jws, clientID string) (string, error) {
	var audience []string
	if clientID != "" {
		audience = append(audience, clientID)
	}
	claims, err := open(ctx, jws, signedType, audience...)
	if err != nil {
		return "", &callError{text: "the signed answer cannot be believed: " + err.Error(), ill: true}
	}
	var inner strictjson.Value
	_ = strictjson.Object(claims, func(name string, value strictjson.Value) {
		if name == "token_introspection" {
			inner = value
		}
	})
	if inner.Kind() != strictjson.Obj {
		return "", &callError{text: "the signed answer holds none", ill: true}
	}
	return string(inner), nil
}

// fromUpstream says who is to blame for a call that brought no answer.
func fromUpstream(err error) *callError {
	c := &callError{text: err.Error(), ill: true}
	var e *upstream.Error
	if !errors.As(err, &e) {
		return c // a document that cannot be used
	}
	switch e.Status {
	case http.StatusUnauthorized, http.StatusForbidden:
		c.text += ": the server does not accept this client's credentials"
	case http.StatusBadRequest:
		c.text += ": the server refuses the question"
	}
	gateway := e.Status >= 502 && e.Status <= 504
	c.broken = e.Broken || gateway
	c.ill = e.Broken || e.Status == http.StatusOK || e.Status >= 500 || e.Status == http.StatusTooManyRequests
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
		var e *callError
		if err == nil {
			s.place = p
		} else if s.place.url == "" && errors.As(err, &e) && !e.broken {
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
		return known, &callError{text: "metadata: the issuer does not answer in time", broken: true, ill: true}
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
	e := &callError{text: "metadata: " + err.Error(), ill: true}
	var all upstream.DiscoveryError
	if errors.As(err, &all) {
		e.broken = fromUpstream(all[len(all)-1]).broken
	}
	return p, e
}
