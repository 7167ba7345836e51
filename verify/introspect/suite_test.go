package introspect_test

import (
	"log/slog"
	"testing"

	"github.com/bearerkit/bearerkit/verify"
	"github.com/bearerkit/bearerkit/verify/introspect"
	"github.com/bearerkit/bearerkit/verify/verifytest"
)

func TestIntrospectors(t *testing.T) {
	auth := introspect.Basic(verifytest.ClientID, verifytest.ClientSecret)
	quiet := slog.New(slog.DiscardHandler)
	for name, newIntrospector := range map[string]func(*verifytest.Server) verify.Introspector{
		"URL": func(s *verifytest.Server) verify.Introspector {
			return introspect.New(introspect.Config{Auth: auth, URL: s.URL(verifytest.Introspection), Logger: quiet})
		},
		"metadata": func(*verifytest.Server) verify.Introspector {
			return introspect.New(introspect.Config{Auth: auth, Logger: quiet})
		},
		"no TTL": func(*verifytest.Server) verify.Introspector {
			return introspect.New(introspect.Config{Auth: auth, TTL: introspect.NoTTL, Logger: quiet})
		},
	} {
		t.Run(name, func(t *testing.T) {
			if err := verifytest.TestIntrospector(newIntrospector); err != nil {
				t.Error(err)
			}
		})
	}
}
