package main

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/zstd"

	"github.com/coraltele/sanchar/board"
	"github.com/coraltele/sanchar/image/kernel"
	"github.com/coraltele/sanchar/image/rootfs"
	"github.com/coraltele/sanchar/pkg/firmware/layout"
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
	return errors.Join(b.image(), b.bundle(), b.installer(modules))
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
	for _, p := range append(daemons(), "init", "stage1", "installer") {
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
	return b.memory(m, append(append([]string(nil), b.kind.Boot...), b.kind.Watchdog...), map[string]string{
		"init": "bin/stage1", "e2fsck": "deb/sbin/e2fsck.static", "data.img.gz": "data.img.gz",
	})
}

// memory makes a memory disk of modules with all that they need, and of files, of which "init" runs.
func (b *builder) memory(m *kernel.Modules, modules []string, from map[string]string) ([]byte, error) {
	closure, err := m.Closure(modules)
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
	for name, path := range from {
		if files[name], err = b.read(b.path(path), 0o755); err != nil {
			return nil, err
		}
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
	if err := b.addSounds(files); err != nil {
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
		if st.Size() > layout.RootMB*layout.MB {
			err = errors.Join(err, fmt.Errorf("the root is larger than its partition of %d MB", layout.RootMB))
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

// addSounds adds what parties hear. mediad finds it beside the programs.
func (b *builder) addSounds(files map[string]rootfs.File) error {
	if _, err := os.Stat(b.sounds); errors.Is(err, os.ErrNotExist) {
		b.say("there are no spoken texts in %s: the box will have tones only (make prompts)", b.sounds)
		return nil
	}
	return filepath.WalkDir(b.sounds, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		rel, err := filepath.Rel(b.sounds, path)
		if err == nil {
			files[filepath.Join("share/sounds", rel)], err = b.read(path, 0o644)
		}
		return err
	})
}
