package verify_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bearerkit/bearerkit/verify"
)

// A ticker is a clock that stands where it is put and counts who looks at it.
type ticker struct{ seconds, looks atomic.Int64 }

func (c *ticker) now() time.Time {
	c.looks.Add(1)
	return testNow.Add(time.Duration(c.seconds.Load()) * time.Second)
}

// watched builds a verifier with such a clock.
func watched(t testing.TB, edit func(*verify.Config)) (*verify.Verifier, *source, *ticker) {
	c := &ticker{}
	v, keys := build(t, func(config *verify.Config) {
		config.Now, config.Leeway = c.now, verify.NoLeeway
		if edit != nil {
			edit(config)
		}
	})
	return v, keys, c
}

// hits tells hits of the cache from tokens that are looked at anew, by what
// these two cost the verifier's clock; a cache that does not work at all fails
// here.
func hits(t *testing.T, v *verify.Verifier, c *ticker) func(token string) bool {
	t.Helper()
	looks := func(token string) int64 {
		before := c.looks.Load()
		accept(t, v, token)
		return c.looks.Load() - before
	}
	probe := eddsa.with("jti", `"probe"`)
	anew, again := looks(probe), looks(probe)
	if anew == again || looks(probe) != again {
		t.Fatalf("a new token looks at the clock %d times, one that comes again %d times: they cannot be told apart", anew, again)
	}
	return func(token string) bool {
		t.Helper()
		switch n := looks(token); n {
		case again:
			return true
		case anew:
			return false
		default:
			t.Fatalf("%d looks at the clock", n)
			return false
		}
	}
}

func TestCacheRemembers(t *testing.T) {
	for _, s := range signers {
		v, _, c := watched(t, nil)
		hit := hits(t, v, c)
		token := s.good()
		if hit(token) {
			t.Errorf("%s: a hit on the first sight", s.alg)
		}
		for range 2 {
			if !hit(token) {
				t.Errorf("%s: no hit", s.alg)
			}
		}
		if hit(s.with("jti", `"another"`)) {
			t.Errorf("%s: a hit for another token", s.alg)
		}
	}
}

func TestNoCache(t *testing.T) {
	v, keys, c := watched(t, func(c *verify.Config) { c.CacheSize = verify.NoCache })
	token := eddsa.good()
	var looks []int64
	for range 3 {
		before := c.looks.Load()
		accept(t, v, token)
		looks = append(looks, c.looks.Load()-before)
	}
	if looks[0] != looks[1] || looks[0] != looks[2] {
		t.Errorf("looks at the clock: %d", looks)
	}
	// Its tokens are the callers' own all the same.
	one, two := accept(t, v, token), accept(t, v, token)
	one.Audience[0] = "x"
	if two.Audience[0] != testAudience || accept(t, v, token).Audience[0] != testAudience {
		t.Error("callers share a token")
	}
	keys.set = published(rs256)
	refuse(t, v, token, verify.ErrUnknownKey)
}

// scribbler writes over the text it is given.
type scribbler struct{ text string }

func (s *scribbler) UnmarshalJSON(text []byte) error {
	s.text = string(text)
	for i := range text {
		text[i] = 'x'
	}
	return nil
}

// What callers do with a token is nobody else's matter.
func TestHitsAreTheCallersOwn(t *testing.T) {
	claimSets := map[string][]string{
		"one audience":   nil,
		"two audiences":  {"aud", `["` + testAudience + `","https://other.example"]`},
		"an actor":       {"act", `{"sub":"admin-1","act":{"sub":"admin-2","iss":"https://other.example"}}`},
		"all of it":      {"aud", `["x","` + testAudience + `"]`, "act", `{"sub":"a","act":{"sub":"b","act":{"sub":"c"}}}`, "permissions", `["p","q"]`},
		"escaped claims": {"sub", `"us\u0065r-1"`},
	}
	for name, edits := range claimSets {
		t.Run(name, func(t *testing.T) {
			v, _, c := watched(t, nil)
			hit := hits(t, v, c)
			token := eddsa.with(edits...)
			show := func(k *verify.Token) string {
				var claims map[string]any
				if err := k.Claims(&claims); err != nil {
					t.Fatal(err)
				}
				var actors []verify.Actor
				for a := k.Actor; a != nil; a = a.Actor {
					actors = append(actors, verify.Actor{Subject: a.Subject, Issuer: a.Issuer})
				}
				flat := *k
				flat.Actor = nil
				return fmt.Sprint(flat, actors, claims)
			}
			first := accept(t, v, token)
			want := show(first)
			for round := range 3 {
				got := accept(t, v, token)
				if show(got) != want {
					t.Fatalf("round %d: %s\nwant %s", round, show(got), want)
				}
				var s scribbler
				if err := got.Claims(&s); err != nil || !strings.Contains(s.text, `"iss"`) {
					t.Fatalf("%q, %v", s.text, err)
				}
				var members map[string]*scribbler
				if err := got.Claims(&members); err != nil {
					t.Fatal(err)
				}
				for i := range got.Audience {
					got.Audience[i] = "changed"
				}
				got.Audience = append(got.Audience, "added")
				for a := got.Actor; a != nil; a = a.Actor {
					a.Subject, a.Issuer = "changed", "changed"
				}
				if got.Actor != nil {
					got.Actor.Actor = nil
				}
				got.Subject, got.Scope, got.Expiry = "changed", "changed", time.Time{}
			}
			if !hit(token) {
				t.Error("these missed the cache")
			}
			// The first caller had its own as well.
			if show(first) != want {
				t.Errorf("%s\nwant %s", show(first), want)
			}
		})
	}
}

// Time passes while a token is remembered, or is set back.
func TestTimesOfHits(t *testing.T) {
	for _, c := range []struct {
		name      string
		edits     []string
		good, bad int64 // by the clock's seconds
		reason    verify.Reason
	}{
		{"exp", []string{"exp", at(100)}, 99, 100, verify.ErrExpired},
		{"exp with a fraction", []string{"exp", at(100) + ".5"}, 100, 101, verify.ErrExpired},
		{"nbf", []string{"nbf", at(-100), "iat", "0"}, -100, -101, verify.ErrNotYetValid},
		{"iat", []string{"iat", at(-100)}, -100, -101, verify.ErrNotYetValid},
		{"an expiry that lies too far ahead once the clock is set back", []string{"iat", "0", "exp", at(20*365*24*3600 - 50)}, -40, -60, verify.ErrClaim},
	} {
		t.Run(c.name, func(t *testing.T) {
			v, _, clock := watched(t, nil)
			hit := hits(t, v, clock)
			token := eddsa.with(c.edits...)
			accept(t, v, token)
			clock.seconds.Store(c.good)
			if !hit(token) {
				t.Error("no hit")
			}
			clock.seconds.Store(c.bad)
			refuse(t, v, token, c.reason)
			clock.seconds.Store(c.good)
			accept(t, v, token) // it is looked at again
		})
	}
}

// A key that its issuer takes back takes what it has signed with it, at once.
func TestWithdrawnKeysAndHits(t *testing.T) {
	k := &signer{"k", "EdDSA", newEd()}
	other := &signer{"k", "EdDSA", newEd()}
	elsewhere := &signer{"l", "EdDSA", k.priv}
	for _, c := range []struct {
		name   string
		token  string
		set    *verify.KeySet
		reason verify.Reason
		hit    bool
	}{
		{"an equal set", k.good(), published(k), accepted, true},
		{"more keys", k.good(), published(rs256, k, es256), accepted, true},
		{"gone", k.good(), published(rs256), verify.ErrUnknownKey, false},
		{"other material under its kid", k.good(), published(other), verify.ErrSignature, false},
		{"its material under another kid", k.good(), published(elsewhere), verify.ErrUnknownKey, false},
		{"its kid and material for another algorithm", rs256.good(), published(&signer{"rs256", "PS256", rsaPriv}), verify.ErrUnknownKey, false},
		{"without a kid, an equal set", k.bare(), published(k), accepted, false}, // looked at again
		{"without a kid, gone", k.bare(), published(rs256), verify.ErrUnknownKey, false},
		{"without a kid, its material under another kid", k.bare(), published(elsewhere), accepted, false},
		{"without a kid, too many keys", k.bare(), published(append(fresh("m", 4), k)...), verify.ErrUnknownKey, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			v, keys, clock := watched(t, nil)
			hit := hits(t, v, clock)
			keys.set = published(k, rs256)
			accept(t, v, c.token)
			if !hit(c.token) {
				t.Fatal("no hit before")
			}
			keys.set = c.set
			if c.reason != accepted {
				refuse(t, v, c.token, c.reason)
				refuse(t, v, c.token, c.reason)
				return
			}
			if got := hit(c.token); got != c.hit {
				t.Errorf("hit: %v", got)
			}
			if !hit(c.token) {
				t.Error("no hit after")
			}
		})
	}
}

// While the key set may not be used any more, a token in the cache is neither accepted
// nor refused.
func TestHitsWithoutKeys(t *testing.T) {
	v, keys, clock := watched(t, nil)
	hit := hits(t, v, clock)
	token := eddsa.good()
	accept(t, v, token)
	keys.setErr, keys.refErr = errDown, errDown
	for range 3 {
		refuse(t, v, token, verify.ErrUnavailable)
	}
	keys.setErr, keys.refErr = nil, nil
	if !hit(token) {
		t.Error("forgotten, though its key is still there")
	}
}

func TestChecksOfHits(t *testing.T) {
	calls := 0
	var answer error
	v, _, clock := watched(t, func(c *verify.Config) {
		c.Conditions = []verify.Condition{verify.Check(func(_ context.Context, k *verify.Token) error {
			if calls++; k.Subject != "user-1" {
				return fmt.Errorf("%w: subject %q", verify.ErrRejected, k.Subject)
			}
			k.Subject = "changed"
			return answer
		})}
	})
	hit := hits(t, v, clock)
	token := eddsa.good()
	accept(t, v, token)
	calls = 0
	for range 3 {
		if !hit(token) {
			t.Error("no hit")
		}
	}
	if calls != 3 {
		t.Errorf("%d checks of 3 hits", calls)
	}
	answer = verify.ErrRejected
	refuse(t, v, token, verify.ErrRejected)
	answer = fmt.Errorf("the list of blocked users: %w", verify.ErrUnavailable)
	refuse(t, v, token, verify.ErrUnavailable)
	answer = nil
	if !hit(token) {
		t.Error("forgotten, though the token is good")
	}
}

// Only the very token is remembered: every other one is looked at, however
// long it is and wherever it differs.
func TestVariantsOfACachedToken(t *testing.T) {
	v, _, clock := watched(t, nil)
	hit := hits(t, v, clock)
	for i, s := range []*signer{rs256, es256, eddsa, eddsa} {
		token := s.with("x", quote(strings.Repeat("x", i*1000)))
		accept(t, v, token)
		for i := range token {
			b := []byte(token)
			for _, c := range []byte{'A', '.', '\n'} {
				if b[i] = c; string(b) == token {
					continue
				}
				if got, err := v.Verify(t.Context(), string(b)); err == nil {
					t.Fatalf("%s with %q at %d: accepted: %v", s.alg, c, i, got)
				}
			}
		}
		parts := strings.Split(token, ".")
		other := strings.Split(s.with("sub", `"somebody-else"`), ".")
		for name, variant := range map[string]string{
			"cut":                     token[:len(token)-1],
			"longer":                  token + "A",
			"padded":                  token + "=",
			"with a fourth part":      token + ".",
			"with a space":            token + " ",
			"in capitals":             strings.ToUpper(token),
			"without signature":       parts[0] + "." + parts[1] + ".",
			"another one's signature": parts[0] + "." + parts[1] + "." + other[2],
			"another one's claims":    parts[0] + "." + other[1] + "." + parts[2],
			"another header":          enc(s.header("x", "1")) + "." + parts[1] + "." + parts[2],
			"an ID token's claims":    parts[0] + "." + enc(claims("nonce", `"n"`)) + "." + parts[2],
		} {
			if _, err := v.Verify(t.Context(), variant); err == nil {
				t.Errorf("%s, %s: accepted", s.alg, name)
			}
		}
		if !hit(token) {
			t.Errorf("%s: forgotten for the sake of others", s.alg)
		}
	}
}

// What failed is not remembered, whatever it fails with.
func TestRefusedIsNotRemembered(t *testing.T) {
	k := fresh("k", 2)
	v, keys, clock := watched(t, nil)
	keys.set = published(k[0])
	late := k[1].good()
	refuse(t, v, late, verify.ErrUnknownKey)
	keys.set = published(k...)
	accept(t, v, late)
	early := k[0].with("nbf", at(10))
	refuse(t, v, early, verify.ErrNotYetValid)
	clock.seconds.Store(10)
	accept(t, v, early)
}

// A known header does not replace the checks of the rest, and says nothing about tokens
// of another issuer or to another verifier.
func TestKnownHeaders(t *testing.T) {
	v, keys, _ := watched(t, nil)
	plain := eddsa.header("typ", `"JWT"`)
	accept(t, v, eddsa.token(plain, claims()))
	refuse(t, v, eddsa.token(plain, claims("nonce", `"n"`)), verify.ErrType)
	refuse(t, v, eddsa.token(plain, claims("at_hash", `"h"`)), verify.ErrType)
	refuse(t, v, eddsa.token(plain, claims("exp", at(-1000))), verify.ErrExpired)
	refuse(t, v, ed255.token(plain, claims()), verify.ErrSignature)
	keys.set = published(rs256)
	refuse(t, v, eddsa.token(plain, claims("jti", `"2"`)), verify.ErrUnknownKey)

	strict, _ := build(t, func(c *verify.Config) { c.RFC9068 = true })
	refuse(t, strict, eddsa.token(plain, claims()), verify.ErrType)
	narrow, _ := build(t, func(c *verify.Config) { c.Algorithms = []string{"RS256"} })
	refuse(t, narrow, eddsa.token(plain, claims()), verify.ErrAlgorithm)
}

func TestHeadersAreBounded(t *testing.T) {
	v, _, clock := watched(t, nil)
	for i := range 1_000 {
		clock.seconds.Store(int64(i) / 10) // more than a minute, in all
		accept(t, v, eddsa.token(eddsa.header("x", fmt.Sprint(i)), claims()))
		if known := verify.KnownHeaders(v); known > 32 {
			t.Fatalf("%d headers are remembered", known)
		}
	}
	if verify.KnownHeaders(v) == 0 {
		t.Error("none is")
	}
	// A long one is not remembered at all.
	v, _, _ = watched(t, nil)
	accept(t, v, eddsa.token(eddsa.header("x", quote(strings.Repeat("x", 600))), claims()))
	if verify.KnownHeaders(v) != 0 {
		t.Error("a long header is remembered")
	}
}

// A flood of good tokens, each seen once, leaves those alone that are in use.
func TestFloodOfGoodTokens(t *testing.T) {
	if raceEnabled() {
		t.Skip("many signatures; TestCacheConcurrently is for the race detector")
	}
	const size = 256
	n := 50_000
	if testing.Short() {
		n = 5_000
	}
	v, _, clock := watched(t, func(c *verify.Config) { c.CacheSize = size })
	hit := hits(t, v, clock)
	hot := make([]string, 8)
	for i := range hot {
		hot[i] = eddsa.with("jti", fmt.Sprintf(`"hot-%d"`, i))
		accept(t, v, hot[i])
	}
	uses, missed := 0, 0
	for i := range n {
		accept(t, v, eddsa.with("jti", fmt.Sprintf(`"flood-%d"`, i)))
		// Each comes again after more others than there is room for: a cache
		// that kept what was used last would have none of them.
		if i%50 == 0 {
			if uses++; !hit(hot[uses%len(hot)]) {
				missed++
			}
		}
		if i%1000 == 0 {
			if entries := verify.Cached(v); entries > size {
				t.Fatalf("%d entries, %d are allowed", entries, size)
			}
		}
	}
	t.Logf("%d of %d uses of hot tokens missed the cache; %d entries", missed, uses, verify.Cached(v))
	if missed > uses/5 {
		t.Errorf("%d of %d uses of hot tokens missed the cache", missed, uses)
	}
	if entries := verify.Cached(v); entries > size || entries < size/2 {
		t.Errorf("%d entries, %d are allowed", entries, size)
	}
}

// Large tokens take the place of several.
func TestCacheIsBoundedInBytes(t *testing.T) {
	const size = 64
	v, _, _ := watched(t, func(c *verify.Config) { c.CacheSize = size })
	for i := range 4 * size {
		accept(t, v, eddsa.with("jti", fmt.Sprintf(`"%d"`, i), "x", quote(strings.Repeat("x", 8000))))
	}
	if entries := verify.Cached(v); entries > size*2048/8000 || entries == 0 {
		t.Errorf("%d entries of 8 KB in room for %d KB", entries, size*2)
	}
}

func TestCacheConcurrently(t *testing.T) {
	v, keys, clock := watched(t, func(c *verify.Config) { c.CacheSize = 32 })
	k := fresh("k", 2)
	both, one := published(k...), published(k[0])
	keys.set = both
	var tokens []string
	for i := range 64 {
		tokens = append(tokens, k[i%2].with("jti", fmt.Sprintf(`"%d"`, i), "aud", `["x","`+testAudience+`"]`))
	}
	set := func(s *verify.KeySet) {
		keys.mu.Lock()
		defer keys.mu.Unlock()
		keys.set = s
	}
	var wg sync.WaitGroup
	stop := make(chan struct{})
	var good, gone atomic.Int64
	for g := range 8 {
		wg.Go(func() {
			for i := g; ; i += 7 {
				select {
				case <-stop:
					return
				default:
				}
				got, err := v.Verify(t.Context(), tokens[i%len(tokens)])
				switch {
				case err == nil:
					good.Add(1)
					if !slices.Equal(got.Audience, []string{"x", testAudience}) || got.ID != fmt.Sprint(i%len(tokens)) {
						t.Errorf("token %d: %v", i%len(tokens), got)
						return
					}
					got.Audience[0], got.ID = "changed", "changed"
				case errors.Is(err, verify.ErrUnknownKey) && i%2 == 1:
					gone.Add(1)
				default:
					t.Errorf("token %d: %v", i%len(tokens), err)
					return
				}
			}
		})
	}
	for i := range 50 {
		set([]*verify.KeySet{one, both}[i%2])
		clock.seconds.Store(int64(i))
		time.Sleep(2 * time.Millisecond)
	}
	close(stop)
	wg.Wait()
	if good.Load() == 0 || gone.Load() == 0 {
		t.Errorf("%d accepted, %d refused", good.Load(), gone.Load())
	}
	set(one) // for good: every answer is by it
	for i, token := range tokens {
		if i%2 == 1 {
			refuse(t, v, token, verify.ErrUnknownKey)
		} else {
			accept(t, v, token)
		}
	}
}

// raceEnabled reports whether the race detector is at work.
func raceEnabled() bool {
	info, _ := debug.ReadBuildInfo()
	return info != nil && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}

// Allocations are not noisy, so they are held to what the performance document
// says.
func TestAllocations(t *testing.T) {
	if raceEnabled() {
		t.Skip("the race detector allocates")
	}
	v, _ := build(t, nil)
	off, _ := build(t, func(c *verify.Config) { c.CacheSize = verify.NoCache })
	token := rs256.good()
	for _, c := range []struct {
		name string
		v    *verify.Verifier
		most float64
	}{{"seen before", v, 1}, {"never seen", off, 17}} {
		accept(t, c.v, token)
		if n := testing.AllocsPerRun(200, func() { _, _ = c.v.Verify(t.Context(), token) }); n > c.most {
			t.Errorf("%s: %v allocations, at most %v are meant", c.name, n, c.most)
		}
	}
}

// The claims of a hit are those of the token, in full.
func TestClaimsOfHits(t *testing.T) {
	v, _, clock := watched(t, nil)
	hit := hits(t, v, clock)
	payload := claims("deep", `{"a":[1,2,{"b":"\u00e9"}]}`)
	token := rs256.token(rs256.header(), payload)
	accept(t, v, token)
	if !hit(token) {
		t.Fatal("no hit")
	}
	var got, want any
	if err := accept(t, v, token).Claims(&got); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(payload), &want); err != nil {
		t.Fatal(err)
	}
	g, w := must(json.Marshal(got)), must(json.Marshal(want))
	if string(g) != string(w) {
		t.Errorf("%s\nwant %s", g, w)
	}
}
