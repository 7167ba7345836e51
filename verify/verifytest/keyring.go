package verifytest

import (
	"crypto"
	"crypto/rsa"
	"encoding/json"
	"slices"
)

// A keyring has the keys of a server. The server's mu guards it.
type keyring struct {
	published []*Key
	current   *Key              // signs by default; may be unpublished
	raw       []json.RawMessage // other elements of the key set
	borrowed  []*rsa.PrivateKey // return these to the pool
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

// has reports whether the set has the key, under any ID.
func (r *keyring) has(k *Key) bool {
	return slices.ContainsFunc(r.published, func(p *Key) bool {
		public, ok := p.Public().(interface{ Equal(crypto.PublicKey) bool })
		return ok && public.Equal(k.Public())
	})
}

// withdraw removes the keys with an ID from the set.
func (r *keyring) withdraw(id string) bool {
	before := len(r.published) + len(r.raw)
	// The old slices may be in use, so make new ones.
	r.published = slices.DeleteFunc(slices.Clone(r.published), func(k *Key) bool { return k.ID == id })
	r.raw = slices.DeleteFunc(slices.Clone(r.raw), func(text json.RawMessage) bool {
		var jwk map[string]json.RawMessage
		var kid string
		return json.Unmarshal(text, &jwk) == nil && jwk["kid"] != nil && json.Unmarshal(jwk["kid"], &kid) == nil && kid == id
	})
	return len(r.published)+len(r.raw) < before
}

// signer returns the default key for an algorithm. If no key of the set has the
// algorithm, it generates and publishes one.
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

// Key returns the key that signs tokens by default, initially an ES256 key.
func (s *Server) Key() *Key {
	k := *s.signer("")
	return &k
}

// Keys returns the published keys, without the elements that [Server.Publish] added.
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

// Rotate publishes another key of the same algorithm, signs with it from now on, and
// returns it. The old key stays published until [Server.Withdraw].
func (s *Server) Rotate() *Key {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.keys.generate(s.keys.current.algorithm())
	s.keys.use(k)
	c := *k
	return &c
}

// Use publishes a key in addition to the others and signs with it from now on. It is
// for rotations to a given key, to another algorithm (Use(NewKey("RS256"))), or
// back to an old key. The key replaces a published one with the same ID and
// algorithm.
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

// Replace replaces the published key with an ID by another one with the same ID and
// algorithm, as some issuers do when they rotate, and returns it. It panics if
// there is no such key.
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

// Withdraw removes the keys with an ID from the set and reports whether there were
// any. If one of them signs tokens, it continues to do so: call Rotate first.
func (s *Server) Withdraw(kid string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.keys.withdraw(kid)
}

// SetKeys replaces the whole set. The first key signs tokens from now on; without any
// key the set is empty, and the key that signs stays the same.
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

// Publish adds elements to the set that need not be valid keys: anything that
// encoding/json can encode, such as a changed map from [Key.JWK]. They follow the
// keys, in order.
func (s *Server) Publish(jwks ...any) {
	var raw []json.RawMessage
	for _, jwk := range jwks {
		raw = append(raw, marshal(jwk))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys.raw = append(slices.Clone(s.keys.raw), raw...)
}

// document returns the key set as JSON.
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
