package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/coraltele/sanchar/pkg/platform/ctl"
)

// console is the box's own screen and its serial port.
type console struct {
	version string

	mu  sync.Mutex // guards out
	out io.Writer
}

func openConsole() *console {
	if f, err := os.OpenFile("/dev/console", os.O_WRONLY, 0); err == nil {
		return &console{out: f}
	}
	return &console{out: os.Stderr}
}

func (c *console) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.out.Write(p)
}

// say shows a line of a daemon.
func (c *console) say(name, line string) { fmt.Fprintf(c, "%s: %s\n", name, line) }

// greetEvery is how often the box looks whether what it shows has changed.
const greetEvery = 5 * time.Second

// greet shows where the page is, and the code that the first person needs there.
func (c *console) greet(ctx context.Context) {
	admin := ctl.NewAdmin(filepath.Join(runDir, "admin.sock"))
	defer func() { _ = admin.Close() }()
	shown := ""
	for ctx.Err() == nil {
		if st, err := admin.Status(ctx); err == nil {
			code := setupCode(dataDir, filepath.Join(runDir, "safe"))
			if text := greeting(c.version, st, code); text != shown {
				fmt.Fprint(c, text)
				shown = text
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(greetEvery):
		}
	}
}

// setupCode returns the code that a page waits for, with its own data or without, "" if somebody has set
// the box up.
func setupCode(folders ...string) string {
	for _, f := range folders {
		if code, err := os.ReadFile(filepath.Join(f, "admin", "setup-code")); err == nil {
			return strings.TrimSpace(string(code))
		}
	}
	return ""
}

func greeting(version string, st ctl.AdminStatus, code string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n  Sanchar %s\n  Page:        %s\n", version, st.Page)
	if !st.SetUp && code != "" {
		fmt.Fprintf(&b, "  Set-up code: %s\n", code)
	}
	for _, a := range st.Alarms {
		fmt.Fprintf(&b, "  ! %s: %s\n", a.Text, a.Cure)
	}
	return b.String() + "\n"
}
