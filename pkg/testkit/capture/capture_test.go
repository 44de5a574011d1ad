package capture

import (
	"encoding/binary"
	"maps"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/coraltele/sanchar/pkg/testkit/netlab"
)

func TestMain(m *testing.M) {
	if code, entered := netlab.Enter(); entered {
		os.Exit(code)
	}
	goleak.VerifyTestMain(m)
}

const ptime = 20 * time.Millisecond

func packet(ssrc uint32, seq uint16) []byte {
	b := make([]byte, 172)
	b[0], b[1] = 0x80, 0
	binary.BigEndian.PutUint16(b[2:], seq)
	binary.BigEndian.PutUint32(b[8:], ssrc)
	return b
}

func socket(t *testing.T, h *netlab.Host, at netip.Addr) *net.UDPConn {
	t.Helper()
	c, err := h.ListenUDP(netip.AddrPortFrom(at, 0))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func addr(c *net.UDPConn) netip.AddrPort { return c.LocalAddr().(*net.UDPAddr).AddrPort() }

// A relay that loses a packet and holds another up is seen by its captures, not by its word.
func TestLossAndGapsOfARelayAreSeen(t *testing.T) {
	t.Parallel()
	l := netlab.New(t)
	a, b := l.Host(t, "a"), l.Host(t, "b")
	from, near, far, to := socket(t, a, a.V4), socket(t, l.Box, a.Box4), socket(t, l.Box, b.Box4), socket(t, b, b.V4)
	c := Start(t, l.Box)
	begin := time.Now()
	const n, lost, late, pause = 10, 4, 7, 60 * time.Millisecond
	buf := make([]byte, 1500)
	for seq := range uint16(n) {
		if _, err := from.WriteToUDPAddrPort(packet(77, seq), addr(near)); err != nil {
			t.Fatal(err)
		}
		size, _, err := near.ReadFromUDPAddrPort(buf)
		if err != nil {
			t.Fatal(err)
		}
		switch seq {
		case lost:
			continue
		case late:
			time.Sleep(pause)
		}
		if _, err := far.WriteToUDPAddrPort(buf[:size], addr(to)); err != nil {
			t.Fatal(err)
		}
	}
	all := c.await(t, 2*n-1).Transits(ptime, begin, time.Now())
	if len(all) != 1 || all[0].Packets != n || all[0].Lost != 1 || all[0].In.SSRC != 77 || all[0].In.Src != addr(from) {
		t.Fatalf("transits: %+v", all)
	}
	if g := all[0].Gap; g < pause || all[0].Delay < pause {
		t.Errorf("gap %s, delay %s", g, all[0].Delay)
	}
	peers := c.Peers()
	maps.DeleteFunc(peers, func(p netip.Addr, _ string) bool {
		return p.IsMulticast() || p.IsUnspecified() || p.IsLinkLocalUnicast()
	}) // the kernel's
	if len(peers) != 2 || peers[a.V4] == "" || peers[b.V4] == "" {
		t.Errorf("peers of the box: %v", peers)
	}
}

// await waits until the capture has n datagrams.
func (c *Capture) await(t *testing.T, n int) *Capture {
	t.Helper()
	for until := time.Now().Add(netlab.Patience); ; time.Sleep(time.Millisecond) {
		count := 0
		for _, p := range c.Packets() {
			if _, ok := p.udp(); ok {
				count++
			}
		}
		switch {
		case count >= n:
			return c
		case time.Now().After(until):
			t.Fatalf("%d of %d datagrams captured", count, n)
		}
	}
}

func TestSIPAndReportsAreRead(t *testing.T) {
	t.Parallel()
	l := netlab.New(t)
	a := l.Host(t, "a")
	here, there := a.V4, a.Box4
	if l.V6 {
		here, there = a.V6, a.Box6
	}
	from, to := socket(t, a, here), socket(t, l.Box, there)
	c := Start(t, a)
	report := []byte{0x80, 201, 0, 1, 0, 0, 0, 1}
	text := "OPTIONS sip:x@pbx.test SIP/2.0\r\nVia: SIP/2.0/UDP a;branch=z9hG4bK1\r\nFrom: <sip:a@a>;tag=1\r\nTo: <sip:x@pbx.test>\r\nCall-ID: abc\r\nCSeq: 7 OPTIONS\r\nContent-Length: 0\r\n\r\n"
	for _, b := range [][]byte{report, packet(1, 1), []byte(text)} {
		if _, err := from.WriteToUDPAddrPort(b, addr(to)); err != nil {
			t.Fatal(err)
		}
	}
	c.await(t, 3)
	if n := c.RTCP()[[2]netip.AddrPort{addr(from), addr(to)}]; n != 1 {
		t.Errorf("%d reports", n)
	}
	if s := c.RTP(); len(s) != 1 || len(s[Stream{1, addr(from), addr(to)}]) != 1 {
		t.Errorf("streams: %v", s)
	}
	rows := c.Tshark("udp contains \"OPTIONS\"", "ip.src", "ipv6.src", "udp.dstport")
	if len(rows) != 1 || rows[0][0]+rows[0][1] != here.String() {
		t.Errorf("tshark: %q", rows)
	}
	if got := c.SIP(); len(got) != 1 || got[0].Method != "OPTIONS" || got[0].CSeq != "7 OPTIONS" || got[0].CallID != "abc" || got[0].Src != here {
		t.Errorf("SIP: %+v", got)
	}
}
