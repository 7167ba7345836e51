// Package faults collects what is wrong with a configuration, so that all of it
// can be reported at once.
package faults

import (
	"errors"
	"fmt"
)

// A fault is verify.Fault, which this package cannot import: package verify
// imports it.
type fault = struct{ Field, Problem string }

// A List collects faults. The zero value is empty.
type List[F ~fault] []error

// Add adds a fault of a field. The problem is formatted as by fmt.Sprintf.
func (l *List[F]) Add(field, format string, args ...any) {
	f := F(fault{field, fmt.Sprintf(format, args...)})
	*l = append(*l, any(&f).(error))
}

// Join adds what is wrong with a part of the configuration, under the name of its
// field: the faults that err joins, or else err itself. It does nothing if err is
// nil.
func (l *List[F]) Join(field string, err error) {
	if err == nil {
		return
	}
	parts := Of[F](err)
	if len(parts) == 0 {
		l.Add(field, "%v", err)
	}
	for _, p := range parts {
		f, at := fault(*p), field
		if f.Field != "" {
			if at != "" {
				at += "."
			}
			at += f.Field
		}
		l.Add(at, "%s", f.Problem)
	}
}

// Err returns the faults as one error, or nil if there are none.
func (l List[F]) Err() error { return errors.Join(l...) }

// ErrOf is Err for the constructor of a package: the error says that the
// configuration of that package is invalid.
func (l List[F]) ErrOf(pkg string) error {
	if len(l) == 0 {
		return nil
	}
	return fmt.Errorf("%s: invalid configuration: %w", pkg, l.Err())
}

// Of returns the faults that err joins, however deeply.
func Of[F ~fault](err error) []*F {
	var list []*F
	switch e := err.(type) {
	case nil:
	case interface{ Unwrap() []error }:
		for _, e := range e.Unwrap() {
			list = append(list, Of[F](e)...)
		}
	case interface{ Unwrap() error }:
		list = Of[F](e.Unwrap())
	default:
		if f, ok := any(err).(*F); ok {
			list = append(list, f)
		}
	}
	return list
}
