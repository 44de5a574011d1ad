package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"github.com/coraltele/sanchar/appliance/bench/peers"
	"github.com/coraltele/sanchar/appliance/bench/proc"
	"github.com/coraltele/sanchar/pkg/platform/udpio"
)

// Junk that is sent, each datagram from an address of its own: loopback has 16 million.
const (
	junkCount = 100_000
	junkBatch = 32
	junkPause = 2 * time.Millisecond // after a batch: 16,000 a second, which the server must not drop unread
)

// measureJunk measures what datagrams of strangers leave behind in switchd, with the limits that a
// box has, and without any, when each is read.
func measureJunk(ctx context.Context, o options) (tables []table, err error) {
	count := junkCount
	if o.quick {
		count /= quickFactor
	}
	t := table{
		title: "Memory after junk",
		note:  fmt.Sprintf("%d datagrams from as many addresses: random bytes, torn SIP, REGISTERs without credentials; proportional set size of switchd before and after. The first makes the tables of fixed size, too.", count),
		head:  []string{"limits per source", "MB before", "left MB", "aim MB", "left by as many more", "dropped by the kernel"},
	}
	for _, limits := range []bool{true, false} {
		line, err := junkOnce(ctx, o, count, limits)
		if err != nil {
			return nil, err
		}
		t.rows = append(t.rows, line)
	}
	return []table{t}, nil
}

func junkOnce(ctx context.Context, o options, count int, limits bool) (line []string, err error) {
	sw, err := peers.StartSwitch(ctx, o.bin, 0, limits)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, sw.Stop()) }()
	var at [3]int64 // before, after, and after as many more
	for i := range at {
		if i > 0 {
			if err := sendJunk(ctx, sw.SIP, i*count, count); err != nil {
				return nil, err
			}
		}
		sizes, err := restingPSS(ctx, o, sw.Server)
		if err != nil {
			return nil, err
		}
		at[i] = sizes[peers.Switchd]
	}
	dropped, err := proc.Dropped(sw.SIP)
	if err != nil {
		return nil, err
	}
	on := "on"
	if !limits {
		on = "off"
	}
	return []string{on, megabytes(at[0]), megabytes(at[1] - at[0]), "< 1", megabytes(at[2] - at[1]), fmt.Sprint(dropped)}, nil
}

// sendJunk sends all from one socket, with another source address each.
func sendJunk(ctx context.Context, to netip.AddrPort, first, count int) error {
	fd, err := udpio.Open(netip.AddrPortFrom(netip.IPv4Unspecified(), 0), udpio.Options{SendBuffer: 4 << 20})
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	s := udpio.NewSender(junkBatch)
	name := udpio.SockaddrOf(to)
	rng := rand.New(rand.NewPCG(1, 2))
	for i := first; i < first+count; i++ {
		s.Add(junk(rng, i, to), &name, junkSource(i))
		if s.Len() < junkBatch {
			continue
		}
		for s.Len() > 0 {
			if refused, err := s.Flush(fd); err != nil || refused > 0 {
				return errors.Join(err, fmt.Errorf("the kernel refused %d datagrams", refused))
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(junkPause):
		}
	}
	return nil
}

// junkSource returns another address of 127.128.0.0/9 for each i.
func junkSource(i int) netip.Addr {
	var a [4]byte
	binary.BigEndian.PutUint32(a[:], 127<<24|128<<16|uint32(i)+1)
	return netip.AddrFrom4(a)
}

// junk returns one of the kinds in turn.
func junk(rng *rand.Rand, i int, to netip.AddrPort) []byte {
	register := fmt.Appendf(nil, "REGISTER sip:%s SIP/2.0\r\nVia: SIP/2.0/UDP %s:5060;rport;branch=z9hG4bKj%d\r\nMax-Forwards: 70\r\nFrom: <sip:j%d@%[1]s>;tag=%[3]d\r\n"+
		"To: <sip:j%[3]d@%[1]s>\r\nCall-ID: j%[3]d\r\nCSeq: 1 REGISTER\r\nContact: <sip:j@%[2]s>\r\nContent-Length: 0\r\n\r\n", to, junkSource(i), i, i)
	switch i % 3 {
	case 0:
		b := make([]byte, 16+rng.IntN(500))
		for j := range b {
			b[j] = byte(rng.Uint32())
		}
		return b
	case 1:
		return register[:rng.IntN(len(register)-8)+4]
	}
	return register
}
