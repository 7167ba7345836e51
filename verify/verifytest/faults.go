package verifytest

import (
	"bytes"
	"io"
	"net/http"
	"sync/atomic"
	"time"
)

// A Fault is something wrong with an endpoint: it answers in the place of
// next, or before it. A test can write its own, one that only looks on
// included.
type Fault func(next http.Handler) http.Handler

// Fail makes an endpoint ill until [Server.Heal]. The first of several faults
// is the outermost: Slow and then Status wait and then answer with the status.
// They take the place of those that were there.
func (s *Server) Fail(e Endpoint, faults ...Fault) {
	ep := s.endpoint(e)
	var h http.Handler = ep.answer
	for i := len(faults) - 1; i >= 0; i-- {
		h = faults[i](h)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	ep.faulty = h
}

// Heal ends the faults of the endpoints, or of all endpoints if none is named.
// Requests that a fault already has in its hands stay there.
func (s *Server) Heal(endpoints ...Endpoint) {
	if len(endpoints) == 0 {
		endpoints = Endpoints()
	}
	for _, e := range endpoints {
		ep := s.endpoint(e)
		s.mu.Lock()
		ep.faulty = nil
		s.mu.Unlock()
	}
}

// Answer answers with a handler.
func Answer(h http.HandlerFunc) Fault {
	return func(http.Handler) http.Handler { return h }
}

// Status answers with a status and a body that is not JSON.
func Status(code int) Fault {
	return Answer(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(code)
		_, _ = io.WriteString(w, http.StatusText(code))
	})
}

// Body answers 200 with a content type and a body.
func Body(contentType, body string) Fault {
	return Answer(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		_, _ = io.WriteString(w, body)
	})
}

// Slow waits before it answers. The connection is cut if the client hangs up
// or the server goes down meanwhile.
func Slow(delay time.Duration) Fault {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r.Body = readAhead(r.Body)
			t := time.NewTimer(delay)
			defer t.Stop()
			select {
			case <-t.C:
				next.ServeHTTP(w, r)
			case <-r.Context().Done():
				panic(http.ErrAbortHandler)
			}
		})
	}
}

// Hang never answers. It ends when the client hangs up or the server goes
// down.
func Hang() Fault {
	return Answer(func(_ http.ResponseWriter, r *http.Request) {
		readAhead(r.Body)
		<-r.Context().Done()
		panic(http.ErrAbortHandler)
	})
}

// Cut cuts the connection in the middle of an answer, half of which has been
// sent.
func Cut() Fault {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			next.ServeHTTP(&cutter{ResponseWriter: w}, r)
			panic(http.ErrAbortHandler)
		})
	}
}

// Times has a fault strike n times; the requests after that are answered as if
// it were not there.
func Times(n int, fault Fault) Fault {
	return func(next http.Handler) http.Handler {
		var struck atomic.Int64
		faulty := fault(next)
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if struck.Add(1) <= int64(n) {
				faulty.ServeHTTP(w, r)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}

// cutter lets the first half of the first write pass, and flushes it.
type cutter struct {
	http.ResponseWriter
	wrote bool
}

func (c *cutter) Write(p []byte) (int, error) {
	if !c.wrote {
		c.wrote = true
		_, _ = c.ResponseWriter.Write(p[:len(p)/2])
		_ = http.NewResponseController(c.ResponseWriter).Flush()
	}
	return len(p), nil
}

// readAhead takes the request's body off the connection, since net/http
// notices that a client has hung up only once it has read all of it.
func readAhead(body io.ReadCloser) io.ReadCloser {
	text, _ := io.ReadAll(io.LimitReader(body, maxForm))
	return io.NopCloser(bytes.NewReader(text))
}
