package admind

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"aead.dev/minisign"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/firmware/manifest"
	"github.com/coraltele/sanchar/pkg/firmware/sticks"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/record"
)

// bundleOf is the start of an update, which is all that is read of one on a stick.
func bundleOf(t *testing.T, key minisign.PrivateKey, board, version string) []byte {
	t.Helper()
	m := manifest.Manifest{Format: 1, Product: "sanchar", Board: board, Version: version, MinVersion: "1.0.0", Notes: "quicker"}
	for _, name := range manifest.Parts() {
		m.Parts = append(m.Parts, manifest.Part{Name: name, Size: 1, SHA256: strings.Repeat("ab", 32)})
	}
	text, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	put := func(name string, data []byte) {
		if err := w.WriteHeader(&tar.Header{Name: name, Size: int64(len(data)), Mode: 0o644}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(data); err != nil {
			t.Fatal(err)
		}
	}
	put(manifest.File, text)
	put(manifest.Signature, minisign.Sign(key, text))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestUpdatesOnSticksAreDescribed(t *testing.T) {
	t.Parallel()
	public, private, err := minisign.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	_, stranger, err := minisign.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	head := make([]byte, 2048)
	copy(head[3:], "EXFAT   ")
	disk := filepath.Join(dir, "sys/devices/usb1/block/sdb")
	if err := errors.Join(os.MkdirAll(disk, 0o755), os.MkdirAll(filepath.Join(dir, "sys/block"), 0o755), os.MkdirAll(filepath.Join(dir, "dev"), 0o755),
		os.Symlink(disk, filepath.Join(dir, "sys/block/sdb")), os.WriteFile(filepath.Join(dir, "dev/sdb"), head, 0o600)); err != nil {
		t.Fatal(err)
	}
	places := sticks.Places{Sys: filepath.Join(dir, "sys"), Dev: filepath.Join(dir, "dev"), At: filepath.Join(dir, "at"), Unmount: func(at string) error {
		return errors.Join(os.RemoveAll(at), os.Mkdir(at, 0o700))
	}, Mount: func(_, at, _ string) (err error) {
		for name, data := range map[string][]byte{
			"1-new.update": bundleOf(t, private, "x86", "1.5.0"), "2-old.update": bundleOf(t, private, "x86", "1.3.0"), "3-unsafe.update": bundleOf(t, private, "x86", "1.1.0"),
			"4-other.update": bundleOf(t, private, "arm64", "1.5.0"), "5-strange.update": bundleOf(t, stranger, "x86", "1.5.0"), "6-none.update": []byte("none"),
		} {
			err = errors.Join(err, os.WriteFile(filepath.Join(at, name), data, 0o600))
		}
		return err
	}}
	got := list(places, manifest.Keys{Trusted: []minisign.PublicKey{public}}, manifest.Box{Board: "x86", Version: "1.4.0", MinVersion: "1.2.0"})
	want := []struct {
		version string
		older   bool
		fault   string
	}{
		{"1.5.0", false, ""}, {"1.3.0", true, ""}, {"1.1.0", true, "oldest that is safe"}, {"1.5.0", false, "for boxes of kind arm64"}, {"", false, "not signed"}, {"", false, "not a whole update"},
	}
	if len(got.Updates) != len(want) || got.Fault != "" {
		t.Fatalf("%+v", got)
	}
	for i, w := range want {
		u := got.Updates[i]
		if u.Stick != "sdb" || u.Size == 0 || u.Version != w.version || u.Older != w.older || (w.fault == "") != (u.Fault == "") || !strings.Contains(u.Fault, w.fault) {
			t.Errorf("%+v, want %+v", u, w)
		}
	}
	places.Mount = func(string, string, string) error { return errors.New("input/output error") }
	if got := list(places, manifest.Keys{}, manifest.Box{}); len(got.Updates) != 0 || !strings.Contains(got.Fault, "sdb") {
		t.Errorf("%+v", got)
	}
}

func TestAMachineWithoutSlotsHasNoSticks(t *testing.T) {
	t.Parallel()
	b, c := owned(t)
	var refusal struct{ Code string }
	c.api(503, "GET", "/update/sticks", nil, &refusal)
	if refusal.Code != "update.machine" {
		t.Errorf("%+v", refusal)
	}
	c.api(503, "POST", "/update/stick", m{"stick": "sdb1", "file": "a.update"}, &refusal)
	if refusal.Code != "update.machine" {
		t.Errorf("%+v", refusal)
	}
	admin := ctl.NewAdmin(b.cfg.socket("admin"))
	defer func() { _ = admin.Close() }()
	if _, err := admin.InstallFile(t.Context(), ctl.UpdateFile{Stick: "sdb1", Path: "a.update"}); problem.Of(err).Code != "update.machine" {
		t.Errorf("%v", err)
	}
	if _, err := admin.Sticks(t.Context()); problem.Of(err).Code != "update.machine" {
		t.Errorf("%v", err)
	}
	var log struct{ Records []record.Audit }
	c.api(200, "GET", "/records/audit", nil, &log)
	if !slices.ContainsFunc(log.Records, func(a record.Audit) bool { return a.Act == "update.install" && !a.OK }) {
		t.Errorf("it is not in the audit log: %+v", log.Records)
	}
}
