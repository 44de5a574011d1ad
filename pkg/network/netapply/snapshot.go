package netapply

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/vishvananda/netlink"

	"github.com/coraltele/sanchar/pkg/network/netplan"
)

// dumpTries is how often an answer is asked for again that a change had interrupted.
const dumpTries = 5

// Snapshot reads what the kernel holds. Of its settings those are read that want names.
func (k *Kernel) Snapshot(want netplan.State) (s netplan.State, err error) {
	for range dumpTries {
		if s, err = k.snapshot(want); !errors.Is(err, netlink.ErrDumpInterrupted) {
			break
		}
	}
	if err != nil {
		return s, fmt.Errorf("read the state of the network: %w", err)
	}
	return s, nil
}

func (k *Kernel) snapshot(want netplan.State) (s netplan.State, err error) {
	found, err := netlink.LinkList()
	if err != nil {
		return s, err
	}
	stp, err := bridgesWithSTP()
	if err != nil {
		return s, err
	}
	names := make(map[int]string, len(found))
	for _, l := range found {
		names[l.Attrs().Index] = l.Attrs().Name
	}
	for _, l := range found {
		link := fromLink(l, names)
		link.STP = stp[l.Attrs().Index]
		s.Links = append(s.Links, link)
	}
	var errs [5]error
	s.Addrs, errs[0] = addrs(names)
	s.Routes, errs[1] = routes(names)
	s.Rules, errs[2] = rules()
	s.Queues, errs[3] = queues(found, names)
	s.Tunnels, errs[4] = k.tunnels(s.Links)
	s.Settings = settings(want)
	return s, errors.Join(errs[:]...)
}

func fromLink(l netlink.Link, names map[int]string) netplan.Link {
	a := l.Attrs()
	link := netplan.Link{Name: a.Name, Kind: l.Type(), Alias: a.Alias, Up: a.Flags&net.FlagUp != 0, MTU: a.MTU, Master: names[a.MasterIndex]}
	switch l := l.(type) {
	case *netlink.Vlan:
		link.VLAN, link.Parent = l.VlanId, names[a.ParentIndex]
		if l.VlanProtocol != netlink.VLAN_PROTOCOL_8021Q {
			link.Kind = "vlan " + l.VlanProtocol.String()
		}
	case *netlink.Bond:
		link.Bond = netplan.Bond{Mode: l.Mode.String(), MonitorMillis: l.Miimon, LACPFast: l.LacpRate == netlink.BOND_LACP_RATE_FAST}
	}
	return link
}

// settings reads the switches that want names. Those of links that are not there have none.
func settings(want netplan.State) map[string]string {
	now := map[string]string{}
	for path := range maps.Keys(want.Settings) {
		if text, err := os.ReadFile(filepath.Join(procNet, path)); err == nil {
			now[path] = strings.TrimSpace(string(text))
		}
	}
	return now
}
