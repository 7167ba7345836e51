package introspect_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/bearerkit/bearerkit/internal/nettest"
	"github.com/bearerkit/bearerkit/verify/introspect"
	"github.com/bearerkit/bearerkit/verify/verifytest"
)

// Answers age while the machine sleeps, and a wall clock that is set back makes none
// younger.
func TestAnswersAgeByBothClocks(t *testing.T) {
	for name, tc := range map[string]struct {
		ran, slept time.Duration
		again      bool // the server is asked again
	}{
		"at once":                {0, 0, false},
		"within the TTL":         {29 * time.Second, 0, false},
		"within, asleep":         {10 * time.Second, 19 * time.Second, false},
		"asleep for three days":  {0, 72 * time.Hour, true},
		"the rest of it, asleep": {10 * time.Second, 20 * time.Second, true},
		"set back, within":       {29 * time.Second, -72 * time.Hour, false},
		"set back":               {30 * time.Second, -72 * time.Hour, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				issuer := verifytest.NewInMemory(issuerURL)
				defer issuer.Close()
				m := nettest.NewMachine(t)
				s := open(t, issuer, func(c *introspect.Config) { c.TTL, c.Grace = 30*time.Second, time.Hour })
				introspect.SetClock(s, m.Now)
				defer s.Close()
				token := issuer.OpaqueToken(nil)
				if !ask(t, s, query(token)).Active {
					t.Fatal("inactive")
				}
				issuer.Revoke(token)
				time.Sleep(tc.ran)
				m.Sleep(tc.slept)
				if a := ask(t, s, query(token)); a.Active == tc.again {
					t.Errorf("asked again: %v", !a.Active)
				}
			})
		})
	}
	// Grace ends by both clocks, too.
	synctest.Test(t, func(t *testing.T) {
		issuer := verifytest.NewInMemory(issuerURL)
		defer issuer.Close()
		m := nettest.NewMachine(t)
		s := open(t, issuer, func(c *introspect.Config) { c.TTL, c.Grace = 30*time.Second, time.Hour })
		introspect.SetClock(s, m.Now)
		defer s.Close()
		token := issuer.OpaqueToken(nil)
		ask(t, s, query(token))
		issuer.Down()
		m.Sleep(time.Hour)
		if a := ask(t, s, query(token)); !a.Active || !a.Stale {
			t.Errorf("%+v", a)
		}
		m.Sleep(time.Minute)
		fail(t, s, query(token))
	})
}
