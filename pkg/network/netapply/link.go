package netapply

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/coraltele/sanchar/pkg/network/netplan"
)

// addLink makes a link with its mark at once: a link of ours is never without one, whenever we die.
func addLink(l netplan.Link) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU, attrs.Alias = l.Name, l.MTU, l.Alias
	var link netlink.Link
	switch l.Kind {
	case netplan.KindBond:
		bond := netlink.NewLinkBond(attrs)
		bond.Mode, bond.Miimon = netlink.StringToBondMode(l.Bond.Mode), l.Bond.MonitorMillis
		if l.Bond.LACPFast {
			bond.LacpRate = netlink.BOND_LACP_RATE_FAST
		}
		link = bond
	case netplan.KindBridge:
		link = &netlink.Bridge{LinkAttrs: attrs}
	case netplan.KindVLAN:
		parent, err := netlink.LinkByName(l.Parent)
		if err != nil {
			return fmt.Errorf("find %s: %w", l.Parent, err)
		}
		attrs.ParentIndex = parent.Attrs().Index
		link = &netlink.Vlan{LinkAttrs: attrs, VlanId: l.VLAN, VlanProtocol: netlink.VLAN_PROTOCOL_8021Q}
	case netplan.KindWireGuard:
		attrs.Alias = netplan.Alias + "wireguard" // its peers are not set yet, which this alias tells
		link = &netlink.Wireguard{LinkAttrs: attrs}
	case netplan.KindIFB:
		link = &netlink.Ifb{LinkAttrs: attrs}
	default:
		return errors.ErrUnsupported
	}
	if err := netlink.LinkAdd(link); err != nil {
		return err
	}
	// The kernel takes an alias with a new link since Linux 4.19 only for some kinds, so it is said again.
	return netlink.LinkSetAlias(link, attrs.Alias)
}

func removeLink(name string) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	return netlink.LinkDel(link)
}

// release gives a port back.
func release(name string) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	if err := netlink.LinkSetDown(link); err != nil {
		return err
	}
	return netlink.LinkSetAlias(link, "")
}

func changeLink(s netplan.Step) error {
	link, err := netlink.LinkByName(s.Link.Name)
	if err != nil {
		return err
	}
	switch s.Act { //nolint:exhaustive // the acts that change a link
	case netplan.TakeLink:
		return netlink.LinkSetAlias(link, s.Link.Alias)
	case netplan.SetMTU:
		return netlink.LinkSetMTU(link, s.Link.MTU)
	case netplan.SetUp:
		return netlink.LinkSetUp(link)
	case netplan.SetDown:
		return netlink.LinkSetDown(link)
	case netplan.SetSTP:
		return setSTP(link.Attrs().Index, s.Link.STP)
	case netplan.SetMaster:
		return setMaster(link, s.Link.Master)
	}
	return errors.ErrUnsupported
}

// setMaster lets a link leave what it is a member of and join another.
func setMaster(link netlink.Link, name string) error {
	if name == "" {
		return netlink.LinkSetNoMaster(link)
	}
	master, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("find %s: %w", name, err)
	}
	if master.Type() == netplan.KindBond { // a bond takes no link that is on, and switches it on itself
		if err := netlink.LinkSetDown(link); err != nil {
			return err
		}
	}
	return netlink.LinkSetMaster(link, master)
}

// setSTP is what the library has no field for.
func setSTP(index int, on bool) error {
	req := nl.NewNetlinkRequest(unix.RTM_NEWLINK, unix.NLM_F_ACK)
	msg := nl.NewIfInfomsg(unix.AF_UNSPEC)
	msg.Index = int32(index)
	req.AddData(msg)
	info := nl.NewRtAttr(unix.IFLA_LINKINFO, nil)
	info.AddRtAttr(nl.IFLA_INFO_KIND, nl.NonZeroTerminated(netplan.KindBridge))
	state := uint32(0)
	if on {
		state = 1
	}
	info.AddRtAttr(nl.IFLA_INFO_DATA, nil).AddRtAttr(nl.IFLA_BR_STP_STATE, nl.Uint32Attr(state))
	req.AddData(info)
	_, err := req.Execute(unix.NETLINK_ROUTE, 0)
	return err
}

// bridgesWithSTP returns the indexes of bridges that speak the spanning tree protocol.
func bridgesWithSTP() (map[int]bool, error) {
	req := nl.NewNetlinkRequest(unix.RTM_GETLINK, unix.NLM_F_DUMP)
	req.AddData(nl.NewIfInfomsg(unix.AF_UNSPEC))
	msgs, err := req.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWLINK)
	if err != nil {
		return nil, err
	}
	on := map[int]bool{}
	for _, m := range msgs {
		info, err := attribute(m[unix.SizeofIfInfomsg:], unix.IFLA_LINKINFO)
		if err != nil || info == nil {
			continue
		}
		data, err := attribute(info, nl.IFLA_INFO_DATA)
		kind, _ := attribute(info, nl.IFLA_INFO_KIND)
		if err != nil || string(trimZero(kind)) != netplan.KindBridge {
			continue
		}
		if state, err := attribute(data, nl.IFLA_BR_STP_STATE); err == nil && len(state) == 4 && nl.NativeEndian().Uint32(state) != 0 {
			on[int(nl.DeserializeIfInfomsg(m).Index)] = true
		}
	}
	return on, nil
}

// attribute returns one of a row of attributes, nil when it is not there.
func attribute(row []byte, kind uint16) ([]byte, error) {
	all, err := nl.ParseRouteAttrAsMap(row)
	return all[kind].Value, err
}

func trimZero(text []byte) []byte {
	if n := len(text); n > 0 && text[n-1] == 0 {
		return text[:n-1]
	}
	return text
}
