package middleware_test

import (
	"bytes"
	"io"
	"log/slog"
	"strings"
	"testing"

	"github.com/bearerkit/bearerkit/middleware"
)

// mistakeSentences are the descriptions of what clients do to a token.
var mistakeSentences = []string{
	"a bearer token is required, and the Authorization header has no scheme before its value",
	"a bearer token is required, and no space follows Bearer in the Authorization header",
	"a bearer token is required, and the Authorization header begins with a quote",
	"a bearer token is required, and the Authorization header has another scheme",
	"no token follows Bearer in the Authorization header",
	"a colon follows Bearer in the Authorization header",
	"a tab follows Bearer in the Authorization header",
	"no space follows Bearer in the Authorization header",
	"more than one space before the token",
	"a scheme stands before the token, where only the token belongs",
	"the token is in quotes",
	"the token is in brackets, or a placeholder stands in its place",
	"more than one token, or a comma in it",
	"white space behind the token",
	"white space in the token",
	"a line break in the token",
	"percent escapes in the token",
	"characters in the token that are not ASCII",
	"a character that no token has",
	"a placeholder stands where the token belongs",
	"the name of a parameter stands before the token",
}

// What clients do to a token on its way is named, in the answer and in the log,
// with the status that it always had.
func TestMistakesAreNamed(t *testing.T) {
	var log bytes.Buffer
	issuer, auth := newAuth(t, middleware.Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	good := issuer.Token(nil)
	const (
		none   = "a bearer token is required"
		scheme = none + ", and the Authorization header has another scheme"
		where  = " in the Authorization header"
	)
	for _, c := range []struct {
		value       string
		status      int
		description string
	}{
		{"", 401, none},
		{good, 401, none + ", and the Authorization header has no scheme before its value"},
		{"access_token=" + good, 401, none + ", and the Authorization header has no scheme before its value"},
		{"Bearer" + good, 401, none + ", and no space follows Bearer in the Authorization header"},
		{`"Bearer ` + good + `"`, 401, none + ", and the Authorization header begins with a quote"},
		{"Basic dTpw", 401, scheme},
		{"Negotiate", 401, scheme},
		{"Token " + good, 401, scheme},
		{"JWT " + good, 401, scheme},
		{"DPoP " + good, 401, scheme},
		{"Bearerish " + good, 401, scheme},

		{"Bearer", 400, "no token follows Bearer" + where},
		{"Bearer ", 400, "no token follows Bearer" + where},
		{"Bearer   ", 400, "no token follows Bearer" + where},
		{"Bearer:" + good, 400, "a colon follows Bearer" + where},
		{"bearer: " + good, 400, "a colon follows Bearer" + where},
		{"BEARER\t" + good, 400, "a tab follows Bearer" + where},
		{"Bearer=" + good, 400, "no space follows Bearer" + where},
		{`Bearer"` + good + `"`, 400, "no space follows Bearer" + where},
		{"Bearer  " + good, 400, "more than one space before the token"},
		{"Bearer Bearer " + good, 400, "a scheme stands before the token, where only the token belongs"},
		{"Bearer bearer " + good, 400, "a scheme stands before the token, where only the token belongs"},
		{"Bearer JWT " + good, 400, "a scheme stands before the token, where only the token belongs"},
		{`Bearer "` + good + `"`, 400, "the token is in quotes"},
		{"Bearer '" + good + "'", 400, "the token is in quotes"},
		{"Bearer " + good + `"`, 400, "the token is in quotes"},
		{"Bearer <" + good + ">", 400, "the token is in brackets, or a placeholder stands in its place"},
		{"Bearer {{access_token}}", 400, "the token is in brackets, or a placeholder stands in its place"},
		{"Bearer ${TOKEN}", 400, "the token is in brackets, or a placeholder stands in its place"},
		{"Bearer [object Object]", 400, "the token is in brackets, or a placeholder stands in its place"},
		{"Bearer " + good + ", Bearer " + good, 400, "more than one token, or a comma in it"},
		{"Bearer " + good + ",", 400, "more than one token, or a comma in it"},
		{"Bearer " + good + " ", 400, "white space behind the token"},
		{"Bearer " + strings.Replace(good, ".", ". ", 1), 400, "white space in the token"},
		{"Bearer " + good[:9] + "\n" + good[9:], 400, "a line break in the token"},
		{"Bearer a%2eb", 400, "percent escapes in the token"},
		{"Bearer " + good + "\u00e9", 400, "characters in the token that are not ASCII"},
		{"Bearer a;b", 400, "a character that no token has"},

		{"Bearer Bearer", 401, "a placeholder stands where the token belongs"},
		{"Bearer undefined", 401, "a placeholder stands where the token belongs"},
		{"Bearer null", 401, "a placeholder stands where the token belongs"},
		{"Bearer access_token=" + good, 401, "the name of a parameter stands before the token"},
		{"Bearer opaque", 401, "the token is not a JWT (opaque)"},
	} {
		log.Reset()
		// The throttle is the Auth's, so each value gets one.
		fresh := must(middleware.New(auth.Verifier(), middleware.Config{Logger: slog.New(slog.NewTextHandler(&log, nil))}))
		r := request("")
		if c.value != "" {
			r.Header["Authorization"] = []string{c.value}
		}
		resp := refused(fresh.Require(), r)
		if resp == nil {
			t.Errorf("%.30q: admitted", c.value)
			continue
		}
		body := string(must(io.ReadAll(resp.Body)))
		if resp.StatusCode != c.status || !strings.Contains(body, `"error_description":"`+c.description+`"`) {
			t.Errorf("%.30q: %d %s, want %d %q", c.value, resp.StatusCode, body, c.status, c.description)
		}
		if bare := resp.Header.Get("WWW-Authenticate") == "Bearer"; bare != strings.HasPrefix(c.description, none) {
			t.Errorf("%.30q: challenge %q", c.value, resp.Header.Get("WWW-Authenticate"))
		}
		if warned := strings.Contains(log.String(), "level=WARN") && strings.Contains(log.String(), c.description); warned != (c.value != "") {
			t.Errorf("%.30q: the log has %s", c.value, &log)
		}
		if strings.Contains(log.String()+body, good[:20]) {
			t.Errorf("%.30q: a part of the token shows", c.value)
		}
	}
}

// The mistake is named in every place that tokens are taken from, and an
// Authorization header is nobody's business where none is.
func TestMistakesInOtherPlaces(t *testing.T) {
	issuer, header := newAuth(t, middleware.Config{Credentials: []middleware.CredentialSource{middleware.Header("X-Token")}})
	first := must(middleware.New(header.Verifier(), middleware.Config{Credentials: []middleware.CredentialSource{
		middleware.FirstOf(middleware.Cookie("t"), middleware.AuthorizationHeader()),
	}, Logger: slog.New(slog.DiscardHandler)}))
	r := request("")
	r.Header.Set("X-Token", "Bearer "+issuer.Token(nil))
	if _, f := header.Require().Decide(r); f == nil || f.Status != 400 || f.Description != "a scheme stands before the token, where only the token belongs" {
		t.Errorf("%+v", f)
	}
	r = request("")
	r.Header.Set("Authorization", "Basic dTpw")
	if _, f := header.Require().Decide(r); f == nil || f.Description != "a bearer token is required" {
		t.Errorf("%+v", f)
	}
	if _, f := first.Require().Decide(r); f == nil || f.Description != "a bearer token is required, and the Authorization header has another scheme" {
		t.Errorf("%+v", f)
	}
}
