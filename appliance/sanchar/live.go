package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/user"
	"slices"
	"strings"
	"time"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

func registrations(ctx context.Context, t *terminal, args []string) error {
	return question{name: "registrations"}.ask(ctx, t, args, func(ctx context.Context, b *box, _ []string) error {
		regs, err := b.switchd.Registrations(ctx)
		if err != nil {
			return err
		}
		slices.SortFunc(regs, func(x, y ctl.Registration) int {
			return cmp.Or(cmp.Compare(x.AoR, y.AoR), cmp.Compare(x.Contact, y.Contact))
		})
		if b.json {
			return printList(t.out, regs)
		}
		now := time.Now()
		var rows [][]string
		for _, r := range regs {
			left := short(r.Expires.Sub(now))
			if r.Asleep {
				left = "asleep"
			}
			rows = append(rows, []string{r.AoR, r.Source.String(), r.Transport, age(r.Registered, now), left, orDash(r.UserAgent)})
		}
		printTable(t.out, []string{"ADDRESS OF RECORD", "FROM", "OVER", "SINCE", "EXPIRES IN", "DEVICE"}, rows)
		return nil
	})
}

func calls(ctx context.Context, t *terminal, args []string) error {
	return question{name: "calls"}.ask(ctx, t, args, func(ctx context.Context, b *box, _ []string) error {
		all, err := b.switchd.Calls(ctx)
		if err != nil {
			return err
		}
		slices.SortFunc(all, func(x, y ctl.LiveCall) int { return x.Start.Compare(y.Start) })
		if b.json {
			return printList(t.out, all)
		}
		now := time.Now()
		var rows [][]string
		for _, c := range all {
			rows = append(rows, []string{c.ID, c.State, party(c.Caller), c.Dialed, party(c.Callee), age(c.Start, now), age(c.Answered, now), orDash(strings.Join(c.Codecs, ","))})
		}
		printTable(t.out, []string{"ID", "STATE", "CALLER", "DIALED", "CALLEE", "SINCE", "TALKS", "CODECS"}, rows)
		return nil
	})
}

func party(p ctl.LiveParty) string { return orDash(cmp.Or(p.User, p.Number, p.Name)) }

func hangup(ctx context.Context, t *terminal, args []string) error {
	return question{name: "hangup", least: 1, most: 1}.ask(ctx, t, args, func(ctx context.Context, b *box, args []string) error {
		all, err := b.switchd.Calls(ctx)
		if err != nil {
			return err
		}
		call, err := chooseCall(all, args[0])
		if err != nil {
			return err
		}
		if err := b.switchd.HangUp(ctx, call.ID, whoAmI()); err != nil {
			return err
		}
		if b.json {
			return printJSON(t.out, call)
		}
		fmt.Fprintf(t.out, "call %s of %s and %s is ended\n", call.ID, printable(party(call.Caller)), printable(party(call.Callee)))
		return nil
	})
}

// chooseCall finds the call whose id is, or alone begins with, id.
func chooseCall(all []ctl.LiveCall, id string) (ctl.LiveCall, error) {
	var found []ctl.LiveCall
	for _, c := range all {
		if c.ID == id {
			return c, nil
		}
		if strings.HasPrefix(c.ID, id) {
			found = append(found, c)
		}
	}
	switch len(found) {
	case 0:
		return ctl.LiveCall{}, problem.New(problem.Missing, "call.missing", fmt.Sprintf("there is no call %q", id), "see the ids with: sanchar calls")
	case 1:
		return found[0], nil
	}
	return ctl.LiveCall{}, problem.New(problem.Conflict, "call.several", fmt.Sprintf("%d calls begin with %q", len(found), id), "give more of the id")
}

// whoAmI is the name in the record of who ended a call: that of the account on this machine.
func whoAmI() string {
	if u, err := user.Current(); err == nil {
		return "console:" + u.Username
	}
	return fmt.Sprintf("console:uid %d", os.Getuid())
}

func links(ctx context.Context, t *terminal, args []string) error {
	return question{name: "links"}.ask(ctx, t, args, func(ctx context.Context, b *box, _ []string) error {
		all, err := b.net.Links(ctx)
		if err != nil {
			return err
		}
		if b.json {
			return printList(t.out, all)
		}
		var rows [][]string
		for _, l := range all {
			var addrs []string
			for _, a := range l.Addresses {
				addrs = append(addrs, a.String())
			}
			rows = append(rows, []string{l.Name, linkKind(l), yesNo(l.Up), yesNo(l.Carrier), fmt.Sprint(l.MTU), orDash(l.MAC), orDash(strings.Join(addrs, " "))})
		}
		printTable(t.out, []string{"LINK", "KIND", "UP", "CARRIER", "MTU", "MAC", "ADDRESSES"}, rows)
		return nil
	})
}

func linkKind(l ctl.Link) string {
	if l.Loopback {
		return "loopback"
	}
	return cmp.Or(l.Kind, "hardware")
}
