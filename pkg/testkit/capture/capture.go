// Package capture records what goes over a host's wires, with the kernel's time of each packet, and
// reads it as a network engineer would: streams, gaps, and SIP as tshark decodes it.
package capture

import (
	"encoding/binary"
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/coraltele/sanchar/pkg/testkit/netlab"
)

// The ring between the kernel and us: as many packets as 200 streams send in a second.
const (
	frameSize = 2048 // a whole Ethernet frame with its header in the ring
	frames    = 16384
	blockSize = 1 << 16
	snapLen   = 1600
)

// pollEvery is how soon Stop is heard.
const pollEvery = 50 * time.Millisecond

// Capture is what went over a host's wires since it was started.
type Capture struct {
	t    testing.TB
	dir  string
	fd   int
	ring []byte
	stop chan struct{}
	done chan struct{}

	mu      sync.Mutex // guards packets
	packets []Packet
}

// Start captures on all wires of the host, not on its loopback, until the test ends.
func Start(t testing.TB, h *netlab.Host) *Capture {
	t.Helper()
	c := &Capture{t: t, dir: h.Dir, stop: make(chan struct{}), done: make(chan struct{})}
	if err := h.Do(c.open); err != nil {
		t.Fatalf("capture on %s: %v", h, err)
	}
	go c.run()
	t.Cleanup(c.Stop)
	return c
}

// open makes the ring (packet(7), PACKET_RX_RING): unlike a socket's buffer it may be as large as
// needed whoever runs the test.
func (c *Capture) open() (err error) {
	all := htons(unix.ETH_P_ALL)
	if c.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0); err != nil {
		return err
	}
	req := unix.TpacketReq{Block_size: blockSize, Block_nr: frames * frameSize / blockSize, Frame_size: frameSize, Frame_nr: frames}
	err = errors.Join(
		unix.SetsockoptInt(c.fd, unix.SOL_PACKET, unix.PACKET_VERSION, unix.TPACKET_V2),
		unix.SetsockoptTpacketReq(c.fd, unix.SOL_PACKET, unix.PACKET_RX_RING, &req),
	)
	if err == nil {
		c.ring, err = unix.Mmap(c.fd, 0, frames*frameSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	}
	if err == nil {
		err = unix.Bind(c.fd, &unix.SockaddrLinklayer{Protocol: all})
	}
	if err != nil {
		_ = unix.Close(c.fd) // the first error is told
	}
	return err
}

func htons(v uint16) uint16 { return binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, v)) }

func (c *Capture) run() {
	defer close(c.done)
	for at := 0; ; at = (at + 1) % frames {
		for !c.take(c.ring[at*frameSize:]) {
			select {
			case <-c.stop:
				return
			default:
			}
			fds := []unix.PollFd{{Fd: int32(c.fd), Events: unix.POLLIN}}
			_, _ = unix.Poll(fds, int(pollEvery.Milliseconds())) // an interrupted wait is a short one
		}
	}
}

// take copies a frame of the ring, if the kernel has filled it, and gives it back.
func (c *Capture) take(frame []byte) bool {
	status := (*uint32)(unsafe.Pointer(&frame[0]))
	if atomic.LoadUint32(status)&unix.TP_STATUS_USER == 0 {
		return false
	}
	hdr := (*unix.Tpacket2Hdr)(unsafe.Pointer(&frame[0]))
	// The link-layer address stands behind the header, aligned to 16 bytes.
	from := (*unix.RawSockaddrLinklayer)(unsafe.Pointer(&frame[unix.SizeofTpacket2Hdr]))
	const loopback = 772 // ARPHRD_LOOPBACK
	if proto := from.Protocol; from.Hatype != loopback && (proto == htons(unix.ETH_P_IP) || proto == htons(unix.ETH_P_IPV6)) {
		data := frame[hdr.Net:][:min(hdr.Snaplen, snapLen)]
		p := Packet{At: time.Unix(int64(hdr.Sec), int64(hdr.Nsec)), Out: from.Pkttype == unix.PACKET_OUTGOING, Data: append([]byte(nil), data...)}
		c.mu.Lock()
		c.packets = append(c.packets, p)
		c.mu.Unlock()
	}
	atomic.StoreUint32(status, unix.TP_STATUS_KERNEL)
	return true
}

// Stop ends the capture. A packet that the ring had no room for fails the test: what was seen
// would prove nothing.
func (c *Capture) Stop() {
	c.t.Helper()
	select {
	case <-c.stop:
		return
	default:
	}
	close(c.stop)
	<-c.done
	stats, err := unix.GetsockoptTpacketStats(c.fd, unix.SOL_PACKET, unix.PACKET_STATISTICS)
	if err = errors.Join(err, unix.Munmap(c.ring), unix.Close(c.fd)); err != nil {
		c.t.Error(err)
	} else if stats.Drops > 0 {
		c.t.Errorf("the capture missed %d packets", stats.Drops)
	}
}

// Packets returns what was captured until now.
func (c *Capture) Packets() []Packet {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]Packet(nil), c.packets...)
}

// The head of a pcap file with times in nanoseconds, whose packets begin with their IP header.
const (
	pcapMagic = 0xa1b23c4d
	linkRaw   = 101
)

// WriteFile writes what was captured until now as a pcap file.
func (c *Capture) WriteFile(path string) error {
	le := binary.LittleEndian
	out := le.AppendUint32(nil, pcapMagic)
	out = le.AppendUint16(le.AppendUint16(out, 2), 4)
	out = le.AppendUint32(le.AppendUint32(out, 0), 0)
	out = le.AppendUint32(le.AppendUint32(out, snapLen), linkRaw)
	for _, p := range c.Packets() {
		out = le.AppendUint32(out, uint32(p.At.Unix()))
		out = le.AppendUint32(out, uint32(p.At.Nanosecond()))
		out = le.AppendUint32(out, uint32(len(p.Data)))
		out = le.AppendUint32(out, uint32(len(p.Data)))
		out = append(out, p.Data...)
	}
	return os.WriteFile(path, out, 0o600)
}
