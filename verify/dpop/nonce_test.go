package dpop_test

import (
	"bytes"
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/bearerkit/bearerkit/verify"
	"github.com/bearerkit/bearerkit/verify/dpop"
)

func secret(b byte) []byte { return bytes.Repeat([]byte{b}, 32) }

func nonces(t testing.TB, service string, secrets ...[]byte) *dpop.Nonces {
	t.Helper()
	n, err := dpop.NewNonces(service, secrets)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// minute is the beginning of a step.
var minute = time.Unix(1_800_000_000, 0)

func TestNonceWindow(t *testing.T) {
	n := nonces(t, "orders", secret(1))
	nonce := n.Current(minute.Add(30 * time.Second))
	for _, c := range []struct {
		after      time.Duration // since the minute of the nonce began
		ok, newest bool
	}{
		{-61 * time.Second, false, false},
		{-60*time.Second - time.Nanosecond, false, false},
		{-60 * time.Second, true, true}, // made by a replica whose clock is ahead
		{-time.Nanosecond, true, true},
		{0, true, true},
		{59*time.Second + 999*time.Millisecond, true, true},
		{60 * time.Second, true, false},
		{179*time.Second + 999*time.Millisecond, true, false},
		{180 * time.Second, false, false},
		{time.Hour, false, false},
	} {
		got, ok := n.Check(nonce, minute.Add(c.after))
		if ok != c.ok || got.Newest != c.newest {
			t.Errorf("%v after: %v, newest %v", c.after, ok, got.Newest)
		}
		if ok && (!got.Made.Equal(minute) || !got.Until.Equal(minute.Add(3*time.Minute))) {
			t.Errorf("%v after: made %v, until %v", c.after, got.Made, got.Until)
		}
	}
}

func TestNonceForm(t *testing.T) {
	n := nonces(t, "orders", secret(1))
	good := n.Current(minute)
	if len(good) != 32 {
		t.Errorf("%q is %d characters long", good, len(good))
	}
	for _, c := range good { // RFC 9449 section 8.1: NQCHAR
		if c != 0x21 && (c < 0x23 || c > 0x5b) && (c < 0x5d || c > 0x7e) {
			t.Errorf("%q has %q", good, c)
		}
	}
	if n.Current(minute.Add(59*time.Second)) != good || n.Current(minute.Add(time.Minute)) == good {
		t.Error("the nonce is not that of the minute")
	}
	for i := range good {
		bad := []byte(good)
		bad[i] ^= 1
		if _, ok := n.Check(string(bad), minute); ok {
			t.Errorf("%q with character %d changed passes", good, i)
		}
	}
	raw, err := base64.RawURLEncoding.DecodeString(good)
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{
		"", "x", good[:31], good + "A", good + "=", " " + good[1:], good[:31] + "\n", good[:30] + "\r\n", "\n" + good, good + "\n",
		strings.ToUpper(good), good + good, strings.Repeat("A", 32), strings.Repeat("A", 1<<20),
		base64.StdEncoding.EncodeToString(append(bytes.Repeat([]byte{0xff}, 12), raw[12:]...)),
	} {
		if _, ok := n.Check(bad, minute); ok {
			t.Errorf("%.40q passes", bad)
		}
	}
	// A step at the end of the numbers must not wrap around into the window.
	for _, step := range []byte{0x80, 0x7f, 0xff} {
		bad := append([]byte{step}, raw[1:]...)
		if _, ok := n.Check(base64.RawURLEncoding.EncodeToString(bad), minute); ok {
			t.Errorf("a nonce with step %x… passes", step)
		}
	}
}

func TestNonceSecrets(t *testing.T) {
	const service = "orders"
	one, other := nonces(t, service, secret(1)), nonces(t, service, secret(2))
	both, newer := nonces(t, service, secret(1), secret(2)), nonces(t, service, secret(2), secret(1))
	for _, c := range []struct {
		name        string
		from, at    *dpop.Nonces
		ok, isFirst bool
	}{
		{"another replica with the secret", one, nonces(t, service, secret(1)), true, true},
		{"a replica with another secret", one, other, false, false},
		{"a replica that knows the next one too", one, both, true, true},
		{"a replica that makes them with the next one", one, newer, true, false},
		{"the next one, at a replica that does not use it yet", newer, both, true, false},
		{"the next one, once the old one is gone", newer, other, true, true},
		{"the old one, once it is gone", both, other, false, false},
		{"another service with the secret", nonces(t, "orders2", secret(1)), one, false, false},
	} {
		got, ok := c.at.Check(c.from.Current(minute), minute)
		if ok != c.ok || got.Newest != c.isFirst {
			t.Errorf("%s: %v, newest %v", c.name, ok, got.Newest)
		}
	}
	s := secret(3)
	n := nonces(t, service, s)
	s[0]++
	if n.Current(minute) != nonces(t, service, secret(3)).Current(minute) {
		t.Error("the secret was not copied")
	}
}

func TestNonceFaults(t *testing.T) {
	for name, c := range map[string]struct {
		service string
		secrets [][]byte
		want    []string
	}{
		"none":                {"orders", nil, []string{"Secrets"}},
		"short":               {"orders", [][]byte{secret(1), secret(2)[:31], nil}, []string{"Secrets[1]", "Secrets[2]"}},
		"no service":          {"", [][]byte{secret(1)}, []string{"Service"}},
		"nothing whatever":    {"", nil, []string{"Service", "Secrets"}},
		"nothing is at fault": {"orders", [][]byte{secret(1)}, nil},
	} {
		_, err := dpop.NewNonces(c.service, c.secrets)
		var got []string
		for _, f := range verify.Faults(err) {
			got = append(got, f.Field)
		}
		if strings.Join(got, " ") != strings.Join(c.want, " ") {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
		if err != nil && strings.Contains(err.Error(), string(secret(2)[:8])) {
			t.Errorf("%s: the error shows a secret", name)
		}
	}
}

func TestNonceConcurrently(t *testing.T) {
	n := nonces(t, "orders", secret(1), secret(2))
	done := make(chan bool)
	for i := range 8 {
		go func() {
			ok := true
			for k := range 200 {
				now := minute.Add(time.Duration((k+i)%4) * time.Minute)
				_, good := n.Check(n.Current(now), now)
				ok = ok && good
			}
			done <- ok
		}()
	}
	for range 8 {
		if !<-done {
			t.Error("a nonce that was current did not pass")
		}
	}
}

func TestNonceAllocates(t *testing.T) {
	n := nonces(t, "orders", secret(1), secret(2))
	nonce := n.Current(minute)
	if a := testing.AllocsPerRun(100, func() { n.Check(nonce, minute); n.Current(minute) }); a != 0 {
		t.Errorf("%v allocations", a)
	}
}

func FuzzNonce(f *testing.F) {
	n := nonces(f, "orders", secret(1))
	f.Add(n.Current(minute))
	f.Add("")
	f.Fuzz(func(t *testing.T, s string) {
		if _, ok := n.Check(s, minute); ok {
			for step := -2; step <= 1; step++ {
				if s == n.Current(minute.Add(time.Duration(step)*time.Minute)) {
					return
				}
			}
			t.Fatalf("%q passes, and was never made", s)
		}
	})
}
