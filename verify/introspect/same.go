package introspect

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"reflect"

	"github.com/bearerkit/bearerkit/verify"
)

// Same reports whether another source has the same configuration, so that this one
// can be kept instead; see [verify.Config].FindIssuer. Clients and loggers are
// compared as pointers. Functions cannot be compared, so sources with [Bearer] are
// never the same.
func (s *Source) Same(other verify.Introspector) bool {
	o, ok := other.(*Source)
	if !ok || s.ctx.Err() != nil || o.ctx.Err() != nil {
		return false
	}
	if p := s.config.Auth.print; p == (fingerprint{}) || p != o.config.Auth.print {
		return false
	}
	a, b := reflect.ValueOf(s.config), reflect.ValueOf(o.config)
	for i := range a.NumField() {
		f := a.Field(i)
		if a.Type().Field(i).Name != "Auth" && (!f.Comparable() || !f.Equal(b.Field(i))) {
			return false
		}
	}
	return true
}

// A fingerprint stands for a client's secrets in comparisons. It is keyed, so it
// tells nothing about them outside of this process.
type fingerprint [sha256.Size]byte

var fingerprintKey = func() (k fingerprint) {
	_, _ = rand.Read(k[:]) // never fails
	return k
}()

func fingerprintOf(parts ...string) (f fingerprint) {
	h := hmac.New(sha256.New, fingerprintKey[:])
	fmt.Fprintf(h, "%q", parts)
	h.Sum(f[:0])
	return f
}
