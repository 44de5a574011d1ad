package netlab

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// insideKey tells the test binary that it runs inside, or why it cannot.
const (
	insideKey = "NETLAB_INSIDE"
	insideYes = "yes"
)

// Enter runs the test binary again in its own mount and network namespaces, where it is root and
// can hurt nothing of the machine, and returns its exit code. Inside, entered is false and the
// tests are to be run. TestMain calls it first.
func Enter() (code int, entered bool) { return enter(syscall.CLONE_NEWUSER) }

// EnterAsRoot is Enter for tests of what only the machine's own root may do, such as loading programs
// into the kernel. For others they are skipped.
func EnterAsRoot() (code int, entered bool) { return enter(0) }

func enter(user uintptr) (code int, entered bool) {
	switch os.Getenv(insideKey) {
	case insideYes:
		// What is mounted in a test stays in this namespace (mount_namespaces(7)).
		if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			fmt.Fprintln(os.Stderr, "netlab: keep mounts private:", err)
			return 1, true
		}
		return 0, false
	case "":
	default:
		return 0, false
	}
	err := runInside(user)
	if user != 0 && (errors.Is(err, os.ErrPermission) || errors.Is(err, syscall.ENOSPC)) {
		err = runInside(0) // no user namespaces here: root needs none
	}
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode(), true
	}
	if err == nil {
		return 0, true
	}
	_ = os.Setenv(insideKey, err.Error()) // a name without = cannot fail
	return 0, false
}

func runInside(user uintptr) error {
	runtime.LockOSThread() // PDEATHSIG means this thread (prctl(2))
	defer runtime.UnlockOSThread()
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), insideKey+"="+insideYes)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: user | syscall.CLONE_NEWNET | syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	if user != 0 {
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	return cmd.Run()
}

// need skips a test where the kernel lets nobody make namespaces.
func need(t testing.TB) {
	t.Helper()
	if why := os.Getenv(insideKey); why != insideYes {
		t.Skipf("no network namespaces here (%s): run as root, or allow user namespaces "+
			"(sysctl user.max_user_namespaces, kernel.apparmor_restrict_unprivileged_userns)", why)
	}
}
