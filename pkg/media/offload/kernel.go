package offload

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/coraltele/sanchar/pkg/media/relay"
)

// Flow is one direction of a call, as the kernel is to pass it on.
type Flow struct {
	Local netip.AddrPort // of ours, that the packets come to
	From  netip.AddrPort // of ours, that they go out from
	relay.Plan
	DSCP uint8
}

// Kernel is mediad's end of the program: it tells it what to pass on. Its methods may be called from any
// goroutine and never wait.
type Kernel struct {
	counters
	maps   Maps
	routes *Routes

	mu   sync.Mutex // guards what follows; held for a system call on a map
	free []uint32   // slots; the one that was given up first is used first
	used map[key]*bypass
}

// Open takes over maps that program and mediad share. What a mediad before us told the program is
// valid until Clear.
func Open(m Maps, routes *Routes) (*Kernel, error) {
	memory, err := unix.Mmap(m.Slots.FD(), 0, mapped, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("counters of media flows: %w", err)
	}
	return &Kernel{counters: counters{memory}, maps: m, routes: routes, free: allSlots(), used: map[key]*bypass{}}, nil
}

// Maps returns what the kernel works with.
func (k *Kernel) Maps() Maps { return k.maps }

// Clear makes the kernel pass nothing on: what a mediad before us told it.
func (k *Kernel) Clear() error {
	var keys [][]byte
	var next, value []byte
	for it := k.maps.Flows.Iterate(); it.Next(&next, &value); {
		keys = append(keys, append([]byte(nil), next...))
	}
	var errs []error
	for _, key := range keys {
		if err := k.maps.Flows.Delete(key); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// Find looks for the routes that a flow needs, unless it is known how that ended.
func (k *Kernel) Find(f *Flow) error { return k.routes.findOf(f) }

// Start makes the kernel pass a flow on. It looks for no routes: Routes must know them.
func (k *Kernel) Start(f Flow) (relay.Bypass, error) {
	in, out, err := k.routes.knownOf(&f)
	if err != nil {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.free) == 0 {
		return nil, errFull
	}
	b := &bypass{kernel: k, key: keyOf(f.Local), slot: k.free[0], flow: f}
	*k.slot(b.slot) = Slot{Highest: f.Start.Highest, Transit: f.Start.Transit, Jitter: f.Start.Jitter}
	if err := k.tellLocked(b, in, out); err != nil {
		return nil, err
	}
	k.free = k.free[1:]
	k.used[b.key] = b
	return b, nil
}

// tellLocked writes the flow where the program finds it, at once whole.
func (k *Kernel) tellLocked(b *bypass, in, out Route) error {
	value := b.flow.entry(b.slot, in, out)
	if err := k.maps.Flows.Update(bytesOf(&b.key), bytesOf(&value), ebpf.UpdateAny); err != nil {
		return fmt.Errorf("media flow to %s: %w", b.flow.Local, err)
	}
	return nil
}

// entry is the flow as the program reads it.
func (f *Flow) entry(slot uint32, in, out Route) (e flow) {
	four := f.To.Addr().Is4()
	e = flow{
		Slot: slot, Ifindex: in.Ifindex, Rate: f.Start.Rate, MTU: out.MTU, Class: class(f.DSCP, four), Priority: priority(f.DSCP, four),
		PeerPort: portBytes(f.Peer.Port()), SrcPort: portBytes(f.From.Port()), DstPort: portBytes(f.To.Port()),
		Out: out.Ifindex, Family: family(four), Types: f.Types,
	}
	putAddr(&e.Peer, f.Peer.Addr())
	putAddr(&e.Src, f.From.Addr())
	putAddr(&e.Dst, f.To.Addr())
	putAddr(&e.NextHop, out.NextHop)
	e.SSRC = [4]byte{byte(f.SSRC >> 24), byte(f.SSRC >> 16), byte(f.SSRC >> 8), byte(f.SSRC)}
	local := keyOf(f.Local)
	e.AddrDiff = diff(append(e.Peer[:], local.Addr[:]...), append(e.Src[:], e.Dst[:]...))
	e.PortDiff = diff(append(e.PeerPort[:], local.Port[:]...), append(e.SrcPort[:], e.DstPort[:]...))
	return e
}

// bypass is a flow that the kernel passes on.
type bypass struct {
	kernel *Kernel
	key    key
	slot   uint32
	flow   Flow
}

// Passed returns what was counted.
func (b *bypass) Passed() relay.Passed {
	return b.kernel.slot(b.slot).passed(relay.Passed{Slot: b.slot + 1, Rate: b.flow.Start.Rate, Formats: b.flow.Start.Formats})
}

// Begun is since when it was made.
func (b *bypass) Begun() (at int64, ok bool) { return 0, true }

// Over is true: taking a flow from the kernel is one step.
func (b *bypass) Over() bool { return true }

// Close takes the flow from the kernel.
func (b *bypass) Close() {
	k := b.kernel
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.used[b.key] != b {
		return // closed already
	}
	_ = k.maps.Flows.Delete(bytesOf(&b.key)) // it fails only if Reroute has taken it out
	delete(k.used, b.key)
}

// Release gives the slot to others. It is called once, after Close.
func (b *bypass) Release() {
	k := b.kernel
	k.mu.Lock()
	defer k.mu.Unlock()
	k.free = append(k.free, b.slot)
}

// Reroute tells the program how the parties are reached now. What it cannot reach any more comes to the
// sockets; their streams see it and give their bypasses up.
func (k *Kernel) Reroute() error {
	k.mu.Lock()
	all := make([]*bypass, 0, len(k.used))
	for _, b := range k.used {
		all = append(all, b)
	}
	k.mu.Unlock()
	var errs []error
	for _, b := range all {
		in, out, err := k.routes.lookOf(&b.flow)
		errs = append(errs, k.reroute(b, in, out, err))
	}
	return errors.Join(errs...)
}

func (k *Kernel) reroute(b *bypass, in, out Route, err error) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case k.used[b.key] != b: // closed meanwhile
		return nil
	case err == nil:
		return k.tellLocked(b, in, out)
	}
	if err := k.maps.Flows.Delete(bytesOf(&b.key)); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return fmt.Errorf("media flow to %s: %w", b.flow.Local, err)
	}
	return nil
}

// Deferred is false: the program does at once what it is told.
func (k *Kernel) Deferred() bool { return false }

// Settle has nothing to wait for.
func (k *Kernel) Settle(context.Context) {}

// Close lets go of the maps. The program goes on with what it was told.
func (k *Kernel) Close() error { return errors.Join(unix.Munmap(k.memory), k.maps.Close()) }
