package hostile

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/bearerkit/bearerkit/verify/verifytest"
)

// Algorithms are the algorithms of an issuer's keys.
var Algorithms = []string{"ES256", "RS256", "PS256", "EdDSA"}

// A World is the issuer and the service that tokens are made for.
type World struct {
	Issuer, Audience string
	Now              time.Time
	Keys             map[string]*verifytest.Key // the issuer's, by algorithm: one for each of Algorithms
	Attacker         *verifytest.Key            // an ES256 key that is not the issuer's
}

// NewWorld returns a world with new keys.
func NewWorld(issuer, audience string, now time.Time) *World {
	w := &World{issuer, audience, now, map[string]*verifytest.Key{}, verifytest.NewKey("ES256")}
	for _, alg := range Algorithms {
		w.Keys[alg] = verifytest.NewKey(alg)
	}
	return w
}

// Key returns the key that signs the token if the case has no other signature.
func (c *Case) Key(w *World) *verifytest.Key { return w.Keys[c.key] }

// JWS returns the header and the claims of the token. It reports whether the token is
// just that, with a signature of [Case.Key].
func (c *Case) JWS(w *World) (header, claims string, plain bool, err error) {
	b := builder{w: w, key: c.Key(w)}
	if header, err = b.text(c.header, b.headerMembers(), c.headerEdits); err != nil {
		return "", "", false, err
	}
	if claims, err = b.text(c.claims, b.claimMembers(), c.claimEdit); err != nil {
		return "", "", false, err
	}
	return header, claims, c.signature == nil && c.signed == nil && c.token == nil, nil
}

// Token makes the token.
func (c *Case) Token(w *World) (string, error) {
	header, claims, _, err := c.JWS(w)
	if err != nil {
		return "", err
	}
	b := builder{w: w, key: c.Key(w), segments: map[string][]byte{"H": []byte(header), "C": []byte(claims)}}
	input := encode([]byte(header)) + "." + encode([]byte(claims))
	if c.signed != nil {
		if input, err = b.expand(*c.signed); err != nil {
			return "", err
		}
	}
	sig, err := b.signature(c.signature, []byte(input))
	if err != nil {
		return "", err
	}
	if c.token == nil {
		return input + "." + encode(sig), nil
	}
	b.segments["S"] = sig
	return b.expand(*c.token)
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

type builder struct {
	w        *World
	key      *verifytest.Key
	segments map[string][]byte // decoded; nil in header and claims
}

func (b *builder) headerMembers() map[string]string {
	return map[string]string{"alg": quote(b.key.Algorithm), "kid": quote(b.key.ID), "typ": `"at+jwt"`}
}

func (b *builder) claimMembers() map[string]string {
	now := b.w.Now.Unix()
	return map[string]string{
		"iss": quote(b.w.Issuer), "aud": quote(b.w.Audience), "sub": `"user_1"`, "client_id": `"client_1"`,
		"exp": fmt.Sprint(now + 600), "iat": fmt.Sprint(now - 10), "jti": `"id_1"`, "scope": `"orders:read orders:write"`,
	}
}

// text returns an object with edits, or a whole text in its place.
func (b *builder) text(whole *string, members map[string]string, edits []edit) (string, error) {
	if whole != nil {
		return b.expand(*whole)
	}
	for _, e := range edits {
		name, err := b.expand(e.name)
		if err != nil {
			return "", err
		}
		value, err := b.expand(e.value)
		if err != nil {
			return "", err
		}
		if members[name] = value; e.absent {
			delete(members, name)
		}
	}
	return object(members), nil
}

// object writes a JSON object, its members in the order of their names.
func object(members map[string]string) string {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(members)) {
		list = append(list, quote(name)+":"+members[name])
	}
	return "{" + strings.Join(list, ",") + "}"
}

func quote(s string) string {
	text, err := json.Marshal(s)
	if err != nil {
		panic(err) // a string cannot fail
	}
	return string(text)
}
