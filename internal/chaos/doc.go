// Package chaos has nothing but a test: an issuer that falls ill at random
// while honest and hostile clients keep calling a service, and the promises
// that must hold for every answer all the while.
package chaos
