package boxtest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/coraltele/sanchar/pkg/testkit/netlab"
)

// BinKey names the variable with the folder of the product's programs. Without it they are built.
const BinKey = "SANCHAR_BIN"

// Main builds the product's programs and runs the tests in namespaces of their own; it is what a
// TestMain calls. Inside the namespaces it runs check after the tests that passed.
func Main(m *testing.M, check func() error) {
	remove, err := build()
	if err != nil {
		fmt.Fprintln(os.Stderr, "build the programs:", err)
		os.Exit(1)
	}
	code, entered := netlab.Enter()
	if !entered {
		code = m.Run()
		if err := check(); code == 0 && err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	remove()
	os.Exit(code)
}

// build makes the programs, once: inside the namespaces they are there already.
func build() (remove func(), err error) {
	if os.Getenv(BinKey) != "" {
		return func() {}, nil
	}
	root, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return nil, err
	}
	home, err := os.MkdirTemp("", "box")
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(home, "bin")
	args := []string{"build", "-o", dir + "/"}
	for _, program := range append(Daemons(), "sanchar") {
		args = append(args, "./appliance/"+program)
	}
	cmd := exec.Command("go", args...)
	cmd.Dir = strings.TrimSpace(string(root))
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	remove = func() { _ = os.RemoveAll(home) } // in the temporary folder: no harm if it stays
	// What parties hear stands beside the programs, as "make prompts" has made it.
	err = errors.Join(os.Mkdir(dir, 0o755), os.Symlink(filepath.Join(cmd.Dir, "build", "share"), filepath.Join(home, "share")))
	if err = errors.Join(err, cmd.Run()); err != nil {
		remove()
		return nil, err
	}
	return remove, os.Setenv(BinKey, dir)
}

// Daemons returns the names of the box's daemons.
func Daemons() []string { return []string{"switchd", "mediad", "admind", "netd"} }

// CopyPrograms copies the product's programs to a folder, for a box whose programs can be taken away.
func CopyPrograms(t testing.TB, dir string) {
	t.Helper()
	if err := os.CopyFS(dir, os.DirFS(os.Getenv(BinKey))); err != nil {
		t.Fatal(err)
	}
}
