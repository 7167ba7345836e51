package verify

import (
	"errors"
	"fmt"
)

// A Fault is one thing wrong with a configuration. The error of [New] joins
// all of them; [Faults] takes them apart again.
type Fault struct {
	Field   string // the field's path: "Issuers[1].Audience"
	Problem string
}

func (f *Fault) Error() string {
	if f.Field == "" {
		return f.Problem
	}
	return f.Field + ": " + f.Problem
}

// Faults returns the faults that err joins, however deeply.
func Faults(err error) []*Fault {
	var list []*Fault
	switch e := err.(type) {
	case nil:
	case *Fault:
		list = append(list, e)
	case interface{ Unwrap() []error }:
		for _, e := range e.Unwrap() {
			list = append(list, Faults(e)...)
		}
	case interface{ Unwrap() error }:
		list = Faults(e.Unwrap())
	}
	return list
}

type faults []error

func (f *faults) add(field, format string, args ...any) {
	*f = append(*f, &Fault{field, fmt.Sprintf(format, args...)})
}

// join adds what is wrong with a part of the configuration.
func (f *faults) join(field string, err error) {
	if err == nil {
		return
	}
	parts := Faults(err)
	if len(parts) == 0 {
		f.add(field, "%v", err)
	}
	for _, p := range parts {
		at := field
		if p.Field != "" {
			at += "." + p.Field
		}
		f.add(at, "%s", p.Problem)
	}
}

// err joins the faults; it returns nil if there are none.
func (f faults) err() error {
	if len(f) == 0 {
		return nil
	}
	return fmt.Errorf("verify: invalid configuration: %w", errors.Join(f...))
}
