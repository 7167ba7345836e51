package middleware_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http/httptest"
	"testing"

	"github.com/bearerkit/bearerkit/middleware"
	"github.com/bearerkit/bearerkit/verify"
	"github.com/bearerkit/bearerkit/verify/verifytest"
)

// With FindIssuer, an issuer that is not trusted is 401, one that cannot be found
// out is 503, and neither issuers nor readiness depend on what was found.
func TestFoundIssuers(t *testing.T) {
	found := verifytest.NewInMemory("https://found.example")
	t.Cleanup(found.Close)
	unknown := errors.New("the database does not answer")
	c := middleware.Config{Metadata: &middleware.ResourceMetadata{Resource: "https://api.example"}, Logger: slog.New(slog.DiscardHandler)}
	issuer, auth := newStatic(t, c, func(c *verify.Config) {
		keys := c.Issuers[0].Keys
		c.Issuers = nil
		c.FindIssuer = func(_ context.Context, iss string) (verify.Issuer, error) {
			switch iss {
			case "https://issuer.example":
				return verify.Issuer{Audience: []string{found.Audience()}, Keys: keys}, nil
			case "https://found.example":
				return verify.Issuer{}, unknown
			}
			return verify.Issuer{}, verify.ErrIssuer
		}
	})
	served := func() {
		t.Helper()
		w := httptest.NewRecorder()
		auth.MetadataHandler().ServeHTTP(w, httptest.NewRequest("GET", auth.MetadataPath(), nil))
		if want := `{"resource":"https://api.example","bearer_methods_supported":["header"]}`; w.Body.String() != want {
			t.Errorf("metadata %s, want %s", w.Body, want)
		}
		if !auth.Verifier().Ready() {
			t.Error("not ready")
		}
	}
	served()
	for name, c := range map[string]struct {
		token      string
		status     int
		retryAfter string
	}{
		"good":          {issuer.Token(nil), 0, ""},
		"another's key": {found.Token(verifytest.Claims{"iss": issuer.Issuer()}), 401, ""},
		"not trusted":   {found.Token(verifytest.Claims{"iss": "https://stranger.example"}), 401, ""},
		"not known":     {found.Token(nil), 503, "1"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, guard := range []*middleware.Guard{auth.Require(), auth.Optional()} {
				r := refused(guard, request(c.token))
				if (r == nil) != (c.status == 0) || r != nil && (r.StatusCode != c.status || r.Header.Get("Retry-After") != c.retryAfter) {
					t.Errorf("%+v", r)
				}
			}
		})
	}
	served()
}
