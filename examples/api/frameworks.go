package main

import (
	"errors"
	"net/http"
	"path"

	"github.com/gin-gonic/gin"
	"github.com/go-chi/chi/v5"
	"github.com/labstack/echo/v5"

	"github.com/bearerkit/bearerkit/adapters/chiauth"
	"github.com/bearerkit/bearerkit/adapters/echoauth"
	"github.com/bearerkit/bearerkit/adapters/ginauth"
	"github.com/bearerkit/bearerkit/adapters/httpauth"
)

// frameworks mount the same routes on each framework.
var frameworks = map[string]func(*api) http.Handler{
	"nethttp": onNetHTTP,
	"chi":     onChi,
	"gin":     onGin,
	"echo":    onEcho,
}

func onNetHTTP(a *api) http.Handler {
	mux := http.NewServeMux()
	for _, r := range a.routes {
		var h http.Handler = r.handler
		switch r.access {
		case optional:
			h = httpauth.Optional(a.auth, r.requirements...)(h)
		case required:
			h = httpauth.Require(a.auth, r.requirements...)(h)
		}
		mux.Handle(r.method+" "+r.path, h)
	}
	mux.HandleFunc("/", a.otherMethod)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if path.Clean(r.URL.Path) != r.URL.Path {
			a.notFound(w, r) // ServeMux alone would redirect
			return
		}
		mux.ServeHTTP(w, r)
	})
}

func onChi(a *api) http.Handler {
	m := chi.NewRouter()
	for _, r := range a.routes {
		var with chi.Router = m
		switch r.access {
		case optional:
			with = m.With(chiauth.Optional(a.auth, r.requirements...))
		case required:
			with = m.With(chiauth.Require(a.auth, r.requirements...))
		}
		with.MethodFunc(r.method, r.path, r.handler)
	}
	m.NotFound(a.otherMethod)
	m.MethodNotAllowed(a.otherMethod)
	return m
}

func onGin(a *api) http.Handler {
	gin.SetMode(gin.ReleaseMode)
	m := gin.New()
	m.RedirectTrailingSlash = false
	m.HandleMethodNotAllowed = true
	for _, r := range a.routes {
		var guards []gin.HandlerFunc
		switch r.access {
		case optional:
			guards = append(guards, ginauth.Optional(a.auth, r.requirements...))
		case required:
			guards = append(guards, ginauth.Require(a.auth, r.requirements...))
		}
		m.Handle(r.method, r.path, append(guards, gin.WrapF(r.handler))...)
	}
	m.NoRoute(gin.WrapF(a.otherMethod))
	m.NoMethod(gin.WrapF(a.otherMethod))
	return m
}

func onEcho(a *api) http.Handler {
	m := echo.New()
	for _, r := range a.routes {
		var guards []echo.MiddlewareFunc
		switch r.access {
		case optional:
			guards = append(guards, echoauth.Optional(a.auth, r.requirements...))
		case required:
			guards = append(guards, echoauth.Require(a.auth, r.requirements...))
		}
		m.Add(r.method, r.path, echo.WrapHandler(r.handler), guards...)
		if r.method == http.MethodGet {
			// echo alone would answer OPTIONS with 204.
			m.OPTIONS(r.path, echo.WrapHandler(http.HandlerFunc(a.otherMethod)))
		}
	}
	standard := m.HTTPErrorHandler
	m.HTTPErrorHandler = func(c *echo.Context, err error) {
		if errors.Is(err, echo.ErrNotFound) || errors.Is(err, echo.ErrMethodNotAllowed) {
			a.otherMethod(c.Response(), c.Request())
			return
		}
		standard(c, err)
	}
	return m
}
