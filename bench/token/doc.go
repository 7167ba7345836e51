// Package token mints the tokens of the benchmarks: an issuer with one key, its
// key set served on loopback, and as many different access tokens as wanted,
// of the claims and the size that services meet.
package token
