package middleware

import (
	"context"
	"errors"
	"reflect"

	"github.com/bearerkit/bearerkit/verify"
)

// ErrNoUser is returned, wrapped or not, by a resolver for a token whose subject is
// not a user of the application. The request is refused with 401 invalid_token.
var ErrNoUser = errors.New("no such user")

// A Resolver finds the application's user for a verified token; see [Resolve].
type Resolver struct {
	find func(context.Context, *verify.Token) (any, error)
}

// Resolve makes a resolver of a function that finds the user, a value of any
// type of the application's, by issuer and subject. It is called once per
// request, with the request's context, after the token has been verified and
// before the requirements are checked.
//
// If find returns [ErrNoUser], the answer is 401, and so it is if the user is nil: a
// nil pointer, map, slice, function or channel, also inside an interface.
// [ErrDenied] is 403, for a user who is blocked. Any other error is 503: a user
// store that is down must not log anybody out.
func Resolve[U any](find func(ctx context.Context, t *verify.Token) (U, error)) Resolver {
	if find == nil {
		panic("middleware: Resolve of a nil function")
	}
	return Resolver{func(ctx context.Context, t *verify.Token) (any, error) {
		u, err := find(ctx, t)
		if err != nil {
			return nil, err
		}
		var user any = u
		if isNil(reflect.ValueOf(user)) {
			return nil, ErrNoUser
		}
		return user, nil
	}}
}

// isNil reports whether v is nil, or leads to nothing but nil by pointers and
// interfaces.
func isNil(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Invalid: // a nil interface
		return true
	case reflect.Pointer, reflect.Interface:
		return isNil(v.Elem())
	case reflect.Map, reflect.Slice, reflect.Func, reflect.Chan, reflect.UnsafePointer:
		return v.IsNil()
	}
	return false
}
