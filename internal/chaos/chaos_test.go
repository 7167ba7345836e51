package chaos_test

import (
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bearerkit/bearerkit/verify/verifytest"
)

var (
	length = flag.Duration("chaos.for", 30*time.Second, "how long the chaos of one seed lasts")
	seed   = flag.Uint64("chaos.seed", 0, "the only seed to use; 0 uses a few that stay the same, and with -chaos.long others that are drawn")
)

// maxAge is the lifetime that the issuer advertises for its key set.
const maxAge = 2 * time.Second

// fetchTimeout is how long the kit lets one fetch take.
const fetchTimeout = 5 * time.Second

// A credential is a signing key and what the test knows about it.
type credential struct {
	key       *verifytest.Key
	published time.Time
	token     string
	sameKid   bool // the key replaced another one with the same kid
	// prompt is whether the budget had a fetch left for this key.
	prompt bool
	// known is set once the service has accepted a token of the key. From then
	// on it must not refuse one until the key is withdrawn.
	known atomic.Bool
	// gone is when the issuer withdrew the key, in Unix nanoseconds, or 0.
	gone atomic.Int64
}

// A world is the service under test, its issuer and their state.
type world struct {
	t       *testing.T
	ground  ground
	issuer  *verifytest.Server
	base    string
	start   time.Time
	hostile []string

	mu sync.Mutex
	// down is whether the issuer fails now; downUntil is when it last
	// recovered.
	down      bool
	downUntil time.Time
	downTime  time.Duration // the total time for which it was down
	downSince time.Time
	hung      bool      // it let fetches hang
	hangs     time.Time // until when one may still do so
	current   *credential
	spent     []time.Time // when fetches may have been asked for

	answers  sync.Map // "kind status" → *atomic.Int64
	failures atomic.Int64
}

func TestChaos(t *testing.T) {
	seeds := []uint64{1, 2, 3, 4}
	draw := rand.Uint64
	if *seed != 0 {
		seeds = []uint64{*seed}
		draw = func() uint64 { return *seed }
	} else if *long {
		for range 60 {
			seeds = append(seeds, draw())
		}
	}
	for _, seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { chaos(t, bubble, seed) })
		})
	}
	if *long {
		for _, framework := range frameworks {
			t.Run(framework, func(t *testing.T) { chaos(t, ground(framework), draw()) })
		}
	}
}

func chaos(t *testing.T, g ground, seed uint64) {
	t.Logf("-chaos.seed=%d -chaos.for=%v", seed, *length)
	r := rand.New(rand.NewPCG(seed, 1))
	w := &world{t: t, ground: g, issuer: g.issuer(t), start: time.Now()}
	w.issuer.SetHeader(verifytest.JWKS, "Cache-Control", fmt.Sprintf("max-age=%d", int(maxAge/time.Second)))
	w.publish(w.issuer.Rotate())
	w.issuer.SetKeys(w.current.key)
	w.base = g.api(t, []*verifytest.Server{w.issuer})
	w.prepareHostile()
	if status := w.call(w.current.token); status != 200 {
		t.Fatalf("before anything happened: %d", status)
	}
	w.current.known.Store(true)

	stop := make(chan struct{})
	var clients sync.WaitGroup
	for range 6 {
		clients.Go(func() { w.honest(stop) })
	}
	for i := range 2 {
		clients.Go(func() { w.attack(stop, i) })
	}
	for end := time.Now().Add(*length); time.Now().Before(end) && w.failures.Load() < 10; {
		w.event(r)
	}
	w.heal()
	close(stop)
	clients.Wait()
	w.checkFetches()
	w.answers.Range(func(k, v any) bool {
		t.Logf("%-40s %d", k, v.(*atomic.Int64).Load())
		return true
	})
}

func (w *world) call(token string) int { return call(w.base, token) }

func (w *world) count(kind string, status int) {
	n, _ := w.answers.LoadOrStore(fmt.Sprint(kind, ": ", status), new(atomic.Int64))
	n.(*atomic.Int64).Add(1)
}

func (w *world) broken(format string, args ...any) {
	w.failures.Add(1)
	w.t.Errorf("after %v: "+format, append([]any{time.Since(w.start).Round(time.Millisecond)}, args...)...)
}

// publish makes a key the current one.
func (w *world) publish(k *verifytest.Key) {
	c := &credential{key: k, published: time.Now(), sameKid: w.current != nil && w.current.key.ID == k.ID}
	c.token = w.issuer.Token(verifytest.Claims{"exp": time.Now().Add(time.Hour).Unix()}, verifytest.WithKey(k))
	c.prompt = w.spend() // its first token may ask for a fetch
	w.mu.Lock()
	defer w.mu.Unlock()
	w.current = c
}

// settled returns since when the issuer has worked, and whether it does.
func (w *world) settled() (since time.Time, works bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.downUntil, !w.down
}

// spend records that a fetch may have been asked for, and reports whether the
// service's budget is sure to have one left for it: two, and one more each ten
// seconds. When the next one comes cannot be told from outside, since it depends
// on which fetches were in fact asked for. But there is one if nobody has asked
// for ten seconds, or only one has for twenty, or ever.
func (w *world) spend() (affordable bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	within := func(d time.Duration) (n int) {
		for _, t := range w.spent {
			if time.Since(t) <= d+w.ground.slack() {
				n++
			}
		}
		return n
	}
	affordable = within(10*time.Second) == 0 || within(20*time.Second) <= 1 || len(w.spent) <= 1
	w.spent = append(w.spent, time.Now())
	return affordable
}

// honest calls with the current key's token. Once the service knows the key,
// every answer is 200. Before that, the service learns of it at once while the issuer
// works and the budget lasts, and in any case with the next refresh. While the
// issuer is down the answer is 503.
func (w *world) honest(stop chan struct{}) {
	for !closed(stop) {
		w.mu.Lock()
		c := w.current
		w.mu.Unlock()
		sent := time.Now()
		known := c.known.Load()
		status := w.call(c.token)
		w.count("honest", status)
		since, works := w.settled()
		switch {
		case status == 200:
			c.known.Store(true)
		case c.gone.Load() != 0:
			// It was withdrawn while the call was under way.
		case known:
			w.broken("a good token under a known key got %d", status)
		case status == 503:
			if works && sent.Sub(since) > 3*time.Second+w.ground.slack() {
				w.broken("503 although the issuer has worked for %v", sent.Sub(since))
			}
		case status == 401 && !c.prompt:
			if d := sent.Sub(later(c.published, since)); works && d > maxAge+2*time.Second+w.ground.slack() {
				w.broken("a new key is not noticed after %v", d)
			}
		case status == 401 && c.sameKid && (!works || sent.Sub(since) < 3*time.Second+w.ground.slack()):
			// The token was checked with the old key. The next refresh
			// brings the new one.
		default:
			w.broken("a good token under a key published %v ago got %d", sent.Sub(c.published), status)
		}
		time.Sleep(12 * time.Millisecond)
	}
}

// checkDead waits until a withdrawn key can no longer be accepted, for the advertised
// lifetime and a second, and tries its token.
func (w *world) checkDead(r *rand.Rand, c *credential) {
	if r.IntN(2) == 0 {
		return
	}
	since, _ := w.settled()
	time.Sleep(time.Until(later(time.Unix(0, c.gone.Load()), since).Add(maxAge + time.Second)))
	w.spend() // the unknown key may cost a fetch
	status := w.call(c.token)
	w.count("withdrawn", status)
	if status != 401 {
		w.broken("a token of a key withdrawn %v ago got %d", time.Since(time.Unix(0, c.gone.Load())), status)
	}
}

// prepareHostile makes tokens that must never pass, and that are refused before
// a key is sought; those that cost a fetch come with the floods.
func (w *world) prepareHostile() {
	w.hostile = []string{
		w.issuer.Token(verifytest.Claims{"exp": time.Now().Add(-time.Hour).Unix()}),
		w.issuer.Token(verifytest.Claims{"aud": "https://other.test"}),
		w.issuer.Token(verifytest.Claims{"iss": "https://other.test"}),
		"not.a.token",
	}
}

// attack calls with hostile tokens: always 401, whatever the issuer does.
func (w *world) attack(stop chan struct{}, n int) {
	for i := n; !closed(stop); i++ {
		tok := w.hostile[i%len(w.hostile)]
		status := w.call(tok)
		w.count("hostile", status)
		if status != 401 {
			w.broken("a hostile token got %d", status)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// event lets something happen, and some time pass.
func (w *world) event(r *rand.Rand) {
	pause := func(most time.Duration) { time.Sleep(50*time.Millisecond + rand.N(most)) }
	switch what := r.IntN(8); what {
	case 0, 1: // rotation: used at once, the old one withdrawn a little later
		old := w.current
		k := verifytest.NewKey([]string{"ES256", "EdDSA", "ES384", "PS256"}[r.IntN(4)])
		w.issuer.SetKeys(old.key, k)
		w.publish(k)
		w.t.Logf("%v: rotation to %s", time.Since(w.start).Round(time.Millisecond), k.Algorithm)
		pause(2 * time.Second)
		w.withdraw(old, k)
		w.checkDead(r, old)
		pause(time.Second)
	case 2: // other material under the same kid
		old := w.current
		k := verifytest.NewKey(old.key.Algorithm)
		k.ID = old.key.ID
		old.gone.Store(time.Now().UnixNano())
		w.issuer.SetKeys(k)
		w.publish(k)
		w.t.Logf("%v: other material under the same kid", time.Since(w.start).Round(time.Millisecond))
		pause(2 * time.Second)
		w.checkDead(r, old)
	case 3:
		w.fail("down", w.issuer.Down)
		pause(2 * time.Second)
		w.perhapsRotate(r)
		pause(2 * time.Second)
		w.issuer.Up()
		w.heal()
		pause(time.Second)
	case 4, 5:
		faults := map[string]verifytest.Fault{
			"status 500": verifytest.Status(500),
			"status 204": verifytest.Status(204),
			"HTML":       verifytest.Body("text/html", "<html>maintenance</html>"),
			"{}":         verifytest.Body("application/json", "{}"),
			"no keys":    verifytest.Body("application/json", `{"keys":[]}`),
			"Keys":       verifytest.Body("application/json", `{"Keys":[]}`),
			"twice keys": verifytest.Body("application/json", `{"keys":[],"keys":[]}`),
			"endless":    verifytest.Answer(endless),
			"cut":        verifytest.Cut(),
			"hangs":      verifytest.Hang(),
			"redirects": verifytest.Answer(func(rw http.ResponseWriter, r *http.Request) {
				http.Redirect(rw, r, "http://localhost:1/", http.StatusFound)
			}),
			"another set": verifytest.Body("application/json", `{"keys":[{"kty":"oct","kid":"x","k":"AAAA"}]}`),
		}
		names := make([]string, 0, len(faults))
		for name := range faults {
			names = append(names, name)
		}
		name := names[r.IntN(len(names))]
		w.fail(name, func() { w.issuer.Fail(verifytest.JWKS, faults[name]) })
		pause(2 * time.Second)
		w.perhapsRotate(r)
		pause(2 * time.Second)
		w.heal()
		pause(time.Second)
	case 6: // a flood of unknown kids
		w.spend()
		w.spend()
		w.t.Logf("%v: flood", time.Since(w.start).Round(time.Millisecond))
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for i := range 50 {
					k := verifytest.NewKey("EdDSA")
					if i%2 == 0 {
						k.ID = w.current.key.ID // a bad signature under a known kid
					}
					status := w.call(w.issuer.Token(nil, verifytest.WithKey(k)))
					w.count("flood", status)
					if status != 401 && status != 503 {
						w.broken("flood token %d got %d", i, status)
					}
				}
			})
		}
		wg.Wait()
	case 7: // slow, but works
		w.t.Logf("%v: slow", time.Since(w.start).Round(time.Millisecond))
		w.issuer.Fail(verifytest.JWKS, verifytest.Slow(300*time.Millisecond))
		pause(2 * time.Second)
		w.issuer.Heal()
	}
}

// perhapsRotate makes the issuer use a new key before the service can fetch it.
func (w *world) perhapsRotate(r *rand.Rand) {
	if r.IntN(2) == 0 {
		return
	}
	old := w.current
	k := verifytest.NewKey("ES256")
	w.issuer.SetKeys(old.key, k)
	w.publish(k)
	w.t.Logf("%v: rotation, unseen", time.Since(w.start).Round(time.Millisecond))
}

func endless(rw http.ResponseWriter, r *http.Request) {
	rw.Header().Set("Content-Type", "application/json")
	io.WriteString(rw, `{"keys":[`)
	for pad := strings.Repeat(" ", 1<<16); ; {
		if _, err := io.WriteString(rw, pad); err != nil {
			return
		}
	}
}

func (w *world) withdraw(old *credential, keep *verifytest.Key) {
	w.issuer.SetKeys(keep)
	old.gone.Store(time.Now().UnixNano())
}

func (w *world) fail(what string, how func()) {
	w.mu.Lock()
	w.down, w.downSince, w.hung = true, time.Now(), what == "hangs"
	w.mu.Unlock()
	how()
	w.t.Logf("%v: the issuer is down: %s", time.Since(w.start).Round(time.Millisecond), what)
}

func (w *world) heal() {
	w.issuer.Heal()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.down {
		w.downTime += time.Since(w.downSince)
		if w.hung {
			// A fetch that hangs does so until its timeout, even if the
			// issuer recovers.
			w.hangs = time.Now().Add(fetchTimeout)
		}
		w.down, w.downUntil = false, later(time.Now(), w.hangs)
	}
}

// checkFetches compares the number of fetches with what the design allows: one per half
// a lifetime, the budget, and retries while the issuer was down.
func (w *world) checkFetches() {
	took := time.Since(w.start)
	most := 1 + int(took/(maxAge/2)) + 2 + int(took/(10*time.Second)) + 2*int(w.downTime/time.Second+1)
	if n := w.issuer.Requests(verifytest.JWKS); n > most {
		w.broken("%d fetches in %v, of which %v down; at most %d are allowed", n, took, w.downTime, most)
	} else {
		w.t.Logf("%d fetches in %v, of which the issuer was down for %v; allowed: %d", n, took.Round(time.Second), w.downTime.Round(time.Second), most)
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func closed(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
