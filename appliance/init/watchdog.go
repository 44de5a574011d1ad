package main

import (
	"context"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/coraltele/sanchar/pkg/platform/supervise"
)

const (
	feedEvery = 5 * time.Second
	// illTime is how long a daemon may be away before the box is better restarted: the supervisor has
	// tried ten times by then.
	illTime = 3 * time.Minute
	// startTime is how long the first start may take, with a disk that is checked and stores that migrate.
	startTime = 10 * time.Minute
)

// watchdogTimes are seconds without food after which the hardware restarts the box, the best first. A Raspberry
// Pi's waits 15 at most.
func watchdogTimes() []int { return []int{60, 15} }

// watchdog is the hardware that restarts a box which hangs. nil has none.
type watchdog struct{ f *os.File }

func openWatchdog(log *slog.Logger) *watchdog {
	f, err := os.OpenFile("/dev/watchdog0", os.O_WRONLY, 0)
	if err != nil {
		log.Warn("no hardware watchdog: a box that hangs stays so", "err", err)
		return nil
	}
	for _, t := range watchdogTimes() {
		if err = unix.IoctlSetPointerInt(int(f.Fd()), unix.WDIOC_SETTIMEOUT, t); err == nil {
			break
		}
	}
	if err != nil {
		log.Warn("the watchdog keeps its own time", "err", err)
	}
	return &watchdog{f}
}

func (w *watchdog) feed() error {
	if w == nil {
		return nil
	}
	_, err := w.f.Write([]byte{0})
	return err
}

// vital are the daemons without which nobody can call.
func vital() []string { return []string{"switchd", "mediad", "netd"} }

// health knows since when vital daemons are away.
type health struct {
	dog *watchdog
	log *slog.Logger

	mu   sync.Mutex           // guards what follows
	away map[string]time.Time // since when, by name
}

func newHealth(dog *watchdog, log *slog.Logger) *health {
	h := &health{dog: dog, log: log, away: map[string]time.Time{}}
	for _, name := range vital() { // the first start has longer
		h.away[name] = time.Now().Add(startTime - illTime)
	}
	return h
}

// take takes what happened to a daemon.
func (h *health) take(ev supervise.Event) {
	if !slices.Contains(vital(), ev.Name) {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	switch ev.Kind {
	case supervise.Ready:
		delete(h.away, ev.Name)
	case supervise.Exited:
		if _, known := h.away[ev.Name]; !known {
			h.away[ev.Name] = time.Now()
		}
	case supervise.Started, supervise.Status, supervise.Looping, supervise.Stopped:
	}
}

// ill returns a daemon that has been away for too long, "" if there is none.
func (h *health) ill(now time.Time) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	for name, since := range h.away {
		if now.Sub(since) > illTime {
			return name
		}
	}
	return ""
}

// missing returns a daemon that is away now, "" if there is none.
func (h *health) missing() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, name := range vital() {
		if _, away := h.away[name]; away {
			return name
		}
	}
	return ""
}

// feed feeds the watchdog until ctx ends, but not while the box is ill.
func (h *health) feed(ctx context.Context) {
	tick := time.NewTicker(feedEvery)
	defer tick.Stop()
	for ctx.Err() == nil {
		if name := h.ill(time.Now()); name != "" {
			h.log.Error("the watchdog is not fed: the box will restart", "away", name)
		} else if err := h.dog.feed(); err != nil {
			h.log.Error("the watchdog takes no food", "err", err)
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}
