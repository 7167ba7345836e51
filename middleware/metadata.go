package middleware

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/bearerkit/bearerkit/internal/faults"
	"github.com/bearerkit/bearerkit/internal/upstream"
	"github.com/bearerkit/bearerkit/verify"
)

// ResourceMetadata describes a protected resource to its clients (RFC 9728
// section 2). The kit adds where tokens are accepted, and how they may be bound to a
// key.
type ResourceMetadata struct {
	// Resource is the resource identifier: an https URL without a fragment
	// (http is accepted for a loopback address). Required.
	Resource string
	// AuthorizationServers are the issuers where clients can get a token.
	// Default: those of the verifier.
	AuthorizationServers []string
	// ScopesSupported are the scopes that clients may ask for.
	ScopesSupported []string
	// Name, Documentation, PolicyURI and TermsOfServiceURI are for people.
	Name              string
	Documentation     string
	PolicyURI         string
	TermsOfServiceURI string
}

const wellKnown = "/.well-known/oauth-protected-resource"

// metadata is a ResourceMetadata made ready.
type metadata struct {
	url  string // where clients find the document
	path string
	body []byte
}

func newMetadata(c ResourceMetadata, v *verify.Verifier, sources []CredentialSource, certificates bool) (*metadata, error) {
	var bad faults.List[verify.Fault]
	u, err := url.Parse(c.Resource)
	switch {
	case c.Resource == "":
		bad.Add("Resource", "is required")
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		bad.Add("Resource", "is not an https URL")
	case u.Scheme == "http" && !upstream.IsLoopback(u):
		bad.Add("Resource", "is not https")
	case u.User != nil || strings.Contains(c.Resource, "#"):
		bad.Add("Resource", "has user information or a fragment")
	case !isQuotable(c.Resource):
		bad.Add("Resource", "has characters that cannot stand in a challenge")
	}
	for _, s := range c.ScopesSupported {
		if !isScopeToken(s) {
			bad.Add("ScopesSupported", "%q is not a scope", s)
		}
	}
	if err := bad.Err(); err != nil {
		return nil, err
	}
	var methods []string
	for _, s := range sources {
		for _, m := range s.methods {
			if !slices.Contains(methods, m) {
				methods = append(methods, m)
			}
		}
	}
	servers := c.AuthorizationServers
	var algorithms []string // of DPoP proofs
	required := false
	if v != nil {
		if servers == nil {
			servers = v.Issuers()
		}
		for _, s := range v.Schemes() {
			if s.Name == schemeDPoP {
				algorithms, required = s.Algorithms, s.Required
			}
		}
	}
	body, err := json.Marshal(struct {
		Resource             string   `json:"resource"`
		AuthorizationServers []string `json:"authorization_servers,omitempty"`
		ScopesSupported      []string `json:"scopes_supported,omitempty"`
		BearerMethods        []string `json:"bearer_methods_supported,omitempty"`
		Name                 string   `json:"resource_name,omitempty"`
		Documentation        string   `json:"resource_documentation,omitempty"`
		PolicyURI            string   `json:"resource_policy_uri,omitempty"`
		TermsOfServiceURI    string   `json:"resource_tos_uri,omitempty"`
		Certificates         bool     `json:"tls_client_certificate_bound_access_tokens,omitempty"`
		DPoPAlgorithms       []string `json:"dpop_signing_alg_values_supported,omitempty"`
		DPoPRequired         bool     `json:"dpop_bound_access_tokens_required,omitempty"`
	}{c.Resource, servers, c.ScopesSupported, methods, c.Name, c.Documentation, c.PolicyURI, c.TermsOfServiceURI,
		certificates, algorithms, required})
	if err != nil {
		return nil, err
	}
	// The well-known part goes between host and path, and a path of a slash
	// alone is dropped (RFC 9728 section 3.1).
	path := u.EscapedPath()
	if path == "/" {
		path = ""
	}
	m := &metadata{url: u.Scheme + "://" + u.Host + wellKnown + path, path: wellKnown + path, body: body}
	if u.RawQuery != "" {
		m.url += "?" + u.RawQuery
	}
	return m, nil
}

// MetadataPath returns the path at which clients look for the document of
// [Auth.MetadataHandler]: "/.well-known/oauth-protected-resource", followed by
// the resource identifier's own path (RFC 9728 section 3.1).
func (a *Auth) MetadataPath() string {
	if a.metadata == nil {
		return wellKnown
	}
	return a.metadata.path
}

// MetadataHandler serves the protected resource metadata (RFC 9728 section 3)
// to GET and HEAD, for pages of any origin: the document is public, and clients
// that run in browsers read it too. It answers OPTIONS, preflight requests among
// them, and 405 to other methods; so register it for all methods of
// [Auth.MetadataPath]. If Config.Metadata is not set, it answers 404.
func (a *Auth) MetadataHandler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Access-Control-Allow-Origin", "*")
		switch {
		case a.metadata == nil:
			writeJSON(w, r, http.StatusNotFound, errorBody("not_found", "this resource has no metadata"))
		case r.Method == http.MethodGet || r.Method == http.MethodHead:
			writeJSON(w, r, http.StatusOK, a.metadata.body)
		case r.Method == http.MethodOptions:
			h.Set("Allow", metadataMethods)
			h.Set("Access-Control-Allow-Methods", metadataMethods)
			h.Set("Access-Control-Allow-Headers", metadataHeaders)
			w.WriteHeader(http.StatusNoContent)
		default:
			h.Set("Allow", metadataMethods)
			writeJSON(w, r, http.StatusMethodNotAllowed, errorBody("method_not_allowed", "this document can only be read"))
		}
	})
}

const (
	metadataMethods = "GET, HEAD, OPTIONS"
	// metadataHeaders are what a page may send along. The wildcard does not cover
	// Authorization, and older browsers do not know it; MCP clients send
	// Mcp-Protocol-Version.
	metadataHeaders = "*, Authorization, Content-Type, Mcp-Protocol-Version"
)

func writeJSON(w http.ResponseWriter, r *http.Request, status int, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // a client that has gone misses nothing
	}
}
