package netapply

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/coraltele/sanchar/pkg/network/netcfg"
	"github.com/coraltele/sanchar/pkg/network/netplan"
)

// lane is the queue of one traffic class. Voice has what the document says; the others share the
// rest in these parts, and each may use what is idle. A lower rank is served first.
type lane struct {
	class   netcfg.Class
	percent int // of what voice leaves
}

func lanes() []lane {
	return []lane{
		{netcfg.ClassVoice, 0}, {netcfg.ClassSignalling, 10}, {netcfg.ClassVideo, 30}, {netcfg.ClassNormal, 50}, {netcfg.ClassBulk, 10},
	}
}

const (
	totalClass = 1  // minor number of the class that all others are in
	firstLane  = 16 // a lane's is this and its class
	leastKbit  = 8  // HTB takes no rate of nothing
)

func classID(minor uint32) uint32 { return netlink.MakeHandle(netplan.QueueRoot, uint16(minor)) }

// setQueue makes the shaper of a link anew.
func setQueue(q netplan.Queue, doc netcfg.Document) error {
	link, err := netlink.LinkByName(q.Link)
	if err != nil {
		return err
	}
	index := link.Attrs().Index
	if err := dropQdisc(index, netlink.HANDLE_ROOT); err != nil {
		return err
	}
	if q.Shaper == netcfg.CAKE {
		err = addCake(index, q.Kbit)
	} else {
		err = errors.Join(addHTB(index, q), addFilters(index, q, doc.QoS))
	}
	if err != nil || q.From == "" {
		return err
	}
	return redirect(q.From, index)
}

func dropQdisc(index int, parent uint32) error {
	list, err := netlink.QdiscList(&netlink.Dummy{LinkAttrs: netlink.LinkAttrs{Index: index}})
	if err != nil {
		return err
	}
	for _, q := range list {
		if q.Attrs().Parent == parent && q.Attrs().Handle != 0 { // 0 is the kernel's default
			return netlink.QdiscDel(q)
		}
	}
	return nil
}

func addHTB(index int, q netplan.Queue) error {
	root := netlink.NewHtb(netlink.QdiscAttrs{LinkIndex: index, Handle: netlink.MakeHandle(netplan.QueueRoot, 0), Parent: netlink.HANDLE_ROOT})
	root.Defcls = firstLane + uint32(netcfg.ClassNormal)
	if err := netlink.QdiscAdd(root); err != nil {
		return fmt.Errorf("add HTB: %w", err)
	}
	rest := q.Kbit - q.VoiceKbit
	if err := addClass(index, root.Handle, totalClass, q.Kbit, q.Kbit, 0); err != nil {
		return err
	}
	for rank, l := range lanes() {
		kbit := max(rest*l.percent/100, leastKbit)
		if l.class == netcfg.ClassVoice {
			kbit = max(q.VoiceKbit, leastKbit)
		}
		minor := firstLane + uint32(l.class)
		if err := addClass(index, classID(totalClass), minor, kbit, q.Kbit, rank); err != nil {
			return err
		}
		leaf := netlink.NewFqCodel(netlink.QdiscAttrs{LinkIndex: index, Handle: netlink.MakeHandle(netplan.QueueRoot+uint16(minor), 0), Parent: classID(minor)})
		// RFC 8290: fair among flows, with short queues. A kernel without it keeps a plain queue.
		if err := netlink.QdiscAdd(leaf); err != nil && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("add fq_codel: %w", err)
		}
	}
	return nil
}

func addClass(index int, parent, minor uint32, kbit, ceil, rank int) error {
	c := netlink.NewHtbClass(netlink.ClassAttrs{LinkIndex: index, Parent: parent, Handle: classID(minor)},
		netlink.HtbClassAttrs{Rate: uint64(kbit) * 1000, Ceil: uint64(ceil) * 1000, Prio: uint32(rank)})
	if err := netlink.ClassAdd(c); err != nil {
		return fmt.Errorf("add HTB class %d: %w", minor, err)
	}
	return nil
}

// addFilters sorts packets into lanes: what leaves by the mark that the firewall gave it, what comes
// in, before the firewall saw it, by its code point.
func addFilters(index int, q netplan.Queue, qos netcfg.QoS) error {
	var errs []error
	if q.From == "" {
		for _, l := range lanes() {
			errs = append(errs, netlink.FilterAdd(&netlink.FwFilter{
				FilterAttrs: netlink.FilterAttrs{
					LinkIndex: index, Parent: netlink.MakeHandle(netplan.QueueRoot, 0), Priority: 1, Protocol: unix.ETH_P_ALL, Handle: uint32(l.class),
				},
				ClassId: classID(firstLane + uint32(l.class)), Mask: netcfg.MarkClassMask,
			}))
		}
		return errors.Join(errs...)
	}
	for class, dscp := range map[netcfg.Class]uint8{
		netcfg.ClassVoice: qos.VoiceOr(), netcfg.ClassSignalling: qos.SignallingOr(), netcfg.ClassVideo: qos.VideoOr(),
	} {
		errs = append(errs,
			addCodePoint(index, class, unix.ETH_P_IP, 2, uint32(dscp)<<18, 0x00fc0000),   // RFC 791 §3.1: the second byte
			addCodePoint(index, class, unix.ETH_P_IPV6, 3, uint32(dscp)<<22, 0x0fc00000)) // RFC 8200 §3: after the version
	}
	return errors.Join(errs...)
}

// addCodePoint matches the first 4 bytes of the IP header.
func addCodePoint(index int, class netcfg.Class, protocol, priority uint16, value, mask uint32) error {
	return netlink.FilterAdd(&netlink.U32{
		FilterAttrs: netlink.FilterAttrs{LinkIndex: index, Parent: netlink.MakeHandle(netplan.QueueRoot, 0), Priority: priority, Protocol: protocol},
		ClassId:     classID(firstLane + uint32(class)),
		Sel:         &netlink.TcU32Sel{Flags: netlink.TC_U32_TERMINAL, Nkeys: 1, Keys: []netlink.TcU32Key{{Mask: mask, Val: value}}},
	})
}

// redirect lets what comes in by a link pass through the queue of another.
func redirect(from string, to int) error {
	link, err := netlink.LinkByName(from)
	if err != nil {
		return err
	}
	index := link.Attrs().Index
	if err := dropQdisc(index, netlink.HANDLE_INGRESS); err != nil {
		return err
	}
	ingress := &netlink.Ingress{QdiscAttrs: netlink.QdiscAttrs{LinkIndex: index, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_INGRESS}}
	if err := netlink.QdiscAdd(ingress); err != nil {
		return fmt.Errorf("add ingress: %w", err)
	}
	return netlink.FilterAdd(&netlink.MatchAll{
		FilterAttrs: netlink.FilterAttrs{LinkIndex: index, Parent: netlink.MakeHandle(0xffff, 0), Priority: 1, Protocol: unix.ETH_P_ALL},
		Actions:     []netlink.Action{netlink.NewMirredAction(to)},
	})
}

func removeQueue(q netplan.Queue) error {
	name, parent := q.Link, uint32(netlink.HANDLE_ROOT)
	if q.From != "" { // the link of the queue itself goes; what fed it must not stay
		name, parent = q.From, netlink.HANDLE_INGRESS
	}
	link, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	return dropQdisc(link.Attrs().Index, parent)
}

// What the library does not know of CAKE (linux/pkt_sched.h).
const (
	cakeBaseRate = 2 // TCA_CAKE_BASE_RATE64, bytes per second
	cakeDiffserv = 3 // TCA_CAKE_DIFFSERV_MODE
	cakeTins4    = 1 // CAKE_DIFFSERV_DIFFSERV4: bulk, best effort, video, voice
)

func addCake(index, kbit int) error {
	req := nl.NewNetlinkRequest(unix.RTM_NEWQDISC, unix.NLM_F_CREATE|unix.NLM_F_EXCL|unix.NLM_F_ACK)
	req.AddData(&nl.TcMsg{Family: nl.FAMILY_ALL, Ifindex: int32(index), Handle: netlink.MakeHandle(netplan.QueueRoot, 0), Parent: netlink.HANDLE_ROOT})
	req.AddData(nl.NewRtAttr(nl.TCA_KIND, nl.ZeroTerminated("cake")))
	options := nl.NewRtAttr(nl.TCA_OPTIONS, nil)
	options.AddRtAttr(cakeBaseRate, nl.Uint64Attr(uint64(kbit)*1000/8))
	options.AddRtAttr(cakeDiffserv, nl.Uint32Attr(cakeTins4))
	req.AddData(options)
	_, err := req.Execute(unix.NETLINK_ROUTE, 0)
	if err != nil {
		return fmt.Errorf("add CAKE: %w", err)
	}
	return nil
}
