package verify

import (
	"context"
	"crypto/sha256"
	"sync/atomic"
	"time"

	"github.com/bearerkit/bearerkit/internal/jose"
)

// A Verifier verifies access tokens. It is safe for concurrent use.
type Verifier struct {
	issuers     map[string]*issuer // by each value of "iss"
	list        []*issuer
	issuersText string  // for logs
	opaque      *entry  // of all tokens that are not JWTs; nil if no issuer takes them
	introspects bool    // some issuer can be asked
	finder      *finder // nil: all issuers are configured
	reader      jose.Reader
	leeway      time.Duration
	maxSize     int
	profile     bool
	bindings    []*binding // of all issuers
	conditions  []Condition
	now         func() time.Time

	secret  [sha256.Size]byte // keys the digests of this verifier
	cache   *cache            // nil: none
	denials denials
}

// Verify checks an access token: its form (RFC 7515, strictly), its type, its
// issuer, its times, its audience, and last its signature with a key of that
// issuer (RFC 9068 section 4, RFC 8725). It returns the verified token, or an
// [*Error]. The token is what followed "Bearer ", nothing more. A token that is bound
// to a key is refused: [Verifier.VerifyRequest] is for those.
//
// A token that has verified is remembered. When it comes again, only what may have
// changed is checked: the time, whether its key is still in the issuer's set, and
// the conditions. The caller may change the token that is returned.
//
// Most calls do not wait for anything. One may wait for a key that the current set
// does not have, for the authorization server's answer to an introspection, and for
// Config.FindIssuer, within their bounds and those of ctx.
func (v *Verifier) Verify(ctx context.Context, token string) (*Token, error) {
	return v.verify(ctx, token, false, nil)
}

// VerifyRequest is [Verifier.Verify] with everything that a client presents. It also
// accepts a token that is bound to a key, if the client has proved that it has the
// key (see [Binding]); and with r.Fresh it asks the authorization server now.
func (v *Verifier) VerifyRequest(ctx context.Context, r *Request) (*Token, error) {
	return v.verify(ctx, r.Token, r.Fresh, r)
}

// maxAttempts bounds how often a token is verified because its issuer was replaced
// meanwhile.
const maxAttempts = 5

// verify verifies what a client presents. r is nil if that is the token alone.
func (v *Verifier) verify(ctx context.Context, token string, fresh bool, r *Request) (*Token, error) {
	if len(token) > v.maxSize {
		return nil, refuse(ErrTooLarge, "")
	}
	for n := 1; ; n++ {
		g, iss, err := v.verifyOnce(ctx, token, fresh)
		switch {
		case err == nil:
			return v.holds(ctx, g, token, r) // what must hold at this use
		case iss == nil || iss.found == nil:
			return nil, err
		case !iss.gone() || n == maxAttempts:
			v.finder.failed(ctx, iss, err)
			return nil, err
		}
		// The issuer was dropped or replaced while it was in use here, and its
		// key source closed.
	}
}

// verifyOnce finds out what a token entitles to. It returns its issuer beside an
// error, if that is known.
func (v *Verifier) verifyOnce(ctx context.Context, token string, fresh bool) (*grant, *issuer, error) {
	e, iss, d, err := v.read(ctx, token) // what it says itself
	if err != nil {
		return nil, iss, err
	}
	if iss.introspection == nil && !fresh {
		return &e.grant, iss, nil
	}
	g, err := v.said(ctx, e, &Query{Token: token, Digest: d, Fresh: fresh}) // what its server says of it
	return g, iss, err
}

// A grant is what a token entitles to: the token, once nothing is wrong with it, and
// what must hold at each use of it.
type grant struct {
	token  Token // its copies go to callers
	memo   memo  // of token
	issuer *issuer
	times  validity
	bound  confirmation
	still  []Still

	// cleared is the value that denials.added (for an entry) or denials.number (for
	// an answer) had when no denial was found that counts against the grant.
	cleared atomic.Uint64

	// Of a grant that an introspection answer has made:
	answer *Answer
	err    error // why it refuses the token
	lacks  error // if err is about a member that the answer lacks: what to set
}

// copyOf returns the token of a grant for a caller, who may change it.
func (v *Verifier) copyOf(g *grant) *Token {
	if v.cache == nil && g.answer == nil {
		return &g.token // nobody else has it
	}
	return g.token.clone()
}
