package middleware

import (
	"context"
	"errors"
	"net/http"
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
		panic("middleware: Fresh needs introspection for every issuer (verify.Introspection)")
	}
	return g
}

// Decide decides about a request. To serve it, Decide returns the request to go
// on with, whose context has the user and the token ([UserFrom], [TokenFrom]),
// and no refusal. Otherwise it returns the refusal, to be written with
// [Refusal.Write]. It writes nothing itself.
//
// The request to go on with may be a copy: when the handler has returned, hand
// its MultipartForm to r, so that the server removes the files of an upload.
//
// Guards may follow each other on one request: a token that a guard of the
// same Auth has verified is not verified again until it expires, nor its user
// resolved again, unless a later guard has [Fresh] and no earlier one had it.
func (g *Guard) Decide(r *http.Request) (*http.Request, *Refusal) {
	start := time.Now()
	id, f := g.decide(r)
	d := Decision{Duration: time.Since(start), Status: http.StatusOK, Outcome: Allowed}
	switch {
	case f != nil:
		d.Outcome, d.Reason, d.Status = Refused, f.Reason, f.Status
	case id == nil:
		d.Outcome = Anonymous
	}
	g.auth.report(r, d, f)
	if f != nil {
		return nil, f
	}
	if id == nil {
		return anonymous(r), nil
	}
	return r.WithContext(id), nil
}

// anonymous returns the request without a user. A handler may have sent it on
// with its own context and other headers: a user is in there only as long as
// the credentials that it came with are in the request.
func anonymous(r *http.Request) *http.Request {
	id, ok := r.Context().Value(identityKey{}).(*identity)
	if !ok {
		return r
	}
	if id.auth != nil { // another Auth's guard has admitted it before this one
		if token, found := id.auth.credentials(r); found == present && token == id.credentials {
			return r
		}
	}
	return r.WithContext(&identity{Context: r.Context()})
}

func (g *Guard) decide(r *http.Request) (*identity, *Refusal) {
	a := g.auth
	token, found := a.credentials(r)
	switch {
	case found == malformed:
		return nil, a.malformed(verify.ErrSyntax.Description())
	case found == absent && g.optional:
		return nil, nil
	case found == absent:
		return nil, a.noCredentials()
	}
	ctx := r.Context()
	id, _ := ctx.Value(identityKey{}).(*identity)
	if id == nil || id.auth != a || id.credentials != token || g.ask.fresh && !id.fresh || a.expired(id.token) {
		var f *Refusal
		if id, f = a.identify(ctx, token, g.ask.fresh); f != nil {
			return nil, f
		}
	}
	s := state{ctx: id, token: id.token, auth: a}
	for _, q := range g.requirements {
		if u := q.check(&s); u != nil {
			return nil, a.unmet(u, &g.ask)
		}
	}
	return id, nil
}

// expired reports whether a token that was good has expired meanwhile. One that
// is no JWT need not have an expiry.
func (a *Auth) expired(t *verify.Token) bool {
	return !t.Expiry.IsZero() && !a.verifier.Now().Before(t.Expiry.Add(a.verifier.Leeway()))
}

// identify verifies the token and resolves its user.
func (a *Auth) identify(ctx context.Context, token string, fresh bool) (*identity, *Refusal) {
	check := a.verifier.Verify
	if fresh {
		check = a.verifier.VerifyFresh
	}
	t, err := check(ctx, token)
	if err != nil {
		return nil, a.refuseToken(err)
	}
	id := &identity{Context: ctx, auth: a, credentials: token, token: t, fresh: fresh}
	if a.config.User.find == nil {
		return id, nil
	}
	id.user, err = a.config.User.find(ctx, t)
	switch {
	case err == nil:
		return id, nil
	case errors.Is(err, ErrNoUser):
		return nil, a.noUser()
	}
	return nil, a.userUnavailable(err)
}
