package verify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"runtime"
	"slices"
	"strings"
)

// The functions in this file call key sources and introspectors, which an
// application may implement, and do not rely on what they return.

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

// ready returns why the introspector cannot answer now, if it can tell.
func ready(in Introspector) (err error) {
	defer recovered("introspector", &err)
	if r, ok := in.(interface{ Ready() error }); ok {
		return r.Ready()
	}
	return nil
}

// recovered turns a panic into an error; it must be deferred. After a panic it is
// not known whether the token is good, so it becomes ErrUnavailable, and neither
// a refusal nor the end of the process. The error says where the panic happened.
// It has the panic's value only if that is a runtime error, because any other
// value may contain bytes of the token.
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

// check returns the faults of a key source or an introspector without changing
// it, if it has a Check method.
func check(part any, issuer string) error {
	if c, ok := part.(interface{ Check(issuer string) error }); ok {
		return c.Check(issuer)
	}
	return nil
}

// needsAudience reports whether an introspector can work only for an issuer that has
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

// isNil reports whether a part is nil, or a nil pointer or function.
func isNil(part any) bool {
	v := reflect.ValueOf(part)
	return part == nil || (v.Kind() == reflect.Pointer || v.Kind() == reflect.Func) && v.IsNil()
}

// identical reports whether a and b are the same key source or introspector.
func identical(a, b any) bool {
	return a != nil && b != nil && reflect.TypeOf(a) == reflect.TypeOf(b) && reflect.ValueOf(a).Comparable() && a == b
}

// keepParts replaces the issuer's parts by those of the issuer before it where
// these do the same.
func (iss *issuer) keepParts(before *issuer) {
	if old, ok := before.keys.(interface{ Same(KeySource) bool }); ok && same(old.Same, iss.keys) {
		iss.keys = before.keys
	}
	if iss.introspection == nil || before.introspection == nil {
		return
	}
	if old, ok := before.introspection.Introspector.(interface{ Same(Introspector) bool }); ok && same(old.Same, iss.introspection.Introspector) {
		iss.introspection.Introspector = before.introspection.Introspector
	}
}

func same[P any](as func(P) bool, part P) (yes bool) {
	defer func() { yes = recover() == nil && yes }()
	return !isNil(part) && as(part)
}

// hasPartsOf reports whether two issuers have the same parts.
func (iss *issuer) hasPartsOf(o *issuer) bool {
	return len(iss.parts()) == len(o.parts()) && !slices.ContainsFunc(o.parts(), func(p any) bool { return !iss.has(p) })
}

// closeAll closes the parts that can be closed.
func closeAll(parts []any) error {
	var errs []error
	for _, p := range parts {
		if c, ok := p.(io.Closer); ok && !isNil(p) {
			errs = append(errs, closePart(c))
		}
	}
	return errors.Join(errs...)
}

func closePart(c io.Closer) (err error) {
	defer recovered("key source or introspector", &err)
	return c.Close()
}

// bindAll binds every part of the configuration. If one of them cannot be bound,
// none is: another verifier may have taken it since it was checked.
func (v *Verifier) bindAll() error {
	var bad faultList
	var done []any
	for _, iss := range v.list {
		done = append(done, v.bind(iss, nil, &bad)...)
	}
	done = append(done, v.bindOthers(v.shared(), "", nil, &bad)...)
	if len(bad) > 0 {
		unbindAll(done)
	}
	return bad.ErrOf("verify")
}

func unbindAll(parts []any) {
	for _, p := range parts {
		unbind(p)
	}
}

// bind binds the parts of one issuer, except those that the issuer it replaces has
// bound, and returns the ones that it has bound.
func (v *Verifier) bind(iss, before *issuer, bad *faultList) (done []any) {
	if !before.has(iss.keys) {
		if err := iss.keys.Bind(iss.name); err != nil {
			bad.Join(iss.field+"Keys", err)
		} else {
			done = append(done, iss.keys)
		}
	}
	if iss.introspection != nil && !before.has(iss.introspection.Introspector) {
		in := iss.introspection.Introspector
		if err := in.Bind(iss.name, v); err != nil {
			bad.Join(iss.field+"Introspection", err)
		} else {
			done = append(done, in)
		}
	}
	return append(done, v.bindOthers(iss.own, iss.field, before, bad)...)
}

// bindOthers binds bindings and conditions that want it. field is the beginning of
// the name of their fields.
func (v *Verifier) bindOthers(parts []any, field string, before *issuer, bad *faultList) (done []any) {
	for _, p := range parts {
		b, ok := p.(interface{ Bind(Opener) error })
		if !ok || before.has(p) {
			continue
		}
		list := "Conditions"
		if _, ok := p.(Binding); ok {
			list = "Bindings"
		}
		if err := b.Bind(v); err != nil {
			bad.Join(field+list, err)
		} else {
			done = append(done, p)
		}
	}
	return done
}
