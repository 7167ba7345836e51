package jwks

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/bearerkit/bearerkit/internal/upstream"
)

// An answer is a key set document (status 200), or the confirmation that the last one
// is current (status 304).
type answer struct {
	notModified bool
	body        []byte
	etag        string
	lifetime    time.Duration
	said        bool // lifetime is from the answer's header, not the default
	asked       time.Time
}

// get fetches the key set: if etag is not empty, only if it has changed; if uncached,
// bypassing caches.
func get(ctx context.Context, client *upstream.Client, url, etag string, uncached bool) (*answer, error) {
	h := http.Header{"Accept": {"application/jwk-set+json, application/json"}}
	if etag != "" {
		h.Set("If-None-Match", etag)
	}
	if uncached {
		h.Set("Cache-Control", "no-cache")
	}
	resp, err := client.Get(ctx, url, h)
	if err != nil {
		return nil, err
	}
	a := &answer{notModified: resp.Status == http.StatusNotModified, body: resp.Body, asked: resp.Asked, etag: entityTag(resp.Header.Get("ETag"))}
	a.lifetime, a.said = lifetime(resp.Header, time.Now())
	return a, nil
}

// entityTag returns an ETag (RFC 9110 section 8.8.3) if it can be sent back, else "":
// with a header that cannot be sent every later request would fail.
func entityTag(s string) string {
	if len(s) > 256 || !strings.HasSuffix(s, `"`) || strings.ContainsFunc(s, func(r rune) bool { return r < '!' || r > '~' }) {
		return ""
	}
	return s
}
