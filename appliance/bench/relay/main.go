// Relay measures what it costs to relay calls, and how long a packet stays in the box: mediad and
// rtpengine side by side, in one run, with interleaved repeats. Only ratios inside one run count. With
// -verbs it measures what it costs to set up and end calls of which no packet comes.
//
// It needs root (namespaces and packet sockets), ip and taskset.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// relay is a program that relays calls.
type relay interface {
	name() string
	start(ctx context.Context, w *world) error
	call(ctx context.Context, i int) (relayPorts, error)
	hangUp(ctx context.Context, i int) error
	pids() []int // its processes; none if it is in the kernel
	stop() error
}

// settler is a relay that must have seen its calls' packets for a while.
type settler interface {
	settle(ctx context.Context, calls int) error
}

// relayPorts are where the callers of a call send to. One that sends nothing has none.
type relayPorts struct {
	a, b netip.AddrPort
	kind kind
}

type options struct {
	calls, verbs              []int
	seconds, repeats          int
	genCPU, relayCPU          int
	mediad, before, rtpengine string
	netd                      string
	plain, kernel, kinds      bool
}

func main() {
	o, err := parseFlags()
	if err == nil {
		ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM)
		err = bench(ctx, o)
		stop()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "relay:", err)
		os.Exit(1)
	}
}

func parseFlags() (o options, err error) {
	calls := flag.String("calls", "100,1000", "numbers of calls to measure, of two streams each")
	verbs := flag.String("verbs", "", "calls a second to set up and end without packets, instead of relaying, for instance 50,500")
	flag.IntVar(&o.seconds, "seconds", 8, "length of one measurement")
	flag.IntVar(&o.repeats, "repeats", 3, "measurements of each relay; the lowest clean one counts")
	flag.IntVar(&o.genCPU, "generator-cpu", 0, "CPU of the generator")
	flag.IntVar(&o.relayCPU, "relay-cpu", 1, "CPU of the relay")
	flag.StringVar(&o.rtpengine, "rtpengine", "/usr/bin/rtpengine", "path of rtpengine; empty leaves it out")
	flag.StringVar(&o.mediad, "mediad", "", "path of mediad; empty leaves it out")
	flag.StringVar(&o.before, "before", "", "path of another mediad to compare with")
	flag.StringVar(&o.netd, "netd", "", "path of netd, to measure mediad with the kernel passing media on, by its program and by nftables")
	flag.BoolVar(&o.kernel, "kernel", false, "measure the cable alone too: what others cost is counted above it")
	flag.BoolVar(&o.kinds, "kinds", false, "measure rtpengine and mediad with SRTP on the way out, recording and transcoding too")
	flag.BoolVar(&o.plain, "plain", false, "measure mediad without io_uring too")
	flag.Parse()
	if o.calls, err = numbers("-calls", *calls, maxCalls); err != nil {
		return o, err
	}
	if *verbs != "" {
		if o.verbs, err = numbers("-verbs", *verbs, maxRate); err != nil {
			return o, err
		}
	}
	if o.mediad == "" && o.rtpengine == "" {
		return o, errors.New("nothing to measure: name -mediad or -rtpengine")
	}
	return o, nil
}

// numbers reads the numbers of a flag.
func numbers(name, text string, most int) (out []int, err error) {
	for one := range strings.SplitSeq(text, ",") {
		n, err := strconv.Atoi(one)
		if err != nil || n < 1 || n > most {
			return nil, fmt.Errorf("%s %q: not a number between 1 and %d", name, one, most)
		}
		out = append(out, n)
	}
	return out, nil
}

// maxCalls is what each relay's range of ports has room for.
const maxCalls = 1250

func bench(ctx context.Context, o options) (err error) {
	if o.verbs != nil {
		return benchVerbs(ctx, o)
	}
	var all []result
	for _, n := range o.calls {
		res, err := measureAll(ctx, o, n)
		if err != nil {
			return err
		}
		all = append(all, res...)
	}
	printTable(os.Stdout, all)
	return nil
}

func relays(o options) (all []relay) {
	if o.kernel {
		all = append(all, &cable{})
	}
	if o.rtpengine != "" {
		all = append(all, &rtpengine{path: o.rtpengine, cpu: o.relayCPU})
	}
	ours := func(title, path, ports string, args ...string) {
		if path != "" {
			all = append(all, &mediad{title: title, path: path, ports: ports, cpu: o.relayCPU, args: args})
		}
	}
	ours("mediad", o.mediad, "10000-24999")
	ours("before", o.before, "25000-39999")
	if o.plain {
		ours("plain", o.mediad, "60000-64999", "--no-io-uring")
	}
	if o.netd != "" && o.mediad != "" {
		byKernel := func(title, way string) {
			all = append(all, &mediad{title: title, path: o.mediad, netd: o.netd, way: way, ports: "10000-24999", cpu: o.relayCPU})
		}
		byKernel("kernel", "auto")
		byKernel("nftables", "nftables")
	}
	for _, k := range [...]kind{secured, recorded, transcoded} {
		if o.kinds && o.rtpengine != "" {
			all = append(all, &rtpengine{path: o.rtpengine, cpu: o.relayCPU, kind: k})
		}
		if o.kinds && o.mediad != "" {
			all = append(all, &mediad{title: k.title("mediad"), path: o.mediad, ports: "10000-24999", cpu: o.relayCPU, kind: k})
		}
	}
	return all
}

// measureAll starts each relay afresh with n calls and measures them in turn.
func measureAll(ctx context.Context, o options, n int) (results []result, err error) {
	all := relays(o)
	benches := make([]*bout, len(all))
	for i, r := range all {
		w, err := newWorld(ctx, i)
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, w.close()) }()
		if err := r.start(ctx, w); err != nil {
			return nil, fmt.Errorf("start %s: %w", r.name(), err)
		}
		defer func() { err = errors.Join(err, r.stop()) }()
		if benches[i], err = prepare(ctx, w, r, n); err != nil {
			return nil, fmt.Errorf("%s: %w", r.name(), err)
		}
		defer benches[i].close()
	}
	for range o.repeats {
		for _, b := range benches {
			res, err := b.cleanly(ctx, o)
			if err != nil {
				return nil, err
			}
			results = append(results, res)
		}
	}
	return results, nil
}

// bout is one relay with its calls and the generator that serves them.
type bout struct {
	relay relay
	calls int
	tx    *generator
	rx    *receiver
}

func prepare(ctx context.Context, w *world, r relay, n int) (*bout, error) {
	b := &bout{relay: r, calls: n}
	if err := w.look(w.genNS, func() (err error) {
		if b.tx, err = newGenerator(w.genIndex); err == nil {
			b.rx, err = newReceiver(w.genIndex)
		}
		return err
	}); err != nil {
		return nil, err
	}
	for i := range n {
		ports, err := r.call(ctx, i)
		if err != nil {
			return nil, fmt.Errorf("call %d: %w", i, err)
		}
		b.tx.head, b.rx.head, b.rx.other = ports.kind == secured, ports.kind == secured, ports.kind == transcoded
		if err := b.tx.addCall(w, i, ports); err != nil {
			return nil, err
		}
	}
	return b, nil
}

func (b *bout) close() {
	_ = unix.Munmap(b.rx.ring) // the process ends soon: nothing depends on it
	_ = unix.Close(b.rx.fd)
	_ = unix.Close(b.tx.fd)
}

// warmUp is long enough for a relay to learn every peer.
const warmUp = 1500 * time.Millisecond

func (b *bout) measure(ctx context.Context, o options) (result, error) {
	var stop atomic.Bool
	var wg sync.WaitGroup
	errs := make(chan error, 3)
	wg.Go(func() { errs <- b.rx.run(o.genCPU, &stop) })
	wg.Go(func() { errs <- b.tx.run(o.genCPU, &stop) })
	rest(ctx, warmUp)
	if s, ok := b.relay.(settler); ok {
		errs <- s.settle(ctx, b.calls)
	}
	before, err := cpuTime(b.relay.pids())
	path, err4 := threadTime(int(b.tx.thread.Load()))
	b.rx.reset()
	sent, late := b.tx.sent.Load(), b.tx.late.Load()
	rest(ctx, time.Duration(o.seconds)*time.Second)
	after, err2 := cpuTime(b.relay.pids())
	pathAfter, err5 := threadTime(int(b.tx.thread.Load()))
	sent = b.tx.sent.Load() - sent
	got, p50, p99 := b.rx.read()
	stop.Store(true)
	wg.Wait()
	memory, err3 := pss(b.relay.pids())
	close(errs)
	for one := range errs {
		err = errors.Join(err, one)
	}
	if err := errors.Join(err, err2, err3, err4, err5, ctx.Err()); err != nil {
		return result{}, fmt.Errorf("measure %s: %w", b.relay.name(), err)
	}
	return result{
		relay: b.relay.name(), calls: b.calls, sent: sent, got: got, wrong: b.rx.wrong.Load(), late: b.tx.late.Load() - late,
		cpu: after - before, path: after - before + pathAfter - path, p50: p50, p99: p99, pss: memory,
	}, nil
}

// attempts is how often a measurement that was disturbed is made again.
const attempts = 3

// cleanly measures until nothing disturbs it, or patience ends.
func (b *bout) cleanly(ctx context.Context, o options) (res result, err error) {
	for range attempts {
		if res, err = b.measure(ctx, o); err != nil {
			return res, err
		}
		fmt.Fprintln(os.Stderr, res)
		if res.clean() {
			break
		}
	}
	return res, nil
}

func rest(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
