package jwks_test

import (
	"github.com/bearerkit/bearerkit/verify"
	"github.com/bearerkit/bearerkit/verify/jwks"
)

// A health has the health of a source and its detail.
type health struct {
	verify.Health
	jwks.Detail
}

func healthOf(s *jwks.Source) health {
	h := s.Health()
	return health{h, h.Detail.(jwks.Detail)}
}
