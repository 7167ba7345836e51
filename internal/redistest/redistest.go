//go:build unix

package redistest

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A Server is a Redis that a test can stop, freeze and start again.
type Server struct {
	// Addr is the address that it listens on, host and port.
	Addr string
	// Socket is the path of the Unix socket that it listens on.
	Socket string

	t    testing.TB
	dir  string
	args []string
	cmd  *exec.Cmd
	done chan struct{}
}

// Start starts a Redis with additional arguments, "--sentinel" for one that
// watches others, and ends it with the test.
// Without a redis-server the test is skipped, or fails if BEARERKIT_REDIS is
// "required".
func Start(t testing.TB, args ...string) *Server {
	t.Helper()
	s := New(t, args...)
	s.Start()
	return s
}

// New is as Start, but the Redis does not run yet.
func New(t testing.TB, args ...string) *Server {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		const missing = "there is no redis-server: apt-get install redis-server"
		if os.Getenv("BEARERKIT_REDIS") == "required" {
			t.Fatal(missing)
		}
		t.Skip(missing)
	}
	dir, err := os.MkdirTemp("", "redis") // a short path: sockets have no long ones
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{t: t, dir: dir, args: args, Addr: "127.0.0.1:" + FreePort(t), Socket: filepath.Join(dir, "s")}
	t.Cleanup(func() {
		s.Kill()
		os.RemoveAll(dir)
	})
	return s
}

// URL returns the redis:// URL of the server.
func (s *Server) URL() string { return "redis://" + s.Addr }

// Start starts the server, at the same address as before, and waits until it
// answers.
func (s *Server) Start() {
	s.t.Helper()
	_, port, _ := net.SplitHostPort(s.Addr)
	// A sentinel wants a file to write into.
	conf := filepath.Join(s.dir, "conf")
	if err := os.WriteFile(conf, nil, 0o600); err != nil {
		s.t.Fatal(err)
	}
	s.cmd = exec.Command("redis-server", append([]string{conf, "--port", port, "--bind", "127.0.0.1", "--unixsocket", s.Socket,
		"--dir", s.dir, "--save", "", "--appendonly", "no", "--daemonize", "no"}, s.args...)...)
	out, err := os.Create(filepath.Join(s.dir, "log"))
	if err != nil {
		s.t.Fatal(err)
	}
	defer out.Close()
	s.cmd.Stdout, s.cmd.Stderr = out, out
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	cmd, done := s.cmd, make(chan struct{})
	s.done = done
	go func() { _ = cmd.Wait(); close(done) }()
	for end := time.Now().Add(60 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if c, err := net.Dial("tcp", s.Addr); err == nil {
			c.Close()
			return
		}
		select {
		case <-done:
			end = time.Time{}
		default:
		}
		if time.Now().After(end) {
			text, _ := os.ReadFile(filepath.Join(s.dir, "log"))
			s.t.Fatalf("redis-server does not start: %s", text)
		}
	}
}

// Kill ends the server at once, if it runs.
func (s *Server) Kill() {
	if s.cmd == nil || s.cmd.Process == nil {
		return
	}
	_ = s.cmd.Process.Kill()
	<-s.done
	s.cmd = nil
}

// Freeze makes the server hang: it keeps its connections and takes new ones, but
// answers nothing until Thaw.
func (s *Server) Freeze() { s.signal(syscall.SIGSTOP) }

// Thaw ends Freeze.
func (s *Server) Thaw() { s.signal(syscall.SIGCONT) }

func (s *Server) signal(sig os.Signal) {
	s.t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		s.t.Fatal(err)
	}
}

// Do sends a command and returns its reply: the text of a bulk string, the line of
// another reply ("+OK", ":1", "-ERR …"), and those of an array with blanks between.
// A server that ends the connection, as one does that changes its master, is asked
// again.
func (s *Server) Do(args ...string) string {
	s.t.Helper()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		reply, err := s.do(end, args)
		if err == nil {
			return reply
		}
		if time.Now().After(end) {
			s.t.Fatalf("no reply to %s: %v", args[0], err)
		}
	}
}

func (s *Server) do(end time.Time, args []string) (string, error) {
	c, err := net.Dial("tcp", s.Addr)
	if err != nil {
		return "", err
	}
	defer c.Close()
	_ = c.SetDeadline(end)
	text := fmt.Sprintf("*%d\r\n", len(args))
	for _, a := range args {
		text += "$" + strconv.Itoa(len(a)) + "\r\n" + a + "\r\n"
	}
	if _, err := io.WriteString(c, text); err != nil {
		return "", err
	}
	return read(bufio.NewReader(c))
}

func read(r *bufio.Reader) (string, error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return "", err
	}
	line = strings.TrimRight(line, "\r\n")
	n, _ := strconv.Atoi(line[min(1, len(line)):])
	switch {
	case strings.HasPrefix(line, "$") && n >= 0:
		text := make([]byte, n+2)
		_, err := io.ReadFull(r, text)
		return string(text[:n]), err
	case strings.HasPrefix(line, "*"):
		var list []string
		for range n {
			one, err := read(r)
			if err != nil {
				return "", err
			}
			list = append(list, one)
		}
		return strings.Join(list, " "), nil
	}
	return line, nil
}

// FreePort returns a port that nobody listens on.
func FreePort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}
