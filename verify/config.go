package verify

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/bearerkit/bearerkit/internal/jose"
)

// Config says which tokens to accept. [New] copies what it needs.
type Config struct {
	// Issuers are the trusted issuers, each with its own audiences and keys; a
	// token is only ever checked with the keys of the issuer it names. Required,
	// unless FindIssuer is set.
	Issuers []Issuer

	// FindIssuer returns issuers that are known only at run time, such as one
	// for each customer. It is called with an "iss" that is not configured. It
	// returns that issuer, ErrIssuer if the issuer is not trusted, or another
	// error if it cannot tell: then the issuer's tokens get ErrUnavailable for
	// a second. iss is at most 512 bytes long and has only characters of a
	// URI, but anybody can have written it: look it up in what the service
	// knows, and do not trust it for its form.
	//
	// iss must be the returned issuer's identifier (an empty one stands for
	// iss) or one of its Alternates. Return a new key source and introspector
	// from each call: the verifier owns and closes them.
	//
	// The function is called by one goroutine at a time for a name. A call has
	// 5 s; its context has no values of a request. ErrIssuer is remembered for
	// 10 s. An issuer is kept until no token of it has come for 15 min, and
	// the function is called again for it every 5 min: if the issuer is not
	// trusted any more, its tokens are refused, and if something in it has
	// changed, the new configuration takes effect. [Verifier.ForgetIssuer]
	// makes that immediate. The number of calls that made-up names can cause
	// is bounded, see docs/tenants.md. Default: none; only configured issuers
	// are trusted.
	FindIssuer func(ctx context.Context, iss string) (Issuer, error)
	// MaxFoundIssuers is how many issuers of FindIssuer are kept at a time,
	// each with its keys and the goroutine that refreshes them. Beyond that
	// the least recently used one is dropped. Default: 1000.
	MaxFoundIssuers int

	// Algorithms are the accepted "alg" values, out of [Algorithms]. Default:
	// all of them, none of which is symmetric.
	Algorithms []string
	// Leeway is how much the clocks of issuer and service may differ; it
	// stretches "exp", "nbf" and "iat". Default: 30 s; [NoLeeway] for none;
	// at most an hour.
	Leeway time.Duration
	// RFC9068 demands the JWT profile for access tokens to the letter: a
	// "typ" of at+jwt, and "client_id", "iat" and "jti" beside the claims
	// that are always required (RFC 9068 sections 2.2 and 4). Default: a "typ"
	// that is missing or says JWT is accepted too.
	RFC9068 bool
	// MaxTokenSize is the longest accepted token, in bytes. Default: 16384.
	MaxTokenSize int
	// CacheSize is how many tokens that have verified are remembered, so that
	// they cost next to nothing when they come again. One that takes more than
	// 2 KiB of memory counts as several: one with more than about 1,100 bytes
	// of claims, with long lists, with an introspection answer, or with claims
	// that [ClaimsOf] has decoded. Memory stays within 2 KiB for each, beside
	// the cache's own.
	// Default: 16384; [NoCache] for none.
	CacheSize int
	// Bindings prove the keys that tokens are bound to; of all issuers, beside
	// Issuer.Bindings. Default: none; tokens that are bound to a key are refused.
	Bindings []Binding
	// Conditions must hold each time a token is used; for all issuers, before those
	// of Issuer.Conditions. They are asked in order, once nothing else is wrong with
	// the token. [Check] makes one of a function. Default: none.
	Conditions []Condition
	// Now is the clock. Default: time.Now.
	Now func() time.Time
}

// NoLeeway as [Config.Leeway] tolerates no difference between clocks.
const NoLeeway time.Duration = -1

// NoCache as [Config.CacheSize] remembers no token.
const NoCache = -1

const (
	defaultLeeway       = 30 * time.Second
	maxLeeway           = time.Hour
	defaultMaxTokenSize = 16 << 10
)

// New makes a verifier. It reports every fault of the configuration at once
// (see [Faults]), and then binds and starts nothing. Otherwise it starts the
// key sources, but does not wait for them: see [Verifier.Ready].
//
// The verifier owns its key sources and other parts: [Verifier.Close] closes
// them. Verifiers of the same issuer may share a key source, and the first one
// that is closed closes it for all of them. An introspector serves one verifier.
func New(c Config) (*Verifier, error) {
	v, err := c.prepare()
	if err != nil {
		return nil, err
	}
	if err := v.bindAll(); err != nil {
		return nil, err
	}
	for _, iss := range v.list {
		_, _ = keySetOf(iss.keys) // starts it; it need not have keys yet
		if in := iss.introspection; in != nil && in.Always {
			_ = ready(in.Introspector) // starts to find out
		}
	}
	return v, nil
}

// Validate reports every fault of the configuration, as [New] does, and changes
// nothing: no key source or introspector is bound or started. It is for programs
// that check other settings too, and report all faults together.
func (c Config) Validate() error {
	_, err := c.prepare()
	return err
}

func (c Config) prepare() (*Verifier, error) {
	var bad faultList
	v := &Verifier{
		issuers: map[string]*issuer{},
		leeway:  c.Leeway,
		maxSize: c.MaxTokenSize,
		profile: c.RFC9068,
		now:     c.Now,
		secret:  newSecret(),
		denials: denials{bySigned: map[digest]denial{}, limit: maxDenials},
	}
	v.bindings = newBindings(nil, c.Bindings, "Bindings", &bad)
	v.conditions = newConditions(nil, c.Conditions, "Conditions", &bad)
	if len(c.Issuers) == 0 && c.FindIssuer == nil {
		bad.Add("Issuers", "is required")
	}
	for i, iss := range c.Issuers {
		v.addIssuer(fmt.Sprintf("Issuers[%d].", i), iss, &bad)
	}
	v.issuersText = listed(slices.Collect(func(yield func(string) bool) {
		for _, iss := range v.list {
			for _, name := range iss.names {
				if !yield(name) {
					return
				}
			}
		}
	}), maxExpected)
	v.chooseOpaque(len(v.list) == 1 && c.FindIssuer == nil, &bad)
	switch {
	case c.MaxFoundIssuers < 0:
		bad.Add("MaxFoundIssuers", "%d is negative", c.MaxFoundIssuers)
	case c.FindIssuer != nil:
		v.introspects = true // those that are found may be
		v.finder = newFinder(v, c.FindIssuer, c.MaxFoundIssuers)
		v.issuersText += ", and those that FindIssuer finds"
		if len(v.list) == 0 {
			v.issuersText = "those that FindIssuer finds"
		}
	case c.MaxFoundIssuers > 0:
		bad.Add("MaxFoundIssuers", "means nothing without FindIssuer")
	}
	names := c.Algorithms
	if names == nil {
		names = Algorithms()
	} else if len(names) == 0 {
		bad.Add("Algorithms", "is empty")
	}
	for _, n := range names {
		switch {
		case jose.AlgorithmOf(n) != nil:
		case strings.EqualFold(n, "none"):
			bad.Add("Algorithms", "%q is not a signature", n)
		case strings.HasPrefix(strings.ToUpper(n), "HS"):
			bad.Add("Algorithms", "%q is symmetric: anyone who can verify with it can also issue", n)
		default:
			bad.Add("Algorithms", "%q is unknown; there are %s", n, strings.Join(Algorithms(), ", "))
		}
	}
	v.reader = jose.Reader{Algorithms: jose.Accept(names...), Headers: &jose.Headers{}}
	switch {
	case c.Leeway == 0:
		v.leeway = defaultLeeway
	case c.Leeway == NoLeeway:
		v.leeway = 0
	case c.Leeway < 0 || c.Leeway > maxLeeway:
		bad.Add("Leeway", "%v is not within 0 and %v", c.Leeway, maxLeeway)
	}
	switch {
	case c.MaxTokenSize == 0:
		v.maxSize = defaultMaxTokenSize
	case c.MaxTokenSize < 0:
		bad.Add("MaxTokenSize", "%d is negative", c.MaxTokenSize)
	}
	switch {
	case c.CacheSize == 0:
		v.cache = newCache(defaultCacheSize)
	case c.CacheSize > 0:
		v.cache = newCache(c.CacheSize)
	case c.CacheSize != NoCache:
		bad.Add("CacheSize", "%d is negative", c.CacheSize)
	}
	if v.now == nil {
		v.now = time.Now
	}
	if err := bad.ErrOf("verify"); err != nil {
		return nil, err
	}
	return v, nil
}

// chooseOpaque finds the one issuer that is asked about tokens that are not JWTs. A
// single issuer does not need TakesOpaque for that.
func (v *Verifier) chooseOpaque(alone bool, bad *faultList) {
	for i, iss := range v.list {
		switch {
		case iss.introspection == nil || !alone && !iss.introspection.TakesOpaque:
		case v.opaque != nil:
			bad.Add(fmt.Sprintf("Issuers[%d].Introspection.TakesOpaque", i), "is said of another issuer too: such tokens go to one place")
		default:
			v.opaque = &entry{grant: grant{issuer: iss}, evidence: opaque}
		}
	}
}

// Algorithms returns the names of all algorithms that can be configured, which
// are also those that are accepted by default.
func Algorithms() []string { return jose.AlgorithmNames() }

// Issuers returns the identifiers of the configured issuers, without those of
// FindIssuer: the list ends up in public metadata, which must not name a
// service's tenants.
func (v *Verifier) Issuers() []string {
	var names []string
	for _, iss := range v.list {
		names = append(names, iss.name)
	}
	return names
}

// Leeway returns the clock difference that is tolerated.
func (v *Verifier) Leeway() time.Duration { return v.leeway }

// Now returns the time by the verifier's clock.
func (v *Verifier) Now() time.Time { return v.now() }

// Introspects reports whether every configured issuer can be asked about its
// tokens, so that a [Request] with Fresh has an answer for each. It cannot know
// whether all issuers of Config.FindIssuer can.
func (v *Verifier) Introspects() bool {
	return !slices.ContainsFunc(v.list, func(iss *issuer) bool { return iss.introspection == nil })
}

// Binds reports whether there is a [Binding], so that tokens can be bound to a key.
func (v *Verifier) Binds() bool {
	return len(v.bindings) > 0 || slices.ContainsFunc(v.list, func(iss *issuer) bool { return len(iss.bindings) > 0 })
}

// Close closes the key sources and all other parts that can be closed, also for
// other verifiers that share them. Tokens that come later get ErrUnavailable,
// unless their issuer is configured with static keys.
func (v *Verifier) Close() error {
	var errs []error
	for _, iss := range v.list {
		errs = append(errs, closeAll(iss.parts()))
	}
	if v.finder != nil {
		errs = append(errs, v.finder.close())
	}
	errs = append(errs, closeAll(v.shared()))
	return errors.Join(errs...)
}
