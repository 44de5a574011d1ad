package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// setupCodeFile is where admind leaves the one-time code while nobody has set up the box.
const setupCodeFile = "setup-code"

// greet tells a person what runs and how to go on, and then a script that all is ready.
func (d *devBox) greet(ctx context.Context, st boxStatus) error {
	if d.opt.tokenFile != "" {
		if _, err := os.Stat(d.opt.tokenFile); err != nil {
			return fmt.Errorf("admind has written no API token: %w", err)
		}
	}
	code, err := os.ReadFile(filepath.Join(d.opt.data, "admin", setupCodeFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	addr, err := d.phoneAddress(ctx)
	if err != nil {
		return err
	}
	name, err := d.firstUser(ctx)
	if err != nil {
		return err
	}
	printTable(d.t.out, nil, d.facts(st, strings.TrimSpace(string(code)), addr))
	fmt.Fprint(d.t.out, d.phoneText(st.Switch.Domain, addr, name))
	_, err = fmt.Fprintln(d.t.out, "ready")
	return err
}

// facts are what a person looks for first.
func (d *devBox) facts(st boxStatus, code string, addr netip.Addr) [][]string {
	local := "https://" + net.JoinHostPort("localhost", strconv.Itoa(d.opt.https))
	rows := [][]string{{"page", st.Admin.Page}}
	if d.opt.everyAddress() && st.Admin.Page != local {
		rows = append(rows, []string{"", local + " on this machine"})
	}
	if code != "" {
		rows = append(rows, []string{"set-up code", code + " (the page asks for it, once)"})
	}
	domain := st.Switch.Domain
	if domain == "" {
		domain = "none yet: the set-up page asks for it"
	}
	return append(rows,
		[]string{"domain", domain},
		[]string{"SIP", fmt.Sprintf("%s port %d over UDP and TCP, %d over TLS", addr, d.opt.sip, d.opt.sips)},
		[]string{"network", "of this machine is not touched: netd plans only"},
		[]string{"data", d.opt.data},
		[]string{"log", d.opt.logFile()},
	)
}

// phoneText tells how to register a first phone.
func (d *devBox) phoneText(domain string, addr netip.Addr, name string) string {
	var b strings.Builder
	at := netip.AddrPortFrom(addr, uint16(d.opt.sip)).String()
	b.WriteString("\nA first phone:\n")
	if domain == "" {
		b.WriteString("  set the box up on its page, which gives it a domain\n")
		domain = "DOMAIN"
	}
	if name == "" {
		name = "alice"
		fmt.Fprintf(&b, "  add a user on the page, or with: %s users add %s 101 --run %s\n", os.Args[0], name, d.opt.runDir())
	}
	// Linphone's command line does nothing, and says nothing, when its folder is missing or its
	// standard port is taken: the box has that one.
	b.WriteString("  with linphonec on this machine: mkdir -p ~/.local/share/linphone && linphonec, and there\n")
	fmt.Fprintf(&b, "    ports sip %d\n    register sip:%s@%s sip:%s PASSWORD\n", d.opt.sip+10, name, domain, at)
	fmt.Fprintf(&b, "  with others: user %s, domain %s, its password, outbound proxy %s, transport UDP or TCP\n\n", name, domain, at)
	return b.String()
}

// phoneAddress is where a phone finds the box: the address of --bind, or the first that others can reach.
func (d *devBox) phoneAddress(ctx context.Context) (netip.Addr, error) {
	if !d.opt.everyAddress() {
		return netip.MustParseAddr(d.opt.bind), nil
	}
	all, err := d.box.net.Links(ctx)
	return reachable(all), err
}

// reachable returns the first address of a link that is up, IPv4 before IPv6; without one, this machine's own.
func reachable(all []ctl.Link) netip.Addr {
	found := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	for _, l := range all {
		for _, p := range l.Addresses {
			switch a := p.Addr(); {
			case !l.Up || !l.Carrier || l.Loopback || a.IsLinkLocalUnicast():
			case a.Is4():
				return a
			case found.IsLoopback():
				found = a
			}
		}
	}
	return found
}

// firstUser names a user for the example, "" when there is none.
func (d *devBox) firstUser(ctx context.Context) (string, error) {
	page, err := d.box.switchd.Users(ctx, ctl.UserQuery{Limit: 1})
	if err != nil || len(page.Users) == 0 {
		return "", err
	}
	return page.Users[0].Name, nil
}
