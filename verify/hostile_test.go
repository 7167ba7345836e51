package verify_test

import (
	"testing"

	"github.com/bearerkit/bearerkit/internal/hostile"
	"github.com/bearerkit/bearerkit/verify"
)

// TestHostileTokens tries the tokens of internal/hostile. Those that need no key to be
// refused are refused without asking for one: a caller cannot provoke requests to the
// issuer with them.
func TestHostileTokens(t *testing.T) {
	w := hostile.NewWorld(testIssuer, testAudience, testNow)
	var published []verify.Key
	for _, k := range w.Keys {
		published = append(published, verify.Key{ID: k.ID, Algorithm: k.Algorithm, Public: k.Public()})
	}
	keys := &source{set: keySet(published...)}
	v, _ := build(t, func(c *verify.Config) { c.Issuers[0].Keys = keys })
	strict, _ := build(t, func(c *verify.Config) { c.Issuers[0].Keys, c.RFC9068 = &source{set: keys.set}, true })
	for _, c := range hostile.Cases() {
		t.Run(c.Name, func(t *testing.T) {
			token, err := c.Token(w)
			if err != nil {
				t.Fatal(err)
			}
			keys.asked()
			run(t, v, []row{{"default", token, c.Expect.Reason, c.Expect.Part}})
			asked, refreshed := keys.asked()
			needsKey := c.Expect.Reason == accepted || c.Expect.Reason == verify.ErrUnknownKey || c.Expect.Reason == verify.ErrSignature ||
				c.Expect.Part == "act" // which is read when the signature has verified
			if !needsKey && asked+refreshed > 0 {
				t.Errorf("asked for keys %d times, for newer ones %d times", asked, refreshed)
			}
			if c.Strict != nil {
				run(t, strict, []row{{"RFC 9068", token, c.Strict.Reason, c.Strict.Part}})
			}
			if t.Failed() {
				t.Logf("why: %s", c.Why)
			}
		})
	}
}
