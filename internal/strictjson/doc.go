// Package strictjson reads JSON the way security code must: one object, valid
// UTF-8, member names compared byte for byte, no name twice, no lone
// surrogate, nothing after the closing brace, bounded depth (RFC 8259, RFC
// 7493; RFC 7515 section 4 and RFC 7519 section 4 on duplicate members).
//
// encoding/json is lenient in each of these points: the last duplicate wins,
// names match struct fields whatever their case, invalid UTF-8 turns into
// U+FFFD. A token, a key set or a metadata document that two parsers read
// differently is an attack, so here such a text is no JSON at all.
//
// [Object] checks a whole text in one pass and hands out the members of its
// outermost object. The [Value] of a member is a checked slice of the text:
// its accessors decode it and cannot fail on syntax any more, only on type.
package strictjson
