package middleware

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/bearerkit/bearerkit/verify"
)

// A Guard decides about the requests of one route or group of routes.
type Guard struct {
	auth         *Auth
	optional     bool
	requirements []Requirement
	wants        wants
}

func newGuard(a *Auth, optional bool, requirements []Requirement) *Guard {
	g := &Guard{auth: a, optional: optional}
	for _, q := range requirements {
		if q == nil {
			panic("middleware: nil Requirement")
		}
		g.requirements = append(g.requirements, q)
		q.demand(&g.wants)
	}
	if g.wants.fresh && !a.verifier.Introspects() {
		panic("middleware: NotRevoked needs introspection for every issuer (verify.Introspection)")
	}
	if g.wants.bound && !a.verifier.Binds() {
		panic("middleware: Bound needs a binding (verify.Config.Bindings)")
	}
	return g
}

// Format prints the type and nothing more.
func (g *Guard) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, "middleware.Guard") }

// Serve decides about a request for an adapter. If the request is refused, Serve
// has written the answer. Otherwise it returns the request to go on with, whose
// context has the user and the token ([UserFrom], [TokenFrom]), and has set what
// the header of the answer needs: a new DPoP nonce and Cache-Control, where there
// is a reason. The handler may replace them.
//
// The route is its pattern, for logs and metrics, from routers that do not set
// the request's Pattern. If it is empty, the Pattern is used. The request to go on
// with may be a copy: call [Return] when the handler has returned.
//
// Guards may follow each other on one request, with other layers between them: a
// token that a guard of the same Auth has verified is not verified again until
// it expires, nor its user resolved again, unless a later guard has [NotRevoked]
// and no earlier one had it. A proof of possession is not checked twice in any
// case: it is good for one use.
func (g *Guard) Serve(w http.ResponseWriter, r *http.Request, route string) (admitted *http.Request, ok bool) {
	s, refusal := g.decide(r, route)
	if refusal != nil {
		refusal.Write(w, r)
		return nil, false
	}
	s.setHeader(w.Header())
	return s.served, true
}

// Decide decides about a request and writes nothing. It returns the request to go
// on with, as [Guard.Serve] does, or the refusal. It is for code that writes
// refusals itself; the header fields of an admitted answer are left out.
func (g *Guard) Decide(r *http.Request) (*http.Request, *Refusal) {
	s, refusal := g.decide(r, "")
	if refusal != nil {
		return nil, refusal
	}
	return s.served, nil
}

// Admit decides about a request of a transport that is not HTTP: gRPC, a message
// queue. p is what the client presents, and nil if it presents nothing;
// [Authorization] reads the token of a field. The route, a method's name perhaps,
// is for logs and metrics. Admit returns a context with the user and the token, or
// the refusal, whose Header and Status the transport translates.
//
// Admit changes p and keeps it in the context: the caller must not change it
// later. The fields that the answer has to have, whatever the decision, are in
// [verify.Request.AnswerFields].
func (g *Guard) Admit(ctx context.Context, route string, p *verify.Request) (context.Context, *Refusal) {
	s := &subject{auth: g.auth, request: p}
	if p != nil {
		s.scheme = schemeOf(p)
	}
	return g.admit(ctx, route, s, nil)
}

// decide decides about an HTTP request. s.served is the request to go on with.
func (g *Guard) decide(r *http.Request, route string) (*subject, *Refusal) {
	if route == "" {
		route = r.Pattern
	}
	s := &subject{auth: g.auth, incoming: r}
	ctx, refusal := g.admit(r.Context(), route, s, s.read())
	if refusal != nil {
		if s.served != nil {
			Return(r, s.served) // a requirement has looked at it
		}
		return nil, refusal
	}
	s.serve(ctx)
	return s, nil
}

// admit decides, and reports the decision. unreadable is the failure to read the
// credentials, or nil.
func (g *Guard) admit(ctx context.Context, route string, s *subject, unreadable *failure) (context.Context, *Refusal) {
	start := time.Now()
	earlier := latest(ctx)
	observer, within := g.auth.config.Observer, ctx
	if observer != nil {
		within = observer.Begin(ctx)
	}
	failed := unreadable
	if failed == nil {
		failed = g.check(within, s)
	}
	if failed != nil && failed.unavailable() && hungUp(ctx) {
		failed = canceled.with(failed.cause)
	}
	d := Decision{Outcome: Allowed, Status: http.StatusOK, Route: route, Nested: earlier != nil && earlier.counted}
	admitted := ctx
	if s.id != nil {
		d.Issuer = s.id.token.Issuer
		if observer != nil && !sameContext(within, ctx) {
			s.id = s.id.on(ctx)
		}
		admitted = s.id
	}
	switch {
	case failed != nil:
		d.Outcome, d.Reason, d.Status = Refused, failed.reason, failed.code.status()
		if failed.code == codeCanceled {
			d.Outcome = Canceled
		}
	case s.id == nil:
		d.Outcome = Anonymous
		admitted = s.anonymous(ctx, earlier)
	}
	d.Duration = time.Since(start)
	if rec := recordIn(ctx); rec != nil {
		rec.set(d, admitted)
	}
	g.auth.log(within, d, failed, s.id)
	if observer != nil {
		observer.End(within, d)
	}
	if failed != nil {
		return nil, g.refuse(failed, s)
	}
	return admitted, nil
}

// check verifies the credentials, resolves the user and checks the requirements.
// It leaves the identity in s if the credentials are good; without credentials on
// an optional route there is none.
func (g *Guard) check(ctx context.Context, s *subject) *failure {
	if s.request == nil {
		if g.optional {
			return nil
		}
		return g.auth.missing(s.incoming)
	}
	if f := s.identify(ctx, g.wants.fresh); f != nil {
		return f
	}
	for _, q := range g.requirements {
		if f := q.check(s); f != nil {
			return f
		}
	}
	return nil
}

// Return copies to a request what serving a copy of it has set: the route and its
// path values, for layers outside of the guard (an access log, a trace), and the
// form, because the server removes the files of its own request only.
func Return(r, served *http.Request) {
	if r == served {
		return
	}
	if r.MultipartForm == nil {
		r.MultipartForm = served.MultipartForm
	}
	if r.Form == nil {
		r.Form = served.Form
	}
	if r.PostForm == nil {
		r.PostForm = served.PostForm
	}
	if served.Pattern == r.Pattern {
		return
	}
	r.Pattern = served.Pattern
	for rest := served.Pattern; ; {
		var name string
		var ok bool
		if _, rest, ok = strings.Cut(rest, "{"); !ok {
			return
		}
		if name, rest, ok = strings.Cut(rest, "}"); !ok {
			return
		}
		if name = strings.TrimSuffix(name, "..."); name != "" && name != "$" {
			r.SetPathValue(name, served.PathValue(name))
		}
	}
}

// hungUp reports whether a request's context has ended because the client has
// gone: the server then ends it without a cause. A layer that gives up on a
// request uses a deadline or a cause.
func hungUp(ctx context.Context) bool {
	return errors.Is(ctx.Err(), context.Canceled) && context.Cause(ctx) == context.Canceled
}

// canceled replaces the failure to find something out if the client has gone: the
// service is not to blame.
var canceled = newFailure(codeCanceled, "the client did not wait for the answer", ReasonCanceled)
