package media

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/testkit/boxtest"
	"github.com/coraltele/sanchar/pkg/testkit/netlab"
	"github.com/coraltele/sanchar/pkg/testkit/phone"
)

// What routers do with the packets of a phone. WAN is the router's own address, HOST the phone's.
const (
	// fullCone: whoever writes to the router's port reaches the phone.
	fullCone = `table ip nat {
	chain in { type nat hook prerouting priority dstnat; iifname "eth0" meta l4proto udp dnat to HOST; }
	chain out { type nat hook postrouting priority srcnat; oifname "eth0" snat to WAN; }
}`
	// addressRestricted: whoever was written to, from whichever port.
	addressRestricted = `table ip nat {
	set known { type ipv4_addr; flags dynamic, timeout; timeout 1m; size 1000; }
	chain seen { type filter hook forward priority 0; oifname "eth0" add @known { ip daddr }; }
	chain in { type nat hook prerouting priority dstnat; iifname "eth0" ip saddr @known meta l4proto udp dnat to HOST; }
	chain out { type nat hook postrouting priority srcnat; oifname "eth0" snat to WAN; }
}`
	// portRestricted: only the port that was written to.
	portRestricted = `table ip nat {
	chain closed { type filter hook forward priority 0; iifname "eth0" ct state new drop; }
	chain out { type nat hook postrouting priority srcnat; oifname "eth0" masquerade; }
}`
	// symmetric: each far end sees another port.
	symmetric = `table ip nat {
	chain closed { type filter hook forward priority 0; iifname "eth0" ct state new drop; }
	chain out { type nat hook postrouting priority srcnat; oifname "eth0" masquerade fully-random; }
}`
	// carrier: many customers share an address, and few ports.
	carrier = `table ip nat {
	chain closed { type filter hook forward priority 0; iifname "eth0" ct state new drop; }
	chain out { type nat hook postrouting priority srcnat; oifname "eth0" meta l4proto udp masquerade to :40000-40063 fully-random; }
}`
	// forgetful: as symmetric, and a second without packets ends a mapping.
	forgetful = `table ip nat {
	ct timeout short { protocol udp; l3proto ip; policy = { unreplied : 1, replied : 1 }; }
	chain quick { type filter hook prerouting priority -150; meta l4proto udp ct timeout set "short"; }
	chain closed { type filter hook forward priority 0; iifname "eth0" ct state new drop; }
	chain out { type nat hook postrouting priority srcnat; oifname "eth0" masquerade fully-random; }
}`
)

const (
	// found is how long it takes at most until what is wrong with a call's media is found.
	found = 3 * time.Second
	// cured is how long until it is heard again: a party that was silent is taken at another port after some seconds.
	cured = 4 * time.Second
	// forgotten is longer than a forgetful router remembers.
	forgotten = 2500 * time.Millisecond
)

// shape is a sort of NAT between a phone and the box.
type shape struct {
	name    string
	rules   string // of the router at the phone's side
	carrier string // of another one between that and the box
	both    bool   // the other phone is behind the same router nearest to the box
	mangled bool   // the router writes into SIP
	during  func(t *testing.T, router *netlab.Host, a, b *voice)

	router, inside, outside *netlab.Host
}

func shapes() []*shape {
	return []*shape{
		{name: "full cone", rules: fullCone},
		{name: "address-restricted", rules: addressRestricted},
		{name: "port-restricted", rules: portRestricted},
		{name: "symmetric", rules: symmetric},
		{name: "double", rules: symmetric, carrier: portRestricted},
		{name: "hairpin", rules: symmetric, both: true},
		{name: "carrier grade", rules: portRestricted, carrier: carrier, both: true},
		{name: "mangled", rules: symmetric, mangled: true},
		{name: "moving", rules: symmetric, during: move},
		{name: "short timeout", rules: forgetful, during: pause},
	}
}

// build puts a shape's hosts into a lab.
func (sh *shape) build(t *testing.T, lab *netlab.Lab) {
	t.Helper()
	key := strings.ReplaceAll(sh.name, " ", "")
	outer := lab.Host(t, key+"-nat")
	sh.router = outer
	place := func(name string) *netlab.Host {
		near := outer
		if sh.carrier != "" {
			near = lab.Behind(t, outer, name+"-cpe")
		}
		h := lab.Behind(t, near, name)
		if near != outer {
			translate(t, near, sh.rules, h)
		}
		sh.router = near
		return h
	}
	if sh.both {
		sh.outside = place(key + "-b")
	}
	sh.inside = place(key + "-a")
	if sh.carrier != "" {
		translate(t, outer, sh.carrier, sh.router)
	} else {
		translate(t, outer, sh.rules, sh.inside)
	}
}

// translate gives a router its rules for a host behind it.
func translate(t *testing.T, router *netlab.Host, rules string, h *netlab.Host) {
	t.Helper()
	text := strings.NewReplacer("WAN", router.V4.String(), "HOST", h.V4.String()).Replace(rules)
	netlab.Need(t, "nft", "nftables")
	err := router.Do(func() error {
		cmd := router.Command("nft", "-f", "-")
		cmd.Stdin = strings.NewReader(text)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
	if err != nil {
		t.Fatalf("rules of %s: %v", router.Name, err)
	}
}

// user is the account of a phone of a shape.
func (sh *shape) user(side string) string { return strings.ReplaceAll(sh.name, " ", "") + side }

// Whatever stands between a phone and the box, both parties hear each other, whoever calls. The phones know
// nothing of it: they write private addresses, and check nothing.
func TestNATs(t *testing.T) {
	t.Parallel()
	lab := netlab.New(t)
	public := lab.Host(t, "public")
	all, users := shapes(), []string(nil)
	for _, sh := range all {
		sh.build(t, lab)
		if sh.outside == nil {
			sh.outside = public
		}
		users = append(users, sh.user("-a"), sh.user("-b"))
	}
	s := openIn(t, lab, users...)
	rules := map[string]ctl.MediaRules{}
	for _, u := range users {
		rules[u] = ctl.MediaRules{Encryption: ctl.EncryptionOff}
	}
	s.policy(rules)
	for _, sh := range all {
		t.Run(sh.name, func(t *testing.T) {
			t.Parallel()
			sh.try(s.within(t))
		})
	}
}

// try calls both ways.
func (sh *shape) try(s *site) {
	t := s.t
	server := boxtest.Server(sh.inside, "udp")
	if sh.mangled {
		server = meddle(t, sh.router, sh.inside, server)
	}
	inside := phone.Register(t, sh.inside, sh.user("-a"), boxtest.Password(sh.user("-a")), server)
	outside := s.line(sh.outside, sh.user("-b"))
	inside.Say, outside.Say = pcmu().say, pcmu().say
	for i, pair := range [][2]*phone.Line{{outside, inside}, {inside, outside}} {
		if i == 0 && sh.rules == forgetful {
			continue // nobody reaches a phone that does not keep its way to the box open
		}
		out, in := connect(t, pair[0], pair[1])
		a, b := speak(t, out, pcmu(), 440), speak(t, in, pcmu(), 880)
		a.hears(880)
		b.hears(440)
		if i == 1 && sh.during != nil {
			sh.during(t, sh.router, a, b)
		}
		if code := out.HangUp(); code != 200 {
			t.Errorf("BYE was answered %d", code)
		}
	}
	if r := s.record(inside.User, outside.User); len(r.Legs) != 2 || len(r.Legs[0].Streams) == 0 {
		t.Errorf("record %+v", r)
	} else if at := r.Legs[0].Streams[0].Remote.Addr(); at == sh.inside.V4 || !at.Is4() {
		t.Errorf("media of the phone came from %s, past the router", at)
	}
}

// move makes the router give the phone other ports in the middle of a call.
func move(t *testing.T, router *netlab.Host, a, b *voice) {
	t.Helper()
	err := router.Do(func() error { return netlink.ConntrackTableFlush(netlink.ConntrackTable) })
	if err != nil {
		t.Fatal(err)
	}
	b.hearsWithin(440, found+cured)
	a.hearsWithin(880, found+cured)
}

// pause makes both parties silent for longer than the router remembers.
func pause(t *testing.T, _ *netlab.Host, a, b *voice) {
	t.Helper()
	a.do(func() { a.hz = 0 })
	b.do(func() { b.hz = 0 })
	time.Sleep(forgotten) // the router's memory has no event
	a.do(func() { a.hz = 440 })
	b.do(func() { b.hz = 880 })
	b.hearsWithin(440, found+cured)
	a.hearsWithin(880, found+cured)
}

// meddle is the part of a router that "helps" SIP: it writes the router's own address for the phone's into
// all that the phone says, with ports that nobody opened. It returns where the phone finds it.
func meddle(t *testing.T, router, h *netlab.Host, server netip.AddrPort) netip.AddrPort {
	t.Helper()
	gateway := h.V4.As4()
	gateway[3] = 1
	near, err := router.ListenUDP(netip.AddrPortFrom(netip.AddrFrom4(gateway), boxtest.SIP))
	if err != nil {
		t.Fatal(err)
	}
	far, err := router.ListenUDP(netip.AddrPortFrom(router.V4, boxtest.SIP))
	if err != nil {
		t.Fatal(err)
	}
	phones, done := make(chan netip.AddrPort, 1), make(chan struct{}, 2)
	go func() {
		defer func() { done <- struct{}{} }()
		for buf, first := make([]byte, 65536), true; ; {
			n, from, err := near.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			if first {
				phones <- from
				first = false
			}
			_, _ = far.WriteToUDPAddrPort([]byte(rewrite(string(buf[:n]), h.V4, router.V4)), server) // lost, as on any wire
		}
	}()
	go func() {
		defer func() { done <- struct{}{} }()
		var to netip.AddrPort
		for buf := make([]byte, 65536); ; {
			n, err := far.Read(buf)
			if err != nil {
				return
			}
			if !to.IsValid() {
				to = <-phones
			}
			_, _ = near.WriteToUDPAddrPort([]byte(rewrite(string(buf[:n]), router.V4, h.V4)), to)
		}
	}()
	t.Cleanup(func() {
		_, _ = near.Close(), far.Close() // which ends both
		<-done
		<-done
	})
	return near.LocalAddr().(interface{ AddrPort() netip.AddrPort }).AddrPort()
}

// rewrite writes one address for another all over a message, and counts its body anew.
func rewrite(message string, old, now netip.Addr) string {
	head, body, ok := strings.Cut(strings.ReplaceAll(message, old.String(), now.String()), "\r\n\r\n")
	if !ok {
		return message
	}
	lines := strings.Split(head, "\r\n")
	for i, line := range lines {
		if name, _, _ := strings.Cut(line, ":"); strings.EqualFold(name, "Content-Length") {
			lines[i] = fmt.Sprintf("%s: %d", name, len(body))
		}
	}
	return strings.Join(lines, "\r\n") + "\r\n\r\n" + body
}
