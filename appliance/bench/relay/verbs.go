package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/coraltele/sanchar/appliance/bench/proc"
)

const (
	// maxRate is what each relay's range of ports has room for: mediad lets a port rest for five seconds.
	maxRate = 600
	// holdTime is how long a call lasts: the verbs of many calls come mixed.
	holdTime = 50 * time.Millisecond
	// portTime is how long it takes until a relay has opened all ports that a rate of calls needs.
	portTime = 6 * time.Second
)

// verbs is one measurement of calls without packets.
type verbs struct {
	relay string
	rate  int
	calls int
	cpu   time.Duration
}

func (v verbs) perCall() time.Duration { return v.cpu / time.Duration(max(v.calls, 1)) }

func (v verbs) String() string {
	return fmt.Sprintf("%-10s %5d calls a second: %7.1f µs/call", v.relay, v.rate, float64(v.perCall())/1e3)
}

// benchVerbs measures each relay in turn at each rate.
func benchVerbs(ctx context.Context, o options) (err error) {
	all := relays(o)
	lowest := map[int]map[string]verbs{}
	next := 0
	for i, r := range all {
		w, err := newWorld(ctx, i)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, w.close()) }()
		if err := r.start(ctx, w); err != nil {
			return fmt.Errorf("start %s: %w", r.name(), err)
		}
		defer func() { err = errors.Join(err, r.stop()) }()
		for _, rate := range o.verbs {
			if _, err := hustle(ctx, r, rate, portTime, &next); err != nil {
				return err
			}
		}
	}
	for _, rate := range o.verbs {
		lowest[rate] = map[string]verbs{}
		for range o.repeats {
			for _, r := range all {
				v, err := hustle(ctx, r, rate, time.Duration(o.seconds)*time.Second, &next)
				if err != nil {
					return err
				}
				fmt.Fprintln(os.Stderr, v)
				if old, ok := lowest[rate][r.name()]; !ok || v.perCall() < old.perCall() {
					lowest[rate][r.name()] = v
				}
			}
		}
	}
	printVerbs(all, o.verbs, lowest)
	return nil
}

func printVerbs(all []relay, rates []int, lowest map[int]map[string]verbs) {
	t := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "calls a second\trelay\tCPU µs/call\tcheaper by\t")
	for _, rate := range rates {
		first := lowest[rate][all[0].name()].perCall()
		for _, r := range all {
			cost := lowest[rate][r.name()].perCall()
			fmt.Fprintf(t, "%d\t%s\t%.1f\t%.2f\t\n", rate, r.name(), float64(cost)/1e3, float64(first)/float64(max(cost, 1)))
		}
	}
	_ = t.Flush() // to standard output
}

// hustle begins rate calls a second, evenly, and ends each after holdTime. next is the number of the
// next call.
func hustle(ctx context.Context, r relay, rate int, length time.Duration, next *int) (v verbs, err error) {
	v = verbs{relay: r.name(), rate: rate}
	var pids []int
	for _, pid := range r.pids() {
		tree, err := proc.Tree(pid)
		if err != nil {
			return v, err
		}
		pids = append(pids, tree...)
	}
	before, err := proc.CPU(pids)
	if err != nil {
		return v, err
	}
	var wg sync.WaitGroup
	errs := make(chan error, 1)
	due := time.Now()
	for end := due.Add(length); due.Before(end) && ctx.Err() == nil; due = due.Add(time.Second / time.Duration(rate)) {
		rest(ctx, time.Until(due))
		i := *next
		*next++
		v.calls++
		wg.Go(func() {
			if err := whole(ctx, r, i); err != nil {
				select {
				case errs <- err:
				default: // one tells enough
				}
			}
		})
	}
	wg.Wait()
	select {
	case err = <-errs:
	default:
		err = ctx.Err()
	}
	after, cpuErr := proc.CPU(pids)
	v.cpu = after - before
	if err := errors.Join(err, cpuErr); err != nil {
		return v, fmt.Errorf("%s: %w", r.name(), err)
	}
	return v, nil
}

// whole is a call from its offer to its end.
func whole(ctx context.Context, r relay, i int) error {
	if _, err := r.call(ctx, i); err != nil {
		return err
	}
	rest(ctx, holdTime)
	return r.hangUp(ctx, i)
}
