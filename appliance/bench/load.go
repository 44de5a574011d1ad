package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/coraltele/sanchar/appliance/bench/peers"
	"github.com/coraltele/sanchar/appliance/bench/sipload"
)

// Rates of a busy hour on a large box, far below what either server can do: here waking up counts.
const (
	busyRegisters = 500 // a second
	busyCalls     = 50  // a second
)

// putOff is how long a server may put off what belongs to an operation: Kamailio keeps a transaction for
// 5 s after its end, and frees it in the time of whatever is measured then.
const putOff = 8 * time.Second

// row is one line of the table: parts of two servers beside each other, under the same load.
type row struct {
	title        string
	trial        trial
	relay        bool // with rtpengine
	ours, theirs []string
	aim          float64 // how much cheaper we want to be; 0 is no aim
}

func rows() []row {
	sw, kam := []string{peers.Switchd}, []string{peers.Kamailio}
	media, engine := []string{peers.Switchd, peers.Mediad}, []string{peers.Kamailio, peers.RTPEngine}
	return []row{
		{"REGISTER with challenge, UDP", trial{op: sipload.Register}, false, sw, kam, 1.5},
		{"REGISTER with challenge, TCP", trial{op: sipload.Register, tcp: true}, false, sw, kam, 1.5},
		{"refresh with a known nonce, UDP", trial{op: sipload.Refresh}, false, sw, kam, 1.5},
		{"refresh with a known nonce, TCP", trial{op: sipload.Refresh, tcp: true}, false, sw, kam, 1.5},
		{"REGISTER after a restart of the phone, UDP", trial{op: sipload.Restart}, false, sw, kam, 0},
		{"call, UDP, signalling alone", trial{op: sipload.Call}, false, sw, kam, 1.3},
		{"call, TCP, signalling alone", trial{op: sipload.Call, tcp: true}, false, sw, kam, 1.3},
		{"call, UDP, with relay", trial{op: sipload.Call}, true, media, engine, 1.3},
		{"call, UDP, with relay, records and page", trial{op: sipload.Call}, true, peers.Daemons(), engine, 0},
		{fmt.Sprintf("REGISTER with challenge, UDP, %d a second", busyRegisters), trial{op: sipload.Register, rate: busyRegisters}, false, sw, kam, 0},
		{fmt.Sprintf("refresh, UDP, %d a second", busyRegisters), trial{op: sipload.Refresh, rate: busyRegisters}, false, sw, kam, 0},
		{fmt.Sprintf("call, UDP, signalling alone, %d a second", busyCalls), trial{op: sipload.Call, rate: busyCalls}, false, sw, kam, 0},
		{fmt.Sprintf("call, UDP, with relay, %d a second", busyCalls), trial{op: sipload.Call, rate: busyCalls}, true, media, engine, 0},
	}
}

// field are all that are measured beside each other.
type field struct{ box, kamailio, relaying *contender }

func (f *field) all() []*contender { return []*contender{f.box, f.kamailio, f.relaying} }

// openField starts all servers and registers all phones.
func openField(ctx context.Context, o options) (f *field, err error) {
	f = &field{}
	b, err := peers.StartBox(ctx, o.bin, udpUsers+tcpUsers)
	if err != nil {
		return nil, err
	}
	if f.box, err = newContender(ctx, b, o, true); err != nil {
		return nil, errors.Join(err, b.Stop())
	}
	for _, relay := range []bool{false, true} {
		s, _, err := peers.StartKamailio(ctx, udpUsers+tcpUsers, relay)
		if err != nil {
			return nil, errors.Join(err, f.close())
		}
		c, err := newContender(ctx, s, o, relay)
		if err != nil {
			return nil, errors.Join(err, s.Stop(), f.close())
		}
		if relay {
			f.relaying = c
		} else {
			f.kamailio = c
		}
	}
	return f, nil
}

func (f *field) close() error {
	var errs []error
	for _, c := range f.all() {
		if c != nil {
			errs = append(errs, c.close(), c.server.Stop())
		}
	}
	return errors.Join(errs...)
}

// found are the measurements of each contender under one load.
type found map[*contender][]*measurement

// measureLoad measures every load once, and makes the lines that look at it.
func measureLoad(ctx context.Context, o options) (tables []table, err error) {
	f, err := openField(ctx, o)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.close()) }()
	t := table{
		title: "Processor time of an operation",
		note: fmt.Sprintf("µs of CPU, user and system, of the programs named; %d operations under way, or begun at the rate named; lowest of %d measurements of %v in turn.",
			o.outstanding, o.repeats, o.window),
		head: []string{"operation", "ours", "µs", "theirs", "µs", "cheaper", "aim", "ours a second", "theirs", "generator µs", "sent again"},
	}
	var trials []trial
	for _, r := range rows() {
		if !slices.Contains(trials, r.trial) {
			trials = append(trials, r.trial)
		}
	}
	for _, tr := range trials {
		res, err := f.measure(ctx, o, tr)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", tr.op, err)
		}
		for _, r := range rows() {
			if r.trial == tr {
				line := r.line(f, res)
				fmt.Fprintln(os.Stderr, line)
				t.rows = append(t.rows, line)
			}
		}
	}
	return []table{t}, nil
}

// measure loads each contender in turn.
func (f *field) measure(ctx context.Context, o options, t trial) (found, error) {
	res := found{}
	for range o.repeats {
		for _, c := range f.all() {
			if c == f.relaying && t.op != sipload.Call {
				continue // rtpengine has no part in it
			}
			m, err := c.measure(ctx, t, o.window)
			if err != nil {
				return nil, err
			}
			res[c] = append(res[c], m)
		}
	}
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(putOff):
	}
	for _, c := range f.all() {
		if err := c.settle(); err != nil {
			return nil, err
		}
	}
	return res, nil
}

func (r row) line(f *field, res found) []string {
	rival := f.kamailio
	if r.relay {
		rival = f.relaying
	}
	ours, theirs := lowest(res[f.box], r.ours), lowest(res[rival], r.theirs)
	a, b := ours.sum(r.ours), theirs.sum(r.theirs)
	aim := ""
	if r.aim > 0 {
		aim = fmt.Sprintf("≥ %.1f", r.aim)
	}
	return []string{
		r.title, joined(r.ours), micros(a), joined(r.theirs), micros(b), fmt.Sprintf("**%.2f×**", float64(b)/float64(max(a, 1))), aim,
		strconv.Itoa(int(ours.rate)), strconv.Itoa(int(theirs.rate)), micros(ours.generator),
		fmt.Sprintf("%d, %d", again(res[f.box]), again(res[rival])),
	}
}

// again counts what was sent more than once, by either side.
func again(all []*measurement) (n uint64) {
	for _, m := range all {
		n += m.seen.Retransmitted + m.seen.Repeated
	}
	return n
}
