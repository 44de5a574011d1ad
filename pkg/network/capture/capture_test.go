package capture

import (
	"bytes"
	"context"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/network/onlink"
	"github.com/coraltele/sanchar/pkg/testkit/netlab"
)

func TestMain(m *testing.M) {
	if code, entered := netlab.Enter(); entered {
		os.Exit(code)
	}
	goleak.VerifyTestMain(m)
}

// begun tells when the head of the file was written: then the socket is open.
type begun struct {
	bytes.Buffer
	open chan struct{}
}

func (b *begun) Write(p []byte) (int, error) {
	if b.Len() == 0 {
		close(b.open)
	}
	return b.Buffer.Write(p)
}

func ip(t *testing.T, lines ...string) {
	t.Helper()
	for _, l := range lines {
		if out, err := exec.Command("ip", strings.Fields(l)...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %s %v", l, out, err)
		}
	}
}

func tshark(t *testing.T, h *netlab.Host, file []byte, args ...string) string {
	t.Helper()
	path := filepath.Join(h.Dir, "c.pcapng")
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(h.Output(t, "tshark", append([]string{"-r", path, "-T", "fields"}, args...)...))
}

func TestWhatIsCapturedOpensInTshark(t *testing.T) {
	t.Parallel()
	netlab.Need(t, "tshark", "tshark")
	host := netlab.New(t).Cable(t, "host", "cp-a")
	ip(t, "addr add 10.26.0.1/24 dev cp-a")
	host.Output(t, "ip", "addr", "add", "10.26.0.2/24", "dev", "eth0")
	var wire *os.File
	if err := host.Do(func() (err error) { wire, err = onlink.Packet("eth0", 0, nil); return err }); err != nil {
		t.Fatal(err)
	}
	defer wire.Close()
	out := &begun{open: make(chan struct{})}
	type end struct {
		Result
		error
	}
	ended := make(chan end, 1)
	go func() {
		res, err := Run(t.Context(), Request{Iface: "cp-a", Filter: "dst port 5060", Packets: 2, Time: 30 * time.Second}, out)
		ended <- end{res, err}
	}()
	<-out.open
	for _, to := range []string{"10.26.0.1:5059", "10.26.0.1:5060"} {
		c, err := host.Dial("udp", to)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Write([]byte("OPTIONS sip:x SIP/2.0\r\n\r\n")); err != nil {
			t.Fatal(err)
		}
		_ = c.Close()
	}
	// A frame of VLAN 20: the kernel takes its tag out, and it must be there again.
	p := packet{kind: etherIPv4, proto: protoUDP, src: netip.MustParseAddr("10.27.0.2"), dst: netip.MustParseAddr("10.27.0.1"), sport: 1, dport: 5060}
	frame := append([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 9, 0x81, 0, 0xa0, 20}, p.bytes(true)[12:]...)
	frame[16+2+2], frame[16+2+3] = 0, 20+8+36 // total length of the packet, then of the datagram
	frame[16+2+20+4], frame[16+2+20+5] = 0, 8+36
	if _, err := wire.Write(frame); err != nil {
		t.Fatal(err)
	}
	e := <-ended
	if e.error != nil || e.Packets != 2 || e.Bytes != int64(out.Len()) || e.Dropped != 0 {
		t.Fatalf("%+v, %v", e.Result, e.error)
	}
	got := tshark(t, host, out.Bytes(), "-e", "ip.dst", "-e", "udp.dstport", "-e", "vlan.id", "-e", "frame.interface_name")
	if got != "10.26.0.1\t5060\t\tcp-a\n10.27.0.1\t5060\t20\tcp-a" {
		t.Errorf("tshark reads\n%s", got)
	}
}

func TestALinkThatIsOffIsNotCaptured(t *testing.T) {
	t.Parallel()
	netlab.New(t).Cable(t, "host", "cp-c")
	ip(t, "link set cp-c down")
	err := Request{Iface: "cp-c"}.Check()
	if f := problem.Of(err).Faults; len(f) != 1 || f[0].Rule != "is switched on" {
		t.Errorf("got %v", err)
	}
}

func TestBoundsEndACapture(t *testing.T) {
	t.Parallel()
	host := netlab.New(t).Cable(t, "host", "cp-b")
	ip(t, "addr add 10.28.0.1/24 dev cp-b", "neigh add 10.28.0.2 lladdr 02:00:00:00:00:02 dev cp-b")
	run := func(ctx context.Context, r Request) (Result, []byte) {
		t.Helper()
		r.Iface, r.Filter = "cp-b", "udp and dst host 10.28.0.2"
		out := &begun{open: make(chan struct{})}
		stop, ended := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(ended)
			<-out.open
			c, err := net.Dial("udp", "10.28.0.2:9")
			if err != nil {
				return
			}
			defer c.Close()
			for {
				select {
				case <-stop:
					return
				case <-time.After(time.Millisecond):
					_, _ = c.Write(make([]byte, 1000))
				}
			}
		}()
		res, err := Run(ctx, r, out)
		close(stop)
		<-ended
		if err != nil {
			t.Fatal(err)
		}
		return res, out.Bytes()
	}
	if res, _ := run(t.Context(), Request{Bytes: 10_000, Time: time.Minute}); res.Bytes > 10_100 || res.Packets != 9 {
		t.Errorf("by size: %+v", res)
	}
	if res, _ := run(t.Context(), Request{Time: 50 * time.Millisecond}); res.Packets == 0 {
		t.Errorf("by time: %+v", res)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if res, _ := run(ctx, Request{}); res.Packets == 0 {
		t.Errorf("by who asked: %+v", res)
	}
	res, file := run(t.Context(), Request{Packets: 3, HeadOnly: true})
	if res.Packets != 3 || tshark(t, host, file, "-e", "frame.cap_len", "-e", "frame.len", "-c", "1") != "128\t1042" {
		t.Errorf("heads only: %+v", res)
	}
}
