package page

import (
	"io"
	"net"
	"strings"
	"sync"
	"testing"
)

// wire is a cable between browser and box that the test pulls out and puts back.
type wire struct {
	ln     net.Listener
	target string
	dial   func(network, address string) (net.Conn, error)

	mu     sync.Mutex // guards what follows
	pulled bool
	conns  map[net.Conn]bool
	ended  sync.WaitGroup
}

// newWire puts a cable before the box: its address is the cable's from now on.
func newWire(t *testing.T, b *box, dial func(network, address string) (net.Conn, error)) *wire {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{ln: ln, dial: dial, target: strings.TrimPrefix(b.address, "https://"), conns: map[net.Conn]bool{}}
	b.address = "https://" + ln.Addr().String()
	w.ended.Go(w.accept)
	t.Cleanup(func() {
		ln.Close()
		w.pull()
		w.ended.Wait()
	})
	return w
}

func (w *wire) accept() {
	for {
		near, err := w.ln.Accept()
		if err != nil {
			return
		}
		far, err := w.dial("tcp", w.target)
		if err != nil || !w.keep(near, far) {
			near.Close()
			continue
		}
		w.ended.Go(func() { w.carry(near, far) })
		w.ended.Go(func() { w.carry(far, near) })
	}
}

// keep notes a connection, unless the cable is out.
func (w *wire) keep(near, far net.Conn) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.pulled {
		far.Close()
		return false
	}
	w.conns[near], w.conns[far] = true, true
	return true
}

func (w *wire) carry(from, to net.Conn) {
	_, _ = io.Copy(to, from) // ends with either side
	from.Close()
	to.Close()
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.conns, from)
	delete(w.conns, to)
}

// pull breaks all connections and takes no new ones.
func (w *wire) pull() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pulled = true
	for c := range w.conns {
		c.Close()
	}
}

func (w *wire) putBack() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pulled = false
}
