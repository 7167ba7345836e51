// Package paired compares the cost of operations with that of a reference in
// one process.
//
// A machine that is shared, or that changes its clock rate, makes every
// absolute time wrong, and makes two benchmarks that run one after the other
// wrong by different amounts. So nothing here runs one after the other: every
// round gives each subject one short slice of time, in an order drawn anew for
// each round, and a subject is compared with the reference of the same round
// alone. What disturbs a few rounds moves the quartiles and not the median.
package paired
