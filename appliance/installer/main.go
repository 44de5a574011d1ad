// Command installer is the first program of a medium that installs: it finds the disks of the box, asks which one
// is meant where that is not plain, writes the product to it and reads it back.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/coraltele/sanchar/board"
	"github.com/coraltele/sanchar/pkg/firmware/early"
	"github.com/coraltele/sanchar/pkg/firmware/layout"
	"github.com/coraltele/sanchar/pkg/firmware/manifest"
	"github.com/coraltele/sanchar/pkg/firmware/setup"
)

var version = "dev" // set when the image is built

// Places in the memory disk.
const (
	stickAt = "/stick"
	bootAt  = "/boot"
	bundle  = stickAt + "/sanchar.update"
)

// offAfter is how long what was done stays on the screen.
const offAfter = time.Minute

func main() {
	t := openTerminal("/sys/class/tty/console/active", "/dev") // the kernel has made both, or there is only stderr
	if err := run(t); err != nil {
		t.say("\nNothing more is done: %v\nPress Enter to switch the box off.", err)
	}
	_, _ = t.line(offAfter) // whatever is typed
	t.say("The box switches off.")
	unix.Sync()
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART) // it cannot switch itself off
	select {}
}

func run(t *terminal) error {
	if err := early.Mount(); err != nil {
		return err
	}
	t.reopen()
	quiet := func(string, ...any) {} // modules of hardware that is not there are nobody's matter here
	if err := early.Load("/modules", quiet); err != nil {
		return err
	}
	stick, err := early.Find(layout.InstallerGUID, quiet)
	if err != nil {
		return err
	}
	j, err := prepare(stick)
	if err != nil {
		return err
	}
	look := func() ([]setup.Disk, error) {
		return setup.Disks(setup.Places{Sys: "/sys", Dev: "/dev"}, stick, j.Layout)
	}
	j.Disk, j.Erase, err = choose(t, look, countdown)
	if err != nil {
		return err
	}
	j.Progress = progress(t)
	m, err := j.Run(context.Background())
	if err != nil {
		return fmt.Errorf("install on %s: %w", j.Disk.Name, err)
	}
	if err := announce(j); err != nil {
		t.say("The box's firmware was not told of the disk: choose it in its boot menu if it does not start. (%v)", err)
	}
	t.say("\nSanchar %s is on %s. Take the stick out, press Enter, and switch the box on again.", m.Version, j.Disk.Name)
	return nil
}

// announce tells the firmware, where that can be told, that the disk starts.
func announce(j *setup.Job) error {
	const vars = "/sys/firmware/efi/efivars"
	if j.Layout.Firmware == layout.UEFI {
		if err := unix.Mount("efivarfs", vars, "efivarfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
			return err
		}
	}
	return setup.Announce(vars, runtime.GOARCH, j.Layout, j.Disk.Size)
}

// prepare reads what the medium has and for which boxes it is.
func prepare(stick string) (*setup.Job, error) {
	name, err := os.ReadFile("/board")
	if err != nil {
		return nil, err
	}
	kind, err := board.Get(strings.TrimSpace(string(name)))
	if err != nil {
		return nil, err
	}
	l, err := layout.Of(kind.Firmware)
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile("/update-keys")
	if err != nil {
		return nil, err
	}
	keys, err := manifest.ParseKeys(string(text))
	if err != nil {
		return nil, err
	}
	if err := errors.Join(os.MkdirAll(stickAt, 0o755), os.MkdirAll(bootAt, 0o755)); err != nil {
		return nil, err
	}
	if err := unix.Mount(early.Partition(stick, 1), stickAt, "vfat", unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "utf8=1"); err != nil {
		return nil, fmt.Errorf("read the stick: %w", err)
	}
	if _, err := os.Stat(bundle); errors.Is(err, os.ErrNotExist) {
		return nil, errors.New("the stick has no sanchar.update: copy the signed update onto it by that name")
	}
	return &setup.Job{Layout: l, Board: kind.Name, Keys: keys, Bundle: bundle, Templates: "/", Mount: bootAt}, nil
}

// progress shows a step and each tenth of it.
func progress(t *terminal) func(step string, done, total int64) {
	var last string
	return func(step string, done, total int64) {
		if text := fmt.Sprintf("%s: %d %%", step, done*10/max(total, 1)*10); text != last {
			last = text
			t.say("%s", text)
		}
	}
}
