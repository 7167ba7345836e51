package middleware

import (
	"bytes"
	"encoding/json"
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
	Status      int    // 400, 401, 403 or 503; 499 if the client has gone
	Code        string // the error code, as in the body
	Description string // which check failed, in a sentence
	// Header has the fields of the answer: WWW-Authenticate, with one challenge for
	// each value, but not for a 503 or a 403 that another token would not change;
	// Retry-After for a 503; DPoP-Nonce if there is a new one; Cache-Control.
	Header http.Header
	// Reason is what happened, in one word for logs and metrics.
	Reason Reason
	// Err is the error that caused it, or nil. It is for logs.
	Err error

	auth *Auth
	out  *refusalWriter // what an ErrorHandler was given, in the Refusal that it was given
}

// Write writes the refusal: its Header, beside the challenges of other layers,
// and the body, or what Config.ErrorHandler makes of it. [Guard.Serve] calls it;
// so does code that calls [Guard.Decide] itself.
//
// An ErrorHandler may call it for the refusals that it does not want to write
// itself. It then writes what the kit would have written, once, unless the
// handler has begun an answer already.
func (f *Refusal) Write(w http.ResponseWriter, r *http.Request) {
	if f.out != nil && f.out.written {
		return
	}
	h := w.Header()
	for name, values := range f.Header {
		if name != "Www-Authenticate" {
			h[name] = slices.Clone(values)
			continue
		}
		for _, c := range values {
			if !slices.Contains(h[name], c) { // beside those of other layers
				h[name] = append(h[name], c)
			}
		}
	}
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

// refusalWriter keeps an error handler from turning a refusal into a success, by
// its status or by not writing anything. It has no Unwrap: flushing the writer
// below it would send a status of 200.
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

// refuse makes the refusal of a failure.
func (g *Guard) refuse(f *failure, s *subject) *Refusal {
	h := http.Header{"Cache-Control": {"no-store"}}
	switch f.code {
	case codeUnavailable:
		h["Retry-After"] = []string{strconv.Itoa(int(retryAfter / time.Second))}
	case codeCanceled:
	case codeDenied:
		// A token with another scope would not change it, and RFC 6750 has no
		// code for that: there is nothing to challenge for.
	default:
		h["Www-Authenticate"] = g.challenges(f, s.attempted())
	}
	if s.request != nil {
		for name, value := range s.request.AnswerFields() {
			h.Set(name, value)
		}
	}
	return &Refusal{Status: f.code.status(), Code: string(f.code), Description: f.description, Reason: f.reason, Header: h, Err: f.cause, auth: g.auth}
}

// challenges makes the WWW-Authenticate fields of a failure: one for each scheme
// that is offered, and those of the authenticators. Only the challenge of the
// scheme that the client attempted has the error (RFC 9449 section 7.2); if that
// scheme is not known, or not offered, all of them have it. If the token is good
// but not sufficient, there is only the challenge of its scheme.
func (g *Guard) challenges(f *failure, attempted string) (list []string) {
	is := func(s verify.Scheme) bool { return strings.EqualFold(s.Name, attempted) }
	offered := g.offered()
	known := slices.ContainsFunc(offered, is)
	alone := f.code == codeScope || f.code == codeStepUp
	for _, s := range offered {
		if !known || is(s) || !alone {
			list = append(list, g.challenge(s, f, !known || is(s)))
		}
	}
	if f.code == codeUnauthorized || f.code == codeInvalidToken {
		for _, k := range g.auth.config.Authenticators {
			if k.Challenge != "" {
				list = append(list, k.Challenge)
			}
		}
	}
	return list
}

// offered returns the schemes of the guard's challenges. If tokens must be bound
// ([Bound]), Bearer is one of them only if tokens are bound to certificates too.
func (g *Guard) offered() []verify.Scheme {
	all := g.auth.offered
	if last := len(all) - 1; g.wants.bound && last > 0 && all[last].Name == schemeBearer && g.auth.config.ClientCertificate == nil {
		return all[:last]
	}
	return all
}

// challenge makes the challenge of a scheme (RFC 6750 section 3, RFC 9449 section
// 7.1). It asks for everything that the guard's requirements want of a token, so
// that the client's next one meets all of them. Every value in it is quotable.
func (g *Guard) challenge(s verify.Scheme, f *failure, withError bool) string {
	var b strings.Builder
	b.WriteString(s.Name)
	sep := " "
	add := func(name, value string) {
		if value != "" {
			b.WriteString(sep + name + `="` + value + `"`)
			sep = ", "
		}
	}
	add("realm", g.auth.config.Realm)
	if withError && f.code != codeUnauthorized {
		// RFC 6750 section 3.1 wants no error code for a request that did not
		// try.
		add("error", string(f.code))
		add("error_description", f.description)
	}
	if f.code != codeInvalidRequest {
		add("scope", strings.Join(g.wants.scopes, " "))
	}
	if f.code == codeStepUp {
		add("acr_values", strings.Join(g.wants.acr, " "))
		if g.wants.maxAge > 0 {
			add("max_age", strconv.Itoa(int(g.wants.maxAge/time.Second)))
		}
	}
	add("algs", strings.Join(s.Algorithms, " "))
	if g.auth.metadata != nil {
		add("resource_metadata", g.auth.metadata.url)
	}
	return b.String()
}
