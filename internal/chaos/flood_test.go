package chaos_test

import (
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/bearerkit/bearerkit/verify"
	"github.com/bearerkit/bearerkit/verify/jwks"
	"github.com/bearerkit/bearerkit/verify/verifytest"
)

// TestFlood floods the example API with invented key IDs beside honest load: the issuer
// is asked no more often than the budget allows, no good token is refused, and every
// forged one is.
func TestFlood(t *testing.T) {
	for _, framework := range frameworks {
		t.Run(framework, func(t *testing.T) { flood(t, framework) })
	}
}

func flood(t *testing.T, framework string) {
	issuer := verifytest.NewServer()
	defer issuer.Close()
	issuer.SetHeader(verifytest.JWKS, "Cache-Control", "max-age=3600")
	w := &world{t: t, ground: ground(framework), issuer: issuer, base: run(t, framework, []*verifytest.Server{issuer}), start: time.Now()}
	tok := issuer.Token(nil)
	if status := w.call(tok); status != 200 {
		t.Fatalf("before the flood: %d", status)
	}
	known := issuer.Key().ID
	before, start := issuer.Requests(verifytest.JWKS), time.Now()
	var flood, honest sync.WaitGroup
	for range 4 {
		flood.Go(func() {
			for i := range 250 {
				k := verifytest.NewKey("ES256")
				if i%2 == 0 {
					k.ID = known // a bad signature under a known kid
				}
				if status := w.call(issuer.Token(nil, verifytest.WithKey(k))); status != 401 {
					t.Errorf("a made-up token got %d", status)
				}
			}
		})
	}
	stop := make(chan struct{})
	for range 8 {
		honest.Go(func() {
			for !closed(stop) {
				if status := w.call(tok); status != 200 {
					t.Errorf("an honest token got %d", status)
				}
				time.Sleep(16 * time.Millisecond)
			}
		})
	}
	flood.Wait()
	close(stop)
	honest.Wait()
	most := 2 + int(time.Since(start)/(10*time.Second))
	if n := issuer.Requests(verifytest.JWKS) - before; n == 0 || n > most {
		t.Errorf("the flood cost the issuer %d fetches, allowed are %d", n, most)
	}
}

// TestUnreachable: a host that cannot be resolved and a certificate that is not trusted
// make the result unavailable, and do not refuse the token.
func TestUnreachable(t *testing.T) {
	untrusted := httptest.NewTLSServer(http.NotFoundHandler())
	defer untrusted.Close()
	untrusted.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	issuer := verifytest.NewServer()
	defer issuer.Close()
	for name, url := range map[string]string{
		"a name that does not resolve": "https://issuer.invalid/jwks",
		"an untrusted certificate":     untrusted.URL + "/jwks",
		"TLS towards plain HTTP":       "https" + issuer.JWKSURL()[len("http"):],
	} {
		source := jwks.New(jwks.Config{URL: url, Logger: slog.New(slog.DiscardHandler)})
		v, err := verify.New(verify.Config{Issuers: []verify.Issuer{{Issuer: issuer.Issuer(), Audience: []string{issuer.Audience()}, Keys: source}}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := v.Verify(t.Context(), issuer.Token(nil)); !errors.Is(err, verify.ErrUnavailable) {
			t.Errorf("%s: %v", name, err)
		}
		if h := source.Health(); h.Ready || h.LastError == nil {
			t.Errorf("%s: health %+v", name, h)
		}
		v.Close()
	}
}
