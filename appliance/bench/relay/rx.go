package main

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The ring: blocks that the kernel fills with frames and arrival times (packet(7), TPACKET_V3). It
// is emptied on a timer, so that no relay pays for waking the generator.
const (
	blockSize  = 1 << 18
	blocks     = 64
	retire     = 4 // ms until a block that is not full is handed over
	drainEvery = 2 * time.Millisecond
)

// receiver counts what comes back and how long it took.
type receiver struct {
	fd    int
	ring  []byte
	at    int // block that is read next
	wrong atomic.Uint64
	head  bool // the time is in the header (stampHead)

	mu    sync.Mutex // guards what follows
	got   uint64
	times []int32 // latencies in nanoseconds
}

// newReceiver opens the ring. It is called inside the generator's namespace.
func newReceiver(ifindex int) (*receiver, error) {
	const all = unix.ETH_P_ALL<<8&0xff00 | unix.ETH_P_ALL>>8 // in network order
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	for _, opt := range []struct{ level, name, value int }{
		{unix.SOL_PACKET, unix.PACKET_VERSION, unix.TPACKET_V3},
		{unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1},
	} {
		if err := unix.SetsockoptInt(fd, opt.level, opt.name, opt.value); err != nil {
			return nil, fmt.Errorf("packet ring: option %d: %w", opt.name, err)
		}
	}
	req := unix.TpacketReq3{Block_size: blockSize, Block_nr: blocks, Frame_size: 2048, Frame_nr: blockSize / 2048 * blocks, Retire_blk_tov: retire}
	if err := unix.SetsockoptTpacketReq3(fd, unix.SOL_PACKET, unix.PACKET_RX_RING, &req); err != nil {
		return nil, fmt.Errorf("packet ring: %w", err)
	}
	ring, err := unix.Mmap(fd, 0, blockSize*blocks, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("packet ring: %w", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Ifindex: ifindex, Protocol: all}); err != nil {
		return nil, fmt.Errorf("bind packet ring: %w", err)
	}
	return &receiver{fd: fd, ring: ring, times: make([]int32, 0, 1<<20)}, nil
}

// run empties the ring on one CPU until stop is set.
func (r *receiver) run(cpu int, stop *atomic.Bool) error {
	if err := pin(cpu); err != nil {
		return err
	}
	for !stop.Load() {
		wait(time.Now().Add(drainEvery))
		for r.block() {
		}
	}
	return nil
}

// block reads one block if the kernel has handed it over.
func (r *receiver) block() bool {
	base := unsafe.Pointer(&r.ring[r.at*blockSize])
	head := (*unix.TpacketHdrV1)(unsafe.Pointer(&(*unix.TpacketBlockDesc)(base).Hdr))
	if atomic.LoadUint32(&head.Block_status)&unix.TP_STATUS_USER == 0 {
		return false
	}
	r.mu.Lock()
	at := uintptr(head.Offset_to_first_pkt)
	for range head.Num_pkts {
		pkt := (*unix.Tpacket3Hdr)(unsafe.Add(base, at))
		r.packet(unsafe.Slice((*byte)(unsafe.Add(base, at+uintptr(pkt.Mac))), pkt.Snaplen), int64(pkt.Sec)*1e9+int64(pkt.Nsec))
		at += uintptr(pkt.Next_offset)
	}
	r.mu.Unlock()
	atomic.StoreUint32(&head.Block_status, unix.TP_STATUS_KERNEL)
	r.at = (r.at + 1) % blocks
	return true
}

func (r *receiver) packet(frame []byte, now int64) {
	a, ok := parse(frame)
	if !ok {
		return // ARP and the like
	}
	from := map[byte]byte{2: 'b', 3: 'a'}[a.side]
	if r.head != (len(frame) == frameSize+srtpTag) || a.ssrc != ssrcOf((int(a.port)-firstCallerPort)/2, from) {
		r.wrong.Add(1)
		return
	}
	r.got++
	if len(r.times) < cap(r.times) {
		took := now - a.sent
		if r.head {
			took = int64(uint32(now) - a.head)
		}
		r.times = append(r.times, int32(min(took, 1<<31-1)))
	}
}

// reset starts a new measurement.
func (r *receiver) reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.got, r.times = 0, r.times[:0]
}

// read returns what came since reset, with the median and the 99th percentile of the latency.
func (r *receiver) read() (got uint64, p50, p99 time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.times) == 0 {
		return r.got, 0, 0
	}
	slices.Sort(r.times)
	return r.got, time.Duration(r.times[len(r.times)/2]), time.Duration(r.times[len(r.times)*99/100])
}
