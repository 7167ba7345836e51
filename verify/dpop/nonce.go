package dpop

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/bearerkit/bearerkit/verify"
)

// Nonces are the nonces that a service hands out in DPoP-Nonce and demands in
// proofs (RFC 9449 section 9). None is kept: a nonce is the minute in which it
// was made and a keyed hash of it, so that every replica with the same secrets
// knows the nonces of the others. A nonce is good for the minute in which it was
// made and the two that follow, and for the minute before it, because the clocks
// of replicas differ.
type Nonces struct {
	service string
	secrets [][]byte
	window  atomic.Pointer[window]
}

const (
	nonceStep   = 60 // seconds
	nonceBehind = 2  // steps that an older nonce is good for
	nonceAhead  = 1  // steps that the clock of another replica may be ahead
	macSize     = 16
	nonceSize   = 8 + macSize
	minSecret   = 32 // bytes
)

var nonceEncoding = base64.RawURLEncoding.Strict()

// A window has the nonces that are good at a moment: for each step the hash by
// each secret.
type window struct {
	step    int64 // the current one
	macs    [nonceBehind + 1 + nonceAhead][][macSize]byte
	current string
}

// NewNonces makes the nonces of a service. A nonce of one service is not good at
// another, even with the same secret. The first secret makes nonces, all are
// accepted: to replace one, put the new one behind it, then in front of it, then
// take the old one away. Secrets have at least 32 random bytes and are the same
// on all replicas. The error joins a [verify.Fault] for each thing that is wrong.
func NewNonces(service string, secrets [][]byte) (*Nonces, error) {
	n := &Nonces{service: service}
	var faults []error
	fault := func(field, problem string) { faults = append(faults, &verify.Fault{Field: field, Problem: problem}) }
	if service == "" {
		fault("Service", "is required")
	}
	if len(secrets) == 0 {
		fault("Secrets", "is required: replicas cannot make one up, because each has to know the nonces of the others")
	}
	for i, s := range secrets {
		if len(s) < minSecret {
			fault(fmt.Sprintf("Secrets[%d]", i), "is shorter than 32 bytes")
		}
		n.secrets = append(n.secrets, append([]byte(nil), s...))
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	return n, nil
}

// A Nonce describes a valid nonce.
type Nonce struct {
	// Made is when the minute of the nonce began: it is at most that old.
	Made time.Time
	// Until is when the nonce stops being good. A proof that is taken by its
	// nonce and not by its "iat" can be used again until then, and must be
	// remembered as long.
	Until time.Time
	// Newest says that there is no newer one to hand out.
	Newest bool
}

// Current returns the nonce to hand out at a time. It is made of characters that
// RFC 9449 section 8.1 allows.
func (n *Nonces) Current(now time.Time) string { return n.at(now).current }

// Check reports whether a nonce is valid at a time, and describes it if so.
func (n *Nonces) Check(nonce string, now time.Time) (Nonce, bool) {
	var raw [nonceSize]byte
	if len(nonce) != nonceEncoding.EncodedLen(nonceSize) {
		return Nonce{}, false
	}
	if k, err := nonceEncoding.Decode(raw[:], []byte(nonce)); err != nil || k != nonceSize { // a line end would be passed over
		return Nonce{}, false
	}
	w := n.at(now)
	step := int64(binary.BigEndian.Uint64(raw[:8]))
	if step < w.step-nonceBehind || step > w.step+nonceAhead {
		return Nonce{}, false
	}
	macs := w.macs[step-(w.step-nonceBehind)]
	good, first := 0, 0
	for i := range macs {
		same := subtle.ConstantTimeCompare(raw[8:], macs[i][:])
		good |= same
		if i == 0 {
			first = same
		}
	}
	if good == 0 {
		return Nonce{}, false
	}
	return Nonce{
		Made:   time.Unix(step*nonceStep, 0),
		Until:  time.Unix((step+nonceBehind+1)*nonceStep, 0),
		Newest: step >= w.step && first == 1,
	}, true
}

// at returns the window at a time. It is made once for each step.
func (n *Nonces) at(now time.Time) *window {
	step := floorDiv(now.Unix(), nonceStep)
	if w := n.window.Load(); w != nil && w.step == step {
		return w
	}
	w := &window{step: step}
	for i := range w.macs {
		for _, secret := range n.secrets {
			w.macs[i] = append(w.macs[i], n.mac(secret, step-nonceBehind+int64(i)))
		}
	}
	raw := binary.BigEndian.AppendUint64(nil, uint64(step))
	w.current = nonceEncoding.EncodeToString(append(raw, w.macs[nonceBehind][0][:]...))
	n.window.Store(w)
	return w
}

func (n *Nonces) mac(secret []byte, step int64) [macSize]byte {
	h := hmac.New(sha256.New, secret)
	h.Write([]byte("bearerkit dpop nonce"))
	h.Write([]byte(n.service))
	h.Write(binary.BigEndian.AppendUint64(nil, uint64(step))) // of a fixed length, so that the service cannot run into it
	return [macSize]byte(h.Sum(nil))
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}
