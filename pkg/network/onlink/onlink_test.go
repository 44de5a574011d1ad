package onlink

import (
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/coraltele/sanchar/pkg/testkit/netlab"
)

func TestMain(m *testing.M) {
	if code, entered := netlab.Enter(); entered {
		os.Exit(code)
	}
	goleak.VerifyTestMain(m)
}

func TestWhatFailsIsTriedAgainUntilTheEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		begun, start := 0, time.Now()
		Keep(ctx, slog.New(slog.DiscardHandler), "x", func(ctx context.Context) error {
			if begun++; begun == 3 {
				cancel()
				<-ctx.Done()
				return nil
			}
			return errors.New("away")
		})
		if begun != 3 || time.Since(start) != 2*retryAfter {
			t.Errorf("begun %d times in %v", begun, time.Since(start))
		}
	})
}

// Two links have the same address and port, and each socket hears its own only.
func TestASocketHearsItsLinkOnly(t *testing.T) {
	t.Parallel()
	lab := netlab.New(t)
	a, b := lab.Cable(t, "a", "ol-a"), lab.Cable(t, "b", "ol-b")
	for _, h := range []*netlab.Host{a, b} {
		h.Output(t, "ip", "addr", "add", "10.70.0.2/24", "dev", "eth0")
	}
	at := netip.MustParseAddrPort("0.0.0.0:67")
	onA, err := ListenUDP(t.Context(), "ol-a", at)
	if err != nil {
		t.Fatal(err)
	}
	defer onA.Close()
	onB, err := ListenUDP(t.Context(), "ol-b", at)
	if err != nil {
		t.Fatal(err)
	}
	defer onB.Close()
	var c *net.UDPConn
	err = b.Do(func() (err error) {
		c, err = ListenUDP(t.Context(), "eth0", netip.MustParseAddrPort("10.70.0.2:68"))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.WriteToUDPAddrPort([]byte("here"), netip.MustParseAddrPort("255.255.255.255:67")); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 10)
	_ = onB.SetReadDeadline(time.Now().Add(netlab.Patience))
	if n, _, err := onB.ReadFromUDPAddrPort(buf); err != nil || string(buf[:n]) != "here" {
		t.Errorf("%q, %v", buf[:n], err)
	}
	_ = onA.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if n, _, err := onA.ReadFromUDPAddrPort(buf); err == nil {
		t.Errorf("the other link's %q", buf[:n])
	}
	if _, err := Packet("nope", 0, nil); err == nil {
		t.Error("a link that is not there")
	}
	if b := binary.NativeEndian.AppendUint16(nil, NetOrder(0x88cc)); b[0] != 0x88 || b[1] != 0xcc {
		t.Errorf("on the wire it is %x", b)
	}
}
