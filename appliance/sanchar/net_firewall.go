package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// netFirewall tells the rules in words with what they counted, and who is banned.
func netFirewall(ctx context.Context, t *terminal, args []string) error {
	return question{name: "net firewall"}.ask(ctx, t, args, func(ctx context.Context, b *box, _ []string) error {
		f, err := b.net.Firewall(ctx)
		if err != nil || b.json {
			return orPrint(t, err, f)
		}
		showFirewall(t.out, f)
		return nil
	})
}

func showFirewall(w io.Writer, f ctl.Firewall) {
	state := "enforced"
	if !f.Enforced {
		state = "NOT ENFORCED"
	}
	rows := [][]string{{"firewall", state}, {"known sources", strconv.Itoa(f.Known)}}
	for _, group := range []struct {
		name  string
		lines []string
	}{{"CONFLICT", f.Conflicts}, {"foreign", f.Foreign}} {
		for _, line := range group.lines {
			rows = append(rows, []string{group.name, printable(line)})
		}
	}
	if f.Fault != "" {
		rows = append(rows, []string{"FAULT", printable(f.Fault)})
	}
	for _, ban := range f.Banned {
		rows = append(rows, []string{"banned", fmt.Sprintf("%s until %s; to lift it: sanchar net unban %s", ban.Source, ban.Until.Local().Format(time.DateTime), ban.Source)})
	}
	printTable(w, nil, rows)
	var rules [][]string
	for _, r := range f.Rules {
		does := "passes"
		if r.Drops {
			does = "drops"
		}
		rules = append(rules, []string{strconv.FormatUint(r.Packets, 10), does, printable(r.Says)})
	}
	fmt.Fprintln(w)
	printTable(w, []string{"PACKETS", "", "RULE"}, rules)
}

// netUnban lets a source be heard again that guessed passwords.
func netUnban(ctx context.Context, t *terminal, args []string) error {
	return question{name: "net unban", least: 1, most: 1}.ask(ctx, t, args, func(ctx context.Context, b *box, args []string) error {
		if err := b.switchd.LiftBan(ctx, args[0]); err != nil {
			return err
		}
		fmt.Fprintf(t.out, "%s is heard again.\n", printable(args[0]))
		return nil
	})
}
