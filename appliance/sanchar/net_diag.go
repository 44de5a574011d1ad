package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// How long questions of the network take at most.
const (
	diagWithin    = 30 * time.Second
	pingWithin    = time.Minute
	traceWithin   = 2 * time.Minute
	captureWithin = 11 * time.Minute // a minute more than netd lets a capture take
)

func netDiag(ctx context.Context, t *terminal, args []string) error {
	var in ctl.DiagRequest
	q := question{name: "net diag", within: diagWithin, define: func(f *flag.FlagSet) {
		f.StringVar(&in.Trunk, "trunk", "", "host, and perhaps port, that should answer SIP")
	}}
	return q.ask(ctx, t, args, func(ctx context.Context, b *box, _ []string) error {
		d, err := b.net.Diagnose(ctx, in)
		if err != nil {
			return err
		}
		if b.json {
			return printJSON(t.out, d)
		}
		printDiagnosis(t.out, d)
		return nil
	})
}

// printDiagnosis writes the tree, children under what they need.
func printDiagnosis(w io.Writer, d ctl.Diagnosis) {
	depth := map[string]int{}
	for _, n := range d.Nodes {
		if n.Parent != "" {
			depth[n.ID] = depth[n.Parent] + 1
		}
		indent := strings.Repeat("  ", depth[n.ID])
		fmt.Fprintf(w, "%s%-7s %s: %s\n", indent, strings.ToUpper(string(n.State)), printable(n.Name), printable(n.Evidence))
		if n.Cure != "" {
			fmt.Fprintf(w, "%s        To do: %s\n", indent, printable(n.Cure))
		}
	}
}

func pingFlags(in *ctl.PingRequest) func(*flag.FlagSet) {
	return func(f *flag.FlagSet) {
		f.StringVar(&in.Link, "link", "", "the link that is used; else as the routes say")
	}
}

func netPing(ctx context.Context, t *terminal, args []string) error {
	var in ctl.PingRequest
	q := question{name: "net ping", least: 1, most: 1, within: pingWithin, define: func(f *flag.FlagSet) {
		pingFlags(&in)(f)
		f.IntVar(&in.Count, "count", 4, "how often")
		f.IntVar(&in.Size, "size", 0, "bytes of each")
	}}
	return q.ask(ctx, t, args, func(ctx context.Context, b *box, args []string) error {
		in.Host = args[0]
		all, err := b.net.Ping(ctx, in)
		if err != nil {
			return err
		}
		if b.json {
			return printList(t.out, all)
		}
		var rows [][]string
		for _, r := range all {
			row := []string{fmt.Sprint(r.Seq), "-", "-", r.Fault}
			if r.From.IsValid() {
				row[1] = r.From.String()
			}
			if r.Fault == "" {
				row[2], row[3] = r.Took.Round(10*time.Microsecond).String(), "answers"
			}
			rows = append(rows, row)
		}
		printTable(t.out, []string{"NO", "FROM", "AFTER", "RESULT"}, rows)
		return nil
	})
}

func netTrace(ctx context.Context, t *terminal, args []string) error {
	var in ctl.PingRequest
	return question{name: "net trace", least: 1, most: 1, within: traceWithin, define: pingFlags(&in)}.ask(ctx, t, args, func(ctx context.Context, b *box, args []string) error {
		in.Host = args[0]
		all, err := b.net.Trace(ctx, in)
		if err != nil {
			return err
		}
		if b.json {
			return printList(t.out, all)
		}
		var rows [][]string
		for _, h := range all {
			row := []string{fmt.Sprint(h.Number), "*", "", h.Fault}
			if h.From.IsValid() {
				row[1] = h.From.String()
			}
			for _, took := range h.Took {
				row[2] += took.Round(10*time.Microsecond).String() + " "
			}
			rows = append(rows, row)
		}
		printTable(t.out, []string{"HOP", "FROM", "AFTER", ""}, rows)
		return nil
	})
}

// netCapture keeps what was recorded until Ctrl-C.
func netCapture(ctx context.Context, t *terminal, args []string) error {
	in, out := ctl.CaptureRequest{}, ""
	q := question{name: "net capture", least: 1, most: 100, within: captureWithin, define: func(f *flag.FlagSet) {
		f.StringVar(&out, "out", "", "file for the packets (- is standard output)")
		f.IntVar(&in.Seconds, "seconds", 60, "end after so long")
		f.IntVar(&in.Packets, "packets", 0, "end after so many; 0 for as many as come")
		f.Int64Var(&in.Bytes, "bytes", 0, "end at so many bytes of the file; 0 is 10 MiB")
		f.BoolVar(&in.HeadOnly, "heads", false, "addresses and headers only, not what is said")
	}}
	return q.ask(ctx, t, args, func(ctx context.Context, b *box, args []string) error {
		in.Link, in.Filter = args[0], strings.Join(args[1:], " ")
		if out == "" {
			return usageError{"net capture needs --out FILE"}
		}
		if err := b.net.CheckCapture(ctx, in); err != nil {
			return err
		}
		return captureTo(ctx, t, b, in, out)
	})
}

func captureTo(ctx context.Context, t *terminal, b *box, in ctl.CaptureRequest, out string) (err error) {
	if out == "-" {
		return b.net.Capture(ctx, in, t.out)
	}
	f, err := os.OpenFile(out, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600) // what people say is for who asked
	if err != nil {
		return err
	}
	err = b.net.Capture(ctx, in, f)
	size, _ := f.Seek(0, io.SeekCurrent) // only told
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		fmt.Fprintf(t.out, "%d bytes are in %s\n", size, printable(out))
	}
	return err
}

func netLeases(ctx context.Context, t *terminal, args []string) error {
	return question{name: "net leases"}.ask(ctx, t, args, func(ctx context.Context, b *box, _ []string) error {
		all, err := b.net.Leases(ctx)
		if err != nil {
			return err
		}
		if b.json {
			return printJSON(t.out, all)
		}
		now := time.Now()
		var rows [][]string
		for _, l := range all.Leases {
			rows = append(rows, []string{l.Address.String(), l.MAC, orDash(l.Name), orDash(l.Vendor), l.Zone, short(l.Expires.Sub(now)), yesNo(l.Static)})
		}
		printTable(t.out, []string{"ADDRESS", "MAC", "NAME", "MAKER", "ZONE", "FOR", "RESERVED"}, rows)
		for _, a := range all.Conflicts {
			fmt.Fprintf(t.out, "%s is used by a host that has no lease\n", a)
		}
		return nil
	})
}

func netNeighbours(ctx context.Context, t *terminal, args []string) error {
	return question{name: "net neighbours"}.ask(ctx, t, args, func(ctx context.Context, b *box, _ []string) error {
		all, err := b.net.LLDPNeighbours(ctx)
		if err != nil {
			return err
		}
		if b.json {
			return printList(t.out, all)
		}
		var rows [][]string
		for _, n := range all {
			rows = append(rows, []string{n.Port, orDash(n.Name), n.Chassis, n.PortID, orDash(strings.TrimSpace(n.Maker + " " + n.Model)), orDash(strings.Join(n.Capabilities, ","))})
		}
		printTable(t.out, []string{"PORT", "NAME", "CHASSIS", "ITS PORT", "MODEL", "KIND"}, rows)
		return nil
	})
}

func netServices(ctx context.Context, t *terminal, args []string) error {
	return question{name: "net services"}.ask(ctx, t, args, func(ctx context.Context, b *box, _ []string) error {
		all, err := b.net.Services(ctx)
		if err != nil {
			return err
		}
		if b.json {
			return printJSON(t.out, all)
		}
		now := time.Now()
		var rows [][]string
		for _, s := range all.Services {
			rows = append(rows, []string{s.Name, orDash(strings.Join(s.Links, " ")), age(s.Since, now), orDash(s.Fault)})
		}
		printTable(t.out, []string{"SERVICE", "LINKS", "SINCE", "FAULT"}, rows)
		if c := all.Clock; c != nil {
			fmt.Fprintf(t.out, "\nThe clock follows its sources: %s; off by %s; changed by the box: %s\n", yesNo(c.Synced), c.Offset, yesNo(!c.Measured))
		}
		return nil
	})
}
