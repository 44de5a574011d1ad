package install

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/coraltele/sanchar/pkg/base/fsx"
	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/firmware/manifest"
)

// Target is the box that is updated.
type Target struct {
	Box   manifest.Box
	Keys  manifest.Keys
	Slot  string                            // that runs
	Root  func(slot string) (Device, error) // opens the root partition of the slot that does not run
	Boot  func(slot string) (Device, error) // opens what starts it, where that is a partition of its own
	Mount func(do func(boot string) error) error
	// Opened, if not nil, is told of an update that is signed and fits, before anything is written.
	Opened func(manifest.Manifest)
}

// Device is a partition that is written.
type Device interface {
	io.Writer
	Sync() error
	Close() error
}

// Progress tells how many of all bytes are done.
type Progress func(done, total int64)

// bufferSize is what is read, hashed and written at a time.
const bufferSize = 1 << 20

// Install writes an update, a tar file, into the slot that does not run. Without error the box starts it
// next; with one it starts as before, whatever came.
func Install(ctx context.Context, bundle io.Reader, t Target, progress Progress) (m manifest.Manifest, err error) {
	in := tar.NewReader(&stoppable{ctx, bundle})
	if m, err = open(in, t); err != nil {
		return m, err
	}
	if t.Opened != nil {
		t.Opened(m)
	}
	var s scheme
	if err := t.Mount(func(boot string) error {
		s = schemeOf(boot)
		return makeRoom(s, boot, t.Slot)
	}); err != nil {
		return m, err
	}
	return m, t.write(s, in, m, Entry{Version: m.Version, Slot: other(t.Slot), Left: s.tries()}, progress)
}

// First writes an update to slot a of a disk that has no version yet. It is not on trial: there is no other.
func First(ctx context.Context, bundle io.Reader, t Target, progress Progress) (m manifest.Manifest, err error) {
	in := tar.NewReader(&stoppable{ctx, bundle})
	if m, err = open(in, t); err != nil {
		return m, err
	}
	t.Slot = "b"
	var s scheme
	if err := t.Mount(func(boot string) error {
		s = schemeOf(boot)
		return nil
	}); err != nil {
		return m, err
	}
	return m, t.write(s, in, m, Entry{Version: m.Version, Slot: "a", Left: -1}, progress)
}

// Check reads an update to its end and writes nothing: whether it is signed, fits, and is whole.
func Check(ctx context.Context, bundle io.Reader, t Target, progress Progress) (m manifest.Manifest, err error) {
	in := tar.NewReader(&stoppable{ctx, bundle})
	if m, err = open(in, t); err != nil {
		return m, err
	}
	w := newWriter(in, m, progress)
	for _, p := range m.Parts {
		if err := w.copy(discard{}, p); err != nil {
			return m, err
		}
	}
	return m, nil
}

// write writes the parts of an update, and lets it start as its entry says.
func (t *Target) write(s scheme, in *tar.Reader, m manifest.Manifest, e Entry, progress Progress) error {
	w := newWriter(in, m, progress)
	for _, p := range m.Parts {
		if err := t.part(s, w, p); err != nil {
			return err
		}
	}
	return t.Mount(func(boot string) error { return s.activate(boot, e) })
}

// stoppable ends reading when ctx ends.
type stoppable struct {
	ctx context.Context
	r   io.Reader
}

func (s *stoppable) Read(p []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	return s.r.Read(p)
}

// open reads what the update says of itself, and whether it fits the box.
func open(in *tar.Reader, t Target) (m manifest.Manifest, err error) {
	if m, err = signed(in, t.Keys); err != nil {
		return m, err
	}
	return m, m.Fits(t.Box)
}

// signed reads what the update says of itself, and believes it when it is signed.
func signed(in *tar.Reader, keys manifest.Keys) (m manifest.Manifest, err error) {
	var text [2][]byte
	for i, name := range [...]string{manifest.File, manifest.Signature} {
		h, err := next(in, name)
		if err != nil {
			return m, err
		}
		if h.Size > manifest.MaxSize {
			return m, broken(fmt.Errorf("%s is of %d bytes", name, h.Size))
		}
		if text[i], err = io.ReadAll(in); err != nil {
			return m, broken(err)
		}
	}
	return manifest.Open(text[0], text[1], keys)
}

// next goes to the next file of the bundle, which must be the one that is due.
func next(in *tar.Reader, name string) (*tar.Header, error) {
	h, err := in.Next()
	switch {
	case err != nil:
		return nil, broken(err)
	case h.Name != name || h.Typeflag != tar.TypeReg:
		return nil, broken(fmt.Errorf("%q stands where %s is due", h.Name, name))
	}
	return h, nil
}

func broken(err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return problem.Wrap(err, problem.Unavailable, "update.stopped", "the update was broken off", "send it again")
	}
	return problem.Wrap(err, problem.Invalid, "update.file", "the file is not a whole update", "take it from the maker's site again, and compare its size")
}

// makeRoom takes the image of the slot that is to be written away: its root will not fit it any more.
// While the running version is on trial nothing is written: the other slot is the way back.
func makeRoom(s scheme, boot, slot string) error {
	all, err := Entries(boot)
	if err != nil {
		return err
	}
	e, ok := Running(all, slot)
	if !ok || e.Left >= 0 {
		return problem.New(problem.Conflict, "update.trial", "the version that runs is on trial: the other one is the way back",
			"wait until the trial is over; it takes a few minutes")
	}
	dir := filepath.Join(boot, s.folder())
	files, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	errs := []error{rename(boot, s, e)} // a power cut may have left a name behind what is known
	for _, f := range files {
		e, ours := parseEntry(f.Name())
		if f.Name() == unfinished || (ours && e.Slot != slot) {
			errs = append(errs, os.Remove(filepath.Join(dir, f.Name())))
		}
	}
	return errors.Join(append(errs, fsx.SyncDir(dir))...)
}

// part writes a part where it belongs. The image for the slot that runs is read over.
func (t *Target) part(s scheme, w *writer, p manifest.Part) error {
	slot := other(t.Slot)
	switch p.Name {
	case manifest.Root:
		return w.to(t.Root, slot, p)
	case map[string]string{"a": manifest.UKIA, "b": manifest.UKIB}[slot]:
		return s.receive(t, w, p)
	}
	return w.copy(discard{}, p)
}

// discard is a device that forgets.
type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }
func (discard) Sync() error                 { return nil }
func (discard) Close() error                { return nil }

// writer copies parts of the bundle and compares them with what the manifest says.
type writer struct {
	in          *tar.Reader
	progress    Progress
	done, total int64
	buf         []byte
}

func newWriter(in *tar.Reader, m manifest.Manifest, progress Progress) *writer {
	w := &writer{in: in, progress: progress, buf: make([]byte, bufferSize)}
	for _, p := range m.Parts {
		w.total += p.Size
	}
	return w
}

// to writes a part to a partition of a slot.
func (w *writer) to(open func(slot string) (Device, error), slot string, p manifest.Part) error {
	dev, err := open(slot)
	if err != nil {
		return err
	}
	return errors.Join(w.copy(dev, p), dev.Close())
}

func (w *writer) copy(to Device, p manifest.Part) error {
	h, err := next(w.in, p.Name)
	if err != nil {
		return err
	}
	if h.Size != p.Size {
		return broken(fmt.Errorf("%s is of %d bytes, not %d", p.Name, h.Size, p.Size))
	}
	sum := sha256.New()
	for {
		n, err := io.ReadFull(w.in, w.buf)
		_, _ = sum.Write(w.buf[:n]) // a hash takes all
		if n > 0 {
			if _, err := to.Write(w.buf[:n]); err != nil {
				return fmt.Errorf("write %s: %w", p.Name, err)
			}
			w.done += int64(n)
			w.progress(w.done, w.total)
		}
		switch {
		case err == nil:
			continue
		case !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF):
			return broken(err)
		}
		break
	}
	want, err := hex.DecodeString(p.SHA256)
	if got := sum.Sum(nil); err != nil || !bytes.Equal(got, want) {
		return broken(fmt.Errorf("%s has SHA-256 %x, not %s", p.Name, got, strings.ToLower(p.SHA256)))
	}
	return to.Sync()
}
