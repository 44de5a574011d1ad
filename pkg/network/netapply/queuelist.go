package netapply

import (
	"strings"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/coraltele/sanchar/pkg/network/netcfg"
	"github.com/coraltele/sanchar/pkg/network/netplan"
)

// queues returns the shapers that are ours: their handle tells.
func queues(links []netlink.Link, names map[int]string) (all []netplan.Queue, err error) {
	req := nl.NewNetlinkRequest(unix.RTM_GETQDISC, unix.NLM_F_DUMP)
	req.AddData(&nl.TcMsg{Family: nl.FAMILY_ALL})
	msgs, err := req.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWQDISC)
	if err != nil {
		return nil, err
	}
	from, err := redirected(links, msgs, names)
	if err != nil {
		return nil, err
	}
	for _, m := range msgs {
		head := nl.DeserializeTcMsg(m)
		if head.Parent != netlink.HANDLE_ROOT || head.Handle != netlink.MakeHandle(netplan.QueueRoot, 0) {
			continue
		}
		q := netplan.Queue{Link: names[int(head.Ifindex)], From: from[int(head.Ifindex)]}
		kind, err := attribute(m[nl.SizeofTcMsg:], nl.TCA_KIND)
		if err != nil {
			return nil, err
		}
		switch string(trimZero(kind)) {
		case string(netcfg.CAKE):
			q.Shaper, q.Kbit = netcfg.CAKE, cakeKbit(m)
		case string(netcfg.HTB):
			q.Shaper = netcfg.HTB
			if q.Kbit, q.VoiceKbit, err = htbKbit(int(head.Ifindex)); err != nil {
				return nil, err
			}
		}
		all = append(all, q)
	}
	return all, nil
}

func cakeKbit(qdisc []byte) int {
	options, err := attribute(qdisc[nl.SizeofTcMsg:], nl.TCA_OPTIONS)
	if err != nil {
		return 0
	}
	rate, err := attribute(options, cakeBaseRate)
	if err != nil || len(rate) != 8 {
		return 0
	}
	return int(nl.NativeEndian().Uint64(rate) * 8 / 1000)
}

// htbKbit returns the rates of the whole and of voice. A shaper that was left unfinished has none,
// and so is made anew.
func htbKbit(index int) (whole, voice int, err error) {
	classes, err := netlink.ClassList(&netlink.Dummy{LinkAttrs: netlink.LinkAttrs{Index: index}}, 0)
	if err != nil {
		return 0, 0, err
	}
	lanesThere := 0
	for _, c := range classes {
		htb, ok := c.(*netlink.HtbClass)
		if !ok {
			continue
		}
		kbit := int(htb.Rate * 8 / 1000)
		switch htb.Handle {
		case classID(totalClass):
			whole = kbit
		case classID(firstLane + uint32(netcfg.ClassVoice)):
			voice = kbit
			lanesThere++
		default:
			lanesThere++
		}
	}
	if lanesThere != len(lanes()) {
		return 0, 0, nil
	}
	return whole, voice, nil
}

// redirected returns, by the index of a queue for incoming packets, the link that feeds it.
func redirected(links []netlink.Link, qdiscs [][]byte, names map[int]string) (map[int]string, error) {
	from := map[int]string{}
	for _, m := range qdiscs {
		head := nl.DeserializeTcMsg(m)
		if head.Parent != netlink.HANDLE_INGRESS {
			continue
		}
		for _, l := range links {
			if l.Attrs().Index != int(head.Ifindex) {
				continue
			}
			filters, err := netlink.FilterList(l, netlink.MakeHandle(0xffff, 0))
			if err != nil {
				return nil, err
			}
			for _, f := range filters {
				if to := target(f); strings.HasPrefix(names[to], "ifbup") {
					from[to] = l.Attrs().Name
				}
			}
		}
	}
	return from, nil
}

func target(f netlink.Filter) int {
	if all, ok := f.(*netlink.MatchAll); ok {
		for _, a := range all.Actions {
			if m, ok := a.(*netlink.MirredAction); ok {
				return m.Ifindex
			}
		}
	}
	return 0
}
