package main

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// release is the kernel's, as the folder of its modules is called.
func release() string {
	var u unix.Utsname
	_ = unix.Uname(&u) // it fails for a wrong pointer only
	return unix.ByteSliceToString(u.Release[:])
}

// loadLater loads the modules of a list, each behind what it needs.
func loadLater(list string) error {
	f, err := os.Open(list)
	if err != nil {
		return err
	}
	defer f.Close()
	var errs []error
	s := bufio.NewScanner(f)
	for s.Scan() {
		errs = append(errs, loadModule(s.Text()))
	}
	return errors.Join(append(errs, s.Err())...)
}

func loadModule(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	err = unix.FinitModule(int(f.Fd()), "", 0)
	switch {
	case err == nil, errors.Is(err, unix.EEXIST), errors.Is(err, unix.ENODEV): // its hardware is not there
		return nil
	}
	return fmt.Errorf("%s: %w", filepath.Base(path), err)
}

// drivers match hardware with modules.
type drivers struct {
	dir   string
	alias []aliasOf
	needs map[string][]string // file -> files, those of modules.dep, nearest first
	file  map[string]string   // name -> file
	done  map[string]bool
}

type aliasOf struct{ pattern, name string }

// loadDrivers loads the modules that the hardware below devices asks for by its modalias.
func loadDrivers(devices, release string) error {
	d, err := readDrivers(filepath.Join("/lib/modules", release))
	if err != nil {
		return err
	}
	var errs []error
	err = filepath.WalkDir(devices, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.Name() != "modalias" {
			return nil //nolint:nilerr // a device that goes meanwhile
		}
		if text, err := os.ReadFile(path); err == nil {
			errs = append(errs, d.load(strings.TrimSpace(string(text))))
		}
		return nil
	})
	return errors.Join(append(errs, err)...)
}

func readDrivers(dir string) (*drivers, error) {
	d := &drivers{dir: dir, needs: map[string][]string{}, file: map[string]string{}, done: map[string]bool{}}
	err := eachLine(filepath.Join(dir, "modules.dep"), func(line string) {
		if file, deps, ok := strings.Cut(line, ":"); ok {
			d.file[moduleName(file)] = file
			d.needs[file] = strings.Fields(deps)
		}
	})
	return d, errors.Join(err, eachLine(filepath.Join(dir, "modules.alias"), func(line string) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "alias" {
			d.alias = append(d.alias, aliasOf{f[1], f[2]})
		}
	}))
}

func eachLine(path string, take func(string)) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	s := bufio.NewScanner(f)
	for s.Scan() {
		take(s.Text())
	}
	return s.Err()
}

func moduleName(file string) string {
	return strings.ReplaceAll(strings.TrimSuffix(filepath.Base(file), ".ko"), "-", "_")
}

// load loads all modules whose alias fits, and what they need. One that the image does not have is
// not an error: it has those of the board.
func (d *drivers) load(modalias string) error {
	var errs []error
	for _, a := range d.alias {
		if ok, err := filepath.Match(a.pattern, modalias); err == nil && ok {
			errs = append(errs, d.loadFile(d.file[strings.ReplaceAll(a.name, "-", "_")]))
		}
	}
	return errors.Join(errs...)
}

func (d *drivers) loadFile(file string) error {
	if file == "" || d.done[file] {
		return nil
	}
	d.done[file] = true
	path := filepath.Join(d.dir, file)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var errs []error
	needs := d.needs[file]
	for i := len(needs) - 1; i >= 0; i-- {
		errs = append(errs, d.loadFile(needs[i]))
	}
	return errors.Join(append(errs, loadModule(path))...)
}
