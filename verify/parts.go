package verify

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"strings"
)

// What follows deals with key sources and introspectors, which anybody may
// write: nothing is taken for granted about what they return.

var errNoSet = errors.New("verify: the key source returned neither a key set nor an error")

// keySetOf returns the source's key set, or an error.
func keySetOf(source KeySource) (set *KeySet, err error) {
	defer recovered("key source", &err)
	set, err = source.KeySet()
	if set == nil && err == nil {
		err = errNoSet
	}
	return set, err
}

// refreshed returns the source's newest key set, or an error.
func refreshed(ctx context.Context, source KeySource, d Demand) (set *KeySet, err error) {
	defer recovered("key source", &err)
	set, err = source.Refresh(ctx, d)
	if set == nil && err == nil {
		err = errNoSet
	}
	return set, err
}

// introspected returns what the introspector says, or an error.
func introspected(ctx context.Context, in Introspector, q *Query) (a *Answer, err error) {
	defer recovered("introspector", &err)
	return in.Introspect(ctx, q)
}

// ready returns why the introspector cannot answer now, if it knows.
func ready(in Introspector) (err error) {
	defer recovered("introspector", &err)
	if r, ok := in.(interface{ Ready() error }); ok {
		return r.Ready()
	}
	return nil
}

// recovered makes a panic an error; it must be deferred. A panic in a part that
// verifies tokens means that nobody knows whether the token is good: that is
// ErrUnavailable, and neither a refusal nor the end of the process. The error
// says where it happened; of the value it has only what the runtime wrote, as
// anything else may hold bytes of the token.
func recovered(part string, err *error) {
	p := recover()
	if p == nil {
		return
	}
	what := fmt.Sprintf("%T", p)
	if e, ok := p.(runtime.Error); ok {
		what = e.Error()
	}
	*err = fmt.Errorf("verify: the %s panicked (%s) in %s", part, what, panicking())
}

// panicking returns the function and line that panicked.
func panicking() string {
	var callers [32]uintptr
	frames := runtime.CallersFrames(callers[:runtime.Callers(3, callers[:])])
	for {
		f, more := frames.Next()
		if !strings.HasPrefix(f.Function, "runtime.") || !more {
			return fmt.Sprintf("%s, line %d", f.Function, f.Line)
		}
	}
}

// check reports the faults of a part of the configuration without changing it,
// as far as the part can tell.
func check(part any, issuer string) error {
	if c, ok := part.(interface{ Check(issuer string) error }); ok {
		return c.Check(issuer)
	}
	return nil
}

// needsAudience reports whether an introspector is of no use to an issuer without
// an audience.
func needsAudience(in Introspector) bool {
	n, ok := in.(interface{ NeedsAudience() bool })
	return ok && n.NeedsAudience()
}

// unbind undoes a Bind.
func unbind(part any) {
	if u, ok := part.(interface{ Unbind() }); ok {
		u.Unbind()
	}
}

// isNil reports whether a part is missing, be it as a nil pointer.
func isNil(part any) bool {
	v := reflect.ValueOf(part)
	return part == nil || v.Kind() == reflect.Pointer && v.IsNil()
}

// identical reports whether two parts are one.
func identical(a, b any) bool {
	return a != nil && b != nil && reflect.TypeOf(a) == reflect.TypeOf(b) && reflect.ValueOf(a).Comparable() && a == b
}

// bindAll binds every part of the configuration. If one of them cannot be bound,
// none is: another verifier may have taken it since it was checked.
func (v *Verifier) bindAll() error {
	var bad faultList
	var done []any
	for _, is := range v.list {
		done = append(done, v.bind(is, &bad)...)
	}
	if len(bad) > 0 {
		for _, part := range done {
			unbind(part)
		}
	}
	return bad.ErrOf("verify")
}

// bind binds the parts of one issuer and returns those that are bound now.
func (v *Verifier) bind(is *issuer, bad *faultList) (done []any) {
	if err := is.keys.Bind(is.name); err != nil {
		bad.Join(is.field+"Keys", err)
	} else {
		done = append(done, is.keys)
	}
	if is.introspection == nil {
		return done
	}
	in := is.introspection.Introspector
	if err := in.Bind(is.name, v.opener(is)); err != nil {
		bad.Join(is.field+"Introspection", err)
	} else {
		done = append(done, in)
	}
	return done
}
