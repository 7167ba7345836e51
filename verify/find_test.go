package verify_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bearerkit/bearerkit/verify"
)

// tenantKeys is a key source with Close and Same.
type tenantKeys struct {
	source
	config string // what it was made of
	closed atomic.Bool
	starts atomic.Int32
}

var errTenantClosed = errors.New("the tenant's keys are closed")

func (k *tenantKeys) KeySet() (*verify.KeySet, error) {
	k.starts.Add(1)
	if k.closed.Load() {
		return nil, errTenantClosed
	}
	return k.source.KeySet()
}

func (k *tenantKeys) Refresh(ctx context.Context, d verify.Demand) (*verify.KeySet, error) {
	if k.closed.Load() {
		return nil, errTenantClosed
	}
	return k.source.Refresh(ctx, d)
}

func (k *tenantKeys) Close() error {
	if k.closed.Swap(true) {
		return errors.New("closed twice")
	}
	return nil
}

func (k *tenantKeys) Same(other verify.KeySource) bool {
	o, ok := other.(*tenantKeys)
	return ok && k.config == o.config
}

// A directory is what a service knows about its tenants.
type directory struct {
	mu     sync.Mutex
	edit   map[string]func(*verify.Issuer) // by tenant; nil: as it is made
	err    map[string]error
	calls  map[string]int
	made   map[string][]*tenantKeys
	during func(ctx context.Context, iss string) // called within each call
}

func newDirectory(tenants ...string) *directory {
	d := &directory{edit: map[string]func(*verify.Issuer){}, err: map[string]error{}, calls: map[string]int{}, made: map[string][]*tenantKeys{}}
	for _, t := range tenants {
		d.edit[t] = nil
	}
	return d
}

func (d *directory) find(ctx context.Context, iss string) (verify.Issuer, error) {
	d.mu.Lock()
	d.calls[iss]++
	during := d.during
	edit, known := d.edit[iss]
	err := d.err[iss]
	d.mu.Unlock()
	if during != nil {
		during(ctx, iss)
	}
	if err != nil {
		return verify.Issuer{}, err
	}
	if !known {
		return verify.Issuer{}, verify.ErrIssuer
	}
	keys := &tenantKeys{source: source{set: published(eddsa)}, config: "1"}
	is := verify.Issuer{Issuer: iss, Audience: []string{testAudience}, Keys: keys}
	d.mu.Lock()
	defer d.mu.Unlock()
	if edit != nil {
		edit(&is)
	}
	d.made[iss] = append(d.made[iss], keys)
	return is, nil
}

func (d *directory) set(change func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	change()
}

// called returns how often the function was called for a name since the last
// time, or for all of them.
func (d *directory) called(names ...string) (n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for name := range d.calls {
		if len(names) == 0 || slices.Contains(names, name) {
			n += d.calls[name]
			delete(d.calls, name)
		}
	}
	return n
}

// open returns how many of a tenant's sources are in use.
func (d *directory) open(iss string) (n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, k := range d.made[iss] {
		if k.starts.Load() > 0 && !k.closed.Load() {
			n++
		}
	}
	return n
}

// finding builds a verifier with a directory, and no configured issuer unless
// edit says so.
func finding(t testing.TB, d *directory, edit func(*verify.Config)) *verify.Verifier {
	t.Helper()
	c := verify.Config{FindIssuer: d.find, Now: func() time.Time { return testNow }}
	if edit != nil {
		edit(&c)
	}
	v, err := verify.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := v.Close(); err != nil {
			t.Error(err)
		}
	})
	return v
}

// of is a good token of an issuer.
func of(iss string, edits ...string) string {
	return eddsa.with(append([]string{"iss", quote(iss)}, edits...)...)
}

// madeUp is a token with an issuer and a signature that are made up.
func madeUp(iss string) string {
	return enc(eddsa.header()) + "." + enc(claims("iss", quote(iss))) + "." + b64(make([]byte, 64))
}

func tenant(i int) string { return fmt.Sprintf("https://tenant-%d.example", i) }

// demandCalls demands that the function was called that often since the last time.
func demandCalls(t testing.TB, d *directory, want int, names ...string) {
	t.Helper()
	if got := d.called(names...); got != want {
		t.Errorf("called %d times, want %d", got, want)
	}
}

func TestFoundIssuers(t *testing.T) {
	const known, dark, slashed, alternate = "https://known.example/a?b=c", "https://dark.example", "https://alt.example/", "https://alt.example"
	d := newDirectory(known)
	d.err[dark] = errDown
	d.err["https://suspended.example"] = fmt.Errorf("the tenant has not paid: %w", verify.ErrIssuer)
	d.err["https://torn.example"] = fmt.Errorf("%w: %w", verify.ErrIssuer, verify.ErrUnavailable)
	d.err["https://expired.example"] = verify.ErrExpired
	for name, edit := range map[string]func(*verify.Issuer){
		"https://empty.example":      func(is *verify.Issuer) { *is = verify.Issuer{} },
		"https://unnamed.example":    func(is *verify.Issuer) { is.Issuer = "" },
		"https://nokeys.example":     func(is *verify.Issuer) { is.Keys = nil },
		"https://noaudience.example": func(is *verify.Issuer) { is.Audience = nil },
		"https://other.example":      func(is *verify.Issuer) { is.Issuer = known },
		"https://evil.example":       func(is *verify.Issuer) { is.Alternates = []string{testIssuer} },
		"https://template.example":   func(is *verify.Issuer) { is.Alternates = []string{"https://{tenant}.example"} },
		"https://opaque.example": func(is *verify.Issuer) {
			is.Introspection = &verify.Introspection{Introspector: &asker{}, TakesOpaque: true}
		},
		"https://panics.example": func(is *verify.Issuer) { panic(is.Issuer) },
		slashed:                  func(is *verify.Issuer) { is.Alternates = []string{alternate} },
		alternate:                func(is *verify.Issuer) { is.Issuer, is.Alternates = slashed, []string{alternate} },
	} {
		d.edit[name] = edit
	}
	v := finding(t, d, func(c *verify.Config) {
		c.Issuers = []verify.Issuer{{Issuer: testIssuer, Audience: []string{testAudience}, Keys: &source{set: published(es256)}}}
	})
	for _, c := range []struct {
		iss    string
		reason verify.Reason
		calls  int
	}{
		{known, accepted, 1},
		{"https://unnamed.example", accepted, 1},
		{slashed, accepted, 1},
		{alternate, accepted, 0},
		{"https://stranger.example", verify.ErrIssuer, 1},
		{"https://suspended.example", verify.ErrIssuer, 1},
		{dark, verify.ErrUnavailable, 1},
		{"https://torn.example", verify.ErrUnavailable, 1},
		{"https://expired.example", verify.ErrUnavailable, 1},
		{"https://empty.example", verify.ErrUnavailable, 1},
		{"https://nokeys.example", verify.ErrUnavailable, 1},
		{"https://noaudience.example", verify.ErrUnavailable, 1},
		{"https://other.example", verify.ErrUnavailable, 1},
		{"https://evil.example", verify.ErrUnavailable, 1},
		{"https://template.example", verify.ErrUnavailable, 1},
		{"https://opaque.example", verify.ErrUnavailable, 1},
		{"https://panics.example", verify.ErrUnavailable, 1},
		// The function is not called with these.
		{"", verify.ErrIssuer, 0},
		{"https://{tenantid}.example", verify.ErrIssuer, 0},
		{"https://known.example/a b", verify.ErrIssuer, 0},
		{"https://known.example/\n", verify.ErrIssuer, 0},
		{"https://known.example/\x7f", verify.ErrIssuer, 0},
		{"https://known.example/é", verify.ErrIssuer, 0},
		{"https://known.example/'; drop table \"tenants\"", verify.ErrIssuer, 0},
		{"https://known.example/<script>", verify.ErrIssuer, 0},
		{"https://known.example/" + strings.Repeat("a", 512), verify.ErrIssuer, 0},
	} {
		t.Run(c.iss, func(t *testing.T) {
			d.called()
			for range 3 {
				if c.reason == accepted {
					want := c.iss
					if want == alternate {
						want = slashed
					}
					if got := accept(t, v, of(c.iss)); got.Issuer != want {
						t.Errorf("issuer %q", got.Issuer)
					}
					continue
				}
				got, err := v.Verify(t.Context(), of(c.iss))
				if e := new(verify.Error); got != nil || !errors.As(err, &e) || e.Reason != c.reason {
					t.Errorf("%v, %v", got, err)
				} else {
					tellsNothing(t, e, "")
				}
			}
			demandCalls(t, d, c.calls)
		})
	}
	// An issuer can also be found by its alternate first.
	v2 := finding(t, d, nil)
	d.called()
	for range 2 {
		accept(t, v2, of(alternate))
		accept(t, v2, of(slashed))
	}
	demandCalls(t, d, 1)
	// The function is not called for configured issuers.
	d.called()
	accept(t, v, es256.good())
	refuse(t, v, eddsa.good(), verify.ErrUnknownKey)
	demandCalls(t, d, 0)
	if got := v.Issuers(); !slices.Equal(got, []string{testIssuer}) {
		t.Errorf("issuers %q", got)
	}
	_, err := v.Verify(t.Context(), of("https://suspended.example"))
	if !strings.Contains(fmt.Sprint(err), "not paid") {
		t.Errorf("%v does not say what the function said", err)
	}
	_, err = v.Verify(t.Context(), of("https://panics.example"))
	if s := fmt.Sprint(err); !strings.Contains(s, "FindIssuer panicked") || strings.Contains(s, "panics.example") {
		t.Error(s)
	}
}

// What can be checked without an issuer is checked before the function is called.
func TestNobodyIsAskedForBadTokens(t *testing.T) {
	const iss = "https://tenant.example"
	d := newDirectory(iss)
	v := finding(t, d, nil)
	forged := of(iss)
	for name, c := range map[string]struct {
		token  string
		reason verify.Reason
	}{
		"expired":        {of(iss, "exp", at(-100)), verify.ErrExpired},
		"no expiry":      {of(iss, "exp", ""), verify.ErrClaim},
		"not yet valid":  {of(iss, "nbf", at(100)), verify.ErrNotYetValid},
		"bound":          {of(iss, "cnf", `{"jkt":"x"}`), verify.ErrBound},
		"no issuer":      {of(iss, "iss", ""), verify.ErrClaim},
		"issuers":        {of(iss, "iss", `["https://tenant.example"]`), verify.ErrClaim},
		"algorithm":      {eddsa.token(eddsa.header("alg", `"none"`), claims("iss", quote(iss))), verify.ErrAlgorithm},
		"type":           {eddsa.token(eddsa.header("typ", `"dpop+jwt"`), claims("iss", quote(iss))), verify.ErrType},
		"signature size": {forged[:len(forged)-2], verify.ErrSignature},
	} {
		t.Run(name, func(t *testing.T) {
			refuse(t, v, c.token, c.reason)
			demandCalls(t, d, 0)
		})
	}
	accept(t, v, of(iss))
	refuse(t, v, of(iss, "aud", `"another"`), verify.ErrAudience)
	refuse(t, v, (&signer{"eddsa", "EdDSA", newEd()}).with("iss", quote(iss)), verify.ErrSignature)
	demandCalls(t, d, 1)
}

func TestFindIssuerConfig(t *testing.T) {
	d := newDirectory()
	is := verify.Issuer{Issuer: testIssuer, Audience: []string{testAudience}, Keys: &source{set: published(eddsa)}}
	for name, c := range map[string]struct {
		config verify.Config
		fields []string
	}{
		"found alone":            {verify.Config{FindIssuer: d.find}, nil},
		"found and configured":   {verify.Config{FindIssuer: d.find, Issuers: []verify.Issuer{is}}, nil},
		"bound":                  {verify.Config{FindIssuer: d.find, MaxFoundIssuers: 5}, nil},
		"negative bound":         {verify.Config{FindIssuer: d.find, MaxFoundIssuers: -1}, []string{"MaxFoundIssuers"}},
		"bound of nothing":       {verify.Config{Issuers: []verify.Issuer{is}, MaxFoundIssuers: 5}, []string{"MaxFoundIssuers"}},
		"an audience for nobody": {verify.Config{FindIssuer: d.find, Issuers: []verify.Issuer{{Audience: []string{"x"}}}}, []string{"Issuers[0].Issuer", "Issuers[0].Keys"}},
		"a template": {verify.Config{
			Issuers: []verify.Issuer{{Issuer: "https://login.microsoftonline.com/{tenantid}/v2.0", Audience: []string{"x"}, Keys: &source{}}},
		}, []string{"Issuers[0].Issuer"}},
		"half a template": {verify.Config{Issuers: []verify.Issuer{{
			Issuer: "https://issuer.example", Alternates: []string{"https://issuer.example/}"}, Audience: []string{"x"}, Keys: &source{},
		}}}, []string{"Issuers[0].Alternates[0]"}},
	} {
		t.Run(name, func(t *testing.T) { faultsOf(t, c.config.Validate(), c.fields...) })
	}
	err := verify.Config{Issuers: []verify.Issuer{{Issuer: "https://x.example/{tid}", Audience: []string{"x"}, Keys: &source{}}}}.Validate()
	if !strings.Contains(err.Error(), "FindIssuer") {
		t.Errorf("%v does not name the function", err)
	}
	// With FindIssuer a single configured issuer is not the only one, so opaque
	// tokens are sent to it only if it says so.
	opaque := &asker{claims: answer()}
	is.Introspection = &verify.Introspection{Introspector: opaque}
	v := finding(t, d, func(c *verify.Config) { c.Issuers = []verify.Issuer{is} })
	refuse(t, v, opaqueToken, verify.ErrMalformed)
	opaque2 := &asker{claims: answer()}
	is.Introspection = &verify.Introspection{Introspector: opaque2, TakesOpaque: true}
	is.Keys = &source{set: published(eddsa)}
	v = finding(t, d, func(c *verify.Config) { c.Issuers = []verify.Issuer{is} })
	accept(t, v, opaqueToken)
	demandCalls(t, d, 0)
}

// A tenant without keys does not make the verifier unready.
func TestReadyWithFoundIssuers(t *testing.T) {
	d := newDirectory(tenant(1))
	d.edit[tenant(1)] = func(is *verify.Issuer) { is.Keys = &source{setErr: errDown, refErr: errDown} }
	v, err := verify.New(verify.Config{FindIssuer: d.find, Issuers: []verify.Issuer{{Issuer: testIssuer, Audience: []string{"x"}, Keys: &source{setErr: errDown}}}})
	if err != nil {
		t.Fatal(err)
	}
	_, _ = v.Verify(t.Context(), of(tenant(1)))
	if err := v.NotReady(); err != nil || !v.Ready() {
		t.Error(err)
	}
	_ = v.Close()
	if err := v.NotReady(); err == nil || v.Ready() {
		t.Error("ready after Close")
	}
}

// Requests for one issuer share a call. Each waits within its own context, and
// none of them can cancel the call.
func TestOneCallAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDirectory(tenant(1), tenant(2))
		answer := make(chan struct{})
		d.during = func(ctx context.Context, iss string) {
			if _, has := ctx.Deadline(); !has || ctx.Value(contextKey{}) != nil {
				t.Error("the context is a request's, or has no end")
			}
			if iss == tenant(1) {
				<-answer
			}
		}
		v := finding(t, d, nil)
		ctx, leave := context.WithCancel(context.WithValue(t.Context(), contextKey{}, 1))
		var left, served atomic.Int32
		for i := range 20 {
			go func() {
				ctx := ctx
				if i > 0 {
					ctx = t.Context()
				}
				_, err := v.Verify(ctx, of(tenant(1)))
				switch {
				case err == nil:
					served.Add(1)
				case errors.Is(err, verify.ErrUnavailable) && errors.Is(err, context.Canceled):
					left.Add(1)
				default:
					t.Error(err)
				}
			}()
			if i == 0 {
				synctest.Wait() // its call is the one that all share
			}
		}
		synctest.Wait()
		accept(t, v, of(tenant(2))) // others do not wait for it
		leave()
		synctest.Wait()
		if left.Load() != 1 || served.Load() != 0 {
			t.Errorf("%d left, %d served", left.Load(), served.Load())
		}
		close(answer)
		synctest.Wait()
		if served.Load() != 19 {
			t.Errorf("%d served", served.Load())
		}
		demandCalls(t, d, 1, tenant(1))
	})
}

type contextKey struct{}

// A function that hangs and ignores its context delays requests for the same
// issuer by the time of one call at most, and other requests not at all.
func TestHangingFindIssuer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDirectory(tenant(1), tenant(2))
		v := finding(t, d, nil)
		accept(t, v, of(tenant(2)))
		answer := make(chan struct{})
		d.set(func() { d.during = func(context.Context, string) { <-answer } })
		for _, want := range []time.Duration{5 * time.Second, 0} {
			start := time.Now()
			refuse(t, v, of(tenant(1)), verify.ErrUnavailable)
			if took := time.Since(start); took != want {
				t.Errorf("waited %v, want %v", took, want)
			}
		}
		accept(t, v, of(tenant(2)))
		// The number of hanging calls is bounded.
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		for i := range 1000 {
			if _, err := v.Verify(ctx, madeUp(fmt.Sprint("https://made-up.example/", i%500))); !errors.Is(err, verify.ErrUnavailable) {
				t.Error(err)
			}
			time.Sleep(wasteEach)
		}
		if n := verify.Calling(v); n > 256 || n < 200 {
			t.Errorf("%d calls are waiting", n)
		}
		close(answer)
		synctest.Wait()
		accept(t, v, of(tenant(1)))
		demandCalls(t, d, 1, tenant(1))
	})
}

// ErrIssuer is remembered for 10 s, other errors for 1 s.
func TestAnswersAreRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDirectory()
		d.err[tenant(2)] = errDown
		v := finding(t, d, nil)
		for i, c := range []struct {
			reason verify.Reason
			for_   time.Duration
		}{{verify.ErrIssuer, 10 * time.Second}, {verify.ErrUnavailable, time.Second}} {
			iss := tenant(i + 1)
			refuse(t, v, of(iss), c.reason)
			time.Sleep(c.for_ - time.Nanosecond)
			refuse(t, v, of(iss), c.reason)
			demandCalls(t, d, 1)
			d.set(func() { d.edit[iss], d.err[iss] = nil, nil })
			time.Sleep(time.Nanosecond)
			accept(t, v, of(iss))
			demandCalls(t, d, 1)
		}
	})
}

// Made-up issuers cost a bounded number of calls, goroutines and bytes. They do not
// affect known issuers, a new tenant whose client tries again, or a service that
// starts with many tenants.
func TestFloodOfMadeUpIssuers(t *testing.T) {
	const flood = 10000
	d := newDirectory()
	for i := range 400 {
		d.edit[tenant(i)] = nil
	}
	v := finding(t, d, nil)
	for i := range 300 {
		accept(t, v, of(tenant(i))) // more than may be wasted: these are not
	}
	d.called()
	made := make([]string, flood)
	for i := range made {
		made[i] = madeUp(fmt.Sprintf("https://made-up-%d.example/%s", i, strings.Repeat("x", 400)))
	}
	before := runtime.NumGoroutine()
	var most atomic.Int64
	start := time.Now()
	reasons := map[verify.Reason]int{}
	for i, token := range made {
		_, err := v.Verify(t.Context(), token)
		var e *verify.Error
		if !errors.As(err, &e) {
			t.Fatal(err)
		}
		reasons[e.Reason]++
		most.Store(max(most.Load(), int64(runtime.NumGoroutine())))
		if i%1000 == 0 {
			accept(t, v, of(tenant(i%300), "jti", quote(fmt.Sprint(i))))
		}
	}
	calls, limit := d.called(), 128+int(time.Since(start)/(100*time.Millisecond))+1
	if calls > limit || reasons[verify.ErrIssuer] != calls || reasons[verify.ErrUnavailable] != flood-calls {
		t.Errorf("%d calls, at most %d expected; answers %v", calls, limit, reasons)
	}
	if n := most.Load() - int64(before); n > 10 {
		t.Errorf("%d goroutines", n)
	}
	// The budget for names that have not come before is spent.
	refuse(t, v, of("https://one-more.example"), verify.ErrUnavailable)
	// A new tenant's client tries again.
	for i := 300; i < 350; i++ {
		if _, err := v.Verify(t.Context(), of(tenant(i))); err != nil {
			accept(t, v, of(tenant(i)))
		}
	}
	if n := verify.Strangers(v); n > 2<<14 {
		t.Errorf("%d names remembered", n)
	}
}

// The memory of names is bounded, however many there are.
func TestStrangersAreBounded(t *testing.T) {
	d := newDirectory()
	v := finding(t, d, nil)
	for i := range 3 << 14 {
		verify.MeetStranger(v, fmt.Sprint("https://made-up.example/", i))
	}
	if n := verify.Strangers(v); n > 2<<14 || n < 1<<14 {
		t.Errorf("%d names remembered", n)
	}
}

// After a flood, one call is allowed every tenth of a second.
func TestBudgetComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDirectory()
		v := finding(t, d, nil)
		made := 0
		flood := func(want int) {
			t.Helper()
			for range 1000 {
				made++
				_, _ = v.Verify(t.Context(), madeUp(fmt.Sprint("https://made-up.example/", made)))
			}
			demandCalls(t, d, want)
		}
		flood(128)
		flood(0)
		time.Sleep(time.Second)
		flood(10)
		// The other half of the budget is for names that have come before.
		for i := range 1000 {
			_, _ = v.Verify(t.Context(), madeUp(fmt.Sprint("https://made-up.example/", 500+i)))
		}
		demandCalls(t, d, 128)
		time.Sleep(time.Hour)
		flood(128)
	})
}

// Another name of an issuer whose tokens have verified wastes nothing.
func TestAlternatesAreNotWasted(t *testing.T) {
	d := newDirectory(tenant(1))
	for i := range 300 {
		alternate := fmt.Sprint("https://alternate.example/", i)
		d.edit[alternate] = func(is *verify.Issuer) { is.Issuer, is.Alternates = tenant(1), []string{alternate} }
	}
	v := finding(t, d, nil)
	accept(t, v, of(tenant(1)))
	for i := range 300 {
		accept(t, v, of(fmt.Sprint("https://alternate.example/", i)))
	}
}
