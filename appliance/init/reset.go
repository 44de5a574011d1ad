package main

import (
	"path/filepath"

	"github.com/coraltele/sanchar/pkg/base/fsx"
	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/platform/tpm"
)

// resetFlag is the name of the file on the boot partition that makes stage1 begin the data partition
// anew.
const resetFlag = "factory-reset"

// askReset leaves the flag for the next start.
func (s *starter) askReset() error {
	if s.slot == "" {
		return problem.New(problem.Unavailable, "reset.machine", "this machine was not started from an image", "remove its data by hand")
	}
	err := s.part.Write(s.at, func(boot string) error {
		return fsx.WriteFile(filepath.Join(boot, resetFlag), []byte("asked for on the box\n"), 0o600)
	})
	if err != nil {
		return err
	}
	// A disk that cannot forget what was on it is not worth reading without the keys.
	return tpm.Destroy(s.chip.sealed)
}
