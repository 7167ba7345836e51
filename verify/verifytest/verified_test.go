package verifytest_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bearerkit/bearerkit/verify"
	"github.com/bearerkit/bearerkit/verify/verifytest"
)

// A token for tests is read as any other is.
func TestNewToken(t *testing.T) {
	token := verifytest.NewToken(verifytest.Claims{
		"sub": "user_7", "scope": "orders:read orders:write", "permissions": []string{"orders.delete"},
		"aud": []string{"a", "b"}, "org_id": "org_1", "tenant": map[string]any{"id": 7},
	})
	var custom struct {
		Tenant struct {
			ID int `json:"id"`
		} `json:"tenant"`
	}
	if err := token.Claims(&custom); err != nil || custom.Tenant.ID != 7 {
		t.Errorf("claims %+v, %v", custom, err)
	}
	if token.Subject != "user_7" || !token.HasScope("orders:write") || token.HasScope("orders") ||
		!token.HasPermission("orders.delete") || token.HasPermission("orders") ||
		!slices.Equal(token.Audience, []string{"a", "b"}) || token.OrganizationID != "org_1" || token.ClientID != "client_1" {
		t.Errorf("token %+v", *token)
	}
	if left := time.Until(token.Expiry); left < time.Hour-time.Minute || left > time.Hour {
		t.Errorf("it expires in %v", left)
	}

	other := verifytest.NewToken(verifytest.Claims{"iss": "https://other.example", "sub": nil, "aud": nil})
	if other.Issuer != "https://other.example" || other.Subject != "" || other.Audience != nil {
		t.Errorf("token %+v", *other)
	}
	named := verifytest.NewToken(verifytest.Claims{"sub": nil, "email": "a@example.com"}, func(i *verify.Issuer) { i.SubjectClaim = "email" })
	if named.Subject != "a@example.com" {
		t.Errorf("subject %q", named.Subject)
	}
	machine := verifytest.NewToken(verifytest.Claims{"sub": "client_1"})
	if !machine.IsMachine() {
		t.Error("not a machine's")
	}
}

// Its times are those of a testing/synctest bubble.
func TestNewTokenInABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(365 * 24 * time.Hour)
		if token := verifytest.NewToken(nil); token.IssuedAt.Unix() != time.Now().Unix() {
			t.Errorf("issued at %v", token.IssuedAt)
		}
	})
}

// What no verifier would accept, no handler gets to see.
func TestNewTokenOfWhatIsNotOne(t *testing.T) {
	for name, claims := range map[string]verifytest.Claims{
		"expired":             {"exp": time.Now().Add(-time.Hour)},
		"without expiry":      {"exp": nil},
		"a scope of a number": {"scope": 1},
		"without an issuer":   {"iss": nil},
		"an issuer of 1":      {"iss": 1},
		"a bound token":       {"cnf": map[string]any{"jkt": "x"}},
		"inexpressible":       {"sub": func() {}},
	} {
		func() {
			defer func() {
				if p := recover(); p == nil || !strings.Contains(fmt.Sprint(p), "verifytest:") {
					t.Errorf("%s: %v", name, p)
				}
			}()
			verifytest.NewToken(claims)
		}()
	}
}
