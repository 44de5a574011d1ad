package diag

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"

	names "github.com/coraltele/sanchar/pkg/network/dns"
	"github.com/coraltele/sanchar/pkg/network/netmon"
	"github.com/coraltele/sanchar/pkg/network/ntp"
	"github.com/coraltele/sanchar/pkg/network/onlink"
	"github.com/coraltele/sanchar/pkg/network/probe"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

const (
	askTime   = 3 * time.Second
	wrongTime = time.Second // off by more, signatures and recordings are doubtful
)

// gateway asks the router whether it is there: by ping, or else by its hardware address.
func (u uplink) gateway(ctx context.Context) finding {
	l, _ := u.link()
	at := slices.IndexFunc(u.detail.Routes, func(r ctl.Route) bool {
		return r.To.Bits() == 0 && r.Link == u.Link && r.Gateway.IsValid()
	})
	if at < 0 {
		return failed("no default route by "+u.Link, "give the uplink a gateway, or let DHCP tell it")
	}
	gw := u.detail.Routes[at].Gateway
	near := gw.IsLinkLocalUnicast() || slices.ContainsFunc(l.Addresses, func(p netip.Prefix) bool { return p.Contains(gw) })
	if !near {
		return failed(fmt.Sprintf("gateway %s is in none of the networks of %s", gw, u.Link), "correct the gateway, or the length of the address's prefix")
	}
	target := probe.Target{Addr: gw, Iface: u.Link}
	if gw.IsLinkLocalUnicast() {
		target.Addr = gw.WithZone(onlink.Zone(l.Index))
	}
	got, took := 0, time.Duration(0)
	opt := probe.Options{Count: 3, Interval: 200 * time.Millisecond, Timeout: time.Second}
	err := probe.Ping(ctx, target, opt, func(r probe.Reply) {
		if r.Fault == "" {
			got, took = got+1, max(took, r.Took)
		}
	})
	switch {
	case got == opt.Count:
		return well(fmt.Sprintf("%s answers within %s", gw, rounded(took)))
	case got > 0:
		return warn(fmt.Sprintf("%s answers %d of %d times", gw, got, opt.Count), "the cable, the radio link or the router is overloaded: look at its load")
	case heardOf(gw, u.Link):
		return warn(fmt.Sprintf("%s is on the link, but does not answer ping", gw), "nothing, if the router is known to be silent")
	case err != nil && ctx.Err() == nil:
		return failed("could not ask "+gw.String()+": "+err.Error(), "run it as the box does, with the right to raw sockets")
	}
	return failed(fmt.Sprintf("nobody on %s says that it is %s", u.Link, gw), "switch the router on; compare the gateway's address with the router's; look at the VLAN of the switch's port")
}

// heardOf reports whether the kernel has the hardware address of a host.
func heardOf(a netip.Addr, link string) bool {
	d, err := netmon.Detail()
	return err == nil && slices.ContainsFunc(d.Neighbours, func(n ctl.Neighbour) bool {
		return n.Address == a && n.Link == link && n.MAC != "" && n.State != "failed" && n.State != "incomplete"
	})
}

func rounded(d time.Duration) time.Duration { return d.Round(100 * time.Microsecond) }

// namer asks name servers.
type namer struct{ servers []netip.AddrPort }

// check asks each for the servers of the root, which each must know.
func (n namer) check(ctx context.Context) finding {
	if len(n.servers) == 0 {
		return failed("no name server is known", "name one in the network settings, or let DHCP tell it")
	}
	answers := make([]string, len(n.servers)) // "" is well
	var wg sync.WaitGroup
	for i, s := range n.servers {
		wg.Go(func() {
			m, err := n.ask(ctx, s, ".", dns.TypeNS)
			switch {
			case err != nil:
				answers[i] = fmt.Sprintf("%s: %s", s.Addr(), plain(err))
			case m.Rcode != dns.RcodeSuccess:
				answers[i] = fmt.Sprintf("%s: %s", s.Addr(), dns.RcodeToString[m.Rcode])
			}
		})
	}
	wg.Wait()
	bad := slices.DeleteFunc(slices.Clone(answers), func(a string) bool { return a == "" })
	switch {
	case len(bad) == 0:
		return well(fmt.Sprintf("%d of %d name servers answer", len(n.servers), len(n.servers)))
	case len(bad) < len(n.servers):
		return warn(strings.Join(bad, "; "), "take those that do not answer out of the network settings")
	}
	return failed(strings.Join(bad, "; "), "name servers that answer, such as the router's or 9.9.9.9; look whether a firewall forbids port 53")
}

func (n namer) ask(ctx context.Context, server netip.AddrPort, name string, kind uint16) (*dns.Msg, error) {
	m, _, err := (&dns.Client{Timeout: askTime}).ExchangeContext(ctx, new(dns.Msg).SetQuestion(dns.Fqdn(name), kind), server.String())
	return m, err
}

func (n namer) lookup(ctx context.Context, name string) ([]netip.Addr, error) {
	return names.Lookup(ctx, n.servers, name)
}

// plain says what went wrong without what only programmers read.
func plain(err error) string {
	if nerr := net.Error(nil); errors.As(err, &nerr) && nerr.Timeout() {
		return "no answer"
	}
	if op := (*net.OpError)(nil); errors.As(err, &op) {
		return op.Err.Error()
	}
	return err.Error()
}

// reach is the hosts of the Internet: one that answers is enough.
type reach []netip.AddrPort

func (r reach) check(ctx context.Context) finding {
	hosts := []netip.AddrPort(r)
	if len(hosts) == 0 {
		hosts = DefaultReach()
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type result struct {
		text string
		err  error
	}
	results := make(chan result, len(hosts))
	for _, h := range hosts {
		go func() {
			start := time.Now()
			c, err := (&net.Dialer{Timeout: askTime}).DialContext(ctx, "tcp", h.String())
			if err == nil {
				_ = c.Close() // nothing was sent
			}
			results <- result{fmt.Sprintf("%s answers after %s", h.Addr(), rounded(time.Since(start))), err}
		}()
	}
	var first finding
	for range hosts {
		got := <-results
		if got.err == nil && first.state == "" {
			first = well(got.text)
			cancel() // the others end at once
		}
	}
	if first.state != "" {
		return first
	}
	return failed("none of "+strings.Trim(fmt.Sprint(hosts), "[]")+" answers", "ask the provider, and look at the router's own page: the way ends behind the gateway")
}

// clock compares the box's time with others'.
type clock struct{ Config }

func (c clock) check(ctx context.Context) finding {
	if len(c.Sources) == 0 {
		return failed("no source of the time is known", "name one in the network settings")
	}
	var st ntp.State
	if c.Clock != nil {
		st = c.Clock()
	}
	if !st.Synced {
		st = ntp.Measure(ctx, c.Sources, namer{c.Servers}.lookup)
	}
	if !st.Synced {
		return failed("no source of the time agrees with others: "+sourceFaults(st), "name other sources; look whether a firewall forbids port 123")
	}
	if st.Offset.Abs() > wrongTime {
		return warn(fmt.Sprintf("the clock is wrong by %s", st.Offset.Round(time.Millisecond)), "wait a few minutes; if it stays, the box may not set its clock")
	}
	return well(fmt.Sprintf("the clock is right to %s, stratum %d", max(st.Offset.Abs(), time.Microsecond).Round(time.Microsecond), st.Stratum))
}

func sourceFaults(st ntp.State) string {
	var parts []string
	for _, s := range st.Sources {
		parts = append(parts, s.Name+": "+cmp.Or(s.Fault, "it says another time"))
	}
	return strings.Join(parts, "; ")
}
