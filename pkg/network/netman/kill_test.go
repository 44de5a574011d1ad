package netman

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/coraltele/sanchar/pkg/network/netapply"
	"github.com/coraltele/sanchar/pkg/network/netcfg"
	"github.com/coraltele/sanchar/pkg/network/netplan"
	"github.com/coraltele/sanchar/pkg/platform/conf"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// Environment of the process that is killed.
const (
	victimKey  = "NETMAN_VICTIM"  // its folder
	victimStep = "NETMAN_KILL_AT" // before which step it dies; -1: the one who started it kills it
	steady     = `{"ports":[{"name":"k0"},{"name":"k1"}],"zones":[{"name":"A"}],"bridges":[{"name":"kbr0","members":["k1"]}],
		"interfaces":[{"link":"k0","zone":"A","addresses":["10.9.0.1/24","10.9.0.2/24"]},{"link":"kbr0","zone":"A","addresses":["10.10.0.1/24"]}],
		"routes":[{"to":"10.99.0.0/16","via":"10.9.0.254"}]}`
	wanted = `{"ports":[{"name":"k0","mtu":1400},{"name":"k1"}],"zones":[{"name":"A"}],"bridges":[{"name":"kbr1","members":["k0"],"mtu":1400,"stp":true}],
		"interfaces":[{"link":"k1","zone":"A","addresses":["10.9.0.1/24"]},{"link":"kbr1","zone":"A","addresses":["10.10.0.1/24","2001:db8::1/64"]}],
		"routes":[{"to":"10.99.0.0/16","via":"10.10.0.254"},{"to":"10.98.0.0/16","kind":"unreachable"}]}`
)

// suicidal dies before a step.
type suicidal struct {
	netapply.System
	at, now int
}

func (s *suicidal) Do(step netplan.Step, doc netcfg.Document) error {
	if s.now == s.at {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL) // it cannot fail
	}
	s.now++
	return s.System.Do(step, doc)
}

// onKernel returns a manager of the real kernel.
func onKernel(dir string, wrap func(netapply.System) netapply.System) (*Manager, error) {
	file, err := conf.Open(filepath.Join(dir, "network.json"), netcfg.Schema(), quietLog)
	if err != nil {
		return nil, err
	}
	keys, err := netapply.OpenKeys(filepath.Join(dir, "keys"), nil)
	if err != nil {
		return nil, err
	}
	never := make(chan struct{})
	return New(Config{
		File: file, Dir: dir, Applier: netapply.New(wrap(netapply.NewKernel(keys, quietLog)), nil, quietLog), Sources: &still{changed: never}, Manage: true, Log: quietLog,
		Services: func(netcfg.Document) {}, Links: func() ([]ctl.Link, <-chan struct{}) { return nil, never },
	}), nil
}

// victim applies and confirms a change until it is killed.
func victim(dir string) {
	at, err := strconv.Atoi(os.Getenv(victimStep))
	m, err2 := onKernel(dir, func(s netapply.System) netapply.System { return &suicidal{System: s, at: at} })
	if err != nil || err2 != nil {
		fmt.Println("victim:", err, err2)
		os.Exit(3)
	}
	go func() {
		<-m.Ready()
		fmt.Println("begun")
		_, rev := m.cfg.File.Load()
		_, err := m.Apply(context.Background(), ctl.NetProposal{Document: []byte(wanted), Revision: rev.Number, Who: "victim"})
		if err == nil {
			_, err = m.Confirm(context.Background(), "victim")
		}
		fmt.Println("done", err)
		os.Exit(0)
	}()
	_ = m.Run(context.Background()) // the process ends elsewhere
}

// restarted is what a start after a crash or a power cut makes of what it finds.
func restarted(t *testing.T, dir string) (doc netcfg.Document, rev conf.Revision, left []string) {
	t.Helper()
	m, err := onKernel(dir, func(s netapply.System) netapply.System { return s })
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- m.Run(ctx) }()
	<-m.Ready()
	st, err := m.State()
	cancel()
	if err2 := <-ended; err != nil || err2 != nil || st.Fault != "" {
		t.Fatal(err, err2, st.Fault)
	}
	doc, rev = m.cfg.File.Load()
	return doc, rev, st.Left
}

func kernelPorts(t *testing.T) {
	t.Helper()
	if os.Getenv("NETLAB_INSIDE") != "yes" {
		t.Skip("no network namespaces here: run as root, or allow user namespaces")
	}
	for i := range 2 {
		veth := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: fmt.Sprintf("k%d", i), TxQLen: -1}, PeerName: fmt.Sprintf("kk%d", i)}
		if err := netlink.LinkAdd(veth); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := netlink.LinkDel(veth); err != nil {
				t.Error(err)
			}
		})
	}
}

// reset makes the steady document the confirmed one, in a new folder.
func reset(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	file, err := conf.Open(filepath.Join(dir, "network.json"), netcfg.Schema(), quietLog)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := netcfg.Parse([]byte(steady))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.Save(doc, 0, "test"); err != nil {
		t.Fatal(err)
	}
	if _, _, left := restarted(t, dir); len(left) > 0 {
		t.Fatalf("the steady network is not there: %v", left)
	}
	return dir
}

// A manager that is killed before each of its steps, and at a hundred other moments, leaves what the
// next start makes the confirmed network: the old one or, once it was confirmed, the new one.
func TestKilledAtEachStep(t *testing.T) {
	kernelPorts(t)
	const others = 100
	confirmed, steps := 0, 0
	for i := 0; ; i++ {
		dir := reset(t)
		at, after := i, time.Duration(0)
		if steps > 0 { // how many there are is known
			at, after = -1, time.Duration(i%others)*time.Millisecond/2
		}
		out := kill(t, dir, at, after)
		doc, rev, left := restarted(t, dir)
		if len(left) > 0 {
			t.Fatalf("killed at step %d, after %s: the network is a mix; to do: %v", at, after, left)
		}
		switch {
		case rev.Number == 2 && doc.Bridges[0].Name == "kbr1":
			confirmed++
		case rev.Number != 1 || doc.Bridges[0].Name != "kbr0" || strings.Contains(out, "done"):
			t.Fatalf("killed at step %d, after %s: confirmed is %+v, and it said %q", at, after, rev, out)
		}
		wantAddr(t, doc)
		if steps == 0 && strings.Contains(out, "done") {
			steps = i
		}
		if steps > 0 && i >= steps+others {
			break
		}
	}
	t.Logf("%d steps; %d of the other %d times it was confirmed before it was killed", steps, confirmed, others)
	if steps < 15 || confirmed == 0 {
		t.Errorf("%d steps and %d confirmations: the test did not see both sides", steps, confirmed)
	}
}

// kill runs a victim and returns what it said before its end.
func kill(t *testing.T, dir string, at int, after time.Duration) string {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), victimKey+"="+dir, victimStep+"="+strconv.Itoa(at))
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var out strings.Builder
	begun := make(chan struct{})
	cmd.Stdout = &listener{to: &out, begun: begun}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if at < 0 {
		select {
		case <-begun:
		case <-time.After(30 * time.Second):
			t.Fatal("the victim does not begin")
		}
		timer := time.NewTimer(after)
		<-timer.C
		_ = cmd.Process.Kill() // it may have come to its end
	}
	err := cmd.Wait()
	if exit := cmd.ProcessState.ExitCode(); exit > 0 {
		t.Fatalf("the victim failed: %v: %s", err, out.String())
	}
	return out.String()
}

// listener tells when the first word was said.
type listener struct {
	to    *strings.Builder
	begun chan struct{}
}

func (l *listener) Write(p []byte) (int, error) {
	if l.to.Len() == 0 {
		close(l.begun)
	}
	return l.to.Write(p)
}

// wantAddr asks the kernel for an address that tells the documents apart.
func wantAddr(t *testing.T, doc netcfg.Document) {
	t.Helper()
	for _, f := range doc.Interfaces {
		link, err := netlink.LinkByName(f.Link)
		if err != nil {
			t.Fatal(err)
		}
		found, err := netlink.AddrList(link, netlink.FAMILY_V4)
		if err != nil {
			t.Fatal(err)
		}
		var v4 []netip.Prefix
		for _, p := range f.Addresses {
			if p.Addr().Is4() {
				v4 = append(v4, p.Prefix)
			}
		}
		if len(found) != len(v4) {
			t.Fatalf("%s has %v, want %v", f.Link, found, v4)
		}
	}
}
