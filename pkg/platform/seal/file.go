package seal

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/coraltele/sanchar/pkg/base/fsx"
	"github.com/coraltele/sanchar/pkg/base/problem"
)

// ChipDir is the folder, beside the daemons' sockets and so in memory, with the keys that the init
// has from the security chip: one for each daemon.
const ChipDir = "keys"

// wrappedHead begins a key file that is wrapped. A key file in clear never begins so: it is 32 random
// bytes, or PEM.
const wrappedHead = "sanchar wrapped key 1\n"

// Names of what is beside a key file while it is being wrapped.
const (
	nextSuffix  = ".wrapped" // the wrapped file before it has its name
	clearSuffix = ".clear"   // the file in clear until it is overwritten
)

// Chip returns the key that wraps the key files of a daemon, nil where the box has no security chip.
func Chip(runDir, daemon string) (*Key, error) {
	path := filepath.Join(runDir, ChipDir, daemon)
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil // there is no chip
	}
	if err == nil {
		err = checkMode(path)
	}
	if err != nil {
		return nil, fmt.Errorf("load the key of the security chip: %w", err)
	}
	defer clear(raw)
	return newKey(path, raw)
}

// Wrapped finds a key file below the folder of all data that is wrapped, "" if there is none.
func Wrapped(root string) (string, error) {
	for _, pattern := range [...]string{"*/*.key", "*/*/*.key"} {
		names, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			return "", err
		}
		for _, n := range names {
			if text, err := os.ReadFile(n); err != nil || bytes.HasPrefix(text, []byte(wrappedHead)) {
				return n, err
			}
		}
	}
	return "", nil
}

// WriteFile keeps a key in a file that nobody else may read, wrapped unless under is nil.
func WriteFile(path string, key []byte, under *Key) error {
	return fsx.WriteFile(path, under.wrap(path, key), 0o600)
}

// ReadFile returns the key in a file. One that lies in clear though there is a chip is wrapped.
func ReadFile(path string, under *Key) ([]byte, error) {
	raw, err := os.ReadFile(path)
	if err == nil {
		err = checkMode(path)
	}
	if err != nil {
		return nil, err
	}
	switch wrapped := bytes.HasPrefix(raw, []byte(wrappedHead)); {
	case wrapped:
		key, err := under.unwrap(path, raw)
		if err != nil {
			return nil, err
		}
		return key, erase(path + clearSuffix) // which a power cut may have left
	case under != nil:
		for _, step := range under.wrapping(path, raw) {
			if err := step(); err != nil {
				return nil, fmt.Errorf("wrap the key file %s: %w", path, err)
			}
		}
	}
	return raw, nil
}

// wrap returns what stands in the file at path for a key.
func (k *Key) wrap(path string, key []byte) []byte {
	if k == nil {
		return key
	}
	return k.Seal([]byte(wrappedHead), key, fileOwner(path))
}

// fileOwner binds a wrapped key to the name of its file: two files cannot change places.
func fileOwner(path string) []byte { return Owner(nil, "key file", filepath.Base(path)) }

func (k *Key) unwrap(path string, raw []byte) ([]byte, error) {
	if k == nil {
		return nil, problem.New(problem.Unavailable, "seal.key.wrapped", "the key file "+path+" is wrapped by a security chip, which this box does not have, or which is switched off", chipCure)
	}
	key, err := k.Open(nil, raw[len(wrappedHead):], fileOwner(path))
	switch {
	case errors.Is(err, ErrOtherKey):
		return nil, problem.Wrap(err, problem.Invalid, "seal.key.foreign", "the key file "+path+" is wrapped by the security chip of another box", chipCure)
	case err != nil:
		return nil, problem.Wrap(err, problem.Invalid, "seal.key.damaged", "the key file "+path+" is damaged", "restore the key file from a backup")
	}
	return key, nil
}

const chipCure = "put the disk back into the box that it was in; or enter the recovery code; or erase what it keeps (factory reset)"

// wrapping returns the steps that replace a key file in clear. Whichever is the last before a power
// cut, the file at path is the one in clear or the wrapped one, whole; the rest is done at the next
// start.
func (k *Key) wrapping(path string, key []byte) []func() error {
	next, plain := path+nextSuffix, path+clearSuffix
	return []func() error{
		func() error { return fsx.WriteFile(next, k.wrap(path, key), 0o600) },
		func() error { return k.verify(next, path, key) },
		func() error { return remove(plain) },
		func() error { return os.Link(path, plain) }, // else nothing would lead to what must be overwritten
		func() error { return fsx.SyncDir(filepath.Dir(path)) },
		func() error { return os.Rename(next, path) },
		func() error { return fsx.SyncDir(filepath.Dir(path)) },
		func() error { return overwrite(plain) },
		func() error { return remove(plain) },
	}
}

// verify opens a wrapped file before the one in clear goes.
func (k *Key) verify(file, name string, key []byte) error {
	raw, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	again, err := k.unwrap(name, raw)
	if err == nil && !bytes.Equal(again, key) {
		err = errors.New("what was written is not what is read")
	}
	return err
}

// erase overwrites a file and removes it, if it is there.
func erase(path string) error {
	err := overwrite(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return errors.Join(err, remove(path))
}

// overwrite writes zeros over a file where it is. Flash may keep a copy of the old block for a while.
func overwrite(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	st, err := f.Stat()
	if err == nil {
		_, err = f.Write(make([]byte, st.Size()))
	}
	return errors.Join(err, f.Sync(), f.Close())
}

// remove removes a file for good, if it is there.
func remove(path string) error {
	err := os.Remove(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return errors.Join(err, fsx.SyncDir(filepath.Dir(path)))
}
