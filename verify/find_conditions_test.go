package verify_test

import (
	"errors"
	"testing"

	"github.com/bearerkit/bearerkit/verify"
)

// Issuers that are found have the bindings and conditions of the configuration, and
// conditions of their own, which are closed with them.
func TestConditionsOfFoundIssuers(t *testing.T) {
	d := newDirectory(tenant(1), tenant(2))
	own, all, p := &watcher{name: "own"}, &watcher{name: "all"}, dpop()
	d.edit[tenant(1)] = func(is *verify.Issuer) { is.Conditions = []verify.Condition{own} }
	d.edit[tenant(2)] = func(is *verify.Issuer) { is.Bindings = []verify.Binding{dpop()} }
	v := finding(t, d, func(c *verify.Config) { conditions(all)(c); bind(p)(c) })
	accept(t, v, of(tenant(1)))
	if len(own.awaited) != 1 || len(all.awaited) != 1 || own.bound != 1 {
		t.Errorf("asked %d and %d times, bound %d times", len(own.awaited), len(all.awaited), own.bound)
	}
	if _, err := v.VerifyRequest(t.Context(), &verify.Request{Token: of(tenant(1), "cnf", `{"jkt":"a"}`), Scheme: "DPoP"}); err != nil {
		t.Error(err)
	}
	refuse(t, v, of(tenant(1), "cnf", `{"jkt":"a"}`), verify.ErrBound)
	own.health = &verify.Health{Part: "own", LastError: errors.New("down")}
	if !v.Ready() {
		t.Error("the trouble of one tenant keeps the others away")
	}
	names := map[string]bool{}
	for _, h := range v.Health() {
		names[h.Part] = true
	}
	if !names["keys"] || !names["own"] || !names["all"] {
		t.Errorf("parts %v", names)
	}
	v.ForgetIssuer(tenant(1))
	if own.closed != 1 || all.closed != 0 {
		t.Errorf("closed %d and %d times", own.closed, all.closed)
	}
	refuse(t, v, of(tenant(2)), verify.ErrUnavailable) // its bindings would be asked too late
}
