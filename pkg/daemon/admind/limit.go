package admind

import (
	"net"
	"net/netip"
	"sync"
)

// limited is a listener that closes connections over its bounds at once: a source that opens many
// must not keep others from the page.
type limited struct {
	net.Listener

	mu   sync.Mutex // guards what follows
	all  int
	each map[netip.Prefix]int
}

func newLimited(ln net.Listener) *limited {
	return &limited{Listener: ln, each: map[netip.Prefix]int{}}
}

func (l *limited) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		source := sourceOf(c.RemoteAddr())
		if l.enter(source) {
			return &limitedConn{Conn: c, leave: sync.OnceFunc(func() { l.leave(source) })}, nil
		}
		_ = c.Close() // refused
	}
}

// sourceOf is an IPv4 address, or the /64 that one IPv6 user has all addresses of.
func sourceOf(addr net.Addr) netip.Prefix {
	ap, err := netip.ParseAddrPort(addr.String())
	if err != nil {
		return netip.Prefix{}
	}
	a := ap.Addr().Unmap().WithZone("")
	bits := 64
	if a.Is4() {
		bits = 32
	}
	p, _ := a.Prefix(bits) // both fit their addresses
	return p
}

func (l *limited) enter(source netip.Prefix) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.all >= maxConns || l.each[source] >= maxConnsEach {
		return false
	}
	l.all++
	l.each[source]++
	return true
}

func (l *limited) leave(source netip.Prefix) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all--
	if l.each[source]--; l.each[source] == 0 {
		delete(l.each, source)
	}
}

type limitedConn struct {
	net.Conn
	leave func()
}

func (c *limitedConn) Close() error {
	c.leave()
	return c.Conn.Close()
}
