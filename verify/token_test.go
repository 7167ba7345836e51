package verify_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bearerkit/bearerkit/verify"
)

func TestTokenFields(t *testing.T) {
	v, _ := build(t, nil)
	got := accept(t, v, eddsa.with(
		"aud", `["`+testAudience+`","urn:x"]`, "nbf", at(-5), "iat", at(-6)+".25", "exp", at(300)+".5", "auth_time", at(-60),
		"acr", `"urn:mace:silver"`, "org_id", `"org_1"`, "azp", `"azp-1"`, "cid", `"cid-1"`,
		"act", `{"sub":"admin","iss":"https://support.example","x":1,"act":{"sub":"robot"}}`, "sub", `"us\u00e9r"`))
	for _, c := range []struct {
		name      string
		got, want any
	}{
		{"Issuer", got.Issuer, testIssuer},
		{"Subject", got.Subject, "us\u00e9r"},
		{"Audience", got.Audience, []string{testAudience, "urn:x"}},
		{"ClientID", got.ClientID, "client-1"},
		{"ID", got.ID, "id-1"},
		{"Expiry", got.Expiry.UnixMilli(), testNow.UnixMilli() + 300_500},
		{"NotBefore", got.NotBefore.UnixMilli(), testNow.UnixMilli() - 5000},
		{"IssuedAt", got.IssuedAt.UnixMilli(), testNow.UnixMilli() - 5750},
		{"AuthTime", got.AuthTime.UnixMilli(), testNow.UnixMilli() - 60_000},
		{"Scope", got.Scope, "orders:read orders:write"},
		{"OrganizationID", got.OrganizationID, "org_1"},
		{"ACR", got.ACR, "urn:mace:silver"},
		{"Actor", got.Actor, &verify.Actor{Subject: "admin", Issuer: "https://support.example", Actor: &verify.Actor{Subject: "robot"}}},
	} {
		if !reflect.DeepEqual(c.got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, c.got, c.want)
		}
	}
	bare := accept(t, v, eddsa.with("client_id", "", "jti", "", "scope", "", "iat", ""))
	want := verify.Token{Issuer: testIssuer, Subject: "user-1", Audience: []string{testAudience}, Expiry: bare.Expiry}
	for i := range reflect.TypeOf(want).NumField() {
		if f := reflect.TypeOf(want).Field(i); f.IsExported() {
			if a, b := reflect.ValueOf(*bare).Field(i).Interface(), reflect.ValueOf(want).Field(i).Interface(); !reflect.DeepEqual(a, b) {
				t.Errorf("%s of a bare token: %v, want %v", f.Name, a, b)
			}
		}
	}
}

func TestClientID(t *testing.T) {
	v, _ := build(t, nil)
	for want, edits := range map[string][]string{
		"a": {"client_id", `"a"`, "azp", `"b"`, "cid", `"c"`},
		"b": {"client_id", "", "azp", `"b"`, "cid", `"c"`},
		"c": {"client_id", "", "cid", `"c"`},
		"":  {"client_id", ""},
	} {
		if got := accept(t, v, eddsa.with(edits...)).ClientID; got != want {
			t.Errorf("%v: %q", edits, got)
		}
	}
}

// Dates at the edge of what can be said become the nearest that can.
func TestFarDates(t *testing.T) {
	v, _ := build(t, nil)
	got := accept(t, v, eddsa.with("nbf", "-1e300", "iat", "-9223372036854775808", "auth_time", "1e300"))
	if y := got.NotBefore.UTC().Year(); y != 1 {
		t.Errorf("nbf in the year %d", y)
	}
	if y := got.IssuedAt.UTC().Year(); y != 1 {
		t.Errorf("iat in the year %d", y)
	}
	if y := got.AuthTime.UTC().Year(); y != 9999 {
		t.Errorf("auth_time in the year %d", y)
	}
	if got := accept(t, v, eddsa.with("auth_time", "-1.5")).AuthTime; !got.Equal(time.UnixMilli(-1500)) {
		t.Errorf("auth_time %v", got)
	}
}

func TestScopes(t *testing.T) {
	v, _ := build(t, nil)
	for _, c := range []struct {
		edits []string
		want  []string
	}{
		{nil, []string{"orders:read", "orders:write"}},
		{[]string{"scope", `"a"`}, []string{"a"}},
		{[]string{"scope", `""`}, nil},
		{[]string{"scope", ""}, nil},
		{[]string{"scope", "", "scp", `"a b"`}, []string{"a", "b"}},
		{[]string{"scope", "", "scp", `["a","b"]`}, []string{"a", "b"}},
		{[]string{"scope", "", "scp", `[]`}, nil},
		{[]string{"scope", `["a","b:c"]`}, []string{"a", "b:c"}},
		{[]string{"scope", `[]`}, nil},
		{[]string{"scope", `"  a b "`}, []string{"a", "b"}},
		{[]string{"scope", `" "`}, nil},
		{[]string{"scope", `["\u0061"]`, "scp", `"z"`}, []string{"a"}},
		{[]string{"scope", `[]`, "scp", `["b"]`}, nil},
		{[]string{"scope", `null`, "scp", `["b"]`}, []string{"b"}},
		{[]string{"scope", `"a"`, "scp", `["b"]`}, []string{"a"}},
		{[]string{"scope", `""`, "scp", `["b"]`}, nil},
	} {
		tok := accept(t, v, eddsa.with(c.edits...))
		if got := slices.Collect(tok.Scopes()); !slices.Equal(got, c.want) {
			t.Errorf("%q: scopes %q, want %q", c.edits, got, c.want)
		}
		for _, s := range c.want {
			if !tok.HasScope(s) {
				t.Errorf("%q: not %q", c.edits, s)
			}
		}
	}
	tok := accept(t, v, eddsa.with("scope", `"api:readonly orders:read"`))
	for _, s := range []string{"api:read", "API:READONLY", "orders", "orders:rea", "orders:read ", " orders:read", "api:readonly orders:read", "", " ", "read", "orders:read\x00"} {
		if tok.HasScope(s) {
			t.Errorf("it has the scope %q", s)
		}
	}
	for s := range tok.Scopes() {
		if s != "api:readonly" {
			t.Errorf("%q after the loop was left", s)
		}
		break
	}
	if (&verify.Token{}).HasScope("") {
		t.Error("the empty token has the empty scope")
	}
}

func TestHasPermission(t *testing.T) {
	v, _ := build(t, nil)
	tok := accept(t, v, eddsa.with("permissions", `["orders:read","a b","x\u0041"]`))
	for p, want := range map[string]bool{"orders:read": true, "a b": true, "xA": true, "a": false, "orders:rea": false, "ORDERS:READ": false, "": false} {
		if tok.HasPermission(p) != want {
			t.Errorf("%q: %v", p, !want)
		}
	}
	for _, c := range []string{``, `null`, `"orders:read"`, `["orders:read",1]`, `{"orders:read":true}`, `[["orders:read"]]`} {
		if accept(t, v, eddsa.with("permissions", c)).HasPermission("orders:read") {
			t.Errorf("%s grants it", c)
		}
	}
	if accept(t, v, eddsa.with("Permissions", `["orders:read"]`)).HasPermission("orders:read") {
		t.Error("another claim grants it")
	}
}

// Permissions from elsewhere take the place of the token's, in a copy.
func TestWithPermissions(t *testing.T) {
	list := []string{"a", "b"}
	tok := &verify.Token{Subject: "s", Audience: []string{"x"}}
	with := tok.WithPermissions(list...)
	list[0] = "c"
	if !with.HasPermission("a") || !with.HasPermission("b") || with.HasPermission("c") || with.Subject != "s" || tok.HasPermission("a") {
		t.Errorf("%v, %v", with.HasPermission("a"), tok.HasPermission("a"))
	}
	if with.WithPermissions().HasPermission("a") {
		t.Error("permissions stay")
	}
}

func TestIsMachine(t *testing.T) {
	v, _ := build(t, func(c *verify.Config) {
		c.Issuers[0].AllowNoSubject = true
	})
	for _, c := range []struct {
		edits []string
		want  bool
	}{
		{nil, false},
		{[]string{"sub", `"client-1"`}, true},
		{[]string{"sub", `"client-1@clients"`}, true},
		{[]string{"sub", `"client-1"`, "client_id", "", "azp", `"client-1"`}, true},
		{[]string{"sub", `"Client-1"`}, false},
		{[]string{"sub", `"client-1@client"`}, false},
		{[]string{"sub", `"client-2"`}, false},
		{[]string{"sub", `"client-1"`, "client_id", ""}, false},
		{[]string{"sub", "", "client_id", `""`}, false},
		{[]string{"sub", `"@clients"`, "client_id", `""`}, false},
		{[]string{"sub", ""}, false},
	} {
		if got := accept(t, v, eddsa.with(c.edits...)).IsMachine(); got != c.want {
			t.Errorf("%q: %v", c.edits, got)
		}
	}
}

func TestClaims(t *testing.T) {
	v, _ := build(t, nil)
	tok := accept(t, v, eddsa.with("role", `"admin"`, "Tenant", `"upper"`, "n", `9007199254740993`, "f", `1.5`, "big", `1e30`))
	var got struct {
		Role   string `json:"role"`
		Roll   string `json:"ROLE"`
		Tenant string `json:"tenant"`
		N      int64  `json:"n"`
	}
	if err := tok.Claims(&got); err != nil || got.Role != "admin" || got.Roll != "" || got.Tenant != "" || got.N != 9007199254740993 {
		t.Errorf("%+v, %v", got, err)
	}
	var m map[string]any
	if err := tok.Claims(&m); err != nil || m["n"] != int64(9007199254740993) || m["f"] != 1.5 || m["sub"] != "user-1" || m["Tenant"] != "upper" {
		t.Errorf("%v, %v", m, err)
	}
	for _, bad := range []any{nil, got, m, (*struct{})(nil), new(int), &struct {
		Sub int `json:"sub"`
	}{}} {
		if tok.Claims(bad) == nil {
			t.Errorf("%T: no error", bad)
		}
	}
	if (&verify.Token{}).Claims(&m) == nil {
		t.Error("a token of nobody's has claims")
	}
}

// A token is the caller's: whatever he does to it, the next verification of
// the same text brings what the issuer said.
func TestTokensDoNotShare(t *testing.T) {
	v, _ := build(t, nil)
	text := eddsa.with("aud", `["`+testAudience+`","b"]`, "permissions", `["p"]`, "act", `{"sub":"a","act":{"sub":"b"}}`, "x", `["y"]`)
	var before map[string]any
	first := accept(t, v, text)
	if err := first.Claims(&before); err != nil {
		t.Fatal(err)
	}
	first.Audience[0], first.Subject, first.Scope = "evil", "admin", "admin"
	first.Actor.Subject = "evil"
	first.Actor.Actor.Subject = "evil"
	var g grabber
	if err := first.Claims(&g); err != nil {
		t.Fatal(err)
	}
	for i := range g {
		g[i] = 'x'
	}
	second := accept(t, v, text)
	var after map[string]any
	if err := second.Claims(&after); err != nil || !reflect.DeepEqual(before, after) {
		t.Errorf("claims %v, %v, were %v", after, err, before)
	}
	if second.Audience[0] != testAudience || second.Subject != "user-1" || second.Actor.Subject != "a" || second.Actor.Actor.Subject != "b" ||
		!second.HasPermission("p") || second.HasScope("admin") {
		t.Errorf("%+v", second)
	}
}

// A grabber keeps the text that it is shown, against the rules of
// json.Unmarshaler.
type grabber []byte

func (g *grabber) UnmarshalJSON(b []byte) error { *g = b; return nil }

func TestConcurrentUse(t *testing.T) {
	v, _ := build(t, nil)
	good, bad := eddsa.good(), es256.with("exp", at(-100))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				if _, err := v.Verify(t.Context(), good); err != nil {
					t.Error(err)
				}
				if _, err := v.Verify(t.Context(), bad); err == nil {
					t.Error("accepted")
				}
			}
		})
	}
	wg.Wait()
}

// A token in a log shows whose it is and nothing more.
func TestLogValue(t *testing.T) {
	v, _ := build(t, nil)
	text := eddsa.with("secret", `"hunter2hunter2"`, "permissions", `["classified"]`)
	var out bytes.Buffer
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "token", accept(t, v, text))
	var line struct {
		Token map[string]string `json:"token"`
	}
	if err := json.Unmarshal(out.Bytes(), &line); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"iss": testIssuer, "sub": "user-1", "client_id": "client-1", "jti": "id-1"}
	if !reflect.DeepEqual(line.Token, want) {
		t.Errorf("%v, want %v", line.Token, want)
	}
	for _, secret := range append(strings.Split(text, "."), "hunter2", "classified") {
		if strings.Contains(out.String(), secret) {
			t.Errorf("the log holds %q", secret)
		}
	}
}

// The clock's float64 keeps apart what a second keeps apart, decades from now.
func TestSecondsStayApart(t *testing.T) {
	for _, year := range []int{1971, 2000, 2026, 2038, 2039, 2100, 2200} {
		now := time.Date(year, 3, 1, 0, 0, 0, 0, time.UTC)
		v, _ := build(t, func(c *verify.Config) { c.Leeway, c.Now = verify.NoLeeway, func() time.Time { return now } })
		tok := func(exp int64) string { return eddsa.with("exp", fmt.Sprint(exp), "iat", "") }
		accept(t, v, tok(now.Unix()+1))
		refuse(t, v, tok(now.Unix()), verify.ErrExpired)
	}
}
