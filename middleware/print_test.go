package middleware_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/bearerkit/bearerkit/middleware"
	"github.com/bearerkit/bearerkit/verify"
	"github.com/bearerkit/bearerkit/verify/verifytest"
)

// Nothing that a request leaves in the kit's values shows when they are printed,
// by any verb, alone, by value, or inside of others.
func TestNothingPrintsCredentials(t *testing.T) {
	issuer, auth := newAuth(t, middleware.Config{User: middleware.Resolve(findUser)})
	raw := issuer.Token(verifytest.Claims{"sub": "subject-of-the-token", "secret": "claim-of-the-token"})
	ctx, record := middleware.WithRecord(t.Context())
	r, f := auth.Require().Decide(request(raw).WithContext(ctx))
	if f != nil {
		t.Fatal(f)
	}
	token, _ := middleware.TokenFrom(r.Context())
	_, refusal := auth.Require(middleware.Scope("x")).Decide(r)
	_, err := auth.Verifier().Verify(ctx, raw[:len(raw)-8]+"AAAAAAAA")
	decision, _ := record.Decision()
	values := map[string]any{
		"context":          r.Context(),
		"context in one":   context.WithValue(r.Context(), layerKey{}, 1),
		"record's context": record.Context(),
		"record":           record,
		"decision":         decision,
		"token":            token,
		"token by value":   *token,
		"auth":             auth,
		"guard":            auth.Require(middleware.Scope("x")),
		"verifier":         auth.Verifier(),
		"refusal":          refusal,
		"error":            err,
		"query":            verify.Query{Token: raw},
		"answer":           &verify.Answer{Claims: `{"sub":"subject-of-the-token"}`},
		"resolver":         middleware.Resolve(findUser),
	}
	for name, v := range values {
		holder := struct {
			V    any
			List []any
		}{v, []any{v}}
		var printed strings.Builder
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d", "%T", "%t", "%U", "%20.3v"} {
			fmt.Fprintf(&printed, verb+"\n"+verb+"\n"+verb+"\n", v, holder, &holder)
		}
		var text, structured bytes.Buffer
		slog.New(slog.NewTextHandler(&text, nil)).Info("x", "v", v, "holder", holder)
		slog.New(slog.NewJSONHandler(&structured, nil)).Info("x", "v", v)
		printed.WriteString(text.String())
		shown := printed.String()
		if name != "token" && name != "token by value" { // LogValue says whose token it is
			shown += structured.String()
		} else {
			shown = strings.ReplaceAll(shown, "v.sub=subject-of-the-token", "")
		}
		for _, secret := range append(strings.Split(raw, "."), "claim-of-the-token") {
			if strings.Contains(shown+structured.String(), secret) {
				t.Errorf("%s shows %.20s…: %.300s", name, secret, shown)
			}
		}
		if strings.Contains(shown, "subject-of-the-token") {
			t.Errorf("%s shows the subject: %.500s", name, shown)
		}
	}
	if len(values) < 10 || token == nil || refusal == nil || err == nil {
		t.Fatal("there is nothing to print")
	}
}

// An error is printed as its text, whatever the verb.
func TestErrorsArePrintedAsText(t *testing.T) {
	_, auth := newAuth(t, middleware.Config{})
	_, err := auth.Verifier().Verify(t.Context(), "a.b")
	for verb, want := range map[string]string{
		"%v": err.Error(), "%s": err.Error(), "%+v": err.Error(), "%q": fmt.Sprintf("%q", err.Error()), "%#v": fmt.Sprintf("%q", err.Error()),
	} {
		if got := fmt.Sprintf(verb, err); got != want {
			t.Errorf("%s: %s, want %s", verb, got, want)
		}
	}
	if got := fmt.Errorf("x: %w", err); got.Error() != "x: "+err.Error() {
		t.Errorf("%v", got)
	}
}
