package introspect_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bearerkit/bearerkit/internal/testkit"
	"github.com/bearerkit/bearerkit/verify"
	"github.com/bearerkit/bearerkit/verify/introspect"
	"github.com/bearerkit/bearerkit/verify/jwks"
	"github.com/bearerkit/bearerkit/verify/verifytest"
)

// alwaysAsking makes a verifier that introspects every token, in fake time. edit is
// called before the first call.
func alwaysAsking(t *testing.T, edit func(*verifytest.Server, *introspect.Config), f func(*testing.T, *verifytest.Server, *verify.Verifier, *introspect.Source)) {
	synctest.Test(t, func(t *testing.T) {
		issuer := verifytest.NewInMemory(issuerURL)
		defer issuer.Close()
		s := introspect.New(config(issuer, func(c *introspect.Config) {
			if c.URL = ""; edit != nil {
				edit(issuer, c)
			}
		}))
		var keys []verify.Key
		for _, k := range issuer.Keys() {
			keys = append(keys, verify.Key{ID: k.ID, Algorithm: k.Algorithm, Public: k.Public()})
		}
		v, err := verify.New(verify.Config{
			Issuers: []verify.Issuer{{
				Issuer: issuer.Issuer(), Audience: []string{issuer.Audience()}, Keys: jwks.Static(keys...),
				Introspection: &verify.Introspection{Introspector: s, Always: true},
			}},
		})
		if err != nil {
			t.Fatal(err)
		}
		defer v.Close()
		f(t, issuer, v, s)
	})
}

// poll asks every half second whether the verifier is ready, as a readiness probe does,
// and returns how long it took until the answer was as wanted.
func poll(t *testing.T, v *verify.Verifier, want bool) time.Duration {
	t.Helper()
	for start := time.Now(); ; time.Sleep(500 * time.Millisecond) {
		synctest.Wait()
		if v.Ready() == want {
			return time.Since(start)
		}
		if time.Since(start) > 10*time.Second {
			t.Fatalf("never ready=%v: %v", want, v.NotReady())
		}
	}
}

// stays checks that the verifier stays ready, or not ready, for ten seconds.
func stays(t *testing.T, v *verify.Verifier, ready bool) {
	t.Helper()
	for range 20 {
		synctest.Wait()
		if v.Ready() != ready {
			t.Fatalf("ready=%v: %v", v.Ready(), v.NotReady())
		}
		time.Sleep(500 * time.Millisecond)
	}
}

// With Always, a service that gets no answers is not ready, logs why before the first
// request arrives, and recovers by itself.
func TestAlwaysIsReadyOnceAnswersCome(t *testing.T) {
	secret := func(auth introspect.ClientAuth) func(*verifytest.Server, *introspect.Config) {
		return func(_ *verifytest.Server, c *introspect.Config) { c.Auth = auth }
	}
	metadata := func(m map[string]any) func(*verifytest.Server, *introspect.Config) {
		return func(s *verifytest.Server, _ *introspect.Config) {
			s.SetMetadata(verifytest.OpenIDConfiguration, m)
			s.SetMetadata(verifytest.OAuthMetadata, m)
		}
	}
	endpoint := func(faults ...verifytest.Fault) func(*verifytest.Server, *introspect.Config) {
		return func(s *verifytest.Server, _ *introspect.Config) { s.Fail(verifytest.Introspection, faults...) }
	}
	broken := true
	for _, tc := range []struct {
		name        string
		edit        func(*verifytest.Server, *introspect.Config)
		level, says string
		cure        func(*verifytest.Server)
	}{
		{"a wrong secret", secret(introspect.Basic(verifytest.ClientID, "another")), "ERROR", "does not accept this client's credentials",
			func(s *verifytest.Server) { s.AddClient(verifytest.ClientID, "another") }},
		{"an unknown client", secret(introspect.Post("nobody", "secret")), "ERROR", "does not accept this client's credentials",
			func(s *verifytest.Server) { s.AddClient("nobody", "secret") }},
		{"no endpoint in the metadata", metadata(map[string]any{"introspection_endpoint": nil}), "ERROR", "it has no introspection_endpoint",
			func(s *verifytest.Server) {
				for _, e := range []verifytest.Endpoint{verifytest.OpenIDConfiguration, verifytest.OAuthMetadata} {
					s.SetMetadata(e, map[string]any{"introspection_endpoint": s.URL(verifytest.Introspection)})
				}
			}},
		{"a wrong URL", func(s *verifytest.Server, c *introspect.Config) {
			c.URL = issuerURL + "/revoke"
			s.Fail(verifytest.Revocation, verifytest.Status(404))
		}, "ERROR", "/revoke: status 404: this is not an introspection endpoint", func(s *verifytest.Server) {
			s.Fail(verifytest.Revocation, says(`{"active":false}`))
		}},
		{"400 for a wrong secret", endpoint(verifytest.Answer(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json;charset=UTF-8")
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, `{"error":"invalid_client","error_description":"raw-secret"}`)
		})), "ERROR", "status 400 invalid_client: the server does not accept this client's credentials", nil},
		{"200 for a wrong secret", endpoint(says(`{"error":"invalid_client"}`)), "ERROR", "but the error invalid_client", nil},
		{"200 with a page", endpoint(verifytest.Body("text/html", "<!doctype html>")), "ERROR", "not a JSON object", nil},
		{"not signed", func(_ *verifytest.Server, c *introspect.Config) { c.Signed = true }, "ERROR", "is not signed", func(s *verifytest.Server) {
			s.Fail(verifytest.Introspection, verifytest.Answer(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/token-introspection+jwt")
				key := s.Key()
				_, _ = io.WriteString(w, key.Sign(
					fmt.Sprintf(`{"alg":%q,"kid":%q,"typ":"token-introspection+jwt"}`, key.Algorithm, key.ID),
					fmt.Sprintf(`{"iss":%q,"aud":%q,"iat":%d,"token_introspection":{"active":false}}`, issuerURL, verifytest.ClientID, time.Now().Unix())))
			}))
		}},
		{"a page to sign in", endpoint(verifytest.Answer(http.RedirectHandler(issuerURL+"/login", http.StatusFound).ServeHTTP)), "ERROR", "status 302", nil},
		{"no credentials", secret(introspect.Bearer(func(context.Context) (string, error) {
			if broken {
				return "", errors.New("no token today")
			}
			return "x", nil
		})), "ERROR", "no token today", func(s *verifytest.Server) { broken = false; s.Fail(verifytest.Introspection, says(`{"active":false}`)) }},
		{"down", func(s *verifytest.Server, _ *introspect.Config) { s.Down() }, "WARN", "cannot be reached", nil},
		{"hangs", endpoint(verifytest.Hang()), "WARN", "in time", nil},
		{"a gateway", endpoint(verifytest.Status(502)), "WARN", "status 502", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var log testkit.LogBuffer
			edit := func(s *verifytest.Server, c *introspect.Config) {
				tc.edit(s, c)
				c.Logger = log.Logger()
			}
			alwaysAsking(t, edit, func(t *testing.T, issuer *verifytest.Server, v *verify.Verifier, s *introspect.Source) {
				time.Sleep(5 * time.Second) // as long as a call may last
				synctest.Wait()
				if text := log.String(); log.Count("\n") != 1 || !strings.Contains(text, "level="+tc.level) || !strings.Contains(text, tc.says) {
					t.Errorf("the log says\n%s", text)
				}
				if err := v.NotReady(); err == nil || !strings.Contains(err.Error(), tc.says) {
					t.Errorf("not ready because of %v", err)
				}
				stays(t, v, false)
				if tc.cure == nil {
					cure(issuer)
				} else {
					tc.cure(issuer)
				}
				if d := poll(t, v, true); d > 2*time.Second {
					t.Errorf("ready after %v", d)
				}
				if log.Count("\n") != 2 {
					t.Errorf("the log says\n%s", log.String())
				}
				stays(t, v, true)
			})
		})
	}
}

// A source whose server answers is ready, even if the server fails for invented tokens,
// and notices when that changes.
func TestReadyAndBack(t *testing.T) {
	slow := func(issuer *verifytest.Server, _ *introspect.Config) {
		issuer.Fail(verifytest.Introspection, verifytest.Times(1, verifytest.Slow(900*time.Millisecond)))
	}
	alwaysAsking(t, slow, func(t *testing.T, issuer *verifytest.Server, v *verify.Verifier, s *introspect.Source) {
		if v.Ready() {
			t.Error("ready before the server has answered")
		}
		if d := poll(t, v, true); d != time.Second {
			t.Errorf("ready after %v", d)
		}
		for _, outage := range outages() {
			outage.strike(issuer)
			for range 12 { // callers notice
				_, _ = v.Verify(t.Context(), issuer.Token(nil))
				time.Sleep(200 * time.Millisecond)
			}
			if d := poll(t, v, false); d > 8*time.Second {
				t.Errorf("%s: not ready after %v", outage.name, d)
			}
			cure(issuer)
			if d := poll(t, v, true); d > 8*time.Second {
				t.Errorf("%s: ready after %v", outage.name, d)
			}
			accept(t, v, issuer.Token(nil))
		}
	})
	// A server that fails for invented tokens.
	for _, status := range []int{400, 422, 500} {
		unknown := func(_ *verifytest.Server, c *introspect.Config) {}
		alwaysAsking(t, func(s *verifytest.Server, c *introspect.Config) {
			unknown(s, c)
			s.Fail(verifytest.Introspection, verifytest.Status(status))
		}, func(t *testing.T, issuer *verifytest.Server, v *verify.Verifier, s *introspect.Source) {
			poll(t, v, true)
			stays(t, v, true)
		})
	}
}

// Ready causes at most a call a second while the source is not ready, and otherwise one
// a minute.
func TestReadinessCostsLittle(t *testing.T) {
	alwaysAsking(t, nil, func(t *testing.T, issuer *verifytest.Server, v *verify.Verifier, s *introspect.Source) {
		ask := func(d time.Duration) (calls int) {
			before := calls + issuer.Requests(verifytest.Introspection)
			for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
				for range 10 {
					v.Ready()
				}
			}
			return issuer.Requests(verifytest.Introspection) - before
		}
		poll(t, v, true)
		if n := ask(50 * time.Second); n != 0 {
			t.Errorf("%d calls in a minute", n)
		}
		if n := ask(5 * time.Minute); n < 4 || n > 5 {
			t.Errorf("%d calls in five minutes", n)
		}
		issuer.Fail(verifytest.Introspection, verifytest.Status(503))
		_, _ = v.Verify(t.Context(), issuer.Token(nil))
		if n := ask(10 * time.Second); n < 9 || n > 11 {
			t.Errorf("%d calls in ten seconds", n)
		}
		if c := healthOf(s).Counters; c.Checks < 14 || c.Calls != 1 {
			t.Errorf("%+v", c)
		}
	})
}

// Without Always a service is ready without answers, and makes no call until it has to.
func TestFallbackIsReadyWithoutAnswers(t *testing.T) {
	issuer := newIssuer(t)
	v, _ := verifier(t, issuer, false, nil)
	issuer.Down()
	if !v.Ready() {
		t.Error(v.NotReady())
	}
	runtime.Gosched()
	if n := calls(issuer); n != 0 {
		t.Errorf("%d calls", n)
	}
}

// Invented tokens do not make a service unready, and do not keep it unready.
func TestStrangersDoNotDecideAboutReadiness(t *testing.T) {
	for name, fault := range map[string]verifytest.Fault{
		"400": verifytest.Status(400), "401": verifytest.Status(401), "403": verifytest.Status(403), "404": verifytest.Status(404), "500": verifytest.Status(500),
		"502": verifytest.Status(502), "cut": verifytest.Cut(), "hang": verifytest.Hang(), "nonsense": says("{}"),
	} {
		t.Run(name, func(t *testing.T) {
			evil := func(s *verifytest.Server, _ *introspect.Config) {
				s.Fail(verifytest.Introspection, about(func(token string) bool { return strings.HasPrefix(token, "evil") }, fault))
			}
			alwaysAsking(t, evil, func(t *testing.T, issuer *verifytest.Server, v *verify.Verifier, s *introspect.Source) {
				ctx, stop := context.WithCancel(t.Context())
				defer stop()
				flood := func() {
					for i := range 200 {
						go func() { _, _ = v.Verify(ctx, fmt.Sprint("evil", i)) }()
					}
				}
				flood()
				poll(t, v, true)
				for range 20 {
					flood()
					synctest.Wait()
					if !v.Ready() {
						t.Fatal(v.NotReady())
					}
					time.Sleep(500 * time.Millisecond)
				}
			})
		})
	}
}

// about applies a fault to some tokens only.
func about(some func(token string) bool, fault verifytest.Fault) verifytest.Fault {
	return func(next http.Handler) http.Handler {
		faulty := fault(next)
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_ = r.ParseForm()
			if some(r.PostForm.Get("token")) {
				faulty.ServeHTTP(w, r)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}

func TestClosedSourceIsNotReady(t *testing.T) {
	alwaysAsking(t, nil, func(t *testing.T, _ *verifytest.Server, v *verify.Verifier, s *introspect.Source) {
		poll(t, v, true)
		s.Close()
		if v.Ready() || !strings.Contains(v.NotReady().Error(), "closed") {
			t.Error(v.NotReady())
		}
	})
}

// The log names the URL, without secrets, and the cause of the failure.
func TestLogNamesWhatFailed(t *testing.T) {
	const secret = "S3CR3T"
	for _, tc := range []struct {
		name  string
		edit  func(*verifytest.Server, *introspect.Config)
		wants []string
	}{
		{"status", func(s *verifytest.Server, c *introspect.Config) {
			c.URL = s.URL(verifytest.Introspection) + "?apikey=" + secret
			s.Fail(verifytest.Introspection, verifytest.Status(503))
		}, []string{"WARN", "url=\"https://issuer.example/introspect?apikey=xxxxx\"", "status 503"}},
		{"nonsense", func(s *verifytest.Server, c *introspect.Config) {
			c.URL = s.URL(verifytest.Introspection) + "?apikey=" + secret
			s.Fail(verifytest.Introspection, says(`{"message":"`+secret+`"}`))
		}, []string{"WARN", "url=\"https://issuer.example/introspect?apikey=xxxxx\"", "boolean"}},
		{"another issuer's metadata, and none", func(s *verifytest.Server, c *introspect.Config) {
			c.URL = ""
			s.SetMetadata(verifytest.OpenIDConfiguration, map[string]any{"issuer": "https://other.example"})
			s.Fail(verifytest.OAuthMetadata, verifytest.Status(404))
		}, []string{"ERROR", "/.well-known/openid-configuration: its issuer is not the configured one", "/.well-known/oauth-authorization-server: status 404"}},
		{"no endpoint", func(s *verifytest.Server, c *introspect.Config) {
			c.URL = ""
			s.SetMetadata(verifytest.OpenIDConfiguration, map[string]any{"introspection_endpoint": nil})
			s.Fail(verifytest.OAuthMetadata, verifytest.Status(404))
		}, []string{"ERROR", "openid-configuration: it has no introspection_endpoint", "oauth-authorization-server: status 404"}},
		{"down", func(s *verifytest.Server, c *introspect.Config) { c.URL = ""; s.Down() },
			[]string{"WARN", "https://issuer.example/.well-known/openid-configuration: the host cannot be reached"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			issuer := newIssuer(t)
			var log testkit.LogBuffer
			s := open(t, issuer, func(c *introspect.Config) {
				tc.edit(issuer, c)
				c.Logger = log.Logger()
			})
			for range 5 {
				fail(t, s, verified("token"))
			}
			text := log.String()
			for _, want := range tc.wants {
				if !strings.Contains(text, want) {
					t.Errorf("no %q in\n%s", want, text)
				}
			}
			if log.Count("\n") != 1 || strings.Contains(text, secret) || strings.Contains(fmt.Sprintf("%+v", healthOf(s)), secret) {
				t.Errorf("%d lines:\n%s", log.Count("\n"), text)
			}
		})
	}
}

// Signed answers have an audience: with neither a client ID nor an audience none could
// be accepted.
func TestSignedAnswersNeedAnAudience(t *testing.T) {
	bearer := introspect.Bearer(func(context.Context) (string, error) { return "x", nil })
	for _, tc := range []struct {
		name     string
		auth     introspect.ClientAuth
		signed   bool
		audience []string
		fault    bool
	}{
		{"neither", bearer, true, nil, true},
		{"an audience", bearer, true, []string{"api"}, false},
		{"a client ID", basic(), true, nil, false},
		{"both", basic(), true, []string{"api"}, false},
		{"plain answers", bearer, false, nil, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := verify.Config{Issuers: []verify.Issuer{{
				Issuer: issuerURL, Audience: tc.audience, InsecureNoAudience: tc.audience == nil, Keys: jwks.Discover(issuerURL),
				Introspection: &verify.Introspection{Introspector: introspect.New(introspect.Config{Auth: tc.auth, Signed: tc.signed})},
			}}}
			f := verify.Faults(c.Validate())
			if tc.fault != (len(f) == 1 && f[0].Field == "Issuers[0].Introspection.Signed") || !tc.fault && len(f) > 0 {
				t.Errorf("faults %v", f)
			}
		})
	}
}

// An answer counts for more than a check that began before it and has failed since.
func TestLateCheckDoesNotCount(t *testing.T) {
	alwaysAsking(t, func(s *verifytest.Server, _ *introspect.Config) {
		s.Fail(verifytest.Introspection, verifytest.Times(1, verifytest.Hang()))
	}, func(t *testing.T, issuer *verifytest.Server, v *verify.Verifier, s *introspect.Source) {
		synctest.Wait()
		time.Sleep(time.Second)
		accept(t, v, issuer.Token(nil))
		for range 10 {
			if !v.Ready() || healthOf(s).State != verify.StateReady {
				t.Fatal(v.NotReady())
			}
			time.Sleep(time.Second)
			synctest.Wait()
		}
	})
}

// A server that refuses this client after it was down gets another log line.
func TestLogSaysWhenItIsTheSetup(t *testing.T) {
	var log testkit.LogBuffer
	alwaysAsking(t, func(s *verifytest.Server, c *introspect.Config) {
		c.Auth, c.Logger = introspect.Basic(verifytest.ClientID, "another"), log.Logger()
		s.Down()
	}, func(t *testing.T, issuer *verifytest.Server, v *verify.Verifier, s *introspect.Source) {
		stays(t, v, false)
		issuer.Up()
		stays(t, v, false)
		lines := strings.Split(strings.TrimSpace(log.String()), "\n")
		if len(lines) != 2 || !strings.Contains(lines[0], "level=WARN") || !strings.Contains(lines[1], "level=ERROR") || !strings.Contains(lines[1], "credentials") {
			t.Errorf("the log says\n%s", log.String())
		}
	})
}

// A stranger's token that a firewall in front of the server refuses, as if this
// client were not set up, does not make a service unready whose server does not
// answer about invented tokens either.
func TestStrangersDoNotDecideAboutSetup(t *testing.T) {
	refuse := func(issuer *verifytest.Server, _ *introspect.Config) {
		issuer.Fail(verifytest.Introspection, verifytest.Answer(func(w http.ResponseWriter, r *http.Request) {
			if strings.Contains(r.FormValue("token"), "etc/passwd") {
				w.WriteHeader(http.StatusForbidden)
				return
			}
			w.WriteHeader(http.StatusBadRequest)
		}))
	}
	alwaysAsking(t, refuse, func(t *testing.T, _ *verifytest.Server, v *verify.Verifier, s *introspect.Source) {
		poll(t, v, true)
		if _, err := v.Verify(t.Context(), "x/../../etc/passwd"); !errors.Is(err, verify.ErrUnavailable) {
			t.Fatal(err)
		}
		stays(t, v, true)
		if h := s.Health(); h.State == verify.StateFailing {
			t.Errorf("the state is %s", h.State)
		}
	})
}
