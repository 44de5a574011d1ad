package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/coraltele/sanchar/pkg/base/fsx"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/platform/supervise"
)

const (
	// crashesAllowed within crashWindow are taken for bad luck; the next one for the settings' fault.
	crashesAllowed = 2
	crashWindow    = time.Minute
)

// crashes makes daemons that crash again and again start with settings that were good, and the page alone
// if its own daemon does not stop then. Its files are in memory: a restart of the box forgets all.
type crashes struct {
	run string
	log *slog.Logger

	last  map[string][]time.Time // within the window, by daemon
	known []ctl.BootCrash
}

func newCrashes(run string, log *slog.Logger) *crashes {
	return &crashes{run: run, log: log, last: map[string][]time.Time{}}
}

// retreatFile is there when a daemon is to start with settings that were good.
func retreatFile(run, name string) string { return filepath.Join(run, "retreat-"+name) }

// aloneFile is there when the page is to run alone; it tells why.
func aloneFile(run string) string { return filepath.Join(run, "page-alone") }

// take takes what happened to a daemon.
func (c *crashes) take(ev supervise.Event, now time.Time) {
	switch ev.Kind {
	case supervise.Ready: // it has read its settings
		if err := os.Remove(retreatFile(c.run, ev.Name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			c.log.Error("settings may be brought back once more", "daemon", ev.Name, "err", err)
		}
	case supervise.Exited:
		at := slices.DeleteFunc(append(c.last[ev.Name], now), func(t time.Time) bool { return now.Sub(t) > crashWindow })
		c.last[ev.Name] = at
		if len(at) > crashesAllowed {
			delete(c.last, ev.Name)
			c.retreat(ev, now)
		}
	case supervise.Started, supervise.Status, supervise.Looping, supervise.Stopped:
	}
}

// retreat orders the settings back that were good; the second time, of the page's daemon, the page alone.
func (c *crashes) retreat(ev supervise.Event, now time.Time) {
	again := slices.ContainsFunc(c.known, func(k ctl.BootCrash) bool { return k.Name == ev.Name })
	c.known = slices.DeleteFunc(c.known, func(k ctl.BootCrash) bool { return k.Name == ev.Name })
	c.known = append(c.known, ctl.BootCrash{Name: ev.Name, At: now.UTC(), Reason: ev.Text})
	text, err := json.Marshal(c.known)
	if err == nil {
		err = fsx.WriteFile(filepath.Join(c.run, ctl.CrashFile), text, 0o600)
	}
	if again && ev.Name == pageDaemon {
		c.log.Error("the page will run alone", "err", ev.Text)
		err = errors.Join(err, fsx.WriteFile(aloneFile(c.run), fmt.Appendf(nil, "the page's own data makes it crash (%s)", ev.Text), 0o600))
	} else {
		c.log.Error("a daemon crashes again and again: it starts with settings that were good", "daemon", ev.Name, "err", ev.Text)
		err = errors.Join(err, fsx.WriteFile(retreatFile(c.run, ev.Name), []byte(ev.Text), 0o600))
	}
	if err != nil {
		c.log.Error("a daemon that crashes again and again is left alone", "daemon", ev.Name, "err", err)
	}
}
