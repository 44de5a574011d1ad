package guard

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/coraltele/sanchar/pkg/network/filter"
	"github.com/coraltele/sanchar/pkg/network/netcfg"
	"github.com/coraltele/sanchar/pkg/network/nft"
	"github.com/coraltele/sanchar/pkg/testkit/netlab"
)

func TestPacketsThroughAnOffice(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	serve(t, s.outside, "0.0.0.0:80")
	serve(t, s.phone, "0.0.0.0:80", "0.0.0.0:81", "0.0.0.0:82")
	serve(t, s.box, "0.0.0.0:443", "0.0.0.0:22", "0.0.0.0:8443")
	if s.lab.V6 {
		serve(t, s.outside, "[2001:db8:1::2]:80")
		serve(t, s.phone, "[2001:db8:2::2]:80")
		serve(t, s.box, "[::1]:443", "[2001:db8:3::1]:443", "[2001:db8:2::1]:443")
	}
	echo(t, s.box, "198.18.2.1:5060")
	t.Run("translation", s.translation)
	t.Run("forwards", s.forwards)
	t.Run("management", s.management)
	t.Run("ipv6", s.ipv6)
	t.Run("spoofed sources", s.spoofedSources)
	t.Run("udp ports of the box", s.ownPorts)
	t.Run("bans", s.bans)
	t.Run("no helper", s.noHelper)
	t.Run("code points", s.codePoints)
}

func (s *site) translation(t *testing.T) {
	if from := reaches(t, s.phone, "198.18.1.2:80"); from != s.outside.Box4 {
		t.Errorf("the outside sees %s, want the box's %s", from, s.outside.Box4)
	}
	reaches(t, s.admin, "198.18.1.2:80")
	if from := reaches(t, s.admin, "198.18.2.2:80"); from != s.admin.V4 {
		t.Errorf("phones see %s of the office, want %s", from, s.admin.V4)
	}
	reachesNot(t, s.outside, "198.18.2.2:80")
	reachesNot(t, s.phone, "198.18.3.2:80")
}

func (s *site) forwards(t *testing.T) {
	if from := reaches(t, s.outside, "198.18.1.1:8080"); from != s.outside.V4 {
		t.Errorf("the phone sees %s, want %s", from, s.outside.V4)
	}
	reaches(t, s.outside, "198.18.1.1:9001")
	reaches(t, s.outside, "198.18.1.1:9003")
	reachesNot(t, s.outside, "198.18.1.1:9004")
	reachesNot(t, s.outside, "198.18.1.1:80")
	if from := reaches(t, s.phone, "198.18.1.1:8080"); from != s.phone.Box4 {
		t.Errorf("at the hairpin the phone sees %s, want the box's %s", from, s.phone.Box4)
	}
	reaches(t, s.admin, "198.18.1.1:8080")
}

func (s *site) management(t *testing.T) {
	reaches(t, s.admin, "198.18.3.1:443")
	reaches(t, s.phone, "198.18.2.1:8443")
	for _, address := range []string{"198.18.2.1:443", "198.18.3.1:443", "198.18.1.1:443"} {
		reachesNot(t, s.phone, address)
	}
	reachesNot(t, s.outside, "198.18.1.1:443")
	reachesNot(t, s.outside, "198.18.3.1:443")
	reachesNot(t, s.admin, "198.18.3.1:22")
	reaches(t, s.box, "127.0.0.1:22")
}

func (s *site) ipv6(t *testing.T) {
	if !s.lab.V6 {
		t.Skip("this kernel has no IPv6")
	}
	if from := reaches(t, s.phone, "[2001:db8:1::2]:80"); from != s.phone.V6 {
		t.Errorf("the outside sees %s, want the phone's own %s", from, s.phone.V6)
	}
	reachesNot(t, s.outside, "[2001:db8:2::2]:80")
	reaches(t, s.outside, "[2001:db8:1::1]:8080")
	reaches(t, s.admin, "[2001:db8:3::1]:443")
	reachesNot(t, s.phone, "[2001:db8:2::1]:443")
	reachesNot(t, s.phone, "[2001:db8:3::1]:443")
}

func (s *site) count(t *testing.T, name string) uint64 {
	t.Helper()
	counts, err := s.kernel.Counts()
	if err != nil {
		t.Fatal(err)
	}
	n, ok := counts[name]
	if !ok {
		t.Errorf("nobody counts %s", name)
	}
	return n.Packets
}

func (s *site) spoofedSources(t *testing.T) {
	lies := map[*netlab.Host]struct{ address, counter string }{
		s.phone:   {"198.18.3.77", "spoofed.inside"},
		s.outside: {"198.18.2.77", "spoofed.internet"},
	}
	for h, lie := range lies {
		err := h.Do(func() error {
			lo, err := netlink.LinkByName("lo")
			if err != nil {
				return err
			}
			return netlink.AddrAdd(lo, &netlink.Addr{IPNet: &net.IPNet{IP: net.ParseIP(lie.address).To4(), Mask: net.CIDRMask(32, 32)}})
		})
		if err != nil {
			t.Fatal(err)
		}
		before := s.count(t, lie.counter)
		if got := datagram(t, h, lie.address+":4000", h.Box4.String()+":5060", moment/4); got != "" {
			t.Errorf("a lie was answered: %s", got)
		}
		if s.count(t, lie.counter) != before+1 {
			t.Errorf("%s has not counted", lie.counter)
		}
	}
}

// ownPorts: hosts behind the box may use the ports that the box keeps untracked.
func (s *site) ownPorts(t *testing.T) {
	echo(t, s.box, "198.18.2.1:20000")
	echo(t, s.box, "198.18.3.1:20001")
	echo(t, s.outside, "198.18.1.2:5060")
	if got := datagram(t, s.phone, "198.18.2.2:5060", "198.18.2.1:5060", patience); got != "198.18.2.2:5060" {
		t.Errorf("the box's SIP sees %q", got)
	}
	if got := datagram(t, s.phone, "198.18.2.2:4000", "198.18.2.1:20000", patience); got != "198.18.2.2:4000" {
		t.Errorf("the box's media sees %q", got)
	}
	if got := datagram(t, s.admin, "198.18.3.2:4000", "198.18.3.1:20001", moment); got != "" {
		t.Errorf("the office reaches media: %q", got)
	}
	for _, port := range []int{5060, 20000} {
		got := datagram(t, s.phone, fmt.Sprintf("198.18.2.2:%d", port), "198.18.1.2:5060", patience)
		if ap, err := netip.ParseAddrPort(got); err != nil || ap.Addr() != s.outside.Box4 || ap.Port() < 49152 {
			t.Errorf("from port %d the outside sees %q", port, got)
		}
	}
}

func (s *site) bans(t *testing.T) {
	banned := s.guard.feed.sets[filter.Banned4]
	if err := s.kernel.Update(banned, []nft.Element{{Addr: s.phone.V4, Timeout: time.Hour}}, nil); err != nil {
		t.Fatal(err)
	}
	if got := datagram(t, s.phone, "198.18.2.2:5060", "198.18.2.1:5060", moment); got != "" {
		t.Errorf("a banned source is answered: %q", got)
	}
	st, err := s.guard.Status()
	if err != nil || len(st.Banned) != 1 || st.Banned[0].Source.Addr() != s.phone.V4 || !st.Enforced {
		t.Errorf("status is %+v, %v", st, err)
	}
	if err := s.kernel.Update(banned, nil, []netip.Addr{s.phone.V4}); err != nil {
		t.Fatal(err)
	}
	if got := datagram(t, s.phone, "198.18.2.2:5060", "198.18.2.1:5060", patience); got == "" {
		t.Error("a source is not answered after its ban")
	}
}

// noHelper: the kernel must not read SIP (CVE-2026-23457 was there).
func (s *site) noHelper(t *testing.T) {
	netlab.Need(t, "nft", "nftables")
	if rules := s.box.Output(t, "nft", "list", "ruleset"); strings.Contains(rules, "ct helper") {
		t.Error("a rule sets a helper")
	}
	var table []byte
	err := s.box.Do(func() (err error) {
		table, err = os.ReadFile("/proc/thread-self/net/nf_conntrack_expect")
		return err
	})
	if os.IsNotExist(err) {
		t.Skip("this kernel does not show its expectations")
	}
	if err != nil || len(table) > 0 {
		t.Errorf("the kernel expects connections: %q, %v", table, err)
	}
}

// TestNothingIsLostWhileRulesAreReplaced: a stream of datagrams, each answered, while two rulesets take
// turns; and a connection that is up stays up.
func TestNothingIsLostWhileRulesAreReplaced(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	echo(t, s.box, "198.18.2.1:20000")
	echo(t, s.outside, "198.18.1.2:7")
	docs := []netcfg.Document{s.document(t), s.document(t)}
	docs[1].Zones[1].Services = netcfg.Services()
	done := make(chan error, 1)
	quit := make(chan struct{})
	var replaced atomic.Int64
	go func() {
		for ; ; replaced.Add(1) {
			select {
			case <-quit:
				done <- nil
				return
			default:
			}
			if err := s.guard.Apply(context.Background(), docs[replaced.Load()%2]); err != nil {
				done <- err
				return
			}
		}
	}()
	for _, to := range []string{"198.18.2.1:20000", "198.18.1.2:7"} { // untracked, and translated
		c, err := s.phone.Dial("udp4", to)
		if err != nil {
			t.Fatal(err)
		}
		lost, sent, buf := 0, 0, make([]byte, 64)
		for until := replaced.Load() + 20; replaced.Load() < until && len(done) == 0; sent++ {
			_, _ = c.Write([]byte("x"))
			_ = c.SetReadDeadline(time.Now().Add(moment))
			if _, err := c.Read(buf); err != nil {
				lost++
			}
		}
		_ = c.Close()
		t.Logf("%d of %d datagrams to %s were lost", lost, sent, to)
		if lost > 0 {
			t.Fail()
		}
	}
	close(quit)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestAStrangerHoldsFewConnections: a registered source stands for an office and holds more.
func TestAStrangerHoldsFewConnections(t *testing.T) {
	t.Parallel()
	const most = 5
	s := newSite(t)
	doc := s.document(t)
	doc.Firewall.Limits = netcfg.Limits{TLSConnectionsPerSource: most, NewConnectionsPerSecondSource: 1000, StrangerPacketsPerSecond: 1000, StrangerBurst: 1000}
	if err := s.guard.Apply(t.Context(), doc); err != nil {
		t.Fatal(err)
	}
	hold(t, s.box, "198.18.1.1:5061")
	hold(t, s.box, "198.18.2.1:5061")
	if err := s.kernel.Update(s.guard.feed.sets[filter.Known4], []nft.Element{{Addr: s.phone.V4}}, nil); err != nil {
		t.Fatal(err)
	}
	open := func(h *netlab.Host, to string, wait time.Duration) net.Conn {
		ctx, cancel := context.WithTimeout(t.Context(), wait)
		defer cancel()
		c, err := h.DialContext(ctx, "tcp4", to)
		if err != nil {
			return nil
		}
		return c
	}
	var conns []net.Conn
	for n := range most {
		c := open(s.outside, "198.18.1.1:5061", patience)
		if c == nil {
			t.Fatalf("connection %d is refused", n)
		}
		conns = append(conns, c)
	}
	if c := open(s.outside, "198.18.1.1:5061", moment); c != nil {
		t.Error("a stranger holds more connections than he may")
		_ = c.Close()
	}
	if s.count(t, "box.internet.sip-stream.many.ipv4") == 0 {
		t.Error("what was refused is not counted")
	}
	_ = conns[0].Close()
	if c := open(s.outside, "198.18.1.1:5061", patience); c == nil {
		t.Error("a connection that ended is still counted")
	} else {
		conns[0] = c
	}
	for range 3 * most {
		c := open(s.phone, "198.18.2.1:5061", patience)
		if c == nil {
			t.Fatal("a registered source is bounded as a stranger")
		}
		conns = append(conns, c)
	}
	for _, c := range conns {
		_ = c.Close()
	}
}

// hold accepts connections and closes each when its peer does.
func hold(t *testing.T, h *netlab.Host, address string) {
	t.Helper()
	var ln net.Listener
	err := h.Do(func() (err error) {
		ln, err = net.Listen("tcp4", address)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	var wait sync.WaitGroup
	wait.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			wait.Go(func() {
				_, _ = io.Copy(io.Discard, c)
				_ = c.Close()
			})
		}
	})
	t.Cleanup(func() { _ = ln.Close(); wait.Wait() })
}

// codePoints: of hosts that are not trusted they are cleared.
func (s *site) codePoints(t *testing.T) {
	for h, want := range map[*netlab.Host]int{s.phone: 46, s.admin: 0} {
		if got := s.seenOutside(t, h, 46); got != want {
			t.Errorf("of %s the outside sees DSCP %d, want %d", h, got, want)
		}
	}
}

// seenOutside returns the code point that a datagram of h arrives with.
func (s *site) seenOutside(t *testing.T, h *netlab.Host, dscp int) int {
	t.Helper()
	in, err := s.outside.ListenUDP(netip.MustParseAddrPort("198.18.1.2:7"))
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := h.ListenUDP(netip.AddrPortFrom(h.V4, 0))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	option(t, in, unix.IP_RECVTOS, 1)
	option(t, out, unix.IP_TOS, dscp<<2)
	if _, err := out.WriteToUDPAddrPort([]byte("x"), netip.MustParseAddrPort("198.18.1.2:7")); err != nil {
		t.Fatal(err)
	}
	_ = in.SetReadDeadline(time.Now().Add(patience))
	oob := make([]byte, 128)
	_, n, _, _, err := in.ReadMsgUDPAddrPort(make([]byte, 16), oob)
	if err != nil {
		t.Fatal(err)
	}
	messages, err := unix.ParseSocketControlMessage(oob[:n])
	if err != nil || len(messages) != 1 {
		t.Fatal(messages, err)
	}
	return int(messages[0].Data[0] >> 2)
}

func option(t *testing.T, c *net.UDPConn, name, value int) {
	t.Helper()
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var optErr error
	if err := raw.Control(func(fd uintptr) { optErr = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, name, value) }); err != nil || optErr != nil {
		t.Fatal(err, optErr)
	}
}
