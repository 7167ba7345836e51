package middleware

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/bearerkit/bearerkit/internal/faults"
	"github.com/bearerkit/bearerkit/verify"
	"github.com/bearerkit/bearerkit/verify/jwks"
)

// Config configures an [Auth]. The zero value can be used: tokens come from the
// Authorization header, and handlers get the token without a user. [New] copies
// what it needs.
type Config struct {
	// User resolves the application's user, once per request; see [Resolve].
	// Default: none; handlers use the token.
	User Resolver
	// Realm is the challenge's realm parameter (RFC 9110 section 11.5).
	// Default: none.
	Realm string
	// Metadata describes this protected resource (RFC 9728). If set, every
	// challenge names the document that [Auth.MetadataHandler] serves.
	// Default: none.
	Metadata *ResourceMetadata
	// Credentials are the places where a token may be. A request with tokens
	// in two of them is malformed; [FirstOf] lets the first one count. Default:
	// [AuthorizationHeader] alone.
	Credentials []CredentialSource
	// ClientCertificate finds the client's certificate, for tokens that are bound
	// to one (RFC 8705 section 3). It is called for those tokens only. Default:
	// none; such tokens are refused.
	ClientCertificate CertificateSource
	// Authenticators admit callers with credentials of other kinds: API keys,
	// sessions. They are asked in order, and only if a request has no token: a
	// token decides, whether it is good or not. Default: none.
	Authenticators []Authenticator
	// Logger gets a line for each refusal, with the reason. The level is Warn for
	// what points to a mistake (a token for another audience, of another issuer
	// or kind, a missing scope) and for tokens that cannot be verified; Error if
	// a user cannot be resolved or a requirement not be checked; Info if a token
	// has expired or was revoked while others are admitted; Debug if there are
	// no credentials. After the first line for a cause, further ones within a
	// minute are at level Debug, and the next line has their number. Where a
	// token was wrong, the line has what this service expects and what the
	// token had: its issuer, audience, times or type. The line for a good token
	// that is refused (403, or no such user) has its issuer, subject and client.
	// No line has more of a token. Default: slog.Default().
	Logger *slog.Logger
	// Observer is told of every decision. Default: none.
	Observer Observer
	// ErrorHandler writes refusals instead of the kit. The header is set when
	// it is called; it writes the status with w.WriteHeader(f.Status) and the
	// body, or calls f.Write for the kit's own answer. It cannot turn a refusal
	// into a success: a status below 400 is replaced by f.Status. Default: JSON
	// with the members error and error_description.
	ErrorHandler func(w http.ResponseWriter, r *http.Request, f *Refusal)
}

// A CertificateSource finds the certificate that a client has proved to hold, in
// the TLS connection or in a field that a trusted proxy sets.
type CertificateSource interface {
	// Validate returns the source's faults, each a [verify.Fault].
	Validate() error
	// Thumbprint returns the SHA-256 hash of the certificate's DER form. The error
	// says why there is none. It must be safe for concurrent use.
	Thumbprint(r *http.Request) ([sha256.Size]byte, error)
}

// An Auth makes the guards of a service. It is safe for concurrent use.
type Auth struct {
	verifier *verify.Verifier
	config   Config
	logger   *slog.Logger
	metadata *metadata
	accepted []string        // schemes of the Authorization header
	offered  []verify.Scheme // those of challenges, the strongest first
	lines    throttle
	lastGood moment // when a token was last good
}

// Format prints the type and nothing more.
func (a *Auth) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, "middleware.Auth") }

// New makes an Auth. It reports every fault of the configuration at once (see
// [verify.Faults]).
func New(v *verify.Verifier, c Config) (*Auth, error) {
	if v == nil {
		return nil, errors.Join(fmt.Errorf("middleware: invalid configuration: %w", &verify.Fault{Field: "Verifier", Problem: "is required"}), c.Validate())
	}
	m, err := c.prepare(v)
	if err != nil {
		return nil, err
	}
	a := &Auth{verifier: v, config: c, logger: c.Logger, metadata: m, offered: v.Schemes()}
	for _, s := range a.offered {
		a.accepted = append(a.accepted, s.Name)
	}
	if !a.accepts(schemeBearer) {
		a.accepted = append(a.accepted, schemeBearer) // such tokens are refused, and not overlooked
	}
	a.config.Credentials = slices.Clone(c.Credentials)
	if len(c.Credentials) == 0 {
		a.config.Credentials = defaultCredentials
	}
	a.config.Authenticators = slices.Clone(c.Authenticators)
	if a.logger == nil {
		a.logger = slog.Default()
	}
	return a, nil
}

func (a *Auth) accepts(scheme string) bool {
	return slices.ContainsFunc(a.accepted, func(s string) bool { return strings.EqualFold(s, scheme) })
}

// Validate reports every fault of the configuration, as [New] does.
func (c Config) Validate() error {
	_, err := c.prepare(nil)
	return err
}

var defaultCredentials = []CredentialSource{AuthorizationHeader()}

// prepare checks the configuration and makes the metadata ready. v may be nil.
func (c Config) prepare(v *verify.Verifier) (m *metadata, err error) {
	var bad faults.List[verify.Fault]
	if !isQuotable(c.Realm) {
		bad.Add("Realm", "%s", "has characters outside of %x20-21 / %x23-5B / %x5D-7E")
	}
	sources := c.Credentials
	if len(sources) == 0 {
		sources = defaultCredentials
	}
	for i, s := range sources {
		if s.read == nil {
			bad.Add(fmt.Sprintf("Credentials[%d]", i), "is empty")
		}
	}
	if v != nil {
		for _, s := range v.Schemes() {
			if !isToken(s.Name) || !isQuotable(strings.Join(s.Algorithms, "")) {
				bad.Add("Verifier", "has a binding whose scheme %q cannot be part of a challenge", s.Name)
			}
		}
	}
	if c.ClientCertificate != nil {
		bad.Join("ClientCertificate", c.ClientCertificate.Validate())
	}
	for i, k := range c.Authenticators {
		bad.Join(fmt.Sprintf("Authenticators[%d]", i), k.check())
	}
	if c.Metadata != nil {
		m, err = newMetadata(*c.Metadata, v, sources, c.ClientCertificate != nil)
		bad.Join("Metadata", err)
	}
	return m, bad.ErrOf("middleware")
}

// ForIssuer makes an Auth for the common case: tokens of one issuer, whose keys
// are discovered and refreshed, for any of the given audiences, with every
// default. Handlers get the token without a user; [Config.ForIssuer] is the next
// step. [Auth.Close] stops the refreshing.
func ForIssuer(issuer string, audience ...string) (*Auth, error) {
	return Config{}.ForIssuer(issuer, audience...)
}

// ForIssuer is the function [ForIssuer] with a configuration: a user, a logger for
// keys and refusals, an observer. It reports every fault at once. A service with
// more than one issuer, or with introspection, calls [verify.New] and passes the
// same configuration to [New].
func (c Config) ForIssuer(issuer string, audience ...string) (*Auth, error) {
	vc := verify.Config{Issuers: []verify.Issuer{{
		Issuer: issuer, Audience: audience, Keys: jwks.New(jwks.Config{Issuer: issuer, Logger: c.Logger}),
	}}}
	var bad faults.List[verify.Fault]
	for _, f := range verify.Faults(vc.Validate()) {
		bad.Add(strings.TrimPrefix(f.Field, "Issuers[0]."), "%s", f.Problem) // the only one
	}
	bad.Join("", c.Validate())
	if err := bad.ErrOf("middleware"); err != nil {
		return nil, err
	}
	v, err := verify.New(vc)
	if err != nil {
		return nil, err
	}
	a, err := New(v, c)
	if err != nil {
		_ = v.Close()
		return nil, err
	}
	return a, nil
}

// Verifier returns the verifier.
func (a *Auth) Verifier() *verify.Verifier { return a.verifier }

// Close closes the verifier and with it the key sources.
func (a *Auth) Close() error { return a.verifier.Close() }

// Require makes a guard that admits requests with a good token that meets all of
// the requirements.
func (a *Auth) Require(requirements ...Requirement) *Guard {
	return newGuard(a, false, requirements)
}

// Optional makes a guard that also admits requests without credentials, or with
// those of another scheme. They have no user, unless the application has put one
// into the context itself ([NewContext]). Credentials that are presented must be
// good and meet the requirements.
func (a *Auth) Optional(requirements ...Requirement) *Guard {
	return newGuard(a, true, requirements)
}

// retryAfter is how long a 503 asks clients to wait. Keys and introspection
// answers are fetched again within a second, so another try is worth it then.
const retryAfter = time.Second
