package main

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/zstd"

	"github.com/coraltele/sanchar/board"
	"github.com/coraltele/sanchar/image/disk"
	"github.com/coraltele/sanchar/image/kernel"
	"github.com/coraltele/sanchar/image/rootfs"
)

// Identifiers of file systems: of the product, not of a box.
const (
	dataUUID     = "7b1c0d52-53a4-4a3e-8e0c-53414e430004"
	identityUUID = "7b1c0d52-53a4-4a3e-8e0c-53414e430005"
	dataMB       = 128 // as flashed; it grows to the disk at the first start
)

// run makes the parts, then the image.
func (b *builder) run() error {
	modules, err := b.unpack()
	if err != nil {
		return err
	}
	if err := b.programs(); err != nil {
		return err
	}
	if err := b.data(); err != nil {
		return err
	}
	initrd, err := b.initrd(modules)
	if err != nil {
		return err
	}
	verity, err := b.root(modules)
	if err != nil {
		return err
	}
	if err := b.boot(initrd, verity); err != nil {
		return err
	}
	return errors.Join(b.image(), b.bundle())
}

// unpack fetches the packages and unpacks them.
func (b *builder) unpack() (*kernel.Modules, error) {
	for _, p := range []board.Package{b.kind.Kernel.Package, b.kind.Loader, b.kind.Checker} {
		deb, err := kernel.Fetch(b.ctx, p, b.kind.Arch, b.cache)
		if err != nil {
			return nil, err
		}
		if err := kernel.Unpack(b.ctx, deb, b.path("deb")); err != nil {
			return nil, err
		}
	}
	return kernel.Read(b.ctx, b.path("deb"), b.kind.Kernel.Release)
}

// daemons and other programs of the image.
func daemons() []string { return []string{"switchd", "mediad", "admind", "netd", "sanchar"} }

func (b *builder) programs() error {
	cmd := exec.CommandContext(b.ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w -buildid= -X main.version="+b.version, "-o", b.path("bin")+"/")
	for _, p := range append(daemons(), "init", "stage1") {
		cmd.Args = append(cmd.Args, "./appliance/"+p)
	}
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+b.kind.Arch)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build the programs: %w\n%s", err, out)
	}
	return nil
}

func (b *builder) read(from string, mode uint32) (rootfs.File, error) {
	data, err := os.ReadFile(from)
	return rootfs.File{Mode: rootfs.TypeFile | mode, Data: data}, err
}

// initrd is the memory disk: stage1, the modules that the root needs, and e2fsck.
func (b *builder) initrd(m *kernel.Modules) ([]byte, error) {
	closure, err := m.Closure(append(append([]string(nil), b.kind.Boot...), b.kind.Watchdog...))
	if err != nil {
		return nil, err
	}
	files := map[string]rootfs.File{}
	var list strings.Builder
	for _, f := range closure {
		at := filepath.Join("lib/modules", b.kind.Kernel.Release, f)
		if files[at], err = b.read(filepath.Join(m.Dir, f), 0o644); err != nil {
			return nil, err
		}
		list.WriteString("/" + at + "\n")
	}
	files["modules"] = rootfs.File{Mode: rootfs.TypeFile | 0o644, Data: []byte(list.String())}
	if files["init"], err = b.read(b.path("bin", "stage1"), 0o755); err != nil {
		return nil, err
	}
	if files["e2fsck"], err = b.read(b.path("deb", "sbin/e2fsck.static"), 0o755); err != nil {
		return nil, err
	}
	if files["data.img.gz"], err = b.read(b.path("data.img.gz"), 0o644); err != nil {
		return nil, err
	}
	b.say("memory disk: %d modules", len(closure))
	var plain bytes.Buffer
	if err := rootfs.Cpio(&plain, files); err != nil {
		return nil, err
	}
	w, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedBestCompression), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return nil, err
	}
	return w.EncodeAll(plain.Bytes(), nil), w.Close()
}

// root makes the root file system with its tree of hashes, and returns what verifies it.
func (b *builder) root(m *kernel.Modules) (v rootfs.Verity, err error) {
	files := map[string]rootfs.File{
		"etc/hostname": {Mode: rootfs.TypeFile | 0o644, Data: []byte("sanchar")},
		"etc/hosts":    {Mode: rootfs.TypeFile | 0o644, Data: []byte("127.0.0.1 localhost\n::1 localhost\n")},
		"etc/version":  {Mode: rootfs.TypeFile | 0o644, Data: []byte(b.version + "\n")},
		"etc/board":    {Mode: rootfs.TypeFile | 0o644, Data: []byte(b.board + "\n")},
		"var":          {Mode: rootfs.TypeLink | 0o777, Data: []byte("/perm/var")},
		// The name servers are netd's to say, in memory.
		"etc/resolv.conf": {Mode: rootfs.TypeLink | 0o777, Data: []byte("/run/resolv.conf")},
	}
	bill, err := b.bill()
	if err != nil {
		return v, err
	}
	files["etc/sbom.json"] = rootfs.File{Mode: rootfs.TypeFile | 0o644, Data: bill}
	files["etc/update-keys"] = rootfs.File{Mode: rootfs.TypeFile | 0o644, Data: []byte(b.sign.trusted)}
	for _, d := range []string{"bin", "dev", "proc", "sys", "tmp", "perm", "identity", "run", "mnt", "boot", "user"} {
		files[d] = rootfs.File{Mode: rootfs.TypeDir | 0o755}
	}
	for _, p := range daemons() {
		if files["user/"+p], err = b.read(b.path("bin", p), 0o755); err != nil {
			return v, err
		}
	}
	if files["gokrazy/init"], err = b.read(b.path("bin", "init"), 0o755); err != nil {
		return v, err
	}
	if err := b.addModules(m, files); err != nil {
		return v, err
	}
	for path, from := range b.replaced {
		if delete(files, path); from == "" {
			continue
		}
		if files[path], err = b.read(from, 0o755); err != nil {
			return v, err
		}
	}
	if err := rootfs.Write(b.path("root"), files); err != nil {
		return v, err
	}
	if err := rootfs.Squash(b.ctx, b.path("root"), b.path("root.img"), b.at.Unix()); err != nil {
		return v, err
	}
	salt := sha256.Sum256([]byte("sanchar root " + b.version + " " + b.board)) // it need not be secret, only the same in two builds
	v, err = rootfs.AppendVerity(b.path("root.img"), salt[:])
	if st, statErr := os.Stat(b.path("root.img")); statErr == nil {
		b.say("root: %.1f MB", float64(st.Size())/1e6)
		if st.Size() > disk.RootMB<<20 {
			err = errors.Join(err, fmt.Errorf("the root is larger than its partition of %d MB", disk.RootMB))
		}
	}
	return v, err
}

// addModules adds the modules that are loaded when the root is there, and the tables that match
// hardware with modules.
func (b *builder) addModules(m *kernel.Modules, files map[string]rootfs.File) (err error) {
	var all []string
	for _, list := range [][]string{b.kind.Boot, b.kind.Later, b.kind.Hardware, b.kind.Watchdog, {"softdog"}} {
		all = append(all, list...)
	}
	closure, err := m.Closure(all)
	if err != nil {
		return err
	}
	dir := filepath.Join("lib/modules", b.kind.Kernel.Release)
	for _, f := range append(closure, "modules.dep", "modules.softdep", "modules.alias", "modules.builtin") {
		if files[filepath.Join(dir, f)], err = b.read(filepath.Join(m.Dir, f), 0o644); err != nil {
			return err
		}
	}
	later, err := m.Closure(b.kind.Later)
	if err != nil {
		return err
	}
	var list strings.Builder
	for _, f := range later {
		list.WriteString("/" + filepath.Join(dir, f) + "\n")
	}
	files["etc/modules"] = rootfs.File{Mode: rootfs.TypeFile | 0o644, Data: []byte(list.String())}
	b.say("root: %d modules", len(closure))
	return nil
}

// boot makes the boot partition: systemd-boot and a unified kernel image for slot A. The one for slot
// B goes with the update.
func (b *builder) boot(initrd []byte, v rootfs.Verity) error {
	efi := map[string]string{"amd64": "x64", "arm64": "aa64"}[b.kind.Arch]
	stub, err := os.ReadFile(b.path("deb/usr/lib/systemd/boot/efi/linux" + efi + ".efi.stub"))
	if err != nil {
		return err
	}
	vmlinuz, err := os.ReadFile(b.path("deb/boot/vmlinuz-" + b.kind.Kernel.Release))
	if err != nil {
		return err
	}
	for slot, number := range map[string]int{"a": 1, "b": 2} {
		image, err := disk.UKI(stub, []disk.Section{
			{Name: ".osrel", Data: []byte("ID=sanchar\nPRETTY_NAME=\"Sanchar " + b.version + " (" + slot + ")\"\nVERSION_ID=" + b.version + "\n")},
			{Name: ".cmdline", Data: []byte(b.commandLine(number, v))},
			{Name: ".initrd", Data: initrd},
			{Name: ".linux", Data: vmlinuz},
		})
		if err != nil {
			return err
		}
		if err := os.WriteFile(b.path("uki-"+slot), image, 0o644); err != nil {
			return err
		}
	}
	return errors.Join(
		b.place("esp/EFI/BOOT/BOOT"+strings.ToUpper(efi)+".EFI", "deb/usr/lib/systemd/boot/efi/systemd-boot"+efi+".efi"),
		b.place("esp/EFI/Linux/sanchar-"+b.version+"-a.efi", "uki-a"),
		rootfs.Write(b.path("esp"), map[string]rootfs.File{"loader/loader.conf": {Mode: rootfs.TypeFile | 0o644, Data: []byte("timeout 0\neditor no\n")}}),
		disk.Boot(b.ctx, b.path("esp"), b.path("boot.img"), b.at),
	)
}

func (b *builder) place(at, from string) error {
	data, err := os.ReadFile(b.path(from))
	if err != nil {
		return err
	}
	return errors.Join(os.MkdirAll(filepath.Dir(b.path(at)), 0o755), os.WriteFile(b.path(at), data, 0o644))
}

// commandLine is the kernel's: what stage1 and the init must know, and what a fault does.
func (b *builder) commandLine(slot int, v rootfs.Verity) string {
	line := []string{
		fmt.Sprintf("root=PARTUUID=%s/PARTNROFF=%d", disk.BootGUID, slot),
		fmt.Sprintf("sanchar.verity=%s,%s,%d", hex.EncodeToString(v.Root[:]), hex.EncodeToString(v.Salt), v.Blocks),
		"panic=10", "oops=panic", "quiet", "loglevel=4",
	}
	for _, c := range b.kind.Console {
		line = append(line, "console="+c)
	}
	return strings.Join(line, " ")
}

// data makes the data partition, the identity partition, and the former once more, packed: a factory
// reset begins with it.
func (b *builder) data() error {
	if err := errors.Join(
		disk.Ext4(b.ctx, b.path("data.img"), "data", dataUUID, dataMB, b.at),
		disk.Ext4(b.ctx, b.path("identity.img"), "identity", identityUUID, 16, b.at),
	); err != nil {
		return err
	}
	plain, err := os.ReadFile(b.path("data.img"))
	if err != nil {
		return err
	}
	var packed bytes.Buffer
	w, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err != nil {
		return err
	}
	_, err = w.Write(plain)
	return errors.Join(err, w.Close(), os.WriteFile(b.path("data.img.gz"), packed.Bytes(), 0o644))
}

func (b *builder) image() error {
	path := filepath.Join(b.out, "sanchar-"+b.board+"-"+b.version+".img")
	if err := disk.Write(path, disk.Parts{
		Boot: b.path("boot.img"), RootA: b.path("root.img"), Data: b.path("data.img"), Identity: b.path("identity.img"), DataMB: dataMB,
	}); err != nil {
		return err
	}
	b.say("%s", path)
	return nil
}
