package main

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

const (
	feedEvery = 5 * time.Second
	// longest is how long a disk may take to show up, and to be emptied or checked.
	longest = 30 * time.Minute
)

// timeouts are how long the watchdog waits from here until the init feeds it, in seconds. A Raspberry Pi's
// takes 15 at most.
func timeouts() []int { return []int{60, 15} }

// watchdog is the hardware that restarts a box which hangs; nil has none.
type watchdog struct{ f *os.File }

// armWatchdog starts the first watchdog: from here on a box that hangs starts again.
func armWatchdog() *watchdog {
	f, err := os.OpenFile("/dev/watchdog0", os.O_WRONLY, 0)
	if err != nil {
		say("no watchdog: %v", err)
		return nil
	}
	for _, t := range timeouts() {
		if err = unix.IoctlSetPointerInt(int(f.Fd()), unix.WDIOC_SETTIMEOUT, t); err == nil {
			break
		}
	}
	if err != nil {
		say("watchdog: %v", err)
	}
	w := &watchdog{f}
	w.eat()
	say("watchdog armed")
	return w
}

func (w *watchdog) eat() {
	if w == nil {
		return
	}
	if _, err := w.f.Write([]byte{0}); err != nil {
		say("watchdog: %v", err)
	}
}

// feed feeds it until stop is called, but no longer than a time: what takes longer hangs.
func (w *watchdog) feed(most time.Duration) (stop func()) {
	end, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick, late := time.NewTicker(feedEvery), time.NewTimer(most)
		defer tick.Stop()
		defer late.Stop()
		for {
			select {
			case <-end:
				return
			case <-late.C:
				return
			case <-tick.C:
				w.eat()
			}
		}
	}()
	return func() {
		close(end)
		<-done
		w.eat()
	}
}

// leave lets the init have it. Without a V written it stays armed.
func (w *watchdog) leave() {
	if w != nil {
		_ = w.f.Close() // it can do nothing about it
	}
}
