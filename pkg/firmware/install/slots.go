// Package install writes an update into the slot that does not run, and changes which slot starts: an
// update that is cut off at any moment leaves the box as it was.
package install

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/coraltele/sanchar/pkg/base/fsx"
	"github.com/coraltele/sanchar/pkg/firmware/manifest"
)

// Tries that a new version has to start before the old one comes back (the boot counter of
// systemd-boot, in the name of the file).
const Tries = 3

// folder of the boot partition that has the images.
const folder = "EFI/Linux"

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
	files, err := os.ReadDir(filepath.Join(boot, folder))
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		if e, ok := parseEntry(f.Name()); ok {
			all = append(all, e)
		}
	}
	slices.SortFunc(all, func(x, y Entry) int { return manifest.Compare(y.Version, x.Version) })
	return all, nil
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
	return rename(boot, e.name(), good.name())
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
	return rename(boot, e.name(), bad.name())
}

// Failed are the images that were tried as often as they may be, and did not become good.
func Failed(all []Entry) []Entry {
	return slices.DeleteFunc(slices.Clone(all), func(e Entry) bool { return e.Left != 0 })
}

func rename(boot, from, to string) error {
	dir := filepath.Join(boot, folder)
	return errors.Join(os.Rename(filepath.Join(dir, from), filepath.Join(dir, to)), fsx.SyncDir(dir))
}

// other is the slot that does not run.
func other(slot string) string {
	if slot == "a" {
		return "b"
	}
	return "a"
}
