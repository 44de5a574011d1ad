package conf

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/coraltele/sanchar/pkg/base/problem"
)

// document is what stands on disk.
type document struct {
	Version int `json:"version"`
	Revision
	Settings json.RawMessage `json:"settings"`
}

// errDamaged marks a file that is not the JSON that was written.
var errDamaged = errors.New("damaged")

func encode[T any](value T, rev Revision, version int) ([]byte, error) {
	settings, err := json.Marshal(value)
	if err != nil {
		return nil, err
	}
	data, err := json.MarshalIndent(document{version, rev, settings}, "", "  ")
	return append(data, '\n'), err
}

// decode reads a document of any version up to this program's and checks what it says.
func decode[T any](data []byte, schema Schema[T]) (value T, rev Revision, err error) {
	if !json.Valid(data) {
		return value, rev, errDamaged
	}
	var doc document
	if err := strict(data, &doc); err != nil {
		return value, rev, err
	}
	settings, err := migrate(doc, schema.Migrate)
	if err != nil {
		return value, rev, err
	}
	value = schema.Default() // a field that an older box did not know has its default
	if err := strict(settings, &value); err != nil {
		return value, rev, err
	}
	return value, doc.Revision, problem.Fields("conf.invalid", schema.Validate(value))
}

// versionOf reads the version of a document on disk: 0 where there is none, or none that can be read.
func versionOf(path string) (int, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	var doc struct {
		Version int `json:"version"`
	}
	if err == nil && json.Unmarshal(data, &doc) != nil {
		return 0, nil // it is damaged, which who reads the rest tells
	}
	return doc.Version, err
}

// migrate brings settings to the newest version.
func migrate(doc document, steps []func(map[string]any) error) ([]byte, error) {
	newest := len(steps) + 1
	switch {
	case doc.Version == newest:
		return doc.Settings, nil
	case doc.Version < 1 || doc.Version > newest:
		return nil, problem.Fields("conf.version", []problem.Fault{{
			Path: "version", Value: fmt.Sprint(doc.Version), Rule: fmt.Sprintf("between 1 and %d", newest),
			Cure: "start the image that wrote these settings, or a newer one",
		}})
	}
	var settings map[string]any
	dec := json.NewDecoder(bytes.NewReader(doc.Settings))
	dec.UseNumber() // large numbers stay what they are
	if err := dec.Decode(&settings); err != nil || settings == nil {
		return nil, wrongField("settings", string(doc.Settings), "is an object")
	}
	for v := doc.Version; v < newest; v++ {
		if err := steps[v-1](settings); err != nil {
			return nil, fmt.Errorf("migrate settings of version %d: %w", v, err)
		}
	}
	return json.Marshal(settings)
}

// strict reads JSON that holds nothing but what v has fields for.
func strict(data []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	err := dec.Decode(v)
	if typeErr, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return wrongField(typeErr.Field, typeErr.Value, "is a "+typeErr.Type.String())
	}
	if err != nil && !errors.Is(err, io.EOF) {
		if field, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
			return wrongField(strings.Trim(field, `"`), "", "is a setting that this version knows")
		}
		return wrongField("settings", "", err.Error())
	}
	return nil
}

func wrongField(path, value, rule string) error {
	return problem.Fields("conf.invalid", []problem.Fault{{Path: path, Value: value, Rule: rule, Cure: "correct or remove it"}})
}
