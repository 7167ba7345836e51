package adaptertest

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/bearerkit/bearerkit/internal/hostile"
	"github.com/bearerkit/bearerkit/verify/verifytest"
)

// hostile returns the cases of internal/hostile as requests. Each framework has to
// answer with the status and the code that the case names.
func (f *fixture) hostile(t *testing.T) []testCase {
	w := &hostile.World{
		Issuer: f.issuer.Issuer(), Audience: f.issuer.Audience(), Now: time.Now(),
		Keys: f.keys, Attacker: verifytest.NewKey("ES256"),
	}
	var list []testCase
	for _, c := range hostile.Cases() {
		token, err := c.Token(w)
		if err != nil {
			t.Fatalf("%s: %v", c.Name, err)
		}
		if c.Exact || !isFieldValue(token) {
			continue
		}
		list = append(list, testCase{
			name: "hostile: " + c.Name, path: "/any", headers: []string{"Authorization: Bearer " + token},
			answer: answer{c.Expect.Status, challenges[c.Expect.Status], c.Expect.Code}, user: subject(token), logged: c.Logged,
		})
	}
	return list
}

var challenges = map[int]string{http.StatusUnauthorized: invalidToken, http.StatusBadRequest: invalidReq}

// isFieldValue reports whether a server passes a text on in a header field as it is (RFC
// 9110 section 5.5).
func isFieldValue(text string) bool {
	return strings.TrimSpace(text) == text && !strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f })
}

// subject returns the "sub" of a token; "" if there is none.
func subject(token string) string {
	segments := strings.Split(token, ".")
	var claims struct {
		Subject string `json:"sub"`
	}
	if len(segments) == 3 {
		text, _ := base64.RawURLEncoding.DecodeString(segments[1])
		_ = json.Unmarshal(text, &claims)
	}
	return claims.Subject
}
