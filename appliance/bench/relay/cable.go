package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
)

// cable is no relay at all: the callers send to each other, and what comes in at the relay's interface
// goes out again as it is. What others cost is counted above this.
type cable struct {
	program *ebpf.Program
	link    link.Link
}

const cableName = "cable"

func (c *cable) name() string { return cableName }

func (c *cable) start(_ context.Context, w *world) (err error) {
	c.program, err = ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "md_cable", Type: ebpf.SchedCLS, License: "Apache-2.0",
		Instructions: asm.Instructions{
			asm.Mov.Imm(asm.R1, int32(w.relayIndex)),
			asm.Mov.Imm(asm.R2, 0),
			asm.FnRedirect.Call(),
			asm.Return(),
		},
	})
	if err != nil {
		return fmt.Errorf("program of the cable: %w", err)
	}
	return w.look(w.relayNS, func() error {
		c.link, err = link.AttachTCX(link.TCXOptions{Interface: w.relayIndex, Program: c.program, Attach: ebpf.AttachTCXIngress})
		return err
	})
}

// call makes each caller send to the other one.
func (c *cable) call(_ context.Context, i int) (relayPorts, error) {
	a, b := party(i)
	return relayPorts{a: b, b: a}, nil
}

func (c *cable) hangUp(context.Context, int) error { return nil }

func (c *cable) pids() []int { return nil }

func (c *cable) stop() error { return errors.Join(c.link.Close(), c.program.Close()) }

// nftables is the kernel's own translation, told of all calls beforehand.
type nftables struct {
	w *world
}

func (n *nftables) name() string { return "nftables" }

func (n *nftables) start(ctx context.Context, w *world) error {
	n.w = w
	if err := n.do(ctx, "sysctl", "-qw", "net.ipv4.ip_forward=1"); err != nil {
		return err
	}
	return n.do(ctx, "nft", `table ip md {
	map to { type ipv4_addr . inet_service . inet_service : ipv4_addr . inet_service; }
	map from { type ipv4_addr . inet_service . ipv4_addr . inet_service : ipv4_addr . inet_service; }
	chain in { type nat hook prerouting priority dstnat; meta l4proto udp dnat ip to ip saddr . udp sport . udp dport map @to; }
	chain out { type nat hook postrouting priority srcnat; meta l4proto udp snat ip to ip saddr . udp sport . ip daddr . udp dport map @from; }
}`)
}

func (n *nftables) do(ctx context.Context, args ...string) error {
	return run(ctx, append([]string{"ip", "netns", "exec", n.w.relayNS}, args...)...)
}

// firstPort of the relay's that callers send to.
const firstPort = 40000

func (n *nftables) call(ctx context.Context, i int) (p relayPorts, err error) {
	a, b := party(i)
	own := netip.MustParseAddr(relayIP)
	p = relayPorts{a: netip.AddrPortFrom(own, uint16(firstPort+4*i)), b: netip.AddrPortFrom(own, uint16(firstPort+4*i+2))}
	way := func(from, at, via, to netip.AddrPort) string {
		return fmt.Sprintf("add element ip md to { %s . %d . %d : %s . %d }; add element ip md from { %s . %d . %s . %d : %s . %d };",
			from.Addr(), from.Port(), at.Port(), to.Addr(), to.Port(),
			from.Addr(), from.Port(), to.Addr(), to.Port(), via.Addr(), via.Port())
	}
	return p, n.do(ctx, "nft", way(a, p.a, p.b, b)+way(b, p.b, p.a, a))
}

func (n *nftables) hangUp(context.Context, int) error {
	return errors.New("calls of nftables are not ended: it is not measured how they come and go")
}

func (n *nftables) pids() []int { return nil }

func (n *nftables) stop() error { return nil } // its rules go with the namespace
