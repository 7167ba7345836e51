// Package jwks provides the usual key sources of package
// [github.com/bearerkit/bearerkit/verify]: they fetch the key set of an issuer (RFC
// 7517) and keep it fresh.
//
//	verifier, err := verify.New(verify.Config{
//		Issuers: []verify.Issuer{{
//			Issuer:   "https://auth.example.com",
//			Audience: []string{"https://api.example.com"},
//			Keys:     jwks.Discover("https://auth.example.com"),
//		}},
//	})
//
// [Discover] finds the key set through the issuer's metadata (OpenID Connect
// Discovery 1.0 section 4, RFC 8414 section 3), [URL] reads it from a fixed URL,
// [New] takes all options, and [Static] has keys that never change. Keys are those
// of RFC 7518 section 6 and RFC 8037 section 2.
//
// # Refreshing
//
// Each [Source] has one goroutine, the only one that calls the issuer, with one
// call at a time. It refreshes the set before its lifetime ends, at a random time
// so that replicas do not refresh together. The lifetime is taken from
// Cache-Control or Expires (RFC 9111 section 4.2) and limited to 1 s to 1 h; it is
// 5 min without one, or with no-store. The source sends If-None-Match if the issuer
// sent an ETag, but fetches the whole set at least once an hour. Requests never
// fetch anything themselves, and never depend on the context of another request.
//
// A token whose key is not in the set causes a fetch: at most two in a row and one
// more every 10 s, however many such tokens arrive. Requests that need a fetch
// while one is under way share it. Such a fetch is unconditional and bypasses
// caches; it does not count if it fails. When the budget is spent, requests are
// answered at once with the current set, and Detail.SpentUntil says until when.
//
// If the process did not run when a fetch was due, because it was frozen between
// requests or the machine slept, requests that need keys wait for the fetch. Time
// is measured by both the wall clock and the monotonic clock.
//
// # Failures
//
// If the issuer does not answer, or answers with something that is not a key set or
// has no usable key, the last good set stays in use until it is MaxStale old.
// Retries start less than a second apart and slow down to one a minute; they are at
// most 1 s apart without a usable set, and at most 2 s apart while requests need
// unknown keys. Retry-After (RFC 9110 section 10.2.3) is respected for up to a
// minute while there is a usable set.
//
// A good answer replaces the set: keys that it does not have are no longer accepted.
//
// # Never done
//
// URLs and keys in tokens (jwk, jku, x5u, x5c) and the x5u of a key are ignored.
// Redirects are followed only on the same host, and never to http. Keys that are
// private, too weak or too large, invalid, or contradict their certificate are
// skipped, and so are encryption keys; the others of the set are used. [Detail]
// lists what was skipped and why.
package jwks
