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
		c.Issuers[0].Audience, c.Issuers[0].AudienceClaim = []string{"client-1"}, "client_id"
	}
	byUsername := func(c *verify.Config) {
		c.Issuers[0].SubjectClaim = "username"
	}
	for _, tc := range []struct {
		name, answer, part, setting string
		edit                        func(*verify.Config)
	}{
		{"no aud", answer("aud", ""), "aud", "Introspection.InsecureNoAudience", nil},
		{"an empty aud", answer("aud", "[]"), "aud", "Introspection.InsecureNoAudience", nil},
		{"no sub", answer("sub", ""), "sub", "Issuer.AllowNoSubject", nil},
		{"a username in place of sub", answer("sub", "", "username", `"jane"`), "sub", `Issuer.SubjectClaim can name another member, Issuer.AllowNoSubject accepts that; the answer has a "username"`, nil},
		{"no subject by its claim", answer(), "username", "Issuer.SubjectClaim", byUsername},
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
			if tc.edit != nil { // the JWT below would fail on its own
				return
			}
			e = refuse(t, unkeyed(t, a, tc.edit), es256.good(), verify.ErrUnavailable)
			if !strings.Contains(e.Error(), tc.setting) || errors.Is(e, verify.ErrClaim) {
				t.Errorf("without keys: %v", e)
			}
		})
	}
}

// An introspector returns one answer to two verifiers: each checks it by its own
// configuration.
func TestAnswerThatTwoVerifiersShare(t *testing.T) {
	a := &verify.Answer{Active: true, Claims: answer(), At: testNow}
	s := &server{says: func(*verify.Query) (*verify.Answer, error) { return a, nil }}
	edit := func(audience string) func(*verify.Config) {
		return func(c *verify.Config) {
			c.Issuers[0].Introspection = &verify.Introspection{Introspector: s}
			c.Issuers[0].Audience = []string{audience}
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
		"a panic":       func(*verify.Query) (*verify.Answer, error) { panic("oh") },
		"a nil pointer": func(*verify.Query) (*verify.Answer, error) { var a *verify.Answer; a.Active = true; return a, nil },
		"an error that is another refusal": func(*verify.Query) (*verify.Answer, error) {
			return nil, verify.ErrExpired
		},
	} {
		t.Run(name, func(t *testing.T) {
			v, _, s := askingServer(t, func(c *verify.Config) { c.Issuers[0].Introspection.Always = true })
			s.set(says)
			for _, token := range []string{es256.good(), opaqueToken} {
				for _, check := range []func(context.Context, string) (*verify.Token, error){v.Verify, verifyFresh(v)} {
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

// What is wrong with a member of an answer is not said of a claim of the token.
func TestAnswerWithABadMember(t *testing.T) {
	for edit, says := range map[[2]string]string{
		{"sub", `5`}:           "a member of the introspection answer has the wrong type or form (sub)",
		{"exp", `"soon"`}:      "a member of the introspection answer has the wrong type or form (exp)",
		{"aud", `{}`}:          "a member of the introspection answer has the wrong type or form (aud)",
		{"iss", `null`}:        "a member of the introspection answer is null (iss)",
		{"cnf", `null`}:        "a member of the introspection answer is null (cnf)",
		{"scope", `"a  b"`}:    "a member of the introspection answer has the wrong type or form (scope)",
		{"client_id", `["x"]`}: "a member of the introspection answer has the wrong type or form (client_id)",
	} {
		v, _ := asking(t, &asker{claims: answer(edit[0], edit[1])}, func(c *verify.Config) { c.Issuers[0].Introspection.Always = true })
		for _, token := range []string{opaqueToken, es256.good()} {
			if e := refuse(t, v, token, verify.ErrClaim); e.Description() != says {
				t.Errorf("%v: %s", edit, e.Description())
			}
		}
	}
}

// A member that the configuration names says who the subject is.
func TestSubjectOfAnAnswer(t *testing.T) {
	a := &asker{claims: answer("sub", "", "username", `"jane"`)}
	v, _ := asking(t, a, func(c *verify.Config) {
		c.Issuers[0].SubjectClaim = "username"
	})
	if got := accept(t, v, opaqueToken); got.Subject != "jane" {
		t.Errorf("subject %q", got.Subject)
	}
}
