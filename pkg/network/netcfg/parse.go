package netcfg

import (
	"bytes"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/platform/conf"
)

// maxDocument is the longest text of a document: maxEntries of them are far shorter.
const maxDocument = 4 << 20

// Schema is how the document is kept on disk. Without a file nothing is wanted: see FirstBoot.
func Schema() conf.Schema[Document] {
	return conf.Schema[Document]{
		Default:  func() Document { return Document{} },
		Validate: Validate,
		Migrate:  migrations(),
	}
}

// migrations turn the document of each earlier version into the next.
func migrations() []func(map[string]any) error { return nil }

// Version is the version of the documents that this program writes.
func Version() int { return len(migrations()) + 1 }

// written is a document in a file of its own.
type written struct {
	Version int `json:"version"`
	Document
}

// Format returns a document as text, for Parse.
func Format(d Document) ([]byte, error) {
	text, err := json.MarshalIndent(written{Version(), d}, "", "  ")
	return append(text, '\n'), err
}

// Parse reads a document of this version or an earlier one; without a "version" it is of this one.
// Its error is a problem with everything that is wrong.
func Parse(text []byte) (d Document, err error) {
	if len(text) > maxDocument {
		return d, wrong(problem.Fault{Path: "", Value: fmt.Sprint(len(text)), Rule: fmt.Sprintf("has at most %d bytes", maxDocument), Cure: "remove some entries"})
	}
	var fields map[string]any
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	if err := dec.Decode(&fields); err != nil || fields == nil || dec.More() {
		return d, wrong(problem.Fault{Path: "", Value: firstLine(text), Rule: "is one JSON object", Cure: "correct the text" + position(err)})
	}
	if err := migrate(fields); err != nil {
		return d, err
	}
	s := shape{}
	s.check("", fields, reflect.TypeFor[Document]())
	if len(s.faults) > 0 {
		return d, wrong(s.faults...)
	}
	current, err := json.Marshal(fields)
	if err == nil {
		err = json.Unmarshal(current, &d)
	}
	if err != nil {
		return d, fmt.Errorf("read the network document: %w", err)
	}
	return d, wrong(Validate(d)...)
}

func wrong(faults ...problem.Fault) error { return problem.Fields("net.invalid", faults) }

func firstLine(text []byte) string {
	line, _, _ := bytes.Cut(text, []byte("\n"))
	return strings.ToValidUTF8(string(line[:min(len(line), 60)]), "?")
}

func position(err error) string {
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		return fmt.Sprintf(" near byte %d: %v", syntax.Offset, syntax)
	}
	return ""
}

// migrate brings fields to this version and takes the version out.
func migrate(fields map[string]any) error {
	version := Version()
	if v, given := fields["version"]; given {
		n, ok := v.(json.Number)
		given64, err := n.Int64()
		if !ok || err != nil || given64 < 1 || given64 > int64(Version()) {
			return wrong(problem.Fault{
				Path: "version", Value: fmt.Sprint(v), Rule: fmt.Sprintf("is from 1 to %d", Version()),
				Cure: "use the image that wrote this document, or a newer one",
			})
		}
		version = int(given64)
	}
	delete(fields, "version")
	for _, step := range migrations()[version-1:] {
		if err := step(fields); err != nil {
			return fmt.Errorf("bring the network document up to date: %w", err)
		}
	}
	return nil
}

// shape compares JSON with the type that it is for, so that every wrong field is told and not only
// the first.
type shape struct{ faults []problem.Fault }

func (s *shape) fault(path string, value any, rule, cure string) {
	text, err := json.Marshal(value)
	if err != nil || len(text) > 60 {
		text = []byte("…")
	}
	s.faults = append(s.faults, problem.Fault{Path: path, Value: string(text), Rule: rule, Cure: cure})
}

func (s *shape) check(path string, v any, t reflect.Type) {
	switch {
	case t.Kind() == reflect.Pointer:
		if v != nil {
			s.check(path, v, t.Elem())
		}
	case t.Implements(reflect.TypeFor[encoding.TextMarshaler]()), t.Kind() == reflect.String:
		if _, ok := v.(string); !ok {
			s.fault(path, v, "is a text", "put it between quotes")
		}
	case t.Kind() == reflect.Struct:
		s.object(path, v, t)
	case t.Kind() == reflect.Slice:
		list, ok := v.([]any)
		if !ok && v != nil {
			s.fault(path, v, "is a list", "put it between [ and ]")
		}
		for i, e := range list {
			s.check(at(path, i), e, t.Elem())
		}
	case t.Kind() == reflect.Bool:
		if _, ok := v.(bool); !ok {
			s.fault(path, v, "is true or false", "write one of them, without quotes")
		}
	default:
		s.number(path, v, t)
	}
}

func (s *shape) object(path string, v any, t reflect.Type) {
	fields, ok := v.(map[string]any)
	if !ok {
		s.fault(path, v, "is an object", "put it between { and }")
		return
	}
	names := map[string]reflect.Type{}
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		names[name] = t.Field(i).Type
	}
	for _, name := range sortedKeys(fields) {
		where := strings.TrimPrefix(path+"."+name, ".")
		if t, known := names[name]; known {
			s.check(where, fields[name], t)
		} else {
			s.fault(where, fields[name], "is a setting that this version knows", "correct its name or remove it")
		}
	}
}

func (s *shape) number(path string, v any, t reflect.Type) {
	low, high := int64(0), int64(math.MaxInt32) // no number of the document is larger
	switch t.Kind() {                           //nolint:exhaustive // the document has no other kinds
	case reflect.Uint8:
		high = math.MaxUint8
	case reflect.Uint16:
		high = math.MaxUint16
	default:
		low = math.MinInt32
	}
	n, ok := v.(json.Number)
	whole, err := n.Int64()
	if !ok || err != nil || whole < low || whole > high {
		s.fault(path, v, fmt.Sprintf("is a whole number from %d to %d", low, high), "write such a number, without quotes")
	}
}

func sortedKeys(m map[string]any) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
