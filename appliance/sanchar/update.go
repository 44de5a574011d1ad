package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// installWithin is how long an update from a slow stick may take.
const installWithin = 30 * time.Minute

// updateState tells the version that runs, and how an update stands.
func updateState(ctx context.Context, t *terminal, args []string) error {
	return question{name: "update state"}.ask(ctx, t, args, func(ctx context.Context, b *box, _ []string) error {
		st, err := b.admin.Update(ctx)
		switch {
		case err != nil:
			return err
		case b.json:
			return printJSON(t.out, st)
		}
		printUpdate(t.out, st)
		return nil
	})
}

func printUpdate(w io.Writer, st ctl.UpdateState) {
	fmt.Fprintf(w, "version %s runs", st.Version)
	if st.Slot != "" {
		fmt.Fprintf(w, ", in slot %s", st.Slot)
	}
	fmt.Fprintln(w)
	for _, i := range st.Images {
		fmt.Fprintf(w, "  slot %s: %s, %s\n", i.Slot, printable(i.Version), i.State)
	}
	if st.Trial != nil {
		fmt.Fprintf(w, "on trial until %s\n", st.Trial.Until.Local().Format(time.TimeOnly))
	}
	for _, line := range [...]struct{ name, text string }{{"waiting for: ", st.Waiting}, {"refused: ", st.Reason}, {"fault: ", st.Fault}} {
		if line.text != "" {
			fmt.Fprintf(w, "%s%s\n", line.name, printable(line.text))
		}
	}
	if text := keysText(st.Keys); text != "" {
		fmt.Fprintln(w, text)
	}
	for _, f := range st.Aside {
		fmt.Fprintf(w, "what a version that did not stay wrote is set aside: %s, %s\n", printable(f.File), f.At.Local().Format(time.DateTime))
	}
	for _, f := range st.Failed {
		fmt.Fprintf(w, "%s was given up at %s: %s\n", printable(f.Version), f.At.Local().Format(time.DateTime), printable(f.Reason))
	}
	if st.Development {
		fmt.Fprintln(w, "this is a development build: anybody who has its sources can sign updates for it")
	}
}

// updateInstall installs an update from a file on the box.
func updateInstall(ctx context.Context, t *terminal, args []string) error {
	in := ctl.UpdateFile{By: "console"}
	define := func(f *flag.FlagSet) {
		f.DurationVar(&in.Wait, "wait", 0, "how long the restart waits for calls to end")
		f.BoolVar(&in.Downgrade, "downgrade", false, "install an older version on purpose")
	}
	return question{name: "update install", least: 1, most: 1, define: define, within: installWithin}.ask(ctx, t, args, func(ctx context.Context, b *box, args []string) (err error) {
		if in.Path, err = filepath.Abs(args[0]); err != nil {
			return err
		}
		st, err := b.admin.InstallFile(ctx, in)
		switch {
		case err != nil:
			return err
		case b.json:
			return printJSON(t.out, st)
		}
		fmt.Fprintf(t.out, "version %s is in its place; the box restarts when calls are over\n", printable(st.Next))
		return nil
	})
}

// checkWithin is longer than the box takes to find out that it is not well.
const checkWithin = 2 * time.Minute

// check lets the box find out whether it does what it is for.
func check(ctx context.Context, t *terminal, args []string) error {
	return question{name: "check", within: checkWithin}.ask(ctx, t, args, func(ctx context.Context, b *box, _ []string) error {
		if err := b.admin.Check(ctx); err != nil {
			return err
		}
		fmt.Fprintln(t.out, "the box is well: a call went through it, and was heard at both ends")
		return nil
	})
}

// restartBox restarts the box.
func restartBox(ctx context.Context, t *terminal, args []string) error {
	return question{name: "restart"}.ask(ctx, t, args, func(ctx context.Context, b *box, _ []string) error {
		return b.admin.Restart(ctx, ctl.RestartRequest{Why: "console"})
	})
}

// resetBox erases all that the box keeps.
func resetBox(ctx context.Context, t *terminal, args []string) error {
	sure := false
	define := func(f *flag.FlagSet) {
		f.BoolVar(&sure, "yes", false, "really erase all settings, records, recordings and messages")
	}
	return question{name: "factory-reset", define: define}.ask(ctx, t, args, func(ctx context.Context, b *box, _ []string) error {
		if !sure {
			return problem.New(problem.Invalid, "reset.sure", "this erases all settings, records, recordings and messages of the box", "say --yes if you are sure")
		}
		return b.admin.Restart(ctx, ctl.RestartRequest{Why: "console", Reset: true})
	})
}
