package verify

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/bearerkit/bearerkit/internal/jose"
)

// These functions give tests outside of the package the layer below the claims, for test
// vectors whose payloads are not claims.

// CheckJWS says what Verify would say of a compact JWS if its payload did not
// matter: the form of all three segments, every rule of the header, all
// algorithms that are accepted by default, the key out of the set, the
// signature. It is Verify's own code, run in its order; nil is acceptance.
func CheckJWS(token string, keys KeySource) error {
	v, err := New(Config{Issuers: []Issuer{{Issuer: "https://issuer.example", Audience: []string{"any"}, Keys: unbound{keys}}}})
	if err != nil {
		return err
	}
	var p parsed
	err = v.parse(token, &p)
	var e *Error
	if errors.As(err, &e) && e.Reason == ErrMalformed && e.Part == "claims" {
		// All but the claims is in order so far. The checks behind them are
		// made with an empty claims set in the payload's place, and the
		// signature over what really was signed.
		end := strings.LastIndexByte(token, '.')
		header, _, _ := strings.Cut(token, ".")
		if err = v.parse(header+".e30"+token[end:], &p); err == nil {
			p.Signed = token[:end]
		}
	}
	if err != nil {
		return err
	}
	_, _, err = checkSignature(context.Background(), keys, &p.JWS)
	return err
}

// CheckSignature is the part of CheckJWS behind the parsing, for a message that
// no JWS could hold: the signature's length, the key out of the set that serves
// the algorithm, the signature.
func CheckSignature(alg string, message, signature []byte, keys KeySource) error {
	p := &jose.JWS{Header: &jose.Header{Algorithm: jose.AlgorithmOf(alg), NoKeyID: true}, Signed: string(message), Signature: signature}
	if err := refuseJWS("", p.Algorithm.CheckSize(signature)); err != nil {
		return err
	}
	_, _, err := checkSignature(context.Background(), keys, p)
	return err
}

// unbound lets a source into a configuration though it has no keys: that is
// what a vector's key set may come to.
type unbound struct{ KeySource }

func (unbound) Bind(string) error { return nil }

// CountChecks counts the signature checks of an algorithm from now on, until the
// function that it returns beside the count is called. Nothing may be verified
// while either of them is.
func CountChecks(alg string) (checks func() int, stop func()) {
	a := jose.AlgorithmOf(alg)
	c := &counting{SigningMethod: a.Method}
	a.Method = c
	return func() int { return int(c.n.Swap(0)) }, func() { a.Method = c.SigningMethod }
}

type counting struct {
	jwt.SigningMethod
	n atomic.Int64
}

func (c *counting) Verify(text string, signature []byte, key any) error {
	c.n.Add(1)
	return c.SigningMethod.Verify(text, signature, key)
}

// KnownHeaders is how many headers a verifier remembers.
func KnownHeaders(v *Verifier) int {
	return v.reader.Headers.Len()
}

// Cached is how many tokens a verifier remembers.
func Cached(v *Verifier) int {
	v.cache.entries.CleanUp()
	return v.cache.entries.EstimatedSize()
}

// LimitDenials sets how many denials a verifier remembers.
func LimitDenials(v *Verifier, n int) { v.denials.limit = n }

// Denials is how many it remembers.
func Denials(v *Verifier) int { return len(v.denials.bySigned) }

// Strangers is how many names are remembered that are not in use.
func Strangers(v *Verifier) int {
	v.finder.mu.Lock()
	defer v.finder.mu.Unlock()
	return len(v.finder.strangers.young) + len(v.finder.strangers.old)
}

// MeetStranger makes a verifier remember a name.
func MeetStranger(v *Verifier, name string) {
	v.finder.mu.Lock()
	defer v.finder.mu.Unlock()
	v.finder.strangers.put(v.finder.nameDigest(name), stranger{})
}

// InUse is the issuer in use for a name, to be compared.
func InUse(v *Verifier, name string) any {
	v.finder.mu.Lock()
	defer v.finder.mu.Unlock()
	if r := v.finder.names[name]; r != nil {
		return r.issuer.Load()
	}
	return nil
}

// Calling is how many calls of FindIssuer are running.
func Calling(v *Verifier) int {
	v.finder.mu.Lock()
	defer v.finder.mu.Unlock()
	return len(v.finder.calls)
}

// Age is how long ago t was, for the finder.
func Age(t, now time.Time) time.Duration { return age(t, now) }
