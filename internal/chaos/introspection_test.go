package chaos_test

import (
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bearerkit/bearerkit/verify/verifytest"
)

// A fleet is the example API once on every framework, out of one environment.
type fleet map[string]string // base URL by framework

// introspecting starts a fleet that has the credentials of every verifytest
// issuer; env comes last and can say otherwise.
func introspecting(t *testing.T, mode string, issuers []*verifytest.Server, env ...string) fleet {
	t.Helper()
	env = append([]string{"INTROSPECTION=" + mode, "CLIENT_ID=" + verifytest.ClientID, "CLIENT_SECRET=" + verifytest.ClientSecret}, env...)
	f := fleet{}
	for _, framework := range frameworks {
		f[framework] = run(t, framework, issuers, env...)
	}
	return f
}

// get returns the whole answer of one API, the date left out. Every answer that
// any test sees is held to what all of them have to be.
func get(t *testing.T, base, method, path, token string) (status int, text string) {
	t.Helper()
	req, err := http.NewRequest(method, base+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := client.Do(req)
	if err != nil {
		t.Error(err)
		return 0, ""
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Error(err)
	}
	resp.Header.Del("Date")
	text = fmt.Sprintln(resp.StatusCode)
	for _, name := range slices.Sorted(maps.Keys(resp.Header)) {
		text += fmt.Sprintf("%s: %q\n", name, resp.Header[name])
	}
	text += string(body)
	challenge, retry := resp.Header.Values("WWW-Authenticate"), resp.Header.Get("Retry-After")
	switch resp.StatusCode {
	case 503:
		// The caller can do nothing about it, so it is not asked for another
		// token.
		if challenge != nil || retry != "1" {
			t.Errorf("%s %s: a 503 with challenge %q and Retry-After %q", method, path, challenge, retry)
		}
	case 401:
		if len(challenge) != 1 || !strings.HasPrefix(challenge[0], `Bearer error="invalid_token"`) || retry != "" {
			t.Errorf("%s %s: a 401 with challenge %q and Retry-After %q", method, path, challenge, retry)
		}
	}
	if strings.Contains(text, token) {
		t.Errorf("%s %s: the answer has the token", method, path)
	}
	return resp.StatusCode, text
}

// get calls all frameworks at once and returns their one answer.
func (f fleet) get(t *testing.T, method, path, token string) (status int, text string) {
	t.Helper()
	type answer struct {
		status int
		text   string
	}
	var mu sync.Mutex
	answers := map[string]answer{}
	var calls sync.WaitGroup
	for framework, base := range f {
		calls.Go(func() {
			status, text := get(t, base, method, path, token)
			mu.Lock()
			defer mu.Unlock()
			answers[framework] = answer{status, text}
		})
	}
	calls.Wait()
	first := answers[frameworks[0]]
	for framework, a := range answers {
		if a != first {
			t.Errorf("%s %s: %s answers\n%s\nand %s\n%s", method, path, framework, a.text, frameworks[0], first.text)
		}
	}
	return first.status, first.text
}

func (f fleet) want(t *testing.T, what, path, token string, status int) {
	t.Helper()
	if got, text := f.get(t, "GET", path, token); got != status {
		t.Errorf("%s at %s got %d, want %d\n%s", what, path, got, status, text)
	}
}

// saying lets an issuer answer for some tokens with a text of the test's own,
// and is as ever for the others.
func saying(answers *sync.Map) verifytest.Fault {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if text, ok := answers.Load(r.PostFormValue("token")); ok {
				w.Header().Set("Content-Type", "application/json")
				io.WriteString(w, text.(string))
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}

// anything says active to everything, with all that a good answer can have.
func anything(issuer *verifytest.Server) verifytest.Fault {
	return verifytest.Body("application/json", fmt.Sprintf(`{"active":true,"iss":%q,"aud":%q,"sub":"user_1","client_id":"client_1","scope":"orders:read orders:write","exp":%d}`,
		issuer.Issuer(), issuer.Audience(), time.Now().Add(time.Hour).Unix()))
}

// TestIntrospectionModes has every kind of token in every mode, on a plain
// route and on the one that asks now, and whether the issuer is asked about it.
func TestIntrospectionModes(t *testing.T) {
	issuer := verifytest.NewServer()
	defer issuer.Close()
	other := verifytest.NewServer()
	defer other.Close()
	answers := &sync.Map{}
	issuer.Fail(verifytest.Introspection, saying(answers))
	type claims = verifytest.Claims
	hourAgo, hourAhead := time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	good := fmt.Sprintf(`{"active":true,"aud":%q,"sub":"user_1","client_id":"client_1"}`, issuer.Audience())
	and := func(format string, args ...any) string {
		return strings.TrimSuffix(good, "}") + "," + fmt.Sprintf(format, args...) + "}"
	}
	with := func(old, now string) string { return strings.Replace(good, old, now, 1) }
	said := func(token, answer string) string { answers.Store(token, answer); return token }
	opaque := func(answer string) string { return said(issuer.OpaqueToken(nil), answer) }
	jwt := func(answer string) string { return said(issuer.Token(nil), answer) }
	revoked := func(token string) string { issuer.Revoke(token); return token }
	forged := verifytest.NewKey("ES256")
	forged.ID = issuer.Key().ID

	// What becomes of a token in the modes off, fallback and always: on a
	// plain route, and on the one that asks.
	type fate struct {
		plain, sensitive [3]int
		asked            bool // someone may be asked about it at all
	}
	var (
		served  = fate{[3]int{200, 200, 200}, [3]int{200, 200, 200}, true}
		opens   = fate{[3]int{401, 200, 200}, [3]int{401, 200, 200}, true} // once the issuer has said so
		denied  = fate{[3]int{200, 200, 401}, [3]int{200, 401, 401}, true} // by the issuer alone
		refused = fate{[3]int{401, 401, 401}, [3]int{401, 401, 401}, true}
		bad     = fate{[3]int{401, 401, 401}, [3]int{401, 401, 401}, false} // no answer could mend it
	)
	rows := []struct {
		name, token string
		fate        fate
	}{
		{"opaque", issuer.OpaqueToken(nil), opens},
		{"opaque, revoked", revoked(issuer.OpaqueToken(nil)), refused},
		{"opaque, unknown", "an-opaque-token-that-nobody-made", refused},
		{"opaque, of another issuer", other.OpaqueToken(nil), refused},
		{"opaque, expired", issuer.OpaqueToken(claims{"exp": hourAgo}), refused},
		{"opaque, another audience", issuer.OpaqueToken(claims{"aud": "https://other.test"}), refused},
		{"opaque, no audience", issuer.OpaqueToken(claims{"aud": nil}), refused},
		{"opaque, no subject", issuer.OpaqueToken(claims{"sub": nil}), refused},
		{"opaque, bound to a key", issuer.OpaqueToken(claims{"cnf": map[string]any{"jkt": "x"}}), refused},
		{"refresh token", issuer.OpaqueToken(claims{"token_type": "refresh_token"}), refused},
		{"refresh token by its use", issuer.OpaqueToken(claims{"token_use": "refresh"}), refused},
		{"token_type mac", issuer.OpaqueToken(claims{"token_type": "mac"}), refused},
		{"opaque, token_type access_token", issuer.OpaqueToken(claims{"token_type": "access_token"}), opens},
		{"opaque, active and expired", opaque(and(`"exp":%d`, hourAgo.Unix())), refused},
		{"opaque, active and not yet", opaque(and(`"nbf":%d`, hourAhead.Unix())), refused},
		{"opaque, a foreign iss", opaque(and(`"iss":"https://other.test"`)), refused},
		{"opaque, inactive with everything", opaque(with("true", "false")), refused},
		{"opaque, a string that says true", opaque(with("true", `"true"`)), refused},
		{"opaque, active is 1", opaque(with("true", "1")), refused},
		{"opaque, Active", opaque(with("active", "Active")), refused},
		{"opaque, active twice", opaque(and(`"active":true`)), refused},
		{"opaque, exp is a string", opaque(and(`"exp":"4102444800"`)), refused},
		{"opaque, the least that will do", opaque(good), opens},

		{"JWT", issuer.Token(nil), served},
		{"JWT, revoked", revoked(issuer.Token(nil)), denied},
		{"JWT, contradicted sub", jwt(with("user_1", "user_2")), denied},
		{"JWT, contradicted client_id", jwt(with("client_1", "client_2")), denied},
		{"JWT, contradicted iss", jwt(and(`"iss":"https://other.test"`)), denied},
		{"JWT, contradicted aud", jwt(with(issuer.Audience(), "https://other.test")), denied},
		{"JWT, an earlier exp", jwt(and(`"exp":%d`, hourAgo.Unix())), denied},
		{"JWT, called a refresh token", jwt(and(`"token_type":"refresh_token"`)), denied},
		{"JWT, another jti", jwt(and(`"jti":"fosite's own"`)), served},
		{"JWT, active and nothing else", jwt(`{"active":true}`), served},
		{"JWT, expired", said(issuer.Token(claims{"exp": hourAgo}), good), bad},
		{"JWT, another audience", said(issuer.Token(claims{"aud": "https://other.test"}), good), bad},
		{"JWT, another issuer", said(other.Token(nil), good), bad},
		{"JWT, another issuer's under our name", said(other.Token(claims{"iss": issuer.Issuer()}), good), bad},
		{"JWT, a forged signature", said(issuer.Token(nil, verifytest.WithKey(forged)), good), bad},
		{"ID token", said(issuer.Token(claims{"nonce": "n"}, verifytest.WithHeader(map[string]any{"typ": "JWT"})), good), bad},
	}
	for i, mode := range []string{"off", "fallback", "always"} {
		t.Run(mode, func(t *testing.T) {
			f := introspecting(t, mode, []*verifytest.Server{issuer})
			requests := func() int {
				return issuer.Requests(verifytest.Introspection) + other.Requests(verifytest.Introspection)
			}
			for _, r := range rows {
				before := requests()
				f.want(t, r.name, "/api/protected", r.token, r.fate.plain[i])
				asked := requests() - before
				f.want(t, r.name, "/api/sensitive", r.token, r.fate.sensitive[i])
				local := mode == "fallback" && strings.Count(r.token, ".") == 2
				switch {
				case (mode == "off" || !r.fate.asked) && requests() != before:
					t.Errorf("%s: the issuer is asked %d times", r.name, requests()-before)
				case local && asked != 0:
					t.Errorf("%s: the issuer is asked %d times for a plain route", r.name, asked)
				case mode != "off" && r.fate.asked && !local && asked != len(f):
					t.Errorf("%s: the issuer is asked %d times for a plain route by %d APIs", r.name, asked, len(f))
				}
			}
		})
	}
}

// TestIntrospectionShows: what is served is what the issuer says now, scopes
// included, and for an opaque token there is nothing else.
func TestIntrospectionShows(t *testing.T) {
	issuer := verifytest.NewServer()
	defer issuer.Close()
	answers := &sync.Map{}
	issuer.Fail(verifytest.Introspection, saying(answers))
	wide := verifytest.Claims{"scope": "orders:read orders:write", "org_id": "org_9"}
	opaque, jwt := issuer.OpaqueToken(wide), issuer.Token(wide)
	answers.Store(jwt, `{"active":true,"scope":"orders:read"}`)
	f := introspecting(t, "always", []*verifytest.Server{issuer})
	for _, c := range []struct {
		what, method, path, token, want string
	}{
		{"opaque", "GET", "/api/protected", opaque, "200\nContent-Length: [\"114\"]\nContent-Type: [\"application/json\"]\n" +
			`{"sub":"user_1","client_id":"client_1","org_id":"org_9","scope":"orders:read orders:write","user":{"id":"user_1"}}`},
		{"JWT whose scope has shrunk", "GET", "/api/protected", jwt, "200\nContent-Length: [\"101\"]\nContent-Type: [\"application/json\"]\n" +
			`{"sub":"user_1","client_id":"client_1","org_id":"org_9","scope":"orders:read","user":{"id":"user_1"}}`},
		{"opaque", "POST", "/api/orders", opaque, "201\n…"},
		{"JWT whose scope has shrunk", "GET", "/api/orders", jwt, "200\n…"},
		{"JWT whose scope has shrunk", "POST", "/api/orders", jwt, "403\n…"},
	} {
		_, got := f.get(t, c.method, c.path, c.token)
		if start, cut := strings.CutSuffix(c.want, "…"); got != c.want && !(cut && strings.HasPrefix(got, start)) {
			t.Errorf("%s: %s %s:\n%s\nwant:\n%s", c.what, c.method, c.path, got, c.want)
		}
	}
}

// ttl is what the tests that wait for it set.
const ttl = time.Second

// TestRevocation: with always a revoked token is refused at the latest one TTL
// later, whenever it is revoked, and stays so.
func TestRevocation(t *testing.T) {
	issuer := verifytest.NewServer()
	defer issuer.Close()
	f := introspecting(t, "always", []*verifytest.Server{issuer}, "INTROSPECTION_TTL=1s")
	var all sync.WaitGroup
	for framework, base := range f {
		for kind, token := range map[string]string{"opaque": issuer.OpaqueToken(nil), "JWT": issuer.Token(nil)} {
			all.Go(func() {
				for range 60 { // past a TTL
					if status, _ := get(t, base, "GET", "/api/protected", token); status != 200 {
						t.Errorf("%s on %s: %d before it is revoked", kind, framework, status)
						return
					}
					time.Sleep(20 * time.Millisecond)
				}
				issuer.Revoke(token)
				revoked := time.Now()
				refused := false
				for time.Since(revoked) < 3*ttl {
					sent := time.Since(revoked)
					status, _ := get(t, base, "GET", "/api/protected", token)
					switch {
					case status == 401:
						if !refused {
							refused = true
							t.Logf("%s on %s: refused after %v", kind, framework, sent)
						}
					case status == 200 && !refused && sent < ttl+20*time.Millisecond: // the answer at hand may have been under way
					default:
						t.Errorf("%s on %s: %d, %v after it was revoked, refused before: %v", kind, framework, status, sent, refused)
						return
					}
					time.Sleep(20 * time.Millisecond)
				}
			})
		}
	}
	all.Wait()
}

// TestRevocationAtOnce: what the route that asks learns counts at once, and for
// the routes that would not have asked.
func TestRevocationAtOnce(t *testing.T) {
	for _, mode := range []string{"fallback", "always"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			issuer := verifytest.NewServer()
			defer issuer.Close()
			// With a TTL that the test does not live to see.
			f := introspecting(t, mode, []*verifytest.Server{issuer}, "INTROSPECTION_TTL=1h")
			for kind, token := range map[string]string{"opaque": issuer.OpaqueToken(nil), "JWT": issuer.Token(nil)} {
				local := mode == "fallback" && kind == "JWT"
				f.want(t, kind, "/api/protected", token, 200)
				f.want(t, kind, "/api/sensitive", token, 200)
				issuer.Revoke(token)
				before := issuer.Requests(verifytest.Introspection)
				for range 3 {
					f.want(t, kind+", revoked and not known to be", "/api/protected", token, 200)
				}
				if n := issuer.Requests(verifytest.Introspection) - before; n != 0 {
					t.Errorf("%s: %d questions within the TTL", kind, n)
				}
				f.want(t, kind+", revoked", "/api/sensitive", token, 401)
				for range 20 {
					f.want(t, kind+", known to be revoked", "/api/protected", token, 401)
					time.Sleep(100 * time.Millisecond)
				}
				f.want(t, kind+", revoked", "/api/sensitive", token, 401)

				// A JWT that nobody has asked about is not touched.
				if unseen := issuer.Token(nil); local {
					issuer.Revoke(unseen)
					before := issuer.Requests(verifytest.Introspection)
					f.want(t, "revoked JWT", "/api/protected", unseen, 200)
					if n := issuer.Requests(verifytest.Introspection) - before; n != 0 {
						t.Errorf("%d questions about a JWT that verifies", n)
					}
					f.want(t, "revoked JWT", "/api/sensitive", unseen, 401)
					f.want(t, "revoked JWT", "/api/protected", unseen, 401)
				}
			}
		})
	}
}

// TestIntrospectionWithoutKeys: while no keys can be had from the start, the
// issuer's word is enough for a JWT, and for none that fails without keys.
// Once there are keys they decide.
func TestIntrospectionWithoutKeys(t *testing.T) {
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
			for _, mode := range []string{"off", "fallback", "always"} {
				fleets[mode] = introspecting(t, mode, []*verifytest.Server{issuer})
			}
			good, revoked := issuer.Token(nil), issuer.Token(nil)
			issuer.Revoke(revoked)
			fleets["off"].want(t, "JWT, nobody to ask", "/api/protected", good, 503)
			if n := requests(); n != 0 {
				t.Errorf("%d questions with INTROSPECTION=off", n)
			}
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
				eventually(t, "keys", func() bool {
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

// TestLookalikes: what has the shape of a JOSE object takes no way past its
// checks, though the issuer would call it active.
func TestLookalikes(t *testing.T) {
	issuer := verifytest.NewServer()
	defer issuer.Close()
	issuer.Fail(verifytest.Introspection, anything(issuer))
	b64 := base64.RawURLEncoding.EncodeToString
	real := strings.Split(issuer.Token(nil), ".")
	header, payload, signature := real[0], real[1], real[2]
	none := b64([]byte(`{"alg":"none"}`))
	jwe := b64([]byte(`{"alg":"RSA-OAEP","enc":"A256GCM"}`))
	tokens := map[string]string{
		"2 segments":                   header + "." + payload,
		"2 segments, alg none":         none + "." + payload,
		"2 segments and a dot":         header + "." + payload + ".",
		"alg none":                     none + "." + payload + ".",
		"alg none, signed":             none + "." + payload + "." + signature,
		"3 segments of nothing":        "..",
		"3 segments of anything":       "a.b.c",
		"3 opaque segments":            "v2.public.dG9rZW4",
		"no header":                    "." + payload + "." + signature,
		"no payload":                   header + ".." + signature,
		"4 segments":                   header + "." + payload + "." + signature + "." + signature,
		"4 segments and a dot":         header + "." + payload + "." + signature + ".",
		"a JWE":                        jwe + ".ZWs.aXY.Y3Q.dGFn",
		"a JWE without its key":        jwe + "..aXY.Y3Q.dGFn",
		"5 segments":                   header + "." + payload + "." + signature + ".a.b",
		"5 segments, a signed JWT's":   header + "." + payload + "." + signature + "." + payload + "." + signature,
		"6 segments":                   strings.Repeat(header+".", 5) + signature,
		"a header behind white space":  b64([]byte(" \r\n\t"+`{"alg":"ES256"}`)) + "." + payload + ".a.b",
		"a header in other base64":     base64.RawStdEncoding.EncodeToString([]byte(`{"a":"???>>>","alg":"ES256"}`)) + "." + payload + ".a.b",
		"a header that is cut":         header[:8] + "." + payload,
		"a bad signature":              header + "." + payload + "." + b64(make([]byte, 64)),
		"a JWT with another's payload": header + "." + strings.Split(issuer.Token(nil), ".")[1] + "." + signature,
		"a JWT with padding":           header + "." + payload + "." + signature + "==",
		"a JWT in front of something":  header + "." + payload + "." + signature + "~WyJzYWx0IiwibiIsInYiXQ~",
	}
	for _, mode := range []string{"fallback", "always"} {
		t.Run(mode, func(t *testing.T) {
			f := introspecting(t, mode, []*verifytest.Server{issuer})
			before := issuer.Requests(verifytest.Introspection)
			for name, token := range tokens {
				f.want(t, name, "/api/protected", token, 401)
				f.want(t, name, "/api/sensitive", token, 401)
			}
			if n := issuer.Requests(verifytest.Introspection) - before; n != 0 {
				t.Errorf("%d questions", n)
			}
			// This is what the answer would have been.
			f.want(t, "opaque", "/api/protected", "mF_9.B5f-4.1JqM.x", 200)
			f.want(t, "opaque", "/api/protected", "czZCaGRSa3F0MzpnWDFmQmF0M2JW", 200)
		})
	}
}

// outages are ways in which an endpoint can give no answer.
func outages(issuer *verifytest.Server) map[string]verifytest.Fault {
	json := func(text string) verifytest.Fault { return verifytest.Body("application/json", text) }
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	io.WriteString(z, `{"active":true,"pad":"`)
	for range 1600 {
		z.Write(bytes.Repeat([]byte("x"), 1<<16))
	}
	io.WriteString(z, `"}`)
	z.Close()
	good := fmt.Sprintf(`{"active":true,"aud":%q,"sub":"user_1"`, issuer.Audience())
	redirect := func(status int) verifytest.Fault {
		// To where a good answer waits, so that whoever follows is found out.
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
		"a gzip bomb": verifytest.Answer(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			w.Write(bomb.Bytes())
		}),
		"endless":      verifytest.Answer(endless),
		"redirect 302": redirect(302), "redirect 307": redirect(307), "redirect 308": redirect(308),
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

// TestIntrospectionOutage: whatever the endpoint does, what needs its answer is
// 503 and never 401, what does not is served as ever, and two seconds after the
// endpoint is back everything is.
func TestIntrospectionOutage(t *testing.T) {
	for _, mode := range []string{"fallback", "always"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			issuer := verifytest.NewServer()
			defer issuer.Close()
			// Asking every time, so that no answer of before is left.
			f := introspecting(t, mode, []*verifytest.Server{issuer}, "INTROSPECTION_TTL=0")
			opaque, jwt := issuer.OpaqueToken(nil), issuer.Token(nil)
			bad := issuer.Token(verifytest.Claims{"exp": time.Now().Add(-time.Hour)})
			all := func(t *testing.T, what string, ill bool) {
				t.Helper()
				needy := 200
				if ill {
					needy = 503
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
					{"unknown", "/api/protected", rand.Text(), map[bool]int{true: 503, false: 401}[ill]},
					{"JWT", "/api/protected", jwt, plain},
					{"JWT", "/api/sensitive", jwt, needy},
					{"bad JWT", "/api/protected", bad, 401},
					{"bad JWT", "/api/sensitive", bad, 401},
				} {
					calls.Go(func() { f.want(t, what+": "+c.what, c.path, c.token, c.status) })
				}
				calls.Wait()
			}
			all(t, "well", false)
			faults := outages(issuer)
			for _, name := range slices.Sorted(maps.Keys(faults)) {
				down := faults[name] == nil
				if down {
					issuer.Down()
				} else {
					issuer.Fail(verifytest.Introspection, faults[name])
				}
				for range 2 {
					start := time.Now()
					all(t, name, true)
					if d := time.Since(start); d > 2*fetchTimeout { // one, and slack for a busy machine
						t.Errorf("%s: answered after %v", name, d)
					}
				}
				if down {
					issuer.Up()
				} else {
					issuer.Heal(verifytest.Introspection)
				}
				back := time.Now()
				for framework, base := range f {
					for status := 0; status != 200; time.Sleep(20 * time.Millisecond) {
						sent := time.Since(back)
						status, _ = get(t, base, "GET", "/api/protected", opaque)
						if status != 200 && status != 503 || status == 503 && sent > 2*time.Second+slack {
							t.Errorf("%s: %s answers %d %v after the endpoint is back", name, framework, status, sent)
							break
						}
					}
				}
				all(t, "after "+name, false)
			}
		})
	}
}

// TestDeadEndpoint: an endpoint that hangs does not cost each request its
// timeout, and is noticed within two seconds of its return.
func TestDeadEndpoint(t *testing.T) {
	var all sync.WaitGroup
	for _, framework := range frameworks {
		issuer := verifytest.NewServer()
		defer issuer.Close()
		base := run(t, framework, []*verifytest.Server{issuer}, "INTROSPECTION=always", "INTROSPECTION_TTL=0",
			"CLIENT_ID="+verifytest.ClientID, "CLIENT_SECRET="+verifytest.ClientSecret)
		all.Go(func() { dieAndReturn(t, framework, base, issuer) })
	}
	all.Wait()
}

func dieAndReturn(t *testing.T, framework, base string, issuer *verifytest.Server) {
	if status := call(base, issuer.Token(nil)); status != 200 {
		t.Errorf("%s: %d while all is well", framework, status)
	}
	issuer.Fail(verifytest.Introspection, verifytest.Hang())
	var calls sync.WaitGroup
	for range 8 {
		calls.Go(func() {
			if status, text := get(t, base, "GET", "/api/sensitive", issuer.Token(nil)); status != 503 {
				t.Errorf("%s: while it is found out: %s", framework, text)
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
			t.Errorf("%s: once it is known: %s", framework, text)
		}
		if d := time.Since(sent); d < 200*time.Millisecond {
			quick++
		} else if d > 2*time.Second+slack {
			t.Errorf("%s: once it is known: answered after %v", framework, d)
		}
		time.Sleep(10 * time.Millisecond)
	}
	// One call each half second gets through and waits.
	if quick < rounds*8/10 {
		t.Errorf("%s: %d of %d calls were quick", framework, quick, rounds)
	}
	took := time.Since(start)
	if n, most := issuer.Requests(verifytest.Introspection)-before, 2+int(took/(500*time.Millisecond)); n == 0 || n > most {
		t.Errorf("%s: %d calls in %v, allowed are %d", framework, n, took, most)
	}
	issuer.Heal()
	back := time.Now()
	for call(base, issuer.Token(nil)) != 200 {
		if d := time.Since(back); d > 2*time.Second+slack {
			t.Errorf("%s: not noticed %v after the endpoint is back", framework, d)
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// TestClientAuthentication: the two ways to send the API's credentials, with
// characters that have to be encoded, and what becomes of wrong ones.
func TestClientAuthentication(t *testing.T) {
	issuer := verifytest.NewServer()
	defer issuer.Close()
	const id, secret = "orders api:1/ü", "s&c=r%t+:ü "
	issuer.AddClient(id, secret)
	type request struct {
		auth string
		form url.Values
	}
	var mu sync.Mutex
	var seen []request
	watch := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r.ParseForm()
			mu.Lock()
			seen = append(seen, request{r.Header.Get("Authorization"), r.PostForm})
			mu.Unlock()
			next.ServeHTTP(w, r)
		})
	}
	for _, c := range []struct {
		name   string
		env    []string
		status int
		basic  bool
	}{
		{"default", nil, 200, true},
		{"basic", []string{"CLIENT_AUTH=basic"}, 200, true},
		{"post", []string{"CLIENT_AUTH=post"}, 200, false},
		{"given endpoint", []string{"INTROSPECTION_URL=" + issuer.URL(verifytest.Introspection)}, 200, true},
		{"basic, wrong secret", []string{"CLIENT_SECRET=another"}, 503, true},
		{"post, wrong secret", []string{"CLIENT_SECRET=another", "CLIENT_AUTH=post"}, 503, false},
		{"unknown client", []string{"CLIENT_ID=nobody"}, 503, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			issuer.Fail(verifytest.Introspection, watch)
			mu.Lock()
			seen = nil
			mu.Unlock()
			f := introspecting(t, "fallback", []*verifytest.Server{issuer}, append([]string{"CLIENT_ID=" + id, "CLIENT_SECRET=" + secret}, c.env...)...)
			token := issuer.OpaqueToken(nil)
			f.want(t, "opaque", "/api/protected", token, c.status)
			f.want(t, "JWT", "/api/protected", issuer.Token(nil), 200)
			f.want(t, "JWT", "/api/sensitive", issuer.Token(nil), c.status)
			mu.Lock()
			defer mu.Unlock()
			if len(seen) != 2*len(f) {
				t.Fatalf("%d requests, want %d", len(seen), 2*len(f))
			}
			for _, r := range seen {
				if got := strings.HasPrefix(r.auth, "Basic "); got != c.basic || r.form.Has("client_secret") == c.basic || !r.form.Has("token") {
					t.Errorf("Authorization %q, form %v", r.auth, r.form)
				}
			}
		})
	}
}

// TestIntrospectionOfSeveral: an opaque token is shown to the first issuer and
// to no other, and a JWT to its own alone.
func TestIntrospectionOfSeveral(t *testing.T) {
	var issuers []*verifytest.Server
	for range 3 {
		issuer := verifytest.NewServer()
		defer issuer.Close()
		issuers = append(issuers, issuer)
	}
	for _, mode := range []string{"fallback", "always"} {
		t.Run(mode, func(t *testing.T) {
			f := introspecting(t, mode, issuers, "INTROSPECTION_TTL=0")
			// try makes a call and says how often each issuer was asked.
			try := func(what, path, token string, status int, want ...int) {
				t.Helper()
				var before, asked []int
				for _, is := range issuers {
					before = append(before, is.Requests(verifytest.Introspection))
				}
				f.want(t, what, path, token, status)
				for i, is := range issuers {
					asked = append(asked, (is.Requests(verifytest.Introspection)-before[i])/len(f))
				}
				if !slices.Equal(asked, want) {
					t.Errorf("%s at %s: the issuers are asked %d times, want %d", what, path, asked, want)
				}
			}
			always := 0
			if mode == "always" {
				always = 1
			}
			try("the first's opaque token", "/api/protected", issuers[0].OpaqueToken(nil), 200, 1, 0, 0)
			try("the second's opaque token", "/api/protected", issuers[1].OpaqueToken(nil), 401, 1, 0, 0)
			try("the third's opaque token", "/api/sensitive", issuers[2].OpaqueToken(nil), 401, 1, 0, 0)
			try("the first's JWT", "/api/protected", issuers[0].Token(nil), 200, always, 0, 0)
			try("the second's JWT", "/api/protected", issuers[1].Token(nil), 200, 0, always, 0)
			try("the third's JWT", "/api/sensitive", issuers[2].Token(nil), 200, 0, 0, 1)
			revoked := issuers[1].Token(nil)
			issuers[1].Revoke(revoked)
			issuers[0].Issue(revoked, nil)
			try("the second's JWT, which the first calls active", "/api/sensitive", revoked, 401, 0, 1, 0)
			issuers[0].Fail(verifytest.Introspection, verifytest.Status(500))
			defer issuers[0].Heal()
			try("opaque while the first is ill", "/api/protected", issuers[1].OpaqueToken(nil), 503, 1, 0, 0)
			try("the second's JWT while the first is ill", "/api/sensitive", issuers[1].Token(nil), 200, 0, 1, 0)
		})
	}
}

// TestIntrospectionLoad: with always, 10,000 requests over 100 tokens from 8
// clients cost at most 100 calls per TTL, and within the same run a token that
// is revoked is refused at the latest one TTL later, at once where it is asked
// about.
func TestIntrospectionLoad(t *testing.T) {
	for _, framework := range frameworks {
		t.Run(framework, func(t *testing.T) {
			issuer := verifytest.NewServer()
			defer issuer.Close()
			base := run(t, framework, []*verifytest.Server{issuer}, "INTROSPECTION=always", "INTROSPECTION_TTL=1s",
				"CLIENT_ID="+verifytest.ClientID, "CLIENT_SECRET="+verifytest.ClientSecret)
			const clients, requests = 8, 10_000
			tokens := make([]string, 100)
			revoked := make([]atomic.Int64, len(tokens)) // when, in Unix nanoseconds, or 0
			for i := range tokens {
				if tokens[i] = issuer.Token(nil); i%2 == 1 {
					tokens[i] = issuer.OpaqueToken(nil)
				}
			}
			start := time.Now()
			var refused, served atomic.Int64
			var load sync.WaitGroup
			for c := range clients {
				load.Go(func() {
					for i := range requests / clients {
						// At most 3,200 requests a second, so that the run sees
						// a few TTLs.
						time.Sleep(time.Until(start.Add(time.Duration(i) * 2500 * time.Microsecond)))
						n := (i*clients + c) % len(tokens)
						before, sent := revoked[n].Load(), time.Now()
						status := call(base, tokens[n])
						switch {
						case status == 200 && before != 0 && sent.Sub(time.Unix(0, before)) > ttl+20*time.Millisecond:
							t.Errorf("served %v after it was revoked", sent.Sub(time.Unix(0, before)))
						case status == 200:
							served.Add(1)
						case status == 401 && revoked[n].Load() != 0:
							refused.Add(1)
						default:
							t.Errorf("a good token got %d", status)
						}
					}
				})
			}
			time.Sleep(time.Second)
			fresh := 0
			for n := 0; n < len(tokens); n += 10 {
				revoked[n].Store(time.Now().UnixNano())
				issuer.Revoke(tokens[n])
				if n%20 == 0 {
					fresh++
					if status, text := get(t, base, "GET", "/api/sensitive", tokens[n]); status != 401 {
						t.Errorf("on the route that asks: %s", text)
					}
					if status, _ := get(t, base, "GET", "/api/protected", tokens[n]); status != 401 {
						t.Errorf("after the route that asks: %d", status)
					}
				}
			}
			load.Wait()
			took := time.Since(start)
			calls, most := issuer.Requests(verifytest.Introspection)-fresh, len(tokens)*(1+int(took/ttl))
			if calls < len(tokens) || calls > most {
				t.Errorf("%d calls in %v, allowed are %d", calls, took, most)
			}
			if refused.Load() == 0 {
				t.Error("no revoked token came")
			}
			t.Logf("%d calls in %v, allowed %d; %d served, %d refused", calls, took.Round(time.Millisecond), most, served.Load(), refused.Load())
		})
	}
}
