package middleware

import (
	"context"
	"sync/atomic"
)

// A Record has what the guards of one request have decided, for layers outside of
// them: an access log, a trace. It is safe for concurrent use.
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

// WithRecord returns a context for a request that has not come to a guard yet, and
// the record that guards fill. Look at the record when the handler has returned:
//
//	ctx, record := bearer.WithRecord(r.Context())
//	next.ServeHTTP(w, r.WithContext(ctx))
//	user, ok := bearer.UserFrom[User](record.Context())
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

// Decision returns the decision of the last guard that the request came to. It is
// false if there was none.
func (rec *Record) Decision() (Decision, bool) {
	if v := rec.last.Load(); v != nil {
		return v.decision, true
	}
	return Decision{}, false
}

// Context returns the context for [UserFrom] and [TokenFrom] as the last guard
// left it. They also find the user and the token of a request that was refused
// although its token is good, with 403 for example: use them for logs, and never
// to serve anybody.
func (rec *Record) Context() context.Context {
	if v := rec.last.Load(); v != nil {
		return v.ctx
	}
	return rec.start
}
