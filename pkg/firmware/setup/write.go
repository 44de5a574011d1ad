package setup

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/coraltele/sanchar/pkg/firmware/early"
	"github.com/coraltele/sanchar/pkg/firmware/install"
	"github.com/coraltele/sanchar/pkg/firmware/layout"
	"github.com/coraltele/sanchar/pkg/firmware/manifest"
	"github.com/coraltele/sanchar/pkg/firmware/slots"
)

// Job is one installation.
type Job struct {
	Disk   Disk
	Erase  bool // what the disk keeps of a Sanchar too
	Layout layout.Layout
	Board  string
	Keys   manifest.Keys
	Bundle string // file of the update that is installed
	// Templates is the folder with partitions as they are when nobody has used them: empty.img.gz for boot,
	// data.img.gz, identity.img.gz.
	Templates string
	Mount     string // folder for the boot partition while it is written
	Progress  func(step string, done, total int64)
}

// Steps of an installation, as Progress names them.
const (
	Checking    = "checking what is installed"
	Writing     = "writing"
	ReadingBack = "reading back"
)

// Run installs. Nothing is written before what is installed was found to be signed and whole.
func (j *Job) Run(ctx context.Context) (m manifest.Manifest, err error) {
	box := slots.On(j.Disk.Name, j.Layout)
	t := install.Target{
		Box: manifest.Box{Board: j.Board}, Keys: j.Keys, Root: box.Root, Boot: box.Boot,
		Mount: func(do func(string) error) error { return box.Write(j.Mount, do) },
	}
	if m, err = j.bundle(Checking, func(r io.Reader, p install.Progress) (manifest.Manifest, error) { return install.Check(ctx, r, t, p) }); err != nil {
		return m, err
	}
	if err := j.prepare(box); err != nil {
		return m, err
	}
	if m, err = j.bundle(Writing, func(r io.Reader, p install.Progress) (manifest.Manifest, error) { return install.First(ctx, r, t, p) }); err != nil {
		return m, err
	}
	return m, j.readBack(box, m)
}

func (j *Job) bundle(step string, do func(io.Reader, install.Progress) (manifest.Manifest, error)) (m manifest.Manifest, err error) {
	f, err := os.Open(j.Bundle)
	if err != nil {
		return m, err
	}
	defer func() { _ = f.Close() }() // only read
	return do(f, func(done, total int64) { j.Progress(step, done, total) })
}

// prepare makes the partitions, or keeps those that are there but for what starts.
func (j *Job) prepare(box slots.Box) error {
	parts := map[string]string{layout.Boot: "empty.img.gz"}
	if j.Disk.Content != Ours || j.Erase {
		if err := j.divide(); err != nil {
			return err
		}
		parts[layout.Identity], parts[layout.Data] = "identity.img.gz", "data.img.gz"
	}
	for name, template := range parts {
		if err := fill(box.Named(name), filepath.Join(j.Templates, template)); err != nil {
			return fmt.Errorf("partition %s: %w", name, err)
		}
	}
	return nil
}

// divide writes the table of partitions and makes the kernel read it.
func (j *Job) divide() error {
	f, err := os.OpenFile("/dev/"+j.Disk.Name, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	err = errors.Join(j.Layout.WriteTable(f, j.Disk.Size), f.Sync())
	if err == nil {
		_, err = unix.IoctlRetInt(int(f.Fd()), unix.BLKRRPART)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("divide %s: %w", j.Disk.Name, err)
	}
	return nil
}

func fill(device, template string) error {
	out, err := os.OpenFile(device, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	return errors.Join(early.Unzip(out, template), out.Sync(), out.Close())
}

// readBack compares what the disk has with what was to be written. What was read before is forgotten first, so
// that it is the disk that answers.
func (j *Job) readBack(box slots.Box, m manifest.Manifest) error {
	for _, p := range j.Layout.Parts {
		if err := forget(box.Named(p.Name)); err != nil {
			return err
		}
	}
	check := func(path string, p manifest.Part) error {
		sum, err := hash(path, p.Size, func(done int64) { j.Progress(ReadingBack, done, p.Size) })
		if err == nil && sum != p.SHA256 {
			err = fmt.Errorf("the disk has not kept %s: replace it", p.Name)
		}
		return err
	}
	for _, p := range m.Parts {
		var err error
		switch image := box.Named(layout.BootA); {
		case p.Name == manifest.Root:
			err = check(box.Named(layout.RootA), p)
		case p.Name == manifest.UKIA && image != "":
			err = check(image, p)
		case p.Name == manifest.UKIA:
			err = box.Read(j.Mount, func(boot string) error { return check(filepath.Join(boot, install.ImageOf(m.Version)), p) })
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func forget(device string) error {
	f, err := os.Open(device)
	if err != nil {
		return err
	}
	_, err = unix.IoctlRetInt(int(f.Fd()), unix.BLKFLSBUF)
	return errors.Join(err, f.Close())
}

// hash is the SHA-256, in hex, of the first bytes of a file.
func hash(path string, size int64, progress func(done int64)) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }() // only read
	h, buf := sha256.New(), make([]byte, layout.MB)
	for done := int64(0); done < size; {
		n, err := io.ReadFull(f, buf[:min(int64(len(buf)), size-done)])
		if err != nil {
			return "", fmt.Errorf("read %s back: %w", path, err)
		}
		_, _ = h.Write(buf[:n]) // a hash takes all
		done += int64(n)
		progress(done)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
