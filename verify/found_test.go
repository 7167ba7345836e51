package verify_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/bearerkit/bearerkit/internal/nettest"
	"github.com/bearerkit/bearerkit/verify"
	"github.com/bearerkit/bearerkit/verify/jwks"
)

// demandOpen demands that so many of a tenant's key sources are in use.
func demandOpen(t testing.TB, d *directory, iss string, want int) {
	t.Helper()
	if got := d.open(iss); got != want {
		t.Errorf("%d key sources of %s are open, want %d", got, iss, want)
	}
}

// An issuer is dropped when no token of it has come for some time, and found again
// when one does.
func TestIdleIssuersAreClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDirectory(tenant(1), tenant(2), tenant(3), tenant(4))
		v := finding(t, d, nil)
		accept(t, v, of(tenant(1)))
		accept(t, v, of(tenant(2)))
		refuse(t, v, of(tenant(3), "aud", `"another"`), verify.ErrAudience) // no token of it verifies
		demandOpen(t, d, tenant(3), 1)
		time.Sleep(2*time.Minute - time.Second)
		demandOpen(t, d, tenant(2), 1)
		demandOpen(t, d, tenant(3), 0)
		var before any
		for i := range 30 {
			time.Sleep(time.Minute)
			accept(t, v, of(tenant(1))) // out of the cache
			accept(t, v, of(tenant(4), "jti", quote(fmt.Sprint(i))))
			if i == 0 {
				before = verify.InUse(v, tenant(4))
			}
		}
		if verify.InUse(v, tenant(4)) != before {
			t.Error("an issuer was dropped though new tokens of it came")
		}
		demandOpen(t, d, tenant(1), 1)
		demandOpen(t, d, tenant(4), 1)
		demandOpen(t, d, tenant(2), 0)
		d.called()
		accept(t, v, of(tenant(2)))
		demandCalls(t, d, 1, tenant(2))
		demandOpen(t, d, tenant(2), 1)
		// Without issuers there is nothing left to do.
		time.Sleep(time.Hour)
		demandOpen(t, d, tenant(1), 0)
		demandOpen(t, d, tenant(2), 0)
		d.called()
		time.Sleep(24 * time.Hour)
		demandCalls(t, d, 0)
	})
}

// If there is no room for another issuer, the least recently used one is dropped.
func TestRoomForFoundIssuers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDirectory(tenant(1), tenant(2), tenant(3), tenant(4))
		v := finding(t, d, func(c *verify.Config) { c.MaxFoundIssuers = 3 })
		for _, i := range []int{1, 2, 3} {
			accept(t, v, of(tenant(i)))
			time.Sleep(time.Minute)
		}
		accept(t, v, of(tenant(1))) // 2 is the oldest now
		accept(t, v, of(tenant(4)))
		for i, want := range []int{1, 0, 1, 1} {
			demandOpen(t, d, tenant(i+1), want)
		}
		d.called()
		for _, i := range []int{1, 3, 4} {
			accept(t, v, of(tenant(i)))
		}
		demandCalls(t, d, 0)
		accept(t, v, of(tenant(2)))
		demandCalls(t, d, 1)
	})
}

// Issuers that are new at the same time do not push out each other.
func TestRoomForNewIssuers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDirectory()
		for i := range 48 {
			d.edit[tenant(i)] = nil
		}
		v := finding(t, d, func(c *verify.Config) { c.MaxFoundIssuers = 32 })
		for i := range 32 {
			accept(t, v, of(tenant(i)))
		}
		for i := range 16 {
			refuse(t, v, of(tenant(32+i), "aud", `"another"`), verify.ErrAudience)
		}
		for i := range 16 {
			demandOpen(t, d, tenant(i), 0) // the oldest have made room
			demandOpen(t, d, tenant(32+i), 1)
		}
	})
}

// A function that trusts every name of some form lets made-up issuers into use.
// They cannot push out the issuers whose tokens verify.
func TestMadeUpIssuersThatAreTrusted(t *testing.T) {
	for name, c := range map[string]struct {
		keys  *source
		token func(iss string) string
		want  verify.Reason
	}{
		"without keys":       {&source{setErr: errDown, refErr: errDown}, func(iss string) string { return of(iss) }, verify.ErrUnavailable},
		"with another's key": {&source{set: published(es256)}, func(iss string) string { return of(iss) }, verify.ErrUnknownKey},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const room, share = 64, 16
				d := newDirectory()
				closed := 0
				find := func(ctx context.Context, iss string) (verify.Issuer, error) {
					is, err := d.find(ctx, iss)
					if err != nil {
						is, err = verify.Issuer{Audience: []string{testAudience}, Keys: &closing2{c.keys, &closed}}, nil
					}
					return is, err
				}
				v := finding(t, d, func(c *verify.Config) { c.FindIssuer, c.MaxFoundIssuers = find, room })
				for i := range room {
					d.edit[tenant(i)] = nil
					accept(t, v, of(tenant(i)))
				}
				d.called()
				calls := 0
				for i := range 500 {
					refuse(t, v, c.token(fmt.Sprint("https://made-up.example/", i)), verify.Reason(c.want))
					time.Sleep(wasteEach)
				}
				calls = d.called()
				open := 0
				for i := range room {
					open += d.open(tenant(i))
				}
				if open < room-share-1 {
					t.Errorf("%d of %d tenants are left", open, room)
				}
				if held := calls - closed; held > share+1 {
					t.Errorf("%d that are made up are held", held)
				}
			})
		})
	}
}

const wasteEach = 100 * time.Millisecond

type closing2 struct {
	*source
	closed *int
}

func (c *closing2) Close() error { *c.closed++; return nil }

// A new issuer whose keys cannot be fetched is dropped at once, so that its source
// stops fetching, and can be found again a moment later.
func TestIssuersWithoutKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDirectory(tenant(1))
		var keys []*tenantKeys
		d.edit[tenant(1)] = func(is *verify.Issuer) {
			k := is.Keys.(*tenantKeys)
			k.setErr, k.refErr = errDown, errDown
			keys = append(keys, k)
		}
		v := finding(t, d, nil)
		for range 3 {
			if e := refuse(t, v, of(tenant(1)), verify.ErrUnavailable); !errors.Is(e, errDown) {
				t.Error(e)
			}
		}
		demandOpen(t, d, tenant(1), 0)
		demandCalls(t, d, 1)
		time.Sleep(time.Second)
		d.set(func() { d.edit[tenant(1)] = nil })
		accept(t, v, of(tenant(1)))
		demandCalls(t, d, 1)
		// An issuer whose tokens have verified is kept, whatever happens to its keys.
		d.mu.Lock()
		live := d.made[tenant(1)][1]
		d.mu.Unlock()
		live.mu.Lock()
		live.setErr, live.refErr = errDown, errDown
		live.mu.Unlock()
		for range 3 {
			refuse(t, v, of(tenant(1)), verify.ErrUnavailable)
		}
		live.mu.Lock()
		live.setErr, live.refErr = nil, nil
		live.mu.Unlock()
		accept(t, v, of(tenant(1)))
		demandCalls(t, d, 0)
		// That a client hangs up says nothing about the issuer.
		d.set(func() {
			d.edit[tenant(2)] = func(is *verify.Issuer) { is.Keys = &patient{tenantKeys: is.Keys.(*tenantKeys)} }
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := v.Verify(ctx, of(tenant(2))); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		demandOpen(t, d, tenant(2), 1)
	})
}

// patient is a source whose keys never arrive.
type patient struct{ *tenantKeys }

func (p *patient) KeySet() (*verify.KeySet, error) {
	_, _ = p.tenantKeys.KeySet()
	return nil, errDown
}

func (p *patient) Refresh(ctx context.Context, _ verify.Demand) (*verify.KeySet, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// The function is called again every five minutes.
func TestFoundIssuersAreAskedAbout(t *testing.T) {
	const iss = "https://tenant.example"
	cached := of(iss)
	again := func() { time.Sleep(6*time.Minute + time.Second) }
	for _, c := range []struct {
		name string
		run  func(t *testing.T, d *directory, v *verify.Verifier)
	}{
		{"the same", func(t *testing.T, d *directory, v *verify.Verifier) {
			before := verify.InUse(v, iss)
			again()
			demandCalls(t, d, 1)
			if verify.InUse(v, iss) != before {
				t.Error("replaced, and its verdicts are lost")
			}
			accept(t, v, cached)
			first := d.made[iss][0]
			first.mu.Lock()
			if n := first.refreshes; n != 0 {
				t.Errorf("refreshed %d times", n)
			}
			first.mu.Unlock()
			if d.made[iss][1].starts.Load() > 0 || !d.made[iss][1].closed.Load() || first.closed.Load() {
				t.Error("the keys in use were not kept")
			}
		}},
		{"trusted no longer", func(t *testing.T, d *directory, v *verify.Verifier) {
			d.set(func() { delete(d.edit, iss) })
			accept(t, v, cached)
			again()
			demandCalls(t, d, 1)
			refuse(t, v, cached, verify.ErrIssuer)
			demandOpen(t, d, iss, 0)
			demandCalls(t, d, 1)
		}},
		{"let go meanwhile", func(t *testing.T, d *directory, v *verify.Verifier) {
			d.set(func() { d.during = func(context.Context, string) { time.Sleep(2 * time.Second) } })
			time.Sleep(5*time.Minute + time.Second) // it is being asked about
			d.set(func() { d.during, d.edit[tenant(1)], d.edit[tenant(2)] = nil, nil, nil })
			accept(t, v, of(tenant(1)))
			accept(t, v, of(tenant(2)))
			demandOpen(t, d, iss, 0)
			time.Sleep(2 * time.Second)
			demandOpen(t, d, iss, 0)
			demandOpen(t, d, tenant(1), 1)
			demandOpen(t, d, tenant(2), 1)
		}},
		{"trusted again meanwhile", func(t *testing.T, d *directory, v *verify.Verifier) {
			d.set(func() {
				delete(d.edit, iss)
				d.during = func(context.Context, string) { time.Sleep(2 * time.Second) }
			})
			time.Sleep(5*time.Minute + time.Second) // the function has found nothing, and not returned
			d.set(func() { d.during, d.edit[iss] = nil, nil })
			v.ForgetIssuer(iss)
			time.Sleep(2 * time.Second)
			accept(t, v, cached)
		}},
		{"trouble", func(t *testing.T, d *directory, v *verify.Verifier) {
			d.set(func() { d.err[iss] = errDown })
			for range 23 * 60 {
				time.Sleep(time.Minute)
				accept(t, v, cached)
			}
			if n := d.called(); n < 60 || n > 23*60 {
				t.Errorf("called %d times", n)
			}
			for range 61 {
				time.Sleep(time.Minute)
				_, _ = v.Verify(t.Context(), cached)
			}
			refuse(t, v, cached, verify.ErrUnavailable)
			demandOpen(t, d, iss, 0)
		}},
		{"an answer that cannot be used", func(t *testing.T, d *directory, v *verify.Verifier) {
			d.set(func() { d.edit[iss] = func(is *verify.Issuer) { is.Audience = nil } })
			again()
			demandCalls(t, d, 2) // each minute, until it can be used
			accept(t, v, cached)
			demandOpen(t, d, iss, 1)
		}},
		{"another audience", func(t *testing.T, d *directory, v *verify.Verifier) {
			d.set(func() { d.edit[iss] = func(is *verify.Issuer) { is.Audience = []string{"api-2"} } })
			again()
			refuse(t, v, cached, verify.ErrAudience)
			accept(t, v, of(iss, "aud", `"api-2"`))
			if d.made[iss][0].closed.Load() || d.made[iss][1].starts.Load() > 0 {
				t.Error("the keys in use were not kept")
			}
		}},
		{"other keys", func(t *testing.T, d *directory, v *verify.Verifier) {
			d.set(func() {
				d.edit[iss] = func(is *verify.Issuer) {
					is.Keys.(*tenantKeys).config, is.Keys.(*tenantKeys).set = "2", published(es256)
				}
			})
			again()
			refuse(t, v, cached, verify.ErrUnknownKey)
			accept(t, v, es256.with("iss", quote(iss)))
			demandOpen(t, d, iss, 1)
			if !d.made[iss][0].closed.Load() {
				t.Error("the old keys are open")
			}
		}},
		{"one more name, and one less", func(t *testing.T, d *directory, v *verify.Verifier) {
			refuse(t, v, of("https://alt.example"), verify.ErrIssuer)
			alternates := func(names ...string) {
				d.set(func() { d.edit[iss] = func(is *verify.Issuer) { is.Alternates = names } })
				accept(t, v, cached)
				again()
			}
			alternates("https://alt.example", "https://alt2.example")
			accept(t, v, of("https://alt.example"))
			alternates("https://alt2.example")
			refuse(t, v, of("https://alt.example"), verify.ErrIssuer)
			accept(t, v, of("https://alt2.example"))
		}},
		{"another's token", func(t *testing.T, d *directory, v *verify.Verifier) {
			d.set(func() {
				d.edit[iss] = func(is *verify.Issuer) { is.Issuer, is.Alternates = "https://renamed.example", []string{iss} }
			})
			again()
			if got := accept(t, v, cached).Issuer; got != "https://renamed.example" {
				t.Errorf("issuer %q", got)
			}
			demandOpen(t, d, iss, 1)
		}},
		{"a function in the issuer", func(t *testing.T, d *directory, v *verify.Verifier) {
			d.set(func() {
				d.edit[iss] = func(is *verify.Issuer) { is.IsMachine = func(*verify.Token) bool { return true } }
			})
			again()
			if !accept(t, v, cached).IsMachine() {
				t.Error("the new configuration does not count")
			}
			demandOpen(t, d, iss, 1)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDirectory(iss)
				v := finding(t, d, func(c *verify.Config) { c.MaxFoundIssuers = 2 })
				accept(t, v, cached)
				d.called()
				c.run(t, d, v)
			})
		})
	}
}

// ForgetIssuer takes effect at once, also for calls that are running.
func TestForgetIssuer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDirectory(tenant(1))
		d.edit[tenant(3)] = func(is *verify.Issuer) { is.Alternates = []string{tenant(4)} }
		v := finding(t, d, nil)
		accept(t, v, of(tenant(1)))
		d.set(func() { delete(d.edit, tenant(1)) })
		v.ForgetIssuer(tenant(1))
		demandOpen(t, d, tenant(1), 0)
		refuse(t, v, of(tenant(1)), verify.ErrIssuer)
		d.set(func() { d.edit[tenant(1)] = nil })
		refuse(t, v, of(tenant(1)), verify.ErrIssuer)
		v.ForgetIssuer(tenant(1))
		accept(t, v, of(tenant(1)))
		// By an alternate, too.
		accept(t, v, of(tenant(3)))
		v.ForgetIssuer(tenant(4))
		demandOpen(t, d, tenant(3), 0)

		// The database changes after the function has read it.
		for _, trusted := range []bool{true, false} {
			iss := fmt.Sprint("https://meanwhile.example/", trusted)
			d.set(func() {
				if trusted {
					d.edit[iss] = nil
				}
				d.during = func(context.Context, string) { time.Sleep(time.Second) }
			})
			got := make(chan error)
			go func() {
				_, err := v.Verify(t.Context(), of(iss))
				got <- err
			}()
			synctest.Wait()
			d.set(func() {
				if delete(d.edit, iss); !trusted {
					d.edit[iss] = nil
				}
			})
			v.ForgetIssuer(iss)
			if err := <-got; trusted != errors.Is(err, verify.ErrIssuer) || trusted == (err == nil) {
				t.Errorf("trusted before: %v; then %v", trusted, err)
			}
			d.set(func() { d.during = nil })
			if _, err := v.Verify(t.Context(), of(iss)); trusted != errors.Is(err, verify.ErrIssuer) || trusted == (err == nil) {
				t.Errorf("trusted before: %v; later %v", trusted, err)
			}
		}
		v.ForgetIssuer("https://nobody.example")
	})
	v, _ := build(t, nil)
	v.ForgetIssuer(testIssuer) // is configured
	accept(t, v, eddsa.good())
}

// Close ends everything, calls that are running included.
func TestCloseWithFoundIssuers(t *testing.T) {
	ignore := goleak.IgnoreCurrent()
	d := newDirectory(tenant(1), tenant(2))
	v, err := verify.New(verify.Config{FindIssuer: d.find, Now: func() time.Time { return testNow }})
	if err != nil {
		t.Fatal(err)
	}
	cached := of(tenant(1))
	accept(t, v, cached)
	called := make(chan struct{})
	d.set(func() {
		d.during = func(ctx context.Context, _ string) {
			close(called)
			<-ctx.Done()
		}
	})
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, err := v.Verify(t.Context(), of(tenant(2))); !errors.Is(err, verify.ErrUnavailable) {
			t.Error(err)
		}
	})
	<-called
	if err := v.Close(); err != nil {
		t.Error(err)
	}
	wg.Wait()
	d.set(func() { d.during = nil })
	for i := range 3 {
		refuse(t, v, of(tenant(i+1)), verify.ErrUnavailable)
	}
	refuse(t, v, cached, verify.ErrUnavailable)
	demandOpen(t, d, tenant(1), 0)
	demandOpen(t, d, tenant(2), 0)
	if err := v.Close(); err != nil {
		t.Error(err)
	}
	goleak.VerifyNone(t, ignore)
}

// Tokens of an issuer that was found can be introspected, and signed answers are
// checked with its current keys.
func TestFoundIssuersIntrospect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const iss = "https://tenant.example"
		d := newDirectory(iss, tenant(1))
		in := &asker{claims: answer("iss", quote(iss))}
		keys := published(eddsa)
		d.edit[iss] = func(is *verify.Issuer) {
			is.Introspection = &verify.Introspection{Introspector: in, Always: true}
			is.Keys = &tenantKeys{source: source{set: keys}, config: fmt.Sprint(keys.IDs())}
		}
		v := finding(t, d, func(c *verify.Config) { c.CacheSize = verify.NoCache })
		if !v.Introspects() {
			t.Error("a Fresh route could not be made")
		}
		signed := func(s *signer) string {
			return s.token(s.header("typ", `"token-introspection+jwt"`), claims("iss", quote(iss), "iat", at(0)))
		}
		open := func(s *signer, want bool) {
			t.Helper()
			kind := verify.Kind{Types: []string{"token-introspection+jwt"}, Audience: in.open.Audience(iss), MaxAge: time.Minute}
			if _, err := in.open.Open(t.Context(), iss, signed(s), kind); (err == nil) != want {
				t.Errorf("signed by %s: %v", s.kid, err)
			}
		}
		for i := range 2 {
			accept(t, v, of(iss, "jti", quote(fmt.Sprint(i))))
		}
		if q := in.asked(); len(q) != 2 || q[0].Digest == q[1].Digest {
			t.Errorf("asked %d times", len(q))
		}
		if _, err := v.VerifyRequest(t.Context(), &verify.Request{Token: of(iss), Fresh: true}); err != nil {
			t.Error(err)
		}
		open(eddsa, true)
		open(es256, false)
		d.set(func() { keys = published(es256) })
		time.Sleep(6*time.Minute + time.Second)
		open(eddsa, false)
		open(es256, true)
		// Without introspection there is no fresh answer.
		if _, err := v.VerifyRequest(t.Context(), &verify.Request{Token: of(tenant(1)), Fresh: true}); !errors.Is(err, verify.ErrUnavailable) {
			t.Error(err)
		}
	})
}

// Requests do not notice that issuers are dropped, replaced and found again.
func TestFoundIssuersComeAndGo(t *testing.T) {
	const tenants = 12
	d := newDirectory()
	for i := range tenants {
		d.edit[tenant(i)] = nil
	}
	v := finding(t, d, func(c *verify.Config) { c.MaxFoundIssuers = 8 })
	var tokens [tenants][4]string
	for i := range tokens {
		for j := range tokens[i] {
			tokens[i][j] = of(tenant(i), "jti", quote(fmt.Sprint(j)))
		}
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 400 {
				i := rand.IntN(tenants)
				got, err := v.Verify(t.Context(), tokens[i][rand.IntN(4)])
				if err != nil || got.Issuer != tenant(i) {
					t.Errorf("%v: %v", got, err)
					return
				}
				if rand.IntN(8) == 0 {
					v.ForgetIssuer(tenant(rand.IntN(tenants)))
				}
			}
		})
	}
	wg.Wait()
	open := 0
	for i := range tenants {
		n := d.open(tenant(i))
		if open += n; n > 1 {
			t.Errorf("%d key sources of %s", n, tenant(i))
		}
	}
	if open > 8 {
		t.Errorf("%d are open", open)
	}
	if n := testing.AllocsPerRun(100, func() {
		if _, err := v.Verify(context.Background(), tokens[0][0]); err != nil {
			t.Error(err)
		}
	}); n > 1 {
		t.Errorf("a token that was seen before costs %v allocations", n)
	}
}

// Static keys have nothing to close, so the function can return the same ones
// again.
func TestStaticKeysOfFoundIssuers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		keys := []verify.Key{eddsa.key()}
		d := newDirectory()
		shared := jwks.Static(eddsa.key())
		d.edit[tenant(1)] = func(is *verify.Issuer) { is.Keys = jwks.Static(keys...) }
		d.edit[tenant(2)] = func(is *verify.Issuer) { is.Keys = shared }
		d.edit[tenant(3)] = func(is *verify.Issuer) { is.Keys = shared } // a mistake
		v := finding(t, d, nil)
		accept(t, v, of(tenant(1)))
		accept(t, v, of(tenant(2)))
		refuse(t, v, of(tenant(3)), verify.ErrUnavailable)
		accept(t, v, of(tenant(2)))
		time.Sleep(6 * time.Minute)
		accept(t, v, of(tenant(1)))
		d.set(func() { keys = []verify.Key{es256.key()} })
		time.Sleep(6 * time.Minute)
		refuse(t, v, of(tenant(1)), verify.ErrUnknownKey)
		accept(t, v, es256.with("iss", quote(tenant(1))))
		time.Sleep(time.Hour)
		accept(t, v, of(tenant(2)))
	})
}

// The trust in an issuer ages while the machine sleeps, and does not get younger
// when the wall clock is set back.
func TestAgeOfAnswers(t *testing.T) {
	then := time.Now()
	now := then.Add(time.Minute)
	for slept, want := range map[time.Duration]time.Duration{
		0: time.Minute, 72 * time.Hour: 72*time.Hour + time.Minute, -time.Hour: time.Minute,
	} {
		if got := verify.Age(then, nettest.Asleep(t, now, slept)); got != want {
			t.Errorf("after a sleep of %v: %v, want %v", slept, got, want)
		}
	}
}
