// Package chaos consists of tests: issuers fail, rotate keys, revoke tokens and send
// wrong documents while honest and hostile clients keep calling an API. The tests
// check what must hold for every single answer.
//
// Scenarios that depend on time run in a testing/synctest bubble, on a fake clock. With
// -chaos.long they also run between real processes, over real sockets, on every
// framework:
//
//	go test ./internal/chaos                                  # seconds
//	go test -timeout 30m ./internal/chaos -chaos.long         # minutes: a step of .ci/run
//	go test ./internal/chaos -run TestChaos -chaos.seed 42    # one seed, as a failure names it
package chaos
