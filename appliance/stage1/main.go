// Command stage1 is the first program of the image: from the initial memory disk it loads the
// modules that the root needs, arms the watchdog, finds the disk, checks the data partition, sets up
// the verified root and hands over to the box's init.
package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/coraltele/sanchar/pkg/firmware/early"
	"github.com/coraltele/sanchar/pkg/firmware/oneshot"
)

// restartAfter is how long the reason of a failure stays on the screen. The boot counter then tries
// again, and after the last try the other version.
const restartAfter = 10 * time.Second

func main() {
	err := run()
	say("cannot start: %v", err)
	say("the box restarts in %v", restartAfter)
	time.Sleep(restartAfter)
	unix.Sync()
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART)
	select {} // the watchdog does it
}

func say(format string, args ...any) { fmt.Fprintf(os.Stderr, "stage1: "+format+"\n", args...) }

// run returns only when it fails.
func run() error {
	say("the kernel has started")
	if err := early.Mount(); err != nil {
		return err
	}
	// A Pi that was asked to start this version once must not be asked again by what comes later.
	if err := oneshot.Clear(); err != nil && !errors.Is(err, oneshot.ErrNoPi) {
		say("the firmware may start this version again: %v", err)
	}
	if err := early.Load("/modules", say); err != nil {
		return err
	}
	dog := armWatchdog()
	stop := dog.feed(longest)
	cmd, err := readCommandLine("/proc/cmdline")
	if err != nil {
		return err
	}
	disk, err := early.Find(cmd.boot, say)
	if err != nil {
		return err
	}
	if err := resetIfAsked(disk); err != nil {
		say("factory reset: %v", err) // the box starts with what it has
	}
	if err := checkData(early.Partition(disk, dataPartition)); err != nil {
		say("data partition: %v", err) // the box says so on its page and does not run as a PBX
	}
	stop()
	root, err := openVerity(early.Partition(disk, cmd.root), cmd.verity)
	if err != nil {
		return err
	}
	dog.leave()
	return enter(root)
}

// enter makes the root of the image the root of all and goes on there.
func enter(device string) error {
	const at = "/root"
	if err := os.MkdirAll(at, 0o755); err != nil {
		return err
	}
	if err := unix.Mount(device, at, "squashfs", unix.MS_RDONLY, ""); err != nil {
		return fmt.Errorf("mount the root: %w", err)
	}
	for _, m := range [...]string{"/dev", "/proc", "/sys"} {
		if err := unix.Mount(m, at+m, "", unix.MS_MOVE, ""); err != nil {
			return fmt.Errorf("move %s: %w", m, err)
		}
	}
	if err := errors.Join(unix.Chdir(at), unix.Mount(".", "/", "", unix.MS_MOVE, ""), unix.Chroot("."), unix.Chdir("/")); err != nil {
		return fmt.Errorf("enter the root: %w", err)
	}
	const next = "/gokrazy/init"
	return fmt.Errorf("%s: %w", next, unix.Exec(next, []string{next}, os.Environ()))
}
