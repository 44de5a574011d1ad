// Package otherkernel runs a test binary under User-Mode Linux: a kernel that is a program, and has
// VLANs, bonds and queueing disciplines where that of the machine may have none.
package otherkernel

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The Debian package user-mode-linux has the kernel and its modules here.
const (
	program = "linux.uml"
	pkg     = "user-mode-linux"
	modules = "/usr/lib/uml/modules"
)

// Environment of the test binary when it is the first process of that kernel.
const (
	insideKey = "OTHERKERNEL_MODULES"
	argsKey   = "OTHERKERNEL_ARGS"
	folderKey = "OTHERKERNEL_DIR"
	passed    = "otherkernel: passed"
)

// patience is for the boot, 2 s, and for tests that are some ten times slower than elsewhere.
const patience = 3 * time.Minute

// Init does the work of the first process if this is one, and then never returns. TestMain calls it first.
func Init() {
	if os.Getpid() != 1 || os.Getenv(insideKey) == "" {
		return
	}
	if err := boot(); err != nil {
		fmt.Println("otherkernel:", err)
	} else {
		fmt.Println(passed)
	}
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF) // there is nobody to tell
	select {}
}

func boot() error {
	for fs, dir := range map[string]string{"proc": "/proc", "sysfs": "/sys", "tmpfs": "/run"} {
		if err := unix.Mount(fs, dir, fs, 0, ""); err != nil {
			return fmt.Errorf("mount %s: %w", dir, err)
		}
	}
	if err := load(strings.Split(os.Getenv(insideKey), ",")); err != nil {
		return err
	}
	cmd := exec.Command("/proc/self/exe", strings.Split(os.Getenv(argsKey), ",")...) //nolint:noctx // the kernel ends with it
	cmd.Dir = os.Getenv(folderKey)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "TMPDIR=/run", "HOME=/run", "NETLAB_INSIDE=yes"}
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	return cmd.Run()
}

// load loads modules with what they depend on.
func load(names []string) error {
	list, err := filepath.Glob(filepath.Join(modules, "*", "modules.dep"))
	if err != nil || len(list) == 0 {
		return fmt.Errorf("no modules in %s: %w", modules, err)
	}
	text, err := os.ReadFile(list[0])
	if err != nil {
		return err
	}
	needs, at := map[string][]string{}, map[string]string{}
	for line := range bytes.Lines(text) {
		file, deps, _ := strings.Cut(strings.TrimSpace(string(line)), ":")
		needs[file] = strings.Fields(deps)
		at[strings.ReplaceAll(strings.TrimSuffix(filepath.Base(file), ".ko"), "-", "_")] = file
	}
	loaded := map[string]bool{}
	var insert func(file string) error
	insert = func(file string) error {
		if loaded[file] {
			return nil
		}
		loaded[file] = true
		for _, dep := range slices.Backward(needs[file]) {
			if err := insert(dep); err != nil {
				return err
			}
		}
		return insertOne(filepath.Join(filepath.Dir(list[0]), file))
	}
	for _, name := range names {
		if file, ok := at[name]; ok {
			if err := insert(file); err != nil {
				return fmt.Errorf("load %s: %w", name, err)
			}
		}
	}
	return nil
}

func insertOne(file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	// These make links of their own when they are loaded, unless they are told not to.
	options := map[string]string{"bonding.ko": "max_bonds=0", "dummy.ko": "numdummies=0", "ifb.ko": "numifbs=0"}[filepath.Base(file)]
	err = unix.FinitModule(int(f.Fd()), options, 0)
	if errors.Is(err, unix.EEXIST) {
		return nil
	}
	return err
}

// Run runs the tests of this binary that match under the other kernel, with modules. It fails
// unless all of them passed.
func Run(t *testing.T, match string, modules ...string) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		t.Skipf("%s is not installed: apt-get install --no-install-recommends %s", program, pkg)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, "mem=512M", "rootfstype=hostfs", "rootflags=/", "ro", "init="+self, "con=null", "con0=null,fd:1", "quiet",
		"umid="+filepath.Base(t.TempDir())+fmt.Sprint(os.Getpid()),
		insideKey+"="+strings.Join(modules, ","), folderKey+"="+dir, argsKey+"=-test.v,-test.run="+match)
	cmd.Env = append(os.Environ(), "TMPDIR=/dev/shm")
	out, err := cmd.CombinedOutput()
	if !bytes.Contains(out, []byte(passed)) {
		t.Fatalf("under the other kernel (%v):\n%s", err, out)
	}
	lines := bufio.NewScanner(bytes.NewReader(out))
	for lines.Scan() {
		if strings.Contains(lines.Text(), "--- ") {
			t.Log(strings.TrimSpace(lines.Text()))
		}
	}
	if bytes.Contains(out, []byte("--- SKIP")) {
		t.Errorf("under the other kernel tests were skipped:\n%s", out)
	}
}
