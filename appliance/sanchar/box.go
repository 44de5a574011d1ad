package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// askWithin is how long a question may take. A daemon that is restarted answers again well before.
const askWithin = 15 * time.Second

// runDirs are where the sockets are looked for: those of "sanchar dev", then those of a box.
func runDirs() []string { return []string{"var/run", "/run/sanchar"} }

// box is what a command asks: the daemons behind one folder of sockets.
type box struct {
	dir     string
	json    bool
	switchd ctl.Switch
	media   ctl.Media
	admin   ctl.Admin
	net     ctl.Net
	init    ctl.Init
}

func newBox(dir string) *box {
	sock := func(name string) string { return filepath.Join(dir, name+".sock") }
	return &box{
		dir: dir, switchd: ctl.NewSwitch(sock("switch")), media: ctl.NewMedia(sock("media")),
		admin: ctl.NewAdmin(sock("admin")), net: ctl.NewNet(sock("net")), init: ctl.NewInit(sock("init")),
	}
}

func (b *box) close() {
	_ = errors.Join(b.switchd.Close(), b.media.Close(), b.admin.Close(), b.net.Close(), b.init.Close()) // all is answered
}

// findRunDir returns the folder given, or the first one that has a daemon's socket.
func findRunDir(given string) string {
	if given != "" {
		return given
	}
	for _, dir := range runDirs() {
		if found, err := filepath.Glob(filepath.Join(dir, "*.sock")); err == nil && len(found) > 0 {
			return dir
		}
	}
	return runDirs()[0]
}

// question parses the flags that every question has, and those that define adds, and asks the box.
// Arguments may stand before and after flags; there must be least to most of them.
type question struct {
	name        string
	least, most int
	define      func(*flag.FlagSet)
	within      time.Duration // 0 is askWithin
}

func (q question) ask(ctx context.Context, t *terminal, args []string, do func(ctx context.Context, b *box, args []string) error) error {
	flags := flag.NewFlagSet(q.name, flag.ContinueOnError)
	dir := flags.String("run", "", "folder of the daemons' sockets")
	asJSON := flags.Bool("json", false, "print JSON")
	if q.define != nil {
		q.define(flags)
	}
	rest, err := parseMixed(t, flags, args)
	if err != nil {
		return err
	}
	if len(rest) < q.least {
		return usageError{q.name + " needs " + usageOf(q.name)}
	}
	if len(rest) > q.most {
		return usageError{q.name + " does not take " + strings.Join(rest[q.most:], " ")}
	}
	if q.within == 0 {
		q.within = askWithin
	}
	ctx, cancel := context.WithTimeout(ctx, q.within)
	defer cancel()
	b := newBox(findRunDir(*dir))
	defer b.close()
	b.json = *asJSON
	return b.explain(do(ctx, b, rest))
}

// explain adds to a daemon that is away where it was looked for.
func (b *box) explain(err error) error {
	p, ok := errors.AsType[*problem.Error](err)
	if !ok || p.Kind != problem.Unavailable || !errors.Is(err, os.ErrNotExist) {
		return err
	}
	dir, absErr := filepath.Abs(b.dir)
	if absErr != nil {
		dir = b.dir
	}
	return problem.Wrap(err, p.Kind, p.Code, p.Text+": there is no socket of it in "+dir,
		"start it with sanchar dev, or say with --run DIR where its socket is")
}

func usageOf(name string) string {
	for _, cmd := range commands() {
		if cmd.name == name {
			return cmd.args
		}
	}
	return ""
}

// parseMixed parses flags that stand anywhere among the arguments, which it returns.
func parseMixed(t *terminal, flags *flag.FlagSet, args []string) (rest []string, err error) {
	flags.SetOutput(io.Discard) // what is wrong is told by who called
	for {
		err := flags.Parse(args)
		switch {
		case errors.Is(err, flag.ErrHelp):
			printUsage(t.out, flags)
			return nil, errHelp
		case err != nil:
			return nil, usageError{flags.Name() + ": " + err.Error()}
		case flags.NArg() == 0:
			return rest, nil
		}
		rest = append(rest, flags.Arg(0))
		args = flags.Args()[1:]
	}
}

func printUsage(w io.Writer, flags *flag.FlagSet) {
	fmt.Fprintf(w, "sanchar %s %s\n", flags.Name(), usageOf(flags.Name()))
	flags.SetOutput(w)
	flags.PrintDefaults()
}
