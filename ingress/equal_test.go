package ingress

import (
	"net/netip"
	"reflect"
	"testing"
)

// TestPortsAndVIPsAreToldApart by every field that they have.
func TestPortsAndVIPsAreToldApart(t *testing.T) {
	eachField(t, Port.Equal)
	eachField(t, VIP.Equal)
}

// eachField changes one field at a time.
func eachField[T any](t *testing.T, equal func(a, b T) bool) {
	t.Helper()
	var zero T
	if !equal(zero, zero) {
		t.Errorf("%T is not equal to itself", zero)
	}
	for i := range reflect.TypeFor[T]().NumField() {
		var v T
		f := reflect.ValueOf(&v).Elem().Field(i)
		switch f.Kind() {
		case reflect.String:
			f.SetString("other")
		case reflect.Uint8, reflect.Uint16:
			f.SetUint(3)
		case reflect.Slice:
			f.Set(reflect.MakeSlice(f.Type(), 1, 1))
		case reflect.Struct:
			f.Set(reflect.ValueOf(netip.IPv6Unspecified()))
		default:
			t.Fatalf("a field is of kind %s: teach the test", f.Kind())
		}
		if equal(v, zero) || equal(zero, v) || !equal(v, v) {
			t.Errorf("%T: field %s is not seen", v, reflect.TypeFor[T]().Field(i).Name)
		}
	}
}
