package dpop

import (
	"crypto"
	"time"

	"github.com/bearerkit/bearerkit/internal/strictjson"
)

// Normal returns the normal form of a URL, as proofs are compared.
func Normal(s string) (string, bool) {
	b, ok := appendURL(nil, s)
	return string(b), ok
}

var ReplayID = replayID

// Age checks an "iat" as proofs are checked.
func Age(max, leeway time.Duration, iat float64, now time.Time) (until time.Time, ok bool) {
	return age{max, leeway}.check(iat, now)
}

// ParseJWK reads a "jwk" member as it stands in a proof.
func ParseJWK(text, alg string) (public crypto.PublicKey, thumbprint string, err error) {
	var v strictjson.Value
	if err := strictjson.Object(`{"jwk":`+text+`}`, func(_ string, value strictjson.Value) { v = value }); err != nil {
		return nil, "", err
	}
	k, err := parseJWK(v, alg)
	if err != nil {
		return nil, "", err
	}
	t := k.thumbprint()
	public, err = k.public()
	return public, encode(t[:]), err
}

// SetElapsed makes a memory measure by f how much time has passed, in place of
// the monotonic clock.
func SetElapsed(m *Memory, f func() time.Duration) {
	m.elapsed = func(time.Time) time.Duration { return f() }
}
