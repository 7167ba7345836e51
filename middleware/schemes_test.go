package middleware_test

import (
	"errors"
	"log/slog"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bearerkit/bearerkit/middleware"
	"github.com/bearerkit/bearerkit/verify"
	"github.com/bearerkit/bearerkit/verify/verifytest"
)

func TestAuthorization(t *testing.T) {
	both := []string{"DPoP", "Bearer"}
	for _, c := range []struct {
		values, schemes []string
		scheme, token   string
		malformed       string
	}{
		{nil, nil, "", "", ""},
		{[]string{""}, nil, "", "", ""},
		{[]string{"Bearer abc"}, nil, "Bearer", "abc", ""},
		{[]string{"bEARER abc"}, nil, "Bearer", "abc", ""},
		{[]string{"Bearer abc"}, both, "Bearer", "abc", ""},
		{[]string{"dpop abc"}, both, "DPoP", "abc", ""},
		{[]string{"DPoP abc"}, nil, "", "", ""},
		{[]string{"Bearer abc"}, []string{"DPoP"}, "", "", ""},
		{[]string{"DPoPx abc"}, both, "", "", ""},
		{[]string{"DPo abc"}, both, "", "", ""},
		{[]string{"Basic abc"}, both, "", "", ""},
		{[]string{"DPoP  abc"}, both, "DPoP", " abc", ""}, // for the verifier to refuse
		{[]string{"DPoP"}, both, "DPoP", "", "no token follows DPoP in the Authorization header"},
		{[]string{"DPoP  "}, both, "DPoP", "", "no token follows DPoP in the Authorization header"},
		{[]string{"DPoP: abc"}, both, "DPoP", "", "a colon follows DPoP in the Authorization header"},
		{[]string{"DPoP\tabc"}, both, "DPoP", "", "a tab follows DPoP in the Authorization header"},
		{[]string{"DPoP=abc"}, both, "DPoP", "", "no space follows DPoP in the Authorization header"},
		{[]string{"Bearer"}, nil, "Bearer", "", "no token follows Bearer in the Authorization header"},
		{[]string{"Bearer abc", "Bearer abc"}, nil, "", "", "more than one Authorization header"},
		{[]string{"DPoP abc", "Basic abc"}, both, "", "", "more than one Authorization header"},
	} {
		scheme, token, err := middleware.Authorization(c.values, c.schemes...)
		text := ""
		if err != nil {
			text = err.Error()
		}
		if scheme != c.scheme || token != c.token || text != c.malformed || (err != nil) != errors.Is(err, verify.ErrSyntax) {
			t.Errorf("%q of %q: %q, %q, %v", c.schemes, c.values, scheme, token, err)
		}
	}
}

// Where several schemes are offered, each has a challenge in a field of its own,
// the strongest first, and only that of the attempted scheme says what was wrong
// (RFC 9449 section 7.2). A scheme that is not offered is still understood.
func TestChallengesOfSeveralSchemes(t *testing.T) {
	const (
		bearer  = `Bearer`
		dpop    = `DPoP algs="ES256 EdDSA"`
		twice   = `error="invalid_request", error_description="more than one Authorization header"`
		nothing = `error="invalid_request", error_description="no token follows %s in the Authorization header"`
	)
	issuer := verifytest.NewInMemory("https://issuer.example")
	defer issuer.Close()
	quiet := middleware.Config{Logger: slog.New(slog.DiscardHandler)}
	optional, required := staticAuth(t, issuer, binding(&prover{}), &quiet), staticAuth(t, issuer, binding(&prover{required: true}), &quiet)
	good, expired := issuer.Token(nil), issuer.Token(verifytest.Claims{"exp": 1})
	told := `error="invalid_token", error_description="the token has expired"`
	scope := `error="insufficient_scope", error_description="the token lacks a scope that is required", scope="a"`
	old := `error="insufficient_user_authentication", error_description="a more recent authentication is required", max_age="60"`
	for name, c := range map[string]struct {
		auth    *middleware.Auth
		fields  []string
		require middleware.Requirement
		status  int
		want    []string
	}{
		"nothing":                        {optional, nil, nil, 401, []string{dpop, bearer}},
		"nothing, a scope":               {optional, nil, middleware.Scope("a"), 401, []string{`DPoP scope="a", algs="ES256 EdDSA"`, `Bearer scope="a"`}},
		"another scheme":                 {optional, []string{"Basic abc"}, nil, 401, []string{dpop, bearer}},
		"nothing, required":              {required, nil, nil, 401, []string{dpop}},
		"a bad token":                    {optional, []string{"Bearer " + expired}, nil, 401, []string{dpop, "Bearer " + told}},
		"a bad token, lower case":        {optional, []string{"bearer " + expired}, nil, 401, []string{dpop, "Bearer " + told}},
		"a bad token where none is good": {required, []string{"Bearer " + expired}, nil, 401, []string{"DPoP " + told + `, algs="ES256 EdDSA"`}},
		"two fields":                     {optional, []string{"Bearer a", "DPoP a"}, nil, 400, []string{"DPoP " + twice + `, algs="ES256 EdDSA"`, "Bearer " + twice}},
		"no token":                       {optional, []string{"dpop"}, nil, 400, []string{"DPoP " + strings.ReplaceAll(nothing, "%s", "DPoP") + `, algs="ES256 EdDSA"`, bearer}},
		"no bearer token":                {optional, []string{"Bearer"}, nil, 400, []string{dpop, "Bearer " + strings.ReplaceAll(nothing, "%s", "Bearer")}},
		"a scope":                        {optional, []string{"Bearer " + good}, middleware.Scope("a"), 403, []string{"Bearer " + scope}},
		"step-up":                        {optional, []string{"Bearer " + good}, middleware.MaxAge(time.Minute), 401, []string{"Bearer " + old}},
		"a permission":                   {optional, []string{"Bearer " + good}, middleware.Permission("a"), 403, nil},
	} {
		guard := c.auth.Require()
		if c.require != nil {
			guard = c.auth.Require(c.require)
		}
		r := request("")
		r.Header["Authorization"] = c.fields
		_, f := guard.Decide(r)
		if f == nil || f.Status != c.status || !slices.Equal(f.Header.Values("WWW-Authenticate"), c.want) {
			t.Errorf("%s: %+v, want %d %q", name, f, c.status, c.want)
			continue
		}
		w := httptest.NewRecorder()
		f.Write(w, r)
		if got := w.Header().Values("WWW-Authenticate"); !slices.Equal(got, c.want) {
			t.Errorf("%s: wrote %q, want %q", name, got, c.want)
		}
	}
}
