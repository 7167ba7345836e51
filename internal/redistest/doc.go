// Package redistest runs a real Redis for tests: the redis-server of Debian's
// package of that name, on loopback, in a temporary directory.
package redistest
