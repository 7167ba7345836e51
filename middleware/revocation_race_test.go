package middleware_test

import (
	"crypto/elliptic"
	"encoding/base64"
	"fmt"
	"math/big"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bearerkit/bearerkit/middleware"
	"github.com/bearerkit/bearerkit/verify/verifytest"
)

// otherSignature returns the second valid signature of an ES256 token.
func otherSignature(t *testing.T, token string) string {
	i := strings.LastIndexByte(token, '.') + 1
	sig, err := base64.RawURLEncoding.DecodeString(token[i:])
	if err != nil || len(sig) != 64 {
		t.Fatal("not an ES256 token")
	}
	s := new(big.Int).SetBytes(sig[32:])
	s.Sub(elliptic.P256().Params().N, s).FillBytes(sig[32:])
	return token[:i] + base64.RawURLEncoding.EncodeToString(sig)
}

// A token is revoked while requests with it come to routes with and without
// NotRevoked, and to nested guards. A request to a route with NotRevoked that
// begins after the revocation is refused; and once one of them has been refused,
// every request that begins after that is refused, on whatever route, also with
// the token's other signature. Run with -count=500 for the many orders of events.
func TestRevocationRace(t *testing.T) {
	issuer, auth := newAsking(t, middleware.Config{})
	strict, plain := auth.Require(middleware.NotRevoked()), auth.Require()
	// Answers are delayed before and after they are decided, so that they cross.
	issuer.Fail(verifytest.Introspection, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			pause()
			next.ServeHTTP(&late{w}, r)
		})
	})
	for round := range 8 {
		token := issuer.Token(verifytest.Claims{"round": round}, verifytest.WithAlgorithm("ES256"))
		twin := otherSignature(t, token)
		issuer.Issue(twin, nil) // the worst server: it revokes by the text of the token
		var revoked, refused atomic.Bool
		check := func(what string, fresh bool, decide func() *middleware.Refusal) {
			wasRevoked, wasRefused := revoked.Load(), refused.Load()
			f := decide()
			switch {
			case f == nil && (wasRefused || fresh && wasRevoked):
				t.Errorf("round %d: %s was served, revoked before: %v, refused before: %v", round, what, wasRevoked, wasRefused)
			case f != nil && f.Status != http.StatusUnauthorized:
				t.Errorf("round %d: %s: %v", round, what, f.Err)
			case f != nil && fresh:
				refused.Store(true)
			}
		}
		one := func(g *middleware.Guard, token string) func() *middleware.Refusal {
			return func() *middleware.Refusal { return refusal(g, token) }
		}
		nested := func() *middleware.Refusal {
			r, f := plain.Decide(request(token))
			if f != nil {
				return f
			}
			_, f = strict.Decide(r)
			return f
		}
		if round%2 == 0 {
			check("the first", false, one(plain, token)) // else nobody has seen it
		}
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() { pause(); check("NotRevoked", true, one(strict, token)) })
			wg.Go(func() { pause(); check("the plain route", false, one(plain, token)) })
		}
		for range 2 {
			wg.Go(func() { pause(); check("nested guards", true, nested) })
		}
		wg.Go(func() {
			pause()
			issuer.Revoke(token)
			revoked.Store(true)
		})
		wg.Wait()
		check("NotRevoked, in the end", true, one(strict, token))
		for range 3 {
			check("the plain route, in the end", false, one(plain, token))
			check("nested guards, in the end", true, nested)
		}
		issuer.Revoke(twin)
		check("the other signature, in the end", false, one(plain, twin))
	}
}

// pause lets others run, sometimes for a moment.
func pause() {
	if n := rand.IntN(8); n > 2 {
		time.Sleep(time.Duration(n) * 50 * time.Microsecond)
	}
}

// late sends an answer some time after it was made.
type late struct{ http.ResponseWriter }

func (w *late) Write(p []byte) (int, error) {
	pause()
	n, err := w.ResponseWriter.Write(p)
	if err != nil {
		return n, fmt.Errorf("late: %w", err)
	}
	return n, nil
}
