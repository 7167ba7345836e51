package verifytest

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// The credentials of a client that every server has, for introspection and revocation.
// [Server.AddClient] adds others.
const (
	ClientID     = "resource-server"
	ClientSecret = "resource-server-secret"
)

// maxForm is the largest request body, in bytes.
const maxForm = 1 << 20

// AddClient registers a client for introspection and revocation.
func (s *Server) AddClient(id, secret string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clients[id] = secret
}

// SetHeader sets a header field of an endpoint's normal responses, such as
// Cache-Control, which metadata and key set do not have by default, or another
// Content-Type. An empty value removes the field.
func (s *Server) SetHeader(e Endpoint, name, value string) {
	ep := s.endpoint(e)
	s.mu.Lock()
	defer s.mu.Unlock()
	ep.header.Set(name, value)
}

// SetMetadata sets members of a metadata document ([OpenIDConfiguration] or
// [OAuthMetadata]); a nil value removes a member.
func (s *Server) SetMetadata(e Endpoint, members map[string]any) {
	if e != OpenIDConfiguration && e != OAuthMetadata {
		panic("verifytest: SetMetadata of an endpoint that has none")
	}
	marshal(members) // panics here and not in a request
	ep := s.endpoint(e)
	s.mu.Lock()
	defer s.mu.Unlock()
	document := maps.Clone(ep.metadata)
	if document == nil {
		document = map[string]any{}
	}
	maps.Copy(document, members)
	ep.metadata = document
}

// serveMetadata serves the metadata that resource servers may need. It has no members
// about signing in, which the server does not support.
func (s *Server) serveMetadata(name Endpoint) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		e := s.endpoint(name)
		methods := []string{"client_secret_basic", "client_secret_post"}
		document := map[string]any{
			"issuer":                 s.issuer,
			"jwks_uri":               s.URL(JWKS),
			"introspection_endpoint": s.URL(Introspection),
			"introspection_endpoint_auth_methods_supported": methods,
			"revocation_endpoint":                           s.URL(Revocation),
			"revocation_endpoint_auth_methods_supported":    methods,
		}
		if name == OpenIDConfiguration {
			document["subject_types_supported"] = []string{"public"}
			document["id_token_signing_alg_values_supported"] = Algorithms()
		}
		s.mu.Lock()
		text := marshal(merge(document, e.metadata))
		s.mu.Unlock()
		s.serveDocument(w, r, e, text)
	}
}

func (s *Server) serveKeys(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	text := s.keys.document()
	s.mu.Unlock()
	s.serveDocument(w, r, s.endpoint(JWKS), text)
}

// serveDocument answers with a document that a client may cache, or with 304 if the
// client has it already (RFC 9110 section 13.1.2).
func (s *Server) serveDocument(w http.ResponseWriter, r *http.Request, e *endpoint, text []byte) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	sum := sha256.Sum256(text)
	h := w.Header()
	h.Set("ETag", `"`+hex.EncodeToString(sum[:16])+`"`)
	h.Set("Content-Type", "application/json")
	s.setHeader(h, e)
	if tag := h.Get("ETag"); tag != "" && matches(r.Header.Values("If-None-Match"), tag) {
		h.Del("Content-Type")
		w.WriteHeader(http.StatusNotModified)
		return
	}
	_, _ = w.Write(text)
}

// matches compares entity tags weakly, as If-None-Match requires.
func matches(fields []string, tag string) bool {
	weak := func(t string) string { return strings.TrimPrefix(strings.TrimSpace(t), "W/") }
	for _, field := range fields {
		for t := range strings.SplitSeq(field, ",") {
			if t = weak(t); t == "*" || t == weak(tag) {
				return true
			}
		}
	}
	return false
}

func (s *Server) setHeader(h http.Header, e *endpoint) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, values := range e.header {
		if values[0] == "" {
			h.Del(name)
		} else {
			h.Set(name, values[0])
		}
	}
}

func (s *Server) serveIntrospection(w http.ResponseWriter, r *http.Request) {
	token, ok := s.tokenForm(w, r)
	if !ok {
		return
	}
	answer := []byte(`{"active":false}`)
	s.mu.Lock()
	if i, ok := s.tokens[sha256.Sum256([]byte(token))]; ok && i.active(time.Now()) {
		answer = i.answer
	}
	s.mu.Unlock()
	s.setHeader(w.Header(), s.endpoint(Introspection))
	_, _ = w.Write(answer)
}

func (s *Server) serveRevocation(w http.ResponseWriter, r *http.Request) {
	token, ok := s.tokenForm(w, r)
	if !ok {
		return
	}
	s.Revoke(token)
	s.setHeader(w.Header(), s.endpoint(Revocation))
	w.WriteHeader(http.StatusOK) // for unknown tokens too (RFC 7009 section 2.2)
}

// tokenForm reads the request of introspection and revocation (RFC 7662 section 2.1,
// RFC 7009 section 2.1). If ok is false, it has sent a response.
func (s *Server) tokenForm(w http.ResponseWriter, r *http.Request) (token string, ok bool) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	refuse := func(status int, code string) (string, bool) {
		w.WriteHeader(status)
		_, _ = w.Write(marshal(map[string]string{"error": code}))
		return "", false
	}
	if r.Method != http.MethodPost {
		h.Set("Allow", http.MethodPost)
		return refuse(http.StatusMethodNotAllowed, "invalid_request")
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if r.ParseForm() != nil {
		return refuse(http.StatusBadRequest, "invalid_request")
	}
	form := r.PostForm
	for _, values := range form {
		if len(values) > 1 { // RFC 6749 section 3.2
			return refuse(http.StatusBadRequest, "invalid_request")
		}
	}
	id, secret := form.Get("client_id"), form.Get("client_secret")
	if r.Header.Get("Authorization") != "" {
		// A client must authenticate in one way only, and ID and secret are
		// form-encoded in a header (RFC 6749 section 2.3).
		if form.Has("client_secret") {
			return refuse(http.StatusBadRequest, "invalid_request")
		}
		user, password, _ := r.BasicAuth()
		var err1, err2 error
		id, err1 = url.QueryUnescape(user)
		secret, err2 = url.QueryUnescape(password)
		if err1 != nil || err2 != nil {
			id = ""
		}
	}
	s.mu.Lock()
	want, known := s.clients[id]
	s.mu.Unlock()
	if !known || secret != want {
		h.Set("WWW-Authenticate", `Basic realm="verifytest"`)
		return refuse(http.StatusUnauthorized, "invalid_client")
	}
	if form.Get("token") == "" {
		return refuse(http.StatusBadRequest, "invalid_request")
	}
	return form.Get("token"), true
}
