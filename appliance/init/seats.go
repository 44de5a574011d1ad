package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Patience with a console that ends: it may be one whose terminal is not there, which must not cost
// more than a look now and then.
const (
	seatFirst   = time.Second
	seatLongest = 30 * time.Second
	seatSettled = time.Minute     // one that ran so long is started again at once
	seatStop    = 2 * time.Second // to give the terminal back
)

// seatMemory bounds the heap of a console: it is idle for years.
const seatMemory = "16MiB"

// seats runs a console on each terminal that the kernel uses as one, until ctx ends. Without them the
// box still runs.
func seats(ctx context.Context, log *slog.Logger) {
	text, err := os.ReadFile("/sys/class/tty/console/active")
	if err != nil {
		log.Error("the box has no console", "err", err)
		return
	}
	var wait sync.WaitGroup
	for _, tty := range terminals(string(text)) {
		wait.Go(func() { keepSeat(ctx, tty, log, sit) })
	}
	wait.Wait()
}

// terminals are the devices of the kernel's consoles. tty0 is whichever screen is shown; a program has
// the first one.
func terminals(active string) (all []string) {
	for name := range strings.FieldsSeq(active) {
		if name == "tty0" {
			name = "tty1"
		}
		all = append(all, filepath.Join("/dev", name))
	}
	return all
}

// keepSeat runs a console again whatever ends it, with pauses. A fault is told once.
func keepSeat(ctx context.Context, tty string, log *slog.Logger, sit func(context.Context, string) error) {
	pause, told := seatFirst, ""
	for ctx.Err() == nil {
		began := time.Now()
		err := sit(ctx, tty)
		if ctx.Err() != nil {
			return
		}
		if text := fmt.Sprint(err); err != nil && text != told {
			log.Warn("a console ended", "tty", tty, "err", err)
			told = text
		}
		if time.Since(began) > seatSettled {
			pause, told = seatFirst, ""
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
		pause = min(2*pause, seatLongest)
	}
}

// sit runs a console on a terminal, which becomes its own, until it ends.
func sit(ctx context.Context, tty string) (err error) {
	f, err := os.OpenFile(tty, os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	kind := "vt102"
	if strings.HasPrefix(filepath.Base(tty), "tty1") {
		kind = "linux"
	}
	cmd := exec.CommandContext(ctx, filepath.Join(programs, "sanchar"), "console", "--run", runDir)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = f, f, f
	cmd.Env = append(os.Environ(), "TERM="+kind, "GOMEMLIMIT="+seatMemory)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = seatStop
	return cmd.Run()
}
