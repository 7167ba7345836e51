package middleware

import (
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"time"

	"github.com/bearerkit/bearerkit/verify"
)

// An identity is a context that has the user and the token of a request. It is the
// context itself rather than a value in one, which saves an allocation for each
// request. Every guard puts a new one on top of the context that it finds, so
// that values, spans and deadlines of layers between two guards stay.
type identity struct {
	context.Context
	auth    *Auth           // whose guard admitted the request by its credentials; nil if none did
	by      *Authenticator  // whose the credentials are; nil: a token
	request *verify.Request // what the client presented; never changed from here on
	token   *verify.Token
	user    any
	counted bool // the Observer has been told of this request
}

// identityKey is the key of the latest identity in a context, identityOf of the
// latest that a guard of one Auth has put there.
type (
	identityKey struct{}
	identityOf  struct{ auth *Auth }
)

func (c *identity) Value(key any) any {
	switch k := key.(type) {
	case identityKey:
		return c
	case identityOf:
		if k.auth == c.auth {
			return c
		}
	}
	return c.Context.Value(key)
}

// on returns the identity on top of another context of the same request.
func (c *identity) on(ctx context.Context) *identity {
	if sameContext(ctx, c) {
		return c
	}
	again := *c
	again.Context = ctx
	return &again
}

// sameContext reports whether two contexts are known to be one. Only pointers are
// compared: Go cannot compare values of every type.
func sameContext(a, b context.Context) bool {
	return reflect.TypeOf(a).Kind() == reflect.Pointer && a == b
}

// Format prints the type and nothing more, whatever the verb.
func (c *identity) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, "middleware.identity") }

// String is for packages that call it instead of printing, such as context.
func (c *identity) String() string { return "middleware.identity" }

// latest returns the latest identity in a context, or nil.
func latest(ctx context.Context) *identity {
	id, _ := ctx.Value(identityKey{}).(*identity)
	return id
}

// UserFrom returns the user that the resolver found, if the request has one and
// it is a U.
func UserFrom[U any](ctx context.Context) (U, bool) {
	if id := latest(ctx); id != nil {
		u, ok := id.user.(U)
		return u, ok
	}
	var none U
	return none, false
}

// TokenFrom returns the request's verified token, if it has one.
func TokenFrom(ctx context.Context) (*verify.Token, bool) {
	if id := latest(ctx); id != nil && id.token != nil {
		return id.token, true
	}
	return nil, false
}

// NewContext returns a context with a user and a token, as handlers find them
// behind a guard; either may be nil. It is for tests of an application's
// handlers, with a token of
// [github.com/bearerkit/bearerkit/verify/verifytest.NewToken]. Guards do not accept
// it in place of credentials.
func NewContext(ctx context.Context, user any, token *verify.Token) context.Context {
	return &identity{Context: ctx, token: token, user: user}
}

// ExposeRawToken returns the access token itself, as the client sent it, if a
// guard admitted the request by one. It exists for token exchange (RFC 8693)
// with the authorization server that issued it. Anyone who sees the token can
// act as its user: never log it, never store it, and never forward it to another
// service, which is a different audience.
func ExposeRawToken(ctx context.Context) (token string, ok bool) {
	if id := latest(ctx); id != nil && id.auth != nil && id.by == nil {
		return id.request.Token, true
	}
	return "", false
}

// UntilExpiry returns a context for a response that may outlive the request's
// token, such as a stream or a WebSocket. It ends when the token expires (the
// leeway of the verifier included), with [verify.ErrExpired] as its
// [context.Cause]; it also ends with ctx and when cancel is called. It does not
// notice that a token was revoked meanwhile: see [Recheck]. If the request has no
// token, or the token has no expiry, only ctx and cancel end it.
func UntilExpiry(ctx context.Context) (_ context.Context, cancel context.CancelFunc) {
	id := latest(ctx)
	if id == nil || id.token == nil || id.token.Expiry.IsZero() {
		return context.WithCancel(ctx)
	}
	left := time.Until(id.token.Expiry)
	if id.auth != nil {
		left = id.token.Expiry.Add(id.auth.verifier.Leeway()).Sub(id.auth.verifier.Now())
	}
	return context.WithTimeoutCause(ctx, left, verify.ErrExpired)
}

// Recheck verifies the credentials by which the request was admitted once more,
// for a response that lasts: it notices that the token has expired, that its key
// was withdrawn, or that it was revoked, as far as a new request would. A proof
// of possession is not checked again. The error is that of
// [verify.Verifier.VerifyRequest], or of the [Authenticator]. One that wraps
// [verify.ErrUnavailable] means nothing for the token; it is also returned if no
// guard has admitted the request.
func Recheck(ctx context.Context) error {
	id := latest(ctx)
	if id == nil || id.auth == nil {
		return fmt.Errorf("middleware: no credentials to check: %w", verify.ErrUnavailable)
	}
	again := *id.request // which others may be reading
	_, f := id.auth.vouch(ctx, id.by, &again)
	switch {
	case f == nil:
		return nil
	case f.unavailable() && !errors.Is(f.cause, verify.ErrUnavailable):
		return fmt.Errorf("%w: %w", verify.ErrUnavailable, f.cause)
	case f.cause == nil:
		return errors.New("middleware: " + f.description)
	}
	return f.cause
}
