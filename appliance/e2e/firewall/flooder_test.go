package firewall

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/coraltele/sanchar/pkg/testkit/netlab"
)

// flooder sends INVITEs of strangers to the box as fast as it is told, from one source or from many
// that are not its own.
type flooder struct {
	t       testing.TB
	host    *netlab.Host
	to      netip.AddrPort
	sources int
	sent    int
	took    time.Duration
	stop    func()
}

// tick is how often a burst leaves.
const tick = time.Millisecond

// flood begins to send so many a second; stop ends it.
func flood(t testing.TB, h *netlab.Host, to netip.AddrPort, sources, rate int) *flooder {
	t.Helper()
	f := &flooder{t: t, host: h, to: to, sources: sources}
	fd := -1
	err := h.Do(func() (err error) {
		fd, err = unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		f.run(fd, rate, quit)
		_ = unix.Close(fd)
	}()
	f.stop = sync.OnceFunc(func() { close(quit); <-done })
	t.Cleanup(f.stop)
	return f
}

// run keeps to the rate: what a slow moment left out is sent after it.
func (f *flooder) run(fd, rate int, quit <-chan struct{}) {
	to := unix.SockaddrInet4{Addr: f.to.Addr().As4()}
	began := time.Now()
	timer := time.NewTicker(tick)
	defer timer.Stop()
	for {
		select {
		case <-quit:
			f.took = time.Since(began)
			return
		case <-timer.C:
		}
		due := int(time.Since(began).Seconds() * float64(rate))
		for ; f.sent < due; f.sent++ {
			_ = unix.Sendto(fd, f.packet(f.sent), 0, &to) // what the kernel does not take is not sent
		}
	}
}

// rate is how many a second were sent.
func (f *flooder) rate() int { return int(float64(f.sent) / f.took.Seconds()) }

func (f *flooder) source(n int) netip.Addr {
	if f.sources == 1 {
		return f.host.V4
	}
	n %= f.sources
	return netip.AddrFrom4([4]byte{100, 64 | byte(n>>16), byte(n >> 8), byte(n)})
}

// packet is an IPv4 header, a UDP header and an INVITE (RFC 791 §3.1, RFC 768).
func (f *flooder) packet(n int) []byte {
	src := f.source(n).As4()
	dst := f.to.Addr().As4()
	body := fmt.Sprintf("INVITE sip:900%d@%s SIP/2.0\r\nVia: SIP/2.0/UDP %s:5060;branch=z9hG4bK%x;rport\r\nMax-Forwards: 70\r\nFrom: <sip:x%d@%s>;tag=%x\r\nTo: <sip:900%d@%s>\r\n"+
		"Call-ID: %x@x\r\nCSeq: 1 INVITE\r\nContact: <sip:x@%s:5060>\r\nContent-Length: 0\r\n\r\n", n, f.to.Addr(), netip.AddrFrom4(src), n, n, f.to.Addr(), n, n, f.to.Addr(), n, netip.AddrFrom4(src))
	const ipHeader, udpHeader = 20, 8
	b := make([]byte, ipHeader+udpHeader, ipHeader+udpHeader+len(body))
	b[0], b[8], b[9] = 0x45, 64, unix.IPPROTO_UDP
	binary.BigEndian.PutUint16(b[2:], uint16(cap(b)))
	copy(b[12:], src[:])
	copy(b[16:], dst[:])
	binary.BigEndian.PutUint16(b[20:], 5060)
	binary.BigEndian.PutUint16(b[22:], f.to.Port())
	binary.BigEndian.PutUint16(b[24:], uint16(udpHeader+len(body))) // no checksum: IPv4 allows it
	return append(b, body...)
}
