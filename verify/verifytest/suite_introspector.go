package verifytest

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/bearerkit/bearerkit/verify"
)

// TestIntrospector tests an implementation of [verify.Introspector] against the
// contract of the interface, as [TestKeySource] does for key sources. The function
// returns a new introspector for the server's endpoint, which authenticates with
// [ClientID] and [ClientSecret]. Answers may be remembered.
func TestIntrospector(newIntrospector func(*Server) verify.Introspector) error {
	return test("Introspector", introspectorRules, newIntrospector)
}

var introspectorRules = []rule[verify.Introspector]{
	{"Bind accepts one issuer, once", func(s *Server, in verify.Introspector) error {
		if err := in.Bind(s.Issuer(), notSigned); err != nil {
			return err
		}
		if in.Bind(s.Issuer(), notSigned) == nil || in.Bind(otherIssuer, notSigned) == nil {
			return errors.New("it was bound twice")
		}
		return nil
	}},
	{"Bind and Check start nothing", func(s *Server, in verify.Introspector) error {
		_ = check(in, s.Issuer())
		if err := in.Bind(s.Issuer(), notSigned); err != nil {
			return err
		}
		if n := s.total(); n > 0 {
			return fmt.Errorf("the server received %d requests", n)
		}
		return nil
	}},
	{"Check returns the faults that Bind would, and changes nothing", func(s *Server, in verify.Introspector) error {
		if _, ok := in.(checker); !ok {
			return nil
		}
		if err := check(in, s.Issuer()); err != nil {
			return err
		}
		if err := in.Bind(s.Issuer(), notSigned); err != nil {
			return err
		}
		if check(in, s.Issuer()) == nil {
			return errors.New("no fault found by Check in a second Bind")
		}
		return nil
	}},
	{"Unbind undoes Bind", func(s *Server, in verify.Introspector) error {
		u, ok := in.(unbinder)
		if !ok {
			return nil
		}
		if err := in.Bind(otherIssuer, notSigned); err != nil {
			return err
		}
		u.Unbind()
		return answers(s, in)
	}},
	{"an answer says whether the token is active, and has the claims and the time of the question", answers},
	{"answers about different tokens are not mixed up", func(s *Server, in verify.Introspector) error {
		if err := in.Bind(s.Issuer(), notSigned); err != nil {
			return err
		}
		tokens := map[string]string{}
		for _, subject := range []string{"a", "b", "c"} {
			tokens[subject] = s.OpaqueToken(Claims{"sub": subject})
		}
		return concurrently(func() error {
			for subject, token := range tokens {
				a, err := in.Introspect(context.Background(), query(token))
				switch {
				case err != nil:
					return err
				case !a.Active || !strings.Contains(a.Claims, `"sub":"`+subject+`"`):
					return fmt.Errorf("the answer about the token of %q is %q", subject, a.Claims)
				}
			}
			return nil
		})
	}},
	{"a Fresh query asks the server, whatever it has said before", func(s *Server, in verify.Introspector) error {
		if err := answers(s, in); err != nil {
			return err
		}
		token := s.OpaqueToken(nil)
		if a, err := in.Introspect(context.Background(), query(token)); err != nil || !a.Active {
			return fmt.Errorf("about an active token it returned %v and %v", a, err)
		}
		s.Revoke(token)
		q := query(token)
		q.Fresh = true
		switch a, err := in.Introspect(context.Background(), q); {
		case err != nil:
			return err
		case a.Active:
			return errors.New("a token that was revoked is active")
		}
		return nil
	}},
	{"a CacheOnly query does not ask the server; without an answer it returns nil and no error", func(s *Server, in verify.Introspector) error {
		if err := in.Bind(s.Issuer(), notSigned); err != nil {
			return err
		}
		q := query(s.OpaqueToken(nil))
		q.CacheOnly = true
		before := s.Requests(Introspection)
		a, err := in.Introspect(context.Background(), q)
		switch {
		case a != nil || err != nil:
			return fmt.Errorf("about an unknown token it returned %v and %v", a, err)
		case s.Requests(Introspection) != before:
			return errors.New("it asked the server")
		}
		return nil
	}},
	{"a failing server gives an error, and never an answer that a token is inactive", func(s *Server, in verify.Introspector) error {
		if err := answers(s, in); err != nil {
			return err
		}
		for _, f := range []struct {
			what  string
			fault Fault
		}{
			{"status 500", Status(500)},
			{"status 401", Status(401)},
			{"status 400", Status(400)},
			{"text", Body("text/plain", "ok")},
			{"an object without active", Body("application/json", `{}`)},
			{"active as a string", Body("application/json", `{"active":"true"}`)},
			{"a response that breaks off", Cut()},
		} {
			s.Fail(Introspection, f.fault)
			token := s.OpaqueToken(nil)
			a, err := in.Introspect(context.Background(), query(token))
			switch {
			case err == nil:
				return fmt.Errorf("%s: it returned %+v and no error", f.what, a)
			case strings.Contains(err.Error(), token):
				return fmt.Errorf("%s: the error contains the token", f.what)
			}
		}
		return nil
	}},
	{"Introspect returns when its context ends", func(s *Server, in verify.Introspector) error {
		s.failAll(Hang())
		if err := in.Bind(s.Issuer(), notSigned); err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		defer cancel()
		return returns(promptly, func() error {
			if a, err := in.Introspect(ctx, query(s.OpaqueToken(nil))); err == nil {
				return fmt.Errorf("it returned %v and no error", a)
			}
			return nil
		})
	}},
	{"Close ends the introspector: from then on there is an error, at once", func(s *Server, in verify.Introspector) error {
		c, ok := in.(io.Closer)
		if !ok {
			return nil
		}
		if err := answers(s, in); err != nil {
			return err
		}
		if err := errors.Join(c.Close(), c.Close()); err != nil {
			return err
		}
		return returns(promptly, func() error {
			if _, err := in.Introspect(context.Background(), query(s.OpaqueToken(nil))); err == nil {
				return errors.New("no error from Introspect")
			}
			return nil
		})
	}},
}

// notSigned is the opener for servers whose answers are not signed.
var notSigned verify.Opener = unsigned{}

type unsigned struct{}

func (unsigned) Open(context.Context, string, string, verify.Kind) (string, error) {
	return "", errors.New("the answer is not signed")
}

func (unsigned) Audience(string) []string { return nil }
func (unsigned) Algorithms() []string     { return nil }
func (unsigned) Leeway() time.Duration    { return 0 }
func (unsigned) Now() time.Time           { return time.Now() }

func query(token string) *verify.Query {
	return &verify.Query{Token: token, Digest: sha256.Sum256([]byte(token))}
}

// answers binds the introspector and asks about an active and an inactive token.
func answers(s *Server, in verify.Introspector) error {
	if err := in.Bind(s.Issuer(), notSigned); err != nil {
		return err
	}
	begun := time.Now()
	a, err := in.Introspect(context.Background(), query(s.OpaqueToken(Claims{"sub": "somebody"})))
	switch {
	case err != nil:
		return err
	case !a.Active || !strings.Contains(a.Claims, `"sub":"somebody"`):
		return fmt.Errorf("about an active token it returned active: %v, claims %q", a.Active, a.Claims)
	case a.At.Before(begun) || a.At.After(time.Now()):
		return fmt.Errorf("the answer has the time %v, which is not when the server was asked", a.At)
	}
	switch a, err = in.Introspect(context.Background(), query("not-a-token-of-the-server")); {
	case err != nil:
		return err
	case a.Active:
		return errors.New("a token that the server does not know is active")
	}
	return nil
}
