package verify_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/bearerkit/bearerkit/verify"
)

// An answer that leaves out what is required refuses with words that say so, and
// the log says which setting would do without it.
func TestAnswerThatLacksAMember(t *testing.T) {
	standIn := func(c *verify.Config) {
		*c = verify.Config{Now: c.Now, Issuers: []verify.Issuer{{
			Issuer: c.Issuer, Audience: []string{"client-1"}, AudienceClaim: "client_id", Keys: c.Keys, Introspection: c.Introspection,
		}}}
	}
	for _, tc := range []struct {
		name, answer, part, setting string
		edit                        func(*verify.Config)
	}{
		{"no aud", answer("aud", ""), "aud", "Introspection.InsecureNoAudience", nil},
		{"an empty aud", answer("aud", "[]"), "aud", "Introspection.InsecureNoAudience", nil},
		{"no sub", answer("sub", ""), "sub", "Issuer.AllowNoSubject", nil},
		{"neither", answer("sub", "", "aud", ""), "sub", "Issuer.AllowNoSubject", nil},
		{"no stand-in for aud", answer("aud", "", "client_id", ""), "client_id", "Issuer.AudienceClaim", standIn},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := &asker{claims: tc.answer}
			v, _ := asking(t, a, tc.edit)
			e := refuse(t, v, opaqueToken, verify.ErrClaim)
			if e.Part != tc.part || e.Description() != "the introspection answer lacks a member that is required ("+tc.part+")" {
				t.Errorf("part %q: %s", e.Part, e.Description())
			}
			if !strings.Contains(e.Error(), tc.setting) || strings.Contains(e.Description(), tc.setting) {
				t.Errorf("%v", e)
			}
			if tc.edit != nil {
				return
			}
			e = refuse(t, unkeyed(t, a, tc.edit), es256.good(), verify.ErrUnavailable)
			if !strings.Contains(e.Error(), tc.setting) || errors.Is(e, verify.ErrClaim) {
				t.Errorf("without keys: %v", e)
			}
		})
	}
}

// An introspector returns one answer to two verifiers: each judges it by its own
// configuration.
func TestAnswerThatTwoVerifiersShare(t *testing.T) {
	a := &verify.Answer{Active: true, Claims: answer(), At: testNow}
	s := &server{says: func(*verify.Query) (*verify.Answer, error) { return a, nil }}
	edit := func(audience string) func(*verify.Config) {
		return func(c *verify.Config) {
			c.Introspection = &verify.Introspection{Introspector: s}
			c.Audience = []string{audience}
		}
	}
	mine, _ := build(t, edit(testAudience))
	other, _ := build(t, edit("https://other.example"))
	for range 2 {
		accept(t, mine, opaqueToken)
		refuse(t, other, opaqueToken, verify.ErrAudience)
	}
	accept(t, mine, opaqueToken)
}

// An introspector that breaks its promises opens nothing, logs nobody out, and is
// asked again.
func TestIntrospectorThatIsBroken(t *testing.T) {
	for name, says := range map[string]func(*verify.Query) (*verify.Answer, error){
		"nothing":               func(*verify.Query) (*verify.Answer, error) { return nil, nil },
		"active without claims": func(*verify.Query) (*verify.Answer, error) { return &verify.Answer{Active: true, At: testNow}, nil },
		"claims cut": func(*verify.Query) (*verify.Answer, error) {
			return &verify.Answer{Active: true, Claims: `{"sub":`}, nil
		},
		"duplicate claims": func(*verify.Query) (*verify.Answer, error) {
			return &verify.Answer{Active: true, Claims: `{"sub":"user-1","sub":"user-2"}`}, nil
		},
		"an array": func(*verify.Query) (*verify.Answer, error) { return &verify.Answer{Active: true, Claims: `[]`}, nil },
		"an error beside an answer": func(*verify.Query) (*verify.Answer, error) {
			return &verify.Answer{Active: true, Claims: answer(), At: time.Now()}, errors.New("and an error")
		},
		"an error that is another refusal": func(*verify.Query) (*verify.Answer, error) {
			return nil, verify.ErrExpired
		},
	} {
		t.Run(name, func(t *testing.T) {
			v, _, s := askingServer(t, func(c *verify.Config) { c.Introspection.Always = true })
			s.set(says)
			for _, token := range []string{es256.good(), opaqueToken} {
				for _, check := range []func(context.Context, string) (*verify.Token, error){v.Verify, v.VerifyFresh} {
					if got, err := check(t.Context(), token); got != nil || !errors.Is(err, verify.ErrUnavailable) {
						t.Errorf("%+v, %v", got, err)
					}
				}
			}
			s.set(now(true))
			s.questions()
			accept(t, v, es256.good())
			if n := s.questions(); n != 1 {
				t.Errorf("%d questions", n)
			}
		})
	}
}
