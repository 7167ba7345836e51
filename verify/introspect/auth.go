package introspect

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// A ClientAuth is how this API authenticates to the introspection endpoint as a client
// (RFC 7662 section 2.1, RFC 6749 section 2.3).
type ClientAuth struct {
	clientID    string
	problem     string // a fault of the configuration
	certificate bool   // the client certificate of Config.Client authenticates
	once        bool   // the form can be sent only once
	// print is the same for equal credentials; zero if they cannot be compared.
	print fingerprint
	// apply adds the credentials to the form or the header of a request.
	apply func(ctx context.Context, issuer string, form url.Values, h http.Header) error
}

// Basic authenticates by client_secret_basic: ID and secret in the Authorization
// header, each form-encoded (RFC 6749 section 2.3.1).
func Basic(clientID, secret string) ClientAuth {
	a := secretAuth("Basic", clientID, secret)
	a.print = fingerprintOf("Basic", clientID, secret)
	a.apply = func(_ context.Context, _ string, _ url.Values, h http.Header) error {
		r := http.Request{Header: h}
		r.SetBasicAuth(url.QueryEscape(clientID), url.QueryEscape(secret))
		return nil
	}
	return a
}

// Post authenticates by client_secret_post: ID and secret in the form. WorkOS requires
// it.
func Post(clientID, secret string) ClientAuth {
	a := secretAuth("Post", clientID, secret)
	a.print = fingerprintOf("Post", clientID, secret)
	a.apply = func(_ context.Context, _ string, form url.Values, _ http.Header) error {
		form.Set("client_id", clientID)
		form.Set("client_secret", secret)
		return nil
	}
	return a
}

func secretAuth(name, clientID, secret string) ClientAuth {
	a := ClientAuth{clientID: clientID}
	switch {
	case clientID == "":
		a.problem = name + " needs a client ID"
	case secret == "":
		a.problem = name + " needs a secret"
	}
	return a
}

// TLS authenticates by the client certificate of [Config.Client] (RFC 8705 section 2);
// the form has only the client ID.
func TLS(clientID string) ClientAuth {
	a := ClientAuth{clientID: clientID, certificate: true, print: fingerprintOf("TLS", clientID)}
	if clientID == "" {
		a.problem = "TLS needs a client ID"
	}
	a.apply = func(_ context.Context, _ string, form url.Values, _ http.Header) error {
		form.Set("client_id", clientID)
		return nil
	}
	return a
}

// Bearer authenticates each call by an access token that the function returns. The
// function must be safe for concurrent use.
func Bearer(token func(context.Context) (string, error)) ClientAuth {
	if token == nil {
		return ClientAuth{problem: "Bearer needs a function"}
	}
	return ClientAuth{apply: func(ctx context.Context, _ string, _ url.Values, h http.Header) error {
		t, err := token(ctx)
		if err != nil {
			return err
		}
		h.Set("Authorization", "Bearer "+t)
		return nil
	}}
}

// assertionLifetime is the lifetime of a client assertion. Each request has a new one.
const assertionLifetime = time.Minute

// PrivateKeyJWT authenticates by private_key_jwt: a JWT for the issuer, signed with the
// client's key (RFC 7523 section 2.2). The key is an *rsa.PrivateKey (RS256), an
// *ecdsa.PrivateKey (ES256, ES384 or ES512) or an ed25519.PrivateKey (EdDSA).
// keyID is its "kid", or empty.
func PrivateKeyJWT(clientID, keyID string, key crypto.Signer) ClientAuth {
	a := ClientAuth{clientID: clientID, once: true}
	method := signingMethod(key)
	switch {
	case clientID == "":
		a.problem = "PrivateKeyJWT needs a client ID"
	case method == nil:
		a.problem = "PrivateKeyJWT needs an RSA, ECDSA or Ed25519 private key"
	default:
		if der, err := x509.MarshalPKIXPublicKey(key.Public()); err == nil {
			a.print = fingerprintOf("PrivateKeyJWT", clientID, keyID, string(der))
		}
	}
	a.apply = func(_ context.Context, issuer string, form url.Values, _ http.Header) error {
		now := time.Now()
		t := jwt.NewWithClaims(method, jwt.MapClaims{
			"iss": clientID, "sub": clientID, "aud": issuer, "jti": rand.Text(),
			"iat": now.Unix(), "exp": now.Add(assertionLifetime).Unix(),
		})
		if keyID != "" {
			t.Header["kid"] = keyID
		}
		assertion, err := t.SignedString(key)
		if err != nil {
			return errors.New("the client assertion cannot be signed")
		}
		form.Set("client_id", clientID)
		form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
		form.Set("client_assertion", assertion)
		return nil
	}
	return a
}

func signingMethod(key crypto.Signer) jwt.SigningMethod {
	switch k := key.(type) {
	case *rsa.PrivateKey:
		if k != nil {
			return jwt.SigningMethodRS256
		}
	case *ecdsa.PrivateKey:
		if k == nil {
			return nil
		}
		switch k.Curve {
		case elliptic.P256():
			return jwt.SigningMethodES256
		case elliptic.P384():
			return jwt.SigningMethodES384
		case elliptic.P521():
			return jwt.SigningMethodES512
		}
	case ed25519.PrivateKey:
		if len(k) == ed25519.PrivateKeySize {
			return jwt.SigningMethodEdDSA
		}
	}
	return nil
}
