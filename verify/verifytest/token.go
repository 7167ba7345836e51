package verifytest

import (
	"crypto/sha256"
	"encoding/json"
	"maps"
	"time"
)

// Claims are members of a claims set (RFC 7519 section 4). A nil value takes
// away a claim that is there by default; a [time.Time] becomes a NumericDate
// in whole seconds; json.RawMessage("null") is null.
type Claims map[string]any

// TokenLifetime is how long tokens live by default.
const TokenLifetime = time.Hour

// A TokenOption changes how a token is made.
type TokenOption func(*tokenConfig)

type tokenConfig struct {
	algorithm string
	header    map[string]any
	key       *Key
	bare      bool
}

// WithAlgorithm signs with an algorithm of [Algorithms], by the published key
// that has it; one is made and published if there is none. Together with
// WithKey it makes that key sign with the algorithm.
func WithAlgorithm(algorithm string) TokenOption {
	return func(c *tokenConfig) { c.algorithm = algorithm }
}

// WithHeader sets members of the header, in the way of [Claims]. They need not
// tell the truth: WithHeader(map[string]any{"alg": "ES384"}) signs as before.
func WithHeader(header map[string]any) TokenOption {
	return func(c *tokenConfig) {
		if c.header == nil {
			c.header = map[string]any{}
		}
		maps.Copy(c.header, header)
	}
}

// WithKey signs with a key, which need not be the server's: if it is not, the
// server will not know the token when it is asked to introspect it.
func WithKey(key *Key) TokenOption {
	return func(c *tokenConfig) { c.key = key }
}

// WithoutDefaults makes a token of the given claims alone, and of a header with
// alg and kid alone: tokens as other servers make them. One without "exp" is not
// good anywhere.
func WithoutDefaults() TokenOption {
	return func(c *tokenConfig) { c.bare = true }
}

// Token makes an access token by the JWT profile (RFC 9068 section 2): typ
// at+jwt, iss, aud, sub, client_id, iat, exp [TokenLifetime] ahead, a new jti,
// and no scope. The claims take the defaults' place. Introspection knows the
// token as active until it expires or is revoked.
func (s *Server) Token(claims Claims, options ...TokenOption) string {
	var c tokenConfig
	for _, o := range options {
		o(&c)
	}
	key, ours := c.key, true
	if key == nil {
		key = s.signer(c.algorithm)
	} else {
		s.mu.Lock()
		ours = s.keys.has(key)
		s.mu.Unlock()
		if c.algorithm != "" {
			key = &Key{ID: key.ID, Algorithm: c.algorithm, Private: key.Private}
		}
	}
	header := map[string]any{"alg": key.algorithm()}
	if key.ID != "" {
		header["kid"] = key.ID
	}
	var full map[string]any
	if c.bare {
		full = merge(map[string]any{}, claims)
	} else {
		header["typ"] = "at+jwt"
		full = s.claims(claims)
	}
	token := key.Sign(string(marshal(merge(header, c.header))), string(marshal(full)))
	if ours {
		s.remember(token, full, claims)
	}
	return token
}

// OpaqueToken makes a token that says nothing to its reader. Introspection
// answers for it with the claims and with the same defaults as [Server.Token].
func (s *Server) OpaqueToken(claims Claims) string {
	token := newID() + newID()
	s.Issue(token, claims)
	return token
}

// Issue has introspection know a token of the caller's making as active, with
// the claims and with the same defaults as [Server.Token], and with a token_type
// of Bearer. For a JWT of the server's the answer may say other things than the
// token.
func (s *Server) Issue(token string, claims Claims) {
	s.remember(token, s.claims(claims), claims)
}

// Revoke has introspection know a token as inactive from now on (RFC 7009).
// The token itself, if it is a JWT, cannot tell.
func (s *Server) Revoke(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.tokens, sha256.Sum256([]byte(token)))
}

func (s *Server) claims(claims Claims) map[string]any { return defaults(s.issuer, claims) }

// defaults returns the claims over those that every token has.
func defaults(issuer string, claims Claims) map[string]any {
	now := time.Now()
	return merge(map[string]any{
		"iss":       issuer,
		"aud":       defaultAudience,
		"sub":       "user_1",
		"client_id": "client_1",
		"iat":       now,
		"exp":       now.Add(TokenLifetime),
		"jti":       newID(),
	}, claims)
}

// merge sets members over the defaults.
func merge(defaults, members map[string]any) map[string]any {
	maps.Copy(defaults, members)
	for name, value := range defaults {
		switch v := value.(type) {
		case nil:
			delete(defaults, name)
		case time.Time:
			defaults[name] = v.Unix()
		}
	}
	return defaults
}

type digest = [sha256.Size]byte

// issued is a token that introspection knows.
type issued struct {
	answer   []byte   // of RFC 7662 section 2.2
	exp, nbf *float64 // seconds
}

func (i issued) active(now time.Time) bool {
	t := float64(now.UnixNano()) / 1e9
	return (i.exp == nil || t < *i.exp) && (i.nbf == nil || t >= *i.nbf)
}

// remember has introspection answer with the claims; given are those that the
// caller named.
func (s *Server) remember(token string, claims map[string]any, given Claims) {
	answer := map[string]any{"token_type": "Bearer"}
	if _, named := given["token_type"]; named {
		delete(answer, "token_type")
	}
	maps.Copy(answer, claims)
	answer["active"] = true
	entry := issued{marshal(answer), seconds(claims["exp"]), seconds(claims["nbf"])}
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.tokens); n >= 1024 && n&(n-1) == 0 { // now and then
		now := float64(time.Now().Unix())
		maps.DeleteFunc(s.tokens, func(_ digest, i issued) bool { return i.exp != nil && *i.exp <= now })
	}
	s.tokens[sha256.Sum256([]byte(token))] = entry
}

// seconds reads a NumericDate; one that is no number never comes.
func seconds(date any) *float64 {
	var t *float64
	if date == nil || json.Unmarshal(marshal(date), &t) != nil {
		return nil
	}
	return t
}
