package jwks_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bearerkit/bearerkit/verify"
	"github.com/bearerkit/bearerkit/verify/jwks"
	"github.com/bearerkit/bearerkit/verify/verifytest"
)

// hosts sends each request to the server of its host.
type hosts map[string]*verifytest.Server

func (h hosts) RoundTrip(r *http.Request) (*http.Response, error) {
	s := h["https://"+r.URL.Host]
	if s == nil {
		return nil, errors.New("no such host")
	}
	return s.Client().Transport.RoundTrip(r)
}

// The keys of issuers that are found at run time are discovered for each, and not
// fetched any more when the issuer is not used.
func TestFoundIssuersAreDiscovered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		servers := hosts{}
		for i := range 3 {
			name := fmt.Sprintf("https://tenant-%d.example", i)
			servers[name] = verifytest.NewInMemory(name)
			defer servers[name].Close()
		}
		v, err := verify.New(verify.Config{
			FindIssuer: func(_ context.Context, iss string) (verify.Issuer, error) {
				return verify.Issuer{ // trusts every name, which is wrong outside of a test
					Audience: []string{"https://api.example.com"},
					Keys:     jwks.New(jwks.Config{Client: &http.Client{Transport: servers}, Logger: quiet()}),
				}, nil
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		defer v.Close()
		verified := func(s *verifytest.Server, want error) {
			t.Helper()
			if _, err := v.Verify(t.Context(), s.Token(nil)); !errors.Is(err, want) || want == nil && err != nil {
				t.Errorf("%s: %v, want %v", s.Issuer(), err, want)
			}
		}
		first, down, other := servers["https://tenant-0.example"], servers["https://tenant-1.example"], servers["https://tenant-2.example"]
		verified(first, nil)
		first.Rotate()
		verified(first, nil)
		// An issuer that is down affects only its own tokens, and is found when it
		// is back.
		down.Down()
		for range 3 {
			verified(down, verify.ErrUnavailable)
			verified(first, nil)
		}
		down.Up()
		time.Sleep(time.Second)
		verified(down, nil)
		down.Down()
		verified(down, nil)
		// A key of one issuer is not a key of another.
		if _, err := v.Verify(t.Context(), other.Token(verifytest.Claims{"iss": first.Issuer()})); !errors.Is(err, verify.ErrUnknownKey) {
			t.Error(err)
		}
		// A made-up issuer has no keys.
		verified(verifytest.NewInMemory("https://made-up.example"), verify.ErrUnavailable)
		down.Up()
		time.Sleep(30 * time.Minute)
		before := requests(servers)
		time.Sleep(24 * time.Hour)
		if n := requests(servers) - before; n > 0 {
			t.Errorf("%d requests for keys that nobody needs", n)
		}
		verified(first, nil)
	})
}

func requests(servers hosts) (n int) {
	for _, s := range servers {
		for _, e := range verifytest.Endpoints() {
			n += s.Requests(e)
		}
	}
	return n
}
