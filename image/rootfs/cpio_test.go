package rootfs

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

func TestArchiveUnpacks(t *testing.T) {
	t.Parallel()
	tool, err := exec.LookPath("cpio")
	if err != nil {
		t.Skip("cpio is not installed: apt-get install cpio")
	}
	files := map[string]File{
		"init":              {TypeFile | 0o755, []byte("#!")},
		"lib/modules/a.ko":  {TypeFile | 0o644, bytes.Repeat([]byte("m"), 10001)},
		"lib/modules/empty": {TypeFile | 0o644, nil},
		"bin":               {TypeLink | 0o777, []byte("lib/modules")},
	}
	var one, two bytes.Buffer
	if err := Cpio(&one, files); err != nil {
		t.Fatal(err)
	}
	if err := Cpio(&two, files); err != nil || !bytes.Equal(one.Bytes(), two.Bytes()) {
		t.Errorf("two archives of the same files are not equal, %v", err)
	}
	dir := t.TempDir()
	cmd := exec.Command(tool, "-i", "-d", "--quiet")
	cmd.Dir, cmd.Stdin = dir, &one
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for name, f := range files {
		st, err := os.Lstat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if f.Mode&0o170000 == TypeLink {
			if to, err := os.Readlink(filepath.Join(dir, name)); err != nil || to != string(f.Data) {
				t.Errorf("%s leads to %q, %v", name, to, err)
			}
			continue
		}
		if data, err := os.ReadFile(filepath.Join(dir, name)); err != nil || !bytes.Equal(data, f.Data) || uint32(st.Mode().Perm()) != f.Mode&0o777 {
			t.Errorf("%s: %d bytes of mode %v, %v", name, len(data), st.Mode(), err)
		}
	}
}
