// Package house tests the rules for the module as a whole, such as which package may
// import which, and has nothing else.
package house
