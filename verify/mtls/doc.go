// Package mtls finds the client certificate of a request, for access tokens that
// are bound to one (RFC 8705 section 3).
//
// A [Source] says where the certificate is: in the TLS connection ([TLS]), or in
// the one field in which the proxy that ended the connection hands it on
// ([ClientCert], [Envoy], [EscapedPEM], [Traefik], [Base64DER]). There is exactly
// one source, without a fallback: if a field counted wherever the connection has no
// certificate, anyone could send it.
//
// A field is believed only from a proxy that is known, and only if the proxy sets
// or removes it on every request, also on those without a client certificate. A
// [Trust] says how the proxy is known.
//
//	source := mtls.ClientCert(mtls.FromPeers(netip.MustParsePrefix("10.0.0.0/8")))
//	server := &http.Server{ConnContext: mtls.ConnContext, …}
//
// What is found is a [Thumbprint], the hash that the token has in
// "cnf.x5t#S256". Nothing is parsed as a certificate, and neither its dates nor
// its issuer count: the token names this one certificate, and the handshake has
// shown that the client has its key.
package mtls
