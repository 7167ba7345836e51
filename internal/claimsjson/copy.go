package claimsjson

import (
	"net/netip"
	"reflect"
	"sync"
	"time"
)

// A Copier copies values of one type, with all that they point to.
type Copier struct {
	// copy gives the value that it is called with pointers, slices and maps of
	// its own, and adds what these take to size. It is nil if a value of the
	// type shares nothing with its assigned copy.
	copy func(v reflect.Value, size *int)
}

// Copy returns a copy that shares nothing with the original, and adds to size,
// unless it is nil, how many bytes it takes beside the T itself and strings.
func Copy[T any](c *Copier, original *T, size *int) T {
	if c.copy == nil {
		return *original
	}
	return deepCopy(c, *original, size)
}

func deepCopy[T any](c *Copier, v T, size *int) T {
	if size == nil {
		size = new(int)
	}
	c.copy(reflect.ValueOf(&v).Elem(), size)
	return v
}

var copiers sync.Map // of *Copier by reflect.Type

// CopierOf returns the copier of a type, or nil if values of the type cannot be
// copied safely: they have references in unexported fields, or references that a
// method of the type has made.
func CopierOf(t reflect.Type) *Copier {
	if c, ok := copiers.Load(t); ok {
		return c.(*Copier)
	}
	c := newCopier(t, map[reflect.Type]*Copier{})
	copiers.Store(t, c)
	return c
}

// immutable are types whose unexported references are never written to.
var immutable = map[reflect.Type]bool{
	reflect.TypeFor[time.Time]():      true,
	reflect.TypeFor[netip.Addr]():     true,
	reflect.TypeFor[netip.AddrPort](): true,
	reflect.TypeFor[netip.Prefix]():   true,
}

type (
	jsonDecoder interface{ UnmarshalJSON([]byte) error }
	textDecoder interface{ UnmarshalText([]byte) error }
)

// decodesItself reports whether values of the type are made by a method of it.
func decodesItself(t reflect.Type) bool {
	p := reflect.PointerTo(t)
	_, to := p.MethodByName("UnmarshalJSONFrom")
	return to || p.Implements(reflect.TypeFor[jsonDecoder]()) || p.Implements(reflect.TypeFor[textDecoder]())
}

func newCopier(t reflect.Type, begun map[reflect.Type]*Copier) *Copier {
	if c, ok := begun[t]; ok {
		return c // a type that contains itself, by a reference
	}
	c := &Copier{}
	begun[t] = c
	plainElem := false
	switch t.Kind() {
	case reflect.Bool, reflect.String, reflect.Float32, reflect.Float64, reflect.Complex64, reflect.Complex128,
		reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return c
	case reflect.Struct:
		if immutable[t] {
			return c
		}
		if !c.ofStruct(t, begun) {
			return nil
		}
	case reflect.Interface:
		if t != reflect.TypeFor[any]() {
			return nil
		}
		c.copy = func(v reflect.Value, size *int) {
			if !v.IsNil() {
				v.Set(reflect.ValueOf(copyAny(v.Interface(), size)))
			}
		}
	case reflect.Array, reflect.Slice, reflect.Pointer, reflect.Map:
		c.copy = func(reflect.Value, *int) {} // for types that contain themselves
		elem := newCopier(t.Elem(), begun)
		if elem == nil || t.Kind() == reflect.Map && !isPlain(t.Key()) {
			return nil
		}
		plainElem = elem.copy == nil
		c.ofReference(t, elem)
	default: // nothing that JSON can fill
		return nil
	}
	if c.copy != nil && decodesItself(t) && !(t.Kind() == reflect.Slice && plainElem) {
		return nil
	}
	return c
}

// isPlain reports whether values of the type share nothing.
func isPlain(t reflect.Type) bool {
	c := CopierOf(t)
	return c != nil && c.copy == nil
}

func (c *Copier) ofStruct(t reflect.Type, begun map[reflect.Type]*Copier) bool {
	type field struct {
		index  int
		copier *Copier
	}
	var fields []field
	c.copy = func(v reflect.Value, size *int) {
		for _, f := range fields {
			f.copier.copy(v.Field(f.index), size)
		}
	}
	for i := range t.NumField() {
		f := t.Field(i)
		inner := newCopier(f.Type, begun)
		switch {
		case inner == nil:
			return false
		case inner.copy == nil:
		case f.IsExported() || f.Anonymous && f.Type.Kind() == reflect.Struct:
			fields = append(fields, field{i, inner})
		default:
			return false
		}
	}
	if len(fields) == 0 {
		c.copy = nil
	}
	return true
}

func (c *Copier) ofReference(t reflect.Type, elem *Copier) {
	elemSize := int(t.Elem().Size())
	each := func(v reflect.Value, size *int) {
		if elem.copy != nil {
			for i := range v.Len() {
				elem.copy(v.Index(i), size)
			}
		}
	}
	switch t.Kind() {
	case reflect.Array:
		c.copy = each
		if elem.copy == nil {
			c.copy = nil
		}
	case reflect.Slice:
		c.copy = func(v reflect.Value, size *int) {
			if v.IsNil() {
				return
			}
			own := reflect.MakeSlice(t, v.Len(), v.Len())
			reflect.Copy(own, v)
			v.Set(own)
			*size += v.Len() * elemSize
			each(v, size)
		}
	case reflect.Pointer:
		c.copy = func(v reflect.Value, size *int) {
			if v.IsNil() {
				return
			}
			own := reflect.New(t.Elem())
			own.Elem().Set(v.Elem())
			v.Set(own)
			*size += elemSize
			if elem.copy != nil {
				elem.copy(own.Elem(), size)
			}
		}
	case reflect.Map:
		perEntry := int(t.Key().Size()) + elemSize
		c.copy = func(v reflect.Value, size *int) {
			if v.IsNil() {
				return
			}
			own := reflect.MakeMapWithSize(t, v.Len())
			*size += mapSize(v.Len(), perEntry)
			for i := v.MapRange(); i.Next(); {
				value := i.Value()
				if elem.copy != nil {
					value = reflect.New(t.Elem()).Elem()
					value.Set(i.Value())
					elem.copy(value, size)
				}
				own.SetMapIndex(i.Key(), value)
			}
			v.Set(own)
		}
	}
}

// mapSize is how many bytes a map takes, about: room for eight entries at least,
// and half of it free at worst.
func mapSize(entries, each int) int { return 64 + max(8, 2*entries)*(each+1) }

// copyAny copies what decodeAny makes. Numbers and strings share nothing.
func copyAny(v any, size *int) any {
	const word = 16 // of an interface, and of a string
	switch v := v.(type) {
	case []any:
		own := make([]any, len(v))
		*size += word * len(v)
		for i, e := range v {
			own[i] = copyAny(e, size)
		}
		return own
	case map[string]any:
		own := make(map[string]any, len(v))
		*size += mapSize(len(v), 2*word)
		for name, e := range v {
			own[name] = copyAny(e, size)
		}
		return own
	}
	*size += word
	return v
}
