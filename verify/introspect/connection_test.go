package introspect_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"github.com/bearerkit/bearerkit/verify/introspect"
)

// A hangUp is a server that answers one request per connection. It reads a second one
// and closes the connection, as a server does when its idle timeout has just ended.
type hangUp struct {
	net.Listener
	mu      sync.Mutex
	forms   []url.Values
	dropped int
	conns   sync.WaitGroup
}

func newHangUp(t *testing.T) *hangUp {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := &hangUp{Listener: l}
	h.conns.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			h.conns.Go(func() { h.serve(c) })
		}
	})
	t.Cleanup(func() { l.Close(); h.conns.Wait() })
	return h
}

func (h *hangUp) serve(c net.Conn) {
	defer c.Close()
	r := bufio.NewReader(c)
	for answered := false; ; answered = true {
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return
		}
		form, _ := url.ParseQuery(string(body))
		h.mu.Lock()
		h.forms = append(h.forms, form)
		if answered {
			h.dropped++
		}
		h.mu.Unlock()
		if answered {
			return
		}
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 15\r\n\r\n{\"active\":true}")
	}
}

// If the server closes a connection just when it is used again, the request is sent
// again, because introspection changes nothing. A client assertion is not reused.
func TestConnectionClosedByTheServer(t *testing.T) {
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	for name, auth := range map[string]introspect.ClientAuth{
		"Basic": introspect.Basic("client-7", "secret"), "Post": introspect.Post("client-7", "secret"),
		"Bearer":        introspect.Bearer(func(context.Context) (string, error) { return "own-token", nil }),
		"PrivateKeyJWT": introspect.PrivateKeyJWT("client-7", "k1", key),
	} {
		for _, own := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				h := newHangUp(t)
				at := "http://" + h.Addr().String()
				c := introspect.Config{Auth: auth, URL: at + "/introspect", TTL: introspect.NoTTL, Logger: slog.New(slog.DiscardHandler)}
				if !own {
					client := &http.Client{Transport: &http.Transport{}}
					defer client.CloseIdleConnections()
					c.Client = client
				}
				s := introspect.New(c)
				defer s.Close()
				if err := s.Bind(at, nil); err != nil {
					t.Fatal(err)
				}
				for range 4 {
					if !ask(t, s, query("token")).Active {
						t.Error("inactive")
					}
				}
				h.mu.Lock()
				defer h.mu.Unlock()
				if h.dropped == 0 {
					t.Fatal("no connection was used again")
				}
				if counters := healthOf(s).Counters; counters.Failures != 0 || counters.Calls != 4 {
					t.Errorf("%+v", counters)
				}
				seen := map[string]bool{}
				for _, f := range h.forms {
					if f.Get("token") != "token" {
						t.Errorf("form %v", f)
					}
					if name != "PrivateKeyJWT" {
						continue
					}
					claims := jwt.MapClaims{}
					if _, err := jwt.ParseWithClaims(f.Get("client_assertion"), claims, func(*jwt.Token) (any, error) { return key.Public(), nil }); err != nil {
						t.Error(err)
					}
					id, _ := claims["jti"].(string)
					if seen[id] {
						t.Error("an assertion was sent twice")
					}
					seen[id] = true
				}
			})
		}
	}
}

// A server that closes every connection is not asked endlessly.
func TestConnectionsAlwaysClosed(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var conns sync.WaitGroup
	accepted := 0
	conns.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			accepted++
			_, _ = http.ReadRequest(bufio.NewReader(c))
			c.Close()
		}
	})
	at := "http://" + l.Addr().String()
	s := introspect.New(introspect.Config{Auth: basic(), URL: at + "/introspect", Logger: slog.New(slog.DiscardHandler)})
	defer s.Close()
	if err := s.Bind(at, nil); err != nil {
		t.Fatal(err)
	}
	if err := fail(t, s, query("token")); !strings.Contains(err.Error(), "breaks the connection") {
		t.Error(err)
	}
	l.Close()
	conns.Wait()
	if accepted != 1 {
		t.Errorf("%d connections", accepted)
	}
}
