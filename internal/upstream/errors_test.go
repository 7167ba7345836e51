package upstream_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/bearerkit/bearerkit/internal/upstream"
)

func TestRedact(t *testing.T) {
	for s, want := range map[string]string{
		"https://a.example/keys":                       "https://a.example/keys",
		"https://a.example/@x/keys":                    "https://a.example/@x/keys",
		"https://a.example/keys?apikey=secret":         "https://a.example/keys?apikey=xxxxx",
		"https://a.example?a=secret&b=secret&c":        "https://a.example?a=xxxxx&b=xxxxx&xxxxx",
		"https://a.example/?secret":                    "https://a.example/?xxxxx",
		"https://a.example/?a=x?secret":                "https://a.example/?a=xxxxx",
		"https://a.example/?":                          "https://a.example/?",
		"https://secret@a.example/keys":                "https://xxxxx@a.example/keys",
		"https://secret:secret@a.example/keys":         "https://xxxxx@a.example/keys",
		"https://se:cr@et@a.example/keys":              "https://xxxxx@a.example/keys",
		"https://a.example/#secret":                    "https://a.example/#xxxxx",
		"https://a.example/keys#":                      "https://a.example/keys#",
		"https://a.example/keys?k=secret#secret":       "https://a.example/keys?k=xxxxx#xxxxx",
		"https://user:sec/ret@a.example/keys?k=secret": "https://xxxxx@a.example/keys?k=xxxxx",
		"https://user:sec?ret@a.example/keys?k=secret": "https://xxxxx",
		"https://user:sec#ret@a.example/keys?k=secret": "https://xxxxx",
		"https://user:sec ret@a.example/keys":          "https://xxxxx@a.example/keys",
		"https:user:secret@a.example":                  "xxxxx@a.example",
		"user:secret@a.example/keys":                   "xxxxx@a.example/keys",
		"a.example/keys?secret":                        "a.example/keys?xxxxx",
		"":                                             "",
	} {
		if got := upstream.Redact(s); got != want {
			t.Errorf("%s: %s, want %s", s, got, want)
		}
	}
}

// FuzzRedact: no part of a secret is left, wherever the URL has it, and what has
// none stays.
func FuzzRedact(f *testing.F) {
	f.Add("https://", "user", "a.example/keys", "k")
	f.Add("", "u:p", "", "")
	f.Fuzz(func(t *testing.T, scheme, user, rest, name string) {
		const secret = "S3CR3T"
		if strings.ContainsAny(name, "=") || strings.Contains(scheme+user+rest+name, "xxxxx") {
			return
		}
		for i, s := range []string{
			"https://" + user + secret + "@a.example/" + rest,
			"https://a.example/?" + name + "=" + secret,
			"https://a.example/?" + name + "&" + secret + "&" + rest,
			"https://a.example/#" + rest + secret,
		} {
			if u, err := url.Parse(s); err == nil && i == 0 && !strings.Contains(u.User.String(), secret) {
				continue // what comes before the @ is a path, or the name of a parameter
			}
			if strings.Contains(upstream.Redact(s), secret) {
				t.Errorf("%q: %q", s, upstream.Redact(s))
			}
		}
		_ = upstream.Redact(scheme + rest)
	})
}

type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// What goes wrong is described without the secrets of a URL, whichever library
// reports it and however it words that; without Quote in fixed sentences alone.
func TestErrorsHoldNoSecret(t *testing.T) {
	const secret = "S3CR3T"
	at := "https://user:" + secret + "@a.example/keys?apikey=" + secret
	for name, trip := range map[string]transport{
		"an error with the URL": func(r *http.Request) (*http.Response, error) {
			return nil, errors.New("cannot do \"" + r.URL.String() + "\", sorry")
		},
		"a proxy with a password": func(*http.Request) (*http.Response, error) {
			return nil, errors.New(`proxyconnect: http://proxy:` + secret + `@proxy.example:8080 is down`)
		},
		"status":   answer(500, ""),
		"too long": answer(200, strings.Repeat("x", upstream.MaxBody+1)),
		"cut": func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(io.MultiReader(strings.NewReader("x"), broken{}))}, nil
		},
		"redirect": func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 302, Header: http.Header{"Location": {"https://b.example/?k=" + secret}}, Body: http.NoBody, Request: r}, nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			for _, quote := range []bool{false, true} {
				var seen strings.Builder
				c := upstream.New(upstream.Config{HTTP: &http.Client{Transport: trip}, Quote: quote, Seen: func(s string) { seen.WriteString(s) }})
				_, err := c.Get(context.Background(), at, nil)
				if err == nil {
					t.Fatal("no error")
				}
				if text := err.Error() + seen.String(); strings.Contains(text, secret) || !strings.HasPrefix(text, "https://xxxxx@a.example/keys?apikey=xxxxx: ") {
					t.Error(text)
				}
				if !quote && strings.Contains(err.Error(), "sorry") {
					t.Errorf("quoted: %v", err)
				}
			}
		})
	}
}

func answer(status int, body string) transport {
	return func(r *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)), ContentLength: -1, Request: r}, nil
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }
