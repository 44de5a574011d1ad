package edge

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/coraltele/sanchar/pkg/platform/notify"
	"github.com/coraltele/sanchar/pkg/sip/wire"
)

// Limits of connections.
const (
	maxConns        = 4096             // with all phones on TCP, two connections each on the largest box
	maxConnsPerAddr = 50               // an office behind one NAT
	maxMessage      = 64 << 10         // one message; SDP and chat are far below, files go by HTTP
	partTime        = 30 * time.Second // for a message or a handshake to be complete: a trickle ends here
	strangerTime    = 30 * time.Second // for the first request that proves a user
	idleTime        = 30 * time.Minute // without a byte: phones ping every 30 s to 2 min
	writeTime       = 10 * time.Second // for a peer to take what is sent
	maxQueued       = 256 << 10        // bytes that wait for a slow peer
	dialTime        = 5 * time.Second
	readSize        = 4 << 10 // first buffer of a connection; grows for a longer message
)

// listener is one TCP port.
type listener struct {
	net.Listener
	transport Transport
	local     netip.AddrPort
}

func (e *Edge) listenStream(ctx context.Context, t Transport, local netip.AddrPort, fds map[string][]int) error {
	ln, err := e.openStream(ctx, t, local, fds)
	if err != nil {
		return fmt.Errorf("listen on %s %s: %w", t.Param(), local, err)
	}
	local = unmapped(ln.Addr().(*net.TCPAddr).AddrPort())
	e.listeners = append(e.listeners, &listener{ln, t, local})
	return nil
}

func (e *Edge) openStream(ctx context.Context, t Transport, local netip.AddrPort, fds map[string][]int) (net.Listener, error) {
	name := fdName(t, local)
	if kept := fds[name]; len(kept) > 0 {
		f := os.NewFile(uintptr(kept[0]), name)
		defer f.Close() // package net works on a copy
		return net.FileListener(f)
	}
	network := "tcp6" // all IPv6, or all IPv4: one family a socket
	if local.Addr().Is4() {
		network = "tcp4"
	}
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, network, local.String())
	if err != nil {
		return nil, err
	}
	fd, err := notify.FD(ln.(*net.TCPListener))
	if err == nil {
		err = e.notify.Store(name, fd)
	}
	return ln, err
}

func (e *Edge) accept(l *listener) error {
	for {
		nc, err := l.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return nil
		case errors.Is(err, unix.EMFILE), errors.Is(err, unix.ENFILE), errors.Is(err, unix.ENOMEM):
			time.Sleep(100 * time.Millisecond) // connections that end give descriptors back
			continue
		case err != nil:
			continue // of this connection only
		}
		c := newConn(e, l.transport, nc)
		if !e.conns.add(c) {
			_ = nc.Close() // over a limit: the peer may try again
			continue
		}
		if l.transport == TLS {
			e.wait.Go(c.run)
		} else if e.poller.take(c, nc) != nil {
			c.close() // the peer may try again
		}
	}
}

// conn is one TCP or TLS connection. One of TCP is read by the poller, one of TLS by a goroutine of its
// own.
type conn struct {
	edge   *Edge
	flow   Flow
	closed atomic.Bool
	proven atomic.Bool // a user has proved himself on it
	ours   bool        // we have made it
	plain  plain       // of TCP

	mu      sync.Mutex // guards what follows
	nc      net.Conn   // of TLS
	fd      int        // of TCP
	queue   []byte     // what waits for the peer, or for the connection to be made
	writing bool       // what is sent is queued: a writer is at work, or will be
}

func newConn(e *Edge, t Transport, nc net.Conn) *conn {
	c := &conn{edge: e, nc: nc, fd: -1}
	c.flow = Flow{
		Transport: t, conn: c, Remote: unmapped(nc.RemoteAddr().(*net.TCPAddr).AddrPort()),
		Local: unmapped(nc.LocalAddr().(*net.TCPAddr).AddrPort()),
	}
	return c
}

// run reads messages over TLS until the connection ends.
func (c *conn) run() {
	defer c.close()
	t := tls.Server(c.nc, c.edge.cfg.TLS)
	_ = t.SetDeadline(time.Now().Add(partTime)) // an unusable connection shows at the handshake
	if t.Handshake() != nil {
		return
	}
	_ = t.SetDeadline(time.Time{})
	c.mu.Lock()
	c.nc = t
	c.mu.Unlock()
	c.read(t)
}

func (c *conn) read(t *tls.Conn) {
	in := c.edge.inbounds.Get().(*Inbound)
	defer func() { c.edge.Release(in) }()
	buf, have := make([]byte, readSize), 0
	var framer wire.Framer
	started := time.Now()
	for {
		if t.SetReadDeadline(c.patience(started, have)) != nil {
			return
		}
		n, err := t.Read(buf[have:])
		if err != nil {
			return
		}
		if have == 0 {
			started = time.Now()
		}
		have += n
		used, ok := c.messages(&in, buf[:have], &framer)
		if !ok {
			return
		}
		if used > 0 {
			have = copy(buf, buf[used:have])
			started = time.Now()
		}
		if have == len(buf) {
			buf = append(buf, make([]byte, len(buf))...)
		} else if have == 0 && len(buf) > 4*readSize {
			buf = make([]byte, readSize)
		}
	}
}

// patience returns until when more must come.
func (c *conn) patience(started time.Time, have int) time.Time {
	switch {
	case have > 0:
		return started.Add(partTime)
	case !c.proven.Load() && !c.ours:
		return started.Add(strangerTime)
	}
	return time.Now().Add(idleTime)
}

// messages handles all whole messages at the start of buf. It reports false when the stream cannot
// be read on.
func (c *conn) messages(in **Inbound, buf []byte, framer *wire.Framer) (used int, ok bool) {
	for used < len(buf) {
		f, err := framer.Next(buf[used:], maxMessage)
		if err != nil {
			return used, false
		}
		if f.Size == 0 {
			break
		}
		if f.Ping {
			_ = c.send([]byte("\r\n")) // RFC 5626 §3.5.1; a peer that is gone shows at the next read
		} else if !f.Blank {
			(*in).Flow = c.flow
			if c.edge.handle(*in, buf[used:used+f.Size], time.Now()) {
				*in = c.edge.inbounds.Get().(*Inbound)
			}
		}
		used += f.Size
	}
	return used, true
}

// Proven notes that a user proved himself on the flow: its connection may stay open.
func (f Flow) Proven() {
	if f.conn != nil {
		f.conn.proven.Store(true)
	}
}

// send writes b, or queues what the peer does not take at once. It does not block.
func (c *conn) send(b []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed.Load() {
		return ErrFlow
	}
	if !c.writing && c.flow.Transport == TCP {
		n, err := sendTCP(c.fd, b)
		if err != nil {
			return err
		}
		if b = b[n:]; len(b) == 0 {
			return nil
		}
	}
	if len(c.queue)+len(b) > maxQueued {
		go c.close() // it does not read; close waits for mu
		return fmt.Errorf("%d bytes wait for the peer already", len(c.queue))
	}
	c.queue = append(c.queue, b...)
	switch {
	case c.writing:
	case c.flow.Transport == TCP:
		return c.edge.poller.awaitRoomLocked(c)
	default:
		c.writing = true
		c.edge.wait.Go(c.write)
	}
	return nil
}

// write sends over TLS what is queued, also what is added meanwhile, and ends.
func (c *conn) write() {
	var buf []byte
	for {
		c.mu.Lock()
		if len(c.queue) == 0 {
			c.writing = false
			c.mu.Unlock()
			return
		}
		buf, c.queue = c.queue, buf[:0]
		nc := c.nc
		c.mu.Unlock()
		err := nc.SetWriteDeadline(time.Now().Add(writeTime))
		if err == nil {
			_, err = nc.Write(buf)
		}
		if err != nil {
			c.close()
			return
		}
	}
}

func (c *conn) close() {
	if c.closed.Swap(true) {
		return
	}
	c.edge.conns.remove(c)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.nc != nil {
		_ = c.nc.Close() // it ends either way
	}
	if c.fd >= 0 {
		c.edge.poller.dropLocked(c)
	}
}

// connTable holds the open connections.
type connTable struct {
	limits bool

	mu      sync.Mutex // guards what follows
	byPeer  map[connKey]*conn
	perAddr map[netip.Addr]int
	closing bool
}

type connKey struct {
	transport Transport
	remote    netip.AddrPort
}

func (t *connTable) init(limits bool) {
	t.limits, t.byPeer, t.perAddr = limits, map[connKey]*conn{}, map[netip.Addr]int{}
}

// add reports false when one more is over a limit.
func (t *connTable) add(c *conn) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	addr := c.flow.Remote.Addr()
	if t.closing || len(t.byPeer) >= maxConns || (t.limits && t.perAddr[addr] >= maxConnsPerAddr) {
		return false
	}
	t.byPeer[connKey{c.flow.Transport, c.flow.Remote}] = c
	t.perAddr[addr]++
	return true
}

func (t *connTable) remove(c *conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	key := connKey{c.flow.Transport, c.flow.Remote}
	if t.byPeer[key] == c {
		delete(t.byPeer, key)
		if addr := c.flow.Remote.Addr(); t.perAddr[addr] <= 1 {
			delete(t.perAddr, addr)
		} else {
			t.perAddr[addr]--
		}
	}
}

func (t *connTable) find(tr Transport, remote netip.AddrPort) *conn {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.byPeer[connKey{tr, remote}]
}

func (t *connTable) closeAll() {
	t.mu.Lock()
	t.closing = true
	all := make([]*conn, 0, len(t.byPeer))
	for _, c := range t.byPeer {
		all = append(all, c)
	}
	t.mu.Unlock()
	for _, c := range all {
		c.close()
	}
}

// Conns returns how many connections are open.
func (e *Edge) Conns() int {
	e.conns.mu.Lock()
	defer e.conns.mu.Unlock()
	return len(e.conns.byPeer)
}

// flowToStream finds an open connection. For TCP it makes one when there is none; over TLS the
// phones are clients, they have no certificate that we could check.
func (e *Edge) flowToStream(t Transport, remote netip.AddrPort) (Flow, error) {
	if c := e.conns.find(t, remote); c != nil {
		return c.flow, nil
	}
	if t == TLS {
		return Flow{}, fmt.Errorf("flow to %s: %w", remote, ErrFlow)
	}
	c := &conn{edge: e, ours: true, writing: true, fd: -1}
	c.flow = Flow{Transport: t, Remote: remote, Local: netip.AddrPortFrom(e.localTowards(remote), e.cfg.Port), conn: c}
	if !e.conns.add(c) {
		return Flow{}, fmt.Errorf("connect to %s: too many connections", remote)
	}
	e.wait.Go(c.dial)
	return c.flow, nil
}

func (e *Edge) localTowards(remote netip.AddrPort) netip.Addr {
	for _, s := range e.sockets {
		if s.local.Addr().Is4() == remote.Addr().Is4() {
			return s.localTowards(remote)
		}
	}
	return netip.Addr{}
}

// LocalTowards returns our address that a peer at this one sees; none where the box has no socket
// of its IP version.
func (e *Edge) LocalTowards(remote netip.Addr) netip.Addr {
	return e.localTowards(netip.AddrPortFrom(remote, e.cfg.Port))
}

// dial makes the connection and sends what was queued meanwhile.
func (c *conn) dial() {
	d := net.Dialer{Timeout: dialTime}
	nc, err := d.Dial("tcp", c.flow.Remote.String())
	if err != nil || c.edge.poller.take(c, nc) != nil {
		c.close()
	}
}
