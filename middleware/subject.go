package middleware

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/bearerkit/bearerkit/verify"
)

// A subject is what a guard decides about: what a client presents, and the identity
// that this proves. Requirements look at it.
type subject struct {
	auth    *Auth
	by      *Authenticator  // whose the credentials are; nil: a token
	request *verify.Request // nil: there are no credentials
	scheme  string          // of the Authorization field, if it is one that is accepted; else empty
	inURL   bool            // the token was in the URL
	id      *identity       // nil until the credentials have been verified

	incoming *http.Request // as it came to the guard; nil outside of HTTP
	served   *http.Request // for the handler; nil until it is needed
	own      verify.Request
}

// read reads the credentials of an HTTP request.
func (s *subject) read() *failure {
	by, has, err := s.auth.presented(s.incoming)
	s.scheme = has.scheme
	if err != nil {
		return badCredentials(err)
	}
	if has.token == "" {
		return nil
	}
	s.by, s.inURL, s.request = by, has.inURL, &s.own
	s.own.Token = has.token
	if by == nil {
		s.present(has.scheme)
	}
	return nil
}

// present fills in what may prove that the token is the client's.
func (s *subject) present(scheme string) {
	r, p := s.incoming, &s.own
	p.Scheme = scheme
	p.Proofs = r.Header["Dpop"]
	p.Method, p.Host, p.Target = r.Method, r.Host, r.RequestURI
	if p.Target == "" && r.URL != nil {
		p.Target = r.URL.EscapedPath() // a request that was made in this process
	}
	if source := s.auth.config.ClientCertificate; source != nil {
		p.Certificate = func() ([32]byte, error) { return source.Thumbprint(r) }
	}
}

// identify finds out whose the credentials are and resolves the user, unless an
// earlier guard has done so. It leaves the identity in s if the credentials are
// good, even if it returns a failure.
func (s *subject) identify(ctx context.Context, fresh bool) *failure {
	a, p := s.auth, s.request
	if id, _ := ctx.Value(identityOf{a}).(*identity); id != nil && id.by == s.by && id.presentedIn(p) &&
		(id.request.Fresh || !fresh && !p.Fresh) && !a.expired(id.token) {
		s.id, s.request = id.on(ctx), id.request
		return nil
	}
	fresh = fresh || p.Fresh
	if earlier := latest(ctx); earlier != nil && earlier.request != nil && earlier.by == nil && s.by == nil && earlier.presentedIn(p) {
		*p = *earlier.request // it remembers what was proved
	}
	p.Fresh = fresh
	t, f := a.vouch(ctx, s.by, p)
	if f != nil {
		return f
	}
	if s.by == nil && len(p.Proofs) > 0 && strings.EqualFold(s.scheme, schemeBearer) && a.accepts(schemeDPoP) {
		return malformedRequest("a DPoP proof beside a Bearer token")
	}
	s.id = &identity{Context: ctx, auth: a, by: s.by, request: p, token: t, counted: true}
	if a.config.User.find == nil {
		return nil
	}
	var err error
	if s.id.user, err = a.config.User.find(ctx, t); err != nil {
		return failureOf(err, userDenied, userUnavailable)
	}
	return nil
}

// vouch verifies a token, or asks the authenticator of other credentials.
func (a *Auth) vouch(ctx context.Context, by *Authenticator, p *verify.Request) (*verify.Token, *failure) {
	if by != nil {
		return a.authenticate(ctx, by, p.Token)
	}
	t, err := a.verifier.VerifyRequest(ctx, p)
	if err != nil {
		return nil, badTokenFailure(p.Token, err)
	}
	return t, nil
}

// expired reports whether a token that was good has expired meanwhile. One that
// is not a JWT need not have an expiry.
func (a *Auth) expired(t *verify.Token) bool {
	return !t.Expiry.IsZero() && !a.verifier.Now().Before(t.Expiry.Add(a.verifier.Leeway()))
}

// presentedIn reports whether a request presents the credentials of the identity in
// the same way: with the same scheme and proofs, and, if the token is bound to a
// key, for the same use and with the same certificate. A handler that sends a request
// on to another route has no proof for that.
func (c *identity) presentedIn(p *verify.Request) bool {
	was := c.request
	switch {
	case was.Token != p.Token || !strings.EqualFold(schemeOf(was), schemeOf(p)) || !slices.Equal(was.Proofs, p.Proofs):
		return false
	case !c.token.Bound():
		return true
	case was.Method != p.Method || was.Host != p.Host || was.Target != p.Target:
		return false
	case was.Certificate == nil || p.Certificate == nil:
		return was.Certificate == nil && p.Certificate == nil
	}
	one, err := was.Certificate()
	other, otherErr := p.Certificate()
	return one == other && (err == nil) == (otherErr == nil)
}

// schemeDPoP is the scheme of RFC 9449, the only one whose proofs are in a field of
// the request.
const schemeDPoP = "DPoP"

func schemeOf(p *verify.Request) string {
	if p.Scheme == "" {
		return schemeBearer
	}
	return p.Scheme
}

// anonymous returns the context of a request that is served without credentials.
// A handler may have sent it on with the same context and another header: the user
// of an earlier guard stays only if its credentials are still in the request. A
// user that the application has put there itself stays.
func (s *subject) anonymous(ctx context.Context, earlier *identity) context.Context {
	id := &identity{Context: ctx, counted: true}
	switch {
	case earlier == nil:
	case earlier.auth == nil:
		id.token, id.user = earlier.token, earlier.user
	case s.incoming != nil:
		again := subject{auth: earlier.auth, incoming: s.incoming}
		if again.read() == nil && again.by == earlier.by && again.request != nil && earlier.presentedIn(again.request) {
			return ctx
		}
	}
	return id
}

// httpRequest returns the request for the handler; nil outside of HTTP. What a
// requirement sets in it, such as a parsed form, is there for the handler.
func (s *subject) httpRequest() *http.Request {
	if s.served == nil && s.incoming != nil {
		s.served = s.incoming
		s.serve(s.id)
	}
	return s.served
}

// serve makes s.served the request with the given context.
func (s *subject) serve(ctx context.Context) {
	if s.served == nil {
		s.served = s.incoming
	}
	if !sameContext(s.served.Context(), ctx) {
		s.served = s.served.WithContext(ctx)
	}
}

// setHeader sets what the header of an admitted answer needs.
func (s *subject) setHeader(h http.Header) {
	if s.request == nil {
		return
	}
	if s.inURL {
		h.Set("Cache-Control", "private") // RFC 6750 section 2.3
	}
	for name, value := range s.request.AnswerFields() {
		h.Set(name, value)
		h.Set("Cache-Control", "no-store") // the field is for this client alone (RFC 9449 section 8.2)
	}
}

// attempted returns the scheme that the client used, or "" if it is not known.
func (s *subject) attempted() string {
	if s.request != nil && s.by == nil {
		return schemeOf(s.request)
	}
	return s.scheme
}

// badTokenFailure is the failure of a token that the verifier did not accept. It
// names the mistake, if it is a known one.
func badTokenFailure(token string, err error) *failure {
	f := refusedToken(err)
	switch {
	case f.code == codeInvalidRequest && token != "":
		return f.saying(tokenMistake(token))
	case f.reason == Reason(verify.ErrMalformed):
		if mistake := jwtMistake(token); mistake != "" {
			return f.saying(mistake)
		}
	}
	return f
}

// refusedToken returns the failure that an error of the verifier means.
func refusedToken(err error) *failure {
	var e *verify.Error
	if !errors.As(err, &e) {
		e = &verify.Error{Reason: verify.ErrUnavailable, Cause: err}
	}
	f := badToken(e.Description(), Reason(e.Reason))
	switch {
	case e.Reason == verify.ErrUnavailable && (e.Part == "check" || e.Part == "condition" || e.Part == "binding"):
		f = unavailable(e.Description(), ReasonCheckUnavailable)
	case e.Reason == verify.ErrUnavailable:
		f = unavailable(e.Description(), Reason(e.Reason))
	case e.Reason == verify.ErrProof || e.Reason == verify.ErrReplayed:
		f.code = codeProof
	case e.Reason == verify.ErrNonce:
		f.code = codeNonce
	case e.Reason == verify.ErrSyntax:
		return malformedRequest(e.Description())
	}
	return f.with(err)
}
