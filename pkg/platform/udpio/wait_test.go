package udpio

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestReaderAndWriterWaitInThePoller(t *testing.T) {
	t.Parallel()
	fd, local := open(t, "127.0.0.1", Options{})
	copied, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := Conn(copied)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if got := conn.LocalAddr().(*net.UDPAddr).AddrPort(); got != local {
		t.Fatalf("the socket is at %s, want %s", got, local)
	}
	tx, _ := open(t, "127.0.0.1", Options{})
	b := NewBatch(4, 64, false)
	r, err := NewReader(conn, b)
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan string, 1)
	go func() {
		n, err := r.Read()
		got <- fmt.Sprintf("%d %v %s", n, err, bytes.Clone(b.Packet(0)))
	}()
	to := SockaddrOf(local)
	if err := Send(tx, []byte("hello"), &to, netip.Addr{}); err != nil {
		t.Fatal(err)
	}
	if g := <-got; g != "1 <nil> hello" {
		t.Fatalf("read %s", g)
	}
	if err := conn.SetReadDeadline(time.Now()); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Read(); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("after the deadline: %v", err)
	}
	s := NewSender(4)
	w, err := NewWriter(conn, s)
	if err != nil {
		t.Fatal(err)
	}
	s.Add([]byte("to myself"), &to, netip.Addr{})
	if refused, err := w.Flush(); refused != 0 || err != nil {
		t.Fatalf("refused %d, %v", refused, err)
	}
	await(t, fd)
	if n, err := b.Recv(fd); n != 1 || err != nil || string(b.Packet(0)) != "to myself" {
		t.Fatalf("received %d, %v", n, err)
	}
}
