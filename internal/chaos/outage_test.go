package chaos_test

import (
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bearerkit/bearerkit/internal/testkit"
	"github.com/bearerkit/bearerkit/verify/verifytest"
)

// TestIntrospectionWithoutKeys: while the keys cannot be fetched, introspection decides
// about JWTs that pass all checks which need no key. Once there are keys they decide.
func TestIntrospectionWithoutKeys(t *testing.T) {
	t.Parallel()
	type claims = verifytest.Claims
	for name, fault := range map[string]verifytest.Fault{
		"500": verifytest.Status(500), "HTML": verifytest.Body("text/html", "<html>maintenance</html>"), "no keys": verifytest.Body("application/json", `{"keys":[]}`),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			issuer := verifytest.NewServer()
			defer issuer.Close()
			issuer.Fail(verifytest.JWKS, fault)
			requests := func() int { return issuer.Requests(verifytest.Introspection) }
			fleets := map[string]fleet{}
			for _, mode := range []string{"off", "fallback"} {
				fleets[mode] = introspecting(t, mode, []*verifytest.Server{issuer})
			}
			good, revoked := issuer.Token(nil), issuer.Token(nil)
			issuer.Revoke(revoked)
			fleets["off"].want(t, "JWT, without introspection", "/api/protected", good, 503)
			if n := requests(); n != 0 {
				t.Errorf("%d questions before there was one", n)
			}
			fleets["always"] = introspecting(t, "always", []*verifytest.Server{issuer})
			testkit.Eventually(t, "each has asked whether it is answered", func() bool { return requests() == len(fleets["always"]) })
			for _, mode := range []string{"fallback", "always"} {
				f := fleets[mode]
				f.want(t, mode+": JWT", "/api/protected", good, 200)
				f.want(t, mode+": JWT", "/api/sensitive", good, 200)
				f.want(t, mode+": JWT, revoked", "/api/protected", revoked, 401)
				f.want(t, mode+": JWT that the issuer does not know", "/api/protected", issuer.Token(nil, verifytest.WithKey(verifytest.NewKey("ES256"))), 401)
				f.want(t, mode+": opaque", "/api/protected", issuer.OpaqueToken(nil), 200)
				before := requests()
				for what, token := range map[string]string{
					"expired":          issuer.Token(claims{"exp": time.Now().Add(-time.Hour)}),
					"another audience": issuer.Token(claims{"aud": "https://other.test"}),
					"another issuer":   issuer.Token(claims{"iss": "https://other.test"}),
					"an ID token":      issuer.Token(claims{"nonce": "n"}, verifytest.WithHeader(map[string]any{"typ": "JWT"})),
					"alg none":         issuer.Token(nil, verifytest.WithHeader(map[string]any{"alg": "none"})),
				} {
					f.want(t, mode+": JWT, "+what, "/api/protected", token, 401)
				}
				if n := requests() - before; n != 0 {
					t.Errorf("%s: %d questions about JWTs that fail without keys", mode, n)
				}
			}

			issuer.Heal(verifytest.JWKS)
			f := fleets["fallback"]
			for _, base := range f {
				testkit.Eventually(t, "keys", func() bool {
					before := requests()
					status, _ := get(t, base, "GET", "/api/protected", issuer.Token(nil))
					return status == 200 && requests() == before
				})
			}
			issuer.Fail(verifytest.Introspection, anything(issuer))
			before := requests()
			f.want(t, "JWT under keys that are there", "/api/protected", issuer.Token(nil), 200)
			f.want(t, "JWT under an unknown kid", "/api/protected", issuer.Token(nil, verifytest.WithKey(verifytest.NewKey("ES256"))), 401)
			if n := requests() - before; n != 0 {
				t.Errorf("%d questions though there are keys", n)
			}
		})
	}
}

// bomb answers with a gzip stream of a text and, behind it, 16 MiB of white
// space.
func bomb(start string) verifytest.Fault {
	stream := sync.OnceValue(func() []byte {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		io.WriteString(z, start)
		pad := bytes.Repeat([]byte(" "), 1<<20)
		for range 16 {
			z.Write(pad)
		}
		z.Close()
		return b.Bytes()
	})
	return verifytest.Answer(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		w.Write(stream())
	})
}

// outages are ways in which an endpoint can give no answer.
func outages(audience string) map[string]verifytest.Fault {
	json := func(text string) verifytest.Fault { return verifytest.Body("application/json", text) }
	good := fmt.Sprintf(`{"active":true,"aud":%q,"sub":"user_1"`, audience)
	redirect := func(status int) verifytest.Fault {
		// A good answer is there, so that following the redirect would show.
		return func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.RawQuery != "" {
					w.Header().Set("Content-Type", "application/json")
					io.WriteString(w, good+"}")
					return
				}
				http.Redirect(w, r, r.URL.Path+"?again", status)
			})
		}
	}
	return map[string]verifytest.Fault{
		"400": verifytest.Answer(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(400)
			io.WriteString(w, `{"error":"unsupported_token_type"}`)
		}),
		"401": verifytest.Answer(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
			w.WriteHeader(401)
			io.WriteString(w, `{"error":"invalid_client","active":false}`)
		}),
		"403": verifytest.Status(403), "404": verifytest.Status(404), "405": verifytest.Status(405), "429": verifytest.Status(429),
		"500": verifytest.Status(500), "502": verifytest.Status(502), "503": verifytest.Status(503),
		"201 with a good answer": verifytest.Answer(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(201)
			io.WriteString(w, good+"}")
		}),
		"204":            verifytest.Status(204),
		"HTML":           verifytest.Body("text/html", "<html>please sign in</html>"),
		"nothing":        json(""),
		"nonsense":       json("active=true"),
		"an array":       json("[" + good + "}]"),
		"a string":       json(`"active"`),
		"true":           json("true"),
		"half an answer": json(good),
		"cut":            verifytest.Cut(),
		"too big":        json(good + `,"pad":"` + strings.Repeat("x", 1<<20) + `"}`),
		"a gzip bomb":    bomb(good),
		"endless":        verifytest.Answer(endless),
		"redirect 302":   redirect(302), "redirect 307": redirect(307), "redirect 308": redirect(308),
		"hangs": verifytest.Hang(),
		"a byte a second": verifytest.Answer(func(w http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			for r.Context().Err() == nil {
				io.WriteString(w, " ")
				w.(http.Flusher).Flush()
				select {
				case <-time.After(time.Second):
				case <-r.Context().Done():
				}
			}
		}),
		"down": nil,
	}
}

// TestIntrospectionOutage: however the endpoint fails, requests that need its answer get
// 503 and never 401, others are served, and two seconds after the endpoint is back
// all of them are.
func TestIntrospectionOutage(t *testing.T) {
	t.Parallel()
	names := slices.Sorted(maps.Keys(outages("")))
	for _, mode := range []string{"fallback", "always"} {
		for i, name := range names {
			on := frameworks
			if !*long {
				on = []string{frameworks[i%len(frameworks)]}
			}
			t.Run(mode+"/"+name, func(t *testing.T) {
				t.Parallel()
				outage(t, mode, name, on)
			})
		}
	}
}

func outage(t *testing.T, mode, name string, frameworks []string) {
	issuer := verifytest.NewServer()
	defer issuer.Close()
	// Asking every time, so that no answer of before is left.
	f := introspectingOn(t, frameworks, mode, []*verifytest.Server{issuer}, "INTROSPECTION_TTL=0")
	opaque, jwt := issuer.OpaqueToken(nil), issuer.Token(nil)
	bad := issuer.Token(verifytest.Claims{"exp": time.Now().Add(-time.Hour)})
	all := func(when string, down bool) {
		t.Helper()
		needy, unknown := 200, 401
		if down {
			needy, unknown = 503, 503
		}
		plain := needy
		if mode == "fallback" {
			plain = 200
		}
		var calls sync.WaitGroup
		for _, c := range []struct {
			what, path, token string
			status            int
		}{
			{"opaque", "/api/protected", opaque, needy},
			{"opaque", "/api/sensitive", opaque, needy},
			{"opaque", "/api/optional", opaque, needy},
			{"unknown", "/api/protected", rand.Text(), unknown},
			{"JWT", "/api/protected", jwt, plain},
			{"JWT", "/api/sensitive", jwt, needy},
			{"bad JWT", "/api/protected", bad, 401},
			{"bad JWT", "/api/sensitive", bad, 401},
		} {
			calls.Go(func() { f.want(t, when+": "+c.what, c.path, c.token, c.status) })
		}
		calls.Wait()
	}
	all("well", false)
	fault := outages(issuer.Audience())[name]
	if fault == nil {
		issuer.Down()
	} else {
		issuer.Fail(verifytest.Introspection, fault)
	}
	for range 2 {
		start := time.Now()
		all("down", true)
		if d := time.Since(start); d > 2*fetchTimeout { // one, and slack for a busy machine
			t.Errorf("answered after %v", d)
		}
	}
	if fault == nil {
		issuer.Up()
	} else {
		issuer.Heal(verifytest.Introspection)
	}
	back := time.Now()
	for g, base := range f {
		for status := 0; status != 200; time.Sleep(20 * time.Millisecond) {
			sent := time.Since(back)
			status, _ = get(t, base, "GET", "/api/protected", opaque)
			if status != 200 && status != 503 || status == 503 && sent > 2*time.Second+g.slack() {
				t.Errorf("%s answers %d %v after the endpoint is back", g, status, sent)
				break
			}
		}
	}
	all("well again", false)
}

// TestDeadEndpoint: an endpoint that hangs does not cost each request its
// timeout, and is noticed within two seconds of its return.
func TestDeadEndpoint(t *testing.T) {
	everywhere(t, func(t *testing.T, g ground) {
		issuer := g.issuer(t)
		base := g.introspecting(t, "always", []*verifytest.Server{issuer}, "INTROSPECTION_TTL=0")[g]
		if status := call(base, issuer.Token(nil)); status != 200 {
			t.Errorf("%d while all is well", status)
		}
		issuer.Fail(verifytest.Introspection, verifytest.Hang())
		var calls sync.WaitGroup
		for range 8 {
			calls.Go(func() {
				if status, text := get(t, base, "GET", "/api/sensitive", issuer.Token(nil)); status != 503 {
					t.Errorf("while it is found out: %s", text)
				}
			})
		}
		calls.Wait()
		before, start, quick := issuer.Requests(verifytest.Introspection), time.Now(), 0
		const rounds = 200
		for range rounds {
			sent := time.Now()
			if sent.Sub(start) > 20*time.Second {
				break
			}
			if status, text := get(t, base, "GET", "/api/sensitive", issuer.Token(nil)); status != 503 {
				t.Errorf("once it is known: %s", text)
			}
			if d := time.Since(sent); d < 200*time.Millisecond {
				quick++
			} else if d > 2*time.Second+g.slack() {
				t.Errorf("once it is known: answered after %v", d)
			}
			time.Sleep(10 * time.Millisecond)
		}
		// One call each half second gets through and waits.
		if quick < rounds*8/10 {
			t.Errorf("%d of %d calls were quick", quick, rounds)
		}
		took := time.Since(start)
		if n, most := issuer.Requests(verifytest.Introspection)-before, 2+int(took/(500*time.Millisecond)); n == 0 || n > most {
			t.Errorf("%d calls in %v, allowed are %d", n, took, most)
		}
		issuer.Heal()
		back := time.Now()
		for call(base, issuer.Token(nil)) != 200 {
			if d := time.Since(back); d > 2*time.Second+g.slack() {
				t.Errorf("not noticed %v after the endpoint is back", d)
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
	})
}
