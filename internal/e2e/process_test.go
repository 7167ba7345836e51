//go:build unix

package e2e_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"os/signal"
	"regexp"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"
)

// startTimeout bounds how long a program may take until it says that it is
// ready, and stopTimeout how long it may take to end when asked to.
const (
	startTimeout = 90 * time.Second
	stopTimeout  = 5 * time.Second
)

// TestMain makes sure that no program outlives the tests, not even tests that
// are interrupted.
func TestMain(m *testing.M) {
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-interrupted
		running.end()
		os.Exit(1)
	}()
	code := m.Run()
	running.end()
	os.Exit(code)
}

// groups are the process groups of the programs that run.
type groups struct {
	mu  sync.Mutex
	ids map[int]bool
}

var running = groups{ids: map[int]bool{}}

func (g *groups) start(cmd *exec.Cmd) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := cmd.Start(); err != nil {
		return err
	}
	g.ids[cmd.Process.Pid] = true
	return nil
}

func (g *groups) ended(id int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.ids, id)
}

// end kills all programs. It keeps the lock: none starts after it.
func (g *groups) end() {
	g.mu.Lock()
	for _, id := range slices.Collect(maps.Keys(g.ids)) {
		_ = syscall.Kill(-id, syscall.SIGKILL)
	}
}

// A program is one that runs beside the test.
type program struct {
	name   string
	cmd    *exec.Cmd
	output output
	done   chan struct{} // closed when it has ended
	err    error         // of Wait; to be read after done
}

// start runs a program in a process group of its own.
func start(t *testing.T, name string, cmd *exec.Cmd) *program {
	t.Helper()
	p := &program{name: name, cmd: cmd, done: make(chan struct{})}
	if cmd.Stdout == nil {
		cmd.Stdout = &p.output
	}
	cmd.Stderr = &p.output
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = stopTimeout // a grandchild may hold the pipes open
	if err := running.start(cmd); err != nil {
		t.Fatalf("%s does not start: %v", name, err)
	}
	go func() {
		p.err = cmd.Wait()
		running.ended(cmd.Process.Pid)
		close(p.done)
	}()
	t.Cleanup(p.kill)
	if deadline, ok := t.Deadline(); ok {
		// The panic of a test that takes too long cleans nothing up.
		timer := time.AfterFunc(time.Until(deadline)-time.Second, running.end)
		t.Cleanup(func() { timer.Stop() })
	}
	return p
}

// kill ends the program and all that it started.
func (p *program) kill() {
	select {
	case <-p.done:
	default:
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
		<-p.done
	}
}

// stop asks the program to end, and expects exit status 0.
func (p *program) stop() error {
	select {
	case <-p.done:
		return fmt.Errorf("%s ended by itself: %v", p.name, p.err)
	default:
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-p.done:
		if p.err != nil {
			return fmt.Errorf("%s does not end well after SIGTERM: %w", p.name, p.err)
		}
		return nil
	case <-time.After(stopTimeout):
		p.kill()
		return fmt.Errorf("%s does not end within %v of SIGTERM", p.name, stopTimeout)
	}
}

// line waits for a line of output that matches and returns its first group.
func (p *program) line(t *testing.T, re *regexp.Regexp) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	defer cancel()
	found, err := p.output.await(ctx, p.done, re)
	if err != nil {
		t.Fatalf("%s never says %q: %v\n%s", p.name, re, err, &p.output)
	}
	return found
}

// run runs a program to its end.
func run(t *testing.T, name string, limit time.Duration, cmd *exec.Cmd) error {
	t.Helper()
	p := start(t, name, cmd)
	select {
	case <-p.done:
		if p.err != nil {
			return fmt.Errorf("%s: %w\n%s", name, p.err, &p.output)
		}
		return nil
	case <-time.After(limit):
	case <-t.Context().Done():
	}
	p.kill()
	return fmt.Errorf("%s does not end within %v\n%s", name, limit, &p.output)
}

// output is what a program has written so far.
type output struct {
	mu      sync.Mutex
	text    bytes.Buffer
	changed chan struct{} // closed by the next Write
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.changed != nil {
		close(o.changed)
		o.changed = nil
	}
	return o.text.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// look returns the text and a channel that the next Write closes.
func (o *output) look() ([]byte, <-chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.changed == nil {
		o.changed = make(chan struct{})
	}
	return bytes.Clone(o.text.Bytes()), o.changed
}

func (o *output) await(ctx context.Context, done <-chan struct{}, re *regexp.Regexp) (string, error) {
	for {
		text, changed := o.look()
		whole := text[:bytes.LastIndexByte(text, '\n')+1] // no half line
		if m := re.FindSubmatch(whole); m != nil {
			return string(m[1]), nil
		}
		select {
		case <-changed:
		case <-done:
			if again, _ := o.look(); len(again) == len(text) {
				return "", errors.New("it has ended")
			}
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
}
