package verify

import (
	"errors"
	"reflect"
	"sync/atomic"

	"github.com/bearerkit/bearerkit/internal/claimsjson"
)

// Claims decodes the token's claims into v, a pointer that is not nil, by the
// "json" tags of encoding/json, with these differences:
//
//   - A claim's name must match the tag in case too; without a tag, the field's
//     name.
//   - In an interface, a whole number that fits is an int64; any other number
//     is a float64, which loses digits beyond 2^53. A field of type
//     [encoding/json.Number] keeps all of them.
//   - Decoding ends at the first claim that does not fit its field.
//   - Two fields of one name, and tags that go vet complains about, are errors.
//   - The error names the claim and the types, and no value.
//
// It may be called as often as wanted and decodes anew each time; [ClaimsOf]
// does not. For a token that was introspected too they are the claims of both,
// as [Introspection] has it; a token that was not made by [Verifier.Verify] has
// none and yields an error.
func (t *Token) Claims(v any) error {
	if t.claims == "" {
		return errors.New("verify: the token has no claims to decode")
	}
	return claimsjson.Decode(t.claims, v)
}

// ClaimsOf decodes the token's claims into a T as [Token.Claims] does. As long as
// the verifier remembers the token, its claims are decoded once, into the first
// type that is asked for; later calls with that type copy them, which costs a
// fraction of it. The result is the caller's own, with everything it points to:
// requests share nothing.
//
// A T cannot be copied, and is decoded at each call, if it has pointers, slices
// or maps in unexported fields, or a type whose own UnmarshalJSON may make some.
func ClaimsOf[T any](t *Token) (T, error) {
	if t.memo != nil {
		if d := t.memo.decoded.Load(); d != nil {
			if original, ok := d.value.(*T); ok {
				return claimsjson.Copy(d.copier, original, nil), nil
			}
		}
	}
	v := new(T)
	if err := t.Claims(v); err != nil {
		var zero T
		return zero, err
	}
	if t.memo == nil || t.memo.decoded.Load() != nil {
		return *v, nil
	}
	c := claimsjson.CopierOf(reflect.TypeFor[T]())
	if c == nil {
		return *v, nil
	}
	size := int(reflect.TypeFor[T]().Size()) + len(t.claims) // its strings together are no longer than their text
	original := claimsjson.Copy(c, v, &size)
	t.memo.remember(&decoded{value: &original, copier: c, size: size})
	return *v, nil
}

// A memo remembers a token's claims as they were decoded first. All copies of
// the token share it.
type memo struct {
	decoded atomic.Pointer[decoded]
	entry   *entry // that it belongs to, and whose size it adds to; nil if it belongs to an answer
}

type decoded struct {
	value  any // a pointer to the claims, which nobody changes
	copier *claimsjson.Copier
	size   int // in bytes, about
}

func (m *memo) size() int {
	if d := m.decoded.Load(); d != nil {
		return d.size
	}
	return 0
}

// How large decoded claims may be to be remembered, in bytes: those that count
// in the cache's bound, and those that belong to an answer, which does not know.
const (
	maxDecoded         = 8 * entrySize
	maxDecodedOfAnswer = entrySize
)

func (m *memo) remember(d *decoded) {
	limit := maxDecoded
	if m.entry == nil {
		limit = maxDecodedOfAnswer
	}
	if d.size <= limit && m.decoded.CompareAndSwap(nil, d) && m.entry != nil {
		m.entry.reweigh()
	}
}
