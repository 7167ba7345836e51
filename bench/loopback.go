package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync/atomic"

	"github.com/bearerkit/bearerkit/adapters/httpauth"
	"github.com/bearerkit/bearerkit/bench/paired"
	"github.com/bearerkit/bearerkit/bench/token"
	"github.com/bearerkit/bearerkit/middleware"
	"github.com/bearerkit/bearerkit/verify"
	"github.com/bearerkit/bearerkit/verify/jwks"
)

// serverKeys is the environment variable that makes this program the server,
// and says where the issuer's keys are.
const serverKeys = "BENCH_SERVER_KEYS"

// serves is the server of the loopback section, if this process was started as
// one: a handler with and without middleware, on one core. It ends when its
// standard input does.
func serves() bool {
	keys := os.Getenv(serverKeys)
	if keys == "" {
		return false
	}
	runtime.GOMAXPROCS(1)
	if err := serve(keys); err != nil {
		fmt.Fprintln(os.Stderr, "bench: server:", err)
		os.Exit(1)
	}
	return true
}

func serve(keys string) error {
	quiet := slog.New(slog.DiscardHandler)
	v, err := verify.New(verify.Config{Issuers: []verify.Issuer{{Issuer: token.IssuerURL, Audience: []string{token.Audience}, Keys: jwks.New(jwks.Config{URL: keys, InsecureHTTP: true, Logger: quiet})}}})
	if err != nil {
		return err
	}
	auth, err := middleware.New(v, middleware.Config{})
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") })
	mux := http.NewServeMux()
	mux.Handle("/bare", handler)
	mux.Handle("/guarded", httpauth.Require(auth)(handler))
	go func() { _ = http.Serve(l, mux) }() //nolint:gosec // nobody but the benchmark knows it
	fmt.Println(l.Addr())
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// connections are kept between client and server. There are always requests
// on some of them that wait for the server's core.
const connections = 32

func loopback(ctx context.Context, r *report) error {
	n := min(5000, r.many)
	return r.withTokens(ctx, "RS256", n, func(ctx context.Context, is *token.Issuer, tokens []token.Token) error {
		addr, stop, err := startServer(ctx, is.JWKSURL)
		if err != nil {
			return err
		}
		defer stop()
		c, err := dial(addr, connections)
		if err != nil {
			return err
		}
		defer c.close()
		batch := r.batch * len(c.conns)
		for _, tokens := range [][]token.Token{tokens[:1], tokens} {
			subject := func(path string) paired.Subject {
				requests := make([][]byte, len(tokens))
				for i, t := range tokens {
					requests[i] = fmt.Appendf(nil, "GET /%s HTTP/1.1\r\nHost: %s\r\nUser-Agent: bench\r\nAccept: */*\r\nAuthorization: Bearer %s\r\n\r\n", path, addr, t.Raw)
				}
				return paired.Subject{Name: path, Op: func(i int) error {
					return c.send(requests, i*batch, batch)
				}}
			}
			bare, guarded := subject("bare"), subject("guarded")
			for i := range len(tokens)/batch + 1 { // every token is seen once before
				if err := guarded.Op(i); err != nil {
					return err
				}
			}
			o := r.options
			o.Rounds = max(1, o.Rounds/2)
			results, err := paired.Run([]paired.Subject{bare, guarded}, o)
			if err != nil {
				return err
			}
			speed := inverse(results[1].Ratio)
			perSecond := func(s paired.Result) float64 { return float64(batch) / s.Nanoseconds.Median * 1e9 }
			fmt.Fprintf(r.w, "\n- %d tokens in turn: %s (%.0f and %.0f requests per second)", len(tokens), ratio(speed), perSecond(results[0]), perSecond(results[1]))
			r.goal(fmt.Sprintf("loopback HTTP on one core, %d tokens seen before, with to without the middleware", len(tokens)), "≥ 0.90", ratio(speed))
		}
		fmt.Fprintln(r.w)
		return nil
	})
}

// startServer starts this program as the server.
func startServer(ctx context.Context, keys string) (addr string, stop func(), err error) {
	self, err := os.Executable()
	if err != nil {
		return "", nil, err
	}
	cmd := exec.CommandContext(ctx, self)
	cmd.Env = append(os.Environ(), serverKeys+"="+keys)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return "", nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return "", nil, err
	}
	if err := cmd.Start(); err != nil {
		return "", nil, err
	}
	stop = func() { _ = in.Close(); _ = cmd.Wait() }
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		stop()
		return "", nil, fmt.Errorf("the server did not start: %w", err)
	}
	return strings.TrimSpace(line), stop, nil
}

// A client costs little beside what it asks: it sends requests that are ready
// and looks at no more than an answer's first line.
type client struct{ conns []*conn }

type conn struct {
	net.Conn
	answer []byte // room for one; all are of one length
}

func dial(addr string, n int) (*client, error) {
	c := &client{}
	for range n {
		nc, err := net.Dial("tcp", addr)
		if err != nil {
			c.close()
			return nil, err
		}
		c.conns = append(c.conns, &conn{Conn: nc})
	}
	return c, nil
}

func (c *client) close() {
	for _, conn := range c.conns {
		_ = conn.Close()
	}
}

// send sends n of the requests, from number first on, each on the connection
// that is free next: none stands idle before the others are done.
func (c *client) send(requests [][]byte, first, n int) error {
	var taken atomic.Int64
	errs := make(chan error, len(c.conns))
	for _, conn := range c.conns {
		go func() {
			for {
				i := int(taken.Add(1)) - 1
				if i >= n {
					errs <- nil
					return
				}
				if err := conn.do(requests[(first+i)%len(requests)]); err != nil {
					errs <- err
					return
				}
			}
		}()
	}
	var list []error
	for range c.conns {
		list = append(list, <-errs)
	}
	return errors.Join(list...)
}

func (c *conn) do(request []byte) error {
	if _, err := c.Write(request); err != nil {
		return err
	}
	if c.answer == nil {
		// The first answer comes in one piece, which shows its length.
		room := make([]byte, 4096)
		n, err := c.Read(room)
		if err != nil {
			return err
		}
		c.answer = room[:n:n]
	} else if _, err := io.ReadFull(c, c.answer); err != nil {
		return err
	}
	if !bytes.HasPrefix(c.answer, []byte("HTTP/1.1 200 ")) || !bytes.HasSuffix(c.answer, []byte("\r\n\r\nok")) {
		line, _, _ := bytes.Cut(c.answer, []byte("\r\n"))
		return fmt.Errorf("answer %q", line)
	}
	return nil
}
