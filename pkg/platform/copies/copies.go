// Package copies keeps a file as it was before a newer version changed its form, so that the version
// before finds its own when it comes back after a trial; what the newer one wrote is then set aside.
//
// Beside a file NAME stand at most one copy, NAME.v1 for schema 1 and NAME.v0 where there was no file, and
// one that was set aside, NAME.v2-aside.
package copies

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/coraltele/sanchar/pkg/base/fsx"
	"github.com/coraltele/sanchar/pkg/base/problem"
)

const (
	newSuffix   = ".new" // of a copy that is being written
	asideSuffix = "-aside"

	// Env names the variable by which the init tells a daemon of a file that is there as long as the
	// version that runs is on trial.
	Env = "SANCHAR_TRIAL"
	// none is the schema of a file that was not there.
	none = 0

	// AsideFor is how long a file that was set aside is kept at least.
	AsideFor = 30 * 24 * time.Hour
	// spare is what a copy leaves free on the disk: records of calls go on meanwhile.
	spare = 64 << 20
)

func copyName(path string, schema int) string  { return path + ".v" + strconv.Itoa(schema) }
func asideName(path string, schema int) string { return copyName(path, schema) + asideSuffix }

// onTrial reports whether the version before may come back. A box that goes back later does it on purpose,
// and must not find what is long out of date.
func onTrial() bool {
	path := os.Getenv(Env)
	if path == "" {
		return false
	}
	_, err := os.Stat(path)
	return err == nil
}

// Begin notes that there is no file at path yet. It is called before one is made whose form the version
// before might not know.
func Begin(path string) error {
	return Keep(path, none, 0, func(io.Writer) error { return nil })
}

// Keep keeps the file at path, which is of that schema and of about that size, as write writes it. It is
// called before the form of the file is changed, and does nothing when no version can come back.
func Keep(path string, schema int, size int64, write func(io.Writer) error) error {
	if !onTrial() {
		return nil
	}
	dir := filepath.Dir(path)
	free, err := fsx.Free(dir)
	if err != nil {
		return err
	}
	if uint64(max(size, 0))+spare > free {
		return problem.New(problem.Full, "copies.space", fmt.Sprintf("there is no room for a copy of %s (%d bytes), which the version before would need", path, size),
			"free disk space, and install the update again")
	}
	name := copyName(path, schema)
	if err := writeFile(name+newSuffix, write); err != nil {
		return fmt.Errorf("keep a copy of %s: %w", path, err)
	}
	if err := os.Rename(name+newSuffix, name); err != nil {
		return err
	}
	return errors.Join(fsx.SyncDir(dir), dropOthers(path, schema))
}

func writeFile(name string, write func(io.Writer) error) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(write(f), f.Sync(), f.Close())
}

// dropOthers leaves one copy of a file: an older one is of a version that cannot come back.
func dropOthers(path string, schema int) error {
	var errs []error
	for _, s := range kept(path) {
		if s != schema {
			errs = append(errs, os.Remove(copyName(path, s)))
		}
	}
	return errors.Join(errs...)
}

// kept returns the schemas of a file's copies, the newest first.
func kept(path string) (schemas []int) {
	names, _ := filepath.Glob(path + ".v*") // our own paths are no patterns
	for _, n := range names {
		if s, err := strconv.Atoi(n[len(path)+2:]); err == nil {
			schemas = append(schemas, s)
		}
	}
	slices.Sort(schemas)
	slices.Reverse(schemas)
	return schemas
}

// own returns the schema of the copy that a program can use that knows schemas up to known.
func own(path string, known int) (schema int, ok bool) {
	for _, s := range kept(path) {
		if s <= known {
			return s, true
		}
	}
	return 0, false
}

// Back puts the copy that a program can use, which knows schemas up to known, in the place of a file
// whose schema found is newer; that is set aside. It reports whether there was such a copy.
func Back(path string, found, known int) (bool, error) {
	schema, ok := own(path, known)
	if !ok {
		return false, nil
	}
	if err := move(path, asideName(path, found)); err != nil {
		return false, err
	}
	if err := restore(path, schema); err != nil {
		return false, err
	}
	return true, dropAsides(path, found)
}

// dropAsides leaves the file that was set aside last.
func dropAsides(path string, schema int) error {
	names, _ := filepath.Glob(path + ".v*" + asideSuffix) // our own paths are no patterns
	var errs []error
	for _, n := range names {
		if n != asideName(path, schema) {
			errs = append(errs, os.Remove(n))
		}
	}
	return errors.Join(errs...)
}

// Settle ends a Back that a power cut broke off: the file was set aside, and the copy is not in its
// place yet.
func Settle(path string, known int) error {
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	aside, _ := filepath.Glob(path + ".v*" + asideSuffix)
	schema, ok := own(path, known)
	if len(aside) == 0 || !ok {
		return nil
	}
	return restore(path, schema)
}

// restore puts a copy in its place.
func restore(path string, schema int) error {
	if schema == none {
		return errors.Join(os.Remove(copyName(path, none)), fsx.SyncDir(filepath.Dir(path)))
	}
	return move(copyName(path, schema), path)
}

func move(from, to string) error {
	return errors.Join(os.Rename(from, to), fsx.SyncDir(filepath.Dir(to)))
}

// place matches what stands beside a file.
var place = regexp.MustCompile(`^(.+)\.v(0|[1-9][0-9]*)(\.new|-aside)?$`)

// Aside is a file that was set aside.
type Aside struct {
	Path string    // of the file that is in its place, relative to the folder of all data
	At   time.Time // when it was written last
}

// Find returns what was set aside below the folder of all data: in those of the daemons, and one deeper.
func Find(root string) (all []Aside, err error) {
	err = each(root, func(path, base, suffix string) error {
		if suffix != asideSuffix {
			return nil
		}
		st, err := os.Lstat(path)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, base)
		all = append(all, Aside{rel, st.ModTime()})
		return err
	})
	return all, err
}

// Drop removes copies, since the version that made them stays. What was set aside longer ago than
// AsideFor goes with them.
func Drop(root string, now time.Time) error {
	return each(root, func(path, _, suffix string) error {
		if suffix == asideSuffix {
			st, err := os.Lstat(path)
			if err != nil || now.Sub(st.ModTime()) < AsideFor {
				return err
			}
		}
		return os.Remove(path)
	})
}

// each calls do for what stands beside a file that is there. Folders deeper than those are of content
// that has no schema, and may be long.
func each(root string, do func(path, base, suffix string) error) error {
	var errs []error
	for _, pattern := range [...]string{"*/*.v*", "*/*/*.v*"} {
		names, err := filepath.Glob(filepath.Join(root, pattern))
		errs = append(errs, err)
		for _, path := range names {
			m := place.FindStringSubmatch(path)
			if m == nil {
				continue
			}
			_, err := os.Lstat(m[1])
			if err == nil || m[3] == asideSuffix { // a file of that name alone may be somebody's own
				errs = append(errs, do(path, m[1], m[3]))
			}
		}
	}
	return errors.Join(errs...)
}
