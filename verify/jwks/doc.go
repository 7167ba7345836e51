// Package jwks keeps an issuer's signing keys at hand: the key sources of
// [github.com/bearerkit/bearerkit/verify].
//
// [Discover] finds the key set through the issuer's metadata (OpenID Connect
// Discovery 1.0 section 4, RFC 8414 section 3), [URL] reads it from a fixed
// place, [New] takes the details, and [Static] holds keys that never change.
// Key sets are those of RFC 7517 section 5, keys those of RFC 7518 section 6
// and RFC 8037 section 2.
//
// # Who fetches, and when
//
// Each [Source] has one goroutine of its own, which is the only one that talks
// to the issuer, one request at a time. It refreshes the set ahead of the
// lifetime that Cache-Control or Expires gave it (RFC 9111 section 4.2: held
// within 1 s and 1 h; 5 min if there is none, or no-store), with jitter, and
// asks with If-None-Match where the issuer sent an ETag, but for the whole set
// once an hour. No request of the service fetches anything, and none waits
// behind another's context.
//
// A token whose key is not in the set asks for a refresh: at most two at once
// and one more every 10 s, however many tokens ask; those that ask while one
// is under way share it. Such a fetch asks for the whole set, past all caches.
// One that failed does not count. When none is left the answer is what the set
// at hand says, at once, and Health.SpentUntil says until when.
//
// Where the process did not run when a fetch was due (it was frozen between
// requests, or the machine slept), a request that needs keys waits for it. Time
// counts by the wall clock as well as by the monotonic one.
//
// # When the issuer is ill
//
// An answer that is no key set, has no key that can be used, or does not come
// leaves the last good set in use, until MaxStale has passed since it was
// confirmed. Retries start under a second apart and slow down to a minute: at
// most 1 s apart while no usable set is at hand, and at most 2 s while requests
// ask for keys that nobody has seen. A Retry-After (RFC 9110 section 10.2.3) is
// kept to for up to a minute, as long as a usable set is at hand.
//
// A good answer replaces the set: a key that is not in it is no longer a key.
//
// # What is never done
//
// A header of a token (jwk, jku, x5u, x5c) and the x5u of a key are never
// followed. Redirects lead nowhere but to the same host and never to http. Keys
// with private members, too weak or too large, off their curve or with a
// certificate for another key are skipped and named in [Health], as are those for
// encryption; the others of the set serve.
package jwks
