package verify_test

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"testing"

	"github.com/bearerkit/bearerkit/verify"
)

func TestSchemeOfRequest(t *testing.T) {
	v, _ := build(t, nil)
	for _, tc := range []struct {
		scheme string
		want   error
	}{
		{"", nil},
		{"Bearer", nil},
		{"bEARER", nil},
		{"DPoP", verify.ErrBound}, // no token is bound without a Binding
		{"dpop", verify.ErrBound},
		{"Basic", verify.ErrBound},
		{"Bearer ", verify.ErrBound},
		{" ", verify.ErrBound},
	} {
		for range 2 { // never seen, and remembered
			_, err := v.VerifyRequest(t.Context(), &verify.Request{Token: es256.good(), Scheme: tc.scheme})
			if !errors.Is(err, tc.want) {
				t.Errorf("scheme %q: %v, want %v", tc.scheme, err, tc.want)
			}
		}
	}
}

func TestRequestShowsNothing(t *testing.T) {
	r := verify.Request{Token: "secret-token", Proofs: []string{"secret-proof"}, Target: "/?secret"}
	var log strings.Builder
	logger := slog.New(slog.NewTextHandler(&log, nil))
	logger.Info("line", "request", r, "pointer", &r)
	for _, text := range []string{fmt.Sprint(r), fmt.Sprintf("%v %+v %#v %s %q %x", r, &r, r, r, r, r), fmt.Sprint([]any{r, &r}), log.String()} {
		if strings.Contains(text, "secret") || strings.Contains(text, fmt.Sprintf("%x", "secret")) {
			t.Errorf("shows a secret: %s", text)
		}
	}
}

func TestAnswerFields(t *testing.T) {
	var r verify.Request
	r.SetAnswerField("DPoP-Nonce", "a")
	r.SetAnswerField("Other", "x")
	r.SetAnswerField("dpop-nonce", "b")
	if got := maps.Collect(r.AnswerFields()); len(got) != 2 || got["dpop-nonce"] != "b" || got["Other"] != "x" {
		t.Errorf("fields %v", got)
	}
}
