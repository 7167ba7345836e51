package main

import (
	"bytes"
	"encoding/xml"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bearerkit/bearerkit/bench/contender"
	"github.com/bearerkit/bearerkit/bench/token"
)

func newIssuer(t testing.TB, algorithm string) *token.Issuer {
	t.Helper()
	is, err := token.NewIssuer(algorithm)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(is.Close)
	return is
}

func mint(t testing.TB, is *token.Issuer, n int) []token.Token {
	t.Helper()
	tokens, err := is.Mint(n)
	if err != nil {
		t.Fatal(err)
	}
	return tokens
}

func TestMain(m *testing.M) {
	if serves() { // the server of the loopback section
		return
	}
	os.Exit(m.Run())
}

// BenchmarkKit is the ordinary kind of benchmark, for profiles and for
// allocations; times are compared by the command, whose slices are paired.
func BenchmarkKit(b *testing.B) {
	for _, algorithm := range token.Algorithms {
		n := 2048
		if testing.Short() {
			n = 32
		}
		is := newIssuer(b, algorithm)
		tokens := mint(b, is, n)
		for name, c := range comparisons {
			subjects, err := c(b.Context(), is, tokens)
			if err != nil {
				b.Fatal(err)
			}
			for _, s := range subjects {
				b.Run(algorithm+"/"+name+"/"+s.Name, func(b *testing.B) {
					b.ReportAllocs()
					i := 0
					for b.Loop() {
						if err := s.Op(i); err != nil {
							b.Fatal(err)
						}
						i++
					}
				})
			}
		}
	}
}

// A comparison of things that do different work would mean nothing: all
// contenders accept the good tokens and refuse the bad ones.
func TestContendersAgree(t *testing.T) {
	for _, algorithm := range token.Algorithms {
		t.Run(algorithm, func(t *testing.T) {
			is, stranger := newIssuer(t, algorithm), newIssuer(t, algorithm)
			good := mint(t, is, 3)
			sign := func(by *token.Issuer, change func(*token.Claims)) string {
				t.Helper()
				c := token.NewClaims(0)
				change(&c)
				signed, err := by.Sign(c)
				if err != nil {
					t.Fatal(err)
				}
				return signed.Raw
			}
			// One bit of the signature, away from its end, where base64
			// has bits that mean nothing.
			cut := strings.LastIndexByte(good[0].Raw, '.') + 10
			flipped := []byte(good[0].Raw)
			flipped[cut] = map[bool]byte{true: 'A', false: 'B'}[flipped[cut] != 'A']
			cases := []struct {
				name, token string
			}{
				{"bit of the signature", string(flipped)},
				{"signature of another token", good[0].Raw[:cut-9] + good[1].Raw[strings.LastIndexByte(good[1].Raw, '.')+1:]},
				{"another key", sign(stranger, func(*token.Claims) {})},
				{"another issuer", sign(is, func(c *token.Claims) { c.Issuer += "/" })},
				{"another audience", sign(is, func(c *token.Claims) { c.Audience = "client_other" })},
				{"expired", sign(is, func(c *token.Claims) { c.Expiry = time.Now().Add(-time.Hour).Unix() })},
			}
			for _, c := range contender.All {
				t.Run(c.Name, func(t *testing.T) {
					verify, err := c.New(t.Context(), is)
					if err != nil {
						t.Fatal(err)
					}
					for _, g := range good {
						if err := verify(t.Context(), g.Raw); err != nil {
							t.Errorf("a good token: %v", err)
						}
					}
					for _, bad := range cases {
						if verify(t.Context(), bad.token) == nil {
							t.Errorf("%s: accepted", bad.name)
						}
					}
					// What it just refused did not make it refuse everything.
					if err := verify(t.Context(), good[2].Raw); err != nil {
						t.Errorf("a good token, after the bad ones: %v", err)
					}
				})
			}
		})
	}
}

// The reference checks the signature, or every ratio is too large.
func TestRawChecks(t *testing.T) {
	for _, algorithm := range token.Algorithms {
		is := newIssuer(t, algorithm)
		tokens := mint(t, is, 2)
		raw, err := contender.Raw(is, tokens)
		if err != nil {
			t.Fatal(err)
		}
		if err := raw(0); err != nil {
			t.Errorf("%s: %v", algorithm, err)
		}
		tokens[1].Signed[20] ^= 1
		if raw(1) == nil {
			t.Errorf("%s: accepts what was not signed", algorithm)
		}
		if err := raw(2); err != nil {
			t.Errorf("%s: %v", algorithm, err)
		}
	}
}

// Tokens are as large as those that the tables speak of, and all different.
func TestTokens(t *testing.T) {
	for algorithm, size := range map[string]int{"RS256": 916, "PS256": 916, "ES256": 660, "EdDSA": 660} {
		seen := map[string]bool{}
		for _, tk := range mint(t, newIssuer(t, algorithm), 50) {
			if n := len(tk.Raw); n < size-4 || n > size+4 {
				t.Errorf("%s: %d bytes, want about %d", algorithm, n, size)
			}
			seen[strings.Split(tk.Raw, ".")[1]] = true
		}
		if len(seen) != 50 {
			t.Errorf("%s: %d different payloads of 50", algorithm, len(seen))
		}
	}
}

// The chart is an image that can be drawn, with a bar for everybody.
func TestChart(t *testing.T) {
	file := filepath.Join(t.TempDir(), "chart.svg")
	s, err := parse([]string{"-short", "-alg", "ES256", "-tables", "never seen$", "-chart", file}, t.Output())
	if err != nil {
		t.Fatal(err)
	}
	if err := run(t.Context(), io.Discard, s); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	bars := 0
	for d := xml.NewDecoder(bytes.NewReader(text)); ; {
		token, err := d.Token()
		if err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if e, ok := token.(xml.StartElement); ok && e.Name.Local == "rect" {
			bars++
		}
	}
	if bars != len(contender.All)+1 {
		t.Errorf("%d bars for %d contenders and raw", bars, len(contender.All))
	}
}

func TestReport(t *testing.T) {
	s, err := parse([]string{"-short", "-alg", "RS256,EdDSA"}, t.Output())
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := run(t.Context(), &out, s); err != nil {
		t.Fatal(err)
	}
	for _, c := range contender.All[1:] {
		if n := strings.Count(out.String(), "| "+c.Name+" |"); n != 6 {
			t.Errorf("%s is in %d tables, want 6", c.Name, n)
		}
	}
	for _, section := range sections {
		if !strings.Contains(out.String(), "\n## "+section.title+"\n") {
			t.Errorf("no section %q", section.title)
		}
	}
	for _, want := range []string{
		"| raw | 1.00 (1.00–1.00) | 1.00 (1.00–1.00) |",
		"| unique tokens RS256 / EdDSA, to raw, cache off | ",
		"| loopback HTTP on one core, ",
		"| good requests' p99 ",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q:\n%s", want, &out)
		}
	}
}

func TestFlags(t *testing.T) {
	for _, bad := range []string{"-rounds=0", "-tokens=3", "-slice=0s", "-only=(", "-tables=(", "-nonsense"} {
		if _, err := parse([]string{bad}, t.Output()); err == nil {
			t.Errorf("%s was taken", bad)
		}
	}
	s, err := parse([]string{"-alg", "NONE"}, t.Output())
	if err != nil {
		t.Fatal(err)
	}
	if err := run(t.Context(), &bytes.Buffer{}, s); err == nil {
		t.Error("an algorithm that does not exist was compared")
	}
}
