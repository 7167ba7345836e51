package middleware

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bearerkit/bearerkit/verify"
)

// A Refusal says how a request is refused. Its texts are made of fixed
// sentences and of the configuration, never of what the request held.
type Refusal struct {
	Status      int           // 400, 401, 403 or 503; 499 if the client has gone
	Code        string        // the error code, as in the body
	Description string        // which check failed, in a sentence
	Challenges  []string      // the WWW-Authenticate fields; none for a 403 that no other token would mend, and for a 503
	RetryAfter  time.Duration // how long to wait before another try; 0 if waiting does not help
	// Reason says in one word what happened.
	Reason Reason
	// Err is the error behind it, if there is one. It is for logs.
	Err error

	auth *Auth
	out  *refusalWriter // what an ErrorHandler was given, in the Refusal that it was given
}

// Write writes the refusal: the challenge, Cache-Control: no-store, Retry-After
// where it applies, and the body, or what Config.ErrorHandler makes of it. The
// adapters call it; so does code that calls [Guard.Decide] itself.
//
// An ErrorHandler may call it for the refusals that it does not want to write
// itself. It then writes what the kit would have written, once, unless the
// handler has begun an answer already.
func (f *Refusal) Write(w http.ResponseWriter, r *http.Request) {
	if f.out != nil && f.out.written {
		return
	}
	h := w.Header()
	for _, c := range f.Challenges {
		if !slices.Contains(h.Values("WWW-Authenticate"), c) { // beside those of other layers
			h.Add("WWW-Authenticate", c)
		}
	}
	if f.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(int((f.RetryAfter+time.Second-1)/time.Second)))
	}
	h.Set("Cache-Control", "no-store")
	if handler := f.auth.config.ErrorHandler; handler != nil && f.out == nil {
		handed := *f
		handed.out = &refusalWriter{ResponseWriter: w, status: f.Status}
		handler(handed.out, r, &handed)
		handed.out.finish()
		return
	}
	writeJSON(w, r, f.Status, errorBody(f.Code, f.Description))
}

// errorBody returns the JSON body of a refusal.
func errorBody(code, description string) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(struct {
		Code        string `json:"error"`
		Description string `json:"error_description"`
	}{code, description})
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// refusalWriter keeps an error handler from turning a refusal into a success,
// by a status of its own or by writing nothing at all. It has no Unwrap: to
// flush the writer below it would send a status of 200.
type refusalWriter struct {
	http.ResponseWriter
	status  int
	written bool
}

func (w *refusalWriter) WriteHeader(status int) {
	if status < 400 {
		status = w.status
	}
	w.written = true
	w.ResponseWriter.WriteHeader(status)
}

func (w *refusalWriter) Write(b []byte) (int, error) {
	w.finish()
	return w.ResponseWriter.Write(b)
}

func (w *refusalWriter) finish() {
	if !w.written {
		w.WriteHeader(w.status)
	}
}

var (
	noCredentials = newFailure(codeUnauthorized, "a bearer token is required", ReasonNoCredentials)
	noUser        = badToken("the token's subject is not a user", ReasonNoUser)
	userDenied    = forbidden("the user is not admitted", ReasonUserDenied)

	credentialsUnavailable = unavailable("the credentials cannot be read at the moment", ReasonCredentialsUnavailable)
	userUnavailable        = unavailable("the user cannot be looked up at the moment", ReasonUserUnavailable)
	requirementUnavailable = unavailable("a requirement cannot be checked at the moment", ReasonRequirementUnavailable)
)

// refusedToken is the failure of a token that the verifier did not accept.
func refusedToken(err error) *failure {
	var e *verify.Error
	if !errors.As(err, &e) {
		e = &verify.Error{Reason: verify.ErrUnavailable, Cause: err}
	}
	f := badToken(e.Description(), Reason(e.Reason))
	switch {
	case e.Reason == verify.ErrUnavailable && e.Part == "check":
		f = unavailable(e.Description(), ReasonCheckUnavailable)
	case e.Reason == verify.ErrUnavailable:
		f = unavailable(e.Description(), Reason(e.Reason))
	case e.Reason == verify.ErrSyntax:
		return malformedRequest(e.Description())
	}
	return f.with(err)
}

// refuse makes the refusal of a failure.
func (g *Guard) refuse(f *failure) *Refusal {
	r := &Refusal{Status: f.code.status(), Code: string(f.code), Description: f.description, Reason: f.reason, Err: f.cause, auth: g.auth}
	switch f.code {
	case codeUnavailable:
		r.RetryAfter = retryAfter
	case codeCanceled:
	case codeDenied:
		// RFC 6750 has no code for what a token with another scope would not
		// mend either, so there is nothing to challenge for.
	default:
		r.Challenges = []string{g.challenge(f)}
		if f.code == codeUnauthorized || f.code == codeInvalidToken {
			for _, k := range g.auth.config.Authenticators {
				if k.Challenge != "" {
					r.Challenges = append(r.Challenges, k.Challenge)
				}
			}
		}
	}
	return r
}

// challenge makes the Bearer challenge (RFC 6750 section 3) of a failure. It
// asks for all that the guard's requirements want of a token, so that the next
// one does not fail in its turn. Every value in it is known to be quotable.
func (g *Guard) challenge(f *failure) string {
	var b strings.Builder
	b.WriteString("Bearer")
	sep := " "
	add := func(name, value string) {
		if value != "" {
			b.WriteString(sep + name + `="` + value + `"`)
			sep = ", "
		}
	}
	add("realm", g.auth.config.Realm)
	if f.code != codeUnauthorized {
		// RFC 6750 section 3.1 wants no error code for a request that did not
		// try.
		add("error", string(f.code))
		add("error_description", f.description)
	}
	if f.code != codeInvalidRequest {
		add("scope", strings.Join(g.ask.scopes, " "))
	}
	if f.code == codeStepUp {
		add("acr_values", strings.Join(g.ask.acr, " "))
		if g.ask.maxAge > 0 {
			add("max_age", strconv.Itoa(int(g.ask.maxAge/time.Second)))
		}
	}
	if g.auth.metadata != nil {
		add("resource_metadata", g.auth.metadata.url)
	}
	return b.String()
}
