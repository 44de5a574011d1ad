package sticks

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/coraltele/sanchar/pkg/base/problem"
)

// rig is a machine with disks. What is mounted is copied there.
type rig struct {
	t       *testing.T
	places  Places
	content map[string]map[string]string // partition -> file -> text; a text of "->X" is a link to X
	mounts  []string
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{t: t, content: map[string]map[string]string{}}
	dir := t.TempDir()
	r.places = Places{Sys: filepath.Join(dir, "sys"), Dev: filepath.Join(dir, "dev"), At: filepath.Join(dir, "at"), Not: "sdz", Mount: r.mount, Unmount: r.unmount}
	for _, d := range []string{filepath.Join(r.places.Sys, "block"), r.places.Dev} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

func (r *rig) mount(device, at, kind string) error {
	name := filepath.Base(device)
	r.mounts = append(r.mounts, name+" "+kind)
	if r.content[name] == nil {
		return errors.New("wrong superblock")
	}
	for file, text := range r.content[name] {
		path := filepath.Join(at, file)
		if to, link := strings.CutPrefix(text, "->"); link {
			if err := os.Symlink(to, path); err != nil {
				return err
			}
		} else if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			return err
		}
	}
	return nil
}

func (r *rig) unmount(at string) error {
	all, err := filepath.Glob(filepath.Join(at, "*"))
	for _, f := range all {
		err = errors.Join(err, os.Remove(f))
	}
	return err
}

// disk plugs a disk in; parts are the first bytes of its partitions by name, or of itself.
func (r *rig) disk(name, bus string, parts map[string][]byte) {
	r.t.Helper()
	dir := filepath.Join(r.places.Sys, "devices", bus, "block", name)
	files := map[string]string{"device/vendor": "ACME    \n", "device/model": "Flash  Disk\n"}
	for part, head := range parts {
		if part != name {
			files[part+"/partition"] = "1\n"
		}
		if err := os.WriteFile(filepath.Join(r.places.Dev, part), head, 0o600); err != nil {
			r.t.Fatal(err)
		}
	}
	for file, text := range files {
		path := filepath.Join(dir, file)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			r.t.Fatal(err)
		}
	}
	if err := os.Symlink(dir, filepath.Join(r.places.Sys, "block", name)); err != nil {
		r.t.Fatal(err)
	}
}

func vfat() []byte {
	b := make([]byte, headSize)
	copy(b[82:], "FAT32   ")
	b[510], b[511] = 0x55, 0xaa
	return b
}

func ext4() []byte {
	b := make([]byte, headSize)
	b[1024+56], b[1024+57] = 0x53, 0xef
	return b
}

func TestUpdatesOnSticks(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.disk("sdb", "pci0/usb1/1-1", map[string][]byte{"sdb1": vfat(), "sdb2": ext4()})
	r.disk("sdc", "pci0/usb1/1-2", map[string][]byte{"sdc": vfat()})
	r.disk("sdd", "pci0/usb1/1-3", map[string][]byte{"sdd1": ext4(), "sdd2": make([]byte, headSize), "sdd3": {1}})
	r.disk("sda", "pci0/ata1", map[string][]byte{"sda1": vfat()})
	r.disk("sdz", "pci0/usb1/1-4", map[string][]byte{"sdz1": vfat()}) // the box runs from it
	r.content["sdb1"] = map[string]string{
		"b.update": "two", "a.update": "one", "notes.txt": "no", "._a.update": "no", "c.update": "->../../secret", "A.UPDATE": "no",
	}
	r.content["sdb2"] = map[string]string{"d.update": "three"}
	r.content["sdc"] = map[string]string{}
	for _, stray := range []string{"sda1", "sdz1"} {
		r.content[stray] = map[string]string{"stray.update": "no"}
	}
	var got []string
	err := r.places.Each(func(f File, in io.Reader) error {
		text, err := io.ReadAll(in)
		got = append(got, f.Stick+" "+f.Model+" "+f.Name+" "+string(text))
		if f.Size != int64(len(text)) {
			t.Errorf("%+v", f)
		}
		return err
	})
	want := []string{"sdb1 ACME Flash Disk a.update one", "sdb1 ACME Flash Disk b.update two", "sdb2 ACME Flash Disk d.update three"}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	if !slices.Equal(r.mounts, []string{"sdb1 vfat", "sdb2 ext4", "sdc vfat", "sdd1 ext4"}) {
		t.Errorf("%v", r.mounts)
	}
	if p := problem.Of(err); p.Code != "update.stick.damaged" || !strings.Contains(p.Text, "sdd1") { // the others are listed all the same
		t.Errorf("%v", err)
	}
	if left, err := os.ReadDir(r.places.At); err != nil || len(left) != 0 {
		t.Errorf("folders are left: %v, %v", left, err)
	}
}

func TestAnUpdateOfAStickIsOpened(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.disk("sdb", "pci0/usb1/1-1", map[string][]byte{"sdb1": vfat()})
	r.disk("sda", "pci0/ata1", map[string][]byte{"sda1": vfat()})
	for _, part := range []string{"sda1", "sdb1"} {
		r.content[part] = map[string]string{"a.update": "one", "b.update": "->../../../secret", "notes.txt": "no"}
	}
	text := ""
	read := func(in io.Reader) error {
		data, err := io.ReadAll(in)
		text = string(data)
		return err
	}
	if err := r.places.Open("sdb1", "a.update", read); err != nil || text != "one" {
		t.Errorf("%q, %v", text, err)
	}
	for _, c := range [][2]string{
		{"sda1", "a.update"}, {"sdb", "a.update"}, {"sdb1", "none.update"}, {"sdb1", "notes.txt"}, {"sdb1", "b.update"}, {"sdb1", "../a.update"}, {"../sdb1", "a.update"}, {"", ""},
	} {
		if err := r.places.Open(c[0], c[1], read); problem.Of(err).Code != "update.stick" {
			t.Errorf("%v: %v", c, err)
		}
	}
	if err := r.places.Open("sdb1", "a.update", func(io.Reader) error { return io.ErrUnexpectedEOF }); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%v", err)
	}
}

func TestFileSystemsAreToldApart(t *testing.T) {
	t.Parallel()
	exfat := make([]byte, headSize)
	copy(exfat[3:], "EXFAT   ")
	fat16 := make([]byte, headSize)
	copy(fat16[54:], "FAT16   ")
	fat16[510], fat16[511] = 0x55, 0xaa
	for want, head := range map[string][]byte{"exfat": exfat, "vfat": fat16, "ext4": ext4(), "": make([]byte, headSize)} {
		if got := kindOf(head); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// TestAStickIsMountedAndLeft mounts a real file system, where this may be done.
func TestAStickIsMountedAndLeft(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("it needs root to mount")
	}
	dir := t.TempDir()
	content, image := filepath.Join(dir, "content"), filepath.Join(dir, "image")
	if err := errors.Join(os.Mkdir(content, 0o755), os.WriteFile(filepath.Join(content, "a.update"), []byte("one"), 0o600), os.WriteFile(image, make([]byte, 4<<20), 0o600)); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mkfs.ext4", "-q", "-d", content, image).CombinedOutput(); err != nil {
		t.Skipf("%v\n%s", err, out)
	}
	loop, err := exec.Command("losetup", "-f", "--show", image).Output()
	if err != nil {
		t.Skip("no loop device: ", err)
	}
	device := strings.TrimSpace(string(loop))
	t.Cleanup(func() {
		if err := exec.Command("losetup", "-d", device).Run(); err != nil {
			t.Error(err)
		}
	})
	before, err := os.ReadFile(image)
	if err != nil {
		t.Fatal(err)
	}
	r := newRig(t)
	r.disk("sdb", "pci0/usb1/1-1", nil)
	if err := os.Symlink(device, filepath.Join(r.places.Dev, "sdb")); err != nil {
		t.Fatal(err)
	}
	r.places.Mount, r.places.Unmount = mount, func(at string) error { return unix.Unmount(at, 0) }
	found := 0
	err = r.places.Each(func(f File, in io.Reader) error {
		found++
		at, globErr := filepath.Glob(filepath.Join(r.places.At, "*"))
		if err := os.WriteFile(filepath.Join(at[0], "x"), nil, 0o600); !errors.Is(err, unix.EROFS) {
			t.Errorf("the stick may be written: %v", err)
		}
		return globErr
	})
	if errors.Is(err, unix.ENODEV) {
		t.Skip("this kernel has no ext4")
	}
	if after, readErr := os.ReadFile(image); err != nil || readErr != nil || found != 1 || string(after) != string(before) {
		t.Errorf("%d found, %v, %v; the same as before: %v", found, err, readErr, string(after) == string(before))
	}
}
