package middleware

import (
	"context"
	"errors"
	"strings"

	"github.com/bearerkit/bearerkit/internal/faults"
	"github.com/bearerkit/bearerkit/verify"
)

// An Authenticator recognizes callers by credentials other than a bearer token:
// an API key, a session. It works beside bearer tokens, on the same routes; see
// Config.Authenticators.
type Authenticator struct {
	// Credentials is the place of the credentials in a request: [Header], [Cookie]
	// or [NewCredentialSource]. Required.
	Credentials CredentialSource
	// Authenticate returns the caller whose credentials these are, as a token: the
	// resolver finds the user by it, requirements look at its scopes and
	// permissions ([verify.Token.WithPermissions]), and [TokenFrom] returns it.
	// Anything it leaves out is not granted. A caller is the pair of Issuer and
	// Subject, so use an Issuer that tells API keys from the users of an
	// authorization server.
	//
	// [ErrNoUser] means that the credentials are not valid: 401. [ErrDenied] is
	// 403. Any other error is 503, and so is a nil token.
	//
	// It is called once per request, for guards with [NotRevoked] once more, and
	// must be safe for concurrent use. Required.
	Authenticate func(ctx context.Context, credentials string) (*verify.Token, error)
	// Challenge is a challenge that a 401 has beside those for tokens: a scheme and
	// its parameters (RFC 9110 section 11.6.1), such as `ApiKey realm="orders"`.
	// Default: none.
	Challenge string
}

// check reports every fault of an authenticator.
func (k Authenticator) check() error {
	var bad faults.List[verify.Fault]
	if k.Credentials.read == nil {
		bad.Add("Credentials", "is required")
	}
	if k.Authenticate == nil {
		bad.Add("Authenticate", "is required")
	}
	if k.Challenge != "" && !isChallenge(k.Challenge) {
		bad.Add("Challenge", "is not a scheme other than Bearer and its parameters, in printable ASCII")
	}
	return bad.Err()
}

// isChallenge reports whether s can be a challenge: a scheme that is not Bearer,
// and anything else in printable ASCII.
func isChallenge(s string) bool {
	scheme, _, _ := strings.Cut(s, " ")
	return isToken(scheme) && !strings.EqualFold(scheme, schemeBearer) &&
		!strings.ContainsFunc(s, func(c rune) bool { return c < ' ' || c > '~' })
}

var (
	badCaller         = newFailure(codeUnauthorized, "the credentials are not valid", ReasonInvalidCredentials)
	callerDenied      = forbidden("the caller is not admitted", ReasonUserDenied)
	callerUnavailable = unavailable("the credentials cannot be checked at the moment", ReasonCredentialsUnavailable)
)

var errNoToken = errors.New("middleware: Authenticate has returned neither a token nor an error")

// authenticate asks an authenticator about credentials of another kind.
func (a *Auth) authenticate(ctx context.Context, by *Authenticator, credentials string) (*verify.Token, *failure) {
	t, err := by.Authenticate(ctx, credentials)
	switch {
	case errors.Is(err, ErrNoUser):
		return nil, badCaller.with(err)
	case err != nil:
		return nil, failureOf(err, callerDenied, callerUnavailable)
	case t == nil:
		return nil, callerUnavailable.with(errNoToken)
	case a.expired(t):
		return nil, badCaller.with(verify.ErrExpired)
	}
	return t, nil
}
