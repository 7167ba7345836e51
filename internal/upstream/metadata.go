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

// maxURL is the longest URL that is taken from metadata, in bytes.
const maxURL = 2048

// WellKnown returns where an issuer's metadata may be: first as OpenID Connect
// Discovery 1.0 section 4 has it, appended to the issuer less its last slash,
// then as RFC 8414 section 3.1, between host and path.
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

// Metadata are the members of a metadata document.
type Metadata map[string]strictjson.Value

// Discover reads an issuer's metadata. The documents are offered to take in the
// order of [WellKnown] until it accepts one. If it accepts none, the error is a
// [DiscoveryError].
//
// A server that did not answer is not asked for the other document, unless it
// took too long and patient is set: one document may hang where the other does
// not.
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

// A DiscoveryError says for each metadata document that was asked for why it was
// not used.
type DiscoveryError []error

func (e DiscoveryError) Error() string {
	texts := make([]string, len(e))
	for i, err := range e {
		texts[i] = err.Error()
	}
	return strings.Join(texts, "; ")
}

func (e DiscoveryError) Unwrap() []error { return e }

// ParseMetadata reads a metadata document of the issuer, strictly. The issuer in
// it must be the configured one to the byte (RFC 8414 section 3.3): else the
// document is about another server. With quote, the error says which.
func ParseMetadata(data []byte, issuer string, quote bool) (Metadata, error) {
	m := Metadata{}
	err := strictjson.Object(string(data), func(name string, value strictjson.Value) { m[name] = value })
	switch {
	case err != nil:
		return nil, fmt.Errorf("no metadata: %w", err)
	case m["issuer"] == "":
		return nil, errors.New("no metadata: no issuer in it")
	case m["issuer"].Is(issuer):
		return m, nil
	}
	named, _ := m["issuer"].Text()
	text := "the issuer in it is not the configured one"
	if quote {
		text += fmt.Sprintf(": it names %q, and %q is configured", Printable(Redact(named), 200), issuer)
	}
	if strings.TrimSuffix(named, "/") == strings.TrimSuffix(issuer, "/") {
		text += " (they differ in a slash at the end)"
	}
	return nil, errors.New(text)
}

// Endpoint returns the URL of an endpoint, if it may be asked: see [Secure].
func (m Metadata) Endpoint(name, issuer string, insecureHTTP bool) (string, error) {
	if m[name] == "" {
		return "", fmt.Errorf("no %s in it", name)
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
