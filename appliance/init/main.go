// Command init is the first program of the root: it mounts what the box keeps, loads the drivers of
// its hardware, runs the daemons, and feeds the hardware watchdog for as long as they are well.
package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/gokrazy/gokrazy"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/base/slogx"
	"github.com/coraltele/sanchar/pkg/firmware/slots"
	"github.com/coraltele/sanchar/pkg/platform/conf"
	"github.com/coraltele/sanchar/pkg/platform/copies"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/platform/supervise"
)

var version = "dev" // set when the image is built

// Places.
const (
	runDir   = "/run/sanchar" // in memory: what outlives a daemon, not the box
	dataDir  = "/perm"
	programs = "/user"
)

// patience is the longest silence of a daemon that is not taken for a hang.
const patience = 30 * time.Second

func main() {
	con := openConsole()
	log := slogx.New(con, slogx.NewLevels(slog.LevelInfo))
	dog := openWatchdog(log) // before gokrazy would feed it whatever happens
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	partition, err := run(ctx, con, dog, log)
	stop()
	log.Error("the box stops", "err", err)
	restart(partition, log)
}

// run runs the box. It returns when the box is to be restarted, and which partition is to start then, 0 where
// the firmware knows.
func run(ctx context.Context, con *console, dog *watchdog, log *slog.Logger) (partition int, err error) {
	h := newHealth(dog, log)
	alive, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go h.feed(alive) // loading and growing may take longer than the watchdog waits
	if err := gokrazy.Boot(version); err != nil {
		return 0, err
	}
	if err := loadLater("/etc/modules"); err != nil {
		log.Error("not all modules of the network are loaded", "err", err)
	}
	if err := loadDrivers("/sys/devices", release()); err != nil {
		log.Error("not all drivers are loaded", "err", err)
	}
	if err := namePorts(log); err != nil {
		log.Error("not all ports have their names", "err", err)
	}
	con.version = version
	trouble := keepData(log)
	if err := os.MkdirAll(runDir, 0o700); err != nil {
		return 0, err
	}
	go reap(ctx)
	ctx = alive
	boot := newStarter(trouble, h, log, func(why string) { cancel(errors.New(why)) })
	boot.open(time.Now())
	if partition := boot.waiting(); partition > 0 {
		return partition, errors.New("a version was installed and has not been started")
	}
	if trouble = boot.holdKeys(); trouble != nil {
		log.Error("the box runs its page alone", "err", trouble)
	}
	falls := newCrashes(runDir, log)
	sup, err := supervise.New(supervise.Config{
		Programs: specs(trouble), Socket: filepath.Join(runDir, "notify.sock"), Output: con.say, Log: log,
		OnEvent: func(ev supervise.Event) {
			h.take(ev)
			falls.take(ev, time.Now())
		},
	})
	if err != nil {
		return 0, err
	}
	go con.greet(ctx)
	go boot.watch(ctx)
	go serve(ctx, boot, log)
	err = sup.Run(ctx)
	if ctx.Err() == nil && err == nil {
		err = errors.New("the supervisor ended")
	}
	return boot.next(), errors.Join(context.Cause(ctx), err)
}

// serve answers admind. Without it the box runs, but cannot be updated.
func serve(ctx context.Context, boot *starter, log *slog.Logger) {
	if err := ctl.Serve(ctx, filepath.Join(runDir, "init.sock"), boot.routes(), log); err != nil {
		log.Error("nobody can ask for a restart", "err", err)
	}
}

func newStarter(trouble error, h *health, log *slog.Logger, restart func(string)) *starter {
	s := &starter{version: version, at: "/mnt", run: runDir, chip: newChip(log), trouble: trouble, log: log, restart: restart, ill: h.missing}
	if trouble == nil {
		s.data = dataDir
	}
	box, err := slots.Find("/sys")
	if err != nil {
		log.Error("the slots are not known", "err", err)
	}
	s.slot, s.part = box.Slot, box
	return s
}

// holdKeys opens the keys of what the box keeps, if it is its own, and returns why the box runs its page
// alone.
func (s *starter) holdKeys() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.trouble == nil {
		s.trouble = s.chip.hold(s.trial != nil)
	}
	return s.trouble
}

// adopt makes the data of another box this one's.
func (s *starter) adopt() error {
	if problem.Of(s.trouble).Code != foreignCode {
		return problem.New(problem.Conflict, "box.own", "the data is this box's own", "nothing needs to be done")
	}
	serial, err := serialOf(identityDir)
	if err != nil {
		return err
	}
	return adopt(dataDir, serial)
}

// pageDaemon is the one that serves the page.
const pageDaemon = "admind"

// daemons are the names of the daemons, which are those of their folders.
func daemons() []string { return []string{"net", "admin", "media", "switch"} }

// specs are the daemons with their flags. Where the data partition is not the box's own, only the page
// runs, from memory, and tells so.
func specs(trouble error) []supervise.Spec {
	spec := func(name string, nice int, args ...string) supervise.Spec {
		data := filepath.Join(dataDir, strings.TrimSuffix(name, "d"))
		if trouble != nil {
			data = filepath.Join(runDir, "safe", strings.TrimSuffix(name, "d"))
		}
		return supervise.Spec{
			Name: name, Path: filepath.Join(programs, name), Nice: nice, Watchdog: patience,
			Args: append([]string{"--run", runDir, "--data", data}, args...), Env: []string{copies.Env + "=" + filepath.Join(runDir, trialFile), conf.RetreatEnv + "=" + retreatFile(runDir, name)},
		}
	}
	// Media must not wait for anybody; what is past may.
	all := []supervise.Spec{
		spec("netd", 0, "--manage"),
		spec(pageDaemon, 5, "--https", "443", "--phones", "8443", "--phones-plain", "8080",
			"--alone-file", aloneFile(runDir), "--alone-data", filepath.Join(runDir, "safe", "admin")),
		spec("mediad", -15),
		spec("switchd", -10, "--sip", "5060", "--sips", "5061"),
	}
	if trouble != nil {
		all = all[:2]
		text, cure := trouble.Error(), ""
		if p, ok := errors.AsType[*problem.Error](trouble); ok {
			text, cure = p.Text, p.Cure
		}
		all[1].Args = append(all[1].Args, "--trouble", text, "--cure", cure)
	}
	return all
}
