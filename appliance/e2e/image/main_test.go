package image

import (
	"fmt"
	"os"
	"os/exec"
	"testing"

	"github.com/coraltele/sanchar/pkg/testkit/netlab"
)

// TestMain runs the tests in a network of their own, where the cables of a box in QEMU end.
func TestMain(m *testing.M) {
	code, entered := netlab.EnterAsRoot()
	if entered {
		os.Exit(code)
	}
	if os.Getuid() == 0 {
		if err := netlab.RaiseLoopback(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// outside makes a program run in the network of the machine, from which packages are fetched.
func outside(cmd *exec.Cmd) *exec.Cmd {
	if os.Getuid() != 0 {
		return cmd
	}
	cmd.Args = append([]string{"nsenter", fmt.Sprintf("--net=/proc/%d/ns/net", os.Getppid())}, cmd.Args...)
	if path, err := exec.LookPath(cmd.Args[0]); err == nil {
		cmd.Path = path
	}
	return cmd
}
