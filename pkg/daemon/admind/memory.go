package admind

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/coraltele/sanchar/pkg/console/events"
)

// memoryOf reads how much memory the machine has, and how much of it nobody could get without swapping
// (proc_meminfo(5)).
func memoryOf(path string) (m events.Memory, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return m, err
	}
	size := func(name string) (bytes uint64) {
		for line := range strings.Lines(string(text)) {
			f := strings.Fields(line)
			if len(f) != 3 || f[0] != name+":" || f[2] != "kB" {
				continue
			}
			if n, err := strconv.ParseUint(f[1], 10, 54); err == nil {
				return n << 10
			}
		}
		return 0
	}
	total, available := size("MemTotal"), size("MemAvailable")
	if total == 0 || available > total {
		return m, fmt.Errorf("%s: MemTotal %d, MemAvailable %d bytes", path, total, available)
	}
	return events.Memory{Used: total - available, Total: total}, nil
}
