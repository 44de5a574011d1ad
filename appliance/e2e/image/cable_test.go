package image

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/coraltele/sanchar/pkg/testkit/netlab"
)

// cable is what the second port of a box in QEMU is plugged into: a switch that knows VLANs, with a host
// at each of its ports. The kernel that the tests run on need not know VLANs.
type cable struct {
	conn *net.UDPConn // a datagram is a frame
	box  *net.UDPAddr

	mu   sync.Mutex // guards taps
	taps map[uint16]*os.File
}

// untagged is the VLAN of frames that have no tag.
const untagged = 0

// Of frames (IEEE 802.1Q).
const (
	frameSize = 1600
	tagAt     = 12 // behind both addresses
	tagSize   = 4
	tagType   = 0x8100
	vlanMask  = 0x0fff
)

func newCable(t *testing.T) *cable {
	t.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	box, err := net.ResolveUDPAddr("udp4", free(t, "udp"))
	if err != nil {
		t.Fatal(err)
	}
	c := &cable{conn: conn, box: box, taps: map[uint16]*os.File{}}
	var wg sync.WaitGroup
	wg.Go(c.fromBox)
	t.Cleanup(func() {
		_ = conn.Close() // it holds nothing back
		wg.Wait()
	})
	return c
}

// args plug the cable into a machine that is switched on.
func (c *cable) args() []string {
	return []string{"-netdev", fmt.Sprintf("socket,id=n1,udp=%s,localaddr=%s", c.conn.LocalAddr(), c.box), "-device", "virtio-net-pci,netdev=n1"}
}

// host plugs a host in at a VLAN, whose gateway is the box.
func (c *cable) host(t *testing.T, lab *netlab.Lab, name string, vlan uint16, address netip.Prefix, gateway netip.Addr) *netlab.Host {
	t.Helper()
	h := lab.Host(t, name)
	var tap *os.File
	err := h.Do(func() (err error) {
		if tap, err = openTap("lan"); err != nil {
			return err
		}
		link, err := netlink.LinkByName("lan")
		if err != nil {
			return err
		}
		at := &netlink.Addr{IPNet: &net.IPNet{IP: address.Addr().AsSlice(), Mask: net.CIDRMask(address.Bits(), address.Addr().BitLen())}}
		if err := errors.Join(netlink.AddrAdd(link, at), netlink.LinkSetUp(link)); err != nil {
			return err
		}
		return netlink.RouteReplace(&netlink.Route{LinkIndex: link.Attrs().Index, Gw: gateway.AsSlice(), Dst: &net.IPNet{IP: net.IPv4zero.To4(), Mask: net.CIDRMask(0, 32)}})
	})
	if err != nil {
		t.Fatalf("plug %s in: %v", name, err)
	}
	h.V4, h.Box4 = address.Addr(), gateway
	c.mu.Lock()
	c.taps[vlan] = tap
	c.mu.Unlock()
	var wg sync.WaitGroup
	wg.Go(func() { c.toBox(tap, vlan) })
	t.Cleanup(func() {
		_ = tap.Close() // it holds nothing back
		wg.Wait()
	})
	return h
}

// openTap makes an Ethernet device whose other end is a file.
func openTap(name string) (*os.File, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	req, err := unix.NewIfreq(name)
	if err == nil {
		req.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, req)
	}
	if err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	return os.NewFile(uintptr(fd), name), nil
}

// fromBox gives what the box sends to the host of the VLAN, without the tag.
func (c *cable) fromBox() {
	buf := make([]byte, frameSize)
	for {
		n, _, err := c.conn.ReadFromUDP(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		frame, vlan := buf[:max(n, 0)], uint16(untagged)
		if err != nil || n < tagAt+tagSize { // QEMU is not there yet, or not any more
			continue
		}
		if binary.BigEndian.Uint16(frame[tagAt:]) == tagType {
			vlan = binary.BigEndian.Uint16(frame[tagAt+2:]) & vlanMask
			frame = slices.Delete(frame, tagAt, tagAt+tagSize)
		}
		c.mu.Lock()
		tap := c.taps[vlan]
		c.mu.Unlock()
		if tap != nil {
			_, _ = tap.Write(frame) // a host that is gone hears nothing
		}
	}
}

// toBox gives what a host sends to the box, with the tag of its VLAN.
func (c *cable) toBox(tap *os.File, vlan uint16) {
	buf := make([]byte, frameSize)
	for {
		n, err := tap.Read(buf)
		if err != nil {
			return
		}
		frame := buf[:n]
		if vlan != untagged {
			tag := binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, tagType), vlan)
			frame = slices.Insert(slices.Clone(frame), tagAt, tag...)
		}
		_, _ = c.conn.WriteToUDP(frame, c.box) // a box that is off hears nothing
	}
}
