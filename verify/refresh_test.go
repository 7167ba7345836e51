package verify_test

import (
	"context"
	"crypto/elliptic"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/bearerkit/bearerkit/verify"
)

var errDown = errors.New("the issuer does not answer")

// fresh makes n Ed25519 signers with kids of their own.
func fresh(prefix string, n int) []*signer {
	var list []*signer
	for i := range n {
		list = append(list, &signer{fmt.Sprintf("%s%d", prefix, i), "EdDSA", newEd()})
	}
	return list
}

// withSource builds a verifier on a source.
func withSource(t *testing.T, keys *source) *verify.Verifier {
	t.Helper()
	v, _ := build(t, func(c *verify.Config) { c.Issuers[0].Keys = keys })
	keys.asked()
	return v
}

// demand checks how often a source was asked since the last time.
func demand(t *testing.T, keys *source, keySets, refreshes int) {
	t.Helper()
	if n, m := keys.asked(); n != keySets || m != refreshes {
		t.Errorf("asked for keys %d times and for newer ones %d times, want %d and %d", n, m, keySets, refreshes)
	}
}

// bare is a good token without kid.
func (s *signer) bare() string { return s.token(s.header("kid", ""), claims()) }

func TestUnknownKid(t *testing.T) {
	k := fresh("k", 2)
	keys := &source{set: published(k[0])}
	v := withSource(t, keys)
	accept(t, v, k[0].good())
	demand(t, keys, 1, 0)
	refuse(t, v, k[1].good(), verify.ErrUnknownKey)
	demand(t, keys, 1, 1)
	if !slices.Equal(keys.goodBefore, []bool{false}) || !slices.Equal(keys.goodNow, []bool{false}) {
		t.Errorf("the old set was said to do: %v, %v", keys.goodBefore, keys.goodNow)
	}
	// A rotation that the source notices lets this very request in.
	keys.next = published(k...)
	accept(t, v, k[1].good())
	demand(t, keys, 1, 1)
	if !slices.Equal(keys.goodNow, []bool{false, true}) {
		t.Errorf("the new set was not said to do: %v", keys.goodNow)
	}
	accept(t, v, k[0].good())
	accept(t, v, k[1].good())
	demand(t, keys, 2, 0)
	// One that brings other keys than this does not.
	keys.next = published(k[0], fresh("x", 1)[0])
	refuse(t, v, k[1].bareKid("y"), verify.ErrUnknownKey)
	demand(t, keys, 1, 1)
	// A key withdrawn is a key gone.
	refuse(t, v, k[1].good(), verify.ErrUnknownKey)
	accept(t, v, k[0].good())
}

// bareKid is a good token under another kid.
func (s *signer) bareKid(kid string) string { return s.token(s.header("kid", quote(kid)), claims()) }

// An issuer may replace a key and keep its kid.
func TestBadSignatureUnderKnownKid(t *testing.T) {
	before, after := &signer{"k", "EdDSA", newEd()}, &signer{"k", "EdDSA", newEd()}
	keys := &source{set: published(before)}
	v := withSource(t, keys)
	refuse(t, v, after.good(), verify.ErrSignature)
	demand(t, keys, 1, 1)
	if !slices.Equal(keys.goodNow, []bool{false}) {
		t.Errorf("a set with no other key was said to do")
	}
	// The same material under its own name is not tried again.
	keys.next = published(before, fresh("x", 1)[0])
	refuse(t, v, after.good(), verify.ErrSignature)
	demand(t, keys, 1, 1)
	if !slices.Equal(keys.goodNow, []bool{false, false}) {
		t.Errorf("a set with no other key of this kid was said to do")
	}
	keys.next = published(after)
	accept(t, v, after.good())
	demand(t, keys, 1, 1)
	accept(t, v, after.good())
	demand(t, keys, 1, 0)
	refuse(t, v, before.good(), verify.ErrSignature)
	demand(t, keys, 1, 1)
	// A refresh that brings a third key for the forged token does not help it.
	keys.next = published(&signer{"k", "EdDSA", newEd()})
	refuse(t, v, before.good(), verify.ErrSignature)
}

// A key under a kid that moves to another algorithm is another key.
func TestRotationToAnotherAlgorithm(t *testing.T) {
	old, now := &signer{"k", "RS256", rsaPriv}, &signer{"k", "ES256", newEC(elliptic.P256())}
	keys := &source{set: published(old), next: published(now)}
	v := withSource(t, keys)
	accept(t, v, now.good())
	demand(t, keys, 1, 1)
	refuse(t, v, old.good(), verify.ErrUnknownKey)
}

// The same material under the same kid, once its alg says something else.
func TestSameMaterialOtherAlgorithm(t *testing.T) {
	rs, ps := &signer{"k", "RS256", rsaPriv}, &signer{"k", "PS256", rsaPriv}
	keys := &source{set: published(rs), next: published(ps)}
	v := withSource(t, keys)
	accept(t, v, ps.good())
	refuse(t, v, rs.good(), verify.ErrUnknownKey)
}

func TestTroubleIsNotTheTokensFault(t *testing.T) {
	k := fresh("k", 2)
	// What the token alone decides is decided without the source.
	hopeless := map[verify.Reason]string{
		verify.ErrExpired:   k[0].with("exp", at(-1000)),
		verify.ErrIssuer:    k[0].with("iss", `"https://evil.example"`),
		verify.ErrAudience:  k[0].with("aud", `"x"`),
		verify.ErrClaim:     k[0].with("sub", ``),
		verify.ErrBound:     k[0].with("cnf", `{}`),
		verify.ErrAlgorithm: k[0].token(k[0].header("alg", `"none"`), claims()),
		verify.ErrMalformed: "a.b.c",
		verify.ErrSyntax:    " ",
	}
	t.Run("an unknown kid while the issuer is down", func(t *testing.T) {
		keys := &source{set: published(k[0]), refErr: errDown}
		v := withSource(t, keys)
		e := refuse(t, v, k[1].good(), verify.ErrUnavailable)
		if !errors.Is(e, errDown) {
			t.Errorf("the cause is lost: %v", e)
		}
		demand(t, keys, 1, 1)
		accept(t, v, k[0].good())
		// A signature that does not verify under a key of the set is refused.
		refuse(t, v, (&signer{"k0", "EdDSA", newEd()}).good(), verify.ErrSignature)
		// One that names no key may have been made by one that nobody here
		// has seen.
		refuse(t, v, k[1].bare(), verify.ErrUnavailable)
	})
	t.Run("no keys at all", func(t *testing.T) {
		keys := &source{setErr: errDown, refErr: errDown}
		v := withSource(t, keys)
		for _, tok := range []string{k[0].good(), k[0].bare(), k[1].good()} {
			if e := refuse(t, v, tok, verify.ErrUnavailable); !errors.Is(e, errDown) {
				t.Errorf("the cause is lost: %v", e)
			}
			demand(t, keys, 1, 1)
		}
		for reason, tok := range hopeless {
			refuse(t, v, tok, reason)
		}
		demand(t, keys, 0, 0)
		if v.Ready() {
			t.Error("ready without keys")
		}
	})
	t.Run("the first keys come while the request waits", func(t *testing.T) {
		keys := &source{setErr: errDown, next: published(k[0])}
		v := withSource(t, keys)
		accept(t, v, k[0].good())
		demand(t, keys, 1, 1)
		if !v.Ready() {
			t.Error("not ready with keys")
		}
	})
	t.Run("the first keys are not this token's", func(t *testing.T) {
		keys := &source{setErr: errDown, next: published(k[0])}
		v := withSource(t, keys)
		refuse(t, v, k[1].good(), verify.ErrUnknownKey)
		if _, m := keys.asked(); m > 2 {
			t.Errorf("asked for newer keys %d times", m)
		}
	})
	t.Run("an unavailability passes through as it is", func(t *testing.T) {
		inner := &verify.Error{Reason: verify.ErrUnavailable, Cause: errDown}
		v := withSource(t, &source{setErr: inner, refErr: inner})
		if e := refuse(t, v, k[0].good(), verify.ErrUnavailable); !errors.Is(e, errDown) {
			t.Errorf("the cause is lost: %v", e)
		}
	})
	t.Run("the caller goes away", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		v := withSource(t, &source{set: published(k[0]), refErr: ctx.Err()})
		_, err := v.Verify(ctx, k[1].good())
		if !errors.Is(err, verify.ErrUnavailable) || !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
		if _, err := v.Verify(ctx, k[0].good()); err != nil { // needs nobody
			t.Errorf("error %v", err)
		}
	})
}

// An empty set is a set: its tokens are unknown, not undecided.
func TestEmptySet(t *testing.T) {
	keys := &source{set: keySet()}
	v := withSource(t, keys)
	for _, s := range []*signer{eddsa, rs256} {
		refuse(t, v, s.good(), verify.ErrUnknownKey)
		demand(t, keys, 1, 1)
		refuse(t, v, s.bare(), verify.ErrUnknownKey)
		demand(t, keys, 1, 1)
	}
}

// A token without kid is tried with the keys that fit its algorithm, four at
// most; if more fit it is refused, whichever of them made it.
func TestNoKid(t *testing.T) {
	for n := 1; n <= 6; n++ {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			k := fresh("k", n)
			// Keys of other algorithms do not count.
			keys := &source{set: published(append(slices.Clone(k), rs256, ps256, es256, es384, es512)...)}
			v := withSource(t, keys)
			for _, s := range k {
				if n <= 4 {
					accept(t, v, s.bare())
				} else {
					refuse(t, v, s.bare(), verify.ErrUnknownKey)
				}
				demand(t, keys, 1, 0)
				accept(t, v, s.good())
				keys.asked()
			}
			forged := fresh("x", 1)[0].bare()
			if n <= 4 {
				refuse(t, v, forged, verify.ErrSignature)
				demand(t, keys, 1, 1)
			} else {
				refuse(t, v, forged, verify.ErrUnknownKey)
				demand(t, keys, 1, 0)
			}
			accept(t, v, es256.bare())
			accept(t, v, rs256.bare())
			accept(t, v, ps256.bare())
		})
	}
}

// Keys that have no kid themselves are found by their algorithm.
func TestKeysWithoutKid(t *testing.T) {
	a, b := newEd(), newEd()
	set, skipped := verify.NewKeySet([]verify.Key{{Public: a.Public()}, {Public: b.Public()}, {Public: rsaPriv.Public()}})
	if len(skipped) > 0 || set.Len() != 3 || len(set.IDs()) != 0 {
		t.Fatalf("%d keys, skipped %v", set.Len(), skipped)
	}
	v := withSource(t, &source{set: set})
	accept(t, v, (&signer{"", "EdDSA", a}).bare())
	accept(t, v, (&signer{"", "EdDSA", b}).bare())
	accept(t, v, rs256.bare())
	refuse(t, v, fresh("x", 1)[0].bare(), verify.ErrSignature)
	refuse(t, v, rs256.good(), verify.ErrUnknownKey) // it has a name that nobody bears
}

// A rotation of keys without kid: what the new set adds is tried, and no more
// than four signatures are checked in all.
func TestNoKidAfterRotation(t *testing.T) {
	for _, c := range []struct {
		old, added int
		want       verify.Reason
	}{
		{0, 1, accepted}, {0, 4, accepted}, {0, 5, verify.ErrUnknownKey}, {1, 1, accepted}, {1, 3, accepted}, {3, 1, accepted},
		{1, 4, verify.ErrUnknownKey}, {4, 1, verify.ErrUnknownKey}, {2, 3, verify.ErrUnknownKey},
	} {
		t.Run(fmt.Sprintf("%d and %d", c.old, c.added), func(t *testing.T) {
			old, added := fresh("old", c.old), fresh("new", c.added)
			keys := &source{set: published(old...), next: published(append(slices.Clone(old), added...)...)}
			v := withSource(t, keys)
			run(t, v, []row{{"the last of them", added[len(added)-1].bare(), c.want, ""}})
			demand(t, keys, 1, 1)
			if c.old+c.added <= 4 {
				accept(t, v, added[0].bare())
			}
		})
	}
}

// Keys without kid that are all replaced at once: the first token of the new
// ones gets in.
func TestNoKidReplaced(t *testing.T) {
	for n := 1; n <= 4; n++ {
		keys := &source{set: published(fresh("old", n)...)}
		next := fresh("new", n)
		keys.next = published(next...)
		accept(t, withSource(t, keys), next[n-1].bare())
	}
}

// A set with very many keys costs a forged token without kid nothing.
func TestNoKidManyKeys(t *testing.T) {
	var list []verify.Key
	for i := range 1000 {
		list = append(list, verify.Key{ID: fmt.Sprint("k", i), Public: newEd().Public()})
	}
	list = append(list, eddsa.key())
	keys := &source{set: keySet(list...)}
	v := withSource(t, keys)
	refuse(t, v, eddsa.bare(), verify.ErrUnknownKey)
	demand(t, keys, 1, 0)
	accept(t, v, eddsa.good())
}

// Only a token that a withdrawn key has in fact signed is said to be one of
// such a key: a made-up one under its kid, or a new key's under the same kid,
// is not.
func TestWithdrawn(t *testing.T) {
	k := fresh("k", 3)
	forger := &signer{k[0].kid, "EdDSA", newEd()}
	first := published(k[0])
	second := published(k[1]).After(first)
	third := published(k[2]).After(second)
	again := published(k[0]).After(third)
	sameKid := published(forger).After(first)
	renamed := &signer{"renamed", "EdDSA", k[0].priv}
	if first.After(nil) != first || first.After(first) != first {
		t.Error("a set that succeeds none, or itself, is the same")
	}
	for _, tc := range []struct {
		name  string
		set   *verify.KeySet
		token string
		want  bool
	}{
		{"never seen", second, k[2].good(), false},
		{"withdrawn", second, k[0].good(), true},
		{"forged under a withdrawn kid", second, forger.good(), false},
		{"withdrawn two sets ago", third, k[0].good(), true},
		{"withdrawn and back, the other one", again, k[1].good(), true},
		{"the old material of a kid", sameKid, k[0].good(), true},
		{"the old name of a key", published(renamed).After(first), k[0].good(), true},
		{"without kid", second, k[0].bare(), true},
		{"without kid, withdrawn two sets ago", third, k[0].bare(), true},
		{"without kid, never seen", second, k[2].bare(), false},
		{"without kid, beside four that fit", published(fresh("y", 4)...).After(first), k[0].bare(), true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			keys := &source{set: tc.set}
			v := withSource(t, keys)
			if _, err := v.Verify(t.Context(), tc.token); err == nil {
				t.Fatal("accepted")
			}
			if !slices.Equal(keys.withdrawn, []bool{tc.want}) {
				t.Errorf("withdrawn: %v", keys.withdrawn)
			}
		})
	}
	accept(t, withSource(t, &source{set: again}), k[0].good())
	// It remembers a bounded number of them.
	set := published(fresh("x", 1)...)
	for i := range 100 {
		set = published(fresh(fmt.Sprint(i), 1)...).After(set)
	}
	set = published(k[0]).After(set)
	set = published(k[1]).After(set)
	keys := &source{set: set}
	v := withSource(t, keys)
	refuse(t, v, k[0].good(), verify.ErrUnknownKey)
	if !keys.withdrawn[0] {
		t.Error("the latest is not among the remembered")
	}
}

// What a made-up token costs is bounded, however many keys came and went: with a
// kid two signature checks, without one five; and those of the keys that a fetch
// brings just then, which is once for each of them.
func TestSignatureChecksAreBounded(t *testing.T) {
	checks, stop := verify.CountChecks("EdDSA")
	defer stop()
	forger := &signer{"k", "EdDSA", newEd()}
	// Sixteen rotations and more that keep their kid, and as many that do not.
	var kept, renamed *verify.KeySet
	for i := range 20 {
		kept = published(&signer{"k", "EdDSA", newEd()}).After(kept)
		renamed = published(fresh(fmt.Sprint(i, "-"), 1)...).After(renamed)
	}
	four := published(fresh("four", 4)...).After(renamed)
	twice := &signer{"k", "EdDSA", newEd()}
	for _, c := range []struct {
		name        string
		set, next   *verify.KeySet
		token       string
		most, atAll int
	}{
		{"one key", published(eddsa), nil, (&signer{"eddsa", "EdDSA", newEd()}).good(), 1, 1},
		{"one key under two algorithms", keySet(verify.Key{ID: "k", Public: twice.priv.Public()}, twice.key()), nil, forger.good(), 1, 1},
		{"an unknown kid", kept, nil, (&signer{"unknown", "EdDSA", newEd()}).good(), 0, 0},
		{"a kid that was kept", kept, nil, forger.good(), 2, 2},
		{"a withdrawn kid", renamed, nil, (&signer{"15-0", "EdDSA", newEd()}).good(), 1, 1},
		{"a kid that changes just then", kept, published(&signer{"k", "EdDSA", newEd()}).After(kept), forger.good(), 3, 2},
		{"no kid", renamed, nil, forger.bare(), 4, 4},
		{"no kid, four keys", four, nil, forger.bare(), 5, 5},
		{"no kid, one key under four kids", published(&signer{"a", "EdDSA", twice.priv}, &signer{"b", "EdDSA", twice.priv}, &signer{"c", "EdDSA", twice.priv}), nil, forger.bare(), 1, 1},
		{"no kid, a key that got another kid", published(&signer{"b", "EdDSA", twice.priv}).After(published(&signer{"a", "EdDSA", twice.priv})), nil, forger.bare(), 1, 1},
		{"no kid, five keys", published(fresh("five", 5)...).After(renamed), nil, forger.bare(), 0, 0},
		{"no kid, and four keys that come just then", four, published(fresh("next", 4)...).After(four), forger.bare(), 9, 5},
	} {
		keys := &source{set: c.set, next: c.next}
		v := withSource(t, keys)
		checks()
		for i, want := range []int{c.most, c.atAll, c.atAll} { // the first one may see the change
			if _, err := v.Verify(t.Context(), c.token); err == nil {
				t.Fatalf("%s: accepted", c.name)
			}
			if n := checks(); n != want {
				t.Errorf("%s: try %d: %d checks, want %d", c.name, i, n, want)
			}
		}
	}
	// A key that was withdrawn and comes back is not tried again.
	k := fresh("back", 2)
	first := published(k[0])
	second := published(k[1]).After(first)
	v := withSource(t, &source{set: second, next: published(k...).After(second)})
	checks()
	accept(t, v, k[0].good())
	if n := checks(); n != 1 {
		t.Errorf("a key that came back: %d checks", n)
	}
}
