package introspect_test

import (
	"github.com/bearerkit/bearerkit/verify"
	"github.com/bearerkit/bearerkit/verify/introspect"
)

// A health has the health of a source and its detail.
type health struct {
	verify.Health
	introspect.Detail
}

func healthOf(s *introspect.Source) health {
	h := s.Health()
	return health{h, h.Detail.(introspect.Detail)}
}
