package main

import (
	"net/netip"
	"testing"
)

func TestFrame(t *testing.T) {
	t.Parallel()
	mac := []byte{2, 0, 0, 0, 0, 1}
	from, to := netip.MustParseAddrPort("198.18.0.2:10000"), netip.MustParseAddrPort("198.18.0.3:10002")
	f := newFrame(mac, mac, from, to, ssrcOf(1, 'a'))
	next(f, 12345)
	next(f, 12346)
	if sum := headerSum(f[ipAt:udpAt]); sum != 0 { // over a header with its own checksum
		t.Errorf("IPv4 checksum is off by %x", sum)
	}
	a, ok := parse(f)
	if want := (arrival{port: 10002, side: 3, ssrc: ssrcOf(1, 'a'), sent: 12346, head: 320}); !ok || a != want {
		t.Errorf("parsed %+v, %v; want %+v", a, ok, want)
	}
	if f[rtpAt+3] != 2 || f[rtpAt+7] != 64 || f[rtpAt+6] != 1 {
		t.Errorf("RTP header % x", f[rtpAt:stampAt])
	}
	if stampHead(f, 1<<40+7); f[rtpAt+7] != 7 || f[rtpAt+6] != 0 {
		t.Errorf("RTP header % x", f[rtpAt:stampAt])
	}
	for _, bad := range [][]byte{nil, f[:stampAt], append([]byte{}, make([]byte, frameSize)...)} {
		if _, ok := parse(bad); ok {
			t.Errorf("% x was parsed", bad)
		}
	}
}
