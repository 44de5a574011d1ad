package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/user"
	"strconv"
	"strings"
	"time"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/network/netcfg"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// applyWithin is how long a change of the network may take: names of peers are looked up in it.
const applyWithin = 2 * time.Minute

// atConsole is the author of changes made by this program.
func atConsole() string {
	if u, err := user.Current(); err == nil {
		return u.Username + " at the console"
	}
	return "console"
}

func netShow(ctx context.Context, t *terminal, args []string) error {
	return question{name: "net show"}.ask(ctx, t, args, func(ctx context.Context, b *box, _ []string) error {
		doc, err := b.net.Document(ctx)
		if err != nil {
			return err
		}
		st, err := b.net.State(ctx)
		if err != nil {
			return err
		}
		if b.json {
			return printJSON(t.out, struct {
				ctl.NetDocument
				State ctl.NetState `json:"state"`
			}{doc, st})
		}
		return showNetwork(t.out, doc, st)
	})
}

func showNetwork(w io.Writer, doc ctl.NetDocument, st ctl.NetState) error {
	d, err := netcfg.Parse(doc.Document)
	if err != nil {
		return err
	}
	rows := [][]string{{"mode", st.Mode}, {"revision", fmt.Sprintf("%d, by %s", doc.Number, orDash(doc.Who))}}
	if c := doc.Candidate; c != nil {
		rows = append(rows, []string{"CANDIDATE", fmt.Sprintf("by %s, goes back at %s unless confirmed: sanchar net confirm", c.Who, c.Until.Local().Format(time.TimeOnly))})
	}
	for _, u := range st.Uplinks {
		state := map[bool]string{true: "works", false: "DOWN: " + u.Why}[u.Up]
		if u.Active {
			state += ", in use"
		}
		rows = append(rows, []string{"uplink " + u.Name, u.Link + ", " + state})
	}
	for _, l := range st.Leases {
		rows = append(rows, []string{"lease", fmt.Sprintf("%s has %s from %s until %s", l.Link, l.Address, l.Server, l.Until.Local().Format(time.DateTime))})
	}
	for _, group := range []struct {
		name  string
		lines []string
	}{{"to do", st.Left}, {"waits", st.Waiting}, {"foreign", st.Foreign}} {
		for _, line := range group.lines {
			rows = append(rows, []string{group.name, line})
		}
	}
	if st.Fault != "" {
		rows = append(rows, []string{"FAULT", st.Fault})
	}
	printTable(w, nil, rows)
	var links [][]string
	for _, f := range d.Interfaces {
		links = append(links, []string{f.Link, f.Zone, interfaceWords(f)})
	}
	fmt.Fprintln(w)
	printTable(w, []string{"LINK", "ZONE", "ADDRESSES"}, links)
	return nil
}

func interfaceWords(f netcfg.Interface) string {
	var words []string
	for _, a := range f.Addresses {
		words = append(words, a.String())
	}
	if f.DHCP4 != nil {
		words = append(words, "DHCP")
	}
	if f.SLAAC {
		words = append(words, "SLAAC")
	}
	return orDash(strings.Join(words, " "))
}

func netPlan(ctx context.Context, t *terminal, args []string) error {
	return question{name: "net plan", least: 1, most: 1}.ask(ctx, t, args, func(ctx context.Context, b *box, args []string) error {
		p, err := proposal(ctx, t, b, args[0])
		if err != nil {
			return err
		}
		plan, err := b.net.Propose(ctx, p)
		if err != nil || b.json {
			return orPrint(t, err, plan)
		}
		printPlan(t.out, plan)
		return nil
	})
}

// orPrint prints JSON unless there is an error.
func orPrint(t *terminal, err error, v any) error {
	if err != nil {
		return err
	}
	return printJSON(t.out, v)
}

func printPlan(w io.Writer, plan ctl.NetPlan) {
	section := func(title string, lines []string) {
		if len(lines) > 0 {
			fmt.Fprintln(w, title)
		}
		for _, line := range lines {
			fmt.Fprintln(w, "  "+printable(line))
		}
	}
	steps := make([]string, 0, len(plan.Steps))
	for _, s := range plan.Steps {
		steps = append(steps, s.Text)
	}
	section("Document:", plan.Changes)
	section("Steps:", steps)
	section("Firewall:", plan.Firewall)
	section("Waits:", plan.Waiting)
	section("Cannot be done:", plan.Blocked)
	section("Left alone, made by others:", plan.Foreign)
	if len(plan.Changes)+len(plan.Steps)+len(plan.Firewall) == 0 {
		fmt.Fprintln(w, "Nothing would change.")
	}
}

// proposal is the document of a file, as a change of what is confirmed now.
func proposal(ctx context.Context, t *terminal, b *box, file string) (p ctl.NetProposal, err error) {
	text, err := readInput(t, file)
	if err != nil {
		return p, err
	}
	if !json.Valid(text) { // else the socket would refuse the whole question
		_, err := netcfg.Parse(text)
		return p, err
	}
	now, err := b.net.Document(ctx)
	return ctl.NetProposal{Document: text, Revision: now.Number, Who: atConsole()}, err
}

func readInput(t *terminal, file string) ([]byte, error) {
	if file == "-" {
		return io.ReadAll(t.in)
	}
	return os.ReadFile(file)
}

func netApply(ctx context.Context, t *terminal, args []string) error {
	return question{name: "net apply", least: 1, most: 1, within: applyWithin}.ask(ctx, t, args, func(ctx context.Context, b *box, args []string) error {
		p, err := proposal(ctx, t, b, args[0])
		if err != nil {
			return err
		}
		return b.applied(ctx, t, p)
	})
}

func netRestore(ctx context.Context, t *terminal, args []string) error {
	return question{name: "net restore", least: 1, most: 1, within: applyWithin}.ask(ctx, t, args, func(ctx context.Context, b *box, args []string) error {
		number, err := strconv.ParseUint(args[0], 10, 64)
		if err != nil || number == 0 {
			return usageError{"net restore needs the number of a revision: see sanchar net revisions"}
		}
		now, err := b.net.Document(ctx)
		if err != nil {
			return err
		}
		return b.applied(ctx, t, ctl.NetProposal{Restore: number, Revision: now.Number, Who: atConsole()})
	})
}

// applied applies a change and tells how to make it last.
func (b *box) applied(ctx context.Context, t *terminal, p ctl.NetProposal) error {
	c, err := b.net.Apply(ctx, p)
	if err != nil || b.json {
		return orPrint(t, err, c)
	}
	for _, line := range c.Changes {
		fmt.Fprintln(t.out, printable(line))
	}
	fmt.Fprintf(t.out, "Applied. It goes back at %s unless you say: sanchar net confirm\n", c.Until.Local().Format(time.TimeOnly))
	return nil
}

func netConfirm(ctx context.Context, t *terminal, args []string) error {
	return question{name: "net confirm"}.ask(ctx, t, args, func(ctx context.Context, b *box, _ []string) error {
		rev, err := b.net.Confirm(ctx, atConsole())
		if err != nil || b.json {
			return orPrint(t, err, rev)
		}
		fmt.Fprintf(t.out, "Confirmed as revision %d.\n", rev.Number)
		return nil
	})
}

func netRevert(ctx context.Context, t *terminal, args []string) error {
	return question{name: "net revert", within: applyWithin}.ask(ctx, t, args, func(ctx context.Context, b *box, _ []string) error {
		if err := b.net.Revert(ctx, atConsole()); err != nil {
			return err
		}
		fmt.Fprintln(t.out, "The network is as it was.")
		return nil
	})
}

func netRevisions(ctx context.Context, t *terminal, args []string) error {
	return question{name: "net revisions"}.ask(ctx, t, args, func(ctx context.Context, b *box, _ []string) error {
		revs, err := b.net.Revisions(ctx)
		if err != nil {
			return err
		}
		if b.json {
			return printList(t.out, revs)
		}
		for _, r := range revs {
			fmt.Fprintf(t.out, "%d  %s  %s\n", r.Number, r.At.Local().Format(time.DateTime), printable(r.Who))
			for _, line := range r.Changes {
				fmt.Fprintln(t.out, "   "+printable(line))
			}
		}
		return nil
	})
}

// netSetAddress is for the console of a box that cannot be reached: the change is confirmed at once,
// for who is there is not cut off by it.
func netSetAddress(ctx context.Context, t *terminal, args []string) error {
	return question{name: "net set-address", least: 2, most: 3, within: applyWithin}.ask(ctx, t, args, func(ctx context.Context, b *box, args []string) error {
		now, err := b.net.Document(ctx)
		if err != nil {
			return err
		}
		doc, err := netcfg.Parse(now.Document)
		if err != nil {
			return err
		}
		if err := setAddress(&doc, args[0], args[1], strings.Join(args[2:], "")); err != nil {
			return err
		}
		text, err := json.Marshal(doc)
		if err != nil {
			return err
		}
		if _, err := b.net.Apply(ctx, ctl.NetProposal{Document: text, Revision: now.Number, Who: atConsole()}); err != nil {
			return err
		}
		rev, err := b.net.Confirm(ctx, atConsole())
		if err != nil || b.json {
			return orPrint(t, err, rev)
		}
		fmt.Fprintf(t.out, "%s has %s. Confirmed as revision %d.\n", args[0], args[1], rev.Number)
		return nil
	})
}

// setAddress gives a link its only address: "dhcp", or one with its prefix length and a gateway.
func setAddress(doc *netcfg.Document, link, address, gateway string) error {
	at := -1
	for i, f := range doc.Interfaces {
		if f.Link == link {
			at = i
		}
	}
	if at < 0 {
		if len(doc.Zones) == 0 {
			return problem.New(problem.Invalid, "net.zones", "the document has no zones", "apply a whole document: sanchar net apply FILE")
		}
		if _, isPort := portOf(*doc, link); !isPort {
			doc.Ports = append(doc.Ports, netcfg.Port{Name: link})
		}
		doc.Interfaces = append(doc.Interfaces, netcfg.Interface{Link: link, Zone: doc.Zones[0].Name})
		at = len(doc.Interfaces) - 1
	}
	f := &doc.Interfaces[at]
	f.Addresses, f.DHCP4 = nil, nil
	var via netcfg.Addr
	if address == "dhcp" {
		f.DHCP4 = &netcfg.DHCPClient{}
	} else {
		p, err := netip.ParsePrefix(address)
		if err != nil {
			return problem.New(problem.Invalid, "net.address", address+" is no address with a prefix length", "write it as 192.0.2.10/24, or dhcp")
		}
		f.Addresses = []netcfg.Prefix{{Prefix: p}}
	}
	if gateway != "" {
		a, err := netip.ParseAddr(gateway)
		if err != nil {
			return problem.New(problem.Invalid, "net.gateway", gateway+" is no address", "write it as 192.0.2.1")
		}
		via.Addr = a
	}
	setGateway(doc, link, via, address == "dhcp")
	return nil
}

func portOf(doc netcfg.Document, name string) (netcfg.Port, bool) {
	for _, p := range doc.Ports {
		if p.Name == name {
			return p, true
		}
	}
	return netcfg.Port{}, false
}

// setGateway changes the uplink of a link; one that could have no gateway any more goes.
func setGateway(doc *netcfg.Document, link string, via netcfg.Addr, dhcp bool) {
	kept := doc.Uplinks[:0:0]
	found := false
	for _, u := range doc.Uplinks {
		if u.Link != link {
			kept = append(kept, u)
			continue
		}
		u.Gateway4, u.Gateway6 = netcfg.Addr{}, netcfg.Addr{}
		if found = true; via.IsValid() || dhcp {
			kept = append(kept, gatewayOf(u, via))
		}
	}
	if !found && via.IsValid() {
		kept = append(kept, gatewayOf(netcfg.Uplink{Name: link, Link: link, Check: netcfg.Check{Method: netcfg.CheckLink}}, via))
	}
	doc.Uplinks = kept
}

func gatewayOf(u netcfg.Uplink, via netcfg.Addr) netcfg.Uplink {
	if via.Is4() {
		u.Gateway4 = via
	} else if via.IsValid() {
		u.Gateway6 = via
	}
	return u
}
