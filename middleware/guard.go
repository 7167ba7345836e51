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
	ask          ask
}

func newGuard(a *Auth, optional bool, requirements []Requirement) *Guard {
	g := &Guard{auth: a, optional: optional}
	for _, q := range requirements {
		if q == nil {
			panic("middleware: nil Requirement")
		}
		g.requirements = append(g.requirements, q)
		q.tell(&g.ask)
	}
	if g.ask.fresh && !a.verifier.Introspects() {
		panic("middleware: NotRevoked needs introspection for every issuer (verify.Introspection)")
	}
	return g
}

// Format keeps a guard that is printed short, and silent about its parts.
func (g *Guard) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, "middleware.Guard") }

// Decide decides about a request. To serve it, Decide returns the request to go
// on with, whose context has the user and the token ([UserFrom], [TokenFrom]),
// and no refusal. Otherwise it returns the refusal, to be written with
// [Refusal.Write]. It writes nothing itself.
//
// The request to go on with may be a copy: call [Return] when the handler has
// returned.
//
// Guards may follow each other on one request, with other layers between them: a
// token that a guard of the same Auth has verified is not verified again until
// it expires, nor its user resolved again, unless a later guard has [NotRevoked] and
// no earlier one had it.
func (g *Guard) Decide(r *http.Request) (*http.Request, *Refusal) {
	return g.DecideRoute(r, "")
}

// DecideRoute is Decide for a router that does not set the request's Pattern:
// route is the pattern of the route, for logs and metrics; if it is empty, they
// have the Pattern.
func (g *Guard) DecideRoute(r *http.Request, route string) (*http.Request, *Refusal) {
	start := time.Now()
	if route == "" {
		route = r.Pattern
	}
	earlier := latest(r.Context())
	admitted, id, failed := g.decide(r)
	if failed != nil && failed.unavailable() && hungUp(r.Context()) {
		failed = canceled.with(failed.cause)
	}
	d := Decision{Outcome: Allowed, Status: http.StatusOK, Route: route, Nested: earlier != nil && earlier.counted}
	switch {
	case failed != nil:
		d.Outcome, d.Reason, d.Status = Refused, failed.reason, failed.code.status()
		if failed.code == codeCanceled {
			d.Outcome = Canceled
		}
	case id == nil:
		d.Outcome = Anonymous
		admitted = g.auth.anonymous(r, earlier)
	}
	d.Duration = time.Since(start)
	g.auth.report(r.Context(), d, failed, id)
	if rec := recordIn(r.Context()); rec != nil {
		switch {
		case failed == nil:
			rec.set(d, admitted.Context())
		case id != nil:
			rec.set(d, id)
		default:
			rec.set(d, r.Context())
		}
	}
	if failed != nil {
		if admitted != nil {
			Return(r, admitted) // a requirement has looked at it
		}
		return nil, g.refuse(failed)
	}
	return admitted, nil
}

// Return copies to a request what serving a copy of it has found out: the
// route and its path values, which layers outside of a guard look at (an access
// log, a trace), and the form, whose files the server removes with its own
// request. Without a guard, it would have been set on the request itself.
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

// anonymous returns the request without a user. A handler may have sent it on
// with its own context and other headers: the user of a guard is in there only
// as long as the credentials that it came with are in the request. A user that
// the application has put there itself stays.
func (a *Auth) anonymous(r *http.Request, earlier *identity) *http.Request {
	id := &identity{Context: r.Context(), counted: true}
	switch {
	case earlier == nil:
	case earlier.auth != nil:
		if by, credentials, _ := earlier.auth.presented(r); by == earlier.by && credentials == earlier.credentials {
			return r
		}
	default:
		id.token, id.user = earlier.token, earlier.user
	}
	return r.WithContext(id)
}

// decide returns the request to go on with and the identity that it is served
// for, or a failure. The identity is there beside a failure if the token is good,
// and the request if a requirement has looked at it. None of the three means that
// nobody is there.
func (g *Guard) decide(r *http.Request) (*http.Request, *identity, *failure) {
	a := g.auth
	by, credentials, err := a.presented(r)
	switch {
	case err != nil:
		return nil, nil, badCredentials(err)
	case credentials == "" && g.optional:
		return nil, nil, nil
	case credentials == "":
		return nil, nil, a.nothing(r)
	}
	ctx := r.Context()
	id, _ := ctx.Value(identityOf{a}).(*identity)
	if id == nil || id.by != by || id.credentials != credentials || g.ask.fresh && !id.fresh || a.expired(id.token) {
		var f *failure
		if id, f = a.identify(ctx, by, credentials, g.ask.fresh); f != nil {
			return nil, id, f
		}
	} else {
		id = id.on(ctx)
	}
	s := state{ctx: id, token: id.token, auth: a, incoming: r}
	for _, q := range g.requirements {
		if f := q.check(&s); f != nil {
			return s.served, id, f
		}
	}
	return s.request(), id, nil
}

// expired reports whether a token that was good has expired meanwhile. One that
// is not a JWT need not have an expiry.
func (a *Auth) expired(t *verify.Token) bool {
	return !t.Expiry.IsZero() && !a.verifier.Now().Before(t.Expiry.Add(a.verifier.Leeway()))
}

// identify finds out whose the credentials are and resolves the user. It returns
// the identity beside a failure if the credentials are good.
func (a *Auth) identify(ctx context.Context, by *Authenticator, credentials string, fresh bool) (*identity, *failure) {
	t, f := a.vouch(ctx, by, credentials, fresh)
	if f != nil {
		return nil, f
	}
	id := &identity{Context: ctx, auth: a, by: by, credentials: credentials, token: t, fresh: fresh, counted: true}
	if a.config.User.find == nil {
		return id, nil
	}
	var err error
	if id.user, err = a.config.User.find(ctx, t); err != nil {
		return id, said(err, userDenied, userUnavailable)
	}
	return id, nil
}

// vouch verifies a bearer token, or asks the authenticator of other credentials.
func (a *Auth) vouch(ctx context.Context, by *Authenticator, credentials string, fresh bool) (*verify.Token, *failure) {
	if by != nil {
		return a.authenticate(ctx, by, credentials)
	}
	t, err := a.verifier.VerifyRequest(ctx, &verify.Request{Token: credentials, Fresh: fresh})
	if err != nil {
		return nil, mistaken(credentials, err)
	}
	return t, nil
}

// hungUp reports whether a request's context has ended because the client has
// gone: then the server ends it without a cause. A layer that gives up on a
// request says so by a deadline, or by a cause.
func hungUp(ctx context.Context) bool {
	return errors.Is(ctx.Err(), context.Canceled) && context.Cause(ctx) == context.Canceled
}

// canceled is the failure of whatever could not be found out for a client that
// has gone: this service is not to blame.
var canceled = newFailure(codeCanceled, "the client did not wait for the answer", ReasonCanceled)
