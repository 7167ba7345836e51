package verifytest

import (
	"crypto/sha256"
	"encoding/json"
	"maps"
	"time"
)

// Claims are members of a claims set (RFC 7519 section 4). A nil value removes a
// default claim; a [time.Time] becomes a NumericDate in whole seconds; use
// json.RawMessage("null") for null.
type Claims map[string]any

// TokenLifetime is the default lifetime of tokens.
const TokenLifetime = time.Hour

// A TokenOption changes how a token is made.
type TokenOption func(*tokenConfig)

type tokenConfig struct {
	algorithm string
	header    map[string]any
	key       *Key
	bare      bool
}

// WithAlgorithm signs with an algorithm of [Algorithms]. The key is the published one
// that has the algorithm; if there is none, the server generates and publishes one.
// With WithKey, that key signs with the algorithm.
func WithAlgorithm(algorithm string) TokenOption {
	return func(c *tokenConfig) { c.algorithm = algorithm }
}

// WithHeader sets members of the header, in the same way as [Claims]. It has no effect
// on the signature: WithHeader(map[string]any{"alg": "ES384"}) does not change the
// algorithm.
func WithHeader(header map[string]any) TokenOption {
	return func(c *tokenConfig) {
		if c.header == nil {
			c.header = map[string]any{}
		}
		maps.Copy(c.header, header)
	}
}

// WithKey signs with a key. If the server does not publish the key, introspection does
// not know the token.
func WithKey(key *Key) TokenOption {
	return func(c *tokenConfig) { c.key = key }
}

// WithoutDefaults makes a token with the given claims only, and a header with alg and
// kid only, to imitate other servers. No verifier accepts a token without "exp".
func WithoutDefaults() TokenOption {
	return func(c *tokenConfig) { c.bare = true }
}

// Token makes an access token of the JWT profile (RFC 9068 section 2): typ at+jwt, iss,
// aud, sub, client_id, iat, exp after [TokenLifetime], a new jti, and no scope. The
// given claims replace the defaults. For introspection the token is active until it
// expires or is revoked.
func (s *Server) Token(claims Claims, options ...TokenOption) string {
	var c tokenConfig
	for _, o := range options {
		o(&c)
	}
	key, known := c.key, true
	if key == nil {
		key = s.signer(c.algorithm)
	} else {
		s.mu.Lock()
		known = s.keys.has(key)
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
	if known {
		s.remember(token, full, claims)
	}
	return token
}

// OpaqueToken makes a token that is not a JWT. Introspection answers with the claims
// and the defaults of [Server.Token].
func (s *Server) OpaqueToken(claims Claims) string {
	token := newID() + newID()
	s.Issue(token, claims)
	return token
}

// Issue makes introspection answer that a given token is active, with the claims, the
// defaults of [Server.Token] and a token_type of Bearer. The token may be a JWT of
// the server, whose claims the answer need not match.
func (s *Server) Issue(token string, claims Claims) {
	s.remember(token, s.claims(claims), claims)
}

// Revoke makes introspection answer that a token is inactive (RFC 7009). A JWT itself
// does not change.
func (s *Server) Revoke(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.tokens, sha256.Sum256([]byte(token)))
}

func (s *Server) claims(claims Claims) map[string]any { return defaults(s.issuer, claims) }

// defaults returns the claims merged over the default ones.
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

// merge sets members in the defaults.
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

// An issued is a token that introspection knows.
type issued struct {
	answer   []byte   // of RFC 7662 section 2.2
	exp, nbf *float64 // seconds
}

func (i issued) active(now time.Time) bool {
	t := float64(now.UnixNano()) / 1e9
	return (i.exp == nil || t < *i.exp) && (i.nbf == nil || t >= *i.nbf)
}

// remember makes introspection answer with the claims; given are those of the caller.
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
	if n := len(s.tokens); n >= 1024 && n&(n-1) == 0 { // at every power of two
		now := float64(time.Now().Unix())
		maps.DeleteFunc(s.tokens, func(_ digest, i issued) bool { return i.exp != nil && *i.exp <= now })
	}
	s.tokens[sha256.Sum256([]byte(token))] = entry
}

// seconds reads a NumericDate; nil if it is not a number.
func seconds(date any) *float64 {
	var t *float64
	if date == nil || json.Unmarshal(marshal(date), &t) != nil {
		return nil
	}
	return t
}
