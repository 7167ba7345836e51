package token

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"runtime"
	"sync"
	"time"
)

// Algorithms are the algorithms that are compared.
var Algorithms = []string{"RS256", "ES256", "EdDSA", "PS256"}

// What every token says, and every verifier expects.
const (
	IssuerURL = "https://acme.authkit.example"
	Audience  = "client_01J8QWZK3Y6M4T7N9R2VXBD5HC"
	keyID     = "sso_oidc_key_pair_01J8QWZK3Y6M4T"
)

// An Issuer mints tokens of one algorithm with one key.
type Issuer struct {
	// Algorithm is the JWS algorithm of its tokens.
	Algorithm string
	// KeyID is the key's "kid".
	KeyID string
	// JWKSURL is where its key set is, on loopback.
	JWKSURL string
	// Public is its public key.
	Public crypto.PublicKey

	private crypto.Signer
	server  *httptest.Server
}

// NewIssuer makes a key and serves its key set until Close.
func NewIssuer(algorithm string) (*Issuer, error) {
	is := &Issuer{Algorithm: algorithm, KeyID: keyID}
	var err error
	switch algorithm {
	case "RS256", "PS256":
		is.private, err = rsa.GenerateKey(rand.Reader, 2048)
	case "ES256":
		is.private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "EdDSA":
		_, is.private, err = ed25519.GenerateKey(rand.Reader)
	default:
		err = fmt.Errorf("token: no algorithm %q", algorithm)
	}
	if err != nil {
		return nil, err
	}
	is.Public = is.private.Public()
	set, err := is.keySet()
	if err != nil {
		return nil, err
	}
	is.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "max-age=86400")
		_, _ = w.Write(set)
	}))
	is.JWKSURL = is.server.URL + "/jwks"
	return is, nil
}

// Close stops serving the key set.
func (is *Issuer) Close() { is.server.Close() }

// keySet is the JWK set (RFC 7517 section 5).
func (is *Issuer) keySet() ([]byte, error) {
	key := map[string]string{"kid": is.KeyID, "use": "sig", "alg": is.Algorithm}
	switch p := is.Public.(type) {
	case *rsa.PublicKey:
		key["kty"], key["n"], key["e"] = "RSA", b64(p.N.Bytes()), b64(big.NewInt(int64(p.E)).Bytes())
	case *ecdsa.PublicKey:
		point, err := p.Bytes()
		if err != nil {
			return nil, err
		}
		key["kty"], key["crv"], key["x"], key["y"] = "EC", "P-256", b64(point[1:33]), b64(point[33:])
	case ed25519.PublicKey:
		key["kty"], key["crv"], key["x"] = "OKP", "Ed25519", b64(p)
	}
	return json.Marshal(map[string]any{"keys": []any{key}})
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// A Token is a signed token, and its parts as a signature check wants them.
type Token struct {
	Raw       string // the compact serialization
	Signed    []byte // the bytes that the signature covers
	Signature []byte // the decoded signature
}

// Claims are what the tokens say: twelve members, like those of a WorkOS
// Connect token and the two times nbf and auth_time beside them.
type Claims struct {
	Issuer    string `json:"iss"`
	Subject   string `json:"sub"`
	Audience  string `json:"aud"`
	Expiry    int64  `json:"exp"`
	IssuedAt  int64  `json:"iat"`
	NotBefore int64  `json:"nbf"`
	ID        string `json:"jti"`
	ClientID  string `json:"client_id"`
	Org       string `json:"org_id"`
	Session   string `json:"sid"`
	Scope     string `json:"scope"`
	AuthTime  int64  `json:"auth_time"`
}

// NewClaims returns the claims of token number i: another user, session and id
// for every number.
func NewClaims(i int) Claims {
	now := time.Now()
	return Claims{
		Issuer:    IssuerURL,
		Subject:   fmt.Sprintf("user_01J8QX%016d", i),
		Audience:  Audience,
		Expiry:    now.Add(12 * time.Hour).Unix(),
		IssuedAt:  now.Add(-time.Minute).Unix(),
		NotBefore: now.Add(-time.Minute).Unix(),
		ID:        fmt.Sprintf("01J8QY%016d", i),
		ClientID:  "client_01J8QWZK3Y6M4T7N9R2VXBD5HC",
		Org:       fmt.Sprintf("org_01J8QV%08d", i%100),
		Session:   fmt.Sprintf("app_consent_%09d", i),
		Scope:     "openid orders:read",
		AuthTime:  now.Add(-time.Hour).Unix(),
	}
}

// Sign makes a token of the claims.
func (is *Issuer) Sign(c Claims) (Token, error) {
	payload, err := json.Marshal(c)
	if err != nil {
		return Token{}, err
	}
	header := fmt.Sprintf(`{"alg":%q,"kid":%q,"typ":"at+jwt"}`, is.Algorithm, is.KeyID)
	signed := []byte(b64([]byte(header)) + "." + b64(payload))
	signature, err := is.sign(signed)
	if err != nil {
		return Token{}, err
	}
	return Token{Raw: string(signed) + "." + b64(signature), Signed: signed, Signature: signature}, nil
}

func (is *Issuer) sign(signed []byte) ([]byte, error) {
	digest := sha256.Sum256(signed)
	switch is.Algorithm {
	case "RS256":
		return is.private.Sign(rand.Reader, digest[:], crypto.SHA256)
	case "PS256":
		return is.private.Sign(rand.Reader, digest[:], &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA256})
	case "EdDSA":
		return is.private.Sign(rand.Reader, signed, crypto.Hash(0))
	}
	// RFC 7518 section 3.4: both numbers in full length, one after the other.
	r, s, err := ecdsa.Sign(rand.Reader, is.private.(*ecdsa.PrivateKey), digest[:])
	if err != nil {
		return nil, err
	}
	signature := make([]byte, 64)
	r.FillBytes(signature[:32])
	s.FillBytes(signature[32:])
	return signature, nil
}

// Mint makes n good tokens, no two of them alike.
func (is *Issuer) Mint(n int) ([]Token, error) {
	tokens, errs := make([]Token, n), make([]error, n)
	var wg sync.WaitGroup
	workers := runtime.GOMAXPROCS(0)
	for w := range workers {
		wg.Go(func() {
			for i := w; i < n; i += workers {
				tokens[i], errs[i] = is.Sign(NewClaims(i))
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return tokens, nil
}
