// Package e2e consists of tests with independent software: third-party authorization
// servers issue tokens, third-party clients sign users in, and the kit decides about
// the requests.
//
// It is a separate module, so that their dependencies do not get into the kit's go.mod.
// README.md says what runs and how.
package e2e
