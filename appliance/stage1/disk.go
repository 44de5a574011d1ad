package main

import (
	"errors"
	"os"
	"os/exec"
)

// Numbers of partitions. The first is the boot partition; the roots are where the command line says.
const (
	bootPartition = 1
	dataPartition = 4
)

// checkData repairs the file system of the data partition as far as that needs nobody's decision
// (e2fsck(8): 0 and 1 are good, 2 asks for a restart, more is damage).
func checkData(device string) error {
	cmd := exec.Command("/e2fsck", "-p", device)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	err := cmd.Run()
	var code *exec.ExitError
	if errors.As(err, &code) && code.ExitCode() <= 2 {
		return nil
	}
	return err
}
