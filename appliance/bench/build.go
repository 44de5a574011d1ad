package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/coraltele/sanchar/appliance/bench/peers"
)

// programs returns a folder with the box's programs, built as a release is but for symbols, which
// profiles need, and what removes it.
func programs(ctx context.Context, given string) (dir string, clean func(), err error) {
	if given != "" {
		return given, func() {}, nil
	}
	if dir, err = os.MkdirTemp("", "sanchar-bench-bin-"); err != nil {
		return "", nil, err
	}
	clean = func() { _ = os.RemoveAll(dir) } // of the temporary folder
	root, err := goCommand(ctx, "", "env", "GOMOD")
	if err == nil {
		args := []string{"build", "-trimpath", "-o", dir + "/"}
		for _, name := range append(peers.Daemons(), peers.Sanchar, "bench/relay") {
			args = append(args, "./appliance/"+name)
		}
		_, err = goCommand(ctx, filepath.Dir(strings.TrimSpace(root)), args...)
	}
	if err != nil {
		clean()
		return "", nil, err
	}
	return dir, clean, nil
}

func goCommand(ctx context.Context, dir string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, said.String())
	}
	return string(out), nil
}
