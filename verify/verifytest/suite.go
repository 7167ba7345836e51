package verifytest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/bearerkit/bearerkit/verify"
)

// A rule is one sentence of an interface's contract, and how to see whether an
// implementation keeps it.
type rule[T any] struct {
	text  string
	check func(s *Server, part T) error
}

// suiteTimeout is how long one rule may take. A call that must return at once, or
// with its context, gets promptly.
const (
	suiteTimeout = 20 * time.Second
	promptly     = 2 * time.Second
)

// test checks each rule with a server and a part of its own. Its error joins the
// rules that are broken.
func test[T any](name string, rules []rule[T], newPart func(*Server) T) error {
	var broken []error
	for _, r := range rules {
		err := returns(suiteTimeout, func() error {
			s := NewServer()
			defer s.Close()
			part := newPart(s)
			if c, ok := any(part).(io.Closer); ok {
				defer c.Close()
			}
			return r.check(s, part)
		})
		if err != nil {
			broken = append(broken, fmt.Errorf("verifytest: %s: %s: %w", name, r.text, err))
		}
	}
	return errors.Join(broken...)
}

// returns calls f, and reports it if f panics or does not return in time.
func returns(within time.Duration, f func() error) error {
	done := make(chan error, 1)
	go func() {
		defer func() {
			if p := recover(); p != nil {
				done <- fmt.Errorf("it panicked: %v", p)
			}
		}()
		done <- f()
	}()
	t := time.NewTimer(within)
	defer t.Stop()
	select {
	case err := <-done:
		return err
	case <-t.C:
		return fmt.Errorf("it did not return within %v", within)
	}
}

// failAll gives all endpoints a fault.
func (s *Server) failAll(f Fault) {
	for _, e := range Endpoints() {
		s.Fail(e, f)
	}
}

// total returns how many requests all endpoints have received.
func (s *Server) total() int {
	n := 0
	for _, e := range Endpoints() {
		n += s.Requests(e)
	}
	return n
}

// otherIssuer is an issuer that http URLs of this machine may belong to.
const otherIssuer = "http://127.0.0.1:9/other"

// TestKeySource tests an implementation of [verify.KeySource] against the contract
// of the interface. The function is called several times, each time with another
// server, and returns a new source of that server's keys which is not bound. The
// error joins what is wrong, with the rule that was broken; it is nil if nothing
// is. The optional methods of a key source are tested if the source has them. A
// source whose keys never change, such as jwks.Static, can return those of
// [Server.Keys].
//
//	func TestMySource(t *testing.T) {
//		err := verifytest.TestKeySource(func(s *verifytest.Server) verify.KeySource {
//			return mysource.New(s.JWKSURL())
//		})
//		if err != nil {
//			t.Error(err)
//		}
//	}
func TestKeySource(newSource func(*Server) verify.KeySource) error {
	return test("KeySource", keySourceRules, newSource)
}

var keySourceRules = []rule[verify.KeySource]{
	{"Bind accepts an issuer, the same one again, and no other (RFC 8725 section 3.8)", func(s *Server, k verify.KeySource) error {
		for range 2 {
			if err := k.Bind(s.Issuer()); err != nil {
				return err
			}
		}
		if k.Bind(otherIssuer) == nil {
			return errors.New("it was bound to two issuers")
		}
		return nil
	}},
	{"Bind and Check start nothing", func(s *Server, k verify.KeySource) error {
		_ = check(k, s.Issuer())
		if err := k.Bind(s.Issuer()); err != nil {
			return err
		}
		if n := s.total(); n > 0 {
			return fmt.Errorf("the issuer received %d requests", n)
		}
		return nil
	}},
	{"Check returns the faults that Bind would, and changes nothing", func(s *Server, k verify.KeySource) error {
		if _, ok := k.(checker); !ok {
			return nil
		}
		for _, issuer := range []string{otherIssuer, s.Issuer()} {
			if err := check(k, issuer); err != nil {
				return err
			}
		}
		if err := k.Bind(s.Issuer()); err != nil {
			return err
		}
		if check(k, otherIssuer) == nil {
			return errors.New("no fault found by Check in a second issuer")
		}
		return check(k, s.Issuer())
	}},
	{"Unbind undoes one call of Bind", func(s *Server, k verify.KeySource) error {
		u, ok := k.(unbinder)
		if !ok {
			return nil
		}
		if err := errors.Join(k.Bind(s.Issuer()), k.Bind(s.Issuer())); err != nil {
			return err
		}
		if u.Unbind(); k.Bind(otherIssuer) == nil {
			return errors.New("one Unbind undid two calls of Bind")
		}
		u.Unbind()
		return k.Bind(otherIssuer)
	}},
	{"KeySet does not wait for the issuer, not even the first time", func(s *Server, k verify.KeySource) error {
		s.failAll(Hang())
		if err := k.Bind(s.Issuer()); err != nil {
			return err
		}
		return returns(promptly, func() error { return eitherOr(k.KeySet()) })
	}},
	{"Refresh returns the keys of an issuer that answers, and KeySet has them afterwards", func(s *Server, k verify.KeySource) error {
		return fetched(s, k)
	}},
	{"Refresh returns the newest set although it does not satisfy the demand", func(s *Server, k verify.KeySource) error {
		if err := fetched(s, k); err != nil {
			return err
		}
		for _, satisfied := range []func(*verify.KeySet) bool{nil, func(*verify.KeySet) bool { return false }} {
			if set, err := k.Refresh(context.Background(), verify.Demand{Satisfied: satisfied}); err != nil {
				return err
			} else if !hasKey(s)(set) {
				return errors.New("the set does not have the issuer's key")
			}
		}
		return nil
	}},
	{"Refresh returns when its context ends", func(s *Server, k verify.KeySource) error {
		s.failAll(Hang())
		if err := k.Bind(s.Issuer()); err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		defer cancel()
		return returns(promptly, func() error { return eitherOr(k.Refresh(ctx, verify.Demand{Satisfied: hasKey(s)})) })
	}},
	{"a good set stays in use when the issuer fails", func(s *Server, k verify.KeySource) error {
		if err := fetched(s, k); err != nil {
			return err
		}
		for _, f := range []Fault{Status(500), Body("application/json", `{}`), Body("application/json", `{"keys":[]}`)} {
			s.failAll(f)
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			_, _ = k.Refresh(ctx, verify.Demand{}) // may fail
			cancel()
			if set, err := k.KeySet(); err != nil {
				return err
			} else if !hasKey(s)(set) {
				return errors.New("the set no longer has the issuer's key")
			}
		}
		return nil
	}},
	{"all methods are safe for concurrent use", func(s *Server, k verify.KeySource) error {
		if err := k.Bind(s.Issuer()); err != nil {
			return err
		}
		return concurrently(func() error {
			if err := eitherOr(k.KeySet()); err != nil {
				return err
			}
			if set, err := k.Refresh(context.Background(), verify.Demand{Satisfied: hasKey(s)}); err != nil {
				return err
			} else if !hasKey(s)(set) {
				return errors.New("the set does not have the issuer's key")
			}
			return nil
		})
	}},
	{"Close ends the source: from then on there is an error, at once", func(s *Server, k verify.KeySource) error {
		c, ok := k.(io.Closer)
		if !ok {
			return nil
		}
		if err := fetched(s, k); err != nil {
			return err
		}
		if err := errors.Join(c.Close(), c.Close()); err != nil {
			return err
		}
		return returns(promptly, func() error {
			if _, err := k.KeySet(); err == nil {
				return errors.New("KeySet has no error")
			}
			if _, err := k.Refresh(context.Background(), verify.Demand{}); err == nil {
				return errors.New("Refresh has no error")
			}
			return nil
		})
	}},
}

type (
	checker  interface{ Check(issuer string) error }
	unbinder interface{ Unbind() }
)

func check(part any, issuer string) error {
	if c, ok := part.(checker); ok {
		return c.Check(issuer)
	}
	return nil
}

func hasKey(s *Server) func(*verify.KeySet) bool {
	id := s.Key().ID
	return func(set *verify.KeySet) bool { return set != nil && slices.Contains(set.IDs(), id) }
}

// eitherOr reports a result that is neither a key set nor an error, or both.
func eitherOr(set *verify.KeySet, err error) error {
	if (set == nil) == (err == nil) {
		return fmt.Errorf("it returned the set %v and the error %v: one of them must be nil", set, err)
	}
	return nil
}

// fetched binds a source and has it fetch the server's keys.
func fetched(s *Server, k verify.KeySource) error {
	if err := k.Bind(s.Issuer()); err != nil {
		return err
	}
	set, err := k.Refresh(context.Background(), verify.Demand{Satisfied: hasKey(s)})
	if err == nil {
		err = eitherOr(set, err)
	}
	if err != nil {
		return fmt.Errorf("the first Refresh: %w", err)
	}
	again, err := k.KeySet()
	switch {
	case err != nil:
		return fmt.Errorf("KeySet after Refresh: %w", err)
	case !hasKey(s)(set) || !hasKey(s)(again):
		return errors.New("the issuer's key is missing")
	}
	return nil
}

// concurrently runs f several times at once.
func concurrently(f func() error) error {
	errs := make([]error, 8)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() { errs[i] = returns(suiteTimeout, f) })
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
