// Package install writes an update into the slot that does not run, and changes which slot starts: an
// update that is cut off at any moment leaves the box as it was.
package install

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/coraltele/sanchar/pkg/base/fsx"
	"github.com/coraltele/sanchar/pkg/firmware/manifest"
)

// Entry is an image on the boot partition.
type Entry struct {
	Version string
	Slot    string // "a" or "b"
	Left    int    // tries that it has still; -1 when it is known to be good
	Done    int    // tries that failed, or that go on
}

// name of the entry's file: sanchar-VERSION-SLOT+LEFT-DONE.efi.
func (e Entry) name() string {
	n := "sanchar-" + e.Version + "-" + e.Slot
	if e.Left >= 0 {
		n += "+" + strconv.Itoa(e.Left)
		if e.Done > 0 {
			n += "-" + strconv.Itoa(e.Done)
		}
	}
	return n + ".efi"
}

// parseEntry reads the name of a file.
func parseEntry(file string) (e Entry, ok bool) {
	body, isImage := strings.CutSuffix(file, ".efi")
	body, ours := strings.CutPrefix(body, "sanchar-")
	if !isImage || !ours {
		return e, false
	}
	e.Left = -1
	if name, counter, counted := strings.Cut(body, "+"); counted {
		body = name
		left, done, _ := strings.Cut(counter, "-")
		var err, doneErr error
		e.Left, err = strconv.Atoi(left)
		if done != "" {
			e.Done, doneErr = strconv.Atoi(done)
		}
		if err != nil || doneErr != nil || e.Left < 0 || e.Done < 0 {
			return e, false
		}
	}
	i := strings.LastIndexByte(body, '-')
	if i < 0 {
		return e, false
	}
	e.Version, e.Slot = body[:i], body[i+1:]
	return e, manifest.Valid(e.Version) && (e.Slot == "a" || e.Slot == "b")
}

// Entries lists the images on a boot partition, the one of the highest version first.
func Entries(boot string) (all []Entry, err error) {
	s := schemeOf(boot)
	files, err := os.ReadDir(filepath.Join(boot, s.folder()))
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		if e, ok := parseEntry(f.Name()); ok {
			all = append(all, e)
		}
	}
	slices.SortFunc(all, func(x, y Entry) int { return manifest.Compare(y.Version, x.Version) })
	return all, s.judge(boot, all)
}

// Running finds the image that runs among those of a boot partition.
func Running(all []Entry, slot string) (Entry, bool) {
	i := slices.IndexFunc(all, func(e Entry) bool { return e.Slot == slot })
	if i < 0 {
		return Entry{}, false
	}
	return all[i], true
}

// Bless says that the image in a slot is good: it starts from now on.
func Bless(boot, slot string) error {
	all, err := Entries(boot)
	if err != nil {
		return err
	}
	e, ok := Running(all, slot)
	if !ok {
		return fmt.Errorf("the boot partition has no image for slot %s", slot)
	}
	if e.Left < 0 {
		return nil
	}
	good := e
	good.Left, good.Done = -1, 0
	s := schemeOf(boot)
	if err := s.keep(boot, slot); err != nil {
		return err
	}
	return rename(boot, s, good)
}

// Reject says that the image in a slot is not good, whatever tries it has still: the other one starts.
func Reject(boot, slot string) error {
	all, err := Entries(boot)
	if err != nil {
		return err
	}
	e, ok := Running(all, slot)
	switch {
	case !ok:
		return fmt.Errorf("the boot partition has no image for slot %s", slot)
	case e.Left < 0:
		return fmt.Errorf("version %s in slot %s is not on trial", e.Version, slot)
	case e.Left == 0:
		return nil
	}
	bad := e
	bad.Left, bad.Done = 0, e.Left+e.Done
	return rename(boot, schemeOf(boot), bad)
}

// Settled reports whether the image that runs has the name of a good one, if it is good and no other is on
// trial. An older version that did not stay leaves it with another.
func Settled(boot, slot string) (bool, error) {
	s := schemeOf(boot)
	all, err := Entries(boot)
	e, ok := Running(all, slot)
	if err != nil || !ok || e.Left >= 0 || slices.ContainsFunc(all, func(e Entry) bool { return e.Left > 0 }) {
		return true, err
	}
	_, err = os.Stat(filepath.Join(boot, s.folder(), e.name()))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return true, err
}

// Settle gives the image that runs the name of a good one.
func Settle(boot, slot string) error {
	all, err := Entries(boot)
	if e, ok := Running(all, slot); err == nil && ok && e.Left < 0 {
		err = rename(boot, schemeOf(boot), e)
	}
	return err
}

// Failed are the images that were tried as often as they may be, and did not become good.
func Failed(all []Entry) []Entry {
	return slices.DeleteFunc(slices.Clone(all), func(e Entry) bool { return e.Left != 0 })
}

// Waits reports whether the slot that does not run has a version that starts only when the firmware is asked for it.
func Waits(boot, slot string) (bool, error) {
	all, err := Entries(boot)
	e, ok := Running(all, other(slot))
	return err == nil && ok && e.Left > 0 && schemeOf(boot).asked(), err
}

// Next uses up a try of a version that waits, and says which partition the firmware is to be asked for. A version
// that does not come as far as its init is so not tried again.
func Next(boot, slot string) (partition int, err error) {
	all, err := Entries(boot)
	if err != nil {
		return 0, err
	}
	e, ok := Running(all, other(slot))
	if s := schemeOf(boot); ok && e.Left > 0 && s.asked() {
		used := e
		used.Left, used.Done = e.Left-1, e.Done+1
		if err := rename(boot, s, used); err != nil {
			return 0, err
		}
		return partitionOf(e.Slot)
	}
	return 0, nil
}

// rename changes what the name of an image says, to what its entry does.
func rename(boot string, s scheme, to Entry) error {
	dir := filepath.Join(boot, s.folder())
	files, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, f := range files {
		if e, ok := parseEntry(f.Name()); ok && e.Version == to.Version && e.Slot == to.Slot && e != to {
			return errors.Join(os.Rename(filepath.Join(dir, f.Name()), filepath.Join(dir, to.name())), fsx.SyncDir(dir))
		}
	}
	return nil
}

// other is the slot that does not run.
func other(slot string) string {
	if slot == "a" {
		return "b"
	}
	return "a"
}
