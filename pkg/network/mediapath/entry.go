package mediapath

import (
	"encoding/binary"
	"net/netip"

	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// Sizes of the maps' keys and values: the registers that pass4 and pass6 use.
const (
	key4Size, value4Size = 7 * 4, 7 * 4
	key6Size, value6Size = 13 * 4, 15 * 4
)

// Headers below RTP, which the kernel counts too.
const below4, below6 = 20 + 8, 40 + 8

// element is one payload type of a flow in a map.
type element struct {
	slot uint32
	at   int // of the type in the flow's Types
	six  bool
	// What was counted when it was last looked at.
	packets, bytes uint64
}

// keyOf is what a packet of a flow with this payload type is found by.
func keyOf(f *ctl.MediaFlow, payloadType uint8) string {
	b := binary.NativeEndian.AppendUint32(make([]byte, 0, key6Size), f.In)
	b = addresses(b, f.Peer, f.Local)
	b = append(b, 0x80, payloadType, 0, 0, 0, 0, 0, 0) // RFC 3550 §5.1: version 2
	return string(binary.BigEndian.AppendUint32(b, f.SSRC))
}

// addresses are those of the headers, then the ports.
func addresses(b []byte, src, dst netip.AddrPort) []byte {
	b = append(append(b, src.Addr().AsSlice()...), dst.Addr().AsSlice()...)
	return binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(b, src.Port()), dst.Port())
}

// valueOf is what becomes of a flow's packets. The congestion marks are not kept: what goes out is a
// packet of ours, not the one that came in (RFC 3168 §6.1).
func valueOf(f *ctl.MediaFlow) []byte {
	b := addresses(make([]byte, 0, value6Size), f.From, f.To)
	if six(f) {
		b = binary.BigEndian.AppendUint32(b, 6<<28|uint32(f.DSCP)<<22) // RFC 8200 §3: no flow label
	} else {
		b = append(b, 0x45, f.DSCP<<2, 0, 0)
		b = binary.NativeEndian.AppendUint32(b, f.Priority)
	}
	b = binary.NativeEndian.AppendUint32(b, f.Out)
	return append(b, f.NextHop.AsSlice()...)
}

func six(f *ctl.MediaFlow) bool { return f.Local.Addr().Is6() }
