// Package house has nothing but tests: of the rules that hold for the module as
// a whole, such as which package may import which.
package house
