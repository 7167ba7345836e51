package middleware

import (
	"context"
	"errors"
	"reflect"

	"github.com/bearerkit/bearerkit/verify"
)

// ErrNoUser is what a resolver returns for a token whose subject is no user of
// the application. The request is refused with 401 invalid_token.
var ErrNoUser = errors.New("no such user")

// A Resolver finds the application's user for a verified token; see [Resolve].
type Resolver struct {
	find func(context.Context, *verify.Token) (any, error)
}

// Resolve makes a resolver of a function that finds the user, a value of any
// type of the application's own, by issuer and subject. It is called once per
// request, with the request's context, after the token has been verified and
// before the requirements are checked. ErrNoUser, or a nil pointer, map or
// interface, is 401; any other error is 503: a user store that is ill must not
// log anybody out.
func Resolve[U any](find func(ctx context.Context, t *verify.Token) (U, error)) Resolver {
	if find == nil {
		panic("middleware: Resolve of a nil function")
	}
	kind := reflect.TypeFor[U]().Kind()
	nilable := kind == reflect.Pointer || kind == reflect.Interface || kind == reflect.Map
	return Resolver{func(ctx context.Context, t *verify.Token) (any, error) {
		u, err := find(ctx, t)
		if err != nil {
			return nil, err
		}
		if nilable && reflect.ValueOf(&u).Elem().IsNil() {
			return nil, ErrNoUser
		}
		return u, nil
	}}
}

// An identity is a context that knows for whom a request is served. Being the
// context itself, and not a value in one, saves an allocation a request.
type identity struct {
	context.Context
	auth        *Auth
	credentials string
	token       *verify.Token
	user        any
	fresh       bool // the authorization server was asked for this request
}

type identityKey struct{}

func (c *identity) Value(key any) any {
	if key == (identityKey{}) {
		return c
	}
	return c.Context.Value(key)
}

// String keeps a context that is printed silent about the credentials.
func (c *identity) String() string { return "middleware.identity" }

// UserFrom returns the user that the resolver found, if the request has one and
// it is a U.
func UserFrom[U any](ctx context.Context) (U, bool) {
	if id, ok := ctx.Value(identityKey{}).(*identity); ok {
		u, ok := id.user.(U)
		return u, ok
	}
	var none U
	return none, false
}

// TokenFrom returns the request's verified token, if it has one.
func TokenFrom(ctx context.Context) (*verify.Token, bool) {
	if id, ok := ctx.Value(identityKey{}).(*identity); ok && id.token != nil {
		return id.token, true
	}
	return nil, false
}

// NewContext returns a context with a user and a token, as handlers find them
// behind a guard. It is for the application's tests of its handlers; either
// may be nil.
func NewContext(ctx context.Context, user any, token *verify.Token) context.Context {
	return &identity{Context: ctx, token: token, user: user}
}
