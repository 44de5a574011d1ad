package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

const (
	worstShown   = 3 // of the kernel's levels: emergencies, alerts, critical conditions, errors
	maxRecord    = 8 << 10
	setLevel     = 8 // SYSLOG_ACTION_CONSOLE_LEVEL of syslog(2)
	onlyPanics   = 1
	kernelBuffer = "/dev/kmsg"
)

// hearKernel keeps what the kernel says is wrong, until ctx ends. The consoles show it then, so the
// kernel need not write over what somebody is typing; what it says when it dies it writes all the same.
func hearKernel(ctx context.Context, con *console, log *slog.Logger) {
	f, err := os.OpenFile(kernelBuffer, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		log.Warn("what the kernel says is not kept", "err", err)
		return
	}
	if _, err := unix.Klogctl(setLevel, make([]byte, onlyPanics)); err != nil { // the length is the level
		log.Warn("the kernel writes over the console", "err", err)
	}
	defer context.AfterFunc(ctx, func() { _ = f.SetReadDeadline(time.Now()) })() // it ends Read
	defer func() { _ = f.Close() }()                                             // only read
	buf := make([]byte, maxRecord)
	for {
		n, err := f.Read(buf)
		switch {
		case errors.Is(err, unix.EPIPE): // what was next was written over meanwhile
			continue
		case err != nil:
			return
		}
		if text, ok := wrong(string(buf[:n])); ok {
			con.say(ctl.LogKernel, text)
		}
	}
}

// wrong reads a record of the kernel's buffer (Linux Documentation/ABI/testing/dev-kmsg) and reports
// whether it tells of something wrong.
func wrong(record string) (text string, ok bool) {
	head, rest, found := strings.Cut(record, ";")
	number, _, _ := strings.Cut(head, ",")
	level, err := strconv.Atoi(number)
	if !found || err != nil || level < 0 || level&7 > worstShown {
		return "", false
	}
	text, _, _ = strings.Cut(rest, "\n") // what follows are its devices
	return text, level>>3 == 0           // others write here too, as this very init did before
}
