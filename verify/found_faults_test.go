package verify_test

import (
	"context"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bearerkit/bearerkit/verify"
)

// A panickingSource panics in the method with the given name.
type panickingSource struct {
	tenantKeys
	method string
}

func (p *panickingSource) panicIn(method string) {
	if p.method == method {
		panic("secret")
	}
}

func (p *panickingSource) Check(string) error { p.panicIn("Check"); return nil }
func (p *panickingSource) Bind(string) error  { p.panicIn("Bind"); return nil }
func (p *panickingSource) Close() error       { p.panicIn("Close"); return nil }

// A key source that panics costs its own issuer's tokens a 503. It must not end
// the process or block other issuers: anyone can send a token that names it.
func TestFoundIssuersThatPanic(t *testing.T) {
	for _, method := range []string{"Check", "Bind", "Close"} {
		t.Run(method, func(t *testing.T) {
			d := newDirectory("https://good.example", "https://panics.example")
			d.edit["https://panics.example"] = func(is *verify.Issuer) {
				is.Keys = &panickingSource{tenantKeys{source: source{set: published(eddsa)}}, method}
			}
			v := finding(t, d, nil)
			if method == "Close" {
				accept(t, v, of("https://panics.example"))
				v.ForgetIssuer("https://panics.example")
			} else {
				refuse(t, v, of("https://panics.example"), verify.ErrUnavailable)
			}
			accept(t, v, of("https://good.example"))
		})
	}
}

// A FindIssuer that ends its goroutine, as testing.T.Fatal does, has not answered.
// The name is looked up again later.
func TestFindIssuerThatEndsItsGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDirectory(tenant(1))
		d.during = func(context.Context, string) { runtime.Goexit() }
		v := finding(t, d, nil)
		refuse(t, v, of(tenant(1)), verify.ErrUnavailable)
		refuse(t, v, of(tenant(1)), verify.ErrUnavailable)
		d.set(func() { d.during = nil })
		time.Sleep(time.Second)
		accept(t, v, of(tenant(1)))
	})
}

// A call about an issuer in use that never returns does not keep FindIssuer from
// being called for the others: a tenant who has left is still found out.
func TestHangingCallAboutAnIssuerInUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDirectory()
		for i := range 20 {
			d.edit[tenant(i)] = nil
		}
		v := finding(t, d, nil)
		serve := func() {
			for i := range 20 {
				_, _ = v.Verify(t.Context(), of(tenant(i)))
			}
		}
		serve()
		d.called()
		hang := make(chan struct{})
		d.set(func() {
			d.during = func(_ context.Context, iss string) {
				if iss != tenant(19) {
					<-hang // and ignores its context
				}
			}
		})
		for range 7 {
			time.Sleep(time.Minute)
			serve()
		}
		for i := range 20 {
			demandCalls(t, d, 1, tenant(i)) // one that hangs is not repeated
		}
		d.set(func() { delete(d.edit, tenant(19)) })
		for range 6 {
			time.Sleep(time.Minute)
			serve()
		}
		refuse(t, v, of(tenant(19)), verify.ErrIssuer)
		close(hang)
		synctest.Wait()
	})
}
