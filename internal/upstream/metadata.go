package upstream

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/bearerkit/bearerkit/internal/strictjson"
)

// maxURL is the longest URL accepted in metadata, in bytes.
const maxURL = 2048

// WellKnown returns the URLs of an issuer's metadata: the one of OpenID Connect
// Discovery 1.0 section 4, appended to the issuer without its trailing slash, and
// the one of RFC 8414 section 3.1, inserted between host and path.
func WellKnown(issuer string) []string {
	u, err := url.Parse(issuer)
	if err != nil {
		return nil
	}
	origin := u.Scheme + "://" + u.Host
	path := strings.TrimSuffix(u.EscapedPath(), "/")
	return []string{
		origin + path + "/.well-known/openid-configuration",
		origin + "/.well-known/oauth-authorization-server" + path,
	}
}

// Metadata is the members of a metadata document.
type Metadata map[string]strictjson.Value

// Discover reads an issuer's metadata. It calls take with the documents in the order
// of [WellKnown] until take accepts one. If there is none, the error is a
// [DiscoveryError].
//
// If the server does not answer, the other document is not requested, unless
// patient is set and the call timed out: one document may hang while the other
// does not.
func (c *Client) Discover(ctx context.Context, issuer string, patient bool, take func(Metadata, *Response) error) error {
	var failed DiscoveryError
	for _, at := range WellKnown(issuer) {
		resp, err := c.Get(ctx, at, http.Header{"Accept": {"application/json"}})
		silent := false
		if err == nil {
			var m Metadata
			if m, err = ParseMetadata(resp.Body, issuer, c.quote); err == nil {
				err = take(m, resp)
			}
			if err == nil {
				return nil
			}
			err = &DocumentError{Redact(at), err}
		} else if e, ok := err.(*Error); ok {
			silent = e.Status == 0 && !(e.Timeout && patient)
		}
		failed = append(failed, err)
		if silent || ctx.Err() != nil {
			break
		}
	}
	if len(failed) == 0 {
		failed = append(failed, errors.New("the issuer is not a URL"))
	}
	return failed
}

// A DiscoveryError says for each metadata document why it was not used.
type DiscoveryError []error

func (e DiscoveryError) Error() string {
	texts := make([]string, len(e))
	for i, err := range e {
		texts[i] = err.Error()
	}
	return strings.Join(texts, "; ")
}

func (e DiscoveryError) Unwrap() []error { return e }

// ParseMetadata reads a metadata document strictly. Its issuer must be equal to the
// given one, byte for byte (RFC 8414 section 3.3); otherwise the document is about
// another server. With quote, the error names both.
func ParseMetadata(data []byte, issuer string, quote bool) (Metadata, error) {
	m := Metadata{}
	err := strictjson.Object(string(data), func(name string, value strictjson.Value) { m[name] = value })
	switch {
	case err != nil:
		return nil, fmt.Errorf("not metadata: %w", err)
	case m["issuer"] == "":
		return nil, errors.New("not metadata: it has no issuer")
	case m["issuer"].Is(issuer):
		return m, nil
	}
	named, _ := m["issuer"].Text()
	text := "its issuer is not the configured one"
	if quote {
		text += fmt.Sprintf(": it names %q, but %q is configured", Printable(Redact(named), 200), issuer)
	}
	if strings.TrimSuffix(named, "/") == strings.TrimSuffix(issuer, "/") {
		text += " (they differ in the trailing slash)"
	}
	return nil, errors.New(text)
}

// Endpoint returns the URL of an endpoint if it may be used: see [Secure].
func (m Metadata) Endpoint(name, issuer string, insecureHTTP bool) (string, error) {
	if m[name] == "" {
		return "", fmt.Errorf("it has no %s", name)
	}
	s, ok := m[name].Text()
	if !ok {
		return "", fmt.Errorf("%s is not a string", name)
	}
	if len(s) > maxURL {
		return "", fmt.Errorf("%s is too long", name)
	}
	u, problem := CheckURL(s)
	if problem != "" {
		return "", fmt.Errorf("%s %s", name, problem)
	}
	if !Secure(u, issuer, insecureHTTP) {
		return "", fmt.Errorf("%s is not https", name)
	}
	return s, nil
}
