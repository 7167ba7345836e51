package verify

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/bearerkit/bearerkit/internal/jose"
	"github.com/bearerkit/bearerkit/internal/strictjson"
)

// A Binding proves that a client has the key that a token is bound to ("cnf", RFC
// 7800). A token is refused with ErrBound if its "cnf" has no member for which there
// is a binding; if it has several of them, all are proved. A binding must be safe for
// concurrent use. It may also have these methods:
//
//   - Required() bool reports that all tokens must be bound, by this binding or
//     another one.
//   - Algorithms() []string returns the JWS algorithms of proofs, for challenges and
//     metadata (RFC 9449 sections 5.1 and 7.1).
//   - Bind(Opener) error, Unbind(), Health() Health and Close() error, as those of a
//     [Condition].
type Binding interface {
	// Member returns the name of the member of "cnf", a string, that the binding is
	// for: "jkt" (RFC 9449 section 6), "x5t#S256" (RFC 8705 section 3.1).
	Member() string
	// Scheme returns the authentication scheme of tokens that are bound so: "DPoP".
	// With another scheme they are refused. Empty stands for "Bearer".
	Scheme() string
	// Prove returns nil if the client that made a request has proved to have the key
	// that the member's value names. It is called at each use of a token. Errors
	// count as those of a [Still] do: ErrBound for another key, ErrProof and ErrNonce
	// for what RFC 9449 calls invalid_dpop_proof and use_dpop_nonce.
	Prove(ctx context.Context, value string, r *Request) error
}

// A binding is a Binding made ready.
type binding struct {
	Binding
	member   string
	scheme   string // in lower case
	required bool
}

const schemeBearer = "bearer"

func newBinding(b Binding) *binding {
	n := &binding{Binding: b, member: b.Member(), scheme: schemeBearer}
	if s := b.Scheme(); s != "" {
		n.scheme = jose.Lower(s)
	}
	if r, ok := b.(interface{ Required() bool }); ok {
		n.required = r.Required()
	}
	return n
}

// A confirmation is what a token is bound to.
type confirmation struct {
	scheme string // that the token must come with; empty: Bearer
	keys   []boundKey
}

type boundKey struct {
	by    *binding
	value string
}

// confirmed reads values of "cnf": that of a token and that of an answer about it,
// either of which may be missing. Members of both count. A member without a binding
// is ignored beside one that has one (RFC 7800 section 3.1).
func (iss *issuer) confirmed(values ...strictjson.Value) (confirmation, error) {
	var c confirmation
	for _, cnf := range values {
		if cnf == "" {
			continue
		}
		if cnf.Kind() != strictjson.Obj {
			return c, refuseBound(cnf)
		}
		for name, value := range cnf.Members() {
			i := slices.IndexFunc(iss.bindings, func(b *binding) bool { return b.member == name })
			if i < 0 {
				continue
			}
			by := iss.bindings[i]
			text, ok := value.Text()
			if !ok || text == "" || !c.add(by, text) {
				return c, refuse(ErrBound, "")
			}
		}
	}
	if len(c.keys) == 0 && slices.ContainsFunc(values, func(v strictjson.Value) bool { return v != "" }) {
		return c, refuse(ErrBound, "")
	}
	return c, nil
}

// add adds a key. It reports false if the token is bound to another key in the same
// way already, or cannot come with one scheme.
func (c *confirmation) add(by *binding, value string) bool {
	for _, k := range c.keys {
		if k.by == by {
			return k.value == value
		}
	}
	if by.scheme != schemeBearer {
		if c.scheme != "" && c.scheme != by.scheme {
			return false
		}
		c.scheme = by.scheme
	}
	c.keys = append(c.keys, boundKey{by, strings.Clone(value)})
	return true
}

// prove returns nil if the token came with its scheme and the client has proved the
// keys that it is bound to.
func (g *grant) prove(ctx context.Context, r *Request) error {
	want, got := schemeBearer, schemeBearer
	if g.bound.scheme != "" {
		want = g.bound.scheme
	}
	if r != nil && r.Scheme != "" {
		got = r.Scheme
	}
	if got != want && jose.Lower(got) != want {
		if len(g.bound.keys) == 0 {
			return &Error{Reason: ErrBound, says: "the token is not bound to a key, as its authentication scheme demands"}
		}
		return refuse(ErrBound, "")
	}
	if len(g.bound.keys) == 0 && slices.ContainsFunc(g.issuer.bindings, func(b *binding) bool { return b.required }) {
		return &Error{Reason: ErrBound, says: "the token is not bound to a key, as this service demands"}
	}
	if len(g.bound.keys) > 0 && r == nil {
		return refuse(ErrBound, "")
	}
	for _, k := range g.bound.keys {
		if r.hasProved(k) {
			continue
		}
		if err := proved(ctx, k, r); err != nil {
			return refusedBy("binding", err)
		}
		r.proved = append(slices.Clip(r.proved), proof{k, r.Token})
	}
	return nil
}

func proved(ctx context.Context, k boundKey, r *Request) (err error) {
	defer recovered("binding", &err)
	return k.by.Prove(ctx, k.value, r)
}

// A proof is what a client has proved with a request: that it has the key that a token
// is bound to. It is not proved again, because a proof may be good for one use only.
type proof struct {
	key   boundKey
	token string
}

func (r *Request) hasProved(k boundKey) bool {
	return slices.ContainsFunc(r.proved, func(p proof) bool {
		return p.token == r.Token && p.key.value == k.value && identical(p.key.by.Binding, k.by.Binding)
	})
}

// A Scheme is an authentication scheme that tokens can come with.
type Scheme struct {
	Name string // "Bearer", "DPoP"
	// Algorithms are the JWS algorithms of proofs; nil if the scheme has none.
	Algorithms []string
	// Required reports that tokens of all issuers must come with this scheme.
	Required bool
}

// Schemes returns the authentication schemes of tokens: those of bindings first, and
// Bearer last, unless another one is required. The bindings of issuers that
// Config.FindIssuer returns are not among them, unless they are those of all issuers.
func (v *Verifier) Schemes() []Scheme {
	lists := [][]*binding{v.bindings}
	for _, iss := range v.list {
		lists = append(lists, iss.bindings)
	}
	var list []Scheme
	for _, b := range slices.Concat(lists...) {
		if b.scheme == schemeBearer || slices.ContainsFunc(list, func(s Scheme) bool { return strings.EqualFold(s.Name, b.scheme) }) {
			continue
		}
		s := Scheme{Name: b.Scheme(), Required: requires(v.bindings, b.scheme)}
		if v.finder == nil && !s.Required {
			s.Required = !slices.ContainsFunc(v.list, func(o *issuer) bool { return !requires(o.bindings, b.scheme) })
		}
		if a, ok := b.Binding.(interface{ Algorithms() []string }); ok {
			s.Algorithms = a.Algorithms()
		}
		list = append(list, s)
	}
	if !slices.ContainsFunc(list, func(s Scheme) bool { return s.Required }) {
		list = append(list, Scheme{Name: "Bearer"})
	}
	return list
}

// requires reports whether tokens must come with a scheme, if these are the bindings
// of their issuer: they must be bound, and every binding is of that scheme.
func requires(bindings []*binding, scheme string) bool {
	return slices.ContainsFunc(bindings, func(b *binding) bool { return b.required }) &&
		!slices.ContainsFunc(bindings, func(b *binding) bool { return b.scheme != scheme })
}

// newBindings makes bindings ready and appends them to others. field is that of the
// list.
func newBindings(others []*binding, list []Binding, field string, bad *faultList) []*binding {
	all := slices.Clip(others)
	for i, b := range list {
		field := fmt.Sprintf("%s[%d]", field, i)
		if isNil(b) {
			bad.Add(field, "is nil")
			continue
		}
		n := newBinding(b)
		switch {
		case n.member == "":
			bad.Add(field, "names no member of \"cnf\"")
		case slices.ContainsFunc(all, func(o *binding) bool { return o.member == n.member }):
			bad.Add(field, "is for the same member of \"cnf\" as another binding")
		default:
			all = append(all, n)
		}
	}
	return all
}
