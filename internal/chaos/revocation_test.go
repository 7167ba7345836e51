package chaos_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bearerkit/bearerkit/verify/verifytest"
)

// ttl is what the tests that wait for it set.
const ttl = time.Second

// TestRevocation: with always, a revoked token is refused after at most one TTL,
// whenever it is revoked, and stays refused.
func TestRevocation(t *testing.T) {
	everywhere(t, func(t *testing.T, g ground) {
		issuer := g.issuer(t)
		base := g.introspecting(t, "always", []*verifytest.Server{issuer}, "INTROSPECTION_TTL=1s")[g]
		const step = 20 * time.Millisecond
		ages := []time.Duration{step, ttl / 2, ttl + ttl/5}
		if g == bubble {
			for age := step; age < 2*ttl; age += 3 * step {
				ages = append(ages, age)
			}
		}
		var all sync.WaitGroup
		for _, age := range ages {
			for kind, token := range map[string]string{"opaque": issuer.OpaqueToken(nil), "JWT": issuer.Token(nil)} {
				all.Go(func() {
					for start := time.Now(); time.Since(start) < age; time.Sleep(step) {
						if status, _ := get(t, base, "GET", "/api/protected", token); status != 200 {
							t.Errorf("%s: %d before it is revoked", kind, status)
							return
						}
					}
					issuer.Revoke(token)
					revoked := time.Now()
					refused := false
					for time.Since(revoked) < 3*ttl {
						sent := time.Since(revoked)
						status, _ := get(t, base, "GET", "/api/protected", token)
						switch {
						case status == 401:
							refused = true
						case status == 200 && !refused && sent < ttl+step: // the answer may have been under way
						default:
							t.Errorf("%s, revoked %v after it was seen first: %d, %v after that, refused before: %v", kind, age, status, sent, refused)
							return
						}
						time.Sleep(step)
					}
				})
			}
		}
		all.Wait()
	})
}

// TestRevocationAtOnce: the answer that a route with a fresh query gets counts at once,
// and for other routes too.
func TestRevocationAtOnce(t *testing.T) {
	for _, mode := range []string{"fallback", "always"} {
		t.Run(mode, func(t *testing.T) {
			everywhere(t, func(t *testing.T, g ground) {
				issuer := g.issuer(t)
				// With a TTL that does not end during the test.
				f := g.introspecting(t, mode, []*verifytest.Server{issuer}, "INTROSPECTION_TTL=1h")
				for kind, token := range map[string]string{"opaque": issuer.OpaqueToken(nil), "JWT": issuer.Token(nil)} {
					local := mode == "fallback" && kind == "JWT"
					f.want(t, kind, "/api/protected", token, 200)
					f.want(t, kind, "/api/sensitive", token, 200)
					issuer.Revoke(token)
					before := issuer.Requests(verifytest.Introspection)
					for range 3 {
						f.want(t, kind+", revoked and not known to be", "/api/protected", token, 200)
					}
					if n := issuer.Requests(verifytest.Introspection) - before; n != 0 {
						t.Errorf("%s: %d questions within the TTL", kind, n)
					}
					f.want(t, kind+", revoked", "/api/sensitive", token, 401)
					for range 20 {
						f.want(t, kind+", known to be revoked", "/api/protected", token, 401)
						time.Sleep(100 * time.Millisecond)
					}
					f.want(t, kind+", revoked", "/api/sensitive", token, 401)

					// A JWT that was never introspected is still accepted.
					if unseen := issuer.Token(nil); local {
						issuer.Revoke(unseen)
						before := issuer.Requests(verifytest.Introspection)
						f.want(t, "revoked JWT", "/api/protected", unseen, 200)
						if n := issuer.Requests(verifytest.Introspection) - before; n != 0 {
							t.Errorf("%d questions about a JWT that verifies", n)
						}
						f.want(t, "revoked JWT", "/api/sensitive", unseen, 401)
						f.want(t, "revoked JWT", "/api/protected", unseen, 401)
					}
				}
			})
		})
	}
}

// TestIntrospectionLoad: with always, 10,000 requests over 100 tokens from 8
// clients cost at most 100 calls per TTL, and in the same run a revoked token is refused
// after at most one TTL, and at once by a fresh query.
func TestIntrospectionLoad(t *testing.T) {
	everywhere(t, func(t *testing.T, g ground) {
		issuer := g.issuer(t)
		base := g.introspecting(t, "always", []*verifytest.Server{issuer}, "INTROSPECTION_TTL=1s")[g]
		const clients, requests = 8, 10_000
		tokens := make([]string, 100)
		revoked := make([]atomic.Int64, len(tokens)) // when, in Unix nanoseconds, or 0
		for i := range tokens {
			if tokens[i] = issuer.Token(nil); i%2 == 1 {
				tokens[i] = issuer.OpaqueToken(nil)
			}
		}
		start := time.Now()
		var refused, served atomic.Int64
		var load sync.WaitGroup
		for c := range clients {
			load.Go(func() {
				for i := range requests / clients {
					// At most 3,200 requests a second, so that the run sees
					// a few TTLs.
					time.Sleep(time.Until(start.Add(time.Duration(i) * 2500 * time.Microsecond)))
					n := (i*clients + c) % len(tokens)
					before, sent := revoked[n].Load(), time.Now()
					status := call(base, tokens[n])
					switch {
					case status == 200 && before != 0 && sent.Sub(time.Unix(0, before)) > ttl+20*time.Millisecond:
						t.Errorf("served %v after it was revoked", sent.Sub(time.Unix(0, before)))
					case status == 200:
						served.Add(1)
					case status == 401 && revoked[n].Load() != 0:
						refused.Add(1)
					default:
						t.Errorf("a good token got %d", status)
					}
				}
			})
		}
		time.Sleep(ttl / 3) // long before the answers are too old
		fresh := 0
		for n := 0; n < len(tokens); n += 10 {
			revoked[n].Store(time.Now().UnixNano())
			issuer.Revoke(tokens[n])
			if n%20 == 0 {
				fresh++
				if status, text := get(t, base, "GET", "/api/sensitive", tokens[n]); status != 401 {
					t.Errorf("on the route that asks: %s", text)
				}
				if status, _ := get(t, base, "GET", "/api/protected", tokens[n]); status != 401 {
					t.Errorf("after the route that asks: %d", status)
				}
			}
		}
		load.Wait()
		took := time.Since(start)
		calls, most := issuer.Requests(verifytest.Introspection)-fresh, len(tokens)*(1+int(took/ttl))
		if calls < len(tokens) || calls > most {
			t.Errorf("%d calls in %v, allowed are %d", calls, took, most)
		}
		if refused.Load() == 0 {
			t.Error("no revoked token came")
		}
		t.Logf("%d calls in %v, allowed %d; %d served, %d refused", calls, took.Round(time.Millisecond), most, served.Load(), refused.Load())
	})
}
