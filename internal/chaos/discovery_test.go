package chaos_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/bearerkit/bearerkit/verify/verifytest"
)

// TestDiscovery: what issuers' metadata may say, through the example API, which
// trusts all of these issuers. Where no key set can be found tokens are
// undecided, and never refused.
func TestDiscovery(t *testing.T) {
	const openid, oauth = verifytest.OpenIDConfiguration, verifytest.OAuthMetadata
	elsewhere := verifytest.NewServer()
	defer elsewhere.Close()
	both := func(members map[string]any) func(*verifytest.Server) {
		return func(s *verifytest.Server) {
			s.SetMetadata(openid, members)
			s.SetMetadata(oauth, members)
		}
	}
	uri := func(change func(string) string) func(*verifytest.Server) {
		return func(s *verifytest.Server) { both(map[string]any{"jwks_uri": change(s.JWKSURL())})(s) }
	}
	fixed := func(to string) func(*verifytest.Server) { return uri(func(string) string { return to }) }
	cases := map[string]struct {
		change func(*verifytest.Server)
		want   int
	}{
		"as it is":                       {func(*verifytest.Server) {}, 200},
		"no jwks_uri in OpenID's":        {func(s *verifytest.Server) { s.SetMetadata(openid, map[string]any{"jwks_uri": nil}) }, 200},
		"no jwks_uri in RFC 8414's":      {func(s *verifytest.Server) { s.SetMetadata(oauth, map[string]any{"jwks_uri": nil}) }, 200},
		"OpenID's is another issuer's":   {func(s *verifytest.Server) { s.SetMetadata(openid, map[string]any{"issuer": "https://x.test"}) }, 200},
		"OpenID's is not there":          {func(s *verifytest.Server) { s.Fail(openid, verifytest.Status(404)) }, 200},
		"on another port":                {func(s *verifytest.Server) { elsewhere.SetKeys(s.Key()); fixed(elsewhere.JWKSURL())(s) }, 200},
		"no jwks_uri":                    {both(map[string]any{"jwks_uri": nil}), 503},
		"another issuer":                 {both(map[string]any{"issuer": "https://x.test"}), 503},
		"the issuer and a slash":         {func(s *verifytest.Server) { both(map[string]any{"issuer": s.Issuer() + "/"})(s) }, 503},
		"the issuer in capitals":         {func(s *verifytest.Server) { both(map[string]any{"issuer": strings.ToUpper(s.Issuer())})(s) }, 503},
		"no issuer":                      {both(map[string]any{"issuer": nil}), 503},
		"http elsewhere":                 {fixed("http://192.0.2.1/jwks"), 503},
		"link-local":                     {fixed("http://169.254.169.254/jwks"), 503},
		"a file":                         {fixed("file:///etc/passwd"), 503},
		"user information":               {uri(func(s string) string { return strings.Replace(s, "http://", "http://a:b@", 1) }), 503},
		"a fragment":                     {uri(func(s string) string { return s + "#x" }), 503},
		"no URL":                         {fixed("::"), 503},
		"no string":                      {both(map[string]any{"jwks_uri": 1}), 503},
		"members twice":                  {metadataIs(func(s string) string { return strings.Replace(s, "{", `{"issuer":"x",`, 1) }), 503},
		"JWKS_URI":                       {metadataIs(func(s string) string { return strings.Replace(s, "jwks_uri", "JWKS_URI", 1) }), 503},
		"something behind it":            {metadataIs(func(s string) string { return s + "x" }), 503},
		"a redirect to another host":     {redirected("http://localhost:1/"), 503},
		"a redirect to where it is":      {redirected(""), 503},
		"a redirect within the host":     {redirected("/.well-known/oauth-authorization-server"), 200},
		"HTML in the place of metadata":  {func(s *verifytest.Server) { failBoth(s, verifytest.Body("text/html", "<html>")) }, 503},
		"nothing in the place of either": {func(s *verifytest.Server) { failBoth(s, verifytest.Status(500)) }, 503},
	}
	var issuers []*verifytest.Server
	named := map[string]*verifytest.Server{}
	for name, c := range cases {
		s := verifytest.NewServer()
		t.Cleanup(s.Close)
		c.change(s)
		issuers, named[name] = append(issuers, s), s
	}
	for _, framework := range frameworks {
		base := run(t, framework, issuers)
		for name, c := range cases {
			if got := call(base, named[name].Token(nil)); got != c.want {
				t.Errorf("%s: %s: %d, want %d", framework, name, got, c.want)
			}
		}
	}
	if n := elsewhere.Requests(verifytest.JWKS); n != len(frameworks) {
		t.Errorf("the key set on another port was fetched %d times", n)
	}
}

// TestMovedKeySet: an issuer that moves its key set is followed.
func TestMovedKeySet(t *testing.T) {
	for _, framework := range frameworks {
		issuer, next := verifytest.NewServer(), verifytest.NewServer()
		t.Cleanup(issuer.Close)
		t.Cleanup(next.Close)
		base := run(t, framework, []*verifytest.Server{issuer})
		if status := call(base, issuer.Token(nil)); status != 200 {
			t.Fatalf("%s: %d", framework, status)
		}
		for _, document := range []verifytest.Endpoint{verifytest.OpenIDConfiguration, verifytest.OAuthMetadata} {
			issuer.SetMetadata(document, map[string]any{"jwks_uri": next.JWKSURL()})
		}
		issuer.Fail(verifytest.JWKS, verifytest.Status(404))
		if status := call(base, issuer.Token(nil, verifytest.WithKey(next.Key()))); status != 200 {
			t.Errorf("%s: a token by a key of the set that has moved got %d", framework, status)
		}
	}
}

func failBoth(s *verifytest.Server, f verifytest.Fault) {
	s.Fail(verifytest.OpenIDConfiguration, f)
	s.Fail(verifytest.OAuthMetadata, f)
}

// metadataIs has both documents be a changed text.
func metadataIs(change func(string) string) func(*verifytest.Server) {
	return func(s *verifytest.Server) {
		failBoth(s, verifytest.Body("application/json", change(`{"issuer":"`+s.Issuer()+`","jwks_uri":"`+s.JWKSURL()+`"}`)))
	}
}

// redirected has OpenID's document be somewhere else, and the other one nowhere.
func redirected(to string) func(*verifytest.Server) {
	return func(s *verifytest.Server) {
		s.Fail(verifytest.OpenIDConfiguration, verifytest.Answer(func(w http.ResponseWriter, r *http.Request) {
			place := to
			if place == "" {
				place = r.URL.Path
			}
			http.Redirect(w, r, place, http.StatusFound)
		}))
		if !strings.HasPrefix(to, "/") {
			s.Fail(verifytest.OAuthMetadata, verifytest.Status(404))
		}
	}
}
