package main

import (
	"context"
	"flag"
	"fmt"
	"strings"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// keysCode shows what a person keeps for the day when the security chip is lost.
func keysCode(ctx context.Context, t *terminal, args []string) error {
	return question{name: "keys code"}.ask(ctx, t, args, func(ctx context.Context, b *box, _ []string) error {
		c, err := b.init.RecoveryCode(ctx)
		switch {
		case err != nil:
			return err
		case b.json:
			return printJSON(t.out, c)
		}
		fmt.Fprintf(t.out, "%s\n\nWrite it down and lock it away: with the disk it opens all that the box keeps, on any box.\n", c.Code)
		return nil
	})
}

// keysRecover gives the keys to this box's security chip.
func keysRecover(ctx context.Context, t *terminal, args []string) error {
	const groups = 12 // of the code, if spaces stand in the place of dashes
	return question{name: "keys recover", least: 1, most: groups}.ask(ctx, t, args, func(ctx context.Context, b *box, args []string) error {
		if err := b.init.Recover(ctx, ctl.RecoveryCode{Code: strings.Join(args, "")}); err != nil {
			return err
		}
		fmt.Fprintln(t.out, "the keys are this box's now; it restarts")
		return nil
	})
}

// adoptData makes the data of another box this one's.
func adoptData(ctx context.Context, t *terminal, args []string) error {
	sure := false
	define := func(f *flag.FlagSet) { f.BoolVar(&sure, "yes", false, "really use the data of the other box") }
	return question{name: "adopt", define: define}.ask(ctx, t, args, func(ctx context.Context, b *box, _ []string) error {
		if !sure {
			return problem.New(problem.Invalid, "adopt.sure", "from then on the data on this disk belongs to this box alone", "say --yes if you are sure")
		}
		return b.admin.Restart(ctx, ctl.RestartRequest{Why: "console", Adopt: true})
	})
}

// keysText tells how the keys are protected.
func keysText(k ctl.BootKeys) string {
	switch {
	case k.Held == ctl.KeysChip:
		return "the keys are held by this box's security chip"
	case k.Held == ctl.KeysClear && k.Fault != "":
		return "no hardware protection: the keys lie on the disk, though there is a security chip: " + printable(k.Fault)
	case k.Held == ctl.KeysClear:
		return "no hardware protection: the keys lie on the disk"
	}
	return ""
}
