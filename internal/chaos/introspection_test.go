package chaos_test

import (
	"encoding/base64"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bearerkit/bearerkit/verify/verifytest"
)

// A fleet is APIs out of one environment.
type fleet map[ground]string // base URL of each

// credentials are those that every verifytest issuer knows.
var credentials = []string{"CLIENT_ID=" + verifytest.ClientID, "CLIENT_SECRET=" + verifytest.ClientSecret}

// introspecting starts an API with those credentials; env comes last and can
// say otherwise.
func (g ground) introspecting(t *testing.T, mode string, issuers []*verifytest.Server, env ...string) fleet {
	t.Helper()
	return fleet{g: g.api(t, issuers, slices.Concat([]string{"INTROSPECTION=" + mode}, credentials, env)...)}
}

// introspecting starts the example API like that, on every framework.
func introspecting(t *testing.T, mode string, issuers []*verifytest.Server, env ...string) fleet {
	t.Helper()
	return introspectingOn(t, frameworks, mode, issuers, env...)
}

func introspectingOn(t *testing.T, frameworks []string, mode string, issuers []*verifytest.Server, env ...string) fleet {
	t.Helper()
	f := fleet{}
	for _, framework := range frameworks {
		maps.Copy(f, ground(framework).introspecting(t, mode, issuers, env...))
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

// get calls the whole fleet at once and returns its one answer.
func (f fleet) get(t *testing.T, method, path, token string) (status int, text string) {
	t.Helper()
	type answer struct {
		of     ground
		status int
		text   string
	}
	answers := make(chan answer, len(f))
	for g, base := range f {
		go func() {
			status, text := get(t, base, method, path, token)
			answers <- answer{g, status, text}
		}()
	}
	first := <-answers
	for range len(f) - 1 {
		if a := <-answers; a.text != first.text {
			t.Errorf("%s %s: %s answers\n%s\nand %s\n%s", method, path, a.of, a.text, first.of, first.text)
		}
	}
	return first.status, first.text
}

// awaitReady waits until every API says that it is ready.
func (f fleet) awaitReady(t *testing.T) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for framework, base := range f {
		for {
			resp, err := client.Get(base + "/readyz")
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode == 200 {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s is not ready", framework)
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
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
		untold  = fate{[3]int{401, 503, 503}, [3]int{401, 503, 503}, true} // the issuer has not answered; at most two in a row, or it is asked why
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
		{"opaque, a string that says true", opaque(with("true", `"true"`)), untold},
		{"opaque, exp is a string", opaque(and(`"exp":"4102444800"`)), refused},
		{"opaque, active is 1", opaque(with("true", "1")), untold},
		{"opaque, the least that will do", opaque(good), opens},
		{"opaque, Active", opaque(with("active", "Active")), untold},

		{"opaque in three parts", said("ya29.c.b0Aaekm1K", good), opens},
		{"opaque, active twice", opaque(and(`"active":true`)), untold},
		{"JWE", said("eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIn0..AAAA.AAAA.AAAA", good), opens},
		{"a JWS and more", said(issuer.Token(nil)+".AAAA", good), bad},

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
			f.awaitReady(t) // with always, each has asked whether it is answered by then
			requests := func() int {
				return issuer.Requests(verifytest.Introspection) + other.Requests(verifytest.Introspection)
			}
			for _, r := range rows {
				before := requests()
				f.want(t, r.name, "/api/protected", r.token, r.fate.plain[i])
				asked := requests() - before
				f.want(t, r.name, "/api/sensitive", r.token, r.fate.sensitive[i])
				local := mode == "fallback" && strings.HasPrefix(r.name, "JWT")
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
		"no header":                    "." + payload + "." + signature,
		"no payload":                   header + ".." + signature,
		"4 segments":                   header + "." + payload + "." + signature + "." + signature,
		"4 segments and a dot":         header + "." + payload + "." + signature + ".",
		"5 segments":                   header + "." + payload + "." + signature + ".a.b",
		"5 segments, a signed JWT's":   header + "." + payload + "." + signature + "." + payload + "." + signature,
		"6 segments":                   strings.Repeat(header+".", 5) + signature,
		"a header behind white space":  b64([]byte(" \r\n\t"+`{"alg":"ES256"}`)) + "." + payload + ".a.b",
		"a header in other base64":     base64.RawStdEncoding.EncodeToString([]byte(`{"a":"???>>>","alg":"ES256"}`)) + "." + payload + ".a.b",
		"a bad signature":              header + "." + payload + "." + b64(make([]byte, 64)),
		"a JWT with another's payload": header + "." + strings.Split(issuer.Token(nil), ".")[1] + "." + signature,
		"a JWT with padding":           header + "." + payload + "." + signature + "==",
		"a JWT in front of something":  header + "." + payload + "." + signature + "~WyJzYWx0IiwibiIsInYiXQ~",
	}
	// What is not one is shown to the issuer.
	opaque := map[string]string{
		"1 part":               "czZCaGRSa3F0MzpnWDFmQmF0M2JW",
		"3 parts":              "v2.public.dG9rZW4",
		"4 parts":              "mF_9.B5f-4.1JqM.x",
		"a JWE":                jwe + ".ZWs.aXY.Y3Q.dGFn",
		"a JWE without a key":  jwe + "..aXY.Y3Q.dGFn",
		"a header that is cut": header[:8] + "." + payload,
	}
	for _, mode := range []string{"fallback", "always"} {
		t.Run(mode, func(t *testing.T) {
			f := introspecting(t, mode, []*verifytest.Server{issuer})
			f.awaitReady(t)
			before := issuer.Requests(verifytest.Introspection)
			for name, token := range tokens {
				f.want(t, name, "/api/protected", token, 401)
				f.want(t, name, "/api/sensitive", token, 401)
			}
			if n := issuer.Requests(verifytest.Introspection) - before; n != 0 {
				t.Errorf("%d questions", n)
			}
			for name, token := range opaque {
				f.want(t, name, "/api/protected", token, 200)
			}
		})
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
			opaque, jwt := issuer.OpaqueToken(nil), issuer.Token(nil)
			f.want(t, "opaque", "/api/protected", opaque, c.status)
			f.want(t, "JWT", "/api/protected", issuer.Token(nil), 200)
			f.want(t, "JWT", "/api/sensitive", jwt, c.status)
			mu.Lock()
			defer mu.Unlock()
			about := map[string]int{}
			for _, r := range seen {
				about[r.form.Get("token")]++
			}
			// After a failure an API may ask about a token of its own, too.
			if about[opaque] != len(f) || about[jwt] != len(f) || len(about) > 3 {
				t.Fatalf("%d requests about an opaque token, %d about a JWT, and %d in all; there are %d APIs", about[opaque], about[jwt], len(seen), len(f))
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
			f.awaitReady(t)
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
			try("opaque while the first is down", "/api/protected", issuers[1].OpaqueToken(nil), 503, 1, 0, 0)
			try("the second's JWT while the first is down", "/api/sensitive", issuers[1].Token(nil), 200, 0, 1, 0)
		})
	}
}
