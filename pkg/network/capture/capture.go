package capture

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/network/onlink"
)

// Bounds of one capture.
const (
	DefaultBytes = 10 << 20
	MaxBytes     = 100 << 20
	DefaultTime  = time.Minute
	MaxTime      = 10 * time.Minute
	headSnap     = 128 // of packets whose content is not wanted

	receiveBuffer = 4 << 20 // what comes while the reader of the file is slow
)

// Request says what is recorded.
type Request struct {
	Iface    string
	Filter   string
	Bytes    int64         // of the file; 0 is DefaultBytes
	Time     time.Duration // 0 is DefaultTime
	Packets  int           // 0 is as many as come
	HeadOnly bool          // addresses and headers only
}

// Result tells what was recorded.
type Result struct {
	Packets int
	Bytes   int64
	Dropped uint32
}

// Check reports every fault of a request.
func (r Request) Check() error {
	_, _, err := r.program()
	return err
}

// program compiles the filter for the kind of the link.
func (r Request) program() (code []unix.SockFilter, linkType uint16, err error) {
	var faults []problem.Fault
	nic, nicErr := net.InterfaceByName(r.Iface)
	if nicErr != nil {
		faults = append(faults, problem.Fault{Path: "link", Value: r.Iface, Rule: "is a link of the box", Cure: "see the links with: sanchar links"})
	} else if nic.Flags&net.FlagUp == 0 {
		faults = append(faults, problem.Fault{Path: "link", Value: r.Iface, Rule: "is switched on", Cure: "switch it on in the network settings"})
	}
	if r.Bytes < 0 || r.Bytes > MaxBytes {
		faults = append(faults, problem.Fault{Path: "bytes", Value: fmt.Sprint(r.Bytes), Rule: fmt.Sprintf("is at most %d", MaxBytes), Cure: "record less, or with a narrower filter"})
	}
	if r.Time < 0 || r.Time > MaxTime {
		faults = append(faults, problem.Fault{Path: "seconds", Value: r.Time.String(), Rule: "is at most " + MaxTime.String(), Cure: "record for a shorter time"})
	}
	n, err := parse(r.Filter)
	if p, ok := errors.AsType[*problem.Error](err); ok {
		faults = append(faults, p.Faults...)
	}
	if err := problem.Fields("capture", faults); err != nil {
		return nil, 0, err
	}
	// A link without hardware addresses, as a tunnel, has packets without frames. The loopback has frames.
	ethernet := len(nic.HardwareAddr) == 6 || nic.Flags&net.FlagLoopback != 0
	linkType = linkRaw
	if ethernet {
		linkType = linkEthernet
	}
	code, err = assemble(n, ethernet)
	return code, linkType, err
}

func assemble(n *node, ethernet bool) ([]unix.SockFilter, error) {
	raw, err := bpf.Assemble(compile(n, ethernet))
	if err != nil {
		return nil, fmt.Errorf("filter: %w", err)
	}
	code := make([]unix.SockFilter, len(raw))
	for i, in := range raw {
		code[i] = unix.SockFilter{Code: in.Op, Jt: in.Jt, Jf: in.Jf, K: in.K}
	}
	return code, nil
}

// Run records into w until a bound is reached, or ctx ends, which is no error.
func Run(ctx context.Context, r Request, w io.Writer) (res Result, err error) {
	code, linkType, err := r.program()
	if err != nil {
		return res, err
	}
	if r.Bytes == 0 {
		r.Bytes = DefaultBytes
	}
	if r.Time == 0 {
		r.Time = DefaultTime
	}
	f, err := onlink.Packet(r.Iface, unix.ETH_P_ALL, code)
	if err != nil {
		return res, err
	}
	ctx, cancel := context.WithTimeout(ctx, r.Time)
	defer cancel()
	defer f.Close()
	defer context.AfterFunc(ctx, func() { _ = f.SetReadDeadline(time.Unix(1, 0)) })() // it cannot fail
	raw, err := f.SyscallConn()
	if err != nil {
		return res, err
	}
	s := &sniffer{raw: raw, out: &file{w: w}, request: r, ethernet: linkType == linkEthernet}
	if err := s.prepare(); err != nil {
		return res, fmt.Errorf("capture on %s: %w", r.Iface, err)
	}
	if err := s.out.begin(r.Iface, r.Filter, linkType); err != nil {
		return res, err
	}
	err = errors.Join(s.record(ctx), s.out.end(time.Now(), s.dropped))
	return Result{Packets: s.packets, Bytes: s.out.written, Dropped: s.dropped}, err
}

// sniffer is one capture while it runs.
type sniffer struct {
	raw      syscall.RawConn
	out      *file
	request  Request
	ethernet bool
	packets  int
	dropped  uint32
}

func (s *sniffer) prepare() error {
	return s.control(func(fd int) error {
		return errors.Join(
			unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_AUXDATA, 1),
			unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer), // as much of it as the kernel lets
		)
	})
}

func (s *sniffer) control(do func(fd int) error) error {
	var err error
	if ctlErr := s.raw.Control(func(fd uintptr) { err = do(int(fd)) }); ctlErr != nil {
		return ctlErr
	}
	return err
}

func (s *sniffer) record(ctx context.Context) error {
	buf, oob := make([]byte, MaxSnap+vlanBytes), make([]byte, 256)
	for ctx.Err() == nil {
		n, oobn, length, err := s.receive(buf[vlanBytes:], oob)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			break
		}
		if errors.Is(err, unix.ENETDOWN) { // said once, when the link goes down: it may come again
			continue
		}
		if err != nil {
			return fmt.Errorf("capture: %w", err)
		}
		at := time.Now()
		frame := buf[vlanBytes : vlanBytes+n]
		if tag, ok := vlanTag(oob[:oobn]); ok && s.ethernet && n >= 12 {
			// The kernel took the tag out of the frame (packet(7), PACKET_AUXDATA): it goes back.
			frame = buf[:vlanBytes+n]
			copy(frame, frame[vlanBytes:vlanBytes+12])
			copy(frame[12:], tag[:])
			length += vlanBytes
		}
		if s.request.HeadOnly {
			frame = frame[:min(len(frame), headSnap)]
		}
		if s.out.written+int64(len(frame))+36 > s.request.Bytes {
			break
		}
		if err := s.out.packet(at, frame, length); err != nil {
			return fmt.Errorf("write capture: %w", err)
		}
		if s.packets++; s.packets == s.request.Packets {
			break
		}
	}
	return s.control(func(fd int) error {
		st, err := unix.GetsockoptTpacketStats(fd, unix.SOL_PACKET, unix.PACKET_STATISTICS)
		if err == nil {
			s.dropped = st.Drops
		}
		return err
	})
}

// receive reads one packet, and how long it was.
func (s *sniffer) receive(buf, oob []byte) (n, oobn, length int, err error) {
	readErr := s.raw.Read(func(fd uintptr) bool {
		length, oobn, _, _, err = unix.Recvmsg(int(fd), buf, oob, unix.MSG_TRUNC|unix.MSG_DONTWAIT)
		return !errors.Is(err, unix.EAGAIN)
	})
	if readErr != nil {
		return 0, 0, 0, readErr
	}
	return min(length, len(buf)), oobn, length, err
}

// vlanBytes is the length of a tag of IEEE 802.1Q.
const vlanBytes = 4

// vlanTag reads struct tpacket_auxdata of linux/if_packet.h.
func vlanTag(oob []byte) (tag [vlanBytes]byte, ok bool) {
	const valid, typeValid, usualType = 1 << 4, 1 << 6, 0x8100
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return tag, false
	}
	for _, m := range msgs {
		if m.Header.Level != unix.SOL_PACKET || m.Header.Type != unix.PACKET_AUXDATA || len(m.Data) < int(unsafe.Sizeof(unix.TpacketAuxdata{})) {
			continue
		}
		status := binary.NativeEndian.Uint32(m.Data)
		if status&valid == 0 {
			return tag, false
		}
		kind := uint16(usualType)
		if status&typeValid != 0 {
			kind = binary.NativeEndian.Uint16(m.Data[18:])
		}
		binary.BigEndian.PutUint16(tag[:], kind)
		binary.BigEndian.PutUint16(tag[2:], binary.NativeEndian.Uint16(m.Data[16:]))
		return tag, true
	}
	return tag, false
}
