// Package sticks finds updates on USB storage: it looks at each stick read-only, and leaves it as it was.
package sticks

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/coraltele/sanchar/pkg/base/problem"
)

// Suffix of the files that updates come in.
const Suffix = ".update"

const (
	// maxFiles bounds the updates that are listed of a stick.
	maxFiles = 32
	// headSize is what tells one file system from another.
	headSize = 2048
)

// Places says where the kernel tells of disks, where their devices are, and where one may be mounted.
type Places struct {
	Sys, Dev string
	At       string // a folder of ours; it is made
	Not      string // disk that the box runs from: it may be on USB too
	// Mount and Unmount are the kernel's.
	Mount   func(device, at, kind string) error
	Unmount func(at string) error
}

// System returns the places of a running box, which runs from a disk and looks at sticks below a folder of its own.
func System(at, not string) Places {
	return Places{Sys: "/sys", Dev: "/dev", At: at, Not: not, Mount: mount, Unmount: func(at string) error { return unix.Unmount(at, 0) }}
}

// File is an update on a stick.
type File struct {
	Stick string // partition, as the kernel calls it
	Model string // of the stick
	Name  string
	Size  int64
}

// mount mounts a partition so that nothing of it can do anything: it is read, and not even its journal is written.
func mount(device, at, kind string) error {
	options := map[string]string{"vfat": "umask=077,utf8=1", "exfat": "umask=077", "ext4": "norecovery"}[kind]
	const flags = unix.MS_RDONLY | unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC | unix.MS_NOSYMFOLLOW
	return unix.Mount(device, at, kind, flags, options)
}

// partition is a place on a stick that may hold files.
type partition struct{ name, model string }

// Each shows the updates on all sticks to do, one after another. It tells of sticks that cannot be read.
func (p Places) Each(do func(f File, r io.Reader) error) error {
	var errs []error
	for _, part := range p.partitions() {
		errs = append(errs, p.mounted(part.name, func(root *os.Root) error { return each(root, part, do) }))
	}
	return errors.Join(errs...)
}

func each(root *os.Root, part partition, do func(f File, r io.Reader) error) error {
	dir, err := root.Open(".")
	if err != nil {
		return err
	}
	entries, err := dir.ReadDir(-1)
	if err := errors.Join(err, dir.Close()); err != nil {
		return err
	}
	slices.SortFunc(entries, func(a, b os.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	var errs []error
	for _, e := range entries {
		if !isUpdate(e.Name()) || !e.Type().IsRegular() || len(errs) == maxFiles {
			continue
		}
		errs = append(errs, opened(root, e.Name(), func(f *os.File, size int64) error {
			return do(File{Stick: part.name, Model: part.model, Name: e.Name(), Size: size}, f)
		}))
	}
	return errors.Join(errs...)
}

// isUpdate leaves out what some systems write beside each file.
func isUpdate(name string) bool {
	return strings.HasSuffix(name, Suffix) && !strings.HasPrefix(name, ".") && filepath.Base(name) == name
}

func opened(root *os.Root, name string, do func(f *os.File, size int64) error) error {
	f, err := root.Open(name)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // only read
	st, err := f.Stat()
	if err != nil {
		return err
	}
	return do(f, st.Size())
}

// Open shows a file of a stick to do.
func (p Places) Open(stick, name string, do func(r io.Reader) error) error {
	known := slices.ContainsFunc(p.partitions(), func(part partition) bool { return part.name == stick })
	if !known || !isUpdate(name) {
		return missing(nil)
	}
	return p.mounted(stick, func(root *os.Root) error {
		st, err := root.Lstat(name)
		if err != nil || !st.Mode().IsRegular() {
			return missing(err)
		}
		return opened(root, name, func(f *os.File, _ int64) error { return do(f) })
	})
}

func missing(cause error) error {
	return problem.Wrap(cause, problem.Missing, "update.stick", "the update is not there any more", "plug the stick in again, and look at the list again")
}

// mounted shows the files of a partition to do while it is mounted.
func (p Places) mounted(name string, do func(root *os.Root) error) (err error) {
	device := filepath.Join(p.Dev, name)
	kind, err := fileSystem(device)
	if err != nil || kind == "" {
		return err
	}
	if err := os.MkdirAll(p.At, 0o700); err != nil {
		return err
	}
	at, err := os.MkdirTemp(p.At, name+"-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(at)) }()
	if err := p.Mount(device, at, kind); err != nil {
		return problem.Wrap(err, problem.Invalid, "update.stick.damaged", fmt.Sprintf("stick %s cannot be read: %v", name, err), "repair or format it, or take another one")
	}
	defer func() { err = errors.Join(err, p.Unmount(at)) }()
	root, err := os.OpenRoot(at)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	return do(root)
}

// fileSystem tells which of those that sticks have is on a device, "" for none of them.
func fileSystem(device string) (string, error) {
	f, err := os.Open(device)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }() // only read
	head := make([]byte, headSize)
	if _, err := io.ReadFull(f, head); err != nil {
		return "", nil // smaller than any
	}
	return kindOf(head), nil
}

// kindOf tells a file system by its first bytes: the boot sector of FAT and exFAT, the superblock of ext4.
func kindOf(head []byte) string {
	bootSector := head[510] == 0x55 && head[511] == 0xaa
	switch {
	case bytes.Equal(head[3:11], []byte("EXFAT   ")):
		return "exfat"
	case bootSector && (bytes.HasPrefix(head[82:], []byte("FAT32")) || bytes.HasPrefix(head[54:], []byte("FAT1"))):
		return "vfat"
	case head[1024+56] == 0x53 && head[1024+57] == 0xef:
		return "ext4"
	}
	return ""
}

// partitions are those of disks on USB, or the disk where it has none, in the order of their names.
func (p Places) partitions() (all []partition) {
	disks, err := filepath.Glob(filepath.Join(p.Sys, "block", "*"))
	if err != nil {
		return nil // the pattern is a right one
	}
	slices.Sort(disks)
	for _, d := range disks {
		path, err := filepath.EvalSymlinks(d)
		if err != nil || !strings.Contains(path, "/usb") || filepath.Base(d) == p.Not {
			continue // it went meanwhile, is inside, or is the box's own
		}
		disk := partition{filepath.Base(d), text(d, "device/vendor", "device/model")}
		parts, err := filepath.Glob(filepath.Join(d, disk.name+"*", "partition"))
		if err != nil || len(parts) == 0 {
			all = append(all, disk)
		}
		slices.Sort(parts)
		for _, part := range parts {
			all = append(all, partition{filepath.Base(filepath.Dir(part)), disk.model})
		}
	}
	return all
}

func text(dir string, files ...string) string {
	var words []string
	for _, f := range files {
		if data, err := os.ReadFile(filepath.Join(dir, f)); err == nil {
			words = append(words, strings.Fields(string(data))...)
		}
	}
	return strings.Join(words, " ")
}
