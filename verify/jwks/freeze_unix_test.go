//go:build unix

package jwks_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/bearerkit/bearerkit/verify"
	"github.com/bearerkit/bearerkit/verify/jwks"
)

func init() { beChild = child }

// child serves requests from its standard input: "N kid" is N concurrent requests that
// need a key. It prints how many got it.
func child() {
	s := jwks.New(jwks.Config{URL: os.Getenv(childURL), Timeout: 500 * time.Millisecond, MaxStale: 2 * time.Second, Logger: quiet()})
	if err := s.Bind("http://127.0.0.1"); err != nil {
		panic(err)
	}
	_, _ = s.KeySet()
	fmt.Println("started")
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		var n, got int
		var kid string
		if _, err := fmt.Sscan(in.Text(), &n, &kid); err != nil {
			panic(err)
		}
		var mu sync.Mutex
		var wg sync.WaitGroup
		var last error
		for range n {
			wg.Go(func() {
				set, err := s.KeySet()
				if err != nil || !has(kid)(set) {
					set, err = s.Refresh(context.Background(), verify.Demand{Satisfied: has(kid)})
				}
				mu.Lock()
				defer mu.Unlock()
				if last = err; err == nil && has(kid)(set) {
					got++
				}
			})
		}
		wg.Wait()
		fmt.Println(got, last)
	}
}

// A process is a child of this test.
type process struct {
	t   *testing.T
	cmd *exec.Cmd
	in  io.Writer
	out *bufio.Scanner
}

func startChild(t *testing.T, url string) *process {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, cmd: exec.Command(exe)}
	p.cmd.Env = append(os.Environ(), childURL+"="+url)
	p.cmd.Stderr = os.Stderr
	p.in, _ = p.cmd.StdinPipe()
	out, _ := p.cmd.StdoutPipe()
	p.out = bufio.NewScanner(out)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
	})
	if got := p.read(); got != "started" {
		t.Fatal(got)
	}
	return p
}

func (p *process) ask(n int, kid string) { fmt.Fprintln(p.in, n, kid) }

func (p *process) read() string {
	p.t.Helper()
	if !p.out.Scan() {
		p.t.Fatal("the child has ended")
	}
	return p.out.Text()
}

func (p *process) signal(s os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// A process gets no processor time between requests (Lambda, Cloud Run). Requests for
// which a fetch is overdue wait for it, even if earlier fetches failed.
func TestFrozenProcess(t *testing.T) {
	t.Parallel()
	good := serving(document(newKey("a")), "Cache-Control", "max-age=1")
	for name, tc := range map[string]struct {
		before http.HandlerFunc
		first  string // what a request before the freeze gets
	}{
		"after a good start":          {good, "1 <nil>"},
		"after a failure":             {status(500), "0 "},
		"after a call that timed out": {hanging, "0 "},
		"in the middle of a call":     {hanging, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var handler atomic.Value
			handler.Store(tc.before)
			asked := make(chan bool, 100)
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				asked <- true
				handler.Load().(http.HandlerFunc)(w, r)
			}))
			defer server.Close()
			p := startChild(t, server.URL)
			<-asked
			if tc.first != "" {
				p.ask(1, "a")
				if got := p.read(); !strings.HasPrefix(got, tc.first) {
					t.Fatal(got)
				}
			}
			p.signal(syscall.SIGSTOP)
			handler.Store(http.HandlerFunc(serving(document(newKey("a")), "Cache-Control", "max-age=1")))
			time.Sleep(3 * time.Second) // longer than MaxStale, the pause after a failure, and a timer's delay
			p.ask(20, "a")
			p.signal(syscall.SIGCONT)
			if got := p.read(); got != "20 <nil>" {
				t.Error(got)
			}
		})
	}
}
