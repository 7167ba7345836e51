package jwks_test

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bearerkit/bearerkit/verify"
	"github.com/bearerkit/bearerkit/verify/jwks"
)

func TestMaxStaleFaults(t *testing.T) {
	for d, want := range map[time.Duration]bool{
		-time.Hour: true, -1: true, 1: true, time.Second - 1: true,
		0: false, time.Second: false, time.Hour: false,
	} {
		err := jwks.New(jwks.Config{MaxStale: d}).Bind(issuerURL)
		faults := verify.Faults(err)
		if got := len(faults) == 1 && faults[0].Field == "MaxStale" && strings.Contains(faults[0].Problem, "refresh"); got != want || !want && err != nil {
			t.Errorf("%v: %v", d, err)
		}
	}
}

// bindingHandler binds its source once more while a record is being made.
type bindingHandler struct {
	slog.Handler
	bind func()
}

func (h bindingHandler) Enabled(ctx context.Context, level slog.Level) bool {
	h.bind()
	return h.Handler.Enabled(ctx, level)
}

// Another verifier may be bound to a source that runs: with the race detector
// this fails if Bind then writes what the refresher reads.
func TestBindWhileRunning(t *testing.T) {
	var logs logBuffer
	var wg sync.WaitGroup
	f := &fakeIssuer{handler: serving(document(newKey("a")))}
	c := jwks.Config{URL: keysURL, Client: &http.Client{Transport: f}}
	var s *jwks.Source
	c.Logger = slog.New(bindingHandler{logs.logger().Handler(), func() {
		wg.Go(func() {
			if err := s.Bind(issuerURL); err != nil {
				t.Error(err)
			}
		})
	}})
	s = jwks.New(c)
	defer s.Close()
	if err := s.Bind(issuerURL); err != nil {
		t.Fatal(err)
	}
	for logs.count("key set ready") == 0 {
		_, _ = s.KeySet()
		time.Sleep(time.Millisecond)
	}
	wg.Wait()
}
