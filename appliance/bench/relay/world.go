package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// world is two network namespaces with a cable between them: a relay lives in one, the generator in
// the other. Each relay has its own, so that none pays for what another has put into the kernel. The generator's end has no address: its frames are made by hand and what arrives is
// read below IP, so that the kernel's work is the relay's alone.
type world struct {
	relayNS, genNS string // names
	genIndex       int    // of the generator's interface
	relayIndex     int    // of the relay's
	relayMAC       net.HardwareAddr
}

// Addresses of the cable (RFC 2544 §C.2.2 sets this block aside for benchmarks).
const (
	relayIP = "198.18.0.1"
	callerA = "198.18.0.2"
	callerB = "198.18.0.3"
)

// genMAC is where the relay's namespace sends packets for the callers. It is not the MAC of the
// generator's interface: the kernel there then drops them at once, after the ring has a copy.
const genMAC = "02:00:5e:00:53:01"

func newWorld(ctx context.Context, number int) (*world, error) {
	id := fmt.Sprintf("%d-%d", os.Getpid(), number)
	w := &world{relayNS: "md-relay-" + id, genNS: "md-gen-" + id}
	for _, step := range []string{
		"ip netns add " + w.relayNS,
		"ip netns add " + w.genNS,
		"ip -n " + w.genNS + " link add md-gen type veth peer name md-relay netns " + w.relayNS,
		"ip -n " + w.genNS + " link set md-gen up",
		"ip -n " + w.relayNS + " link set lo up",
		"ip -n " + w.relayNS + " link set md-relay up",
		"ip -n " + w.relayNS + " addr add " + relayIP + "/24 dev md-relay",
		"ip -n " + w.relayNS + " neigh add " + callerA + " lladdr " + genMAC + " nud permanent dev md-relay",
		"ip -n " + w.relayNS + " neigh add " + callerB + " lladdr " + genMAC + " nud permanent dev md-relay",
	} {
		if err := run(ctx, strings.Fields(step)...); err != nil {
			return nil, errors.Join(err, w.close())
		}
	}
	return w, errors.Join(w.look(w.genNS, func() error {
		ifi, err := net.InterfaceByName("md-gen")
		if err == nil {
			w.genIndex = ifi.Index
		}
		return err
	}), w.look(w.relayNS, func() error {
		ifi, err := net.InterfaceByName("md-relay")
		if err == nil {
			w.relayIndex, w.relayMAC = ifi.Index, ifi.HardwareAddr
		}
		return err
	}))
}

func run(ctx context.Context, args ...string) error {
	out, err := exec.CommandContext(ctx, args[0], args[1:]...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, out)
	}
	return nil
}

// look runs do on a thread inside the namespace. The thread ends with it.
func (w *world) look(ns string, do func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread must not serve others in this namespace
		done <- func() error {
			f, err := os.Open(filepath.Join("/run/netns", ns))
			if err != nil {
				return err
			}
			defer f.Close()
			if err := unix.Setns(int(f.Fd()), unix.CLONE_NEWNET); err != nil {
				return fmt.Errorf("enter namespace %s: %w", ns, err)
			}
			return do()
		}()
	}()
	return <-done
}

// command makes a process inside the relay's namespace on one CPU.
func (w *world) command(ctx context.Context, cpu int, args ...string) *exec.Cmd {
	all := append([]string{"netns", "exec", w.relayNS, "taskset", "-c", strconv.Itoa(cpu)}, args...)
	cmd := exec.CommandContext(ctx, "ip", all...)
	cmd.Cancel = func() error { return cmd.Process.Signal(unix.SIGTERM) }
	return cmd
}

func (w *world) close() error {
	ctx := context.Background()
	return errors.Join(run(ctx, "ip", "netns", "del", w.genNS), run(ctx, "ip", "netns", "del", w.relayNS))
}

// party returns the addresses of both callers of call i; they come again after maxParties calls.
func party(i int) (a, b netip.AddrPort) {
	port := uint16(firstCallerPort + 2*(i%maxParties))
	return netip.AddrPortFrom(netip.MustParseAddr(callerA), port), netip.AddrPortFrom(netip.MustParseAddr(callerB), port)
}

// The callers' ports are below 65536.
const (
	firstCallerPort = 10000
	maxParties      = 20_000
)
