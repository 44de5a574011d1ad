package netplan

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/coraltele/sanchar/pkg/network/netcfg"
)

// tester is what a test and a property have in common.
type tester interface {
	Helper()
	Fatalf(format string, args ...any)
}

// model does with a state what the kernel does with its own.
type model struct{ State }

// become carries out steps until none is left, as the applier does.
func (m *model) become(t tester, want State) {
	t.Helper()
	for round := 0; ; round++ {
		steps := Make(want, m.State).Steps
		if len(steps) == 0 {
			return
		}
		if round == 3 {
			t.Fatalf("after %d rounds there is still %v", round, steps)
		}
		for _, s := range steps {
			m.do(t, s)
		}
	}
}

func (m *model) link(name string) *Link {
	for i := range m.Links {
		if m.Links[i].Name == name {
			return &m.Links[i]
		}
	}
	return nil
}

func (m *model) do(t tester, s Step) {
	t.Helper()
	switch s.Act {
	case AddLink:
		if m.link(s.Link.Name) != nil || s.Link.Parent != "" && m.link(s.Link.Parent) == nil {
			t.Fatalf("%s: it is there, or its parent is not", s)
		}
		made := s.Link
		made.Up, made.Master, made.STP = false, "", false
		if made.Kind == KindWireGuard {
			made.Alias = Alias + "wireguard"
		}
		m.Links = append(m.Links, made)
	case RemoveLink:
		m.remove(s.Was.Name)
	case Release:
		*m.link(s.Was.Name) = Link{Name: s.Was.Name, Kind: "device", MTU: s.Was.MTU}
		m.forget(s.Was.Name)
	case TakeLink:
		m.link(s.Link.Name).Alias = s.Link.Alias
	case SetMTU:
		m.link(s.Link.Name).MTU = s.Link.MTU
	case SetMaster:
		if s.Link.Master != "" && m.link(s.Link.Master) == nil {
			t.Fatalf("%s: it is not there", s)
		}
		m.link(s.Link.Name).Master = s.Link.Master
	case SetUp, SetDown:
		if l := m.link(s.Link.Name); s.Act == SetUp && l.Parent != "" && !m.link(l.Parent).Up {
			t.Fatalf("%s: its parent is off", s)
		}
		m.link(s.Link.Name).Up = s.Act == SetUp
	case SetSTP:
		m.link(s.Link.Name).STP = s.Link.STP
	case Set:
		for _, set := range s.Settings {
			m.Settings[set.Path] = set.Value
		}
	default:
		m.doOnLinks(t, s)
	}
}

func (m *model) doOnLinks(t tester, s Step) {
	t.Helper()
	switch s.Act { //nolint:exhaustive // the rest is in do
	case AddAddr:
		if slices.ContainsFunc(m.Addrs, func(a Addr) bool { return a.Prefix.Addr() == s.Addr.Prefix.Addr() }) {
			t.Fatalf("%s: another link has it", s)
		}
		m.Addrs = append(m.Addrs, s.Addr)
	case RemoveAddr:
		m.Addrs = slices.DeleteFunc(m.Addrs, func(a Addr) bool { return a == s.Addr })
	case AddRoute:
		m.Routes = append(m.Routes, s.Route)
	case RemoveRoute:
		m.Routes = slices.DeleteFunc(m.Routes, func(r Route) bool { return r == s.Route })
	case AddRule:
		m.Rules = append(m.Rules, s.Rule)
	case RemoveRule:
		m.Rules = slices.DeleteFunc(m.Rules, func(r Rule) bool { return r == s.Rule })
	case SetTunnel:
		m.Tunnels = append(slices.DeleteFunc(m.Tunnels, func(t Tunnel) bool { return t.Link == s.Tunnel.Link }), s.Tunnel)
		m.link(s.Tunnel.Link).Alias = s.Link.Alias
	case SetQueue:
		m.Queues = append(slices.DeleteFunc(m.Queues, func(q Queue) bool { return q.Link == s.Queue.Link }), s.Queue)
	case RemoveQueue:
		m.Queues = slices.DeleteFunc(m.Queues, func(q Queue) bool { return q == s.Queue })
	default:
		t.Fatalf("no such act: %s", s.Act)
	}
}

// remove takes a link away with all that is on it.
func (m *model) remove(name string) {
	m.Links = slices.DeleteFunc(m.Links, func(l Link) bool { return l.Name == name })
	m.forget(name)
	m.Tunnels = slices.DeleteFunc(m.Tunnels, func(t Tunnel) bool { return t.Link == name })
	for i := range m.Links {
		if m.Links[i].Master == name {
			m.Links[i].Master = ""
		}
	}
	maps.DeleteFunc(m.Settings, func(path, _ string) bool { return linkOf(path) == name })
	for _, l := range slices.Clone(m.Links) {
		if l.Parent == name {
			m.remove(l.Name)
		}
	}
}

// forget takes away what a link has.
func (m *model) forget(name string) {
	m.Addrs = slices.DeleteFunc(m.Addrs, func(a Addr) bool { return a.Link == name })
	m.Routes = slices.DeleteFunc(m.Routes, func(r Route) bool { return r.Link == name })
	m.Queues = slices.DeleteFunc(m.Queues, func(q Queue) bool { return q.Link == name || q.From == name })
}

// drawDocument draws a valid document of up to four ports and what can be made of them.
func drawDocument(r *rapid.T) (d netcfg.Document) {
	yes := func(what string) bool { return rapid.Bool().Draw(r, what) }
	size := func() int { return rapid.SampledFrom([]int{0, 1400, 9000}).Draw(r, "mtu") }
	for i := range 4 {
		if yes("port") {
			d.Ports = append(d.Ports, netcfg.Port{Name: fmt.Sprint("eth", i), MTU: 9000, Disabled: yes("disabled")})
		}
	}
	free := make([]string, 0, len(d.Ports)) // links that are no members yet
	for _, p := range d.Ports {
		free = append(free, p.Name)
	}
	take := func(what string) (taken []string) {
		free = slices.DeleteFunc(free, func(name string) bool {
			if yes(what) {
				taken = append(taken, name)
				return true
			}
			return false
		})
		return taken
	}
	if members := take("bonded"); len(members) > 0 {
		mode := rapid.SampledFrom([]netcfg.BondMode{netcfg.ActiveBackup, netcfg.LACP}).Draw(r, "mode")
		d.Bonds = []netcfg.Bond{{Name: "bond0", Members: members, Mode: mode, LACPFast: yes("fast"), MTU: 9000}}
		free = append(free, "bond0")
	}
	for _, parent := range slices.Clone(free) {
		for id := 1; id < 4; id++ {
			if yes("vlan") {
				v := netcfg.VLAN{Parent: parent, ID: id, MTU: size()}
				d.VLANs = append(d.VLANs, v)
				free = append(free, v.NameOr())
			}
		}
	}
	if yes("bridge") {
		d.Bridges = []netcfg.Bridge{{Name: "br0", Members: take("bridged"), STP: yes("stp"), MTU: 1400}}
		free = append(free, "br0")
	}
	if yes("tunnel") {
		d.WireGuard = []netcfg.WireGuard{{Name: "wg0", ListenPort: uint16(rapid.IntRange(1, 3).Draw(r, "listen"))}}
		free = append(free, "wg0")
	}
	d.Zones = []netcfg.Zone{{Name: "A"}}
	for i, name := range rapid.Permutation(free).Draw(r, "order") {
		f := netcfg.Interface{Link: name, Zone: "A", Addresses: []netcfg.Prefix{{Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i), 0, 1}), 24)}}}
		d.Interfaces = append(d.Interfaces, f)
		if len(d.Uplinks) < 3 && yes("uplink") {
			u := netcfg.Uplink{Name: name, Link: name, Gateway4: netcfg.Addr{Addr: netip.AddrFrom4([4]byte{10, byte(i), 0, 2})}}
			if yes("shaped") {
				u.Shaping = &netcfg.Shaping{UpKbit: 1000 * rapid.IntRange(1, 2).Draw(r, "up"), DownKbit: 1000 * rapid.IntRange(0, 1).Draw(r, "down")}
			}
			d.Uplinks = append(d.Uplinks, u)
		}
	}
	return d
}

// From any document to any other: the steps can be done in their order, and then none is left.
func TestAnyDocumentIsReachedFromAnyOther(t *testing.T) {
	t.Parallel()
	valid := rapid.Custom(drawDocument).Filter(func(d netcfg.Document) bool { return len(netcfg.Validate(d)) == 0 })
	rapid.Check(t, func(r *rapid.T) {
		m := &model{State{Settings: map[string]string{}}}
		for i := range 4 {
			m.Links = append(m.Links, Link{Name: fmt.Sprint("eth", i), Kind: "device", MTU: 1500})
		}
		for range 3 {
			m.become(r, Desired(valid.Draw(r, "document"), Facts{}))
		}
	})
}
