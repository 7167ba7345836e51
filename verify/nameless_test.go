package verify_test

import (
	"testing"

	"github.com/bearerkit/bearerkit/verify"
	"github.com/bearerkit/bearerkit/verify/jwks"
)

// nameless is the signer's public key without an ID.
func (s *signer) nameless() verify.Key {
	k := s.key()
	k.ID = ""
	return k
}

// A token names a key, and the key has no name: in a set of one, and among keys
// that were configured, that is the key. What an issuer publishes beside others
// is not.
func TestNamelessKeysAndNamedTokens(t *testing.T) {
	k := fresh("k", 7)
	for name, tc := range map[string]struct {
		keys   []verify.Key
		static bool
		token  string
		want   verify.Reason
	}{
		"a set of one":                       {[]verify.Key{k[0].nameless()}, false, k[0].good(), accepted},
		"a set of one, another's":            {[]verify.Key{k[0].nameless()}, false, k[1].good(), verify.ErrUnknownKey},
		"a set of one, without a kid":        {[]verify.Key{k[0].nameless()}, false, k[0].bare(), accepted},
		"a set of one that has a name":       {[]verify.Key{k[0].key()}, false, k[0].bareKid("x"), verify.ErrUnknownKey},
		"a set of one, for another alg":      {[]verify.Key{rs256.nameless()}, false, k[0].good(), verify.ErrUnknownKey},
		"a set of two":                       {[]verify.Key{k[0].nameless(), k[1].nameless()}, false, k[0].good(), verify.ErrUnknownKey},
		"a set of two, one has a name":       {[]verify.Key{k[0].nameless(), k[1].key()}, false, k[0].good(), verify.ErrUnknownKey},
		"static":                             {[]verify.Key{k[0].nameless()}, true, k[0].good(), accepted},
		"static, two":                        {[]verify.Key{k[0].nameless(), k[1].nameless()}, true, k[1].good(), accepted},
		"static, one has a name":             {[]verify.Key{k[0].nameless(), k[1].key()}, true, k[0].good(), accepted},
		"static, the one with the name":      {[]verify.Key{k[0].nameless(), k[1].key()}, true, k[1].good(), accepted},
		"static, forged under a name":        {[]verify.Key{k[0].nameless(), k[1].key()}, true, k[0].bareKid("k1"), verify.ErrSignature},
		"static, another's":                  {[]verify.Key{k[0].nameless(), k[1].key()}, true, k[2].good(), verify.ErrUnknownKey},
		"static, four":                       {nameless(k[:4]), true, k[3].good(), accepted},
		"static, more than may be tried":     {nameless(k[:5]), true, k[0].good(), verify.ErrUnknownKey},
		"static, five but four for this alg": {append(nameless(k[:4]), rs256.nameless()), true, k[3].good(), accepted},
	} {
		t.Run(name, func(t *testing.T) {
			var keys verify.KeySource = &source{set: keySet(tc.keys...)}
			if tc.static {
				keys = jwks.Static(tc.keys...)
			}
			v, _ := build(t, func(c *verify.Config) { c.Issuers[0].Keys = keys })
			for range 2 { // the second time from memory
				run(t, v, []row{{name, tc.token, tc.want, ""}})
			}
		})
	}
}

func nameless(signers []*signer) (keys []verify.Key) {
	for _, s := range signers {
		keys = append(keys, s.nameless())
	}
	return keys
}

// A rotation of the one nameless key is noticed as others are, and while the
// issuer cannot be asked, nobody knows whose a token is that the key has not
// signed.
func TestRotationOfTheNamelessKey(t *testing.T) {
	k := fresh("k", 2)
	keys := &source{set: keySet(k[0].nameless()), refErr: errDown}
	v := withSource(t, keys)
	accept(t, v, k[0].good())
	refuse(t, v, k[1].good(), verify.ErrUnavailable)
	keys.refErr, keys.next = nil, keySet(k[1].nameless())
	accept(t, v, k[1].good())
	refuse(t, v, k[0].good(), verify.ErrUnknownKey)
	if n := len(keys.withdrawn); n == 0 || keys.withdrawn[n-1] {
		// The set of this source does not remember its predecessor.
		t.Errorf("withdrawn: %v", keys.withdrawn)
	}
	// A set that does remember it knows the tokens of the withdrawn key.
	keys.set = keySet(k[1].nameless()).After(keySet(k[0].nameless()))
	refuse(t, v, k[0].good(), verify.ErrUnknownKey)
	if n := len(keys.withdrawn); !keys.withdrawn[n-1] {
		t.Errorf("withdrawn: %v", keys.withdrawn)
	}
	// The kid becomes another key's name: the remembered token is not good any
	// more, whatever key has signed it.
	keys.set = keySet(k[0].nameless())
	v = withSource(t, keys)
	accept(t, v, k[0].good())
	named := k[1].key()
	named.ID = "k0"
	keys.set = keySet(k[0].nameless(), named)
	refuse(t, v, k[0].good(), verify.ErrSignature)
}
