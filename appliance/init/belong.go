package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/coraltele/sanchar/pkg/base/fsx"
	"github.com/coraltele/sanchar/pkg/base/problem"
)

const (
	// boxFile on the data partition is the serial number of the box that it belongs to.
	boxFile = "init/box"
	// pairedFile on the identity partition says that the box has given its data that file.
	pairedFile = "paired"
)

// foreignCode is the code of the trouble that adopting ends.
const foreignCode = "box.foreign"

// belongs reports a data partition that is another box's. One that is empty, as after a factory reset, is
// taken at once, and so is one from before partitions had the file.
func belongs(data, identity, serial string) error {
	marked := filepath.Join(identity, pairedFile)
	_, err := os.Stat(marked)
	paired := err == nil
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	owner, err := os.ReadFile(filepath.Join(data, boxFile))
	known := err == nil
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	inUse, err := used(data)
	switch {
	case err != nil:
		return err
	case known && strings.TrimSpace(string(owner)) != serial, !known && inUse && paired:
		return problem.New(problem.Conflict, foreignCode, "the data on this disk is another box's",
			"if it is to run here, say so on the page (Settings → Version → Use the data of the other box), or with: sanchar adopt --yes; else erase it (factory reset)")
	case !known:
		if err := adopt(data, serial); err != nil {
			return err
		}
	}
	if paired {
		return nil
	}
	return fsx.WriteFile(marked, nil, 0o400)
}

// used reports whether a daemon has ever kept anything on a data partition.
func used(data string) (bool, error) {
	for _, name := range daemons() {
		_, err := os.Stat(filepath.Join(data, name))
		if !errors.Is(err, fs.ErrNotExist) {
			return err == nil, err
		}
	}
	return false, nil
}

// adopt makes a data partition a box's own.
func adopt(data, serial string) error {
	path := filepath.Join(data, boxFile)
	return errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), fsx.WriteFile(path, []byte(serial+"\n"), 0o600))
}
