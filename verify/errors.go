package verify

import "errors"

// A Reason says why a token was not accepted. The set is closed and its texts
// are stable: fit for [errors.Is], for a metric's label and for a log's value.
type Reason string

// The reasons. With all but [ErrUnavailable] the token was refused. ErrUnavailable
// says that the service could not find out whether the token is good, which is not the
// caller's fault: a resource server answers 503 to it and never 401.
const (
	ErrTooLarge    Reason = "too_large"     // longer than Config.MaxTokenSize
	ErrSyntax      Reason = "syntax"        // not a b64token of RFC 6750 section 2.1: the request is malformed
	ErrMalformed   Reason = "malformed"     // not a strict JWS of RFC 7515 with JSON claims
	ErrCritical    Reason = "critical"      // "crit", "b64" or "zip": an extension that changes what is signed
	ErrAlgorithm   Reason = "algorithm"     // "alg" outside of the allow-list
	ErrType        Reason = "type"          // another kind of token: an ID token, a logout token, a proof …
	ErrIssuer      Reason = "issuer"        // "iss" is not one of the configured issuers
	ErrExpired     Reason = "expired"       // "exp" has passed
	ErrNotYetValid Reason = "not_yet_valid" // "nbf" or "iat" is in the future
	ErrAudience    Reason = "audience"      // meant for another resource server
	ErrClaim       Reason = "claim"         // a required claim is missing, or one has the wrong type
	ErrBound       Reason = "bound"         // bound to a key ("cnf"), whose possession was not proved
	ErrProof       Reason = "proof"         // the DPoP proof is missing, or a check of RFC 9449 section 4.3 failed
	ErrNonce       Reason = "nonce"         // the DPoP proof has no nonce of this service, or an old one
	ErrReplayed    Reason = "replayed"      // the DPoP proof was used before
	ErrUnknownKey  Reason = "unknown_key"   // the issuer has no such key for this algorithm
	ErrSignature   Reason = "signature"     // the signature does not verify
	ErrInactive    Reason = "inactive"      // the authorization server says that it is not active: revoked, or never issued
	ErrRejected    Reason = "rejected"      // a function of Check refused the token
	ErrUnavailable Reason = "unavailable"   // keys, or something else that is needed, cannot be had: nothing is known about the token
)

var descriptions = map[Reason]string{
	ErrTooLarge:    "the token is too large",
	ErrSyntax:      "the credentials are not a single bearer token",
	ErrMalformed:   "the token is malformed",
	ErrCritical:    "the token uses an extension that is not supported",
	ErrAlgorithm:   "the token's signature algorithm is not accepted",
	ErrType:        "the token is not an access token",
	ErrIssuer:      "the token's issuer is not trusted",
	ErrExpired:     "the token has expired",
	ErrNotYetValid: "the token is not valid yet",
	ErrAudience:    "the token is meant for another audience",
	ErrClaim:       "a claim of the token is missing or has the wrong type",
	ErrBound:       "the token is bound to a key whose possession was not proved",
	ErrProof:       "the DPoP proof is missing or not valid",
	ErrNonce:       "the DPoP proof needs a nonce of this service",
	ErrReplayed:    "the DPoP proof was used before",
	ErrUnknownKey:  "the token's key is not known",
	ErrSignature:   "the token's signature is not valid",
	ErrInactive:    "the token is not active",
	ErrRejected:    "the token was rejected",
	ErrUnavailable: "the token cannot be verified at the moment",
}

// Reasons returns all reasons, for metrics that have one series for each.
func Reasons() []Reason {
	return []Reason{ErrTooLarge, ErrSyntax, ErrMalformed, ErrCritical, ErrAlgorithm, ErrType, ErrIssuer, ErrExpired,
		ErrNotYetValid, ErrAudience, ErrClaim, ErrBound, ErrProof, ErrNonce, ErrReplayed, ErrUnknownKey, ErrSignature, ErrInactive, ErrRejected, ErrUnavailable}
}

// Error makes a Reason an error, so that errors.Is(err, verify.ErrExpired)
// reads as it does for any other.
func (r Reason) Error() string { return "verify: " + r.Description() }

// Description says the reason in a sentence without its full stop, made of
// characters that fit an error_description (RFC 6750 section 3).
func (r Reason) Description() string {
	if d, ok := descriptions[r]; ok {
		return d
	}
	return string(r)
}

// Error is what [Verifier.Verify] returns for a token that it does not accept.
// Error, Description and Part never have a byte of the token in them; see
// [Error.Received] for the one method that does.
type Error struct {
	Reason Reason
	// Part names the claim or the part of the token that was at fault, where
	// that says more than the reason: "exp", "header"; or it is "check", "condition" or
	// "binding", if one of these could not find out. It is one of a fixed list or a
	// name out of the configuration, and never text of the token.
	Part string
	// Cause is the error behind ErrUnavailable, or the one that a Condition or a
	// Binding returned. It is for logs; it is not for callers of the API.
	Cause error

	says  string // a sentence in place of the reason's; fixed like that
	facts func() (expected, received string)
}

func (e *Error) Error() string {
	s := "verify: " + e.Description()
	if e.Cause != nil {
		s += ": " + e.Cause.Error()
	}
	return s
}

// Description says what was wrong in a sentence without its full stop, fit for
// an error_description: it names the check, never a value.
func (e *Error) Description() string {
	says := e.says
	if says == "" {
		says = e.Reason.Description()
	}
	if e.Part == "" {
		return says
	}
	return says + " (" + e.Part + ")"
}

// Expected says what this service would have accepted: its issuers, its
// audiences, the time by its clock, the key IDs of the issuer. It is for the
// service's own logs and never for callers of the API. It is empty where there is
// nothing to say.
func (e *Error) Expected() string {
	if e.facts == nil {
		return ""
	}
	expected, _ := e.facts()
	return expected
}

// Received says what the token had in its place. It is for the service's own
// logs and never for callers of the API: it is the token's own text, which
// anybody may have written. It is only ever told of "iss", "aud", "exp", "nbf",
// "iat" and the header's "typ", 100 bytes of it at most, quoted as a Go string
// in ASCII; it is empty for everything else.
func (e *Error) Received() string {
	if e.facts == nil {
		return ""
	}
	_, received := e.facts()
	return received
}

// Is makes errors.Is(err, ErrExpired) work.
func (e *Error) Is(target error) bool { return target == e.Reason }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

func refuse(r Reason, part string) error { return &Error{Reason: r, Part: part} }

func unavailable(cause error) error {
	var e *Error
	if errors.As(cause, &e) && e.Reason == ErrUnavailable {
		return e
	}
	return &Error{Reason: ErrUnavailable, Cause: cause}
}
