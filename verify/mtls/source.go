package mtls

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/bearerkit/bearerkit/verify"
)

// A Thumbprint is the SHA-256 hash of a certificate's DER form.
type Thumbprint [sha256.Size]byte

// String returns the form that the thumbprint has in "cnf.x5t#S256" (RFC 8705
// section 3.1): base64url without padding.
func (t Thumbprint) String() string { return base64.RawURLEncoding.EncodeToString(t[:]) }

// Matches reports whether a value of "x5t#S256" is this thumbprint. Other forms,
// in hex or padded, are not.
func (t Thumbprint) Matches(value string) bool {
	var text [43]byte
	base64.RawURLEncoding.Encode(text[:], t[:])
	return value == string(text[:])
}

// An Absence is why a request has no client certificate that may be believed. The
// set is closed and its texts are fixed: they hold nothing of the request.
type Absence string

// The absences. All but the first mean that the service or the proxy in front of
// it is not set up as it should be, or that somebody has sent the field who is
// not the proxy.
const (
	ErrNone      Absence = "there is no client certificate"
	ErrUntrusted Absence = "the client certificate's field was not sent by a trusted proxy"
	ErrNoPeer    Absence = "the connection's peer is not known: set http.Server.ConnContext to mtls.ConnContext"
	ErrRepeated  Absence = "the client certificate's field is there more than once"
	ErrElements  Absence = "the client certificate's field does not have the expected number of elements"
	ErrMalformed Absence = "the client certificate's field does not have its form"
	ErrTooLarge  Absence = "the client certificate is too large"
)

// Error makes an Absence an error, so that errors.Is(err, mtls.ErrNone) reads as
// it does for any other.
func (a Absence) Error() string { return "mtls: " + string(a) }

const (
	// maxDER bounds a certificate, in bytes. Those of clients have 1 or 2 KiB.
	maxDER = 8 << 10
	// maxField bounds a field, which may have a chain in it.
	maxField = 64 << 10
)

// A Source is where the client certificate of a request is. The zero value is
// none.
type Source struct {
	field string // in canonical form; empty for the connection
	parse func(value string) (Thumbprint, error)
	trust Trust
	isTLS bool
	fault string
}

// TLS takes the certificate from the TLS connection, for a service that ends it.
// The server's tls.Config asks for one: RequestClientCert is enough, because the
// handshake proves that the client has the key, and tokens are bound to the
// certificate and not to who signed it.
func TLS() Source { return Source{isTLS: true} }

// ClientCert takes the certificate from the Client-Cert field (RFC 9440), as
// Cloudflare, Google Cloud and others can be set up to send it.
func ClientCert(t Trust) Source { return field("Client-Cert", parseClientCert, t) }

// Envoy takes the certificate from X-Forwarded-Client-Cert, which must have one
// element with the certificate or its hash. Set Envoy up to replace the field
// (SANITIZE_SET), and not to add to what the client sends.
func Envoy(t Trust) Source { return EnvoyHops(1, t) }

// EnvoyHops takes the certificate from X-Forwarded-Client-Cert if each of a number
// of proxies adds an element, as those of a service mesh do. The field must have
// exactly that many, and the first is the client's. A certificate whose names have
// commas in them can add elements; such requests count as having no certificate.
func EnvoyHops(proxies int, t Trust) Source {
	s := field("X-Forwarded-Client-Cert", func(v string) (Thumbprint, error) { return parseXFCC(v, proxies) }, t)
	if proxies < 1 {
		s.fault = "needs at least one proxy"
	}
	return s
}

// EscapedPEM takes the certificate from a field with a URL-encoded PEM block, which
// may be followed by those of its chain: $ssl_client_escaped_cert of nginx,
// ssl-client-cert of ingress-nginx, X-Amzn-Mtls-Clientcert and X-Amzn-Mtls-Clientcert-Leaf of AWS,
// SSL_CLIENT_CERT of Apache.
func EscapedPEM(name string, t Trust) Source { return field(name, parseEscapedPEM, t) }

// Traefik takes the certificate from X-Forwarded-Tls-Client-Cert: base64 of its DER
// form, and of its chain behind commas. Traefik passes on the field of a client that
// has no certificate: set Traefik up to require one (RequireAnyClientCert), or to
// remove the field first.
func Traefik(t Trust) Source { return field("X-Forwarded-Tls-Client-Cert", parseTraefik, t) }

// Base64DER takes the certificate from a field with base64 of its DER form:
// "%[ssl_c_der,base64]" of HAProxy, X-ARR-ClientCert of Azure App Service.
func Base64DER(name string, t Trust) Source { return field(name, parseBase64, t) }

func field(name string, parse func(string) (Thumbprint, error), t Trust) Source {
	s := Source{field: http.CanonicalHeaderKey(name), parse: parse, trust: t}
	switch {
	case !isToken(name):
		s.fault = "the field's name is not valid"
	case s.field == "Authorization" || s.field == "Cookie" || s.field == "Host" || s.field == "Dpop":
		s.fault = fmt.Sprintf("%s is a field of the client's", s.field)
	}
	return s
}

// IsZero reports whether the source is none.
func (s Source) IsZero() bool { return s.field == "" && !s.isTLS }

// Validate returns every fault of the source, joined, each a [verify.Fault]: a
// field without a trust, above all. The fields of the faults are "Field" and
// "Trust".
func (s Source) Validate() error {
	var faults []error
	if s.fault != "" {
		faults = append(faults, &verify.Fault{Field: "Field", Problem: s.fault})
	}
	if !s.isTLS && s.field != "" {
		for _, problem := range s.trust.problems() {
			faults = append(faults, &verify.Fault{Field: "Trust", Problem: problem})
		}
	}
	return errors.Join(faults...)
}

// Field returns the name of the field that is read; empty for the connection.
func (s Source) Field() string { return s.field }

// Thumbprint returns the thumbprint of the request's client certificate. The error
// is an [Absence]; it matters only if the token is bound to a certificate.
func (s Source) Thumbprint(r *http.Request) ([sha256.Size]byte, error) {
	switch {
	case s.isTLS:
		// Not VerifiedChains, which is empty unless the server has authorities
		// to verify with.
		if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
			return Thumbprint{}, ErrNone
		}
		return sha256.Sum256(r.TLS.PeerCertificates[0].Raw), nil
	case s.field == "" || s.fault != "":
		return Thumbprint{}, ErrNone
	}
	values := r.Header[s.field]
	if len(values) == 0 || len(values) == 1 && values[0] == "" {
		return Thumbprint{}, ErrNone
	}
	if err := s.trust.check(r); err != nil {
		return Thumbprint{}, err
	}
	switch {
	case len(values) > 1:
		return Thumbprint{}, ErrRepeated
	case len(values[0]) > maxField:
		return Thumbprint{}, ErrTooLarge
	}
	thumbprint, err := s.parse(values[0])
	return thumbprint, err
}

// isToken reports whether s can be a field's name (RFC 9110 section 5.6.2).
func isToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0:
		default:
			return false
		}
	}
	return s != ""
}
