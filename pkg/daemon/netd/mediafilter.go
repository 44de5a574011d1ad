package netd

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/media/offload"
	"github.com/coraltele/sanchar/pkg/network/mediapath"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// Times of the packet filter that passes media on.
const (
	countTime = time.Second      // mediad looks at a stream as often
	awayLimit = 30 * time.Second // mediad speaks every ten: longer, and its calls have ended without it
)

// mediaFilter is the packet filter's table of media, and the file where mediad sees what passes.
type mediaFilter struct {
	table *mediapath.Table
	file  *offload.File
	heard time.Time // from mediad
}

// openFilterLocked makes the packet filter pass media on. why tells why it is not the program.
func (o *offloader) openFilterLocked(why string) error {
	file, err := offload.NewFile()
	if err != nil {
		return err
	}
	table, err := mediapath.Open(offload.MaxFlows)
	if err != nil {
		return errors.Join(err, file.Close())
	}
	o.filter = &mediaFilter{table: table, file: file}
	o.state = ctl.NetOffload{Way: OffloadNftables, Why: why}
	return nil
}

func (f *mediaFilter) close() error { return errors.Join(f.table.Close(), f.file.Close()) }

// followFilterLocked keeps the table at all interfaces.
func (o *offloader) followFilterLocked(cfg Config) {
	if o.filter == nil {
		return
	}
	names, err := o.filter.table.Follow(o.links)
	o.state.Links = names
	if err != nil {
		cfg.Log.Warn("the packet filter passes media on for some interfaces only", "err", err)
		o.state.Why = err.Error()
	}
}

// pass changes what the packet filter passes on, as mediad says.
func (d *Daemon) pass(_ *http.Request, in ctl.MediaFlows) (ctl.None, error) {
	return ctl.None{}, d.offload.pass(in, d.cfg)
}

func (o *offloader) pass(in ctl.MediaFlows, cfg Config) error {
	if err := checkFlows(&in); err != nil {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.filter == nil:
		return o.noneLocked()
	case in.Path != o.filter.file.Path():
		return problem.New(problem.Conflict, "net.media.path", "these media flows are of a table that is gone", "ask for the media maps again")
	}
	o.filter.heard = time.Now()
	var counts []mediapath.Count
	var err error
	if in.Clear {
		counts, err = o.filter.table.Clear()
	}
	if err == nil && len(in.Put)+len(in.Take) > 0 {
		var more []mediapath.Count
		more, err = o.filter.table.Change(in.Put, in.Take)
		counts = append(counts, more...)
	}
	return o.countedLocked(counts, monotonic(), err, cfg)
}

// countedLocked puts counts where mediad sees them. After a fault of the kernel's nobody knows what it
// holds: the table goes, and there is another.
func (o *offloader) countedLocked(counts []mediapath.Count, now int64, err error, cfg Config) error {
	for _, c := range counts {
		err = errors.Join(err, o.filter.file.Count(c.Slot, c.At, c.Packets, c.Bytes, now))
	}
	if err == nil {
		return nil
	}
	cfg.Log.Warn("media comes to the sockets until the calls are told to the kernel anew", "err", err)
	err = errors.Join(err, o.filter.close())
	o.filter = nil
	o.state = ctl.NetOffload{Way: OffloadOff, Why: err.Error()}
	if again := o.openFilterLocked("another table was given up: " + err.Error()); again != nil {
		cfg.Log.Error("the kernel passes no media on", "err", again)
	}
	o.followFilterLocked(cfg)
	return err
}

// count brings the counts up to date, and takes all flows if mediad does not come back.
func (o *offloader) count(cfg Config) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.filter == nil || o.filter.table.Len() == 0 {
		return
	}
	counts, err := o.filter.table.Counts()
	now := monotonic()
	if err == nil && time.Since(o.filter.heard) > awayLimit {
		var more []mediapath.Count
		more, err = o.filter.table.Clear()
		counts = append(counts, more...)
		cfg.Log.Warn("media flows are taken from the packet filter: nobody has spoken for them", "since", o.filter.heard)
	}
	if o.countedLocked(counts, now, err, cfg) == nil { // it is logged there
		o.filter.file.Counted(now)
	}
}

// monotonic is the clock that mediad's streams are timed by.
func monotonic() int64 {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts) // it exists on every Linux
	return ts.Nano()
}

// checkFlows refuses what no rule could be made of.
func checkFlows(in *ctl.MediaFlows) error {
	var faults []problem.Fault
	for i := range in.Put {
		f := &in.Put[i]
		four := f.Local.Addr().Is4()
		for _, c := range []struct {
			name, rule string
			value      any
			ok         bool
		}{
			{"slot", fmt.Sprintf("below %d", offload.MaxFlows), f.Slot, f.Slot < offload.MaxFlows},
			{"types", fmt.Sprintf("1 to %d payload types below 128", ctl.MaxMediaTypes), f.Types, typesFit(f.Types)},
			{"in", "an interface", f.In, f.In != 0},
			{"out", "an interface", f.Out, f.Out != 0},
			{"dscp", "below 64", f.DSCP, f.DSCP < 64},
			{"local", "an address and port", f.Local, fits(f.Local, four)},
			{"peer", "an address and port of the same version of IP", f.Peer, fits(f.Peer, four)},
			{"from", "an address and port of the same version of IP", f.From, fits(f.From, four)},
			{"to", "an address and port of the same version of IP", f.To, fits(f.To, four)},
			{"next_hop", "an address of the same version of IP", f.NextHop, fits(netip.AddrPortFrom(f.NextHop, 1), four)},
		} {
			if !c.ok {
				faults = append(faults, problem.Fault{Path: fmt.Sprintf("put[%d].%s", i, c.name), Value: fmt.Sprint(c.value), Rule: c.rule, Cure: "see package ctl"})
			}
		}
	}
	return problem.Fields("net.media.flows", faults)
}

func typesFit(types []uint8) bool {
	for _, payloadType := range types {
		if payloadType > 127 {
			return false
		}
	}
	return len(types) > 0 && len(types) <= ctl.MaxMediaTypes
}

func fits(a netip.AddrPort, four bool) bool {
	return a.IsValid() && a.Port() != 0 && a.Addr().Is4() == four && !a.Addr().Is4In6() && a.Addr().Zone() == ""
}
