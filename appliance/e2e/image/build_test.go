package image

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// root of the source tree, from the folder that tests run in.
const root = "../../.."

// long skips a test that takes many minutes unless it was asked for.
func long(t *testing.T) {
	t.Helper()
	if os.Getenv("SANCHAR_IMAGE") != "long" {
		t.Skip("it takes many minutes: SANCHAR_IMAGE=long, or make image-test")
	}
}

// tools skips a test whose programs are not installed, unless the long set was asked for: then they
// must be there.
func tools(t *testing.T, names ...string) {
	t.Helper()
	for _, n := range names {
		_, err := exec.LookPath(n)
		switch {
		case err == nil:
		case os.Getenv("SANCHAR_IMAGE") == "long":
			t.Fatalf("%s is missing: make image-deps", n)
		default:
			t.Skipf("%s is not installed: make image-deps", n)
		}
	}
}

// made is what the builder has written.
type made struct{ image, update, installer string }

// build makes the image and the update of a version.
func build(t *testing.T, board, version string, more ...string) made {
	t.Helper()
	dir := t.TempDir()
	args := append([]string{"run", "./image/build", "-board", board, "-version", version, "-out", dir}, more...)
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Dir = root
	if out, err := outside(cmd).CombinedOutput(); err != nil {
		t.Fatalf("build %s %s: %v\n%s", board, version, err, out)
	}
	base := filepath.Join(dir, "sanchar-"+board+"-"+version)
	return made{base + ".img", base + ".update", base + "-installer.img"}
}

func sum(t *testing.T, path string) string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	h := sha256.New()
	if _, err := io.Copy(h, f); errors.Join(err, f.Close()) != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(h.Sum(nil))
}

func TestTwoBuildsAreTheSame(t *testing.T) {
	long(t)
	tools(t, "mksquashfs", "mkfs.vfat", "mcopy")
	for _, board := range []string{"qemu", "rpi4"} {
		t.Run(board, func(t *testing.T) { sameTwice(t, board) })
	}
}

func sameTwice(t *testing.T, board string) {
	t.Helper()
	first, second := build(t, board, "0.1.0"), build(t, board, "0.1.0")
	if sum(t, first.image) != sum(t, second.image) {
		t.Error("the images of two builds differ")
	}
	if sum(t, first.update) != sum(t, second.update) {
		t.Error("the updates of two builds differ")
	}
	if sum(t, first.installer) != sum(t, second.installer) {
		t.Error("the installers of two builds differ")
	}
}
