package dpop

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bearerkit/bearerkit/internal/faults"
	"github.com/bearerkit/bearerkit/internal/jose"
	"github.com/bearerkit/bearerkit/verify"
)

// Config configures a [Binding]. Only Origins is required.
type Config struct {
	// Origins are the URLs by which clients call the service, as [NewOrigins]
	// takes them; a proof's "htu" must begin with one. Required.
	Origins []string
	// InsecureHTTP accepts http origins on other hosts than this one, whose tokens
	// and proofs everybody on the way can read.
	InsecureHTTP bool
	// Service is the name of the service: the same on all of its replicas, and
	// another one for every other service that shares the Replay store or the
	// secrets, a gateway in front of it for instance. Required with NonceSecrets,
	// and with a Replay store that is not a [Memory].
	Service string
	// Algorithms are the accepted "alg" values of proofs. Default: those of the
	// verifier.
	Algorithms []string
	// MaxAge is how long a proof can be used after its "iat", from a second to five
	// minutes. Default: 60 s. Proofs with a nonce can be used as long as that.
	MaxAge time.Duration
	// Leeway is how much the clocks of client and service may differ, at most a
	// minute. Default: that of the verifier, or a minute if that is less;
	// [verify.NoLeeway] for none.
	Leeway time.Duration
	// NonceSecrets make every proof need a nonce of the service (RFC 9449 section
	// 9); see [NewNonces]. Default: none; a "nonce" in a proof is ignored.
	NonceSecrets [][]byte
	// Replay remembers which proofs were used. The binding does not close it.
	// Default: a [Memory], which is right for a service with one replica.
	Replay ReplayStore
	// Required refuses tokens that are not bound to any key.
	Required bool
	// Now is the clock. Default: that of the verifier.
	Now func() time.Time
}

const (
	defaultMaxAge  = time.Minute
	longestMaxAge  = 5 * time.Minute
	longestLeeway  = time.Minute
	maxProofSize   = 8 << 10 // bytes; one with an RSA key of 4096 bits takes 2 KiB
	maxProofID     = 256     // bytes of "jti"
	thumbprintName = "jkt"
	scheme         = "DPoP"
)

// A Binding is the [verify.Binding] of DPoP: it makes a verifier accept tokens that
// are bound to a key ("cnf.jkt", RFC 9449 section 6), if a request has a proof for
// them. It serves one verifier.
type Binding struct {
	config Config

	mu     sync.Mutex
	to     verify.Opener // whom it serves
	bound  int           // how often
	memory *Memory
	ready  atomic.Pointer[checker]
}

// New makes a binding. What is wrong with the configuration is reported by
// [verify.New].
func New(c Config) *Binding {
	c.Origins, c.Algorithms = slices.Clone(c.Origins), slices.Clone(c.Algorithms)
	c.NonceSecrets = slices.Clone(c.NonceSecrets)
	for i, secret := range c.NonceSecrets {
		c.NonceSecrets[i] = slices.Clone(secret)
	}
	return &Binding{config: c}
}

// Member returns "jkt".
func (b *Binding) Member() string { return thumbprintName }

// Scheme returns "DPoP".
func (b *Binding) Scheme() string { return scheme }

// Required returns Config.Required.
func (b *Binding) Required() bool { return b.config.Required }

// Algorithms returns the accepted "alg" values of proofs; nil before the binding
// serves a verifier.
func (b *Binding) Algorithms() []string {
	if c := b.ready.Load(); c != nil {
		return slices.Clone(c.names)
	}
	return nil
}

// Bind ties the binding to a verifier; [verify.New] calls it.
func (b *Binding) Bind(o verify.Opener) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.bound > 0 {
		if b.to != o {
			return &verify.Fault{Problem: "serves another verifier already; make one for each, with the same Replay"}
		}
		b.bound++
		return nil
	}
	c, err := b.newChecker(o)
	if err != nil {
		return err
	}
	b.to, b.bound = o, 1
	b.ready.Store(c)
	return nil
}

// Unbind undoes Bind.
func (b *Binding) Unbind() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.bound--; b.bound == 0 {
		b.to = nil
	}
}

// newChecker makes the configuration ready.
func (b *Binding) newChecker(o verify.Opener) (*checker, error) {
	var bad faults.List[verify.Fault]
	c := &checker{service: b.config.Service, replay: b.config.Replay, now: b.config.Now, names: b.config.Algorithms}
	var err error
	if c.origins, err = NewOrigins(b.config.Origins, b.config.InsecureHTTP); err != nil {
		bad.Join("", err)
	}
	if c.now == nil {
		c.now = o.Now
	}
	if len(c.names) == 0 {
		c.names = o.Algorithms()
	}
	for i, name := range c.names {
		if jose.AlgorithmOf(name) == nil {
			bad.Add(fmt.Sprintf("Algorithms[%d]", i), "%q is not a supported signature algorithm", name)
		}
	}
	c.algorithms = jose.Accept(c.names...)
	c.age = age{max: b.config.MaxAge, leeway: b.config.Leeway}
	switch {
	case c.age.max == 0:
		c.age.max = defaultMaxAge
	case c.age.max < time.Second || c.age.max > longestMaxAge:
		bad.Add("MaxAge", "is not within a second and %v", longestMaxAge)
	}
	switch {
	case c.age.leeway == 0:
		c.age.leeway = min(o.Leeway(), longestLeeway)
	case c.age.leeway == verify.NoLeeway:
		c.age.leeway = 0
	case c.age.leeway < 0 || c.age.leeway > longestLeeway:
		bad.Add("Leeway", "is not within 0 and %v", longestLeeway)
	}
	_, local := c.replay.(*Memory)
	if c.service == "" && (len(b.config.NonceSecrets) > 0 || c.replay != nil && !local) {
		bad.Add("Service", "is required with NonceSecrets or a Replay store that is shared")
	}
	if c.replay == nil {
		if b.memory == nil {
			b.memory = &Memory{Now: c.now}
		}
		c.replay = b.memory
	}
	if len(b.config.NonceSecrets) > 0 {
		if c.nonces, err = NewNonces(cmp.Or(c.service, "-"), b.config.NonceSecrets); err != nil {
			for _, f := range verify.Faults(err) {
				bad.Add("Nonce"+f.Field, "%s", f.Problem)
			}
		}
	}
	return c, bad.Err()
}
