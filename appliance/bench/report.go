package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// table is what a section found.
type table struct {
	title, note string
	head        []string
	rows        [][]string
}

func (t table) write(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "\n## %s\n\n%s\n\n| %s |\n|%s\n", t.title, t.note, strings.Join(t.head, " | "), strings.Repeat("---|", len(t.head)))
	for _, r := range t.rows {
		fmt.Fprintf(&b, "| %s |\n", strings.Join(r, " | "))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// report is the text of a run.
type report struct{ text bytes.Buffer }

func newReport(o options) *report {
	r := &report{}
	fmt.Fprintf(&r.text, "# What the box costs, beside Kamailio and rtpengine\n\n")
	fmt.Fprintf(&r.text, "Made by `go run ./appliance/bench -write %s`. Only ratios within one run carry over to another machine or day.\n\n", o.write)
	fmt.Fprintf(&r.text, "- commit %s, %s\n- %s\n- peers: %s; %s\n", commit(), time.Now().UTC().Format(time.DateOnly), hardware(),
		firstLine("/usr/sbin/kamailio", "-v"), firstLine("/usr/bin/rtpengine", "--version"))
	if o.quick {
		fmt.Fprint(&r.text, "- a quick run: its figures mean little\n")
	}
	return r
}

func (r *report) add(w io.Writer, tables []table) error {
	for _, t := range tables {
		if err := t.write(w); err != nil {
			return err
		}
		if err := t.write(&r.text); err != nil {
			return err
		}
	}
	return nil
}

func (r *report) keep(name string) error { return os.WriteFile(name, r.text.Bytes(), 0o644) }

// commit names what was measured.
func commit() string {
	out, err := exec.Command("git", "describe", "--always", "--dirty").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}

func firstLine(name string, args ...string) string {
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		return name + " is not installed"
	}
	line, _, _ := strings.Cut(string(out), "\n")
	return name[strings.LastIndexByte(name, '/')+1:] + " " + strings.TrimSpace(line)
}

// hardware says what it ran on, and not where.
func hardware() string {
	kernel := "unknown kernel"
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		kernel = "Linux " + unix.ByteSliceToString(u.Release[:])
	}
	model := runtime.GOARCH
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if _, after, ok := strings.Cut(string(text), "model name\t: "); ok {
			model, _, _ = strings.Cut(after, "\n")
		}
	}
	return fmt.Sprintf("%d processors (%s), %s, %s", runtime.NumCPU(), model, kernel, runtime.Version())
}

func micros(d time.Duration) string { return fmt.Sprintf("%.1f", float64(d)/float64(time.Microsecond)) }

func millis(d time.Duration) string { return fmt.Sprintf("%.1f", float64(d)/float64(time.Millisecond)) }

func megabytes(n int64) string { return fmt.Sprintf("%.1f", float64(n)/(1<<20)) }

func joined(names []string) string { return strings.Join(names, " + ") }
