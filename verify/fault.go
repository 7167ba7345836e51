package verify

import "github.com/bearerkit/bearerkit/internal/faults"

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
func Faults(err error) []*Fault { return faults.Of[Fault](err) }

type faultList = faults.List[Fault]
