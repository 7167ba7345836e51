package middleware_test

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/bearerkit/bearerkit/middleware"
)

// TestErrorHandlerDelegates: an ErrorHandler that calls Write gets the kit's own
// answer for the refusal, once, and never a success.
func TestErrorHandlerDelegates(t *testing.T) {
	const own = `{"error":"unauthorized","error_description":"a bearer token is required"}`
	type handler = func(http.ResponseWriter, *http.Request, *middleware.Refusal)
	for name, c := range map[string]struct {
		handler     handler
		status      int
		contentType string
		body        string
	}{
		"once":    {func(w http.ResponseWriter, r *http.Request, f *middleware.Refusal) { f.Write(w, r) }, 401, "application/json", own},
		"twice":   {func(w http.ResponseWriter, r *http.Request, f *middleware.Refusal) { f.Write(w, r); f.Write(w, r) }, 401, "application/json", own},
		"a copy":  {func(w http.ResponseWriter, r *http.Request, f *middleware.Refusal) { g := *f; g.Write(w, r) }, 401, "application/json", own},
		"wrapped": {func(w http.ResponseWriter, r *http.Request, f *middleware.Refusal) { f.Write(&wrapper{w}, r) }, 401, "application/json", own},
		"wrapped twice": {func(w http.ResponseWriter, r *http.Request, f *middleware.Refusal) {
			f.Write(&wrapper{&wrapper{w}}, r)
			f.Write(&wrapper{w}, r)
		}, 401, "application/json", own},
		"aside, first": {func(w http.ResponseWriter, r *http.Request, f *middleware.Refusal) {
			aside := httptest.NewRecorder()
			f.Write(aside, r)
			io.WriteString(w, strings.ToUpper(aside.Body.String()))
		}, 401, "text/plain; charset=utf-8", strings.ToUpper(own)},
		"with another status": {func(w http.ResponseWriter, r *http.Request, f *middleware.Refusal) {
			f.Status = 404
			f.Write(w, r)
		}, 404, "application/json", own},
		"with a success": {func(w http.ResponseWriter, r *http.Request, f *middleware.Refusal) {
			f.Status = 200
			f.Write(w, r)
		}, 401, "application/json", own},
		"without a status": {func(w http.ResponseWriter, r *http.Request, f *middleware.Refusal) {
			f.Status = 0
			f.Write(w, r)
		}, 401, "application/json", own},
		"with a description of its own": {func(w http.ResponseWriter, r *http.Request, f *middleware.Refusal) {
			f.Description = "say \"please\"\n<b>"
			f.Write(w, r)
		}, 401, "application/json", `{"error":"unauthorized","error_description":"say \"please\"\n<b>"}`},
		"after a body of its own": {func(w http.ResponseWriter, r *http.Request, f *middleware.Refusal) {
			io.WriteString(w, "no")
			f.Write(w, r)
		}, 401, "text/plain; charset=utf-8", "no"},
		"after a status of its own": {func(w http.ResponseWriter, r *http.Request, f *middleware.Refusal) {
			w.WriteHeader(404)
			f.Write(w, r)
		}, 404, "", ""},
	} {
		calls := 0
		_, auth := newStatic(t, middleware.Config{ErrorHandler: func(w http.ResponseWriter, r *http.Request, f *middleware.Refusal) {
			calls++
			c.handler(w, r, f)
		}}, nil)
		// An ErrorHandler of another Auth, which hands its refusals on to this
		// one's, is a handler in a handler.
		_, outer := newStatic(t, middleware.Config{ErrorHandler: func(w http.ResponseWriter, r *http.Request, f *middleware.Refusal) {
			_, inner := auth.Require().Decide(r)
			inner.Write(w, r)
		}}, nil)
		for kind, a := range map[string]*middleware.Auth{"alone": auth, "nested": outer} {
			calls = 0
			var complaints strings.Builder
			s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, f := a.Require().Decide(r)
				f.Write(w, r)
			}))
			s.Config.ErrorLog = log.New(&complaints, "", 0)
			s.Start()
			resp, err := http.Get(s.URL)
			if err != nil {
				t.Fatalf("%s, %s: %v", name, kind, err)
			}
			body, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			s.Close()
			if err != nil || resp.StatusCode != c.status || string(body) != c.body || resp.Header.Get("Content-Type") != c.contentType {
				t.Errorf("%s, %s: %d %q %q %v", name, kind, resp.StatusCode, resp.Header.Get("Content-Type"), body, err)
			}
			if got := resp.Header.Values("WWW-Authenticate"); len(got) != 1 || got[0] != "Bearer" || resp.Header.Get("Cache-Control") != "no-store" {
				t.Errorf("%s, %s: %v", name, kind, resp.Header)
			}
			if calls != 1 {
				t.Errorf("%s, %s: the handler was called %d times", name, kind, calls)
			}
			if complaints.Len() > 0 {
				t.Errorf("%s, %s: the server complains: %s", name, kind, &complaints)
			}
		}
	}
}

// TestRefusalIsWrittenAnew: what an ErrorHandler has done with a refusal does not
// stay with it.
func TestRefusalIsWrittenAnew(t *testing.T) {
	_, auth := newStatic(t, middleware.Config{ErrorHandler: func(w http.ResponseWriter, r *http.Request, f *middleware.Refusal) {
		f.Description = "changed"
		f.Write(w, r)
	}}, nil)
	r := request("")
	_, f := auth.Require().Decide(r)
	for range 2 {
		w := httptest.NewRecorder()
		f.Write(w, r)
		if w.Code != 401 || !strings.Contains(w.Body.String(), `"changed"`) || f.Description != "a bearer token is required" {
			t.Errorf("%d %s, %+v", w.Code, w.Body, f)
		}
	}
}

// wrapper is a layer's ResponseWriter.
type wrapper struct{ http.ResponseWriter }
