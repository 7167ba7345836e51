package verifytest_test

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bearerkit/bearerkit/verify/verifytest"
)

func TestMetadata(t *testing.T) {
	for issuer, want := range map[string]struct{ openid, oauth string }{
		"https://issuer.example":      {"/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"},
		"https://issuer.example/":     {"/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"},
		"http://issuer.example:81/a":  {"/a/.well-known/openid-configuration", "/.well-known/oauth-authorization-server/a"},
		"https://issuer.example/a/b/": {"/a/b/.well-known/openid-configuration", "/.well-known/oauth-authorization-server/a/b"},
	} {
		t.Run(issuer, func(t *testing.T) {
			s := verifytest.NewInMemory(issuer)
			defer s.Close()
			u := must(url.Parse(issuer))
			for e, path := range map[verifytest.Endpoint]string{verifytest.OpenIDConfiguration: want.openid, verifytest.OAuthMetadata: want.oauth} {
				if got := s.URL(e); got != u.Scheme+"://"+u.Host+path {
					t.Errorf("%s is at %s", e, got)
				}
				a := get(t, s, e)
				doc := a.json(t)
				if a.status != 200 || a.header.Get("Content-Type") != "application/json" || doc["issuer"] != issuer ||
					doc["jwks_uri"] != s.JWKSURL() || doc["introspection_endpoint"] != s.URL(verifytest.Introspection) ||
					doc["revocation_endpoint"] != s.URL(verifytest.Revocation) {
					t.Errorf("%s: %d %v", e, a.status, doc)
				}
				if (doc["id_token_signing_alg_values_supported"] != nil) != (e == verifytest.OpenIDConfiguration) {
					t.Errorf("%s: %v", e, doc)
				}
			}
			if get(t, s, verifytest.JWKS).status != 200 {
				t.Error("no key set at jwks_uri")
			}
			if a := must(do(t, s, "GET", u.Scheme+"://"+u.Host+"/nowhere", "")); a.status != 404 {
				t.Errorf("unknown path: %d", a.status)
			}
		})
	}
}

func TestSetMetadata(t *testing.T) {
	s := verifytest.NewInMemory("https://issuer.example")
	defer s.Close()
	s.SetMetadata(verifytest.OAuthMetadata, map[string]any{"jwks_uri": nil, "issuer": "https://other.example"})
	s.SetMetadata(verifytest.OAuthMetadata, map[string]any{"extra": 1})
	doc := get(t, s, verifytest.OAuthMetadata).json(t)
	if _, there := doc["jwks_uri"]; there || doc["issuer"] != "https://other.example" || doc["extra"] != 1.0 {
		t.Errorf("document %v", doc)
	}
	if doc := get(t, s, verifytest.OpenIDConfiguration).json(t); doc["jwks_uri"] != s.JWKSURL() || doc["issuer"] != s.Issuer() {
		t.Errorf("the other document changed: %v", doc)
	}
}

func TestDocumentsAreConditional(t *testing.T) {
	onBoth(t, func(t *testing.T, s *verifytest.Server) {
		for _, e := range []verifytest.Endpoint{verifytest.OpenIDConfiguration, verifytest.OAuthMetadata, verifytest.JWKS} {
			first := get(t, s, e)
			tag := first.header.Get("ETag")
			if tag == "" || first.header.Get("Cache-Control") != "" {
				t.Fatalf("%s: header %v", e, first.header)
			}
			s.SetHeader(e, "Cache-Control", "max-age=60")
			for _, fields := range [][]string{
				{"If-None-Match", tag}, {"If-None-Match", "W/" + tag}, {"If-None-Match", `"x", ` + tag}, {"If-None-Match", "*"},
				{"If-None-Match", `"x"`, "If-None-Match", tag},
			} {
				a := get(t, s, e, fields...)
				if a.status != 304 || a.body != "" || a.header.Get("ETag") != tag || a.header.Get("Cache-Control") != "max-age=60" {
					t.Errorf("%s, %q: %d %v", e, fields, a.status, a.header)
				}
			}
			if a := get(t, s, e, "If-None-Match", `"x"`); a.status != 200 || a.body != first.body {
				t.Errorf("%s: %d for another tag", e, a.status)
			}
			if a := must(do(t, s, "HEAD", s.URL(e), "")); a.status != 200 || a.body != "" || a.header.Get("ETag") != tag {
				t.Errorf("%s: HEAD %d %v", e, a.status, a.header)
			}
			if a := must(do(t, s, "POST", s.URL(e), "")); a.status != 405 || a.header.Get("Allow") == "" {
				t.Errorf("%s: POST %d %v", e, a.status, a.header)
			}
			s.SetHeader(e, "ETag", "")
			s.SetHeader(e, "Content-Type", "text/plain")
			if a := get(t, s, e, "If-None-Match", tag); a.status != 200 || a.header.Get("ETag") != "" || a.header.Get("Content-Type") != "text/plain" {
				t.Errorf("%s without ETag: %d %v", e, a.status, a.header)
			}
		}
	})
}

func TestETagFollowsTheKeys(t *testing.T) {
	s := verifytest.NewInMemory("https://issuer.example")
	defer s.Close()
	tag := get(t, s, verifytest.JWKS).header.Get("ETag")
	for name, change := range map[string]func(){
		"rotate":  func() { s.Rotate() },
		"replace": func() { s.Replace(s.Key().ID) },
		"publish": func() { s.Publish(1) },
	} {
		change()
		a := get(t, s, verifytest.JWKS, "If-None-Match", tag)
		if a.status != 200 || a.header.Get("ETag") == tag {
			t.Errorf("%s: %d, the tag is the same", name, a.status)
		}
		tag = a.header.Get("ETag")
	}
}

func form(values ...string) string {
	v := url.Values{}
	for i := 0; i < len(values); i += 2 {
		v.Add(values[i], values[i+1])
	}
	return v.Encode()
}

func post(t *testing.T, s *verifytest.Server, e verifytest.Endpoint, body string, header ...string) answer {
	t.Helper()
	a, err := do(t, s, http.MethodPost, s.URL(e), body, append([]string{"Content-Type", "application/x-www-form-urlencoded"}, header...)...)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func basic(id, secret string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(id)+":"+url.QueryEscape(secret)))
}

// introspect asks with the default client and client_secret_basic.
func introspect(t *testing.T, s *verifytest.Server, token string) map[string]any {
	t.Helper()
	a := post(t, s, verifytest.Introspection, form("token", token), "Authorization", basic(verifytest.ClientID, verifytest.ClientSecret))
	if a.status != 200 || a.header.Get("Content-Type") != "application/json" {
		t.Fatalf("introspection: %d %v %s", a.status, a.header, a.body)
	}
	return a.json(t)
}

var inactive = map[string]any{"active": false}

func TestIntrospection(t *testing.T) {
	onBoth(t, func(t *testing.T, s *verifytest.Server) {
		claims := verifytest.Claims{"scope": "orders:read", "sub": "user_7", "org_id": "org_1", "token_type": "access_token", "active": false}
		s.Issue("a.b.c", claims)
		for name, token := range map[string]string{"JWT": s.Token(claims), "opaque": s.OpaqueToken(claims), "issued": "a.b.c"} {
			got := introspect(t, s, token)
			jti, _ := got["jti"].(string)
			iat, _ := got["iat"].(float64)
			want := map[string]any{
				"active": true, "token_type": "access_token", "scope": "orders:read", "sub": "user_7", "org_id": "org_1",
				"iss": s.Issuer(), "aud": s.Audience(), "client_id": "client_1", "jti": jti, "iat": iat,
				"exp": iat + verifytest.TokenLifetime.Seconds(),
			}
			if jti == "" || !reflect.DeepEqual(got, want) {
				t.Errorf("%s: %v, want %v", name, got, want)
			}
			if name == "JWT" {
				if _, c, _, _ := parts(t, token); c["jti"] != jti {
					t.Errorf("jti %v and %v", c["jti"], jti)
				}
			}
		}
		if got := introspect(t, s, s.Token(nil)); got["token_type"] != "Bearer" {
			t.Errorf("token_type %v by default", got["token_type"])
		}
		if got := introspect(t, s, s.Token(nil, verifytest.WithKey(s.Rotate()))); got["active"] != true {
			t.Error("a token by a key that was given, but is the server's, is not known")
		}
		now := time.Now()
		for name, token := range map[string]string{
			"unknown":     "x",
			"expired":     s.Token(verifytest.Claims{"exp": now.Add(-time.Second)}),
			"not yet":     s.OpaqueToken(verifytest.Claims{"nbf": now.Add(time.Hour)}),
			"foreign key": s.Token(nil, verifytest.WithKey(verifytest.NewKey("ES256"))),
			"forged":      s.Key().Sign(`{"alg":"ES256"}`, `{"sub":"user_1"}`),
		} {
			if got := introspect(t, s, token); !reflect.DeepEqual(got, inactive) {
				t.Errorf("%s: %v", name, got)
			}
		}
		if got := introspect(t, s, s.OpaqueToken(verifytest.Claims{"exp": nil})); got["active"] != true || got["exp"] != nil {
			t.Errorf("a token that does not expire: %v", got)
		}
	})
}

func TestIntrospectionAsTimePasses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := verifytest.NewInMemory("https://issuer.example")
		defer s.Close()
		token := s.OpaqueToken(verifytest.Claims{"nbf": time.Now().Add(time.Minute)})
		for _, step := range []struct {
			sleep  time.Duration
			active bool
		}{{time.Minute - time.Second, false}, {time.Second, true}, {verifytest.TokenLifetime - time.Minute - time.Second, true}, {time.Second, false}} {
			time.Sleep(step.sleep)
			if got := introspect(t, s, token)["active"]; got != step.active {
				t.Errorf("active = %v after another %v", got, step.sleep)
			}
		}
		// Many more tokens than are kept once expired.
		last := s.OpaqueToken(nil)
		for range 3000 {
			s.OpaqueToken(verifytest.Claims{"exp": time.Now().Add(-1)})
		}
		if introspect(t, s, last)["active"] != true {
			t.Error("a live token was thrown out")
		}
	})
}

func TestRevocation(t *testing.T) {
	onBoth(t, func(t *testing.T, s *verifytest.Server) {
		a, b, kept := s.Token(nil), s.OpaqueToken(nil), s.Token(nil)
		s.Revoke(a)
		s.Revoke("unknown")
		for range 2 { // the second time it is unknown, which is not an error
			res := post(t, s, verifytest.Revocation, form("token", b, "client_id", verifytest.ClientID, "client_secret", verifytest.ClientSecret))
			if res.status != 200 {
				t.Errorf("revocation: %d %s", res.status, res.body)
			}
		}
		for _, token := range []string{a, b} {
			if got := introspect(t, s, token); !reflect.DeepEqual(got, inactive) {
				t.Errorf("revoked: %v", got)
			}
		}
		if introspect(t, s, kept)["active"] != true {
			t.Error("another token was revoked")
		}
		if post(t, s, verifytest.Revocation, form("token", kept)).status != 401 || introspect(t, s, kept)["active"] != true {
			t.Error("revocation without authentication")
		}
	})
}

func TestClientAuthentication(t *testing.T) {
	s := verifytest.NewInMemory("https://issuer.example")
	defer s.Close()
	const oddID, oddSecret = "https://api.example/a b", "s:é+%&=\""
	s.AddClient(oddID, oddSecret)
	const id, secret = verifytest.ClientID, verifytest.ClientSecret
	token := s.Token(nil)
	for name, test := range map[string]struct {
		body, authorization string
		status              int
		err                 string
	}{
		"basic":               {form("token", token), basic(id, secret), 200, ""},
		"basic, encoded":      {form("token", token), basic(oddID, oddSecret), 200, ""},
		"basic, client_id":    {form("token", token, "client_id", id), basic(id, secret), 200, ""},
		"post":                {form("token", token, "client_id", id, "client_secret", secret), "", 200, ""},
		"post, encoded":       {form("token", token, "client_id", oddID, "client_secret", oddSecret), "", 200, ""},
		"hint":                {form("token", token, "token_type_hint", "access_token"), basic(id, secret), 200, ""},
		"both":                {form("token", token, "client_id", id, "client_secret", secret), basic(id, secret), 400, "invalid_request"},
		"none":                {form("token", token), "", 401, "invalid_client"},
		"basic, wrong secret": {form("token", token), basic(id, secret+"x"), 401, "invalid_client"},
		"basic, wrong client": {form("token", token), basic("nobody", secret), 401, "invalid_client"},
		"basic, not encoded":  {form("token", token), "Basic " + base64.StdEncoding.EncodeToString([]byte(oddID+":"+oddSecret)), 401, "invalid_client"},
		"basic, no base64":    {form("token", token), "Basic ???", 401, "invalid_client"},
		"bearer":              {form("token", token), "Bearer " + token, 401, "invalid_client"},
		"bearer and post id":  {form("token", token, "client_id", id), "Bearer " + token, 401, "invalid_client"},
		"post, wrong secret":  {form("token", token, "client_id", id, "client_secret", "x"), "", 401, "invalid_client"},
		"post, no secret":     {form("token", token, "client_id", id), "", 401, "invalid_client"},
		"no token":            {form("token_type_hint", "access_token"), basic(id, secret), 400, "invalid_request"},
		"empty token":         {form("token", ""), basic(id, secret), 400, "invalid_request"},
		"two tokens":          {form("token", token, "token", token), basic(id, secret), 400, "invalid_request"},
		"no form":             {"%%%", basic(id, secret), 400, "invalid_request"},
	} {
		var header []string
		if test.authorization != "" {
			header = []string{"Authorization", test.authorization}
		}
		a := post(t, s, verifytest.Introspection, test.body, header...)
		doc := a.json(t)
		if a.status != test.status || test.err != "" && doc["error"] != test.err || test.err == "" && doc["active"] != true {
			t.Errorf("%s: %d %v", name, a.status, doc)
		}
		if challenge := a.header.Get("WWW-Authenticate"); (challenge != "") != (test.status == 401) {
			t.Errorf("%s: challenge %q", name, challenge)
		}
		if a.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: the answer may be stored", name)
		}
	}
	query := s.URL(verifytest.Introspection) + "?" + form("token", token, "client_id", id, "client_secret", secret)
	if a := must(do(t, s, "POST", query, "", "Content-Type", "application/x-www-form-urlencoded")); a.status != 401 {
		t.Errorf("credentials in the query: %d", a.status)
	}
	if a := must(do(t, s, "GET", query, "")); a.status != 405 || a.header.Get("Allow") != "POST" {
		t.Errorf("GET: %d %v", a.status, a.header)
	}
}
