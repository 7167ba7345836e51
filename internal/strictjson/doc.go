// Package strictjson reads JSON as strictly as security code must: one object, valid
// UTF-8, case-sensitive member names, no duplicate members, no lone surrogates,
// nothing after the closing brace, limited depth (RFC 8259, RFC 7493; for duplicate
// members RFC 7515 section 4 and RFC 7519 section 4).
//
// encoding/json is lenient in all of these: the last duplicate wins, names match
// struct fields in any case, invalid UTF-8 becomes U+FFFD. A token, key set or
// metadata document that two parsers read differently is an attack, so this package
// refuses it.
//
// [Object] checks a whole text in one pass and yields the members of its outermost
// object. The [Value] of a member is a checked slice of the text: its accessors can
// fail because of its type, but not because of its syntax.
package strictjson
