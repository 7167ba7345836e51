// Package chaos has nothing but tests: issuers that fall ill, rotate, revoke and
// lie while honest and hostile clients keep calling an API, and the promises
// that must hold for every answer all the while.
//
// Scenarios that are about time take place in a testing/synctest bubble, on a
// fake clock, and with -chaos.long as well between real processes, over real
// sockets, on every framework:
//
//	go test ./internal/chaos                                  # seconds
//	go test -timeout 30m ./internal/chaos -chaos.long         # minutes: a step of .ci/run
//	go test ./internal/chaos -run TestChaos -chaos.seed 42    # one seed, as a failure names it
package chaos
