package install

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"aead.dev/minisign"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/firmware/manifest"
)

// rig is a box of files.
type rig struct {
	t      *testing.T
	dir    string
	target Target
	priv   minisign.PrivateKey
	opens  int
}

func newRig(t *testing.T) *rig {
	t.Helper()
	pub, priv, err := minisign.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, dir: t.TempDir(), priv: priv}
	if err := os.MkdirAll(filepath.Join(r.dir, counterFolder), 0o755); err != nil {
		t.Fatal(err)
	}
	r.put("sanchar-1.0.0-a.efi", "image of a")
	r.target = Target{
		Box: manifest.Box{Board: "x86", Version: "1.0.0", MinVersion: "0.9.0"}, Keys: manifest.Keys{Trusted: []minisign.PublicKey{pub}}, Slot: "a",
		Root: func(slot string) (Device, error) {
			r.opens++
			return os.Create(filepath.Join(r.dir, "root-"+slot))
		},
		Mount: func(do func(string) error) error { return do(r.dir) },
	}
	return r
}

func (r *rig) put(name, text string) {
	r.t.Helper()
	if err := os.WriteFile(filepath.Join(r.dir, counterFolder, name), []byte(text), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

// images lists the boot partition.
func (r *rig) images() string {
	r.t.Helper()
	files, err := os.ReadDir(filepath.Join(r.dir, counterFolder))
	if err != nil {
		r.t.Fatal(err)
	}
	var names []string
	for _, f := range files {
		names = append(names, f.Name())
	}
	return strings.Join(names, " ")
}

type file struct {
	name string
	data []byte
}

// bundle makes an update; change may spoil it after it was signed.
func (r *rig) bundle(version string, change func([]file) []file) []byte {
	r.t.Helper()
	data := func(seed byte, n int) []byte {
		b := make([]byte, n)
		_, _ = rand.NewChaCha8([32]byte{seed}).Read(b)
		return b
	}
	files := []file{{manifest.Root, data(1, 3*bufferSize+17)}, {manifest.UKIA, data(2, 70_000)}, {manifest.UKIB, data(3, 80_000)}}
	m := manifest.Manifest{Format: 1, Product: "sanchar", Board: "x86", Version: version, MinVersion: "0.9.0"}
	for _, f := range files {
		sum := sha256.Sum256(f.data)
		m.Parts = append(m.Parts, manifest.Part{Name: f.name, Size: int64(len(f.data)), SHA256: hex.EncodeToString(sum[:])})
	}
	text, err := json.Marshal(m)
	if err != nil {
		r.t.Fatal(err)
	}
	files = slices.Insert(files, 0, file{manifest.File, text}, file{manifest.Signature, minisign.Sign(r.priv, text)})
	if change != nil {
		files = change(files)
	}
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, f := range files {
		if err := w.WriteHeader(&tar.Header{Name: f.name, Size: int64(len(f.data)), Mode: 0o644, Typeflag: tar.TypeReg}); err != nil {
			r.t.Fatal(err)
		}
		if _, err := w.Write(f.data); err != nil {
			r.t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		r.t.Fatal(err)
	}
	return out.Bytes()
}

func TestAnUpdateGoesIntoTheSlotThatDoesNotRun(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.put("sanchar-0.9.9-b.efi", "what was before")
	r.put(unfinished, "of an update that was cut off")
	last, total := int64(0), int64(0)
	m, err := Install(t.Context(), bytes.NewReader(r.bundle("1.1.0", nil)), r.target, func(done, all int64) {
		if done < last {
			t.Error("progress goes back")
		}
		last, total = done, all
	})
	if err != nil || m.Version != "1.1.0" || last != total || total == 0 {
		t.Fatalf("%+v, %v, %d of %d", m, err, last, total)
	}
	if got := r.images(); got != "sanchar-1.0.0-a.efi sanchar-1.1.0-b+3.efi" {
		t.Errorf("%s", got)
	}
	root, err := os.ReadFile(filepath.Join(r.dir, "root-b"))
	if sum := sha256.Sum256(root); err != nil || hex.EncodeToString(sum[:]) != m.Parts[0].SHA256 {
		t.Errorf("%d bytes of root, %v", len(root), err)
	}
	image, err := os.ReadFile(filepath.Join(r.dir, counterFolder, "sanchar-1.1.0-b+3.efi"))
	if sum := sha256.Sum256(image); err != nil || hex.EncodeToString(sum[:]) != m.Parts[2].SHA256 {
		t.Errorf("%d bytes of image, %v", len(image), err)
	}
}

func TestWhatIsNotAnUpdateChangesNothing(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		code    string
		version string
		touches bool // the other slot was written; it does not start
		change  func([]file) []file
		cut     int
		prepare func(*rig)
	}{
		"unsigned":           {code: "update.signature", change: func(f []file) []file { f[1].data = nil; return f }},
		"signed by another":  {code: "update.signature", prepare: func(r *rig) { _, r.priv, _ = minisign.GenerateKey(nil) }},
		"changed manifest":   {code: "update.signature", change: func(f []file) []file { f[0].data[20]++; return f }},
		"without manifest":   {code: "update.file", change: func(f []file) []file { return f[2:] }},
		"another order":      {code: "update.file", touches: true, change: func(f []file) []file { f[3], f[4] = f[4], f[3]; return f }},
		"root and image":     {code: "update.file", change: func(f []file) []file { f[2], f[3] = f[3], f[2]; return f }, touches: true},
		"another byte":       {code: "update.file", touches: true, change: func(f []file) []file { f[2].data[5000]++; return f }},
		"another image":      {code: "update.file", touches: true, change: func(f []file) []file { f[4].data[50]++; return f }},
		"longer":             {code: "update.file", touches: true, change: func(f []file) []file { f[2].data = append(f[2].data, 0); return f }},
		"cut in the root":    {code: "update.file", touches: true, cut: 2 * bufferSize},
		"cut in the image":   {code: "update.file", touches: true, cut: 3*bufferSize + 100_000},
		"cut at the start":   {code: "update.file", cut: 700},
		"empty":              {code: "update.file", cut: 1},
		"another board":      {code: "update.board", prepare: func(r *rig) { r.target.Box.Board = "rpi4" }},
		"older":              {code: "update.downgrade", version: "0.9.5"},
		"older than is safe": {code: "update.old", version: "0.8.0", prepare: func(r *rig) { r.target.Box.Downgrade = true }},
		"on trial":           {code: "update.trial", prepare: func(r *rig) { _ = rename(r.dir, counter{}, Entry{"1.0.0", "a", 2, 1}) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			if c.prepare != nil {
				c.prepare(r)
			}
			version := c.version
			if version == "" {
				version = "1.1.0"
			}
			data := r.bundle(version, c.change)
			if c.cut > 0 {
				data = data[:c.cut]
			}
			before := r.images()
			_, err := Install(t.Context(), bytes.NewReader(data), r.target, func(int64, int64) {})
			if p := problem.Of(err); p.Code != c.code || p.Cure == "" {
				t.Errorf("%v, want %s", err, c.code)
			}
			if got := r.images(); got != before {
				t.Errorf("the boot partition has %s, had %s", got, before)
			}
			if (r.opens > 0) != c.touches {
				t.Errorf("the root was opened %d times", r.opens)
			}
		})
	}
}

func TestAnUpdateThatIsBrokenOff(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	ctx, cancel := context.WithCancel(t.Context())
	_, err := Install(ctx, bytes.NewReader(r.bundle("1.1.0", nil)), r.target, func(done, _ int64) {
		if done > bufferSize {
			cancel()
		}
	})
	if problem.Of(err).Code != "update.stopped" || r.images() != "sanchar-1.0.0-a.efi" {
		t.Errorf("%v, %s", err, r.images())
	}
}

func TestTrialsOfAnImage(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.put("sanchar-1.1.0-b+2-1.efi", "on trial")
	all, err := Entries(r.dir)
	if err != nil || len(all) != 2 || all[0] != (Entry{"1.1.0", "b", 2, 1}) || all[1] != (Entry{"1.0.0", "a", -1, 0}) {
		t.Fatalf("%+v, %v", all, err)
	}
	for range 2 { // the second time it is good already
		if err := Bless(r.dir, "b"); err != nil {
			t.Fatal(err)
		}
	}
	if got := r.images(); got != "sanchar-1.0.0-a.efi sanchar-1.1.0-b.efi" {
		t.Errorf("%s", got)
	}
	r.put("sanchar-1.2.0-a+0-3.efi", "tried in vain")
	all, err = Entries(r.dir)
	if failed := Failed(all); err != nil || len(failed) != 1 || failed[0].Version != "1.2.0" {
		t.Errorf("%+v, %v", failed, err)
	}
}

// The loader prefers the highest version that has tries left: an older one that was asked for starts only if
// the one that runs is set behind it.
func TestAnOlderVersionStarts(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.target.Box.Downgrade = true
	if _, err := Install(t.Context(), bytes.NewReader(r.bundle("0.9.5", nil)), r.target, func(int64, int64) {}); err != nil {
		t.Fatal(err)
	}
	all, err := Entries(r.dir)
	running, _ := Running(all, "a")
	if got := r.images(); err != nil || running.Left != -1 || got != "sanchar-0.9.5-b+3.efi sanchar-1.0.0-a+0.efi" {
		t.Errorf("%s, %+v, %v", got, all, err)
	}
	if ok, err := Settled(r.dir, "a"); !ok || err != nil {
		t.Errorf("it would start before the older one: %v", err)
	}
	if err := Reject(r.dir, "b"); err != nil {
		t.Fatal(err)
	}
	if ok, err := Settled(r.dir, "a"); ok || err != nil {
		t.Errorf("its starts will be taken for tries: %v", err)
	}
	if err := Settle(r.dir, "a"); err != nil || r.images() != "sanchar-0.9.5-b+0-3.efi sanchar-1.0.0-a.efi" {
		t.Errorf("%s, %v", r.images(), err)
	}
}

func TestAnImageThatIsRejected(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	if err := Reject(r.dir, "a"); err == nil {
		t.Error("an image that is good was rejected: nothing would start")
	}
	if err := Reject(r.dir, "b"); err == nil {
		t.Error("an image that is not there was rejected")
	}
	r.put("sanchar-1.1.0-b+2-1.efi", "on trial")
	for range 2 { // the second time it has no tries left
		if err := Reject(r.dir, "b"); err != nil {
			t.Fatal(err)
		}
	}
	if got := r.images(); got != "sanchar-1.0.0-a.efi sanchar-1.1.0-b+0-3.efi" {
		t.Errorf("%s", got)
	}
}

func TestNamesOfImages(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"sanchar-1.0.0-a.efi": "{1.0.0 a -1 0}", "sanchar-1.0.0-rc1-b+3.efi": "{1.0.0-rc1 b 3 0}", "sanchar-1.0.0-b+0-3.efi": "{1.0.0 b 0 3}",
		"sanchar-1.0.0-c.efi": "", "sanchar-1.0-a.efi": "", "other-1.0.0-a.efi": "", "sanchar-1.0.0-a+x.efi": "", "sanchar-1.0.0-a": "", "new.tmp": "", "sanchar-.efi": "",
	} {
		e, ok := parseEntry(name)
		if got := fmt.Sprint(e); (want == "") == ok || (ok && (got != want || e.name() != name)) {
			t.Errorf("%s: %s %v, written as %s", name, got, ok, e.name())
		}
	}
}
