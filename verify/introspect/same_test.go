package introspect_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/bearerkit/bearerkit/verify"
	"github.com/bearerkit/bearerkit/verify/introspect"
)

// otherKind is an introspector of another kind.
type otherKind struct{ verify.Introspector }

// Two sources are the same if everything in their configurations is.
func TestSame(t *testing.T) {
	token := func(context.Context) (string, error) { return "t", nil }
	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	key2, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	_, ed, _ := ed25519.GenerateKey(nil)
	copied := *key
	with := func(a introspect.ClientAuth, edit func(*introspect.Config)) introspect.Config {
		c := introspect.Config{Auth: a, Client: http.DefaultClient, Logger: slog.Default()}
		if edit != nil {
			edit(&c)
		}
		return c
	}
	basic := with(introspect.Basic("c", "s"), nil)
	for _, tc := range []struct {
		name string
		a, b introspect.Config
		want bool
	}{
		{"Basic", basic, with(introspect.Basic("c", "s"), nil), true},
		{"another secret", basic, with(introspect.Basic("c", "t"), nil), false},
		{"another client", basic, with(introspect.Basic("d", "s"), nil), false},
		{"Post", basic, with(introspect.Post("c", "s"), nil), false},
		{"parts that run together", with(introspect.Basic("c", "ss"), nil), with(introspect.Basic("cs", "s"), nil), false},
		{"quotes", with(introspect.Basic("c\" \"", "s"), nil), with(introspect.Basic("c", "\" \"s"), nil), false},
		{"TLS", with(introspect.TLS("c"), nil), with(introspect.TLS("c"), nil), true},
		{"key", with(introspect.PrivateKeyJWT("c", "k", key), nil), with(introspect.PrivateKeyJWT("c", "k", &copied), nil), true},
		{"Ed25519 key", with(introspect.PrivateKeyJWT("c", "", ed), nil), with(introspect.PrivateKeyJWT("c", "", ed), nil), true},
		{"another key", with(introspect.PrivateKeyJWT("c", "k", key), nil), with(introspect.PrivateKeyJWT("c", "k", key2), nil), false},
		{"another key ID", with(introspect.PrivateKeyJWT("c", "k", key), nil), with(introspect.PrivateKeyJWT("c", "l", key), nil), false},
		{"no key", with(introspect.PrivateKeyJWT("c", "k", nil), nil), with(introspect.PrivateKeyJWT("c", "k", nil), nil), false},
		{"a function", with(introspect.Bearer(token), nil), with(introspect.Bearer(token), nil), false},
		{"nothing", introspect.Config{}, introspect.Config{}, false},
		{"URL", basic, with(introspect.Basic("c", "s"), func(c *introspect.Config) { c.URL = "https://x.example" }), false},
		{"TTL", basic, with(introspect.Basic("c", "s"), func(c *introspect.Config) { c.TTL = time.Second }), false},
		{"client", basic, with(introspect.Basic("c", "s"), func(c *introspect.Config) { c.Client = &http.Client{} }), false},
		{"signed", basic, with(introspect.Basic("c", "s"), func(c *introspect.Config) { c.Signed = true }), false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a, b := introspect.New(tc.a), introspect.New(tc.b)
			if a.Same(b) != tc.want || b.Same(a) != tc.want {
				t.Errorf("the same: %v", a.Same(b))
			}
			if a.Same(otherKind{b}) {
				t.Error("the same as another kind")
			}
			_ = b.Close()
			if a.Same(b) || b.Same(a) {
				t.Error("the same as a closed one")
			}
			_ = a.Close()
		})
	}
}
