package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/coraltele/sanchar/appliance/bench/peers"
	"github.com/coraltele/sanchar/appliance/bench/sipload"
)

// What is held to see what one costs.
const (
	heldBindings = 10_000
	heldCalls    = 1_000
	quickFactor  = 10 // of a quick run: so much less
)

// What is done before a look.
const (
	warmBindings = 500    // there from the first look on: tables and pools that all share are made
	idleWork     = 20_000 // refreshes of who is bound: they make garbage and nothing else, so that Go's collector counts
)

// measureMemory measures what an idle box holds, and what a binding and a call add.
func measureMemory(ctx context.Context, o options) (tables []table, err error) {
	bindings, calls := heldBindings, heldCalls
	if o.quick {
		bindings, calls = bindings/quickFactor, calls/quickFactor
	}
	users := max(bindings, 2*calls)
	box, err := peers.StartBox(ctx, o.bin, users, "GODEBUG=gctrace=1")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, box.Stop()) }()
	rival, _, err := peers.StartKamailio(ctx, users, true)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rival.Stop()) }()
	idle, err := measureIdle(ctx, o)
	if err != nil {
		return nil, err
	}
	held := table{
		title: "Memory of bindings and calls",
		note: fmt.Sprintf("What %d bindings and then %d calls that are up add to the proportional set size, and to the live heap as Go's collector says; at rest. "+
			"Kamailio is a proxy and keeps no calls.", bindings, calls),
		head: []string{"program", "KB a binding", "live heap", "KB a call", "live heap", "MB in all"},
	}
	for _, c := range []holding{
		{box, []string{peers.Switchd, peers.Mediad, peers.Admind}, true},
		{rival, []string{peers.Kamailio, peers.RTPEngine}, false},
	} {
		lines, err := c.measure(ctx, o, bindings, calls)
		if err != nil {
			return nil, err
		}
		held.rows = append(held.rows, lines...)
	}
	return []table{idle, held}, nil
}

// measureIdle measures a box fresh from its start, before anything happened.
func measureIdle(ctx context.Context, o options) (t table, err error) {
	box, err := peers.StartBox(ctx, o.bin, 0)
	if err != nil {
		return t, err
	}
	defer func() { err = errors.Join(err, box.Stop()) }()
	rival, _, err := peers.StartKamailio(ctx, 0, true)
	if err != nil {
		return t, err
	}
	defer func() { err = errors.Join(err, rival.Stop()) }()
	t = table{
		title: "Memory of an idle box",
		note:  "MB of proportional set size, without accounts, at rest.",
		head:  []string{"program", "MB", "aim"},
	}
	ours, err := restingPSS(ctx, o, box)
	if err != nil {
		return t, err
	}
	theirs, err := restingPSS(ctx, o, rival)
	if err != nil {
		return t, err
	}
	sum := int64(0)
	for _, name := range peers.Daemons() {
		sum += ours[name]
		aim := ""
		if name == peers.Switchd {
			aim = "≤ 25"
		}
		t.rows = append(t.rows, []string{name, megabytes(ours[name]), aim})
	}
	t.rows = append(t.rows, []string{"all", megabytes(sum), "≤ 60"})
	for _, name := range rival.Parts() {
		t.rows = append(t.rows, []string{name, megabytes(theirs[name]), ""})
	}
	return t, nil
}

// Times at rest.
const (
	restTime  = 5 * time.Second // until freed memory is given back and what was put off is done
	restQuick = time.Second
	restCount = 5 // looks meanwhile; the lowest counts
)

// restingPSS returns the memory of each part: the lowest of several looks.
func restingPSS(ctx context.Context, o options, s *peers.Server) (map[string]int64, error) {
	rest := restTime
	if o.quick {
		rest = restQuick
	}
	lowest := map[string]int64{}
	for range restCount {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(rest / restCount):
		}
		for _, name := range s.Parts() {
			n, err := s.PSS(name)
			if err != nil {
				return nil, err
			}
			if old, seen := lowest[name]; !seen || n < old {
				lowest[name] = n
			}
		}
	}
	return lowest, nil
}

// holding is a server whose parts' memory is measured.
type holding struct {
	server *peers.Server
	parts  []string
	traced bool // its log has what Go's collector found
}

// weight is the memory of one part.
type weight struct{ pss, heap int64 }

func (h holding) measure(ctx context.Context, o options, bindings, calls int) (lines [][]string, err error) {
	l, err := sipload.New(sipload.Config{
		Server: h.server.SIP, Phones: peers.Phones(), Domain: peers.Domain, Users: bindings, Outstanding: 30, Relayed: true,
	})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	var at [3]map[string]weight
	const warm = warmBindings
	for i, w := range []sipload.Work{
		{Op: sipload.Register, Limit: warm, Users: warm}, {Op: sipload.Register, Limit: bindings}, {Op: sipload.Hold, Limit: calls},
	} {
		err := l.Run(ctx, w)
		if err == nil {
			err = l.Run(ctx, sipload.Work{Op: sipload.Refresh, Limit: idleWork, Users: w.Users})
		}
		if err == nil {
			at[i], err = h.weigh(ctx, o)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", h.server.Name, err)
		}
	}
	bindings -= warm
	if err := l.Run(ctx, sipload.Work{Op: sipload.HangUp, Limit: calls}); err != nil {
		return nil, fmt.Errorf("%s: %w", h.server.Name, err)
	}
	for _, name := range h.parts {
		a, b, c := at[0][name], at[1][name], at[2][name]
		lines = append(lines, []string{
			name, each(b.pss-a.pss, bindings), heapEach(a.heap, b.heap, bindings), each(c.pss-b.pss, calls), heapEach(b.heap, c.heap, calls), megabytes(c.pss),
		})
	}
	return lines, nil
}

func each(sum int64, n int) string { return fmt.Sprintf("%.1f", float64(sum)/1024/float64(n)) }

func heapEach(before, after int64, n int) string {
	if before == 0 || after == 0 {
		return "–"
	}
	return each(after-before, n)
}

func (h holding) weigh(ctx context.Context, o options) (map[string]weight, error) {
	sizes, err := restingPSS(ctx, o, h.server)
	if err != nil {
		return nil, err
	}
	log := ""
	if h.traced {
		if log, err = h.server.Log(); err != nil {
			return nil, err
		}
	}
	all := map[string]weight{}
	for name, pss := range sizes {
		all[name] = weight{pss, liveHeap(log, name)}
	}
	return all, nil
}

// liveHeap finds in a log with Go's gctrace what a daemon's last collection left alive, in bytes:
// "switchd | gc 7 @1.2s 0%: ..., 4->5->2 MB, ...". 0 if there is none.
func liveHeap(log, name string) (size int64) {
	for line := range strings.Lines(log) {
		who, said, _ := strings.Cut(line, "| ")
		before, _, ok := strings.Cut(said, " MB, ")
		if !ok || strings.TrimSpace(who) != name || !strings.HasPrefix(said, "gc ") {
			continue
		}
		mb, err := strconv.ParseInt(before[strings.LastIndexByte(before, '>')+1:], 10, 64)
		if err == nil {
			size = mb << 20
		}
	}
	return size
}
