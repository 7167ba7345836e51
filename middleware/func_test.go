package middleware_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/bearerkit/bearerkit/middleware"
	"github.com/bearerkit/bearerkit/verify"
	"github.com/bearerkit/bearerkit/verify/verifytest"
)

// TestRequestFunc: the function gets the request that the handler gets, with the
// user, the token, the values of other layers and the path.
func TestRequestFunc(t *testing.T) {
	type key struct{}
	issuer, auth := newStatic(t, middleware.Config{User: middleware.Resolve(findUser)}, nil)
	var looked []*http.Request
	look := middleware.RequestFunc("no", func(r *http.Request, token *verify.Token) error {
		looked = append(looked, r)
		u, ok := middleware.UserFrom[user](r.Context())
		inContext, _ := middleware.TokenFrom(r.Context())
		if !ok || u.id != "user_1" || token == nil || inContext != token || r.Context().Value(key{}) != "layer" || r.Header.Get("X") != "y" {
			return middleware.ErrDenied
		}
		r.SetPathValue("seen", "by the function")
		return nil
	})
	incoming := request(issuer.Token(verifytest.Claims{"sub": "user_1"}))
	incoming.Header.Set("X", "y")
	incoming = incoming.WithContext(context.WithValue(incoming.Context(), key{}, "layer"))

	for name, guard := range map[string]*middleware.Guard{
		"alone":               auth.Require(look),
		"twice":               auth.Require(look, look),
		"optional":            auth.Optional(look),
		"in an alternative":   auth.Require(middleware.Any(middleware.OnlyMachines(), middleware.All(look, middleware.OnlyUsers()))),
		"behind a plain Func": auth.Require(middleware.Func("no", func(context.Context, *verify.Token) error { return nil }), look),
	} {
		looked = nil
		admitted, f := guard.Decide(incoming)
		if f != nil {
			t.Errorf("%s: %+v", name, f)
			continue
		}
		if looked[0] != admitted || looked[0] != looked[len(looked)-1] || admitted.PathValue("seen") == "" {
			t.Errorf("%s: the handler gets another request", name)
		}
		// A second guard on what the first has admitted.
		looked = nil
		again, f := auth.Require(look).Decide(admitted)
		if f != nil || len(looked) != 1 || looked[0] != again {
			t.Errorf("%s, again: %+v", name, f)
		}
	}
	// Without credentials there is nothing to ask it.
	looked = nil
	if _, f := auth.Optional(look).Decide(request("")); f != nil || looked != nil {
		t.Errorf("optional, without credentials: %v", f)
	}
}

// TestRequestFuncLeavesNoFiles: what a function has read of a form that is
// refused then is the server's to remove.
func TestRequestFuncLeavesNoFiles(t *testing.T) {
	issuer, auth := newStatic(t, middleware.Config{Logger: slog.New(slog.DiscardHandler)}, nil)
	guard := auth.Require(middleware.RequestFunc("no", func(r *http.Request, _ *verify.Token) error {
		if err := r.ParseMultipartForm(1); err != nil {
			return err
		}
		return middleware.ErrDenied
	}))
	r := httptest.NewRequest("POST", "/", strings.NewReader("--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"f\"\r\n\r\na file\r\n--b--\r\n"))
	r.Header.Set("Content-Type", "multipart/form-data; boundary=b")
	r.Header.Set("Authorization", "Bearer "+issuer.Token(nil))
	if _, f := guard.Decide(r); f == nil || f.Status != 403 {
		t.Fatalf("%+v", f)
	}
	if r.MultipartForm == nil {
		t.Fatal("the server does not know of the files")
	}
	if err := r.MultipartForm.RemoveAll(); err != nil {
		t.Error(err)
	}
}
