package verifytest

import (
	"bytes"
	"io"
	"net/http"
	"sync/atomic"
	"time"
)

// A Fault makes an endpoint misbehave: it answers instead of next, or changes how next
// answers. Tests can write others, including one that only observes requests.
type Fault func(next http.Handler) http.Handler

// Fail gives an endpoint faults until [Server.Heal], in place of any it had. The first
// of several faults is the outermost: Slow and then Status waits and then answers
// with the status.
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

// Heal ends the faults of the endpoints, or of all endpoints if none is given. It does
// not affect requests that a fault is already handling.
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

// Slow waits before it answers. It closes the connection if the client goes away or
// the server goes down meanwhile.
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

// Hang never answers. It ends when the client goes away or the server goes down.
func Hang() Fault {
	return Answer(func(_ http.ResponseWriter, r *http.Request) {
		readAhead(r.Body)
		<-r.Context().Done()
		panic(http.ErrAbortHandler)
	})
}

// Cut closes the connection after half of the response.
func Cut() Fault {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			next.ServeHTTP(&cutter{ResponseWriter: w}, r)
			panic(http.ErrAbortHandler)
		})
	}
}

// Times applies a fault to n requests, and not to later ones.
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

// cutter sends the first half of the first write, and flushes it.
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

// readAhead reads the request's body, because net/http notices that a client has gone
// away only after the whole body was read.
func readAhead(body io.ReadCloser) io.ReadCloser {
	text, _ := io.ReadAll(io.LimitReader(body, maxForm))
	return io.NopCloser(bytes.NewReader(text))
}
