package middleware

import (
	"context"
	"sync/atomic"
)

// A Record is what the guards of one request have found out, for layers outside
// of them: an access log, a trace. It is safe for concurrent use.
type Record struct {
	start context.Context
	outer *Record
	last  atomic.Pointer[recorded]
}

type recorded struct {
	decision Decision
	ctx      context.Context
}

type recordKey struct{}

// WithRecord returns a context for a request that guards are going to decide
// about, and the record that they fill. Look at the record when the handler has
// returned:
//
//	ctx, record := middleware.WithRecord(r.Context())
//	next.ServeHTTP(w, r.WithContext(ctx))
//	user, ok := middleware.UserFrom[User](record.Context())
func WithRecord(ctx context.Context) (context.Context, *Record) {
	rec := &Record{outer: recordIn(ctx)}
	rec.start = context.WithValue(ctx, recordKey{}, rec)
	return rec.start, rec
}

func recordIn(ctx context.Context) *Record {
	rec, _ := ctx.Value(recordKey{}).(*Record)
	return rec
}

func (rec *Record) set(d Decision, ctx context.Context) {
	for v := (&recorded{d, ctx}); rec != nil; rec = rec.outer {
		rec.last.Store(v)
	}
}

// Decision returns what became of the request: the decision of the last guard
// that it came to. It is false if it came to none.
func (rec *Record) Decision() (Decision, bool) {
	if v := rec.last.Load(); v != nil {
		return v.decision, true
	}
	return Decision{}, false
}

// Context returns the context for [UserFrom] and [TokenFrom] as the last guard
// left it. If that guard has refused a good token, as with 403, they find whose
// it is: the record is for logs and no grounds to serve anybody.
func (rec *Record) Context() context.Context {
	if v := rec.last.Load(); v != nil {
		return v.ctx
	}
	return rec.start
}
