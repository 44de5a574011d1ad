package netcfg

import (
	"encoding"
	"fmt"
	"reflect"
	"strings"
)

// Diff says in words what is different in after, a line for each thing, in the document's order.
func Diff(before, after Document) []string {
	var d differ
	d.compare("", reflect.ValueOf(before), reflect.ValueOf(after))
	return d.lines
}

type differ struct{ lines []string }

func (d *differ) say(format string, args ...any) {
	d.lines = append(d.lines, fmt.Sprintf(format, args...))
}

// compare is about two values of one type.
func (d *differ) compare(path string, a, b reflect.Value) {
	switch {
	case reflect.DeepEqual(a.Interface(), b.Interface()):
	case isText(a.Type()):
		d.changed(path, a, b)
	case a.Kind() == reflect.Pointer && !a.IsNil() && !b.IsNil():
		d.compare(path, a.Elem(), b.Elem())
	case a.Kind() == reflect.Struct:
		for i := range a.NumField() {
			name, _, _ := strings.Cut(a.Type().Field(i).Tag.Get("json"), ",")
			d.compare(strings.TrimPrefix(path+"."+name, "."), a.Field(i), b.Field(i))
		}
	case a.Kind() == reflect.Slice && a.Type().Elem().Kind() == reflect.Struct && !isText(a.Type().Elem()):
		d.lists(path, a, b)
	default:
		d.changed(path, a, b)
	}
}

// lists compares entries that have the same key, in whatever place.
func (d *differ) lists(path string, a, b reflect.Value) {
	was, is := keys(a), keys(b)
	for i, k := range was {
		if indexOf(is, k) < 0 {
			d.say("%s %s: removed (%s)", path, k, words(a.Index(i)))
		}
	}
	var kept []string
	for i, k := range is {
		j := indexOf(was, k)
		if j < 0 {
			d.say("%s %s: added (%s)", path, k, words(b.Index(i)))
			continue
		}
		kept = append(kept, k)
		d.compare(path+" "+k, a.Index(j), b.Index(i))
	}
	var order []string // of those kept, as it was
	for _, k := range was {
		if indexOf(is, k) >= 0 {
			order = append(order, k)
		}
	}
	if strings.Join(order, "\n") != strings.Join(kept, "\n") {
		d.say("%s: order %s, was %s", path, strings.Join(kept, ", "), strings.Join(order, ", "))
	}
}

func (d *differ) changed(path string, a, b reflect.Value) {
	switch was, is := words(a), words(b); {
	case was == "":
		d.say("%s: %s", path, is)
	case is == "":
		d.say("%s: no longer %s", path, was)
	default:
		d.say("%s: %s, was %s", path, is, was)
	}
}

func indexOf(list []string, s string) int {
	for i, v := range list {
		if v == s {
			return i
		}
	}
	return -1
}

// keys returns what tells the entries of a list apart. Entries that are alike get a number.
func keys(list reflect.Value) (all []string) {
	for i := range list.Len() {
		k := key(list.Index(i))
		for n, first := 2, k; indexOf(all, k) >= 0; n++ {
			k = fmt.Sprintf("%s (%d)", first, n)
		}
		all = append(all, k)
	}
	return all
}

// key is the name of an entry, or else what it is about.
func key(v reflect.Value) string {
	if vlan, ok := v.Interface().(VLAN); ok {
		return vlan.NameOr()
	}
	for _, field := range []string{"Name", "Link", "Port", "MAC", "Domain", "Zone", "To", "Agent", "Code"} {
		if f := v.FieldByName(field); f.IsValid() && !f.IsZero() {
			return words(f)
		}
	}
	return "entry"
}

func isText(t reflect.Type) bool { return t.Implements(reflect.TypeFor[encoding.TextMarshaler]()) }

// words returns a value as a person reads it; what is not set has none.
func words(v reflect.Value) string {
	switch {
	case isText(v.Type()):
		return fmt.Sprint(v.Interface())
	case v.Kind() == reflect.Pointer:
		if v.IsNil() {
			return ""
		}
		if inner := words(v.Elem()); inner != "" {
			return inner
		}
		return "with defaults"
	case v.Kind() == reflect.Slice:
		var parts []string
		for i := range v.Len() {
			parts = append(parts, words(v.Index(i)))
		}
		if v.Len() == 0 && !v.IsNil() {
			return "none"
		}
		return strings.Join(parts, ", ")
	case v.Kind() == reflect.Struct:
		return structWords(v)
	case v.IsZero() && v.Kind() != reflect.Uint8:
		return ""
	}
	return fmt.Sprint(v.Interface())
}

func structWords(v reflect.Value) string {
	var parts []string
	for i := range v.NumField() {
		name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
		switch f := v.Field(i); {
		case f.IsZero():
		case f.Kind() == reflect.Bool:
			parts = append(parts, name)
		default:
			parts = append(parts, name+" "+words(f))
		}
	}
	return strings.Join(parts, ", ")
}
