// Package view turns objects of the vocabulary into what `inspect` shows: the fields in their order and by their names, enumerations,
// addresses and durations as text, octets in base64, empty times as null.
package view

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"time"
)

// Field is a named value of an object.
type Field struct {
	Name  string
	Value Value
}

// Value is a scalar (string, bool, integer, float64, nil), a list, or an object, whose fields keep their order.
type Value struct{ v any }

// Any returns the scalar, a []Value, or a []Field.
func (v Value) Any() any { return v.v }

// Scalar reports whether v is neither list nor object.
func (v Value) Scalar() bool {
	switch v.v.(type) {
	case []Value, []Field:
		return false
	}
	return true
}

// Empty reports whether there is nothing to show.
func (v Value) Empty() bool {
	switch x := v.v.(type) {
	case nil:
		return true
	case []Value:
		return len(x) == 0
	case []Field:
		return !slices.ContainsFunc(x, func(f Field) bool { return !f.Value.Empty() })
	case string:
		return x == ""
	}
	return false
}

// Plain returns v as maps, slices and scalars: what templates walk.
func (v Value) Plain() any {
	switch x := v.v.(type) {
	case []Value:
		out := make([]any, len(x))
		for i, e := range x {
			out[i] = e.Plain()
		}
		return out
	case []Field:
		out := make(map[string]any, len(x))
		for _, f := range x {
			out[f.Name] = f.Value.Plain()
		}
		return out
	}
	return v.v
}

// MarshalJSON keeps the order of the fields.
func (v Value) MarshalJSON() ([]byte, error) {
	fields, ok := v.v.([]Field)
	if !ok {
		return json.Marshal(v.v)
	}
	var b bytes.Buffer
	b.WriteByte('{')
	for i, f := range fields {
		if i > 0 {
			b.WriteByte(',')
		}
		name, err := json.Marshal(f.Name)
		if err != nil {
			return nil, err
		}
		value, err := json.Marshal(f.Value)
		if err != nil {
			return nil, err
		}
		b.Write(name)
		b.WriteByte(':')
		b.Write(value)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// Of converts an object. Fields of an embedded struct count as the outer one's.
func Of(x any) Value { return of(reflect.ValueOf(x)) }

func of(v reflect.Value) Value {
	if !v.IsValid() {
		return Value{}
	}
	switch x := v.Interface().(type) {
	case time.Time:
		if x.IsZero() {
			return Value{}
		}
		return Value{x.UTC().Format(time.RFC3339Nano)}
	case time.Duration:
		return Value{x.String()}
	case Value:
		return x
	case []byte:
		return Value{base64.StdEncoding.EncodeToString(x)} // as encoding/json has it
	case interface{ IsValid() bool }: // netip's
		if !x.IsValid() {
			return Value{""}
		}
		return Value{fmt.Sprint(x)}
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			return Value{}
		}
		return of(v.Elem())
	case reflect.Struct:
		return Value{fields(v)}
	case reflect.Map:
		return Value{entries(v)}
	case reflect.Slice:
		out := make([]Value, v.Len())
		for i := range out {
			out[i] = of(v.Index(i))
		}
		return Value{out}
	case reflect.Array: // a MAC
		if v.IsZero() { // none
			return Value{""}
		}
		return Value{fmt.Sprint(v.Interface())}
	case reflect.Uint8: // an enumeration
		return Value{fmt.Sprint(v.Interface())}
	case reflect.String:
		return Value{v.String()}
	case reflect.Bool:
		return Value{v.Bool()}
	case reflect.Float32, reflect.Float64:
		return Value{v.Float()}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return Value{v.Int()}
	case reflect.Uint, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return Value{v.Uint()}
	}
	return Value{fmt.Sprint(v.Interface())}
}

func fields(v reflect.Value) []Field {
	var out []Field
	for i := range v.NumField() {
		f := v.Type().Field(i)
		switch {
		case f.Anonymous && f.Type.Kind() == reflect.Struct:
			out = append(out, fields(v.Field(i))...)
		case f.IsExported():
			out = append(out, Field{f.Name, of(v.Field(i))})
		}
	}
	return out
}

func entries(v reflect.Value) []Field {
	out := []Field{}
	for it := v.MapRange(); it.Next(); {
		out = append(out, Field{fmt.Sprint(it.Key().Interface()), of(it.Value())})
	}
	slices.SortFunc(out, func(a, b Field) int { return bytes.Compare([]byte(a.Name), []byte(b.Name)) })
	return out
}
