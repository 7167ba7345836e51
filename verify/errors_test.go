package verify_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/bearerkit/bearerkit/verify"
)

// The reasons are a closed set whose texts others count and compare by.
func TestReasons(t *testing.T) {
	want := []string{"too_large", "syntax", "malformed", "critical", "algorithm", "type", "issuer", "expired", "not_yet_valid",
		"audience", "claim", "bound", "proof", "nonce", "replayed", "unknown_key", "signature", "inactive", "rejected", "unavailable"}
	seen := map[string]bool{}
	for i, r := range verify.Reasons() {
		if i >= len(want) || string(r) != want[i] {
			t.Errorf("reason %d is %q", i, string(r))
		}
		d := r.Description()
		if d == string(r) || seen[d] || strings.HasSuffix(d, ".") || r.Error() != "verify: "+d {
			t.Errorf("description %q", d)
		}
		seen[d] = true
		for _, c := range []byte(d) {
			if c < ' ' || c > '~' || c == '"' || c == '\\' {
				t.Errorf("description %q holds %q (RFC 6750 section 3)", d, c)
			}
		}
	}
	if len(seen) != len(want) {
		t.Errorf("%d reasons, want %d", len(seen), len(want))
	}
	verify.Reasons()[0] = "x"
	if verify.Reasons()[0] != verify.ErrTooLarge {
		t.Error("the set can be changed")
	}
	if d := verify.Reason("other").Description(); d != "other" {
		t.Errorf("description %q", d)
	}
}

func TestError(t *testing.T) {
	cause := errors.New("the cause")
	var e error = fmt.Errorf("wrapped: %w", &verify.Error{Reason: verify.ErrClaim, Part: "exp", Cause: cause})
	if !errors.Is(e, verify.ErrClaim) || errors.Is(e, verify.ErrExpired) || !errors.Is(e, cause) {
		t.Errorf("%v", e)
	}
	var v *verify.Error
	if !errors.As(e, &v) || v.Description() != verify.ErrClaim.Description()+" (exp)" || strings.Contains(v.Description(), "cause") {
		t.Errorf("%q", v.Description())
	}
	if !strings.Contains(v.Error(), "the cause") || !strings.Contains(v.Error(), "exp") {
		t.Errorf("%q", v.Error())
	}
	if d := (&verify.Error{Reason: verify.ErrExpired}).Description(); d != verify.ErrExpired.Description() {
		t.Errorf("%q", d)
	}
}
