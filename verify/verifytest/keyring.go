package verifytest

import (
	"crypto"
	"crypto/rsa"
	"encoding/json"
	"slices"
)

// keyring has the keys of a server; the server's mu guards it.
type keyring struct {
	published []*Key
	current   *Key              // signs by default; not always published
	raw       []json.RawMessage // odd members of the set
	borrowed  []*rsa.PrivateKey // to be returned to the pool
}

func (r *keyring) init() {
	r.current = r.generate("ES256")
	r.published = []*Key{r.current}
}

func (r *keyring) generate(algorithm string) *Key {
	k := &Key{ID: newID(), Algorithm: algorithm}
	if familyOf(algorithm).rsa {
		private := borrowRSA()
		r.borrowed = append(r.borrowed, private)
		k.Private = private
	} else {
		k.Private = generate(algorithm)
	}
	return k
}

func (r *keyring) release() {
	returnRSA(r.borrowed)
	r.borrowed = nil
}

// has reports whether the set has the key's material.
func (r *keyring) has(k *Key) bool {
	return slices.ContainsFunc(r.published, func(p *Key) bool {
		public, ok := p.Public().(interface{ Equal(crypto.PublicKey) bool })
		return ok && public.Equal(k.Public())
	})
}

// withdraw takes the keys with an ID out of the set.
func (r *keyring) withdraw(id string) bool {
	before := len(r.published) + len(r.raw)
	// New slices: those who have the old ones keep what they saw.
	r.published = slices.DeleteFunc(slices.Clone(r.published), func(k *Key) bool { return k.ID == id })
	r.raw = slices.DeleteFunc(slices.Clone(r.raw), func(text json.RawMessage) bool {
		var jwk map[string]json.RawMessage
		var kid string
		return json.Unmarshal(text, &jwk) == nil && jwk["kid"] != nil && json.Unmarshal(jwk["kid"], &kid) == nil && kid == id
	})
	return len(r.published)+len(r.raw) < before
}

// signer returns the key to sign with by default. For an algorithm that no
// key of the set has, one is made and published.
func (s *Server) signer(algorithm string) *Key {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := &s.keys
	if algorithm == "" || r.current.Algorithm == algorithm {
		return r.current
	}
	for _, k := range r.published {
		if k.Algorithm == algorithm {
			return k
		}
	}
	k := r.generate(algorithm)
	r.published = append(slices.Clone(r.published), k)
	return k
}

// Key returns the key that signs tokens by default: at first an ES256 key.
func (s *Server) Key() *Key {
	k := *s.signer("")
	return &k
}

// Keys returns the published keys, without those that [Server.Publish] added.
func (s *Server) Keys() []*Key {
	s.mu.Lock()
	defer s.mu.Unlock()
	keys := make([]*Key, len(s.keys.published))
	for i, k := range s.keys.published {
		c := *k
		keys[i] = &c
	}
	return keys
}

// Rotate publishes a new key of the same algorithm beside those that are
// there, signs with it from now on, and returns it. The old key stays
// published until [Server.Withdraw].
func (s *Server) Rotate() *Key {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.keys.generate(s.keys.current.algorithm())
	s.keys.use(k)
	c := *k
	return &c
}

// Use publishes a key beside those that are there and signs with it from now
// on: a rotation to a key of the test's choice, to one of another algorithm
// (Use(NewKey("RS256"))), or back to an old one. A published key with the same
// ID and algorithm gives way.
func (s *Server) Use(key *Key) {
	k := *key
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys.use(&k)
}

func (r *keyring) use(k *Key) {
	r.published = slices.DeleteFunc(slices.Clone(r.published), func(p *Key) bool {
		return p.ID == k.ID && p.Algorithm == k.Algorithm
	})
	r.published = append(r.published, k)
	r.current = k
}

// Replace gives the published key with an ID new material under the same ID
// and algorithm, as some issuers do when they rotate, and returns it. It
// panics if there is no such key.
func (s *Server) Replace(kid string) *Key {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := &s.keys
	i := slices.IndexFunc(r.published, func(k *Key) bool { return k.ID == kid })
	if i < 0 {
		panic("verifytest: Replace of a key that is not published")
	}
	old := r.published[i]
	k := r.generate(old.algorithm())
	k.ID, k.Algorithm = old.ID, old.Algorithm
	r.published = slices.Clone(r.published)
	r.published[i] = k
	if r.current == old {
		r.current = k
	}
	c := *k
	return &c
}

// Withdraw takes the keys with an ID out of the set and reports whether there
// were any. A key that signs tokens goes on doing so, unpublished: Rotate
// before.
func (s *Server) Withdraw(kid string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.keys.withdraw(kid)
}

// SetKeys makes the set consist of the keys, of which the first one signs
// tokens. With none the set is empty, and the key that signs stays.
func (s *Server) SetKeys(keys ...*Key) {
	var own []*Key
	for _, key := range keys {
		k := *key
		own = append(own, &k)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys.published, s.keys.raw = own, nil
	if len(own) > 0 {
		s.keys.current = own[0]
	}
}

// Publish adds members to the set that need not be keys: whatever
// encoding/json can write, a map from [Key.JWK] with something odd in it, say.
// They come after the keys, in order.
func (s *Server) Publish(jwks ...any) {
	var raw []json.RawMessage
	for _, jwk := range jwks {
		raw = append(raw, marshal(jwk))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys.raw = append(slices.Clone(s.keys.raw), raw...)
}

// document is the key set as JSON.
func (r *keyring) document() []byte {
	members := []json.RawMessage{}
	for _, k := range r.published {
		members = append(members, marshal(k.JWK()))
	}
	return marshal(map[string]any{"keys": append(members, r.raw...)})
}

func marshal(v any) []byte {
	text, err := json.Marshal(v)
	must(err)
	return text
}
