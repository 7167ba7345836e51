// Package claimsjson decodes claims into the types of those who use the kit.
//
// [Decode] follows encoding/json and its tags, but tells names apart by case,
// refuses duplicates, keeps whole numbers whole, and has errors that show no
// value. A [Copier] makes copies of what was decoded, so that one decoding can
// serve many requests and none of them sees what another does to its claims.
package claimsjson
