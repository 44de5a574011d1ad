package mediad

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/coraltele/sanchar/pkg/media/port"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/platform/notify"
)

// socketKey makes this program a mediad instead of a test.
const socketKey = "MEDIAD_TEST_SOCKET"

func TestMain(m *testing.M) {
	if socket := os.Getenv(socketKey); socket != "" {
		if err := child(socket); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

func child(socket string) error {
	handed := notify.Take()
	n, err := notify.New()
	if err != nil {
		return err
	}
	d, err := New(testConfig(socket), n, handed, slog.New(slog.NewTextHandler(os.Stderr, nil)))
	if err != nil {
		return err
	}
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer cancel()
	return d.Run(ctx)
}

func testConfig(socket string) Config {
	dir := filepath.Dir(socket)
	for _, folder := range []string{"en", "music"} { // else there is an alarm
		folder = filepath.Join(dir, "sounds", folder)
		_ = os.MkdirAll(folder, 0o700)
		_ = os.WriteFile(filepath.Join(folder, "default.g722"), make([]byte, 8000), 0o600)
	}
	return Config{
		Socket: socket, Version: "1.2.3", Ports: port.Config{First: 24000, Last: 24999}, Voice: 46, Video: 34, Loops: 2,
		Data: filepath.Join(dir, "data"), Admin: filepath.Join(dir, "admin.sock"), Sounds: filepath.Join(dir, "sounds"),
	}
}

// start runs a mediad in this process until the test ends.
func start(t *testing.T) ctl.Media {
	t.Helper()
	return startWith(t, func(*Config) {})
}

// startWith runs a mediad whose configuration is changed before.
func startWith(t *testing.T, change func(*Config)) ctl.Media {
	t.Helper()
	n, err := notify.New()
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(t.TempDir(), "media.sock")
	cfg := testConfig(socket)
	change(&cfg)
	d, err := New(cfg, n, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	client := ctl.NewMedia(socket)
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		_ = client.Close()
	})
	answers(t, client)
	return client
}

// answers waits until the daemon does.
func answers(t testing.TB, c ctl.Media) {
	t.Helper()
	for begin := time.Now(); ; time.Sleep(time.Millisecond) {
		if _, err := c.Status(context.Background()); err == nil {
			return
		} else if time.Since(begin) > 20*time.Second {
			t.Fatal(err)
		}
	}
}

// phone is a party with one socket that sends numbered packets.
type phone struct {
	conn *net.UDPConn
	to   netip.AddrPort
	seq  uint16
}

func newPhone(t testing.TB, host string) *phone {
	t.Helper()
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(host), 0)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &phone{conn: conn}
}

func (p *phone) leg(id string) ctl.MediaLeg {
	at := p.conn.LocalAddr().(*net.UDPAddr).AddrPort()
	return ctl.MediaLeg{ID: id, Local: netip.MustParseAddr(ours), Source: at.Addr(), Streams: []ctl.MediaStream{{
		Kind: "audio", RTP: at, Formats: []ctl.MediaFormat{{PayloadType: 0, Encoding: "PCMU", ClockRate: 8000}},
	}}}
}

// ours is where the daemon has its ports.
const ours = "127.0.50.3"

func (p *phone) send() error {
	p.seq++
	b := make([]byte, 172)
	b[0], b[2], b[3], b[11] = 0x80, byte(p.seq>>8), byte(p.seq), 1
	_, err := p.conn.WriteToUDPAddrPort(b, p.to)
	return err
}

// receive waits for a packet and returns its number.
func (p *phone) receive(wait time.Duration) (uint16, error) {
	if err := p.conn.SetReadDeadline(time.Now().Add(wait)); err != nil {
		return 0, err
	}
	b := make([]byte, 2048)
	n, _, err := p.conn.ReadFromUDPAddrPort(b)
	if err != nil || n < 12 {
		return 0, err
	}
	return uint16(b[2])<<8 | uint16(b[3]), nil
}

// call makes a session between two new phones.
func call(t testing.TB, c ctl.Media, id string) (a, b *phone) {
	t.Helper()
	a, b = newPhone(t, "127.0.50.1"), newPhone(t, "127.0.50.2")
	offered, err := c.Offer(context.Background(), ctl.MediaOffer{
		Session: id, Leg: a.leg("a"), Peer: ctl.MediaLeg{ID: "b", Local: netip.MustParseAddr(ours)},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Answer(context.Background(), ctl.MediaAnswer{Session: id, Leg: b.leg("b"), Peer: "a"}); err != nil {
		t.Fatal(err)
	}
	a.to, b.to = offered.Leg[0].RTP, offered.Peer[0].RTP
	return a, b
}
