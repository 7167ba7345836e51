package claimsjson

import (
	stdjson "encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"strconv"
	"strings"

	"github.com/bearerkit/bearerkit/internal/strictjson"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	jsonv1 "github.com/go-json-experiment/json/v1"
)

// Decode decodes the claims, one strict JSON object, into v. Its error names the
// claim and the types, and no value.
func Decode(claims string, v any) error {
	if err := json.Unmarshal([]byte(claims), v, options); err != nil {
		return newError(v, err)
	}
	return nil
}

// options are the behavior of encoding/json, but for its leniency.
var options = json.JoinOptions(
	jsonv1.DefaultOptionsV1(),
	json.MatchCaseInsensitiveNames(false),
	jsontext.AllowDuplicateNames(false),
	jsontext.AllowInvalidUTF8(false),
	jsonv1.ReportErrorsWithLegacySemantics(false),
	json.WithUnmarshalers(json.JoinUnmarshalers(
		json.UnmarshalFromFunc(decodeAny),
		json.UnmarshalFromFunc(decodeMap),
		json.UnmarshalFromFunc(decodeNumber),
	)),
)

// decodeAny decodes into an interface, without reflection.
func decodeAny(d *jsontext.Decoder, v *any) error {
	if p := reflect.ValueOf(*v); p.Kind() == reflect.Pointer && !p.IsNil() && d.PeekKind() != 'n' {
		return json.UnmarshalDecode(d, *v) // as encoding/json does with a pointer that is there
	}
	text, err := d.ReadValue()
	if err != nil {
		return err
	}
	made, ok := anyOf(strictjson.Value(text))
	if !ok {
		return strconv.ErrRange
	}
	*v = made
	return nil
}

var errNotObject = errors.New("not an object")

// decodeMap is decodeAny for the usual type of an object. What is in the map
// already stays, as with encoding/json.
func decodeMap(d *jsontext.Decoder, v *map[string]any) error {
	var made any
	if err := decodeAny(d, &made); err != nil {
		return err
	}
	object, ok := made.(map[string]any)
	switch {
	case made == nil:
		*v = nil
	case !ok:
		return errNotObject
	case len(*v) == 0:
		*v = object
	default:
		maps.Copy(*v, object)
	}
	return nil
}

// decodeNumber decodes encoding/json's own type of number, which the library
// does not know.
func decodeNumber(d *jsontext.Decoder, v *stdjson.Number) error {
	text, err := d.ReadValue()
	if err != nil {
		return err
	}
	return stdjson.Unmarshal(text, v)
}

// anyOf makes a Go value of a JSON value. It reports false for a number beyond
// the range of a float64.
func anyOf(v strictjson.Value) (any, bool) {
	switch v.Kind() {
	case strictjson.Bool:
		return v.True(), true
	case strictjson.String:
		return v.Text()
	case strictjson.Number:
		if n, err := strconv.ParseInt(string(v), 10, 64); err == nil {
			return n, true
		}
		return v.Float()
	case strictjson.Array:
		list := []any{}
		for e := range v.Elements() {
			made, ok := anyOf(e)
			if !ok {
				return nil, false
			}
			list = append(list, made)
		}
		return list, true
	case strictjson.Obj:
		object := map[string]any{}
		for name, e := range v.Members() {
			made, ok := anyOf(e)
			if !ok {
				return nil, false
			}
			object[name] = made
		}
		return object, true
	}
	return nil, true
}

// A decodeError says which claim did not fit and why. The text of the error
// behind it may show values.
type decodeError struct {
	text  string
	cause error
}

func (e *decodeError) Error() string { return e.text }
func (e *decodeError) Unwrap() error { return e.cause }

func newError(into any, cause error) error {
	text := fmt.Sprintf("verify: the token's claims do not fit %T", into)
	var e *json.SemanticError
	if errors.As(cause, &e) {
		if name := claimName(into, string(e.JSONPointer)); name != "" {
			text += ": " + name
		}
		if e.JSONKind != 0 && e.GoType != nil {
			text += fmt.Sprintf(": JSON %s into Go %v", kindName(e.JSONKind), e.GoType)
		} else if e.GoType != nil {
			text += fmt.Sprintf(": Go %v", e.GoType)
		}
	}
	return &decodeError{text, cause}
}

func kindName(k jsontext.Kind) string {
	switch k {
	case '{', '}':
		return "object"
	case '[', ']':
		return "array"
	}
	return k.String()
}

// claimName returns the first part of a pointer (RFC 6901) into the claims if it
// is the name of a field, and so not of the token's choice.
func claimName(into any, pointer string) string {
	t := reflect.TypeOf(into)
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t == nil || t.Kind() != reflect.Struct || !strings.HasPrefix(pointer, "/") {
		return ""
	}
	name, _, _ := strings.Cut(pointer[1:], "/")
	name = strings.NewReplacer("~1", "/", "~0", "~").Replace(name)
	for _, f := range reflect.VisibleFields(t) {
		if tag, _, _ := strings.Cut(f.Tag.Get("json"), ","); tag == name || tag == "" && f.Name == name {
			return name
		}
	}
	return ""
}
