package edge

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/coraltele/sanchar/pkg/platform/notify"
	"github.com/coraltele/sanchar/pkg/platform/udpio"
)

// Sizes of the datagram sockets.
const (
	batchSize    = 32       // datagrams of one system call
	datagramSize = 65_535   // what UDP can carry; pages of a buffer that are not touched cost nothing
	socketBuffer = 4 << 20  // a storm of 2,000 registrations fits
	arenaSize    = 64 << 10 // replies of one batch
)

// socket is one UDP port.
type socket struct {
	conn  *net.UDPConn
	fd    int
	local netip.AddrPort
	any   bool // bound to all addresses: each datagram says which of ours it came to
}

// fdName names a socket in the supervisor's store, which allows no colon.
func fdName(t Transport, local netip.AddrPort) string {
	return "sip-" + t.Param() + "-" + strings.ReplaceAll(local.Addr().String(), ":", "_") + "-" + fmt.Sprint(local.Port())
}

func (e *Edge) listenUDP(addr netip.Addr, fds map[string][]int) error {
	local := netip.AddrPortFrom(addr, e.cfg.Port)
	fd, err := e.openUDP(local, fds)
	if err != nil {
		return fmt.Errorf("listen on udp %s: %w", local, err)
	}
	s := &socket{any: addr.IsUnspecified()}
	if s.conn, err = udpio.Conn(fd); err == nil {
		s.fd, err = notify.FD(s.conn)
	}
	if err == nil {
		s.local, err = udpio.Local(s.fd)
	}
	if err != nil {
		return fmt.Errorf("listen on udp %s: %w", local, err)
	}
	e.sockets = append(e.sockets, s)
	return nil
}

func (e *Edge) openUDP(local netip.AddrPort, fds map[string][]int) (int, error) {
	name := fdName(UDP, local)
	if kept := fds[name]; len(kept) > 0 {
		_, err := udpio.Adopt(kept[0])
		return kept[0], err
	}
	fd, err := udpio.Open(local, udpio.Options{ReceiveBuffer: socketBuffer, SendBuffer: socketBuffer, DSCP: udpio.DSCPSignaling, PacketInfo: local.Addr().IsUnspecified()})
	if err != nil {
		return -1, err
	}
	return fd, e.notify.Store(name, fd)
}

// reader is what the goroutine of a socket works with: all of it reused for each batch.
type reader struct {
	edge   *Edge
	socket *socket
	batch  *udpio.Batch
	sender *udpio.Sender
	arena  []byte // replies of this batch
	in     *Inbound
}

func (e *Edge) readUDP(s *socket) error {
	r := &reader{
		edge: e, socket: s, batch: udpio.NewBatch(batchSize, datagramSize, s.any), sender: udpio.NewSender(batchSize),
		arena: make([]byte, 0, arenaSize), in: e.inbounds.Get().(*Inbound),
	}
	in, err := udpio.NewReader(s.conn, r.batch)
	if err != nil {
		return err
	}
	for {
		n, err := in.Read()
		if err != nil && !udpio.Passing(err) {
			return fmt.Errorf("read udp %s: %w", s.local, err)
		}
		now := time.Now()
		for i := range n {
			if !r.batch.Truncated(i) {
				r.datagram(i, now)
			}
		}
		r.flush()
	}
}

func (r *reader) datagram(i int, now time.Time) {
	flow := Flow{Transport: UDP, Local: r.socket.local, Remote: unmapped(r.batch.From(i).AddrPort()), socket: r.socket}
	if r.socket.any {
		to, _ := r.batch.To(i)
		flow.Local = netip.AddrPortFrom(to.Unmap(), r.socket.local.Port())
	}
	r.in.Flow, r.in.reader = flow, r
	if taken := r.edge.handle(r.in, r.batch.Packet(i), now); taken {
		r.in = r.edge.inbounds.Get().(*Inbound)
	}
}

// reply queues an answer for the end of the batch.
func (r *reader) reply(f Flow, build func(dst []byte) []byte) {
	if cap(r.arena)-len(r.arena) < arenaSize/batchSize {
		r.flush()
	}
	start := len(r.arena)
	r.arena = build(r.arena)
	to := udpio.SockaddrOf(f.Remote)
	if !r.sender.Add(r.arena[start:len(r.arena):len(r.arena)], &to, r.socket.source(f)) {
		r.flush()
		r.sender.Add(r.arena[start:], &to, r.socket.source(f))
	}
}

func (r *reader) flush() {
	if r.sender.Len() > 0 {
		if refused, err := r.sender.Flush(r.socket.fd); err != nil || refused > 0 || r.sender.Len() > 0 {
			r.edge.Counters.SendFailed.Add(uint64(refused + r.sender.Len()))
			r.sender.Drop() // the peers will ask again
		}
	}
	r.arena = r.arena[:0]
}

// source is the address to send from: the one that the peer knows, where there are several.
func (s *socket) source(f Flow) netip.Addr {
	if s.any {
		return f.Local.Addr()
	}
	return netip.Addr{}
}

func (s *socket) send(f Flow, b []byte) error {
	to := udpio.SockaddrOf(f.Remote)
	return udpio.Send(s.fd, b, &to, s.source(f))
}

// localTowards asks the kernel which of our addresses a peer would see.
func (s *socket) localTowards(remote netip.AddrPort) netip.Addr {
	if !s.any {
		return s.local.Addr()
	}
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(remote)) // sends nothing
	if err != nil {
		return s.local.Addr()
	}
	defer c.Close()
	return unmapped(c.LocalAddr().(*net.UDPAddr).AddrPort()).Addr()
}

// Outgoing collects messages that leave together, for instance when a commit is done. One
// goroutine uses it at a time.
type Outgoing struct {
	edge    *Edge
	senders map[*socket]*udpio.Sender
	waiting []*[]byte
}

// NewOutgoing returns an empty collection.
func (e *Edge) NewOutgoing() *Outgoing {
	return &Outgoing{edge: e, senders: map[*socket]*udpio.Sender{}}
}

// Add takes a message that was built in a Buffer, which it gives back when it has left.
func (o *Outgoing) Add(f Flow, buf *[]byte) {
	if f.socket == nil {
		_ = o.edge.Send(f, *buf) // counted there; the peer asks again
		PutBuffer(buf)
		return
	}
	s := o.senders[f.socket]
	if s == nil {
		s = udpio.NewSender(batchSize)
		o.senders[f.socket] = s
	}
	to := udpio.SockaddrOf(f.Remote)
	if !s.Add(*buf, &to, f.socket.source(f)) {
		o.Flush()
		s.Add(*buf, &to, f.socket.source(f))
	}
	o.waiting = append(o.waiting, buf)
}

// Flush sends what was added.
func (o *Outgoing) Flush() {
	for socket, s := range o.senders {
		if s.Len() == 0 {
			continue
		}
		if refused, err := s.Flush(socket.fd); err != nil || refused > 0 || s.Len() > 0 {
			o.edge.Counters.SendFailed.Add(uint64(refused + s.Len()))
			s.Drop()
		}
	}
	for i, buf := range o.waiting {
		PutBuffer(buf)
		o.waiting[i] = nil
	}
	o.waiting = o.waiting[:0]
}

// bufferSize fits a response with SDP; longer ones grow.
const bufferSize = 2048

// maxKept keeps a rare giant from staying in the pool.
const maxKept = 16 << 10

var buffers = sync.Pool{New: func() any { b := make([]byte, 0, bufferSize); return &b }}

// GetBuffer returns an empty buffer to build a message in.
func GetBuffer() *[]byte { return buffers.Get().(*[]byte) }

// PutBuffer gives a buffer back.
func PutBuffer(b *[]byte) {
	if cap(*b) <= maxKept {
		*b = (*b)[:0]
		buffers.Put(b)
	}
}
