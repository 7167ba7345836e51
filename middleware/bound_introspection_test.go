package middleware_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/bearerkit/bearerkit/middleware"
	"github.com/bearerkit/bearerkit/verify"
	"github.com/bearerkit/bearerkit/verify/dpop"
	"github.com/bearerkit/bearerkit/verify/verifytest"
)

// saying is an introspector whose answer is always the same claims.
type saying map[string]any

func (saying) Bind(string, verify.Opener) error { return nil }

func (s saying) Introspect(context.Context, *verify.Query) (*verify.Answer, error) {
	text, err := json.Marshal(s)
	return &verify.Answer{Active: true, Claims: string(text), At: time.Now()}, err
}

// TestBoundTokensAndIntrospection: what an answer leaves out does not unbind a token,
// and what it says binds one, whether the token is a JWT, and whether the guard asks
// for a fresh answer.
func TestBoundTokensAndIntrospection(t *testing.T) {
	type members = map[string]any
	key, other := verifytest.NewKey("ES256"), verifytest.NewKey("ES256")
	jkt, _ := dpop.Thumbprint(key.Public())
	otherJKT, _ := dpop.Thumbprint(other.Public())
	mine, others := members{"jkt": jkt}, members{"jkt": otherJKT}
	const refused = "401"
	for name, c := range map[string]struct {
		token, answer any    // "cnf"; nil: left out
		tokenType     string // of the answer
		jwt           bool
		dpop, bearer  string // the status by scheme, with a good proof
	}{
		"a JWT alone":                        {mine, nil, "", true, "200", refused},
		"a JWT, an answer":                   {mine, mine, "DPoP", true, "200", refused},
		"an answer alone":                    {nil, mine, "DPoP", true, "200", refused},
		"two keys":                           {mine, others, "DPoP", true, refused, refused},
		"another key":                        {others, nil, "", true, refused, refused},
		"an answer that is null":             {mine, json.RawMessage("null"), "", true, refused, refused},
		"neither":                            {nil, nil, "Bearer", true, refused, "200"},
		"DPoP without a key":                 {nil, nil, "DPoP", true, refused, refused},
		"Bearer with a key":                  {nil, mine, "Bearer", true, "200", refused},
		"opaque":                             {nil, mine, "DPoP", false, "200", refused},
		"opaque, no type":                    {nil, mine, "", false, "200", refused},
		"opaque, another key":                {nil, others, "DPoP", false, refused, refused},
		"opaque, not bound":                  {nil, nil, "Bearer", false, refused, "200"},
		"opaque, bound by an unknown method": {nil, members{"kid": "a"}, "", false, refused, refused},
	} {
		for _, always := range []bool{true, false} {
			issuer := verifytest.NewInMemory("https://issuer.example")
			defer issuer.Close()
			s := &boundService{issuer: issuer, key: key, jkt: jkt}
			answer := saying{"active": true, "iss": issuer.Issuer(), "aud": issuer.Audience(), "exp": time.Now().Add(time.Hour).Unix()}
			if !c.jwt {
				answer["sub"] = "jane"
			}
			if c.answer != nil {
				answer["cnf"] = c.answer
			}
			if c.tokenType != "" {
				answer["token_type"] = c.tokenType
			}
			s.auth = staticAuth(t, issuer, func(v *verify.Config) {
				v.Issuers[0].Introspection = &verify.Introspection{Introspector: answer, Always: always}
				v.Bindings = []verify.Binding{dpop.New(dpop.Config{Origins: []string{boundOrigin}})}
			}, &middleware.Config{})
			plain, fresh := s.auth.Require(), s.auth.Require(middleware.NotRevoked())
			for what, guards := range map[string][]*middleware.Guard{
				"plain": {plain}, "fresh": {fresh}, "fresh after plain": {fresh, plain}, "optional": {s.auth.Optional()},
			} {
				asks := always || !c.jwt || strings.HasPrefix(what, "fresh")
				if !asks {
					continue // the answer is not heard
				}
				token := "opaque." + what
				token = strings.ReplaceAll(token, " ", "")
				if c.jwt {
					token = s.token(c.token)
				} else {
					token = strings.ReplaceAll(token, ".", "")
				}
				for scheme, want := range map[string]string{"DPoP": c.dpop, "Bearer": c.bearer} {
					for n := range 2 { // the second time it is remembered
						r := boundRequest(scheme+" "+token, s.proof(key, token, nil))
						if scheme == "Bearer" {
							r.Header.Del("DPoP")
						}
						if got, _, _ := strings.Cut(answerOf(s.serve(r, guards...)), " "); got != want {
							t.Errorf("%s", fmt.Sprintf("%s, %s, always %v, %s, time %d: %s, want %s", name, what, always, scheme, n, got, want))
						}
					}
				}
			}
		}
	}
}
