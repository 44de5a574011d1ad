// Command build makes the image of a board: what is flashed to its disk.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"github.com/coraltele/sanchar/board"
	"github.com/coraltele/sanchar/pkg/firmware/layout"
	"github.com/coraltele/sanchar/pkg/firmware/manifest"
)

func main() {
	var o options
	flag.StringVar(&o.board, "board", "x86", "kind of box: "+strings.Join(board.Names(), ", "))
	flag.StringVar(&o.version, "version", "0.0.0-dev", "of the image; releases are told apart by it")
	flag.StringVar(&o.out, "out", "build/image", "folder for the image")
	flag.StringVar(&o.cache, "cache", "build/cache", "folder that keeps fetched packages")
	flag.StringVar(&o.minVersion, "min-version", "0.0.0", "no older version may follow this one")
	flag.StringVar(&o.keys, "keys", "build/keys", "folder of the keys of updates; without any, keys for development are made")
	flag.StringVar(&o.sounds, "sounds", "build/share/sounds", "folder of the spoken texts and the hold music; without it there are tones only")
	flag.Func("replace", "PATH=FILE puts a file in the place of one of the root, PATH= leaves it out; such an image is for tests", o.replace)
	flag.StringVar(&o.unsigned, "unsigned", "", "make no image: join this update with the signature of its manifest")
	flag.StringVar(&o.signature, "signature", "", "file of the signature, as minisign writes it")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	do := func() error { return build(ctx, o) }
	if o.unsigned != "" {
		do = func() error { return sign(o) }
	}
	if err := do(); err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}

type options struct {
	board, version, minVersion, out, cache, keys, sounds string

	unsigned, signature string

	replaced map[string]string // path in the root -> file; "" leaves it out
}

// replace takes PATH=FILE.
func (o *options) replace(text string) error {
	path, file, ok := strings.Cut(text, "=")
	if !ok || path == "" {
		return fmt.Errorf("%q is not PATH=FILE", text)
	}
	if o.replaced == nil {
		o.replaced = map[string]string{}
	}
	o.replaced[path] = file
	return nil
}

// builder makes one image.
type builder struct {
	options
	ctx    context.Context
	kind   board.Board
	layout layout.Layout
	work   string    // folder of what is between
	at     time.Time // of all files: two builds are equal
	sign   keys
}

// epoch is the time of all files in an image, unless SOURCE_DATE_EPOCH says another.
const epoch = 1_767_225_600 // 2026-01-01

func build(ctx context.Context, o options) (err error) {
	b := &builder{options: o, ctx: ctx, at: time.Unix(epoch, 0)}
	if b.kind, err = board.Get(o.board); err != nil {
		return err
	}
	if b.layout, err = layout.Of(b.kind.Firmware); err != nil {
		return err
	}
	if err := tools(); err != nil {
		return err
	}
	if !manifest.Valid(o.version) || !manifest.Valid(o.minVersion) {
		return fmt.Errorf("version %s, least %s: both are to be as 1.4.2 or 1.4.2-rc1", o.version, o.minVersion)
	}
	if b.sign, err = loadKeys(o.keys); err != nil {
		return err
	}
	if err := errors.Join(os.MkdirAll(o.out, 0o755), os.MkdirAll(o.cache, 0o755)); err != nil {
		return err
	}
	if b.work, err = os.MkdirTemp(o.out, "work-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.work)) }()
	return b.run()
}

// tools says which of Debian's tools are missing, all at once.
func tools() error {
	var missing []string
	for tool, pack := range map[string]string{
		"mksquashfs": "squashfs-tools", "mkfs.vfat": "dosfstools", "mcopy": "mtools", "mkfs.ext4": "e2fsprogs", "depmod": "kmod", "dpkg-deb": "dpkg",
	} {
		if _, err := exec.LookPath(tool); err != nil {
			missing = append(missing, pack)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("packages are missing: apt-get install %s", strings.Join(missing, " "))
	}
	return nil
}

func (b *builder) path(name ...string) string {
	return filepath.Join(append([]string{b.work}, name...)...)
}

func (b *builder) say(format string, args ...any) { fmt.Printf("image: "+format+"\n", args...) }
