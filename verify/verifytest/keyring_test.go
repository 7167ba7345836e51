package verifytest_test

import (
	"crypto/rsa"
	"encoding/json"
	"testing"

	"github.com/bearerkit/bearerkit/verify/verifytest"
)

func TestRotateAndWithdraw(t *testing.T) {
	onBoth(t, func(t *testing.T, s *verifytest.Server) {
		old := s.Key()
		before := s.Token(nil)
		fresh := s.Rotate()
		if fresh.ID == old.ID || fresh.Algorithm != old.Algorithm || s.Key().ID != fresh.ID {
			t.Fatalf("rotated %v to %v", old.ID, fresh.ID)
		}
		if got, want := kids(t, s), old.ID+" "+fresh.ID; got != want {
			t.Errorf("published %q, want %q", got, want)
		}
		after := s.Token(nil)
		if header, _, _, _ := parts(t, after); header["kid"] != fresh.ID {
			t.Error("the new key is not used at once")
		}
		for _, token := range []string{before, after} {
			if err := checkPublished(t, s, token); err != nil {
				t.Error(err)
			}
		}
		if !s.Withdraw(old.ID) || s.Withdraw(old.ID) {
			t.Error("Withdraw does not report what it did")
		}
		if got := kids(t, s); got != fresh.ID {
			t.Errorf("published %q after the withdrawal", got)
		}
		if err := checkPublished(t, s, s.Token(nil)); err != nil {
			t.Error(err)
		}
		s.Withdraw(fresh.ID)
		if header, _, _, _ := parts(t, s.Token(nil)); header["kid"] != fresh.ID || len(keySet(t, s)) != 0 {
			t.Error("a withdrawn key that signs should go on doing so, unpublished")
		}
	})
}

func TestReplaceKeepsTheID(t *testing.T) {
	s := verifytest.NewInMemory("https://issuer.example")
	defer s.Close()
	for _, alg := range []string{"ES256", "RS256", "Ed25519"} {
		s.Use(verifytest.NewKey(alg))
		old, before := s.Key(), s.Token(nil)
		fresh := s.Replace(old.ID)
		if fresh.ID != old.ID || fresh.Algorithm != alg {
			t.Fatalf("%s: replaced by %v %v", alg, fresh.ID, fresh.Algorithm)
		}
		if err := checkPublished(t, s, before); err == nil {
			t.Errorf("%s: the material is still the same", alg)
		}
		if err := checkPublished(t, s, s.Token(nil)); err != nil {
			t.Errorf("%s: the new material is not used at once: %v", alg, err)
		}
	}
	// One that does not sign tokens stays one that does not.
	signing := s.Key()
	first := s.Keys()[0]
	if first.ID == signing.ID {
		t.Fatal("the first key signs")
	}
	s.Replace(first.ID)
	if s.Key().ID != signing.ID || s.Keys()[0].ID != first.ID {
		t.Error("Replace has moved a key")
	}
}

func TestUse(t *testing.T) {
	s := verifytest.NewInMemory("https://issuer.example")
	defer s.Close()
	first, second := s.Key(), verifytest.NewKey("RS256")
	s.Use(second)
	second.ID = "changed by the caller"
	if header, _, _, _ := parts(t, s.Token(nil)); header["alg"] != "RS256" || header["kid"] != s.Key().ID || header["kid"] == second.ID {
		t.Errorf("header %v", header)
	}
	if s.Rotate().Algorithm != "RS256" {
		t.Error("Rotate changes the algorithm")
	}
	s.Use(first) // back again, and not published twice
	if header, _, _, _ := parts(t, s.Token(nil)); header["kid"] != first.ID || len(keySet(t, s)) != 3 {
		t.Errorf("header %v, published %q", header, kids(t, s))
	}
	if header, _, _, _ := parts(t, s.Token(nil, verifytest.WithAlgorithm("RS256"))); header["alg"] != "RS256" || len(keySet(t, s)) != 3 {
		t.Errorf("a published key is not used for its algorithm: %v", header)
	}
}

func TestSetKeysAndPublish(t *testing.T) {
	onBoth(t, func(t *testing.T, s *verifytest.Server) {
		a, b := verifytest.NewKey("ES384"), verifytest.NewKey("EdDSA")
		odd := verifytest.NewKey("ES256").JWK()
		odd["use"] = "enc"
		s.Publish("no key at all")
		s.SetKeys(a, b)
		s.Publish(odd, 5, json.RawMessage(`{"kid":7,"kid":8}`))
		var set struct{ Keys []json.RawMessage }
		if err := json.Unmarshal([]byte(get(t, s, verifytest.JWKS).body), &set); err != nil {
			t.Fatal(err)
		}
		if len(set.Keys) != 5 || string(set.Keys[3]) != "5" || string(set.Keys[4]) != `{"kid":7,"kid":8}` {
			t.Fatalf("published %s", set.Keys)
		}
		if header, _, _, _ := parts(t, s.Token(nil)); header["kid"] != a.ID || header["alg"] != "ES384" {
			t.Errorf("the first key does not sign: %v", header)
		}
		if !s.Withdraw(odd["kid"].(string)) {
			t.Error("an odd key cannot be withdrawn")
		}
		s.SetKeys()
		if body := get(t, s, verifytest.JWKS).body; body != `{"keys":[]}` {
			t.Errorf("an empty set is %s", body)
		}
		if header, _, _, _ := parts(t, s.Token(nil)); header["kid"] != a.ID {
			t.Errorf("nothing signs: %v", header)
		}
	})
}

// Keys that a caller gets are copies: to change one does not reach the server.
func TestKeysAreCopies(t *testing.T) {
	s := verifytest.NewInMemory("https://issuer.example")
	defer s.Close()
	want := s.Key().ID
	s.Key().ID = "x"
	s.Keys()[0].ID = "x"
	s.Rotate().ID = "x"
	s.Replace(want).ID = "x"
	if got := kids(t, s); got != want+" "+s.Key().ID || s.Key().ID == "x" {
		t.Errorf("published %q", got)
	}
}

// RSA keys are recycled from server to server, but never two servers at work
// have one key, and no rotation brings an old one back.
func TestRSAKeysAreDistinct(t *testing.T) {
	for range 2 {
		seen := map[string]bool{}
		note := func(k *verifytest.Key) {
			n := k.Public().(*rsa.PublicKey).N.String()
			if seen[n] {
				t.Error("two keys have the same material")
			}
			seen[n] = true
		}
		a, b := verifytest.NewInMemory("https://a.example"), verifytest.NewInMemory("https://b.example")
		for _, s := range []*verifytest.Server{a, b} {
			s.Token(nil, verifytest.WithAlgorithm("RS256"))
			s.Token(nil, verifytest.WithAlgorithm("PS256"))
			for _, k := range s.Keys()[1:] {
				note(k)
			}
			note(s.Replace(s.Keys()[1].ID))
		}
		note(verifytest.NewKey("RS256"))
		b.Close()
		a.Close()
		a.Close() // must not hand its keys out twice
	}
}
