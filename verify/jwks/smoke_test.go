package jwks_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/bearerkit/bearerkit/verify"
	"github.com/bearerkit/bearerkit/verify/jwks"
)

func TestSmoke(t *testing.T) {
	k, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	b, _ := k.PublicKey.Bytes()
	e := base64.RawURLEncoding.EncodeToString
	mux := http.NewServeMux()
	srv := httptest.NewServer(mux)
	defer srv.Close()
	mux.HandleFunc("/.well-known/oauth-authorization-server", func(w http.ResponseWriter, r *http.Request) {
		json.NewEncoder(w).Encode(map[string]any{"issuer": srv.URL, "jwks_uri": srv.URL + "/jwks"})
	})
	mux.HandleFunc("/jwks", func(w http.ResponseWriter, r *http.Request) {
		json.NewEncoder(w).Encode(map[string]any{"keys": []any{map[string]any{"kty": "EC", "crv": "P-256", "kid": "a", "x": e(b[1:33]), "y": e(b[33:])}}})
	})
	s := jwks.Discover(srv.URL)
	if err := s.Bind(srv.URL); err != nil {
		t.Fatal(err)
	}
	set, err := s.Refresh(context.Background(), func(*verify.KeySet) bool { return true })
	t.Log(set.IDs(), err)
	t.Logf("%+v", s.Health())
	s.Close()
}
