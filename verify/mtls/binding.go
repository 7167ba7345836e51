package mtls

import (
	"context"

	"github.com/bearerkit/bearerkit/verify"
)

// Config configures a [Binding]. The zero value can be used.
type Config struct {
	// Required refuses tokens that are not bound to any key.
	Required bool
}

// A Binding is the [verify.Binding] of client certificates: it makes a verifier accept
// tokens that are bound to one ("cnf.x5t#S256", RFC 8705 section 3.1), if the client
// has proved to hold it. Where the certificate of a request is, a [Source] says. A
// Binding may serve several verifiers.
type Binding struct{ config Config }

// New makes a binding.
func New(c Config) *Binding { return &Binding{c} }

// Member returns "x5t#S256".
func (b *Binding) Member() string { return "x5t#S256" }

// Scheme returns "": such tokens come as bearer tokens do.
func (b *Binding) Scheme() string { return "" }

// Required returns Config.Required.
func (b *Binding) Required() bool { return b.config.Required }

// Prove implements [verify.Binding]: it compares the client's certificate with that of
// the token. The cause of the error is an [Absence] if the request has no certificate
// to be trusted.
func (b *Binding) Prove(_ context.Context, thumbprint string, r *verify.Request) error {
	if r.Certificate == nil {
		return &verify.Error{Reason: verify.ErrBound, Cause: ErrNone}
	}
	sum, err := r.Certificate()
	if err != nil || !Thumbprint(sum).Matches(thumbprint) {
		return &verify.Error{Reason: verify.ErrBound, Cause: err}
	}
	return nil
}
