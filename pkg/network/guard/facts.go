package guard

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"reflect"
	"slices"
	"strconv"
	"time"

	"github.com/coraltele/sanchar/pkg/base/fsx"
	"github.com/coraltele/sanchar/pkg/network/filter"
	"github.com/coraltele/sanchar/pkg/network/ruleset"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// askLimit is how long a daemon may take to say what it listens on.
const askLimit = 2 * time.Second

// ask gathers the facts: those that nobody tells now stay as they were. It reports whether all have told.
func (g *Guard) ask(ctx context.Context, old filter.Facts, links []ctl.Link) (facts filter.Facts, complete bool) {
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	facts = old
	sw, swErr := g.cfg.Switch.Status(ctx)
	if swErr == nil {
		facts.SIPUDP, facts.SIPStream = sipPorts(sw.Listeners)
	}
	media, mediaErr := g.cfg.Media.Status(ctx)
	if mediaErr == nil {
		facts.Media, facts.STUN = ruleset.PortRange{First: media.Ports.First, Last: media.Ports.Last}, reachedAt(media.STUN)
	}
	admin, adminErr := g.cfg.Admin.Status(ctx)
	if adminErr == nil && admin.Page != "" {
		facts.Page, facts.Provision, facts.PlainProv = portOf(admin.Page), admin.Provision, admin.PlainProvision
	}
	if links != nil {
		facts.Addresses = addresses(links)
	}
	return facts, swErr == nil && mediaErr == nil && adminErr == nil
}

func sipPorts(listeners []ctl.Listener) (udp, stream []uint16) {
	for _, l := range listeners {
		switch {
		case l.Address.Addr().IsLoopback(): // reached by nobody
		case l.Transport == "udp":
			udp = append(udp, l.Address.Port())
		default:
			stream = append(stream, l.Address.Port())
		}
	}
	return sorted(udp), sorted(stream)
}

// reachedAt returns the ports that others than the box itself reach.
func reachedAt(all []netip.AddrPort) (ports []uint16) {
	for _, a := range all {
		if !a.Addr().IsLoopback() {
			ports = append(ports, a.Port())
		}
	}
	return sorted(ports)
}

func sorted(ports []uint16) []uint16 {
	slices.Sort(ports)
	return slices.Compact(ports)
}

// portOf returns the port of the page's address.
func portOf(page string) uint16 {
	u, err := url.Parse(page)
	if err != nil {
		return 0
	}
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	if err != nil {
		return 443 // RFC 9110 §4.2.2
	}
	return uint16(port)
}

// addresses leaves out what the ruleset does not look at, so that a change there changes nothing.
func addresses(links []ctl.Link) map[string][]netip.Prefix {
	all := map[string][]netip.Prefix{}
	for _, l := range links {
		for _, p := range l.Addresses {
			if a := p.Addr(); !l.Loopback && !a.IsLinkLocalUnicast() && a.Zone() == "" {
				all[l.Name] = append(all[l.Name], p)
			}
		}
	}
	return all
}

func same(a, b filter.Facts) bool { return reflect.DeepEqual(a, b) }

// readFacts returns what was kept; without a file, nothing and no error.
func readFacts(file string) (facts filter.Facts, err error) {
	data, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return facts, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &facts)
	}
	if err != nil {
		return filter.Facts{}, fmt.Errorf("read %s: %w", file, err)
	}
	return facts, nil
}

func writeFacts(file string, facts filter.Facts) error {
	data, err := json.Marshal(facts)
	if err != nil {
		return err
	}
	return fsx.WriteFile(file, data, 0o600)
}
