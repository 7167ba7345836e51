package verify_test

import (
	"context"
	"crypto/elliptic"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/bearerkit/bearerkit/verify"
)

// A JWT that leaves its audience and subject to its server is complete with the
// answer, where every JWT is asked about.
func TestAnswersCompleteTokens(t *testing.T) {
	always := func(c *verify.Config) { c.Issuers[0].Introspection.Always = true }
	bare := es256.with("aud", "", "sub", "")
	full := answer("sub", `"user-9"`, "aud", `["`+testAudience+`","other"]`)
	for _, c := range []struct {
		name   string
		token  string
		answer string
		reason verify.Reason
		part   string
	}{
		{"both", bare, full, accepted, ""},
		{"aud alone missing", es256.with("aud", ""), answer(), accepted, ""},
		{"sub alone missing", es256.with("sub", ""), answer(), accepted, ""},
		{"sub empty", es256.with("sub", `""`), full, accepted, ""},
		{"no aud anywhere", bare, answer("aud", ""), verify.ErrClaim, "aud"},
		{"an empty list", bare, answer("aud", "[]"), verify.ErrClaim, "aud"},
		{"another audience", bare, answer("aud", `"other"`), verify.ErrAudience, ""},
		{"no sub anywhere", bare, answer("sub", ""), verify.ErrClaim, "sub"},
		{"sub empty everywhere", bare, answer("sub", `""`), verify.ErrClaim, "sub"},
		{"aud of another type", bare, answer("aud", "1"), verify.ErrClaim, "aud"},
		{"inactive", bare, "", verify.ErrInactive, ""},
		{"the token's own audience", es256.good(), answer("aud", `["`+testAudience+`"]`), accepted, ""},
		{"the answer says another one", es256.good(), answer("aud", `"other"`), verify.ErrAudience, ""},
	} {
		asked := &asker{claims: c.answer}
		v, _ := asking(t, asked, always)
		for range 2 {
			if c.reason != accepted {
				if e := refuse(t, v, c.token, c.reason); e.Part != c.part {
					t.Errorf("%s: part %q", c.name, e.Part)
				}
				continue
			}
			got := accept(t, v, c.token)
			if !slices.Contains(got.Audience, testAudience) || got.Subject == "" || got.Introspected.IsZero() {
				t.Errorf("%s: %+v", c.name, got.Audience)
			}
		}
	}

	// Nobody is asked where the token alone decides, or must.
	for name, c := range map[string]struct {
		edit   func(*verify.Config)
		token  string
		reason verify.Reason
	}{
		"another audience":    {always, es256.with("aud", `"other"`), verify.ErrAudience},
		"an empty list":       {always, es256.with("aud", "[]"), verify.ErrAudience},
		"aud null":            {always, es256.with("aud", "null"), verify.ErrClaim},
		"sub of another type": {always, es256.with("sub", "1"), verify.ErrClaim},
		"not always":          {nil, bare, verify.ErrClaim},
		"the profile, no aud": {func(c *verify.Config) { always(c); c.RFC9068 = true }, es256.with("aud", ""), verify.ErrClaim},
		"the profile, no sub": {func(c *verify.Config) { always(c); c.RFC9068 = true }, es256.with("sub", ""), verify.ErrClaim},
		"another key's":       {always, (&signer{"es256", "ES256", newEC(elliptic.P256())}).with("aud", ""), verify.ErrSignature},
	} {
		asked := &asker{claims: full}
		v, _ := asking(t, asked, c.edit)
		refuse(t, v, c.token, c.reason)
		if n := len(asked.asked()); n > 0 {
			t.Errorf("%s: asked %d times", name, n)
		}
	}

	// A claim that stands in for the audience may be the answer's too.
	asked := &asker{claims: answer("aud", "", "resource", `"r-1"`)}
	standIn, _ := asking(t, asked, func(c *verify.Config) {
		always(c)
		c.Issuers[0].AudienceClaim, c.Issuers[0].Audience = "resource", []string{"r-1"}
	})
	accept(t, standIn, es256.with("aud", ""))
	asked.claims = answer("aud", "", "resource", `"r-2"`)
	refuse(t, standIn, es256.with("aud", ""), verify.ErrAudience)

	// Without an answer, such a token is not good for anything.
	asked = &asker{claims: full}
	v, _ := asking(t, asked, always)
	accept(t, v, bare)
	asked.err = errors.New("down")
	refuse(t, v, bare, verify.ErrUnavailable)
}

// What is null in an answer does not take away what the token says.
func TestNullInAnswers(t *testing.T) {
	asked := &asker{claims: answer("scope", "null", "client_id", "null", "org_id", "null", "permissions", "null")}
	v, _ := asking(t, asked, func(c *verify.Config) { c.Issuers[0].Introspection.Always = true })
	got := accept(t, v, es256.with("org_id", `"o"`, "permissions", `["p"]`))
	if got.Scope != "orders:read orders:write" || got.ClientID != "client-1" || got.OrganizationID != "o" || !got.HasPermission("p") {
		t.Errorf("scope %q, client %q, organization %q", got.Scope, got.ClientID, got.OrganizationID)
	}
}

// remembering is an introspector that gives one answer to everything.
type remembering struct {
	*asker
	answer *verify.Answer
}

func (r *remembering) Introspect(context.Context, *verify.Query) (*verify.Answer, error) {
	return r.answer, nil
}

// The claims of an answer are decoded once for as long as it counts, and are
// those of both.
func TestClaimsOfAnswers(t *testing.T) {
	type both struct {
		Sub   decodings `json:"sub"`
		Extra string    `json:"extra"`
		Own   string    `json:"own"`
	}
	asked := &remembering{asker: &asker{}}
	v, _ := build(t, func(c *verify.Config) {
		c.Issuers[0].Introspection = &verify.Introspection{Introspector: asked, Always: true}
	})
	for name, token := range map[string]string{"JWT": es256.with("own", `"o"`), "opaque": opaqueToken} {
		for _, extra := range []string{"x", "y"} {
			asked.answer = &verify.Answer{Active: true, Claims: answer("extra", quote(extra)), At: testNow}
			if n := decodingsOf(func() {
				for range 5 {
					c, err := verify.ClaimsOf[both](accept(t, v, token))
					if err != nil || c.Extra != extra || (c.Own == "o") != (name == "JWT") {
						t.Errorf("%s: %+v, %v", name, c, err)
					}
				}
			}); n != 1 {
				t.Errorf("%s: decoded %d times", name, n)
			}
		}
	}
}

// A large answer about an opaque token is not kept a second time in another form:
// nobody counts what that takes.
func TestClaimsOfLargeAnswers(t *testing.T) {
	asked := &remembering{asker: &asker{}}
	v, _ := build(t, func(c *verify.Config) { c.Issuers[0].Introspection = &verify.Introspection{Introspector: asked} })
	asked.answer = &verify.Answer{Active: true, Claims: answer("x", quote(strings.Repeat("x", 3000))), At: testNow}
	if n := decodingsOf(func() {
		for range 3 {
			if c, err := verify.ClaimsOf[countsDecoding](accept(t, v, opaqueToken)); err != nil || c.Sub != `"user-1"` {
				t.Errorf("%v, %v", c, err)
			}
		}
	}); n != 3 {
		t.Errorf("decoded %d times out of 3", n)
	}
}

// What answers add to a cached token counts in the cache's bound.
func TestCacheMemoryOfAnswers(t *testing.T) {
	if raceEnabled() {
		t.Skip("the race detector takes memory of its own")
	}
	const room, unit = 300, 2048
	for name, edits := range map[string][]string{
		"small":       nil,
		"long":        {"x", quote(fmt.Sprintf("%5000d", 1))},
		"permissions": {"permissions", repeated(`"a"`, 2000)},
	} {
		asked := &asker{}
		key := fresh("k", 1)[0]
		v, _ := asking(t, asked, func(c *verify.Config) {
			c.Issuers[0].Keys, c.CacheSize = &source{set: published(key)}, room
			c.Issuers[0].Introspection.Always = true
		})
		tokens := make([]string, room+50)
		for i := range tokens {
			tokens[i] = key.with("jti", fmt.Sprintf(`"%d"`, i))
		}
		before := heap()
		for i, token := range tokens {
			asked.claims = answer(append(edits, "n", fmt.Sprint(i))...)
			accept(t, v, token)
		}
		asked.queries = nil
		took := heap() - before
		if most := room*unit + 64<<10; took > most {
			t.Errorf("%s: %d entries take %d bytes; %d are promised", name, verify.Cached(v), took, most)
		}
		t.Logf("%-12s %d entries take %d bytes, %d %%", name, verify.Cached(v), took, took*100/room/unit)
		runtime.KeepAlive(v)
		runtime.KeepAlive(tokens)
	}
}
