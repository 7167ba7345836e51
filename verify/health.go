package verify

import "time"

// Health is the condition of one part of a verifier, for operators: of the keys of
// an issuer, say.
type Health struct {
	Part   string // "keys", "introspection"
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
