package verify_test

import (
	"crypto/rand"
	"encoding/json"
	"testing"

	"github.com/bearerkit/bearerkit/verify"
)

// quote writes a string as JSON.
func quote(s string) string { return string(must(json.Marshal(s))) }

// A kid that is not in the key set makes the verifier ask for a newer one, once.
func TestKid(t *testing.T) {
	v, keys := build(t, nil)
	for range 100 {
		keys.asked()
		refuse(t, v, es256.token(es256.header("kid", quote(rand.Text())), claims()), verify.ErrUnknownKey)
		if n, m := keys.asked(); n != 1 || m != 1 {
			t.Fatalf("asked for keys %d times, for newer ones %d times", n, m)
		}
	}
	accept(t, v, es256.good())
	if n, m := keys.asked(); n != 1 || m != 0 {
		t.Errorf("a good token asked for keys %d times, for newer ones %d times", n, m)
	}
}
