package kernel

import (
	"strings"
	"testing"
)

func TestClosureIsInAnOrderThatLoads(t *testing.T) {
	t.Parallel()
	m := &Modules{path: map[string]string{}, needs: map[string][]string{}, soft: map[string][]string{}, alias: map[string][]string{}, builtin: map[string]bool{}}
	for _, l := range []string{
		"kernel/fs/ext4/ext4.ko: kernel/fs/jbd2/jbd2.ko kernel/fs/mbcache.ko", "kernel/fs/jbd2/jbd2.ko:", "kernel/fs/mbcache.ko:",
		"kernel/crypto/crc32c_generic.ko:", "kernel/a-b.ko: kernel/c.ko kernel/d.ko", "kernel/c.ko: kernel/d.ko", "kernel/d.ko:",
	} {
		m.takeDep(l)
	}
	m.takeSoft("softdep ext4 pre: crypto-crc32c post: nothing")
	m.takeAlias("alias crypto-crc32c crc32c_generic")
	m.builtin["sch_fq_codel"] = true
	files, err := m.Closure([]string{"ext4", "a_b", "sch_fq_codel", "ext4"})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range files {
		names = append(names, nameOf(f))
	}
	if got := strings.Join(names, " "); got != "crc32c_generic mbcache jbd2 ext4 d c a_b" {
		t.Errorf("%s", got)
	}
	if _, err := m.Closure([]string{"nowhere", "ext4"}); err == nil || !strings.Contains(err.Error(), "nowhere") {
		t.Errorf("%v", err)
	}
}
