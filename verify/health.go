package verify

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// Health is the condition of one part of a verifier, for operators: of the keys of
// an issuer, say.
type Health struct {
	Part   string // "keys", "introspection"; a condition or binding chooses its name
	Issuer string // whose; empty if the part is not an issuer's
	State  State
	Since  time.Time // when the part got into State
	// Ready reports that the part can do its work now. A part that is failing
	// may still be ready: with keys that it got before, say.
	Ready     bool
	LastError error // of the last attempt; nil if it succeeded
	Detail    any   // what else the part says, in a type of its package; nil: nothing
}

// A State is what a part of a verifier is doing.
type State string

// The states. A part need not have all of them.
const (
	StateStarting State = "starting" // no attempt has ended yet
	StateReady    State = "ready"    // the last attempt succeeded
	StateFailing  State = "failing"  // the last attempts failed
	StateStale    State = "stale"    // they failed for so long that what was had before may no longer be used
	StateClosed   State = "closed"   // after Close
)

// Health returns the condition of the verifier's parts: of the keys of each issuer and
// of its introspection, if it has any, and of those bindings and conditions that tell.
// Issuers of Config.FindIssuer are among them while they are in use.
func (v *Verifier) Health() []Health {
	issuers := v.list
	if v.finder != nil {
		issuers = slices.Concat(issuers, v.finder.issuers())
	}
	var list []Health
	for _, iss := range issuers {
		list = append(list, keysHealth(iss))
		if iss.introspection != nil {
			list = append(list, introspectionHealth(iss))
		}
		list = append(list, healthOf(iss.own, iss.name)...)
	}
	return append(list, healthOf(v.shared(), "")...)
}

func keysHealth(iss *issuer) Health {
	if h := healthOf([]any{iss.keys}, iss.name); len(h) > 0 {
		return h[0]
	}
	_, err := keySetOf(iss.keys)
	return newHealth("keys", iss.name, err)
}

func introspectionHealth(iss *issuer) Health {
	in := iss.introspection.Introspector
	if h := healthOf([]any{in}, iss.name); len(h) > 0 {
		return h[0]
	}
	return newHealth("introspection", iss.name, ready(in))
}

// newHealth returns the health of a part that only tells why it is not ready.
func newHealth(part, issuer string, err error) Health {
	h := Health{Part: part, Issuer: issuer, State: StateReady, Ready: err == nil, LastError: err}
	if err != nil {
		h.State = StateFailing
	}
	return h
}

// healthOf returns what those parts say that have a method Health.
func healthOf(parts []any, issuer string) (list []Health) {
	for _, p := range parts {
		if h, ok := p.(interface{ Health() Health }); ok {
			list = append(list, partHealth(h.Health, p, issuer))
		}
	}
	return list
}

func partHealth(health func() Health, part any, issuer string) (h Health) {
	var err error
	defer func() {
		if err != nil {
			h = newHealth(fmt.Sprintf("%T", part), issuer, err)
		}
	}()
	defer recovered("health of a part", &err)
	h = health()
	if h.Issuer == "" {
		h.Issuer = issuer
	}
	return h
}

// Ready reports whether tokens of at least one issuer can be verified now: its
// keys can be had and, with [Introspection.Always], its introspector can ask.
// With Config.FindIssuer it is true until Close: issuers are found when they are
// needed, and a single one without keys must not keep requests of all others away.
func (v *Verifier) Ready() bool { return v.NotReady() == nil }

// NotReady says why [Verifier.Ready] is false: for each issuer, what is missing. It
// returns nil if the verifier is ready.
func (v *Verifier) NotReady() error {
	if err := notReady(v.shared()); err != nil {
		return fmt.Errorf("verify: no token can be verified: %w", err)
	}
	if v.finder != nil {
		return v.finder.notReady()
	}
	var errs []error
	for _, iss := range v.list {
		err := iss.notReady()
		if err == nil {
			return nil
		}
		errs = append(errs, fmt.Errorf("verify: tokens of the issuer %q cannot be verified: %w", iss.name, err))
	}
	return errors.Join(errs...)
}

// notReady says why no token of the issuer can be verified now.
func (iss *issuer) notReady() error {
	if _, err := keySetOf(iss.keys); err != nil {
		return err
	}
	if in := iss.introspection; in != nil && in.Always {
		if err := ready(in.Introspector); err != nil {
			return err
		}
	}
	return notReady(iss.own)
}

// notReady returns why one of the parts is not ready, if it tells.
func notReady(parts []any) error {
	for _, h := range healthOf(parts, "") {
		if !h.Ready {
			if h.LastError == nil {
				return fmt.Errorf("%s: %s", h.Part, h.State)
			}
			return fmt.Errorf("%s: %w", h.Part, h.LastError)
		}
	}
	return nil
}
