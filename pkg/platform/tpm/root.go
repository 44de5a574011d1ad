package tpm

import (
	"bytes"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/go-tpm/tpm2/transport"
	"github.com/google/go-tpm/tpm2/transport/linuxtpm"

	"github.com/coraltele/sanchar/pkg/base/fsx"
)

// Device is the chip behind the kernel's resource manager.
const Device = "/dev/tpmrm0"

const (
	rootBytes  = 32
	checkBytes = 8
	format     = 1
)

// ErrNone says that a box has no security chip, or that it is switched off.
var ErrNone = errors.New("there is no security chip")

// Open opens the chip at a device. Without one the error is ErrNone.
func Open(device string) (transport.TPMCloser, error) {
	chip, err := linuxtpm.Open(device)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNone
	}
	return chip, err
}

// Root is the secret that all keys of the box hang on. It is in memory of one process only.
type Root struct{ secret []byte }

// Key derives the key of one owner: who has it learns nothing of another's.
func (r *Root) Key(owner string) ([]byte, error) {
	return hkdf.Key(sha256.New, r.secret, nil, "sanchar key files of "+owner, rootBytes)
}

// check tells one root from another, and nothing about it.
func (r *Root) check() ([]byte, error) {
	sum, err := r.Key("check")
	return sum[:min(checkBytes, len(sum))], err
}

// kept is the file of a sealed root. A root that was brought to a box without a chip lies in clear.
type kept struct {
	Format int    `json:"format"`
	Check  []byte `json:"check"`
	Clear  []byte `json:"clear,omitempty"`
	blob
}

// Sealed reports whether there is a sealed root at path.
func Sealed(path string) (bool, error) {
	_, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// Load opens the sealed root at path. The chip is nil where there is none: then the error is ErrNone,
// unless the root lies in clear. One in clear is sealed as soon as there is a chip.
func Load(path string, chip Chip) (*Root, error) {
	k, err := read(path)
	switch {
	case err != nil:
		return nil, err
	case len(k.Clear) == rootBytes && chip != nil:
		return (&Root{k.Clear}).keep(path, chip)
	case len(k.Clear) == rootBytes:
		return &Root{k.Clear}, nil
	case chip == nil:
		return nil, ErrNone
	}
	secret, err := unsealSecret(chip, k.blob)
	if err != nil {
		return nil, err
	}
	r := &Root{secret}
	return r, k.isOf(r)
}

// isOf reports a root that is not the one of this file.
func (k kept) isOf(r *Root) error {
	sum, err := r.check()
	if err == nil && !bytes.Equal(sum, k.Check) {
		err = errOtherRoot
	}
	return err
}

var errOtherRoot = errors.New("it is not the key that this box's data hangs on")

func read(path string) (k kept, err error) {
	text, err := os.ReadFile(path)
	if err == nil {
		k, err = parse(text)
	}
	if err != nil {
		return k, fmt.Errorf("read %s: %w", path, err)
	}
	return k, nil
}

func parse(text []byte) (k kept, err error) {
	if err := json.Unmarshal(text, &k); err != nil {
		return k, err
	}
	if k.Format != format {
		return k, fmt.Errorf("format %d: this program knows %d", k.Format, format)
	}
	return k, nil
}

// Make makes a new root and keeps it sealed at path. It is opened once more before anybody uses it.
func Make(path string, chip Chip) (*Root, error) {
	secret := make([]byte, rootBytes)
	_, _ = rand.Read(secret) // never fails: the program would end
	return (&Root{secret}).keep(path, chip)
}

// keep writes the root, sealed unless chip is nil. What is there already stays until the chip has opened
// what it sealed.
func (r *Root) keep(path string, chip Chip) (*Root, error) {
	sum, err := r.check()
	if err != nil {
		return nil, err
	}
	k := kept{Format: format, Check: sum, Clear: r.secret}
	if chip != nil {
		k.Clear = nil
		if k.blob, err = sealSecret(chip, r.secret); err != nil {
			return nil, err
		}
		if again, err := unsealSecret(chip, k.blob); err != nil || !bytes.Equal(again, r.secret) {
			return nil, errors.Join(errors.New("the security chip does not open what it sealed"), err)
		}
	}
	text, err := json.Marshal(k)
	if err != nil {
		return nil, err
	}
	return r, errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), fsx.WriteFile(path, text, 0o600))
}

// Destroy overwrites the sealed root and removes it: nobody opens the keys again.
func Destroy(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	st, err := f.Stat()
	if err == nil {
		_, err = f.Write(make([]byte, st.Size()))
	}
	return errors.Join(err, f.Sync(), f.Close(), os.Remove(path), fsx.SyncDir(filepath.Dir(path)))
}
