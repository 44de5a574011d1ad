// Package probe asks hosts of the network whether they are there, and by which way: ping and trace
// (RFC 792, RFC 4443).
package probe

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"

	"github.com/coraltele/sanchar/pkg/network/onlink"
)

// Bounds of what one question may cost.
const (
	MaxCount    = 100
	MaxSize     = 8000 // bytes of an echo
	MaxHops     = 30
	minInterval = 200 * time.Millisecond
	hopProbes   = 3
	hopTime     = time.Second

	protocolICMP   = 1 // of the IANA
	protocolICMPv6 = 58
)

// Target is who is asked.
type Target struct {
	Addr  netip.Addr
	Iface string // the link that is used; "" as the routes say
}

// Options say how a ping is made.
type Options struct {
	Count    int           // 0 is 4
	Interval time.Duration // 0 is a second
	Timeout  time.Duration // for each answer; 0 is a second
	Size     int           // bytes of payload; 0 is 56
}

func (o Options) withDefaults() Options {
	if o.Count == 0 {
		o.Count = 4
	}
	if o.Interval == 0 {
		o.Interval = time.Second
	}
	if o.Timeout == 0 {
		o.Timeout = time.Second
	}
	if o.Size == 0 {
		o.Size = 56
	}
	o.Count, o.Size, o.Interval = min(o.Count, MaxCount), min(max(o.Size, nonceBytes), MaxSize), max(o.Interval, minInterval)
	return o
}

// Reply is what became of one question.
type Reply struct {
	Seq   int
	From  netip.Addr // who answered, invalid if nobody did
	Took  time.Duration
	Fault string // "" for an echo: "no answer", "host unreachable"...
}

// nonceBytes begin each payload: answers to others are not ours.
const nonceBytes = 8

// prober is one socket.
type prober struct {
	conn  net.PacketConn
	raw   bool
	id    int
	nonce uint64
	to    netip.Addr
}

// open opens a raw socket, or, without the right to, one that only pings (icmp(7), ping_group_range).
func open(ctx context.Context, t Target) (p *prober, err error) {
	if !t.Addr.IsValid() {
		return nil, errors.New("no address to ask")
	}
	p = &prober{id: rand.IntN(1 << 16), nonce: rand.Uint64(), to: t.Addr.Unmap(), raw: true}
	if p.six() {
		p.conn, err = onlink.ListenICMPv6(ctx, t.Iface)
	} else {
		p.conn, err = onlink.ListenICMP(ctx, t.Iface)
	}
	if errors.Is(err, os.ErrPermission) {
		p.raw = false
		p.conn, err = icmp.ListenPacket(map[bool]string{false: "udp4", true: "udp6"}[p.six()], "")
	}
	if err != nil {
		return nil, fmt.Errorf("socket for ICMP: %w", err)
	}
	return p, nil
}

func (p *prober) six() bool { return p.to.Is6() }

// send asks with a number of hops, 0 for the usual one.
func (p *prober) send(seq, size, hops int) error {
	payload := binary.BigEndian.AppendUint64(nil, p.nonce)
	payload = append(payload, make([]byte, max(0, size-nonceBytes))...)
	m := icmp.Message{Type: ipv4.ICMPTypeEcho, Body: &icmp.Echo{ID: p.id, Seq: seq, Data: payload}}
	if p.six() {
		m.Type = ipv6.ICMPTypeEchoRequest // the kernel adds the checksum, which covers addresses (RFC 4443 §2.3)
	}
	wire, err := m.Marshal(nil)
	if err != nil {
		return err
	}
	if hops > 0 {
		if err := p.limit(hops); err != nil {
			return err
		}
	}
	var to net.Addr = &net.IPAddr{IP: p.to.AsSlice(), Zone: p.to.Zone()}
	if !p.raw {
		to = &net.UDPAddr{IP: p.to.AsSlice(), Zone: p.to.Zone()}
	}
	_, err = p.conn.WriteTo(wire, to)
	return err
}

func (p *prober) limit(hops int) error {
	if p.six() {
		return ipv6.NewPacketConn(p.conn).SetHopLimit(hops)
	}
	return ipv4.NewPacketConn(p.conn).SetTTL(hops)
}

// await reads until an answer to question seq comes.
func (p *prober) await(ctx context.Context, seq int, wait time.Duration) Reply {
	start := time.Now()
	r := Reply{Seq: seq, Fault: "no answer"}
	if err := p.conn.SetReadDeadline(start.Add(wait)); err != nil {
		return r
	}
	stop := context.AfterFunc(ctx, func() { _ = p.conn.SetReadDeadline(time.Unix(1, 0)) }) // it cannot fail twice
	defer stop()
	for buf := make([]byte, MaxSize+200); ; {
		n, from, err := p.conn.ReadFrom(buf)
		if err != nil {
			return r
		}
		fault, ours := p.understand(buf[:n], seq)
		if !ours {
			continue
		}
		r.From, r.Took, r.Fault = addrOf(from), time.Since(start), fault
		return r
	}
}

// understand reports whether a message is about our question, and what it says is wrong.
func (p *prober) understand(b []byte, seq int) (fault string, ours bool) {
	protocol := protocolICMP
	if p.six() {
		protocol = protocolICMPv6
	}
	m, err := icmp.ParseMessage(protocol, b)
	if err != nil {
		return "", false
	}
	switch body := m.Body.(type) {
	case *icmp.Echo:
		reply := m.Type == ipv4.ICMPTypeEchoReply || m.Type == ipv6.ICMPTypeEchoReply
		return "", reply && body.Seq == seq && (!p.raw || body.ID == p.id) && len(body.Data) >= nonceBytes && binary.BigEndian.Uint64(body.Data) == p.nonce
	case *icmp.TimeExceeded:
		return faultHops, p.quotes(body.Data, seq)
	case *icmp.DstUnreach:
		return unreachable(p.six(), m.Code), p.quotes(body.Data, seq)
	case *icmp.PacketTooBig:
		return fmt.Sprintf("too big: the way carries %d bytes", body.MTU), p.quotes(body.Data, seq)
	}
	return "", false
}

const faultHops = "too many hops"

// quotes reports whether an error is about our question: it holds the packet's header and at least
// eight bytes more, type, code, checksum, identifier and number.
func (p *prober) quotes(packet []byte, seq int) bool {
	head := 40
	if !p.six() {
		if len(packet) < 20 {
			return false
		}
		head = int(packet[0]&15) * 4
	}
	if len(packet) < head+8 {
		return false
	}
	echo := packet[head:]
	return int(binary.BigEndian.Uint16(echo[4:])) == p.id && int(binary.BigEndian.Uint16(echo[6:])) == seq
}

// unreachable is RFC 792 and RFC 1812 §5.2.7.1, or RFC 4443 §3.1, in words.
func unreachable(six bool, code int) string {
	v4 := map[int]string{
		0: "network unreachable", 1: "host unreachable", 2: "protocol unreachable", 3: "port unreachable", 4: "too big for the way",
		9: "forbidden by a firewall", 10: "forbidden by a firewall", 13: "forbidden by a firewall",
	}
	v6 := map[int]string{0: "no route", 1: "forbidden by a firewall", 3: "host unreachable", 4: "port unreachable", 5: "forbidden by a firewall", 6: "route refused"}
	words := v4
	if six {
		words = v6
	}
	if text, ok := words[code]; ok {
		return text
	}
	return fmt.Sprintf("unreachable, code %d", code)
}

func addrOf(a net.Addr) netip.Addr {
	var ip net.IP
	switch a := a.(type) {
	case *net.IPAddr:
		ip = a.IP
	case *net.UDPAddr:
		ip = a.IP
	}
	addr, _ := netip.AddrFromSlice(ip)
	return addr.Unmap()
}

// Ping asks a host several times and tells each answer, until ctx ends.
func Ping(ctx context.Context, t Target, o Options, each func(Reply)) error {
	o = o.withDefaults()
	p, err := open(ctx, t)
	if err != nil {
		return err
	}
	defer p.conn.Close()
	for seq := 1; seq <= o.Count; seq++ {
		next := time.Now().Add(o.Interval)
		if err := p.send(seq, o.Size, 0); err != nil {
			each(Reply{Seq: seq, Fault: sendFault(err)})
		} else {
			each(p.await(ctx, seq, o.Timeout))
		}
		if seq == o.Count || !pause(ctx, time.Until(next)) {
			break
		}
	}
	return ctx.Err()
}

func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// sendFault says why the kernel did not send.
func sendFault(err error) string {
	if op := (*net.OpError)(nil); errors.As(err, &op) {
		if call := (*os.SyscallError)(nil); errors.As(op.Err, &call) {
			return "not sent: " + call.Err.Error()
		}
	}
	return "not sent: " + err.Error()
}

// Hop is a router on the way, or its end.
type Hop struct {
	Number int
	From   netip.Addr      // invalid if it keeps silent
	Took   []time.Duration // of the answers
	Fault  string          // why the way ends here
	Last   bool
}

// Trace tells each hop of the way to a host, until it answers, the way ends or ctx does.
func Trace(ctx context.Context, t Target, each func(Hop)) error {
	p, err := open(ctx, t)
	if err != nil {
		return err
	}
	defer p.conn.Close()
	if !p.raw {
		return fmt.Errorf("trace needs raw sockets: %w", os.ErrPermission)
	}
	for hops := 1; hops <= MaxHops && ctx.Err() == nil; hops++ {
		h := p.hop(ctx, hops)
		each(h)
		if h.Last {
			break
		}
	}
	return ctx.Err()
}

// hop asks with one number of hops.
func (p *prober) hop(ctx context.Context, number int) Hop {
	h := Hop{Number: number}
	for i := range hopProbes {
		seq := number*hopProbes + i
		if err := p.send(seq, 40, number); err != nil {
			h.Fault, h.Last = sendFault(err), true
			return h
		}
		r := p.await(ctx, seq, hopTime)
		if !r.From.IsValid() {
			continue
		}
		h.From, h.Took = r.From, append(h.Took, r.Took)
		if r.Fault != faultHops {
			h.Fault, h.Last = r.Fault, true
		}
	}
	return h
}
