package install

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/coraltele/sanchar/pkg/base/problem"
)

// pi makes the rig a Raspberry Pi whose slot a starts.
func (r *rig) pi() {
	r.t.Helper()
	text, err := Autoboot("a")
	if err = errors.Join(err, os.MkdirAll(filepath.Join(r.dir, tryFolder), 0o755), os.WriteFile(filepath.Join(r.dir, autoboot), text, 0o600)); err != nil {
		r.t.Fatal(err)
	}
	r.mark("1.0.0-a")
	r.target.Boot = func(slot string) (Device, error) { return os.Create(filepath.Join(r.dir, "boot-"+slot)) }
}

func (r *rig) mark(name string) {
	r.t.Helper()
	if err := os.WriteFile(filepath.Join(r.dir, tryFolder, "sanchar-"+name+".efi"), nil, 0o600); err != nil {
		r.t.Fatal(err)
	}
}

// slots lists the names on the boot partition and the slot that starts.
func (r *rig) slots() string {
	r.t.Helper()
	files, err := os.ReadDir(filepath.Join(r.dir, tryFolder))
	if err != nil {
		r.t.Fatal(err)
	}
	var names []string
	for _, f := range files {
		names = append(names, strings.TrimSuffix(strings.TrimPrefix(f.Name(), "sanchar-"), ".efi"))
	}
	slot, err := usual(r.dir)
	if err != nil {
		r.t.Fatal(err)
	}
	return strings.Join(names, " ") + " " + slot
}

// chosen makes what the firmware says of a start.
func chosen(t *testing.T, properties map[string]uint32) tryboot {
	t.Helper()
	dir := t.TempDir()
	for name, v := range properties {
		if err := os.WriteFile(filepath.Join(dir, name), binary.BigEndian.AppendUint32(nil, v), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return tryboot{dir}
}

func TestAPiIsUpdatedInTheSlotThatDoesNotRun(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.pi()
	r.mark("0.9.9-b")
	m, err := Install(t.Context(), bytes.NewReader(r.bundle("1.1.0", nil)), r.target, func(int64, int64) {})
	if err != nil || r.slots() != "1.0.0-a 1.1.0-b+1 a" {
		t.Fatalf("%s, %v", r.slots(), err)
	}
	for i, file := range map[int]string{0: "root-b", 2: "boot-b"} {
		data, err := os.ReadFile(filepath.Join(r.dir, file))
		if sum := sha256.Sum256(data); err != nil || hex.EncodeToString(sum[:]) != m.Parts[i].SHA256 {
			t.Errorf("%s: %d bytes, %v", file, len(data), err)
		}
	}
	if n, err := Next(r.dir, "a"); n != 3 || err != nil || r.slots() != "1.0.0-a 1.1.0-b+0-1 a" {
		t.Fatalf("partition %d, %s, %v", n, r.slots(), err)
	}
	if n, err := Next(r.dir, "a"); n != 0 || err != nil {
		t.Errorf("a second try: partition %d, %v", n, err)
	}
	all, err := Entries(r.dir)
	if failed := Failed(all); err != nil || len(failed) != 1 || failed[0].Version != "1.1.0" {
		t.Errorf("it did not stay: %+v, %v", failed, err)
	}
}

func TestAPiKeepsAVersionThatIsWell(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.pi()
	r.mark("1.1.0-b+0-1")
	for range 2 { // the second time it is good already
		if err := Bless(r.dir, "b"); err != nil || r.slots() != "1.0.0-a 1.1.0-b b" {
			t.Fatalf("%s, %v", r.slots(), err)
		}
	}
	if err := Reject(r.dir, "b"); err == nil {
		t.Error("a version that is good was rejected")
	}
	r.target.Slot, r.target.Box.Version = "b", "1.1.0"
	if _, err := Install(t.Context(), bytes.NewReader(r.bundle("1.2.0", nil)), r.target, func(int64, int64) {}); err != nil || r.slots() != "1.1.0-b 1.2.0-a+1 b" {
		t.Fatalf("%s, %v", r.slots(), err)
	}
	if n, err := Next(r.dir, "b"); n != 2 || err != nil {
		t.Errorf("partition %d, %v", n, err)
	}
}

func TestAPiGivesAVersionUp(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.pi()
	r.mark("1.1.0-b+0-1")
	if _, err := Install(t.Context(), bytes.NewReader(r.bundle("1.2.0", nil)), Target{
		Box: r.target.Box, Keys: r.target.Keys, Slot: "b", Root: r.target.Root, Boot: r.target.Boot, Mount: r.target.Mount,
	}, nil); problem.Of(err).Code != "update.trial" {
		t.Errorf("an update while on trial: %v", err)
	}
	if err := Reject(r.dir, "b"); err != nil || r.slots() != "1.0.0-a 1.1.0-b+0-1 a" {
		t.Errorf("%s, %v", r.slots(), err)
	}
}

// A power cut between autoboot.txt and the name: the slot is good, and its name is put right by the next update.
func TestAPiGoesByWhatStarts(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.pi()
	r.mark("1.1.0-b+0-1")
	if err := (tryboot{}).keep(r.dir, "b"); err != nil {
		t.Fatal(err)
	}
	all, err := Entries(r.dir)
	if e, _ := Running(all, "b"); err != nil || e.Left != -1 {
		t.Errorf("%+v, %v", e, err)
	}
	r.target.Slot, r.target.Box.Version = "b", "1.1.0"
	if _, err := Install(t.Context(), bytes.NewReader(r.bundle("1.2.0", nil)), r.target, func(int64, int64) {}); err != nil || r.slots() != "1.1.0-b 1.2.0-a+1 b" {
		t.Errorf("%s, %v", r.slots(), err)
	}
}

func TestWhatThePiSaysOfAStart(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		says map[string]uint32
		left int // of the version in b, which autoboot.txt does not start
	}{
		"nothing": {nil, -1}, "as usual": {map[string]uint32{"partition": 2, "tryboot": 0}, -1}, "the other, by number": {map[string]uint32{"partition": 3, "tryboot": 0}, 0},
		"the other, by name": {map[string]uint32{"tryboot": 1}, 0}, "a partition that is no slot": {map[string]uint32{"partition": 1}, -1},
	} {
		r := newRig(t)
		r.pi()
		all := []Entry{{"1.1.0", "b", -1, 0}, {"1.0.0", "a", -1, 0}}
		if err := chosen(t, c.says).judge(r.dir, all); err != nil || all[0].Left != c.left || all[1].Left != -1 {
			t.Errorf("%s: %+v, %v", name, all, err)
		}
	}
}

func TestAutobootIsWhatTheFirmwareReads(t *testing.T) {
	t.Parallel()
	text, err := Autoboot("b")
	if want := "[all]\ntryboot_a_b=1\nboot_partition=3\n[tryboot]\nboot_partition=2\n"; err != nil || string(text) != want || len(text) > 512 {
		t.Errorf("%q, %v", text, err)
	}
	if _, err := Autoboot("c"); err == nil {
		t.Error("there is no slot c")
	}
	dir := t.TempDir()
	for text, want := range map[string]string{
		string(text): "b", "[all]\r\nboot_partition=2\r\n": "a", "": "", "boot_partition=9": "", "boot_partition=x": "", "[tryboot]\nboot_partition=3": "",
	} {
		if err := os.WriteFile(filepath.Join(dir, autoboot), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if slot, err := usual(dir); slot != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v", text, slot, err)
		}
	}
}

func TestTheFirstVersionOfADiskIsGood(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	if err := os.Remove(filepath.Join(r.dir, counterFolder, "sanchar-1.0.0-a.efi")); err != nil {
		t.Fatal(err)
	}
	r.target.Box.Version, r.target.Box.MinVersion, r.target.Slot = "", "", ""
	bundle := r.bundle("1.1.0", nil)
	if _, err := Check(t.Context(), bytes.NewReader(bundle), r.target, func(int64, int64) {}); err != nil || r.opens != 0 || r.images() != "" {
		t.Fatalf("checked: %v, %d, %s", err, r.opens, r.images())
	}
	if m, err := First(t.Context(), bytes.NewReader(bundle), r.target, func(int64, int64) {}); err != nil || m.Version != "1.1.0" || r.images() != "sanchar-1.1.0-a.efi" {
		t.Errorf("%v, %s", err, r.images())
	}
	if _, err := Check(t.Context(), bytes.NewReader(bundle[:len(bundle)-100_000]), r.target, func(int64, int64) {}); problem.Of(err).Code != "update.file" {
		t.Errorf("half an update: %v", err)
	}
}
