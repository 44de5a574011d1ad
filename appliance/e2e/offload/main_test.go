package offload

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/coraltele/sanchar/pkg/daemon/mediad"
	"github.com/coraltele/sanchar/pkg/daemon/netd"
	"github.com/coraltele/sanchar/pkg/media/port"
	"github.com/coraltele/sanchar/pkg/network/ingress"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/platform/notify"
	"github.com/coraltele/sanchar/pkg/platform/supervise"
	"github.com/coraltele/sanchar/pkg/testkit/netlab"
)

// What makes this program something else than a test: a supervisor of the daemons, or one of them.
const (
	roleKey = "OFFLOAD_TEST_ROLE"
	dirKey  = "OFFLOAD_TEST_DIR"
	wayKey  = "OFFLOAD_TEST_WAY" // by which the program is attached, unless wayFile says another
	wayFile = "way"
)

// withoutBPF is the way auto of a netd that may load no program.
const withoutBPF = "auto without the right"

// bothWays runs a test by the program, and by the packet filter.
func bothWays(t *testing.T, do func(t *testing.T, way string)) {
	t.Parallel()
	for _, way := range []string{ingress.Auto, netd.OffloadNftables} {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			do(t, way)
		})
	}
}

// atOnce is how many tests run at a time: what they do most is wait until parties are settled.
const atOnce = "6"

func TestMain(m *testing.M) {
	if role := os.Getenv(roleKey); role != "" {
		if err := play(role, os.Getenv(dirKey)); err != nil {
			fmt.Fprintln(os.Stderr, role+":", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if code, entered := netlab.EnterAsRoot(); entered {
		os.Exit(code)
	}
	flag.Parse()
	if err := flag.Set("test.parallel", atOnce); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m)
}

// play runs a role until it is told to stop.
func play(role, dir string) error {
	handed := notify.Take()
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer cancel()
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	if role == "supervisor" {
		return playSupervisor(ctx, dir, log)
	}
	n, err := notify.New()
	if err != nil {
		return err
	}
	defer n.Close()
	if role == "netd" {
		way, err := os.ReadFile(filepath.Join(dir, wayFile))
		if err != nil {
			way = []byte(os.Getenv(wayKey))
		}
		d, err := netd.New(netd.Config{RunDir: dir, DataDir: filepath.Join(dir, "net"), Version: strconv.Itoa(os.Getpid()), Offload: string(way), Notify: n, Handed: handed, Log: log})
		if err != nil {
			return err
		}
		return d.Run(ctx)
	}
	d, err := mediad.New(mediad.Config{
		Socket: filepath.Join(dir, "media.sock"), Net: filepath.Join(dir, "net.sock"), Version: strconv.Itoa(os.Getpid()),
		Ports: port.Config{First: 20000, Last: 29999}, Voice: 46, Video: 34, Loops: 1,
	}, n, handed, log)
	if err != nil {
		return err
	}
	return d.Run(ctx)
}

func playSupervisor(ctx context.Context, dir string, log *slog.Logger) error {
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	cfg := supervise.Config{
		Socket: filepath.Join(dir, "notify.sock"), Log: log,
		Output: func(name, line string) { fmt.Fprintln(os.Stderr, name, line) },
	}
	for _, name := range []string{"netd", "mediad"} {
		spec := supervise.Spec{Name: name, Path: exe, Env: []string{roleKey + "=" + name}, Watchdog: 10 * time.Second}
		if name == "netd" && os.Getenv(wayKey) == withoutBPF {
			spec.Path, spec.Args = "/usr/bin/setpriv", []string{"--bounding-set", "-bpf,-sys_admin,-perfmon", exe}
			spec.Env = append(spec.Env, wayKey+"="+ingress.Auto)
		}
		cfg.Programs = append(cfg.Programs, spec)
	}
	s, err := supervise.New(cfg)
	if err != nil {
		return err
	}
	return s.Run(ctx)
}

// box is a lab with the daemons on its box, under a supervisor.
type box struct {
	*netlab.Lab
	t     *testing.T
	media ctl.Media
	net   ctl.Net
}

// newBox starts the daemons of a box that is connected to hosts.
func newBox(t *testing.T, way string, hosts ...string) (*box, map[string]*netlab.Host) {
	t.Helper()
	b := &box{Lab: netlab.New(t), t: t}
	there := map[string]*netlab.Host{}
	for _, name := range hosts {
		there[name] = b.Host(t, name)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := b.Box.Command(exe)
	cmd.Env = append(cmd.Env, roleKey+"=supervisor", dirKey+"="+b.Box.Dir, wayKey+"="+way)
	b.Box.Run(t, cmd)
	b.media, b.net = ctl.NewMedia(filepath.Join(b.Box.Dir, "media.sock")), ctl.NewNet(filepath.Join(b.Box.Dir, "net.sock"))
	t.Cleanup(func() { _, _ = b.media.Close(), b.net.Close() })
	b.until("the program is attached", func() bool {
		st, err := b.net.Status(t.Context())
		if err == nil && st.Offload.Way == netd.OffloadOff && st.Offload.Why != "" {
			t.Skipf("the kernel passes no media on here: %s: run as root on a kernel with CONFIG_BPF_SYSCALL", st.Offload.Why)
		}
		_, mediaErr := b.media.Status(t.Context())
		return err == nil && mediaErr == nil && len(st.Offload.Links) == len(hosts) && (st.Offload.Way == way || way == ingress.Auto || way == withoutBPF)
	})
	return b, there
}

// until waits for what must come.
func (b *box) until(what string, there func() bool) {
	b.t.Helper()
	for begin := time.Now(); !there(); time.Sleep(20 * time.Millisecond) {
		if time.Since(begin) > netlab.Patience {
			b.t.Fatalf("waited in vain until %s", what)
		}
	}
}

// offloaded waits until the kernel passes so many streams on.
func (b *box) offloaded(streams int) {
	b.t.Helper()
	b.until(fmt.Sprintf("the kernel passes %d streams on", streams), func() bool {
		st, err := b.media.Status(b.t.Context())
		return err == nil && st.Offloaded == streams
	})
}

// kill kills a daemon as it is, and waits until there is another one.
func (b *box) kill(version func() (string, error)) {
	b.t.Helper()
	old, err := version()
	if err != nil {
		b.t.Fatal(err)
	}
	pid, err := strconv.Atoi(old)
	if err != nil || pid < 2 {
		b.t.Fatalf("pid %q", old)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		b.t.Fatal(err)
	}
	b.until("another one answers", func() bool {
		now, err := version()
		return err == nil && now != old
	})
}

func (b *box) mediadVersion() (string, error) {
	st, err := b.media.Status(b.t.Context())
	return st.Version, err
}

func (b *box) netdVersion() (string, error) {
	st, err := b.net.Status(b.t.Context())
	return st.Version, err
}
