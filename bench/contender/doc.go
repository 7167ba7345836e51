// Package contender has the libraries that the benchmarks compare, each set up
// as its documentation shows for a service that accepts one issuer's access
// tokens for one audience, with one algorithm allowed and an expiry required.
//
// All of them check the same: the signature with a key of the issuer's set,
// "iss", "aud" and "exp". The kit checks more (see the package verify), and no
// peer is charged for what it leaves out.
package contender
