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

// ask gathers the facts: those that nobody tells now stay as they were.
func (g *Guard) ask(ctx context.Context, old filter.Facts, links []ctl.Link) filter.Facts {
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	facts := old
	if st, err := g.cfg.Switch.Status(ctx); err == nil && len(st.Listeners) > 0 {
		facts.SIPUDP, facts.SIPStream = sipPorts(st.Listeners)
	}
	if st, err := g.cfg.Media.Status(ctx); err == nil && st.Ports.Last > 0 {
		facts.Media = ruleset.PortRange{First: st.Ports.First, Last: st.Ports.Last}
	}
	if st, err := g.cfg.Admin.Status(ctx); err == nil && st.Page != "" {
		facts.Page = portOf(st.Page)
	}
	if links != nil {
		facts.Addresses = addresses(links)
	}
	return facts
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
