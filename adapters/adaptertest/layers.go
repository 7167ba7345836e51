package adaptertest

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/bearerkit/bearerkit/middleware"
	"github.com/bearerkit/bearerkit/verify/verifytest"
)

type layerKey struct{}

// layer is a layer between guards: it adds a value and a deadline.
func layer(ctx context.Context) context.Context {
	ctx, cancel := context.WithTimeout(context.WithValue(ctx, layerKey{}, "kept"), time.Minute)
	context.AfterFunc(ctx, cancel)
	return ctx
}

// Layered is a layer of net/http that changes the request's context.
func Layered(layer func(context.Context) context.Context, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, r.WithContext(layer(r.Context())))
	})
}

// inner is a router behind a guard, which finds out the route.
var inner = func() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /mux/{id}", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, `{"user":"user_1","sub":"user_1"}`)
	})
	return mux
}()

// watched is what stands outside of all guards, an access log or a trace.
func (f *fixture) watched(service http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, record := middleware.WithRecord(r.Context())
		r = r.WithContext(ctx)
		defer func() { f.seen.Store(&seen{record, r}) }()
		service.ServeHTTP(w, r)
	})
}

// challenging is a layer outside of the guards that offers another scheme, if the
// request says so.
func challenging(service http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if offer := r.Header.Get("X-Offer"); offer != "" {
			w.Header().Set("WWW-Authenticate", offer)
		}
		service.ServeHTTP(w, r)
	})
}

// seen is what a layer outside of all guards knows in the end.
type seen struct {
	record  *middleware.Record
	request *http.Request
}

// recorded checks what the layer outside has learned of a case.
func (f *fixture) recorded(t *testing.T, c testCase) {
	t.Helper()
	got := f.seen.Swap(nil)
	if got == nil {
		t.Fatal("the layer outside has not returned")
	}
	d, _ := got.record.Decision()
	user, _ := middleware.UserFrom[User](got.record.Context())
	served := c.user
	if served == "-" {
		served = ""
	}
	switch {
	case d.Status != c.status:
		t.Errorf("recorded %+v, want status %d", d, c.status)
	case c.status == http.StatusOK && user.ID != served:
		t.Errorf("recorded user %q, want %q", user.ID, served)
	case c.status == http.StatusForbidden && user.ID == "":
		t.Error("no user is recorded beside a 403")
	}
	if c.path == "/mux/7" && c.status == http.StatusOK && (got.request.Pattern != "GET /mux/{id}" || got.request.PathValue("id") != "7") {
		t.Errorf("the layer outside sees the route %q, id %q", got.request.Pattern, got.request.PathValue("id"))
	}
}

// hangUp checks that a client which does not wait for its user to be resolved is
// not reported as a failure of the service.
func (f *fixture) hangUp(t *testing.T, addr net.Addr) {
	conn, err := net.Dial("tcp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	f.seen.Store(nil)
	fmt.Fprintf(conn, "GET /any HTTP/1.1\r\nHost: api.example.test\r\nAuthorization: Bearer %s\r\n\r\n", f.issuer.Token(verifytest.Claims{"sub": "patience"}))
	<-f.waits
	conn.Close()
	for start := time.Now(); ; time.Sleep(time.Millisecond) {
		if got := f.seen.Load(); got != nil {
			if d, _ := got.record.Decision(); d.Outcome != middleware.Canceled || d.Status == http.StatusServiceUnavailable {
				t.Errorf("%+v", d)
			}
			return
		}
		if time.Since(start) > 10*time.Second {
			t.Fatal("the request was not decided")
		}
	}
}
