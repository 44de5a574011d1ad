package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/coraltele/sanchar/pkg/base/mailbox"
	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/base/slogx"
	"github.com/coraltele/sanchar/pkg/platform/supervise"
)

const (
	startWithin = 45 * time.Second // for all daemons, on a machine that is busy
	patience    = 30 * time.Second // longest silence of a daemon that is not taken for a hang
)

// daemonNames are the daemons in the order of their start: each finds those that it hands over to.
func daemonNames() []string { return []string{"netd", "admind", "mediad", "switchd"} }

// dev runs the daemons until ctx ends.
func dev(ctx context.Context, t *terminal, args []string) error {
	opt, err := parseDev(t, args)
	if err != nil {
		return err
	}
	unlock, err := lockData(opt.data)
	if err != nil {
		return err
	}
	defer unlock()
	if err := opt.choosePorts(func(text string) { fmt.Fprintln(t.err, "sanchar:", text) }); err != nil {
		return err
	}
	programs, err := opt.programs()
	if err != nil {
		return err
	}
	con, err := openConsole(t.err, opt.logFile())
	if err != nil {
		return err
	}
	d := &devBox{opt: opt, t: t, con: con, events: mailbox.New[supervise.Event](), box: newBox(opt.runDir())}
	defer d.box.close()
	return errors.Join(d.run(ctx, programs), con.close())
}

// lockData makes the data folder ours: two supervisors on one would take each other's sockets.
func lockData(dir string) (unlock func(), err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, "lock")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(f.Close(), problem.Wrap(err, problem.Conflict, "dev.running", "another sanchar dev uses "+dir,
			"stop it, or choose another folder with --data DIR"))
	}
	return func() { _ = f.Close() }, nil // which gives the lock back
}

// programs are the daemons beside our own executable, with their flags.
func (o *devOptions) programs() (specs []supervise.Spec, err error) {
	self, err := os.Executable()
	if err == nil {
		self, err = filepath.EvalSymlinks(self)
	}
	if err != nil {
		return nil, err
	}
	for _, name := range daemonNames() {
		path := filepath.Join(filepath.Dir(self), name)
		if st, err := os.Stat(path); err != nil || st.Mode().Perm()&0o111 == 0 {
			return nil, problem.New(problem.Missing, "dev.program", "the program "+name+" is not in "+filepath.Dir(self), "build all programs: make build")
		}
		args := []string{"--run", o.runDir(), "--data", filepath.Join(o.data, strings.TrimSuffix(name, "d")), "--log", o.level}
		specs = append(specs, supervise.Spec{Name: name, Path: path, Args: append(args, o.flagsOf(name)...), Watchdog: patience})
	}
	return specs, nil
}

// flagsOf returns the flags that only one daemon has.
func (o *devOptions) flagsOf(name string) (args []string) {
	add := func(flag, value string) {
		if value != "" {
			args = append(args, flag, value)
		}
	}
	bind := o.bind
	if o.everyAddress() {
		bind = "" // which is IPv4 and IPv6
	}
	switch name {
	case "switchd":
		add("--bind", bind)
		add("--sip", strconv.Itoa(o.sip))
		add("--sips", strconv.Itoa(o.sips))
		add("--domain", o.domain)
		add("--limits", o.limits)
	case "mediad":
		add("--ports", o.ports)
	case "netd":
		add("--offload", "off") // the machine's interfaces are not ours
	case "admind":
		add("--bind", bind)
		add("--https", strconv.Itoa(o.https))
		if o.phones != 0 {
			add("--phones", strconv.Itoa(o.phones))
		}
		add("--token-file", o.tokenFile)
	}
	return args
}

// devBox is the box that runs on this machine.
type devBox struct {
	opt    *devOptions
	t      *terminal
	con    *console
	events *mailbox.Box[supervise.Event]
	box    *box
}

func (d *devBox) run(ctx context.Context, programs []supervise.Spec) error {
	level, err := slogx.ParseLevel(d.opt.level)
	if err != nil {
		return err
	}
	sup, err := supervise.New(supervise.Config{
		Programs: programs,
		Socket:   d.opt.socket("notify"),
		Output:   d.con.say,
		OnEvent:  func(ev supervise.Event) { d.events.Put(ev) },
		Log:      slogx.New(d.con, slogx.NewLevels(max(level, slog.LevelInfo))),
	})
	if err != nil {
		return err
	}
	supCtx, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- sup.Run(supCtx) }()
	err = d.start(ctx)
	if err == nil {
		d.stay(ctx)
	}
	stop()
	return errors.Join(err, <-ended)
}

// start returns when all daemons answer, the users are there and the person has been told.
func (d *devBox) start(ctx context.Context) error {
	startCtx, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	if err := d.awaitReady(startCtx); err != nil {
		if ctx.Err() != nil {
			return errors.New("stopped before it was ready")
		}
		return err
	}
	st, err := d.box.status(startCtx)
	if err != nil {
		return err
	}
	if d.opt.users != "" {
		if err := d.importUsers(ctx, st); err != nil {
			return err
		}
	}
	return d.greet(startCtx, st)
}

// awaitReady returns when all daemons said that they are ready.
func (d *devBox) awaitReady(ctx context.Context) error {
	waiting := map[string]string{} // why each is not ready
	for _, name := range daemonNames() {
		waiting[name] = "it has not said that it is ready"
	}
	var items []supervise.Event
	for len(waiting) > 0 {
		select {
		case <-ctx.Done():
			return d.notReady(waiting)
		case <-d.events.Ready():
		}
		items, _ = d.events.Take(items)
		for _, ev := range items {
			switch ev.Kind {
			case supervise.Ready:
				delete(waiting, ev.Name)
			case supervise.Exited:
				waiting[ev.Name] = ev.Text
			case supervise.Looping:
				return d.notReady(map[string]string{ev.Name: ev.Text})
			case supervise.Started, supervise.Status, supervise.Stopped:
			}
		}
	}
	return nil
}

func (d *devBox) notReady(waiting map[string]string) error {
	var errs []error
	for _, name := range daemonNames() {
		if why, ok := waiting[name]; ok {
			text := name + " cannot start: " + why
			if words := d.con.lastWords(name); words != "" {
				text += ". It said last:\n" + words
			}
			errs = append(errs, errors.New(text))
		}
	}
	return errors.Join(errs...)
}

// stay lets the box run until ctx ends. What happens to the daemons stands in the log.
func (d *devBox) stay(ctx context.Context) {
	var items []supervise.Event
	for {
		select {
		case <-ctx.Done():
			return
		case <-d.events.Ready():
			items, _ = d.events.Take(items)
		}
	}
}

func (d *devBox) importUsers(ctx context.Context, st boxStatus) error {
	if st.Switch.Domain == "" {
		return problem.New(problem.Invalid, "dev.users.domain", "users cannot be imported: the box has no domain yet", "give it one with --domain NAME")
	}
	f, err := os.Open(d.opt.users)
	if err != nil {
		return err
	}
	defer f.Close()
	ctx, cancel := context.WithTimeout(ctx, importWithin)
	defer cancel()
	res, err := d.box.switchd.ImportUsers(ctx, f)
	if err != nil {
		return err
	}
	fmt.Fprintf(d.t.out, "%s: %s\n", filepath.Base(d.opt.users), importWords(res))
	return nil
}
