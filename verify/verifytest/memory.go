package verifytest

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// memory is an [http.RoundTripper] that calls the server without a network. It waits
// on channels only, so that time can advance in a synctest bubble.
type memory struct{ s *Server }

func dialError(err error) error { return &net.OpError{Op: "dial", Net: "tcp", Err: err} }

var (
	errReset    = &net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET}
	errNoAnswer = io.ErrUnexpectedEOF
)

func (m memory) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body != nil {
		defer req.Body.Close()
	}
	if err := req.Context().Err(); err != nil {
		return nil, err
	}
	if req.URL.Scheme != m.s.origin.Scheme || !strings.EqualFold(req.URL.Host, m.s.origin.Host) {
		return nil, dialError(&net.DNSError{Err: "no such host", Name: req.URL.Hostname(), IsNotFound: true})
	}
	ctx, cancel := context.WithCancel(req.Context())
	r := req.Clone(ctx)
	r.URL = &url.URL{Path: req.URL.Path, RawPath: req.URL.RawPath, RawQuery: req.URL.RawQuery}
	if r.URL.Path == "" {
		r.URL.Path = "/"
	}
	r.RequestURI = r.URL.RequestURI()
	r.RemoteAddr = "127.0.0.1:1"
	if r.Host == "" {
		r.Host = req.URL.Host
	}
	if r.Body == nil {
		r.Body = http.NoBody
	} else {
		// The body belongs to the client until it has a response, so the
		// server gets a copy. Requests of resource servers are small.
		text, err := io.ReadAll(req.Body)
		if err != nil {
			cancel()
			return nil, err
		}
		r.Body = io.NopCloser(strings.NewReader(string(text)))
	}

	h, up, ok := m.s.enter(r)
	if !ok {
		cancel()
		return nil, dialError(syscall.ECONNREFUSED)
	}
	body, pipe := io.Pipe()
	w := &memoryWriter{header: http.Header{}, pipe: pipe, ready: make(chan struct{}), bodiless: req.Method == http.MethodHead}
	aborted := make(chan struct{})
	stop := context.AfterFunc(up, func() {
		_ = pipe.CloseWithError(errReset)
		cancel()
	})
	go func() {
		defer m.s.handlers.Done()
		defer cancel()
		defer stop()
		defer func() {
			if p := recover(); p != nil {
				_ = pipe.CloseWithError(errNoAnswer)
				close(aborted)
				if err, ok := p.(error); !ok || !errors.Is(err, http.ErrAbortHandler) {
					panic(p)
				}
			}
		}()
		h.ServeHTTP(w, r)
		w.WriteHeader(http.StatusOK)
		_ = pipe.Close()
	}()

	select {
	case <-w.ready:
	case <-aborted:
	case <-up.Done():
	case <-req.Context().Done():
	}
	switch {
	case req.Context().Err() != nil:
		cancel()
		_ = body.Close()
		return nil, req.Context().Err()
	case up.Err() != nil:
		return nil, errReset
	}
	select {
	case <-w.ready:
	default:
		return nil, errNoAnswer
	}
	res := w.response(req)
	if w.noBody() {
		_ = body.Close()
		res.Body = http.NoBody
		return res, nil
	}
	b := &memoryBody{PipeReader: body, cancel: cancel}
	b.stop = context.AfterFunc(req.Context(), func() { _ = pipe.CloseWithError(req.Context().Err()) })
	res.Body = b
	return res, nil
}

// memoryBody is the body of a response. Closing it closes the connection.
type memoryBody struct {
	*io.PipeReader
	cancel context.CancelFunc
	stop   func() bool
}

func (b *memoryBody) Close() error {
	b.stop()
	b.cancel()
	return b.PipeReader.Close()
}

// memoryWriter is the server's side of a request in memory.
type memoryWriter struct {
	pipe     *io.PipeWriter
	bodiless bool
	ready    chan struct{} // closed once status and sent are set

	mu     sync.Mutex
	header http.Header // the handler's
	status int
	sent   http.Header
}

func (w *memoryWriter) Header() http.Header { return w.header }

func (w *memoryWriter) WriteHeader(status int) {
	if status >= 100 && status < 200 {
		return // an informational response; the client waits for the final one
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.status == 0 {
		w.status, w.sent = status, w.header.Clone()
		if w.sent["Date"] == nil {
			w.sent.Set("Date", time.Now().UTC().Format(http.TimeFormat))
		}
		close(w.ready)
	}
}

func (w *memoryWriter) Write(p []byte) (int, error) {
	if w.header.Get("Content-Type") == "" {
		w.header.Set("Content-Type", http.DetectContentType(p))
	}
	w.WriteHeader(http.StatusOK)
	if w.noBody() {
		return len(p), nil
	}
	return w.pipe.Write(p)
}

// Flush sends the header; writes are never buffered.
func (w *memoryWriter) Flush() { w.WriteHeader(http.StatusOK) }

func (w *memoryWriter) noBody() bool {
	return w.bodiless || w.status == http.StatusNoContent || w.status == http.StatusNotModified
}

func (w *memoryWriter) response(req *http.Request) *http.Response {
	length := int64(-1)
	if n, err := strconv.ParseInt(w.sent.Get("Content-Length"), 10, 64); err == nil && n >= 0 {
		length = n
	}
	return &http.Response{
		Status:        strconv.Itoa(w.status) + " " + http.StatusText(w.status),
		StatusCode:    w.status,
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    1,
		Header:        w.sent,
		ContentLength: length,
		Request:       req,
	}
}
