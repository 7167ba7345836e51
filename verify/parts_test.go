package verify_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bearerkit/bearerkit/verify"
	"github.com/bearerkit/bearerkit/verify/introspect"
	"github.com/bearerkit/bearerkit/verify/jwks"
)

const otherIssuer = "https://other.example"

// offline is a transport that reaches nobody.
type offline struct{}

func (offline) RoundTrip(*http.Request) (*http.Response, error) { return nil, errors.New("offline") }

func discovered(c jwks.Config) *jwks.Source {
	c.Client, c.Logger = &http.Client{Transport: offline{}}, slog.New(slog.DiscardHandler)
	return jwks.New(c)
}

// parts are the parts of the kit that a verifier binds: each can be put into a
// configuration of any issuer.
var parts = []struct {
	name string
	new  func() any
}{
	{"discovered keys", func() any { return discovered(jwks.Config{}) }},
	{"keys at a URL", func() any { return discovered(jwks.Config{URL: testIssuer + "/keys"}) }},
	{"static keys", func() any { return jwks.Static(eddsa.key()) }},
	{"introspection", func() any { return introspect.New(introspect.Config{Auth: introspect.Basic("api", "secret")}) }},
}

// with returns an issuer with a part.
func with(name string, part any) verify.Issuer {
	is := verify.Issuer{Issuer: name, Audience: []string{testAudience}, Keys: &source{set: published(eddsa)}}
	switch p := part.(type) {
	case verify.KeySource:
		is.Keys = p
	case verify.Introspector:
		is.Introspection = &verify.Introspection{Introspector: p}
	}
	return is
}

func configured(list ...verify.Issuer) verify.Config {
	return verify.Config{Issuers: list, Now: func() time.Time { return testNow }}
}

// closing closes a verifier at the end of the test.
func closing(t *testing.T, v *verify.Verifier, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = v.Close() })
}

// faultsOf demands faults of these fields, and no others.
func faultsOf(t *testing.T, err error, fields ...string) {
	t.Helper()
	var got []string
	for _, f := range verify.Faults(err) {
		got = append(got, f.Field)
	}
	if !slices.Equal(got, fields) {
		t.Errorf("faults of %q, want %q (%v)", got, fields, err)
	}
}

// Neither Validate nor a New that fails changes a part: it can still be bound to
// any issuer.
func TestCheckingChangesNothing(t *testing.T) {
	for _, p := range parts {
		t.Run(p.name, func(t *testing.T) {
			part := p.new()
			good := configured(with(testIssuer, part))
			mistyped := configured(with("https://mistyped.example", part))
			broken := mistyped
			broken.Algorithms = []string{"none"}
			for range 2 {
				for _, c := range []verify.Config{good, mistyped, broken} {
					if err := c.Validate(); (err != nil) != (c.Algorithms != nil) {
						t.Error(err)
					}
				}
			}
			if _, err := verify.New(broken); err == nil {
				t.Error("accepted")
			}
			v, err := verify.New(good)
			closing(t, v, err)
			// Nor does checking another configuration change the one in use.
			if err := mistyped.Validate(); err == nil {
				t.Error("a part of another issuer was accepted")
			}
			if _, err := verify.New(mistyped); len(verify.Faults(err)) != 1 {
				t.Errorf("a part of another issuer: %v", err)
			}
			if _, ok := part.(verify.KeySource); ok {
				if err := good.Validate(); err != nil {
					t.Errorf("the issuer's own keys: %v", err)
				}
			}
		})
	}
}

// A live introspector keeps checking signed answers with the keys of its verifier,
// whatever other configurations are checked.
func TestIntrospectorKeepsItsOpener(t *testing.T) {
	in := introspect.New(introspect.Config{Auth: introspect.Basic("api", "secret")})
	v, err := verify.New(configured(with(testIssuer, in)))
	closing(t, v, err)
	evil := with(testIssuer, in)
	evil.Keys = jwks.Static((&signer{"eddsa", "EdDSA", newEd()}).key())
	faultsOf(t, configured(evil).Validate(), "Issuers[0].Introspection.Issuer")
	_, err = verify.New(configured(evil))
	faultsOf(t, err, "Issuers[0].Introspection.Issuer")
	// The keys of the failed configuration are not bound.
	ok := configured(with(otherIssuer, evil.Keys))
	v, err = verify.New(ok)
	closing(t, v, err)
}

func TestClosedPartsAreFaults(t *testing.T) {
	closed := discovered(jwks.Config{})
	_ = closed.Close()
	in := introspect.New(introspect.Config{Auth: introspect.Basic("api", "secret")})
	_ = in.Close()
	used := discovered(jwks.Config{})
	v, err := verify.New(configured(with(testIssuer, used)))
	if err != nil {
		t.Fatal(err)
	}
	_ = v.Close()
	for _, c := range []struct {
		name string
		part any
		at   string
	}{
		{"closed", closed, "Issuers[0].Keys"},
		{"closed with a verifier", used, "Issuers[0].Keys"},
		{"introspector", in, "Issuers[0].Introspection"},
	} {
		t.Run(c.name, func(t *testing.T) {
			config := configured(with(testIssuer, c.part))
			_, err := verify.New(config)
			for _, err := range []error{config.Validate(), err} {
				faultsOf(t, err, c.at)
				if !strings.Contains(fmt.Sprint(err), "is closed") {
					t.Errorf("%v does not say why", err)
				}
			}
		})
	}
}

// Keys belong to one issuer (RFC 8725 section 3.8), and a token is shown only to
// its own issuer.
func TestOnePartOfTwoIssuers(t *testing.T) {
	for _, p := range append(parts, struct {
		name string
		new  func() any
	}{"keys without Check", func() any { return staticKeys{published(eddsa)} }}) {
		t.Run(p.name, func(t *testing.T) {
			part := p.new()
			config := configured(with(testIssuer, part), with(otherIssuer, part))
			want := "Issuers[1].Keys"
			if config.Issuers[1].Introspection != nil {
				want = "Issuers[1].Introspection.Introspector"
			}
			faultsOf(t, config.Validate(), want)
			_, err := verify.New(config)
			faultsOf(t, err, want)
			v, err := verify.New(configured(with(otherIssuer, part)))
			closing(t, v, err)
		})
	}
}

// wrapped hides that two key sources are one, so that only Bind finds out.
type wrapped struct{ verify.KeySource }

func (w *wrapped) Unbind() { w.KeySource.(interface{ Unbind() }).Unbind() }

// A New that fails when it binds releases what it has bound.
func TestFailedNewReleases(t *testing.T) {
	for _, p := range parts {
		t.Run(p.name, func(t *testing.T) {
			part, keys := p.new(), jwks.Static(eddsa.key())
			config := configured(with(testIssuer, part), with(otherIssuer, &wrapped{keys}), with("https://third.example", &wrapped{keys}))
			if err := config.Validate(); err != nil {
				t.Fatal(err)
			}
			_, err := verify.New(config)
			faultsOf(t, err, "Issuers[2].Keys.Static")
			v, err := verify.New(configured(with("https://fourth.example", part), with("https://fifth.example", keys)))
			closing(t, v, err)
		})
	}
}

// If several calls of New race for one part, one wins and the others change
// nothing.
func TestNewRaces(t *testing.T) {
	for _, p := range parts {
		t.Run(p.name, func(t *testing.T) {
			const racers = 8
			part := p.new()
			var wg sync.WaitGroup
			made := make([]*verify.Verifier, racers)
			own := make([]verify.KeySource, racers)
			for i := range racers {
				own[i] = jwks.Static(eddsa.key())
				wg.Go(func() {
					name := fmt.Sprintf("https://%d.example", i)
					v, err := verify.New(configured(with(name+"/first", own[i]), with(name, part)))
					if made[i] = v; (v == nil) != (len(verify.Faults(err)) == 1) {
						t.Errorf("verifier %v: %v", v, err)
					}
				})
			}
			wg.Wait()
			won := 0
			for i, v := range made {
				if v != nil {
					won++
					_ = v.Close()
				} else if v, err := verify.New(configured(with("https://elsewhere.example", own[i]))); err != nil {
					t.Errorf("still bound: %v", err)
				} else {
					_ = v.Close()
				}
			}
			if won != 1 {
				t.Errorf("%d have won", won)
			}
		})
	}
}

// Verifiers of one issuer may share a key source; closing one closes the source.
func TestSharedKeys(t *testing.T) {
	keys := discovered(jwks.Config{})
	a, err := verify.New(configured(with(testIssuer, keys)))
	closing(t, a, err)
	b, err := verify.New(configured(with(testIssuer, keys)))
	closing(t, b, err)
	// A New that fails does not take the source from the others.
	_, err = verify.New(configured(with(testIssuer, keys), with(otherIssuer, &wrapped{keys})))
	faultsOf(t, err, "Issuers[1].Keys.Issuer")
	faultsOf(t, configured(with(otherIssuer, keys)).Validate(), "Issuers[0].Keys.Issuer")
	if h := keys.Health(); h.State == verify.StateClosed || h.Issuer != testIssuer {
		t.Errorf("%+v", h)
	}
	_ = a.Close()
	if h := keys.Health(); h.State != verify.StateClosed {
		t.Errorf("%+v", h)
	}
	refuse(t, b, eddsa.good(), verify.ErrUnavailable)
}

// A nil pointer is a missing part.
func TestNilParts(t *testing.T) {
	is := verify.Issuer{
		Issuer: testIssuer, Audience: []string{testAudience}, Keys: (*jwks.Source)(nil),
		Introspection: &verify.Introspection{Introspector: (*introspect.Source)(nil)},
	}
	faultsOf(t, configured(is).Validate(), "Issuers[0].Introspection.Introspector", "Issuers[0].Keys")
}

// A faulty is a badly written key source.
type faulty struct {
	staticKeys
	keySet  func() (*verify.KeySet, error)
	refresh func(verify.Demand) (*verify.KeySet, error)
}

func (f *faulty) KeySet() (*verify.KeySet, error) { return f.keySet() }
func (f *faulty) Refresh(_ context.Context, d verify.Demand) (*verify.KeySet, error) {
	return f.refresh(d)
}

// A bad key source makes tokens unavailable: there is no panic, refusal or
// acceptance.
func TestFaultyKeySource(t *testing.T) {
	type (
		keySet  = func() (*verify.KeySet, error)
		refresh = func(verify.Demand) (*verify.KeySet, error)
	)
	var (
		nothing = func() (*verify.KeySet, error) { return nil, nil }
		good    = func() (*verify.KeySet, error) { return published(eddsa), nil }
		old     = func() (*verify.KeySet, error) { return published(es256), nil }
		panics  = func() (*verify.KeySet, error) { panic("the token is " + eddsa.good()) }
		derefs  = func() (*verify.KeySet, error) { var s *source; return s.set, nil }
		asks    = func(d verify.Demand) (*verify.KeySet, error) {
			if d.Satisfied(nil) {
				return nil, nil
			}
			return published(eddsa), nil
		}
		ignorant  = func(f keySet) refresh { return func(verify.Demand) (*verify.KeySet, error) { return f() } }
		succeeded = func(verify.Demand) (*verify.KeySet, error) {
			return (&verify.KeySet{}).After(published(es256)), nil
		}
	)
	for _, c := range []struct {
		name    string
		keySet  keySet
		refresh refresh
		reason  verify.Reason
	}{
		{"good", good, ignorant(good), accepted},
		{"nothing", nothing, ignorant(nothing), verify.ErrUnavailable},
		{"nothing, then good", nothing, ignorant(good), accepted},
		{"nothing, then another's", nothing, ignorant(old), verify.ErrUnknownKey},
		{"old, then nothing", old, ignorant(nothing), verify.ErrUnavailable},
		{"old, then good", old, ignorant(good), accepted},
		{"empty, then nothing", func() (*verify.KeySet, error) { return &verify.KeySet{}, nil }, ignorant(nothing), verify.ErrUnavailable},
		{"empty, then empty", func() (*verify.KeySet, error) { return &verify.KeySet{}, nil }, succeeded, verify.ErrUnknownKey},
		{"nothing; asks whether that is good", nothing, asks, accepted},
		{"old; asks whether nothing is good", old, asks, accepted},
		{"panics", panics, ignorant(good), accepted},
		{"panics twice", panics, ignorant(panics), verify.ErrUnavailable},
		{"a nil pointer", derefs, ignorant(derefs), verify.ErrUnavailable},
		{"old, then panics", old, ignorant(panics), verify.ErrUnavailable},
		{"old, then a nil pointer", old, ignorant(derefs), verify.ErrUnavailable},
	} {
		t.Run(c.name, func(t *testing.T) {
			v, _ := build(t, func(config *verify.Config) {
				config.Issuers[0].Keys = &faulty{keySet: c.keySet, refresh: c.refresh}
			})
			for range 2 {
				if c.reason == accepted {
					accept(t, v, eddsa.good())
				} else {
					refuse(t, v, eddsa.good(), c.reason)
				}
			}
			if _, err := (&faulty{keySet: c.keySet}).try(); v.Ready() != (err == nil) {
				t.Errorf("ready: %v", v.Ready())
			}
		})
	}
	v, _ := build(t, func(config *verify.Config) {
		config.Issuers[0].Keys = &faulty{keySet: derefs, refresh: ignorant(derefs)}
	})
	e := refuse(t, v, eddsa.good(), verify.ErrUnavailable)
	for _, want := range []string{"key source panicked", "nil pointer", "verify_test.TestFaultyKeySource", "line "} {
		if !strings.Contains(e.Error(), want) {
			t.Errorf("%q does not say %q", e, want)
		}
	}
}

// try is KeySet without the panic.
func (f *faulty) try() (set *verify.KeySet, err error) {
	defer func() {
		if p := recover(); p != nil || set == nil {
			err = errors.New("no set")
		}
	}()
	return f.keySet()
}

// An able is an introspector with Ready.
type able struct {
	asker
	ready func() error
}

func (a *able) Ready() error { return a.ready() }

func TestReady(t *testing.T) {
	cannot := errors.New("the client is unknown")
	is := func(name string, keys *source, in verify.Introspector, always bool) verify.Issuer {
		i := with(name, keys)
		if in != nil {
			i.Introspection = &verify.Introspection{Introspector: in, Always: always}
		}
		return i
	}
	good, none := &source{set: published(eddsa)}, &source{setErr: errDown}
	unable := func() verify.Introspector { return &able{ready: func() error { return cannot }} }
	for _, c := range []struct {
		name   string
		list   []verify.Issuer
		causes []error
	}{
		{"keys", []verify.Issuer{is(testIssuer, good, nil, false)}, nil},
		{"no keys", []verify.Issuer{is(testIssuer, none, nil, false)}, []error{errDown}},
		{"always, able", []verify.Issuer{is(testIssuer, good, &able{ready: func() error { return nil }}, true)}, nil},
		{"always, not known", []verify.Issuer{is(testIssuer, good, &asker{}, true)}, nil},
		{"always, unable", []verify.Issuer{is(testIssuer, good, unable(), true)}, []error{cannot}},
		{"fallback, unable", []verify.Issuer{is(testIssuer, good, unable(), false)}, nil},
		{"always, able, no keys", []verify.Issuer{is(testIssuer, none, &able{ready: func() error { return nil }}, true)}, []error{errDown}},
		{"always, panics", []verify.Issuer{is(testIssuer, good, &able{ready: func() error { panic("x") }}, true)}, []error{nil}},
		{"another", []verify.Issuer{is(testIssuer, none, nil, false), is(otherIssuer, &source{set: published(eddsa)}, nil, false)}, nil},
		{"neither", []verify.Issuer{is(testIssuer, none, nil, false), is(otherIssuer, &source{set: published(eddsa)}, unable(), true)}, []error{errDown, cannot}},
	} {
		t.Run(c.name, func(t *testing.T) {
			v, err := verify.New(configured(c.list...))
			closing(t, v, err)
			err = v.NotReady()
			if v.Ready() != (err == nil) || (err == nil) != (c.causes == nil) {
				t.Fatalf("ready: %v, error: %v", v.Ready(), err)
			}
			for i, cause := range c.causes {
				if cause != nil && !errors.Is(err, cause) || !strings.Contains(err.Error(), c.list[i].Issuer) {
					t.Errorf("%v does not say %v of %s", err, cause, c.list[i].Issuer)
				}
			}
		})
	}
}
