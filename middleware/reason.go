package middleware

import (
	"net/http"

	"github.com/bearerkit/bearerkit/verify"
)

// A Reason says in one word why a request was refused. The set is closed (see
// [Reasons]) and its texts are stable: fit for a metric's label and for a log's
// value. What the verifier said of a token has the text of its [verify.Reason].
type Reason string

// The reasons beside those of package verify.
const (
	ReasonNoCredentials          Reason = "no_credentials"          // there are none, or only of kinds that are not accepted
	ReasonCredentials            Reason = "credentials"             // the request is malformed: two tokens, no token after the scheme
	ReasonCredentialsUnavailable Reason = "credentials_unavailable" // a CredentialSource or an Authenticator failed
	ReasonInvalidCredentials     Reason = "invalid_credentials"     // an Authenticator did not accept them
	ReasonNoUser                 Reason = "no_user"                 // ErrNoUser
	ReasonUserDenied             Reason = "user_denied"             // ErrDenied from the resolver or an Authenticator
	ReasonUserUnavailable        Reason = "user_unavailable"        // the resolver failed
	ReasonScope                  Reason = "insufficient_scope"      // Scope, AnyScope
	ReasonPermission             Reason = "permission"              // Permission, AnyPermission
	ReasonOrganization           Reason = "organization"            // Organization
	ReasonNotUser                Reason = "not_user"                // OnlyUsers
	ReasonNotMachine             Reason = "not_machine"             // OnlyMachines
	ReasonNotBound               Reason = "not_bound"               // Bound
	ReasonMaxAge                 Reason = "max_age"                 // MaxAge
	ReasonACR                    Reason = "acr"                     // ACR
	ReasonRequirement            Reason = "requirement"             // Func or RequestFunc returned ErrDenied
	ReasonRequirementUnavailable Reason = "requirement_unavailable" // Func or RequestFunc failed
	ReasonCheckUnavailable       Reason = "check_unavailable"       // a verify.Condition or a verify.Binding failed
	ReasonCanceled               Reason = "canceled"                // the client did not wait for the answer
)

// Reasons returns all reasons, including those of package verify, for metrics that
// have one series for each.
func Reasons() []Reason {
	list := []Reason{ReasonNoCredentials, ReasonCredentials, ReasonCredentialsUnavailable, ReasonInvalidCredentials,
		ReasonNoUser, ReasonUserDenied, ReasonUserUnavailable, ReasonScope, ReasonPermission, ReasonOrganization, ReasonNotUser,
		ReasonNotMachine, ReasonNotBound, ReasonMaxAge, ReasonACR, ReasonRequirement, ReasonRequirementUnavailable, ReasonCheckUnavailable, ReasonCanceled}
	for _, r := range verify.Reasons() {
		list = append(list, Reason(r))
	}
	return list
}

// A code is the error code of a refusal, as in its body. It decides the status.
type code string

// The error codes: those of RFC 6750 section 3.1, RFC 9470 section 3 and
// RFC 9449 section 7.1, and those that stand in bodies alone.
const (
	codeInvalidRequest code = "invalid_request"
	codeInvalidToken   code = "invalid_token"
	codeScope          code = "insufficient_scope"
	codeStepUp         code = "insufficient_user_authentication"
	codeProof          code = "invalid_dpop_proof"
	codeNonce          code = "use_dpop_nonce"
	codeUnauthorized   code = "unauthorized"
	codeDenied         code = "access_denied"
	codeUnavailable    code = "temporarily_unavailable"
	codeCanceled       code = "request_canceled"
)

// statusCanceled is the status of a request whose client did not wait for the
// answer. Nobody receives it; logs and metrics know it from nginx.
const statusCanceled = 499

func (c code) status() int {
	switch c {
	case codeInvalidRequest:
		return http.StatusBadRequest
	case codeScope, codeDenied:
		return http.StatusForbidden
	case codeUnavailable:
		return http.StatusServiceUnavailable
	case codeCanceled:
		return statusCanceled
	}
	return http.StatusUnauthorized
}

// A failure is why a request is refused; [Guard.refuse] makes the Refusal of it.
type failure struct {
	code        code
	description string
	reason      Reason
	cause       error
	missing     func(*verify.Token) string // what a good token lacks, for the log; may be nil
}

// unavailable reports whether the guard could not find out if the request may be
// served.
func (f *failure) unavailable() bool { return f.code == codeUnavailable }

// with returns the failure with a cause.
func (f *failure) with(cause error) *failure {
	g := *f
	g.cause = cause
	return &g
}

// saying returns the failure with another description.
func (f *failure) saying(description string) *failure {
	g := *f
	g.description = description
	return &g
}

// naming returns the failure with what the log says is missing.
func (f *failure) naming(missing func(*verify.Token) string) *failure {
	g := *f
	g.missing = missing
	return &g
}

func newFailure(c code, description string, reason Reason) *failure {
	return &failure{code: c, description: description, reason: reason}
}

func malformedRequest(description string) *failure {
	return newFailure(codeInvalidRequest, description, ReasonCredentials)
}

func badToken(description string, reason Reason) *failure {
	return newFailure(codeInvalidToken, description, reason)
}

func forbidden(description string, reason Reason) *failure {
	return newFailure(codeDenied, description, reason)
}

func unavailable(description string, reason Reason) *failure {
	return newFailure(codeUnavailable, description, reason)
}
