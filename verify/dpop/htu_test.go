package dpop_test

import (
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/bearerkit/bearerkit/verify"
	"github.com/bearerkit/bearerkit/verify/dpop"
)

func origins(t testing.TB, urls ...string) *dpop.Origins {
	t.Helper()
	o, err := dpop.NewOrigins(urls, false)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func TestMatch(t *testing.T) {
	const host = "api.example.com"
	one := []string{"https://api.example.com"}
	for _, c := range []struct {
		name    string
		origins []string
		htu     string
		host    string
		target  string
		want    bool
	}{
		{"the same", one, "https://api.example.com/orders", host, "/orders", true},
		{"root", one, "https://api.example.com/", host, "/", true},
		{"empty path is root", one, "https://api.example.com", host, "/", true},
		{"query of the request", one, "https://api.example.com/orders", host, "/orders?page=2", true},
		{"query of the claim", one, "https://api.example.com/orders?x=1", host, "/orders", true},
		{"another query", one, "https://api.example.com/orders?x=1", host, "/orders?x=2", true},
		{"fragment of the claim", one, "https://api.example.com/orders#top", host, "/orders", true},
		{"query and fragment of the claim", one, "https://api.example.com/orders?a=b#c?d", host, "/orders", true},
		{"question mark in the fragment", one, "https://api.example.com/orders#c?d", host, "/orders", true},
		{"query with a slash on root", one, "https://api.example.com?/orders", host, "/", true},
		{"a slash in the query is not part of the path", one, "https://api.example.com?/orders", host, "/orders", false},

		{"scheme and host in upper case", one, "HTTPS://API.Example.COM/orders", host, "/orders", true},
		{"default port", one, "https://api.example.com:443/orders", host, "/orders", true},
		{"empty port", one, "https://api.example.com:/orders", host, "/orders", true},
		{"dot of a full name", one, "https://api.example.com./orders", host, "/orders", true},
		{"two dots at the end", one, "https://api.example.com../orders", host, "/orders", false},
		{"encoded unreserved", one, "https://api.example.com/%7Eann/%61%2D", host, "/~ann/a-", true},
		{"encoded unreserved in the request", one, "https://api.example.com/~ann", host, "/%7eann", true},
		{"encoded unreserved in the host", one, "https://%61pi.example.com/orders", host, "/orders", true},
		{"hex in another case", one, "https://api.example.com/a%2fb", host, "/a%2Fb", true},
		{"all of it", one, "HTTPS://API.Example:443/%7ea", host, "/~a", false},
		{"all of it, of the right host", one, "HTTPS://API.Example.com:443/%7ea", host, "/~a", true},
		{"dot segments of the claim", one, "https://api.example.com/x/../orders/./1", host, "/orders/1", true},
		{"encoded dot segments of the claim", one, "https://api.example.com/x/%2e%2E/orders", host, "/orders", true},
		{"dot segments above the root", one, "https://api.example.com/../../orders", host, "/orders", true},
		{"dot segment at the end", one, "https://api.example.com/orders/.", host, "/orders/", true},
		{"two dots at the end of the path", one, "https://api.example.com/orders/x/..", host, "/orders/", true},
		{"empty segments stay", one, "https://api.example.com//a//b", host, "//a//b", true},
		{"names that begin with dots", one, "https://api.example.com/.well-known/..x/...", host, "/.well-known/..x/...", true},
		{"characters that should be encoded", one, "https://api.example.com/a|b", host, "/a|b", true},
		{"semicolons", one, "https://api.example.com/a;v=1,2", host, "/a;v=1,2", true},

		{"other path", one, "https://api.example.com/other", host, "/orders", false},
		{"longer path", one, "https://api.example.com/orders/1", host, "/orders", false},
		{"shorter path", one, "https://api.example.com/orders", host, "/orders/1", false},
		{"trailing slash", one, "https://api.example.com/orders/", host, "/orders", false},
		{"trailing slash of the request", one, "https://api.example.com/orders", host, "/orders/", false},
		{"path in another case", one, "https://api.example.com/Orders", host, "/orders", false},
		{"encoded slash", one, "https://api.example.com/a%2Fb", host, "/a/b", false},
		{"encoded slash of the request", one, "https://api.example.com/a/b", host, "/a%2Fb", false},
		{"encoded semicolon", one, "https://api.example.com/a%3Bb", host, "/a;b", false},
		{"encoded percent", one, "https://api.example.com/%2541", host, "/%41", false},
		{"encoded NUL", one, "https://api.example.com/a%00", host, "/a", false},
		{"empty segment", one, "https://api.example.com//orders", host, "/orders", false},
		{"other host", one, "https://other.example.com/orders", host, "/orders", false},
		{"other host that begins the same", one, "https://api.example.com.evil.example/orders", host, "/orders", false},
		{"other port", one, "https://api.example.com:8443/orders", host, "/orders", false},
		{"port of the other scheme", one, "https://api.example.com:80/orders", host, "/orders", false},
		{"port with a leading zero", one, "https://api.example.com:0443/orders", host, "/orders", false},
		{"port out of range", one, "https://api.example.com:65979/orders", host, "/orders", false},
		{"port that is not a number", one, "https://api.example.com:https/orders", host, "/orders", false},
		{"http", one, "http://api.example.com/orders", host, "/orders", false},
		{"wss", one, "wss://api.example.com/orders", host, "/orders", false},
		{"no scheme", one, "//api.example.com/orders", host, "/orders", false},
		{"path alone", one, "/orders", host, "/orders", false},
		{"empty", one, "", host, "/orders", false},
		{"opaque", one, "https:api.example.com/orders", host, "/orders", false},
		{"one slash", one, "https:/api.example.com/orders", host, "/orders", false},
		{"three slashes", one, "https:///api.example.com/orders", host, "/orders", false},
		{"encoded comma in the host", []string{"https://a,b"}, "https://a%2Cb/orders", "", "/orders", false},
		{"comma in the host", []string{"https://a,b"}, "https://a,b/orders", "", "/orders", true},
		{"user information", one, "https://a@api.example.com/orders", host, "/orders", false},
		{"empty user information", one, "https://@api.example.com/orders", host, "/orders", false},
		{"host behind a backslash", one, `https://api.example.com\@evil.example/orders`, host, "/orders", false},
		{"backslash for a slash", one, `https://api.example.com\orders`, host, "/orders", false},
		{"blank in front", one, " https://api.example.com/orders", host, "/orders", false},
		{"blank behind", one, "https://api.example.com/orders ", host, "/orders", false},
		{"line end", one, "https://api.example.com/orders\n", host, "/orders", false},
		{"NUL", one, "https://api.example.com/orders\x00", host, "/orders", false},
		{"not ASCII", one, "https://api.example.com/ördérs", host, "/%C3%B6rd%C3%A9rs", false},
		{"not ASCII on both sides", one, "https://api.example.com/ö", host, "/ö", false},
		{"host that is not ASCII", one, "https://äpi.example.com/orders", host, "/orders", false},
		{"Kelvin sign in the scheme", one, "http\u017f://api.example.com/orders", host, "/orders", false},
		{"half a percent-encoding", one, "https://api.example.com/a%2", host, "/a%2", false},
		{"percent-encoding that is not hex", one, "https://api.example.com/a%zz", host, "/a%zz", false},

		{"dot segments of the request", one, "https://api.example.com/a/../b", host, "/a/../b", false},
		{"dot segments of the request, removed in the claim", one, "https://api.example.com/b", host, "/a/../b", false},
		{"encoded dot segments of the request", one, "https://api.example.com/b", host, "/a/%2e%2e/b", false},
		{"dot segment at the end of the request", one, "https://api.example.com/a/.", host, "/a/.", false},
		{"fragment in the request", one, "https://api.example.com/a", host, "/a#b", false},
		{"asterisk", one, "https://api.example.com", host, "*", false},
		{"asterisk in the claim", one, "https://api.example.com/*", host, "*", false},
		{"CONNECT", one, "https://api.example.com/", host, "api.example.com:443", false},
		{"empty target", one, "https://api.example.com/", host, "", false},

		{"absolute form", one, "https://api.example.com/orders", host, "https://api.example.com/orders?x", true},
		{"absolute form by http from the proxy", one, "https://api.example.com/orders", host, "http://api.example.com/orders", true},
		{"absolute form without a path", one, "https://api.example.com/", host, "http://api.example.com", true},
		{"absolute form without a path, with a query", one, "https://api.example.com/", host, "http://api.example.com?x=/y", true},
		{"absolute form without an authority", one, "https://api.example.com/orders", host, "http:///orders", false},
		{"absolute form of another scheme", one, "https://api.example.com/orders", host, "ftp://api.example.com/orders", false},

		{"unknown host", one, "https://api.example.com/orders", "10.0.0.7:8080", "/orders", true},
		{"no host", one, "https://api.example.com/orders", "", "/orders", true},
		{"host that is not one", one, "https://api.example.com/orders", "a b@c", "/orders", true},
		{"host of somebody else does not count", one, "https://evil.example/orders", "evil.example", "/orders", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := origins(t, c.origins...).Match(c.htu, c.host, c.target); got != c.want {
				t.Errorf("%q against %q of %q: %v", c.htu, c.target, c.host, got)
			}
		})
	}
}

func TestMatchSeveralOrigins(t *testing.T) {
	tenants := []string{"https://a.example.com", "https://b.example.com", "https://b.example.com:8443", "http://127.0.0.1:8080", "http://[::1]:8080"}
	prefixed := []string{"https://example.com/api", "https://example.com/v2/", "https://direct.example.com"}
	for _, c := range []struct {
		name    string
		origins []string
		htu     string
		host    string
		target  string
		want    bool
	}{
		{"first", tenants, "https://a.example.com/x", "a.example.com", "/x", true},
		{"second", tenants, "https://b.example.com/x", "b.example.com", "/x", true},
		{"the host narrows", tenants, "https://a.example.com/x", "b.example.com", "/x", false},
		{"in upper case too", tenants, "https://a.example.com/x", "B.EXAMPLE.COM", "/x", false},
		{"with its default port too", tenants, "https://a.example.com/x", "b.example.com:443", "/x", false},
		{"with its last dot too", tenants, "https://a.example.com/x", "b.example.com.", "/x", false},
		{"on the slow path too", tenants, "https://a.example.com/%78", "b.example.com", "/x", false},
		{"another port is another origin", tenants, "https://b.example.com/x", "b.example.com:8443", "/x", false},
		{"that port", tenants, "https://b.example.com:8443/x", "b.example.com:8443", "/x", true},
		{"unknown host, first", tenants, "https://a.example.com/x", "internal", "/x", true},
		{"unknown host, second", tenants, "https://b.example.com/x", "internal", "/x", true},
		{"http where an origin is", tenants, "http://127.0.0.1:8080/x", "127.0.0.1:8080", "/x", true},
		{"https where an origin is http", tenants, "https://127.0.0.1:8080/x", "127.0.0.1:8080", "/x", false},
		{"IPv6", tenants, "http://[::1]:8080/x", "[::1]:8080", "/x", true},
		{"IPv6 in its long form", tenants, "http://[0:0:0:0:0:0:0:1]:8080/x", "[::1]:8080", "/x", true},
		{"IPv6 with a zone", tenants, "http://[::1%25lo]:8080/x", "[::1]:8080", "/x", false},
		{"IPv6 without its bracket", tenants, "http://[::1:8080/x", "[::1]:8080", "/x", false},
		{"the authority of the target is the host", tenants, "https://a.example.com/x", "a.example.com", "http://b.example.com/x", false},
		{"the authority of the target narrows", tenants, "https://b.example.com/x", "a.example.com", "http://b.example.com/x", true},

		{"prefix", prefixed, "https://example.com/api/orders", "example.com", "/orders", true},
		{"prefix with a slash behind", prefixed, "https://example.com/v2/orders", "example.com", "/orders", true},
		{"prefix on the slow path", prefixed, "https://example.com/%61pi/orders", "example.com", "/orders", true},
		{"prefix that was not taken off", prefixed, "https://example.com/api/orders", "example.com", "/api/orders", false},
		{"without the prefix", prefixed, "https://example.com/orders", "example.com", "/orders", false},
		{"prefix that only begins the same", prefixed, "https://example.com/apiorders", "example.com", "/orders", false},
		{"the prefix alone", prefixed, "https://example.com/api", "example.com", "/", true},
		{"the prefix with its slash", prefixed, "https://example.com/api/", "example.com", "/", true},
		{"the prefix alone for another path", prefixed, "https://example.com/api", "example.com", "/orders", false},
		{"dots out of the prefix", prefixed, "https://example.com/api/../orders", "example.com", "/orders", false},
		{"dots into the prefix", prefixed, "https://example.com/x/../api/orders", "example.com", "/orders", true},
		{"another host without a prefix", prefixed, "https://direct.example.com/orders", "internal", "/orders", true},
		{"narrowed to the one without a prefix", prefixed, "https://example.com/api/orders", "direct.example.com", "/orders", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := origins(t, c.origins...).Match(c.htu, c.host, c.target); got != c.want {
				t.Errorf("%q against %q of %q: %v", c.htu, c.target, c.host, got)
			}
		})
	}
}

func TestOriginFaults(t *testing.T) {
	for url, want := range map[string]string{
		"":                                "absolute",
		"api.example.com":                 "absolute",
		"/api":                            "absolute",
		"ftp://api.example.com":           "absolute",
		"https:api.example.com":           "absolute",
		"https://":                        "host",
		"https:///api":                    "host",
		"https://a b":                     "host",
		"https://äpi.example.com":         "host",
		"https://api.example.com:x":       "host",
		"https://api.example.com:070":     "host",
		"https://[::1":                    "host",
		"https://[fe80::1%25eth0]":        "host",
		"https://[192.0.2.1]":             "host",
		"https://user:secret@example.com": "user information",
		"https://api.example.com?x":       "query",
		"https://api.example.com/#x":      "fragment",
		"https://api.example.com/a/../b":  "path",
		"https://api.example.com/a b":     "path",
		"https://api.example.com/%zz":     "path",
		"http://api.example.com":          "http on another host",
		"http://192.0.2.1":                "http on another host",
		"http://localhost.example.com":    "http on another host",
	} {
		_, err := dpop.NewOrigins([]string{"https://good.example", url}, false)
		faults := verify.Faults(err)
		if len(faults) != 1 || faults[0].Field != "Origins[1]" || !strings.Contains(faults[0].Problem, want) {
			t.Errorf("%q: %v, want %q", url, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: the error shows it: %v", url, err)
		}
	}
	if _, err := dpop.NewOrigins(nil, false); len(verify.Faults(err)) != 1 || verify.Faults(err)[0].Field != "Origins" {
		t.Errorf("none: %v", err)
	}
	if _, err := dpop.NewOrigins([]string{"x", "y"}, false); len(verify.Faults(err)) != 2 {
		t.Errorf("two faults: %v", err)
	}
	for _, url := range []string{"http://localhost", "http://LOCALHOST:8080/x", "http://127.0.0.1:1", "http://127.9.9.9", "http://[::1]"} {
		if _, err := dpop.NewOrigins([]string{url}, false); err != nil {
			t.Errorf("%q: %v", url, err)
		}
	}
	if _, err := dpop.NewOrigins([]string{"http://api.internal:8080"}, true); err != nil {
		t.Errorf("http that is allowed: %v", err)
	}
	got := origins(t, "HTTPS://API.Example.com:443/%7Ea/", "http://LOCALHOST:80").Strings()
	if want := []string{"https://api.example.com/~a", "http://localhost"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestMatchAllocates(t *testing.T) {
	o := origins(t, "https://api.example.com", "https://other.example.com/api")
	for _, htu := range []string{"https://api.example.com/orders/1", "HTTPS://api.example.com:443/%6frders/x/../1", "https://api.example.com/else"} {
		if n := testing.AllocsPerRun(100, func() { o.Match(htu, "api.example.com:443", "/orders/1?x=y") }); n != 0 {
			t.Errorf("%q: %v allocations", htu, n)
		}
	}
}

// segments returns what the path of an absolute URL means to a server that decodes
// its segments one by one.
func segments(s string) (list []string, ok bool) {
	s, _, _ = strings.Cut(s, "#")
	s, _, _ = strings.Cut(s, "?")
	_, s, _ = strings.Cut(s, "://")
	_, path, _ := strings.Cut(s, "/")
	path = withoutDots("/" + strings.NewReplacer("%2e", ".", "%2E", ".").Replace(path))
	for _, segment := range strings.Split(path, "/")[1:] {
		text, err := url.PathUnescape(segment)
		if err != nil {
			return nil, false
		}
		list = append(list, text)
	}
	return list, true
}

// FuzzHTU finds a URL whose normal form is not its own normal form, or that means
// something else than the URL, and a request that is matched by what is not its
// URL.
func FuzzHTU(f *testing.F) {
	for _, s := range []string{"https://api.example.com/a", "HTTPS://a.:443//%7e/%2f%2F/./..", "http://[::1]:80?x#y", "https://a/%2541/%2e%2e/b;c|d",
		"https://a:/..", "https://%41/%00", "https://a/b/.", "https://a/....//"} {
		f.Add(s, "a", "/a?b")
	}
	f.Fuzz(func(t *testing.T, htu, host, target string) {
		o := origins(t, "https://a.example", "https://b.example/api", "http://localhost:8080")
		o.Match(htu, host, target)
		normal, ok := dpop.Normal(htu)
		if !ok {
			if o.Match(htu, host, target) {
				t.Fatalf("%q is not a URL, but matches", htu)
			}
			return
		}
		if again, ok := dpop.Normal(normal); !ok || again != normal {
			t.Fatalf("%q becomes %q, and that %q", htu, normal, again)
		}
		// What is sent as a normal form is the same resource by either.
		if i := strings.Index(normal[len("https://"):], "/"); i >= 0 {
			path := normal[len("https://")+i:]
			self, err := dpop.NewOrigins([]string{strings.TrimSuffix(normal, path)}, true)
			if err != nil {
				t.Fatalf("the origin of %q: %v", normal, err)
			}
			if !self.Match(htu, host, path) || !self.Match(normal, "", path+"?q") {
				t.Fatalf("%q does not match its own path %q", htu, path)
			}
		}
		// No two meanings become one: what a server makes of the normal form is
		// what it makes of the URL, once the dot segments are gone.
		want, ok1 := segments(htu)
		got, ok2 := segments(normal)
		if !ok1 || !ok2 || !slices.Equal(got, want) {
			t.Fatalf("%q: the segments %q became %q", htu, want, got)
		}
	})
}

// withoutDots is the algorithm of RFC 3986 section 5.2.4, step by step.
func withoutDots(in string) string {
	out := ""
	for in != "" {
		switch {
		case strings.HasPrefix(in, "/./"):
			in = in[2:]
		case in == "/.":
			in = "/"
		case strings.HasPrefix(in, "/../"), in == "/..":
			if in = in[3:]; in == "" {
				in = "/"
			}
			out = out[:max(0, strings.LastIndexByte(out, '/'))]
		default:
			end := strings.IndexByte(in[1:], '/') + 1
			if end == 0 {
				end = len(in)
			}
			out, in = out+in[:end], in[end:]
		}
	}
	return out
}

// FuzzPathsDiffer finds two paths that a server can tell apart and that match each
// other: one is the other with a character encoded or decoded.
func FuzzPathsDiffer(f *testing.F) {
	f.Add("/a/b", uint(1))
	f.Add("/a;b", uint(1))
	f.Add("/%2e%2e/x", uint(0))
	f.Fuzz(func(t *testing.T, path string, at uint) {
		if !strings.HasPrefix(path, "/") || len(path) < 2 || strings.ContainsAny(path, "?#") {
			return
		}
		i := 1 + int(at%uint(len(path)-1))
		c := path[i]
		if c <= ' ' || c >= 0x7f || strings.ContainsRune("%?#", rune(c)) || i >= 1 && strings.Contains(path[max(0, i-2):i], "%") {
			return
		}
		const hex = "0123456789abcdef"
		other := path[:i] + "%" + string(hex[c>>4]) + string(hex[c&15]) + path[i+1:]
		a, ok1 := dpop.Normal("https://x" + path)
		b, ok2 := dpop.Normal("https://x" + other)
		if !ok1 || !ok2 {
			return
		}
		unreserved := c == '-' || c == '.' || c == '_' || c == '~' || '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z'
		same := a == b
		// A dot segment can swallow the difference.
		if !unreserved && same && !strings.Contains(strings.NewReplacer("%2e", ".", "%2E", ".").Replace(path), "/..") {
			t.Fatalf("%q and %q are one", path, other)
		}
		if unreserved && !same {
			t.Fatalf("%q and %q differ", path, other)
		}
	})
}

func BenchmarkMatch(b *testing.B) {
	o := origins(b, "https://api.example.com")
	b.ReportAllocs()
	for b.Loop() {
		o.Match("https://api.example.com/orders/1", "api.example.com", "/orders/1?x=y")
	}
}
