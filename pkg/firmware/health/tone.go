package health

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"time"

	"github.com/pion/rtp"

	"github.com/coraltele/sanchar/pkg/rtp/g711"
)

const (
	maxDatagram = 2048
	sampleRate  = 8000
	frame       = 160 // samples of 20 ms
	frameTime   = 20 * time.Millisecond
	// Each side sends a tone of its own, so that nobody hears himself.
	toneA = 697.0
	toneB = 1209.0
	level = 8000.0
	// needed is how many samples with the other's tone make a call that carries sound.
	needed = sampleRate
	// clear is how much of a frame's power must be the tone's.
	clear = 0.8
)

// share returns how much of the samples' power is of one frequency, from 0 to 1 (Goertzel's algorithm).
func share(samples []int16, hz float64) float64 {
	var power, s1, s2 float64
	c := 2 * math.Cos(2*math.Pi*hz/sampleRate)
	for _, x := range samples {
		v := float64(x)
		power += v * v
		s1, s2 = v+c*s1-s2, s1
	}
	if power == 0 {
		return 0
	}
	return 2 * (s1*s1 + s2*s2 - c*s1*s2) / (power * float64(len(samples)))
}

// play sends a tone until ctx ends.
func play(ctx context.Context, conn net.PacketConn, to netip.AddrPort, hz float64) error {
	tick := time.NewTicker(frameTime)
	defer tick.Stop()
	samples, payload := make([]int16, frame), make([]byte, frame)
	p := rtp.Packet{Header: rtp.Header{Version: 2, SSRC: uint32(hz), Marker: true}, Payload: payload}
	for n := 0; ; n++ {
		for i := range samples {
			samples[i] = int16(level * math.Sin(2*math.Pi*hz*float64(n*frame+i)/sampleRate))
		}
		g711.EncodeMu(payload, samples)
		data, err := p.Marshal()
		if err != nil {
			return err
		}
		if _, err := conn.WriteTo(data, net.UDPAddrFromAddrPort(to)); err != nil {
			return fmt.Errorf("send a tone: %w", err)
		}
		p.SequenceNumber, p.Timestamp, p.Marker = p.SequenceNumber+1, p.Timestamp+frame, false
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// listen returns when the tone was heard for a second.
func listen(ctx context.Context, conn net.PacketConn, hz float64) error {
	if end, ok := ctx.Deadline(); ok {
		_ = conn.SetReadDeadline(end) // it is a socket
	}
	defer context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Now()) })()
	buf, heard, packets := make([]byte, maxDatagram), 0, 0
	for heard < needed {
		n, _, err := conn.ReadFrom(buf)
		if err != nil {
			return errors.Join(fmt.Errorf("the tone of %.0f Hz was heard for %d ms, in %d packets", hz, 1000*heard/sampleRate, packets), err)
		}
		var p rtp.Packet
		if p.Unmarshal(buf[:n]) != nil || p.PayloadType != 0 {
			continue
		}
		packets++
		samples := make([]int16, len(p.Payload))
		if g711.DecodeMu(samples, p.Payload); share(samples, hz) > clear {
			heard += len(samples)
		}
	}
	return nil
}
