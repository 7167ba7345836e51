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
