package middleware

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/bearerkit/bearerkit/verify"
)

// A Refusal says how a request is refused. Its texts are made of fixed
// sentences and of the configuration, never of what the request held.
type Refusal struct {
	Status      int           // 400, 401, 403 or 503
	Code        string        // the error code, as in the body
	Description string        // which check failed, in a sentence
	Challenge   string        // the WWW-Authenticate field; empty if there is none
	RetryAfter  time.Duration // how long to wait before another try; 0 if waiting does not help
	// Reason names what happened in one word, out of a closed set: those of
	// [verify.Reason] and "no_credentials", "credentials", "no_user",
	// "user_unavailable", "insufficient_scope", "permission", "organization",
	// "not_user", "not_machine", "max_age", "acr", "requirement" and
	// "requirement_unavailable". It is fit for a metric's label.
	Reason string
	// Err is the error behind it, if there is one. It is for logs.
	Err error

	auth *Auth
}

// Write writes the refusal: the challenge, Cache-Control: no-store, Retry-After
// where it applies, and the body, or what Config.ErrorHandler makes of it. The
// adapters call it; so does code that calls [Guard.Decide] itself.
func (f *Refusal) Write(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	if f.Challenge != "" {
		h.Set("WWW-Authenticate", f.Challenge)
	}
	if f.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(int((f.RetryAfter+time.Second-1)/time.Second)))
	}
	h.Set("Cache-Control", "no-store")
	if handler := f.auth.config.ErrorHandler; handler != nil {
		g := &refusalWriter{ResponseWriter: w, status: f.Status}
		handler(g, r, f)
		g.finish()
		return
	}
	h.Set("Content-Type", "application/json")
	// Code and description hold nothing that JSON would escape.
	body := `{"error":"` + f.Code + `","error_description":"` + f.Description + `"}`
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(f.Status)
	_, _ = w.Write([]byte(body)) // a client that has gone misses nothing
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

// challenge builds a Bearer challenge (RFC 6750 section 3) of name-value pairs;
// empty values are left out. Every value is known to be quotable.
func (a *Auth) challenge(pairs ...string) string {
	var b strings.Builder
	b.WriteString("Bearer")
	sep := " "
	add := func(name, value string) {
		if value != "" {
			b.WriteString(sep + name + `="` + value + `"`)
			sep = ", "
		}
	}
	add("realm", a.config.Realm)
	for i := 0; i < len(pairs); i += 2 {
		add(pairs[i], pairs[i+1])
	}
	if a.metadata != nil {
		add("resource_metadata", a.metadata.url)
	}
	return b.String()
}

// refuse builds a refusal with an error code in its challenge.
func (a *Auth) refuse(status int, code, description, reason string, err error, pairs ...string) *Refusal {
	pairs = append([]string{"error", code, "error_description", description}, pairs...)
	return &Refusal{Status: status, Code: code, Description: description, Challenge: a.challenge(pairs...), Reason: reason, Err: err, auth: a}
}

// noCredentials: RFC 6750 section 3.1 wants no error code in the challenge for
// a request that did not try.
func (a *Auth) noCredentials() *Refusal {
	return &Refusal{Status: http.StatusUnauthorized, Code: "unauthorized", Description: "a bearer token is required",
		Challenge: a.challenge(), Reason: "no_credentials", auth: a}
}

func (a *Auth) malformed(description string) *Refusal {
	return a.refuse(http.StatusBadRequest, "invalid_request", description, "credentials", nil)
}

func (a *Auth) invalidToken(description, reason string, err error) *Refusal {
	return a.refuse(http.StatusUnauthorized, "invalid_token", description, reason, err)
}

func (a *Auth) unavailable(description, reason string, err error) *Refusal {
	return &Refusal{Status: http.StatusServiceUnavailable, Code: "temporarily_unavailable", Description: description,
		RetryAfter: retryAfter, Reason: reason, Err: err, auth: a}
}

// refuseToken answers a token that the verifier did not accept.
func (a *Auth) refuseToken(err error) *Refusal {
	var e *verify.Error
	if !errors.As(err, &e) {
		e = &verify.Error{Reason: verify.ErrUnavailable, Cause: err}
	}
	switch e.Reason {
	case verify.ErrUnavailable:
		return a.unavailable(e.Description(), string(e.Reason), err)
	case verify.ErrSyntax:
		return a.malformed(e.Description())
	}
	return a.invalidToken(e.Description(), string(e.Reason), err)
}

func (a *Auth) noUser() *Refusal {
	return a.invalidToken("the token's subject is no user", "no_user", nil)
}

func (a *Auth) userUnavailable(err error) *Refusal {
	return a.unavailable("the user cannot be looked up at the moment", "user_unavailable", err)
}

// unmet answers a requirement that was not met.
func (a *Auth) unmet(u *unmet, ask *ask) *Refusal {
	switch u.code {
	case "":
		return a.unavailable("a requirement cannot be checked at the moment", u.reason, u.cause)
	case "insufficient_scope":
		return a.refuse(u.status, u.code, u.description, u.reason, u.cause, "scope", strings.Join(ask.scopes, " "))
	case "insufficient_user_authentication":
		maxAge := ""
		if ask.maxAge > 0 {
			maxAge = strconv.Itoa(int(ask.maxAge / time.Second))
		}
		return a.refuse(u.status, u.code, u.description, u.reason, u.cause, "acr_values", strings.Join(ask.acr, " "), "max_age", maxAge)
	}
	// RFC 6750 has no code for what a token with another scope would not
	// mend either, so there is nothing to challenge for.
	return &Refusal{Status: u.status, Code: u.code, Description: u.description, Reason: u.reason, Err: u.cause, auth: a}
}
