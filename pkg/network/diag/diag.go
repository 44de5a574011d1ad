package diag

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/coraltele/sanchar/pkg/network/netmon"
	"github.com/coraltele/sanchar/pkg/network/ntp"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// Uplink is a way out.
type Uplink struct {
	Name string
	Link string
}

// Config says what should be there.
type Config struct {
	Uplinks []Uplink         // none: the links that have a default route
	Servers []netip.AddrPort // of names
	Sources []string         // of the time
	Clock   func() ntp.State // how the box's clock is; nil asks Sources
	Trunk   string           // host and perhaps port that should answer SIP; "" looks at none
	Reach   []netip.AddrPort // hosts of the Internet; none are DefaultReach
}

// DefaultReach are hosts that answer for long at the same addresses: the HTTPS of public name servers.
func DefaultReach() []netip.AddrPort {
	return []netip.AddrPort{
		netip.MustParseAddrPort("9.9.9.9:443"), netip.MustParseAddrPort("1.1.1.1:443"), netip.MustParseAddrPort("8.8.8.8:443"),
		netip.MustParseAddrPort("[2620:fe::fe]:443"),
	}
}

// Run looks at all, as much of it at once as can be.
func Run(ctx context.Context, cfg Config) (ctl.Diagnosis, error) {
	d, err := netmon.Detail()
	if err != nil {
		return ctl.Diagnosis{}, fmt.Errorf("look at the kernel's network: %w", err)
	}
	return run(ctx, checks(cfg, d)), nil
}

// checks are all, what is needed before what needs it.
func checks(cfg Config, d ctl.NetDetail) (all []check) {
	var gateways []string
	uplinks := cfg.Uplinks
	if len(uplinks) == 0 {
		uplinks = routed(d)
	}
	for _, u := range uplinks {
		up := uplink{u, d}
		cable, address, gateway := "cable "+u.Link, "address "+u.Link, "gateway "+u.Link
		all = append(
			all,
			check{cable, "Cable of " + u.Name, nil, func(context.Context) finding { return up.cable() }},
			check{address, "Address of " + u.Name, []string{cable}, func(context.Context) finding { return up.address() }},
			check{gateway, "Gateway of " + u.Name, []string{address}, up.gateway},
		)
		gateways = append(gateways, gateway)
	}
	if len(uplinks) == 0 {
		all = append(all, check{"uplink", "Uplink", nil, func(context.Context) finding {
			return failed("no link has a default route", "say in the network settings which link leads outside, or give the box a gateway")
		}})
		gateways = []string{"uplink"}
	}
	servers := namer{cfg.Servers}
	all = append(
		all,
		check{"dns", "Name servers", gateways, servers.check},
		check{"internet", "Internet", gateways, reach(cfg.Reach).check},
		check{"time", "Time", timeNeeds(cfg, gateways), clock{cfg}.check},
	)
	if cfg.Trunk != "" {
		all = append(all, check{"trunk", "Trunk " + cfg.Trunk, trunkNeeds(cfg, gateways), trunk{cfg.Trunk, servers}.check})
	}
	return all
}

// timeNeeds: names of sources need name servers, addresses need a way only.
func timeNeeds(cfg Config, gateways []string) []string {
	if slices.ContainsFunc(cfg.Sources, func(s string) bool { _, err := netip.ParseAddr(s); return err != nil }) {
		return []string{"dns"}
	}
	return gateways
}

func trunkNeeds(cfg Config, gateways []string) []string {
	host, _, err := splitTrunk(cfg.Trunk)
	if _, addrErr := netip.ParseAddr(host); err == nil && addrErr != nil {
		return []string{"dns"}
	}
	return gateways
}

// routed are the links with a default route.
func routed(d ctl.NetDetail) (all []Uplink) {
	for _, r := range d.Routes {
		u := Uplink{r.Link, r.Link}
		if r.To.Bits() == 0 && r.Link != "" && r.Gateway.IsValid() && !slices.Contains(all, u) {
			all = append(all, u)
		}
	}
	return all
}

// uplink looks at a link.
type uplink struct {
	Uplink
	detail ctl.NetDetail
}

func (u uplink) link() (ctl.LinkDetail, bool) {
	at := slices.IndexFunc(u.detail.Links, func(l ctl.LinkDetail) bool { return l.Name == u.Link })
	if at < 0 {
		return ctl.LinkDetail{}, false
	}
	return u.detail.Links[at], true
}

func (u uplink) cable() finding {
	l, there := u.link()
	switch {
	case !there:
		return failed("there is no link "+u.Link, "choose another port in the network settings, or plug the adapter in")
	case !l.Up:
		return failed(u.Link+" is switched off", "switch the port on in the network settings")
	case !l.Carrier:
		return failed(u.Link+" has no carrier", "plug the cable in at both ends; try another cable and another port of the switch")
	}
	evidence := u.Link + " has a carrier"
	if l.SpeedMbit > 0 {
		evidence += fmt.Sprintf(", %d Mbit/s %s duplex", l.SpeedMbit, l.Duplex)
	}
	const enough = 1000 // packets, before a rate of errors says anything
	total, wrong := l.Received.Packets+l.Sent.Packets, l.Received.Errors+l.Sent.Errors
	switch {
	case l.Duplex == "half":
		return warn(evidence, "let both ends negotiate: half duplex loses packets under load")
	case l.SpeedMbit > 0 && l.SpeedMbit < 100:
		return warn(evidence, "replace the cable: a broken pair makes a port fall back to 10 Mbit/s")
	case total > enough && wrong*1000 > total:
		return warn(fmt.Sprintf("%s, %d of %d packets are damaged", evidence, wrong, total), "replace the cable")
	}
	return well(evidence)
}

func (u uplink) address() finding {
	l, _ := u.link()
	var good, local []string
	for _, p := range l.Addresses {
		if p.Addr().IsLinkLocalUnicast() {
			local = append(local, p.String())
		} else {
			good = append(good, p.String())
		}
	}
	switch {
	case len(good) > 0:
		return well(u.Link + " has " + strings.Join(good, ", "))
	case slices.ContainsFunc(l.Addresses, func(p netip.Prefix) bool { return p.Addr().Is4() }):
		return failed(u.Link+" has only "+strings.Join(local, ", ")+", which no DHCP server gave", "look at the DHCP server of that network, or give the box a fixed address")
	}
	return failed(u.Link+" has no address", "look at the DHCP server of that network and at the VLAN of the switch's port, or give the box a fixed address")
}
