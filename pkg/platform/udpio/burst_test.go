package udpio

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

// bursts runs a test with io_uring and without.
func bursts(t *testing.T, test func(t *testing.T, b *Burst)) {
	t.Parallel()
	for _, ring := range []bool{true, false} {
		t.Run(fmt.Sprint("ring ", ring), func(t *testing.T) {
			t.Parallel()
			b := NewBurst(8, 32, ring)
			defer b.Close()
			if got, err := b.Ring(); ring && !got {
				t.Skipf("no io_uring here: %v", err)
			}
			test(t, b)
		})
	}
}

func TestBurstReceivesAndSendsOnManySockets(t *testing.T) {
	bursts(t, func(t *testing.T, b *Burst) {
		const n = 5
		var in, out [n]int
		var inAddr, outAddr [n]netip.AddrPort
		for i := range n {
			in[i], inAddr[i] = open(t, "127.0.0.1", Options{})
			out[i], outAddr[i] = open(t, "127.0.0.1", Options{})
		}
		for i := range n {
			to := SockaddrOf(inAddr[i])
			if i != 3 { // nothing for this one
				b.AddSend(out[i], []byte(fmt.Sprint("packet ", i)), &to)
			}
		}
		if refused := b.Send(); refused != 0 {
			t.Fatalf("%d refused", refused)
		}
		for i := range n {
			b.AddReceive(in[i])
		}
		b.Receive()
		for i := range n {
			p, from, ok := b.Received(i)
			if i == 3 {
				if ok {
					t.Errorf("socket %d gave %q", i, p)
				}
				continue
			}
			if !ok || string(p) != fmt.Sprint("packet ", i) || from.AddrPort() != outAddr[i] {
				t.Errorf("socket %d gave %q, %v", i, p, ok)
			}
		}
	})
}

func TestBurstTellsWhatWasRefusedOrTooLong(t *testing.T) {
	bursts(t, func(t *testing.T, b *Burst) {
		rx, local := open(t, "127.0.0.1", Options{})
		tx, _ := open(t, "127.0.0.1", Options{})
		good, bad := SockaddrOf(local), SockaddrOf(netip.MustParseAddrPort("[::1]:9"))
		b.AddSend(tx, make([]byte, 33), &good) // longer than a buffer
		first := b.AddSend(tx, []byte("x"), &bad)
		second := b.AddSend(-1, []byte("x"), &good)
		fine := b.AddSend(tx, []byte("fits"), &good)
		if refused := b.Send(); refused != 2 || b.Sent(first) == nil || !errors.Is(b.Sent(second), unix.EBADF) || b.Sent(fine) != nil {
			t.Errorf("refused %d: %v, %v, %v", refused, b.Sent(first), b.Sent(second), b.Sent(fine))
		}
		b.AddReceive(rx)
		b.AddReceive(-1)
		b.AddReceive(rx)
		b.Receive()
		if _, _, ok := b.Received(0); ok {
			t.Error("a datagram that does not fit was given")
		}
		if _, _, ok := b.Received(1); ok {
			t.Error("a closed socket gave something")
		}
		if p, _, ok := b.Received(2); !ok || string(p) != "fits" {
			t.Errorf("the next one gave %q, %v", p, ok)
		}
	})
}

func TestBurstUsesTheConnectedPeer(t *testing.T) {
	bursts(t, func(t *testing.T, b *Burst) {
		rx, local := open(t, "127.0.0.1", Options{})
		tx, _ := open(t, "127.0.0.1", Options{})
		name := SockaddrOf(local)
		if err := Connect(tx, &name); err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{"one", "two"} {
			b.AddSend(tx, []byte(text), nil)
		}
		if refused := b.Send(); refused != 0 || b.Room() != 8 {
			t.Fatalf("%d refused, room for %d", refused, b.Room())
		}
		for _, text := range []string{"one", "two"} {
			b.AddReceive(rx)
			b.Receive()
			if p, _, ok := b.Received(0); !ok || string(p) != text {
				t.Errorf("got %q, %v; want %q", p, ok, text)
			}
		}
	})
}

func TestBurstAllocatesNothing(t *testing.T) {
	for _, ring := range []bool{true, false} {
		b := NewBurst(4, 64, ring)
		rx, local := open(t, "127.0.0.1", Options{})
		tx, _ := open(t, "127.0.0.1", Options{})
		to, payload := SockaddrOf(local), []byte("payload")
		got := 0
		allocs := testing.AllocsPerRun(100, func() {
			for range 4 {
				b.AddSend(tx, payload, &to)
			}
			b.Send()
			for range 4 {
				b.AddReceive(rx)
			}
			b.Receive()
			for i := range 4 {
				if p, _, ok := b.Received(i); ok && len(p) == len(payload) {
					got++
				}
			}
		})
		if allocs != 0 || got != 404 {
			t.Errorf("ring %v: %v allocations, %d datagrams", ring, allocs, got)
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestMutedSocketHearsNothing(t *testing.T) {
	t.Parallel()
	for _, host := range []string{"127.0.97.1", "::1"} {
		at := netip.AddrPortFrom(netip.MustParseAddr(host), 29990) // a port that is named stays
		rx, err := Open(at, Options{})
		if err != nil {
			t.Fatal(err)
		}
		tx, _ := open(t, host, Options{})
		own := SockaddrOf(at)
		b := NewBatch(4, 16, false)
		send := func(text string) {
			t.Helper()
			if err := Send(tx, []byte(text), &own, netip.Addr{}); err != nil {
				t.Fatal(err)
			}
		}
		send("before")
		if err := Mute(rx, &own); err != nil || !Muted(rx, &own) {
			t.Fatal("not mute", err)
		}
		send("during")
		if err := Unmute(rx); err != nil || Muted(rx, &own) {
			t.Fatal("still mute", err)
		}
		if now, err := Local(rx); err != nil || now != at {
			t.Fatalf("the address is %v, %v, want %v", now, err, at)
		}
		send("after")
		await(t, rx)
		if n, err := b.Recv(rx); n != 1 || err != nil || string(b.Packet(0)) != "after" {
			t.Fatalf("received %d, %v, first %q", n, err, b.Packet(0))
		}
		if err := unix.Close(rx); err != nil {
			t.Fatal(err)
		}
	}
	if Mute(-1, new(Sockaddr)) == nil || Unmute(-1) == nil || Muted(-1, new(Sockaddr)) {
		t.Error("no socket was muted")
	}
}

func BenchmarkBurst(b *testing.B) {
	for _, ring := range []bool{true, false} {
		b.Run(fmt.Sprint("ring ", ring), func(b *testing.B) {
			const n = 32
			burst := NewBurst(n, 2048, ring)
			defer burst.Close()
			var in, out [n]int
			for i := range n {
				var local netip.AddrPort
				in[i], local = open(b, "127.0.0.1", Options{})
				out[i], _ = open(b, "127.0.0.1", Options{})
				name := SockaddrOf(local)
				if err := Connect(out[i], &name); err != nil {
					b.Fatal(err)
				}
			}
			payload := make([]byte, 172)
			b.ReportAllocs()
			for b.Loop() {
				for i := range n {
					burst.AddSend(out[i], payload, nil)
				}
				burst.Send()
				for i := range n {
					burst.AddReceive(in[i])
				}
				burst.Receive()
				if _, _, ok := burst.Received(n - 1); !ok {
					b.Fatal("lost")
				}
			}
		})
	}
}
