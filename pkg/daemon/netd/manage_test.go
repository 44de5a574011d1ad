package netd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/platform/notify"
)

// provider is a network namespace with a gateway that knows the outside host 203.0.113.1. It ends
// with its test.
type provider struct {
	t   *testing.T
	pid string
}

// newProvider puts a cable between our port and the provider's eth0.
func newProvider(t *testing.T, port, address string) *provider {
	t.Helper()
	cmd := exec.Command("unshare", "--net", "sleep", "600")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // its end is waited for
		_ = cmd.Wait()
	})
	p := &provider{t, fmt.Sprint(cmd.Process.Pid)}
	own, err := os.Readlink("/proc/self/ns/net")
	for err == nil {
		its, err := os.Readlink("/proc/" + p.pid + "/ns/net")
		if err == nil && its != own {
			break
		}
	}
	sh(t, "ip", "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", p.pid)
	t.Cleanup(func() { _ = exec.Command("ip", "link", "del", port).Run() }) // it goes with the provider, too
	for _, line := range []string{"addr add " + address + " dev eth0", "link set eth0 up", "link set lo up", "addr add 203.0.113.1/32 dev lo"} {
		p.ip(strings.Fields(line)...)
	}
	return p
}

func (p *provider) ip(args ...string) {
	p.t.Helper()
	sh(p.t, "nsenter", append([]string{"--net", "--target", p.pid, "ip"}, args...)...)
}

// serveDHCP runs a server that is not ours.
func (p *provider) serveDHCP(config string) {
	p.t.Helper()
	file := filepath.Join(p.t.TempDir(), "udhcpd.conf")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		p.t.Fatal(err)
	}
	cmd := exec.Command("nsenter", "--net", "--target", p.pid, "busybox", "udhcpd", "-f", file)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() {
		_ = cmd.Process.Kill() // its end is waited for
		_ = cmd.Wait()
	})
}

func sh(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v: %s", name, args, err, out)
	}
	return string(out)
}

// managing runs a netd that owns the network of this process's namespace. stop ends it as a restart does.
func managing(t *testing.T, dir string) (c ctl.Net, stop func()) {
	t.Helper()
	d, err := New(Config{
		RunDir: filepath.Join(dir, "run"), DataDir: filepath.Join(dir, "data"), Manage: true, Version: "t", Notify: &notify.Notifier{}, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	select {
	case <-d.manager.Ready():
	case err := <-ended:
		t.Fatal(err)
	}
	c = ctl.NewNet(d.socket)
	stop = sync.OnceFunc(func() {
		cancel()
		if err := errors.Join(<-ended, c.Close()); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return c, stop
}

// eventually waits for something that the kernel or a peer does in its own time.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	patience := time.After(30 * time.Second)
	look := time.NewTicker(50 * time.Millisecond)
	defer look.Stop()
	for !is() {
		select {
		case <-look.C:
		case <-patience:
			t.Fatalf("%s did not come about; addresses and routes are\n%s%s", what, sh(t, "ip", "addr"), sh(t, "ip", "route"))
		}
	}
}

const office = `{"ports":[{"name":"m0"},{"name":"m1"}],"zones":[{"name":"Out","kind":"uplink"}],
	"interfaces":[{"link":"m0","zone":"Out","dhcp4":{}},{"link":"m1","zone":"Out","addresses":["198.51.100.2/24"]}],
	"uplinks":[{"name":"Fibre","link":"m0","check":{"intervalSeconds":1,"timeoutSeconds":1,"failAfter":2,"recoverAfter":2}},
	{"name":"Radio","link":"m1","gateway4":"198.51.100.1","check":{"method":"arp","intervalSeconds":1,"timeoutSeconds":1}}]}`

// A real netd leases an address, fails over to the second uplink and back, and after a restart in
// the middle of a change has the confirmed network, with the leased address at once.
func TestUplinksFailOverAndARestartGoesBack(t *testing.T) {
	if os.Getenv("NETLAB_INSIDE") != "yes" {
		t.Skip("no network namespaces here: run as root, or allow user namespaces")
	}
	sh(t, "ip", "link", "set", "lo", "up")
	fibre := newProvider(t, "m0", "192.0.2.1/24")
	newProvider(t, "m1", "198.51.100.1/24")
	fibre.serveDHCP("start 192.0.2.50\nend 192.0.2.60\ninterface eth0\nopt router 192.0.2.1\nopt subnet 255.255.255.0\nopt dns 192.0.2.53\nopt lease 3600\n" +
		"lease_file /dev/null\npidfile /dev/null\n")
	dir := t.TempDir()
	c, stop := managing(t, dir)
	proposal := ctl.NetProposal{Document: []byte(office), Revision: 1, Who: "ann"}
	plan, err := c.Propose(t.Context(), proposal)
	if err != nil || len(plan.Steps) == 0 || len(plan.Firewall) == 0 {
		t.Fatalf("plan %+v, %v", plan, err)
	}
	if _, err := c.Apply(t.Context(), proposal); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Confirm(t.Context(), "ann"); err != nil {
		t.Fatal(err)
	}
	leavesBy := func(port string) func() bool {
		return func() bool { return strings.Contains(sh(t, "ip", "route", "get", "203.0.113.1"), "dev "+port) }
	}
	answers := func() bool { // the host outside refuses, which is an answer
		conn, err := net.DialTimeout("tcp", "203.0.113.1:9", time.Second)
		if err == nil {
			err = conn.Close()
		}
		return errors.Is(err, syscall.ECONNREFUSED)
	}
	leased := func() bool { return strings.Contains(sh(t, "ip", "addr", "show", "m0"), "inet 192.0.2.") }
	eventually(t, "a lease", leased)
	eventually(t, "the first uplink", leavesBy("m0"))
	eventually(t, "an answer by the first uplink", answers)

	fibre.ip("addr", "del", "192.0.2.1/24", "dev", "eth0") // the gateway is silent, the cable is not
	eventually(t, "the second uplink", leavesBy("m1"))
	eventually(t, "an answer by the second uplink", answers)
	st, err := c.Status(t.Context())
	if err != nil || st.Mode != ctl.NetManages || !slices.ContainsFunc(st.Alarms, func(a ctl.Alarm) bool { return a.Code == "net.uplink.Fibre" }) {
		t.Errorf("status %+v, %v", st, err)
	}
	fibre.ip("addr", "add", "192.0.2.1/24", "dev", "eth0")
	eventually(t, "the first uplink again", leavesBy("m0"))
	wantUplinks(t, c, "Fibre")

	changed := strings.ReplaceAll(office, "198.51.100.2/24", "198.51.100.9/24")
	if _, err := c.Apply(t.Context(), ctl.NetProposal{Document: []byte(changed), Revision: 2, Who: "ann"}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(sh(t, "ip", "addr", "show", "m1"), "198.51.100.9") {
		t.Error("the candidate is not there")
	}
	stop()
	c, _ = managing(t, dir)
	if got := sh(t, "ip", "addr", "show", "m1"); strings.Contains(got, "198.51.100.9") || !strings.Contains(got, "198.51.100.2") || !leased() {
		t.Errorf("after the restart:\n%s", got)
	}
	state, err := c.State(t.Context())
	if err != nil || state.Last == nil || state.Last.Confirmed || state.Fault != "" || len(state.Left) > 0 {
		t.Errorf("state after the restart %+v, %v", state, err)
	}
	if _, err := c.Confirm(t.Context(), "ann"); !problem.Is(err, problem.Missing) {
		t.Errorf("confirmed what went back: %v", err)
	}
}

func wantUplinks(t *testing.T, c ctl.Net, active string) {
	t.Helper()
	st, err := c.State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range st.Uplinks {
		if u.Active != (u.Name == active) || !u.Up {
			t.Errorf("uplink %+v, want %s to be active", u, active)
		}
	}
	if len(st.Leases) != 1 || st.Leases[0].Server.String() != "192.0.2.1" || len(st.Leases[0].DNS) != 1 {
		t.Errorf("leases %+v", st.Leases)
	}
}

// Without --manage nothing of the machine is touched.
func TestPlanOnly(t *testing.T) {
	c, hear, _ := supervised(t)
	hear("READY=1")
	plan, err := c.Propose(t.Context(), ctl.NetProposal{Document: []byte(`{"bridges":[{"name":"br77"}]}`)})
	if err != nil || !slices.ContainsFunc(plan.Steps, func(s ctl.NetStep) bool { return s.Text == "br77 will be made: a bridge" }) {
		t.Errorf("plan %+v, %v", plan, err)
	}
	if _, err := c.Apply(t.Context(), ctl.NetProposal{Document: []byte(`{"bridges":[{"name":"br77"}]}`)}); problem.Of(err).Code != "net.plan-only" {
		t.Errorf("applied: %v", err)
	}
	if st, err := c.State(t.Context()); err != nil || st.Mode != ctl.NetPlanOnly {
		t.Errorf("state %+v, %v", st, err)
	}
	if _, err := os.Stat("/proc/sys/net/ipv4/conf/br77"); err == nil {
		t.Error("it was made")
	}
}
