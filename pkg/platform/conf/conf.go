// Package conf keeps a daemon's settings: one typed, versioned JSON document that is checked before
// it is written, with its last revisions. Secrets do not belong in it.
package conf

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coraltele/sanchar/pkg/base/fsx"
	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/platform/copies"
)

// keptRevisions is how many revisions can be looked at and brought back.
const keptRevisions = 20

// Schema says what a document holds. A field that the file does not have keeps its default; a map
// would mix its default with the file's entries, so maps have none.
type Schema[T any] struct {
	Default  func() T                     // of a box without the file
	Validate func(T) []problem.Fault      // all that is wrong
	Migrate  []func(map[string]any) error // Migrate[0] turns the settings of version 1 into those of version 2
}

// Version is what this program writes.
func (s Schema[T]) Version() int { return len(s.Migrate) + 1 }

// Revision tells one state of a document from the others. Number 0 are the defaults.
type Revision struct {
	Number uint64    `json:"revision"`
	At     time.Time `json:"at,omitzero"`
	Who    string    `json:"who,omitempty"`
}

// state is a document as it is now; it is replaced whole.
type state[T any] struct {
	rev     Revision
	value   T
	version int // of the file on disk; 0 where there is none
}

// File is an open document. Its methods may be called from any goroutine.
type File[T any] struct {
	path    string
	history string // folder
	schema  Schema[T]
	log     *slog.Logger
	saving  sync.Mutex // one Save at a time
	now     atomic.Pointer[state[T]]
	seen    *uint64 // revision at the last look, of who watches
}

// Open reads the document at path. Without one the defaults are valid. One that is damaged or gone
// is replaced by its newest revision; one that is wrong in what it says is an error with all faults. One
// that a newer program has written gives way to the copy that was kept for this one.
func Open[T any](path string, schema Schema[T], log *slog.Logger) (*File[T], error) {
	f := &File[T]{path: path, history: strings.TrimSuffix(path, filepath.Ext(path)) + ".history", schema: schema, log: log}
	if err := os.MkdirAll(f.history, 0o700); err != nil {
		return nil, err
	}
	if err := copies.Settle(path, schema.Version()); err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	version, err := f.comeBack()
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	value, rev, err := f.read(path)
	if errors.Is(err, errDamaged) || errors.Is(err, fs.ErrNotExist) {
		value, rev, err = f.recover(err)
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	f.now.Store(&state[T]{rev, value, version})
	f.retreat()
	return f, nil
}

// comeBack puts our own copy in the place of a document that a newer program has written, if there is
// one, and returns the version of what is there then.
func (f *File[T]) comeBack() (int, error) {
	version, err := versionOf(f.path)
	if err != nil || version <= f.schema.Version() {
		return version, err
	}
	back, err := copies.Back(f.path, version, f.schema.Version())
	if err != nil || !back { // what is wrong then is told by who reads it
		return version, err
	}
	f.log.Warn("settings of a newer version are set aside", "path", f.path, "version", version)
	return versionOf(f.path)
}

// keepCopy copies the document before its form changes: the version that wrote it may come back.
func (f *File[T]) keepCopy(version int, was uint64) error {
	switch {
	case version == 0 && was == 0 && f.schema.Version() > 1:
		return copies.Begin(f.path)
	case version == 0, version >= f.schema.Version():
		return nil
	}
	data, err := os.ReadFile(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return copies.Keep(f.path, version, int64(len(data)), func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}

// recover returns the newest revision that can be read, or the defaults when there never was any.
func (f *File[T]) recover(why error) (value T, rev Revision, err error) {
	numbers, err := f.numbers()
	if err != nil {
		return value, rev, err
	}
	damaged := 0
	for _, n := range numbers {
		if version, err := versionOf(f.revisionFile(n)); err == nil && version > f.schema.Version() {
			continue // of a version that did not stay
		}
		damaged++
		if value, rev, err = f.read(f.revisionFile(n)); err == nil {
			f.log.Error("settings replaced by an older copy", "path", f.path, "revision", n, "err", why)
			return value, rev, nil
		}
		f.log.Error("old settings are not readable", "path", f.revisionFile(n), "err", err)
	}
	if damaged > 0 || !errors.Is(why, fs.ErrNotExist) {
		return value, rev, problem.Wrap(why, problem.Invalid, "conf.damaged", "the settings "+f.path+" and all older copies are damaged",
			"restore them from a backup, or remove the file and the folder "+f.history+" to start with defaults")
	}
	return f.schema.Default(), Revision{}, nil
}

func (f *File[T]) read(path string) (value T, rev Revision, err error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return value, rev, err
	}
	return decode(data, f.schema)
}

// Load returns the settings and their revision. They are shared: what they point to must not be changed.
func (f *File[T]) Load() (T, Revision) {
	s := f.now.Load()
	return s.value, s.rev
}

// Save replaces the settings if they are right and still of revision was. When it returns without
// error they are on disk.
func (f *File[T]) Save(value T, was uint64, who string) (Revision, error) {
	f.saving.Lock()
	defer f.saving.Unlock()
	if now := f.now.Load().rev; now.Number != was {
		return now, problem.New(problem.Conflict, "conf.changed", fmt.Sprintf("%s changed the settings meanwhile", author(now)),
			"look at the settings as they are now and change them again")
	}
	if err := problem.Fields("conf.invalid", f.schema.Validate(value)); err != nil {
		return Revision{}, err
	}
	rev := Revision{Number: was + 1, At: time.Now().UTC().Truncate(time.Millisecond), Who: who}
	data, err := encode(value, rev, f.schema.Version())
	if err != nil {
		return Revision{}, err
	}
	if err := f.keepCopy(f.now.Load().version, was); err != nil {
		return Revision{}, fmt.Errorf("save settings: %w", err)
	}
	// The copy first: a crash in between leaves the old settings valid and a copy that the next Save replaces.
	for _, path := range []string{f.revisionFile(rev.Number), f.path} {
		if err := fsx.WriteFile(path, data, 0o600); err != nil {
			return Revision{}, fmt.Errorf("save settings: %w", err)
		}
	}
	f.now.Store(&state[T]{rev, value, f.schema.Version()})
	if err := f.prune(); err != nil {
		f.log.Warn("old settings stay", "path", f.history, "err", err)
	}
	return rev, nil
}

func author(rev Revision) string {
	if rev.Who == "" {
		return "somebody"
	}
	return rev.Who
}

// prune removes what is older than the kept revisions.
func (f *File[T]) prune() error {
	numbers, err := f.numbers()
	if err != nil || len(numbers) <= keptRevisions {
		return err
	}
	for _, n := range numbers[keptRevisions:] {
		err = errors.Join(err, os.Remove(f.revisionFile(n)))
	}
	return err
}

func (f *File[T]) revisionFile(number uint64) string {
	return filepath.Join(f.history, fmt.Sprintf("%08d.json", number))
}

// numbers returns the numbers of the revisions that are kept, newest first.
func (f *File[T]) numbers() (numbers []uint64, err error) {
	entries, err := os.ReadDir(f.history)
	for _, e := range entries {
		name, isJSON := strings.CutSuffix(e.Name(), ".json")
		if n, err := strconv.ParseUint(name, 10, 64); err == nil && isJSON {
			numbers = append(numbers, n)
		}
	}
	slices.SortFunc(numbers, func(a, b uint64) int { return cmp.Compare(b, a) })
	return numbers, err
}

// History returns the revisions that At can return, newest first.
func (f *File[T]) History() (revs []Revision, err error) {
	numbers, err := f.numbers()
	if err != nil {
		return nil, err
	}
	newest := f.now.Load().rev.Number
	for _, n := range numbers {
		if n > newest {
			continue // a Save that did not come to its end
		}
		if _, rev, err := f.read(f.revisionFile(n)); err == nil {
			revs = append(revs, rev)
		}
	}
	return revs, nil
}

// At returns the settings of an older revision, in today's form.
func (f *File[T]) At(number uint64) (value T, rev Revision, err error) {
	if number <= f.now.Load().rev.Number {
		value, rev, err = f.read(f.revisionFile(number))
	}
	if number > f.now.Load().rev.Number || errors.Is(err, fs.ErrNotExist) {
		return value, rev, problem.New(problem.Missing, "conf.revision", fmt.Sprintf("there is no revision %d", number), "choose one of the list")
	}
	return value, rev, err
}
