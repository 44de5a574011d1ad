// Bench measures the whole box beside Kamailio and rtpengine on one machine, in one run, with the
// same load: processor time of each operation, time to the first answer, memory. Only ratios within
// a run count. SIPp and the tests say whether the box is right; this says what it costs.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

// options are what the command line asks for.
type options struct {
	quick       bool
	only        string
	bin         string // folder of the programs; built when empty
	write       string // file to keep the tables in
	profile     string // folder for profiles
	repeats     int
	window      time.Duration
	outstanding int
}

func main() {
	o := parseFlags()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx, o)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func parseFlags() (o options) {
	flag.BoolVar(&o.quick, "quick", false, "a short run, to see that all works: its figures mean little")
	flag.StringVar(&o.only, "only", "", "sections to run, by comma: "+strings.Join(sectionNames(), ", ")+"; all when empty")
	flag.StringVar(&o.bin, "bin", "", "folder of the box's programs; built from here when empty")
	flag.StringVar(&o.write, "write", "", "file to keep the tables in, as appliance/bench/RESULTS.md")
	flag.StringVar(&o.profile, "pprof", "", "folder for profiles of the box by perf: nothing else is measured then")
	flag.IntVar(&o.repeats, "repeats", 5, "measurements of each side in turn; the lowest counts")
	flag.DurationVar(&o.window, "window", 4*time.Second, "length of one measurement")
	flag.IntVar(&o.outstanding, "outstanding", 30, "operations under way at a time")
	flag.Parse()
	if o.quick {
		o.repeats, o.window = 1, 300*time.Millisecond
	}
	return o
}

// section is one part of the run, which makes tables.
type section struct {
	name string
	run  func(ctx context.Context, o options) ([]table, error)
}

func sections() []section {
	return []section{
		{"load", measureLoad},
		{"start", measureStart},
		{"memory", measureMemory},
		{"junk", measureJunk},
		{"relay", measureRelay},
		{"search", measureSearch},
		{"image", measureImage},
	}
}

func sectionNames() (names []string) {
	for _, s := range sections() {
		names = append(names, s.name)
	}
	return names
}

func run(ctx context.Context, o options) error {
	bin, clean, err := programs(ctx, o.bin)
	if err != nil {
		return err
	}
	defer clean()
	o.bin = bin
	if o.profile != "" {
		return profile(ctx, o)
	}
	var wanted []string
	if o.only != "" {
		wanted = strings.Split(o.only, ",")
	}
	for _, name := range wanted {
		if !slices.Contains(sectionNames(), name) {
			return fmt.Errorf("-only %s: not one of %s", name, strings.Join(sectionNames(), ", "))
		}
	}
	r := newReport(o)
	for _, s := range sections() {
		if wanted != nil && !slices.Contains(wanted, s.name) {
			continue
		}
		tables, err := s.run(ctx, o)
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return fmt.Errorf("section %s: %w", s.name, err)
		}
		if err := r.add(os.Stdout, tables); err != nil {
			return err
		}
	}
	if o.write == "" {
		return nil
	}
	return r.keep(o.write)
}
