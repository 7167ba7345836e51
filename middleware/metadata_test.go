package middleware_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/bearerkit/bearerkit/middleware"
)

// TestMetadataMethods: the metadata document can be read, by pages of any origin
// too, and nothing else.
func TestMetadataMethods(t *testing.T) {
	_, with := newStatic(t, middleware.Config{Metadata: &middleware.ResourceMetadata{Resource: "https://api.test"}}, nil)
	_, without := newStatic(t, middleware.Config{}, nil)
	body := metadataDocument(with)
	const allow = "GET, HEAD, OPTIONS"
	for _, c := range []struct {
		method string
		status int
		allow  string
		body   string
	}{
		{"GET", 200, "", body},
		{"HEAD", 200, "", ""},
		{"OPTIONS", 204, allow, ""},
		{"POST", 405, allow, `{"error":"method_not_allowed","error_description":"this document can only be read"}`},
		{"DELETE", 405, allow, `{"error":"method_not_allowed","error_description":"this document can only be read"}`},
		{"get", 405, allow, `{"error":"method_not_allowed","error_description":"this document can only be read"}`},
	} {
		r := httptest.NewRequest(c.method, with.MetadataPath(), nil)
		r.Header.Set("Origin", "https://inspector.test")
		r.Header.Set("Access-Control-Request-Method", "GET")
		r.Header.Set("Access-Control-Request-Headers", "mcp-protocol-version")
		w := httptest.NewRecorder()
		with.MetadataHandler().ServeHTTP(w, r)
		h := w.Header()
		if w.Code != c.status || h.Get("Allow") != c.allow || w.Body.String() != c.body {
			t.Errorf("%s: %d %v %s", c.method, w.Code, h, w.Body)
		}
		if h.Get("Access-Control-Allow-Origin") != "*" || h.Get("Access-Control-Allow-Credentials") != "" || h.Get("Vary") != "" {
			t.Errorf("%s: %v", c.method, h)
		}
		if preflight := c.method == "OPTIONS"; (h.Get("Access-Control-Allow-Methods") == allow) != preflight ||
			(h.Get("Access-Control-Allow-Headers") == "*, Authorization, Content-Type, Mcp-Protocol-Version") != preflight {
			t.Errorf("%s: %v", c.method, h)
		}
		if c.status != 204 && h.Get("Content-Type") != "application/json" {
			t.Errorf("%s: %v", c.method, h)
		}
		w = httptest.NewRecorder()
		without.MetadataHandler().ServeHTTP(w, r)
		if w.Code != http.StatusNotFound {
			t.Errorf("%s, without metadata: %d", c.method, w.Code)
		}
	}
}
