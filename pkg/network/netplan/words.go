package netplan

import (
	"fmt"
	"strings"

	"github.com/coraltele/sanchar/pkg/network/netcfg"
)

// String says in plain words what the step does.
func (s Step) String() string {
	text := s.words()
	if s.Cuts {
		text += "; you are connected through it"
	}
	return text
}

func (s Step) words() string {
	switch s.Act {
	case AddLink:
		return s.Link.Name + " will be made: " + s.Link.words()
	case TakeLink:
		return s.Link.Name + " will be ours to set"
	case RemoveLink:
		return s.Was.Name + " will be removed"
	case Release:
		return s.Was.Name + " will be switched off and given back: the document does not name it"
	case SetMaster:
		return s.masterWords()
	case SetMTU:
		return fmt.Sprintf("%s will carry packets of up to %d bytes, now %d", s.Link.Name, s.Link.MTU, s.Was.MTU)
	case SetUp:
		return s.Link.Name + " will be switched on"
	case SetDown:
		return s.Link.Name + " will be switched off"
	case SetSTP:
		return fmt.Sprintf("%s will %s the spanning tree protocol", s.Link.Name, map[bool]string{true: "speak", false: "no longer speak"}[s.Link.STP])
	case AddAddr:
		return fmt.Sprintf("%s will have the address %s", s.Addr.Link, s.Addr.Prefix)
	case RemoveAddr:
		return fmt.Sprintf("%s will no longer have the address %s", s.Addr.Link, s.Addr.Prefix)
	case AddRoute:
		return "there will be a route to " + s.Route.words()
	case RemoveRoute:
		return "there will no longer be a route to " + s.Route.words()
	case AddRule:
		return s.Rule.words()
	case RemoveRule:
		return "no longer: " + s.Rule.words()
	case SetTunnel:
		return fmt.Sprintf("%s will be a tunnel on UDP port %d; peers: %d", s.Tunnel.Link, s.Tunnel.ListenPort, len(s.Tunnel.Peers))
	case SetQueue:
		return s.Queue.words()
	case RemoveQueue:
		return s.Queue.Link + " will no longer be shaped"
	case Set:
		return s.settingWords()
	}
	return string(s.Act)
}

func (l Link) words() string {
	switch l.Kind {
	case KindVLAN:
		return fmt.Sprintf("VLAN %d of %s", l.VLAN, l.Parent)
	case KindBond:
		return "a bond, mode " + l.Bond.Mode
	case KindBridge:
		return "a bridge"
	case KindWireGuard:
		return "a WireGuard tunnel"
	case KindIFB:
		return "a queue for incoming packets"
	}
	return "a port"
}

func (s Step) masterWords() string {
	switch {
	case s.Link.Master == "":
		return fmt.Sprintf("%s will leave %s", s.Link.Name, s.Was.Master)
	case s.Was.Master != "" && s.Was.Master != s.Link.Master:
		return fmt.Sprintf("%s will leave %s and join %s", s.Link.Name, s.Was.Master, s.Link.Master)
	}
	return fmt.Sprintf("%s will join %s", s.Link.Name, s.Link.Master)
}

func (r Route) words() string {
	var b strings.Builder
	if r.To.Bits() == 0 {
		b.WriteString(map[bool]string{false: "everywhere (IPv4)", true: "everywhere (IPv6)"}[r.To.Addr().Is6()])
	} else {
		b.WriteString(r.To.String())
	}
	if r.Via.IsValid() {
		fmt.Fprintf(&b, " by %s", r.Via)
	}
	if r.Link != "" {
		fmt.Fprintf(&b, " on %s", r.Link)
	}
	switch r.Kind {
	case netcfg.Blackhole:
		b.WriteString(" that drops")
	case netcfg.Unreachable:
		b.WriteString(" that refuses")
	case netcfg.Unicast:
	}
	if r.Source.IsValid() {
		fmt.Fprintf(&b, " from %s", r.Source)
	}
	fmt.Fprintf(&b, ", metric %d", r.Metric)
	if r.Table != mainTable {
		fmt.Fprintf(&b, ", table %d", r.Table)
	}
	return b.String()
}

func (r Rule) words() string {
	version := map[bool]string{false: "IPv4", true: "IPv6"}[r.V6]
	switch {
	case r.NoDefaultOf:
		return version + " networks of the box's own come before any uplink"
	case r.From.IsValid():
		return fmt.Sprintf("what %s sends leaves by table %d", r.From, r.Table)
	}
	return fmt.Sprintf("%s connections that came by an uplink are answered by table %d", version, r.Table)
}

func (q Queue) words() string {
	from := ""
	if q.From != "" {
		from = " what comes by " + q.From
	}
	if q.Shaper == netcfg.CAKE {
		return fmt.Sprintf("%s will shape%s to %d kbit/s with CAKE", q.Link, from, q.Kbit)
	}
	return fmt.Sprintf("%s will shape%s to %d kbit/s, voice first with %d kbit/s", q.Link, from, q.Kbit, q.VoiceKbit)
}

func (s Step) settingWords() string {
	parts := make([]string, 0, len(s.Settings))
	for _, set := range s.Settings {
		name := strings.Replace(set.Path, "/conf/"+s.Link.Name+"/", "/", 1)
		if set.Was != "" {
			parts = append(parts, fmt.Sprintf("%s %s (now %s)", name, set.Value, set.Was))
		} else {
			parts = append(parts, name+" "+set.Value)
		}
	}
	where := s.Link.Name
	if where == "" {
		where = "the kernel"
	}
	return where + " will be set: " + strings.Join(parts, ", ")
}
