package upstream_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/bearerkit/bearerkit/internal/upstream"
)

// Only registered codes get into errors: a server could send anything.
func TestErrorCode(t *testing.T) {
	for _, tc := range []struct {
		status          int
		mediaType, body string
		code            string
	}{
		{400, "application/json", `{"error":"invalid_client"}`, "invalid_client"},
		{401, "application/json; charset=utf-8", `{"error":"invalid_client","error_description":"S3CR3T"}`, "invalid_client"},
		{403, "application/json", ` {"x":{},"error":"access_denied"} `, "access_denied"},
		{400, "application/json", `{"error":"S3CR3T"}`, ""},
		{400, "application/json", `{"error":["invalid_client"]}`, ""},
		{400, "application/json", `{"error":"invalid_client","error":"x"}`, ""},
		{400, "application/json", `"invalid_client"`, ""},
		{400, "application/json", `{"error":"invalid_client","x":"` + strings.Repeat("x", 8<<10) + `"}`, ""},
		{400, "text/html", `{"error":"invalid_client"}`, ""},
		{400, "", "", ""},
		{500, "application/json", `{"error":"invalid_client"}`, ""},
	} {
		c := upstream.New(upstream.Config{HTTP: &http.Client{Transport: transport(func(r *http.Request) (*http.Response, error) {
			return &http.Response{
				StatusCode: tc.status, Header: http.Header{"Content-Type": {tc.mediaType}}, Body: io.NopCloser(strings.NewReader(tc.body)), ContentLength: -1, Request: r,
			}, nil
		})}})
		_, err := c.Get(t.Context(), "https://a.example/x", nil)
		var e *upstream.Error
		if !errors.As(err, &e) || e.Code != tc.code || e.Status != tc.status || strings.Contains(err.Error(), "S3CR3T") || tc.code != "" && !strings.Contains(err.Error(), tc.code) {
			t.Errorf("%d %s %s: %v", tc.status, tc.mediaType, tc.body, err)
		}
	}
}
