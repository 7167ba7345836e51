package introspect

import "time"

// SetClock replaces the clock of a source that has not been asked.
func SetClock(s *Source, now func() time.Time) { s.now = now }
