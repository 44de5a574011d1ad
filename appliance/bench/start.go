package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/coraltele/sanchar/appliance/bench/peers"
)

// startUsers are the accounts that a server has when it starts.
const startUsers = 1000

// How often each server is started; the quickest counts.
const (
	startRepeats = 10
	startQuick   = 3
)

// measureStart measures the time from exec to the first answer to OPTIONS over UDP.
func measureStart(ctx context.Context, o options) (tables []table, err error) {
	sw, err := peers.StartSwitch(ctx, o.bin, startUsers, true)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, sw.Stop()) }()
	repeats := startRepeats
	if o.quick {
		repeats = startQuick
	}
	var ours, theirs []time.Duration
	for range repeats {
		took, err := sw.Restart(ctx)
		if err != nil {
			return nil, err
		}
		ours = append(ours, took)
		s, took, err := peers.StartKamailio(ctx, startUsers, false)
		if err != nil {
			return nil, err
		}
		theirs = append(theirs, took)
		if err := s.Stop(); err != nil {
			return nil, err
		}
	}
	a, b := slices.Min(ours), slices.Min(theirs)
	return []table{{
		title: "From exec to the first answer",
		note:  fmt.Sprintf("OPTIONS over UDP every millisecond until a 200; %d accounts; %d starts of each in turn.", startUsers, repeats),
		head:  []string{"program", "quickest ms", "median ms", "aim ms"},
		rows: [][]string{
			{peers.Switchd, millis(a), millis(median(ours)), "≤ 30"},
			{peers.Kamailio, millis(b), millis(median(theirs)), ""},
		},
	}}, nil
}

func median(all []time.Duration) time.Duration {
	slices.Sort(all)
	return all[len(all)/2]
}
