package middleware

import (
	"net/http"
	"testing"

	"github.com/bearerkit/bearerkit/verify"
)

// A RequestFunc is not met, and does not panic, where there is no request of
// HTTP, as with gRPC.
func TestRequestFuncWithoutRequest(t *testing.T) {
	q := RequestFunc("no", func(r *http.Request, _ *verify.Token) error {
		t.Error("called")
		return nil
	})
	if f := q.check(&subject{id: &identity{Context: t.Context(), token: &verify.Token{}}}); f == nil || f.code.status() != http.StatusServiceUnavailable || f.reason != ReasonRequirementUnavailable {
		t.Errorf("%+v", f)
	}
}
