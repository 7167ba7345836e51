// Command api is a small resource server whose routes run on net/http, chi, gin
// and echo, and answer alike to the byte: the kit's tests use it to hold the
// adapters to that. To copy from, take examples/orders or the example of your
// framework.
//
// Without any environment it starts a development issuer and prints a token and
// curl lines to try. README.md has the variables that make it an API behind your
// own issuer.
package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	bearer "github.com/bearerkit/bearerkit/middleware"
	"github.com/bearerkit/bearerkit/verify"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	os.Exit(run(ctx))
}

// run returns the exit status: 2 for a configuration that cannot be used, with
// a line on standard error for each fault.
func run(ctx context.Context) int {
	s, bad := readSettings(os.Getenv)
	ln, err := net.Listen("tcp", s.addr)
	if err != nil {
		bad.add("ADDR", "%v", err)
	}
	if len(bad) > 0 {
		for _, line := range bad {
			fmt.Fprintln(os.Stderr, line)
		}
		return 2
	}
	if s.development {
		issuer := startDevelopmentIssuer(&s)
		defer issuer.Close()
		printHowToTry(issuer, s, ln.Addr().String())
	}
	verifier, err := verify.New(s.verifier())
	if err != nil {
		fmt.Fprintln(os.Stderr, "ISSUER:", err)
		return 2
	}
	defer verifier.Close()
	auth, err := bearer.New(verifier, s.middleware())
	if err != nil {
		fmt.Fprintln(os.Stderr, "RESOURCE:", err)
		return 2
	}
	return serve(ctx, ln, frameworks[s.framework](newAPI(auth, s.introspection != "off")))
}

// serve serves until ctx ends, then lets requests that are under way finish.
func serve(ctx context.Context, ln net.Listener, h http.Handler) int {
	server := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(ln) }()
	fmt.Fprintf(os.Stderr, "listening on http://%s\n", ln.Addr())
	select {
	case err := <-failed:
		fmt.Fprintln(os.Stderr, "api:", err)
		return 1
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	if err := server.Shutdown(grace); errors.Is(err, context.DeadlineExceeded) {
		server.Close()
	}
	return 0
}
