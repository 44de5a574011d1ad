package admind

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/coraltele/sanchar/pkg/console/events"
)

func TestMemory(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]events.Memory{
		"MemTotal:         482964 kB\nMemFree:          10 kB\nMemAvailable:     282964 kB\n": {Used: 200_000 << 10, Total: 482964 << 10},
		"MemTotal: 10 kB\nMemAvailable: 20 kB\n":                                              {},
		"MemAvailable: 20 kB\n":                                                               {},
		"MemTotal: many kB\n":                                                                 {},
		"":                                                                                    {},
	} {
		path := filepath.Join(t.TempDir(), "meminfo")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := memoryOf(path); got != want || (err == nil) != (want.Total > 0) {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
	if m, err := memoryOf("/proc/meminfo"); err != nil || m.Used == 0 || m.Used >= m.Total {
		t.Errorf("of this machine: %+v, %v", m, err)
	}
}
