package netapply

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"go.uber.org/goleak"

	"github.com/coraltele/sanchar/pkg/network/netcfg"
	"github.com/coraltele/sanchar/pkg/network/netplan"
	"github.com/coraltele/sanchar/pkg/testkit/netlab"
	"github.com/coraltele/sanchar/pkg/testkit/otherkernel"
)

func TestMain(m *testing.M) {
	otherkernel.Init()
	if code, entered := netlab.Enter(); entered {
		os.Exit(code)
	}
	goleak.VerifyTestMain(m)
}

// box is the namespace of the test: the kernel is real, and nobody else's.
type box struct {
	t      *testing.T
	apply  *Applier
	kernel *Kernel
	facts  netplan.Facts
}

// newBox gives the namespace ports p0, p1... with cables to q0, q1...
func newBox(t *testing.T, ports int) *box {
	t.Helper()
	if os.Getenv("NETLAB_INSIDE") != "yes" {
		t.Skip("no network namespaces here: run as root, or allow user namespaces")
	}
	keys, err := OpenKeys(filepath.Join(t.TempDir(), "keys"), nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range ports {
		veth := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: fmt.Sprintf("p%d", i), TxQLen: -1, MTU: 1500}, PeerName: fmt.Sprintf("q%d", i)}
		if err := netlink.LinkAdd(veth); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = netlink.LinkDel(veth) }) // its test may have failed before it was there
		peer, err := netlink.LinkByName(veth.PeerName)
		if err == nil {
			err = netlink.LinkSetUp(peer)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	kernel := NewKernel(keys, slog.New(slog.DiscardHandler))
	b := &box{t: t, kernel: kernel, apply: New(kernel, nil, slog.New(slog.DiscardHandler))}
	t.Cleanup(func() { b.set(netcfg.Document{}) })
	return b
}

// need skips a test of something that this kernel has not.
func need(t *testing.T, kind string, link netlink.Link) {
	t.Helper()
	err := netlink.LinkAdd(link)
	if err != nil {
		t.Skipf("this kernel has no %s: %v", kind, err)
	}
	if err := netlink.LinkDel(link); err != nil {
		t.Fatal(err)
	}
}

func (b *box) parse(text string) netcfg.Document {
	b.t.Helper()
	doc, err := netcfg.Parse([]byte(text))
	if err != nil {
		b.t.Fatal(err)
	}
	return doc
}

// set applies a document, and again: the second time there must be nothing to do.
func (b *box) set(doc netcfg.Document) {
	b.t.Helper()
	if _, err := b.apply.Apply(context.WithoutCancel(b.t.Context()), doc, b.facts); err != nil { // at the end of the test too
		b.t.Fatal(err)
	}
	p, err := b.apply.Plan(doc, b.facts)
	if err != nil || len(p.Steps) > 0 || len(p.Blocked) > 0 {
		b.t.Fatalf("after it was applied there is still %v, blocked %v, %v", p.Steps, p.Blocked, err)
	}
}

func (b *box) setText(text string) netcfg.Document {
	b.t.Helper()
	doc := b.parse(text)
	b.set(doc)
	return doc
}

// ip asks the kernel by a tool that is not ours.
func ip(t *testing.T, args ...string) []map[string]any {
	t.Helper()
	out, err := exec.Command("ip", append([]string{"-j", "-d"}, args...)...).Output()
	if err != nil {
		t.Fatalf("ip %v: %v", args, err)
	}
	var rows []map[string]any
	if err := json.Unmarshal(bytes.TrimSpace(out), &rows); err != nil && len(bytes.TrimSpace(out)) > 0 {
		t.Fatalf("ip %v: %v: %s", args, err, out)
	}
	return slices.DeleteFunc(rows, func(r map[string]any) bool { return len(r) == 0 })
}

// field follows keys into a row.
func field(row map[string]any, keys ...string) any {
	var v any = row
	for _, k := range keys {
		m, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = m[k]
	}
	return v
}

func (b *box) wantLink(name string, want map[string]string) {
	b.t.Helper()
	row := ip(b.t, "link", "show", "dev", name)[0]
	for path, value := range want {
		if got := fmt.Sprint(field(row, strings.Split(path, ".")...)); got != value {
			b.t.Errorf("%s of %s is %s, want %s", path, name, got, value)
		}
	}
}

func (b *box) wantAddrs(name string, want ...string) {
	b.t.Helper()
	var got []string
	for _, row := range ip(b.t, "addr", "show", "dev", name) {
		infos, _ := row["addr_info"].([]any)
		for _, info := range infos {
			m, _ := info.(map[string]any)
			if m["scope"] != "link" {
				got = append(got, fmt.Sprintf("%v/%v", m["local"], m["prefixlen"]))
			}
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		b.t.Errorf("addresses of %s are %v, want %v", name, got, want)
	}
}

// routes returns the routes of ours in a table, as words.
func (b *box) routes(v6 bool, table string) (all []string) {
	b.t.Helper()
	version := "-4"
	if v6 {
		version = "-6"
	}
	for _, r := range ip(b.t, version, "route", "show", "table", table, "proto", fmt.Sprint(netplan.Protocol)) {
		text := fmt.Sprint(r["dst"])
		for _, k := range []string{"type", "gateway", "dev", "metric", "prefsrc"} {
			if v, ok := r[k]; ok && v != "unicast" && !(r["type"] != "unicast" && k == "dev") {
				text += fmt.Sprintf(" %v", v)
			}
		}
		all = append(all, text)
	}
	slices.Sort(all)
	return all
}

func (b *box) wantRoutes(v6 bool, table string, want ...string) {
	b.t.Helper()
	slices.Sort(want)
	if got := b.routes(v6, table); !slices.Equal(got, want) {
		b.t.Errorf("routes of table %s:\n%s\nwant\n%s", table, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func (b *box) wantNo(name string) {
	b.t.Helper()
	if _, err := netlink.LinkByName(name); err == nil {
		b.t.Errorf("%s is still there", name)
	}
}

func (b *box) wantSetting(path, want string) {
	b.t.Helper()
	if got, err := os.ReadFile(procNet + path); err != nil || strings.TrimSpace(string(got)) != want {
		b.t.Errorf("%s is %q (%v), want %s", path, got, err, want)
	}
}

func prefix(text string) netip.Prefix { return netip.MustParsePrefix(text) }
