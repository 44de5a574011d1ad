package main

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/coraltele/sanchar/pkg/firmware/install"
	"github.com/coraltele/sanchar/pkg/firmware/oneshot"
)

// next prepares a restart: which partition the firmware is to be asked to start once, 0 where it finds out by
// itself. When it fails the restart is a plain one, which starts what is good.
func (s *starter) next() (partition int) {
	if s.slot == "" {
		return 0
	}
	waits := false
	err := s.part.Read(s.at, func(boot string) (err error) {
		waits, err = install.Waits(boot, s.slot)
		return err
	})
	if err == nil && waits { // the boot partition is written only when there is a reason
		err = s.part.Write(s.at, func(boot string) (err error) {
			partition, err = install.Next(boot, s.slot)
			return err
		})
	}
	if err != nil {
		s.log.Error("the version that was installed cannot be started", "err", err)
		return 0
	}
	return partition
}

// waiting is next at the start of the box: a version may have been installed and never started, for the power was cut.
func (s *starter) waiting() (partition int) {
	s.mu.Lock()
	trial := s.trial != nil
	s.mu.Unlock()
	if trial || s.fault != nil {
		return 0
	}
	return s.next()
}

// restart restarts the box. A Raspberry Pi is told of a partition in both ways that there are: by its register,
// and by the command, which kernels of its maker pass on.
func restart(partition int, log *slog.Logger) {
	unix.Sync()
	if partition > 0 {
		log.Warn("the version that was installed starts once", "partition", partition)
		if err := oneshot.Ask(partition); err != nil && !errors.Is(err, oneshot.ErrNoPi) {
			log.Error("the firmware cannot be asked for the version that was installed", "err", err)
		}
		command := append(fmt.Appendf(nil, "%d tryboot", partition), 0)
		_, _, _ = unix.Syscall6(unix.SYS_REBOOT, unix.LINUX_REBOOT_MAGIC1, unix.LINUX_REBOOT_MAGIC2, unix.LINUX_REBOOT_CMD_RESTART2,
			uintptr(unsafe.Pointer(&command[0])), 0, 0) // it returns only when it fails
		runtime.KeepAlive(command)
	}
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART)
	select {} // the watchdog does it
}
