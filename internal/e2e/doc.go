// Package e2e has tests with real peers, and nothing else: authorization
// servers that others wrote issue the tokens, a client that others wrote signs
// the person in, and the kit says who gets in.
//
// It is a module of its own, so that what the peers need never gets into the
// kit's go.mod. README.md says what runs and how.
package e2e
