package main

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/coraltele/sanchar/appliance/bench/machine"
	"github.com/coraltele/sanchar/pkg/firmware/manifest"
)

// imageBoard is the board whose sizes have aims, startBoard the one that QEMU is.
const (
	imageBoard = "x86"
	startBoard = "qemu"
)

// imageRest is how long a box has been up when its memory is looked at.
const imageRest = 30 * time.Second

// measureImage measures what an image weighs, and what one that has started in QEMU takes.
func measureImage(ctx context.Context, _ options) (tables []table, err error) {
	if missing := machine.Missing(); len(missing) > 0 {
		fmt.Fprintln(os.Stderr, "bench: the image is left out: not installed:", missing)
		return nil, nil
	}
	dir, err := os.MkdirTemp("", "sanchar-bench-image-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	for _, board := range []string{imageBoard, startBoard} {
		if _, err := goCommand(ctx, "", "run", "./image/build", "-board", board, "-version", "0.0.0", "-out", dir); err != nil {
			return nil, err
		}
	}
	sizes, err := measureBundle(filepath.Join(dir, "sanchar-"+imageBoard+"-0.0.0.update"))
	if err != nil {
		return nil, err
	}
	started, err := measureBoot(ctx, dir)
	return []table{sizes, started}, err
}

// measureBundle reads what an update consists of.
func measureBundle(path string) (t table, err error) {
	f, err := os.Open(path)
	if err != nil {
		return t, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return t, err
	}
	var m manifest.Manifest
	in := tar.NewReader(f)
	if head, err := in.Next(); err != nil || head.Name != manifest.File {
		return t, fmt.Errorf("%s does not begin with %s: %w", path, manifest.File, err)
	}
	text, err := io.ReadAll(io.LimitReader(in, manifest.MaxSize))
	if err == nil {
		err = json.Unmarshal(text, &m)
	}
	if err != nil {
		return t, err
	}
	t = table{
		title: "Size of the image", note: "What an update of the board " + imageBoard + " consists of. Each slot has the root and one of the kernels.",
		head: []string{"part", "MB", "aim MB"}, rows: [][]string{{"update", megabytes(info.Size()), "≤ 60"}},
	}
	for _, p := range m.Parts {
		t.rows = append(t.rows, []string{p.Name, megabytes(p.Size), ""})
	}
	return t, nil
}

// measureBoot starts a box in QEMU and looks at the clock and at its memory.
func measureBoot(ctx context.Context, dir string) (t table, err error) {
	m, err := machine.Flash(filepath.Join(dir, "sanchar-"+startBoard+"-0.0.0.img"), dir)
	if err != nil {
		return t, err
	}
	defer m.Off()
	power := time.Now()
	if err := m.On(ctx); err != nil {
		return t, err
	}
	var rows [][]string
	var space time.Time // of users: the kernel has started
	for _, step := range []struct {
		name string
		wait func() error
	}{
		{"first program", func() error { _, err := m.Until(`stage1: `); space = time.Now(); return err }},
		{"root", func() error { _, err := m.Until(`msg="a port has its name"`); return err }},
		{"first SIP 200", func() error { return m.Options(ctx) }},
		{"page with an address", func() error { _, err := m.Until(`Page: +https://10\.0\.2\.15`); return err }},
	} {
		if err := step.wait(); err != nil {
			return t, fmt.Errorf("%s: %w", step.name, err)
		}
		after := "–"
		if !space.IsZero() {
			after = seconds(time.Since(space))
		}
		rows = append(rows, []string{step.name, seconds(time.Since(power)), after, ""})
	}
	i := slices.IndexFunc(rows, func(r []string) bool { return r[0] == "first SIP 200" })
	rows[i][3] = "≤ 5"
	used, total, err := m.Memory(ctx, imageRest)
	if err != nil {
		return t, err
	}
	return table{
		title: "Start of the image",
		note: fmt.Sprintf("A box in QEMU that emulates its processor, two of them; seconds of its clock. After %v of rest it uses **%s MB** of the %s MB of memory that its kernel gives (aim ≤ 200).",
			imageRest, megabytes(int64(used)), megabytes(int64(total))),
		head: []string{"event", "s after power", "s after the first program", "aim s"}, rows: rows,
	}, nil
}

func seconds(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'f', 1, 64) }
