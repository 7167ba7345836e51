// Command orders is a small service as one would run it in production: an API
// for the orders of organizations, with a table of users, requirements for each
// route, an access log, metrics and a graceful stop. Read main.go, then api.go;
// orders_test.go shows how to test such a service.
//
// The environment configures it:
//
//	ISSUER      the authorization server. Required.
//	AUDIENCE    the identifier of this API in "aud". Required.
//	USERS       a JSON file with the table of users. Required.
//	ADDR        where the API listens. Default: 127.0.0.1:8080.
//	ADMIN_ADDR  where /livez, /readyz and /debug/vars are; not for the public.
//	            Default: 127.0.0.1:8081.
package main

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	bearer "github.com/bearerkit/bearerkit/middleware"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	logger := slog.New(slog.NewJSONHandler(os.Stderr, nil))
	if err := run(ctx, os.Getenv, logger); err != nil {
		logger.Error("orders stopped", "error", err)
		os.Exit(1)
	}
}

// run serves until ctx ends and the requests under way have been answered. It
// is main without globals, so that a test can call it.
func run(ctx context.Context, getenv func(string) string, logger *slog.Logger) error {
	users, err := readUsers(getenv("USERS"))
	if err != nil {
		return err
	}
	m := &metrics{}
	auth, err := bearer.Config{
		User:     bearer.Resolve(users.find),
		Logger:   logger,
		Observer: bearer.ObserverFunc(m.count),
	}.ForIssuer(getenv("ISSUER"), getenv("AUDIENCE"))
	if err != nil {
		return err // names every fault of the configuration
	}
	defer auth.Close()

	public, err := net.Listen("tcp", cmp.Or(getenv("ADDR"), "127.0.0.1:8080"))
	if err != nil {
		return err
	}
	admin, err := net.Listen("tcp", cmp.Or(getenv("ADMIN_ADDR"), "127.0.0.1:8081"))
	if err != nil {
		public.Close()
		return err
	}
	logger.Info("listening", "api", public.Addr().String(), "admin", admin.Addr().String())
	return serve(ctx, map[net.Listener]http.Handler{
		public: accessLog(logger, newAPI(auth, &orderStore{})),
		admin:  newAdmin(auth, m),
	})
}

// serve serves each handler on its listener until ctx ends or a server fails.
// Then requests under way get ten seconds to end.
func serve(ctx context.Context, handlers map[net.Listener]http.Handler) error {
	var servers []*http.Server
	failed := make(chan error, len(handlers))
	for listener, handler := range handlers {
		s := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute}
		servers = append(servers, s)
		go func() { failed <- s.Serve(listener) }()
	}
	var err error
	select {
	case err = <-failed:
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for _, s := range servers {
		err = errors.Join(err, s.Shutdown(grace))
	}
	return err
}
