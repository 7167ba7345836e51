package chaos_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bearerkit/bearerkit/verify/verifytest"
)

// load calls with the current token from 8 clients at a steady 500 requests a
// second in all, until it is stopped. Every answer must be 200.
type load struct {
	token   atomic.Pointer[string]
	calls   atomic.Int64
	refused atomic.Int64
	stop    chan struct{}
	clients sync.WaitGroup
}

func startLoad(t *testing.T, base, token string) *load {
	l := &load{stop: make(chan struct{})}
	start := time.Now()
	l.use(token)
	for range 8 {
		l.clients.Go(func() {
			tick := time.NewTicker(16 * time.Millisecond)
			defer tick.Stop()
			for {
				select {
				case <-l.stop:
					return
				case <-tick.C:
				}
				l.calls.Add(1)
				if status := call(base, *l.token.Load()); status != 200 && l.refused.Add(1) <= 3 {
					t.Errorf("%v: a good token got %d", time.Since(start), status)
				}
			}
		})
	}
	return l
}

func (l *load) use(token string) { l.token.Store(&token) }

func (l *load) end(t *testing.T) {
	close(l.stop)
	l.clients.Wait()
	t.Logf("%d calls, %d refused", l.calls.Load(), l.refused.Load())
}

// TestRotation rotates under load, on every framework: a new key used at once,
// the old one withdrawn later, new material under the same kid, and from RS256
// to ES256. No good token is refused, and tokens of a withdrawn key are refused after
// the advertised lifetime and a second at most.
func TestRotation(t *testing.T) {
	everywhere(t, func(t *testing.T, g ground) {
		issuer := g.issuer(t)
		const lifetime = 2 * time.Second
		issuer.SetHeader(verifytest.JWKS, "Cache-Control", "max-age=2")
		first := verifytest.NewKey("RS256")
		issuer.SetKeys(first)
		base := g.api(t, []*verifytest.Server{issuer})
		mint := func(k *verifytest.Key) string { return issuer.Token(nil, verifytest.WithKey(k)) }
		l := startLoad(t, base, mint(first))
		rotate := func(k *verifytest.Key, keep ...*verifytest.Key) {
			issuer.SetKeys(append(keep, k)...)
			l.use(mint(k))
		}
		dies := func(what string, k *verifytest.Key, withdrawn time.Time) {
			t.Helper()
			old := mint(k)
			status := 0
			for status != 401 && time.Since(withdrawn) < lifetime+time.Second {
				status = call(base, old)
				time.Sleep(20 * time.Millisecond)
			}
			if status = call(base, old); status != 401 {
				t.Errorf("%s: the withdrawn key's token got %d after %v", what, status, time.Since(withdrawn))
			}
		}
		time.Sleep(300 * time.Millisecond)

		second := verifytest.NewKey("RS256")
		began := time.Now()
		rotate(second, first)
		time.Sleep(300 * time.Millisecond)
		issuer.SetKeys(second)
		dies("withdrawn later", first, time.Now())

		third := verifytest.NewKey("RS256")
		third.ID = second.ID
		rotate(third)
		dies("the same kid", second, time.Now())

		// Two rotations have used up the budget of two. One more fetch
		// comes ten seconds after the first.
		time.Sleep(time.Until(began.Add(10*time.Second + 100*time.Millisecond)))
		fourth := verifytest.NewKey("ES256")
		rotate(fourth, third)
		time.Sleep(300 * time.Millisecond)
		issuer.SetKeys(fourth)
		dies("another algorithm", third, time.Now())
		l.end(t)
	})
}
