package middleware_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bearerkit/bearerkit/middleware"
	"github.com/bearerkit/bearerkit/verify"
	"github.com/bearerkit/bearerkit/verify/jwks"
	"github.com/bearerkit/bearerkit/verify/verifytest"
)

func TestConfigFaults(t *testing.T) {
	_, good := newAuth(t, middleware.Config{})
	config := middleware.Config{
		Realm:       `a "realm"`,
		Credentials: []middleware.CredentialSource{{}},
		Metadata:    &middleware.ResourceMetadata{Resource: "ftp://x", ScopesSupported: []string{"a b"}},
	}
	want := []string{"Realm", "Credentials[0]", "Metadata.Resource", "Metadata.ScopesSupported"}
	fields := func(err error) (list []string) {
		for _, f := range verify.Faults(err) {
			list = append(list, f.Field)
		}
		return list
	}
	if _, err := middleware.New(good.Verifier(), config); !slices.Equal(fields(err), want) {
		t.Errorf("New: %v", err)
	}
	if got := fields(config.Validate()); !slices.Equal(got, want) {
		t.Errorf("Validate: %v", got)
	}
	if _, err := middleware.New(nil, config); !slices.Equal(fields(err), append([]string{"Verifier"}, want...)) {
		t.Errorf("New without a verifier: %v", err)
	}
	if _, err := middleware.ForIssuer("not a url"); !slices.Contains(fields(err), "Audience") || len(fields(err)) < 2 {
		t.Errorf("ForIssuer: %v", err)
	}
}

func TestMetadata(t *testing.T) {
	for _, c := range []struct{ resource, path, url, fault string }{
		{"https://api.test", "/.well-known/oauth-protected-resource", "https://api.test/.well-known/oauth-protected-resource", ""},
		{"https://api.test/", "/.well-known/oauth-protected-resource", "https://api.test/.well-known/oauth-protected-resource", ""},
		{"https://api.test:8443/v1", "/.well-known/oauth-protected-resource/v1", "https://api.test:8443/.well-known/oauth-protected-resource/v1", ""},
		{"https://api.test/v1?k=v", "/.well-known/oauth-protected-resource/v1", "https://api.test/.well-known/oauth-protected-resource/v1?k=v", ""},
		{"http://127.0.0.1:8080", "/.well-known/oauth-protected-resource", "http://127.0.0.1:8080/.well-known/oauth-protected-resource", ""},
		{"http://[::1]:8080", "/.well-known/oauth-protected-resource", "http://[::1]:8080/.well-known/oauth-protected-resource", ""},
		{"", "", "", "is required"},
		{"::::", "", "", "not an https URL"},
		{"urn:api", "", "", "not an https URL"},
		{"/relative", "", "", "not an https URL"},
		{"http://api.test", "", "", "not https"},
		{"http://127.0.0.1.evil.test", "", "", "not https"},
		{"https://u:p@api.test", "", "", "user information"},
		{"https://api.test/#f", "", "", "fragment"},
		{"https://api.test/#", "", "", "fragment"},
		{"https://api.test/\"quoted", "", "", "challenge"},
	} {
		err := middleware.Config{Metadata: &middleware.ResourceMetadata{Resource: c.resource}}.Validate()
		if c.fault != "" {
			if err == nil || !strings.Contains(err.Error(), c.fault) {
				t.Errorf("%q: fault %v, want %q", c.resource, err, c.fault)
			}
			continue
		}
		if err != nil {
			t.Errorf("%q: %v", c.resource, err)
			continue
		}
		issuer, auth := newAuth(t, middleware.Config{Metadata: &middleware.ResourceMetadata{Resource: c.resource, Name: "Orders"}})
		if auth.MetadataPath() != c.path {
			t.Errorf("%q: path %q", c.resource, auth.MetadataPath())
		}
		if got, want := refused(auth.Require(), request("")).Header.Get("WWW-Authenticate"), `Bearer resource_metadata="`+c.url+`"`; got != want {
			t.Errorf("%q: challenge %q, want %q", c.resource, got, want)
		}
		w := httptest.NewRecorder()
		auth.MetadataHandler().ServeHTTP(w, httptest.NewRequest("GET", c.path, nil))
		want := `{"resource":"` + c.resource + `","authorization_servers":["` + issuer.Issuer() + `"],"bearer_methods_supported":["header"],"resource_name":"Orders"}`
		if w.Code != 200 || w.Body.String() != want || w.Header().Get("Content-Type") != "application/json" {
			t.Errorf("%q: %d %s", c.resource, w.Code, w.Body)
		}
	}
	_, auth := newAuth(t, middleware.Config{})
	w := httptest.NewRecorder()
	auth.MetadataHandler().ServeHTTP(w, httptest.NewRequest("GET", auth.MetadataPath(), nil))
	if w.Code != 404 {
		t.Errorf("without metadata: %d", w.Code)
	}
}

func TestCredentialSources(t *testing.T) {
	issuer, auth := newAuth(t, middleware.Config{Credentials: []middleware.CredentialSource{
		middleware.AuthorizationHeader(), middleware.Cookie("session"), middleware.FormParameter(), middleware.InsecureQueryParameter(),
	}})
	tok := issuer.Token(nil)
	form := func(method, contentType, body string) *http.Request {
		r := httptest.NewRequest(method, "/", strings.NewReader(body))
		r.Header.Set("Content-Type", contentType)
		return r
	}
	cookies := func(r *http.Request, list ...string) *http.Request {
		for _, c := range list {
			r.AddCookie(&http.Cookie{Name: "session", Value: c})
		}
		return r
	}
	const urlencoded = "application/x-www-form-urlencoded"
	broken := func(method, body string) *http.Request {
		r := form(method, urlencoded, body)
		r.URL.RawQuery = "q=100%&a;b&c=d"
		if body == "" {
			r.Header.Set("Authorization", "Bearer "+tok)
		}
		return r
	}
	long, ofLong := strings.Repeat("&x", 10_000), 400
	if _, err := url.ParseQuery(long); err == nil {
		ofLong = 200 // a version of Go without a bound
	}
	for name, c := range map[string]struct {
		r    *http.Request
		want int
	}{
		"header":                      {request(tok), 200},
		"cookie":                      {cookies(request(""), tok), 200},
		"two cookies":                 {cookies(request(""), tok, tok), 400},
		"empty cookie":                {cookies(request(""), ""), 401},
		"header and cookie":           {cookies(request(tok), tok), 400},
		"query":                       {httptest.NewRequest("GET", "/?access_token="+tok, nil), 200},
		"query, escaped name":         {httptest.NewRequest("GET", "/?access%5Ftoken="+tok, nil), 200},
		"query twice":                 {httptest.NewRequest("GET", "/?access_token="+tok+"&access_token="+tok, nil), 400},
		"query, empty":                {httptest.NewRequest("GET", "/?access_token=", nil), 401},
		"query of another name":       {httptest.NewRequest("GET", "/?token="+tok, nil), 401},
		"query twice, undecodable":    {httptest.NewRequest("GET", "/?access_token="+tok+"&access_token=%zz", nil), 400},
		"query twice, escaped name":   {httptest.NewRequest("GET", "/?access_token="+tok+"&access%5ftoken=%zz", nil), 400},
		"query twice, semicolon":      {httptest.NewRequest("GET", "/?access_token="+tok+"&access_token=other;x", nil), 400},
		"query behind a semicolon":    {httptest.NewRequest("GET", "/?access_token="+tok+"&x=y;access_token=other", nil), 400},
		"query, undecodable":          {httptest.NewRequest("GET", "/?access_token=%zz", nil), 400},
		"query too long":              {httptest.NewRequest("GET", "/?access_token="+tok+long, nil), ofLong},
		"query broken elsewhere":      {httptest.NewRequest("GET", "/?access_token="+tok+"&q=100%&a;b", nil), 200},
		"query broken, header":        {broken("GET", ""), 200},
		"form, query broken":          {broken("POST", "access_token="+tok), 200},
		"form":                        {form("POST", urlencoded, "access_token="+tok), 200},
		"form, charset":               {form("PUT", urlencoded+"; charset=utf-8", "a=b&access_token="+tok), 200},
		"form twice":                  {form("POST", urlencoded, "access_token="+tok+"&access_token="+tok), 400},
		"form, broken":                {form("POST", urlencoded, "access_token=%zz"), 400},
		"form with GET":               {form("GET", urlencoded, "access_token="+tok), 401},
		"JSON":                        {form("POST", "application/json", `{"access_token":"`+tok+`"}`), 401},
		"multipart":                   {form("POST", "multipart/form-data; boundary=b", "access_token="+tok), 401},
		"form does not see the query": {httptest.NewRequest("POST", "/?x="+tok, nil), 401},
	} {
		status := 200
		if resp := refused(auth.Require(), c.r); resp != nil {
			status = resp.StatusCode
		}
		if status != c.want {
			t.Errorf("%s: %d, want %d", name, status, c.want)
		}
	}
	r := form("POST", urlencoded, "a=b&access_token="+tok)
	admitted, f := auth.Require().Decide(r)
	if f != nil || admitted.PostForm.Get("a") != "b" {
		t.Errorf("the handler lost the form: %v", f)
	}
	// The handler's own ParseForm finds body and query, and what is wrong with
	// the query.
	r = broken("POST", "a=b&access_token="+tok)
	admitted, f = auth.Require().Decide(r)
	if f != nil {
		t.Fatal(f)
	}
	if admitted.ParseForm() == nil || admitted.FormValue("a") != "b" || admitted.FormValue("c") != "d" {
		t.Errorf("the handler's form is %v", admitted.Form)
	}
}

func TestUser(t *testing.T) {
	type key struct{}
	calls := 0
	issuer, auth := newAuth(t, middleware.Config{User: middleware.Resolve(func(ctx context.Context, t *verify.Token) (*user, error) {
		calls++
		if ctx.Value(key{}) != "the request's" {
			return nil, errors.New("another context")
		}
		switch t.Subject {
		case "nobody":
			return nil, fmt.Errorf("users: %w", middleware.ErrNoUser)
		case "nil":
			return nil, nil
		case "down":
			return nil, errors.New("connection refused")
		}
		return &user{t.Subject}, nil
	})})
	decide := func(g *middleware.Guard, sub string) (*http.Request, *middleware.Refusal) {
		r := request(issuer.Token(verifytest.Claims{"sub": sub}))
		return g.Decide(r.WithContext(context.WithValue(r.Context(), key{}, "the request's")))
	}
	for sub, want := range map[string]struct {
		status int
		reason middleware.Reason
	}{
		"nobody": {401, "no_user"},
		"nil":    {401, "no_user"},
		"down":   {503, "user_unavailable"},
	} {
		if _, f := decide(auth.Require(), sub); f == nil || f.Status != want.status || f.Reason != want.reason {
			t.Errorf("%s: %+v, want %+v", sub, f, want)
		}
	}

	calls = 0
	r, f := decide(auth.Require(), "alice")
	if f != nil {
		t.Fatal(f)
	}
	// A second guard on the same request knows the user already; one behind
	// something that changed the credentials does not.
	again, f := auth.Require(middleware.OnlyUsers()).Decide(r)
	if f != nil || calls != 1 {
		t.Errorf("%d calls, %v", calls, f)
	}
	if u, ok := middleware.UserFrom[*user](again.Context()); !ok || u.id != "alice" {
		t.Errorf("user %v", u)
	}
	if tok, ok := middleware.TokenFrom(again.Context()); !ok || tok.Subject != "alice" {
		t.Errorf("token %v", tok)
	}
	changed := again.Clone(again.Context())
	changed.Header.Set("Authorization", "Bearer "+issuer.Token(verifytest.Claims{"sub": "bob"}))
	changed, f = auth.Require().Decide(changed)
	if f != nil {
		t.Fatal(f)
	}
	if u, _ := middleware.UserFrom[*user](changed.Context()); u.id != "bob" || calls != 2 {
		t.Errorf("user %v after %d calls: the identity of other credentials was kept", u, calls)
	}
	changed.Header.Del("Authorization")
	if _, f := auth.Require().Decide(changed); f == nil || f.Status != 401 {
		t.Errorf("without credentials: %v", f)
	}
	// Another Auth trusts nothing that this one found out.
	_, other := newAuth(t, middleware.Config{})
	if _, f := other.Require().Decide(r); f == nil || f.Reason != "issuer" {
		t.Errorf("another Auth: %v", f)
	}

	if _, ok := middleware.UserFrom[user](again.Context()); ok {
		t.Error("a user of another type was found")
	}
	if _, ok := middleware.UserFrom[*user](context.Background()); ok {
		t.Error("a user out of nothing")
	}
	if s := fmt.Sprintf("%v %+v %s", again.Context(), again.Context(), context.WithValue(again.Context(), key{}, 1)); strings.Contains(s, "eyJ") {
		t.Error("the printed context has the token")
	}
}

// TestOptionalWithoutCredentials: a user in the context is none of a request
// that does not carry its credentials, as when a handler behind Require sends
// one of its own on with its context.
func TestOptionalWithoutCredentials(t *testing.T) {
	issuer, auth := newAuth(t, middleware.Config{User: middleware.Resolve(findUser)})
	_, twin := newAuth(t, middleware.Config{Credentials: []middleware.CredentialSource{middleware.Cookie("session")}})
	admitted, f := auth.Require().Decide(request(issuer.Token(nil)))
	if f != nil {
		t.Fatal(f)
	}
	stripped := func(r *http.Request) *http.Request {
		r = r.Clone(r.Context())
		r.Header.Del("Authorization")
		return r
	}
	for name, c := range map[string]struct {
		r    *http.Request
		auth *middleware.Auth
		user bool
	}{
		"the same request":                          {admitted, auth, true},
		"stripped":                                  {stripped(admitted), auth, false},
		"stripped, another Auth's guard":            {stripped(admitted), twin, false},
		"admitted by another Auth's guard before":   {admitted, twin, true},
		"a user that the application has put there": {request("").WithContext(middleware.NewContext(t.Context(), user{"x"}, &verify.Token{})), auth, true},
		"nobody": {request(""), auth, false},
		"with the credentials of a scheme unknown":   {func() *http.Request { r := stripped(admitted); r.Header.Set("Authorization", "Basic dTpw"); return r }(), auth, false},
		"with a context that was made from the user": {stripped(admitted.WithContext(context.WithValue(admitted.Context(), t, t))), auth, false},
	} {
		r, f := c.auth.Optional().Decide(c.r)
		if f != nil {
			t.Errorf("%s: %v", name, f)
			continue
		}
		_, hasUser := middleware.UserFrom[user](r.Context())
		_, hasToken := middleware.TokenFrom(r.Context())
		if hasUser != c.user || hasToken != c.user {
			t.Errorf("%s: user %v, token %v", name, hasUser, hasToken)
		}
	}
}

// TestTokenExpiresBetweenGuards: what an earlier guard has found out holds no
// longer than the token does.
func TestTokenExpiresBetweenGuards(t *testing.T) {
	issuer := verifytest.NewServer()
	defer issuer.Close()
	now := time.Now().Truncate(time.Second)
	late := time.Duration(0)
	v, err := verify.New(verify.Config{
		Issuers: []verify.Issuer{{Issuer: issuer.Issuer(), Audience: []string{issuer.Audience()}, Keys: jwks.Discover(issuer.Issuer())}},
		Leeway:  10 * time.Second, Now: func() time.Time { return now.Add(late) },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	auth, err := middleware.New(v, middleware.Config{})
	if err != nil {
		t.Fatal(err)
	}
	r, f := auth.Require().Decide(request(issuer.Token(verifytest.Claims{"exp": now.Unix() + 60})))
	if f != nil {
		t.Fatal(f)
	}
	for _, c := range []struct {
		late   time.Duration
		reason middleware.Reason
	}{
		{59 * time.Second, ""},
		{69 * time.Second, ""},
		{70 * time.Second, "expired"},
		{time.Hour, "expired"},
	} {
		late = c.late
		reason := middleware.Reason("")
		if _, f := auth.Require().Decide(r); f != nil {
			reason = f.Reason
		}
		if reason != c.reason {
			t.Errorf("after %v: %q, want %q", c.late, reason, c.reason)
		}
	}
}

func TestNewContext(t *testing.T) {
	ctx := middleware.NewContext(context.Background(), user{"alice"}, &verify.Token{Subject: "alice", Scope: "a b"})
	if u, ok := middleware.UserFrom[user](ctx); !ok || u.id != "alice" {
		t.Errorf("user %v", u)
	}
	if tok, ok := middleware.TokenFrom(ctx); !ok || !tok.HasScope("b") {
		t.Errorf("token %v", tok)
	}
	ctx = middleware.NewContext(context.Background(), nil, nil)
	if _, ok := middleware.UserFrom[user](ctx); ok {
		t.Error("a user out of nil")
	}
	if _, ok := middleware.TokenFrom(ctx); ok {
		t.Error("a token out of nil")
	}
	// A user put there by the application opens no guard.
	_, auth := newAuth(t, middleware.Config{})
	if _, f := auth.Require().Decide(request("").WithContext(middleware.NewContext(context.Background(), user{"alice"}, &verify.Token{}))); f == nil {
		t.Error("admitted without credentials")
	}
}

func TestErrorHandler(t *testing.T) {
	for name, c := range map[string]struct {
		handler func(http.ResponseWriter, *http.Request, *middleware.Refusal)
		status  int
		body    string
	}{
		"writes": {func(w http.ResponseWriter, r *http.Request, f *middleware.Refusal) {
			w.WriteHeader(f.Status)
			io.WriteString(w, f.Code)
		}, 401, "unauthorized"},
		"writes no status": {func(w http.ResponseWriter, r *http.Request, f *middleware.Refusal) { io.WriteString(w, "no") }, 401, "no"},
		"writes nothing":   {func(http.ResponseWriter, *http.Request, *middleware.Refusal) {}, 401, ""},
		"says 200":         {func(w http.ResponseWriter, r *http.Request, f *middleware.Refusal) { w.WriteHeader(200) }, 401, ""},
		"redirects": {func(w http.ResponseWriter, r *http.Request, f *middleware.Refusal) {
			http.Redirect(w, r, "/", http.StatusFound)
		}, 401, ""},
		"hides the route": {func(w http.ResponseWriter, r *http.Request, f *middleware.Refusal) { w.WriteHeader(404) }, 404, ""},
		"flushes": {func(w http.ResponseWriter, r *http.Request, f *middleware.Refusal) {
			http.NewResponseController(w).Flush()
		}, 401, ""},
	} {
		_, auth := newAuth(t, middleware.Config{ErrorHandler: c.handler})
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, f := auth.Require().Decide(r)
			f.Write(w, r)
		}))
		resp, err := http.DefaultTransport.RoundTrip(must(http.NewRequest("GET", s.URL, nil)))
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		s.Close()
		if resp.StatusCode != c.status || c.body != "" && string(body) != c.body || resp.Header.Get("WWW-Authenticate") != "Bearer" {
			t.Errorf("%s: %d %q %v", name, resp.StatusCode, body, resp.Header)
		}
	}
}

func must[V any](v V, err error) V {
	if err != nil {
		panic(err)
	}
	return v
}

func TestObserverAndLog(t *testing.T) {
	var seen []middleware.Decision
	var log bytes.Buffer
	issuer, auth := newAuth(t, middleware.Config{
		Logger:   slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Observer: middleware.ObserverFunc(func(_ context.Context, d middleware.Decision) { seen = append(seen, d) }),
		User: middleware.Resolve(func(_ context.Context, t *verify.Token) (user, error) {
			if t.Subject == "down" {
				return user{}, errors.New("users: connection refused")
			}
			return user{t.Subject}, nil
		}),
	})
	expired := issuer.Token(verifytest.Claims{"exp": time.Now().Unix() - 600, "sub": "marked-subject", "client_id": "marked-client"})
	for _, tok := range []string{"", issuer.Token(nil), expired, issuer.Token(verifytest.Claims{"sub": "down"}), "x y"} {
		auth.Require().Decide(request(tok))
	}
	auth.Optional().Decide(request(""))
	var got []string
	for _, d := range seen {
		if d.Duration <= 0 {
			t.Errorf("%+v has no duration", d)
		}
		got = append(got, fmt.Sprint(d.Outcome, " ", d.Status, " ", d.Reason))
	}
	want := []string{"refused 401 no_credentials", "allowed 200 ", "refused 401 expired", "refused 503 user_unavailable", "refused 400 credentials", "anonymous 200 "}
	if !slices.Equal(got, want) {
		t.Errorf("observed %q, want %q", got, want)
	}
	text := log.String()
	for _, part := range []string{"reason=expired", "level=ERROR", "connection refused", "reason=no_credentials"} {
		if !strings.Contains(text, part) {
			t.Errorf("the log lacks %q:\n%s", part, text)
		}
	}
	for i := 0; i+8 <= len(expired); i += 8 {
		if strings.Contains(text, expired[i:i+8]) {
			t.Errorf("the log has a part of the token:\n%s", text)
		}
	}
	if strings.Contains(text, "marked") {
		t.Errorf("the log has a claim of a token that was refused:\n%s", text)
	}
}

// TestOutageIsLoggedNowAndThen: thousands of requests during an outage are not
// thousands of warnings.
func TestOutageIsLoggedNowAndThen(t *testing.T) {
	var log bytes.Buffer
	issuer, auth := newAuth(t, middleware.Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	tok := issuer.Token(nil)
	auth.Close()
	start := time.Now()
	for range 1000 {
		if _, f := auth.Require().Decide(request(tok)); f == nil || f.Status != 503 {
			t.Fatalf("%v", f)
		}
	}
	most := 1 + int(time.Since(start)/time.Second)
	if n := strings.Count(log.String(), "level=WARN"); n < 1 || n > most {
		t.Errorf("%d warnings", n)
	}
}

// TestAllocations holds what a decision costs beside the verification.
func TestAllocations(t *testing.T) {
	issuer, auth := newAuth(t, middleware.Config{User: middleware.Resolve(findUser)})
	r, guard := request(issuer.Token(verifytest.Claims{"scope": "openid"})), auth.Require(middleware.Scope("openid"), middleware.OnlyUsers())
	if resp := refused(guard, r); resp != nil {
		t.Fatal(resp.Status)
	}
	tok := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	alone := testing.AllocsPerRun(100, func() { auth.Verifier().Verify(r.Context(), tok) })
	with := testing.AllocsPerRun(100, func() { guard.Decide(r) })
	// The identity, the request's copy, what the requirements look at, and the
	// boxed user.
	if with-alone > 4 {
		t.Errorf("a decision costs %v allocations beside the verification's %v", with-alone, alone)
	}
}
