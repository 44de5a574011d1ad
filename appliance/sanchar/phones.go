package main

import (
	"context"
	"flag"
	"fmt"

	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// phonesList lists desk phones.
func phonesList(ctx context.Context, t *terminal, args []string) error {
	q := question{name: "phones list", most: 1}
	return q.ask(ctx, t, args, func(ctx context.Context, b *box, args []string) error {
		id := ""
		if len(args) > 0 {
			u, err := b.user(ctx, args[0])
			if err != nil {
				return err
			}
			id = u.ID
		}
		l, err := b.admin.DeskPhones(ctx, id)
		if err != nil || b.json {
			return orPrint(t, err, l)
		}
		users, err := b.users(ctx, "")
		if err != nil {
			return err
		}
		names := map[string]string{}
		for _, u := range users {
			names[u.ID] = u.Name
		}
		var rows [][]string
		for _, p := range l.Phones {
			rows = append(rows, []string{p.MAC, printable(names[p.User]), p.Maker, openUntil(p), tookSettings(p)})
		}
		printTable(t.out, []string{"MAC", "USER", "MAKER", "OPEN UNTIL", "TOOK ITS SETTINGS"}, rows)
		fmt.Fprintf(t.out, "%d requests were refused since the box started.\n", l.Refused)
		return nil
	})
}

const shortTime = "2006-01-02 15:04"

func openUntil(p ctl.DeskPhone) string {
	if p.Open.IsZero() {
		return "closed"
	}
	return p.Open.Local().Format(shortTime)
}

func tookSettings(p ctl.DeskPhone) string {
	if p.Taken.IsZero() {
		return "never"
	}
	text := p.Taken.Local().Format(shortTime) + " from " + p.From.String()
	if p.Plain {
		text += " over HTTP"
	}
	return text
}

// phonesBind binds a desk phone to a user.
func phonesBind(ctx context.Context, t *terminal, args []string) error {
	in := ctl.DeskPhoneChange{Who: atConsole()}
	q := question{name: "phones bind", least: 2, most: 2, define: func(f *flag.FlagSet) {
		f.StringVar(&in.Maker, "maker", "", "linphone, yealink, grandstream, polycom or snom (else by what the phone asks for)")
		f.StringVar(&in.Transport, "transport", "", "tls, tcp or udp (else the safest)")
		f.IntVar(&in.Hours, "hours", 0, "how long the phone may take its settings (else a day)")
	}}
	return q.ask(ctx, t, args, func(ctx context.Context, b *box, args []string) error {
		u, err := b.user(ctx, args[1])
		if err != nil {
			return err
		}
		in.User = u.ID
		p, err := b.admin.BindDeskPhone(ctx, args[0], in)
		if err != nil || b.json {
			return orPrint(t, err, p)
		}
		fmt.Fprintf(t.out, "%s is a phone of %s. It takes its settings once, until %s: start it anew.\n", p.MAC, printable(u.Name), openUntil(p))
		return nil
	})
}

// phonesRemove forgets a desk phone.
func phonesRemove(ctx context.Context, t *terminal, args []string) error {
	q := question{name: "phones remove", least: 1, most: 1}
	return q.ask(ctx, t, args, func(ctx context.Context, b *box, args []string) error {
		if err := b.admin.RemoveDeskPhone(ctx, args[0], atConsole()); err != nil {
			return err
		}
		if !b.json {
			fmt.Fprintln(t.out, "removed; its secret opens nothing any more")
		}
		return nil
	})
}
