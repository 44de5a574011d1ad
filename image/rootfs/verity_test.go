package rootfs

import (
	"bytes"
	"encoding/hex"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// veritysetup makes the same tree and the same root hash.
func TestTreeIsTheOneThatTheKernelChecks(t *testing.T) {
	t.Parallel()
	tool, err := exec.LookPath("veritysetup")
	if err != nil {
		t.Skip("veritysetup is not installed: apt-get install cryptsetup-bin")
	}
	for name, size := range map[string]int{"two blocks": 5000, "one level": 50 * blockSize, "two levels": 1000*blockSize + 7, "three levels": 17000 * blockSize} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			ours, data, tree := filepath.Join(dir, "ours"), filepath.Join(dir, "data"), filepath.Join(dir, "tree")
			content := make([]byte, size)
			_, _ = rand.NewChaCha8([32]byte{byte(size)}).Read(content)
			if err := os.WriteFile(ours, content, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(data, pad(content), 0o600); err != nil {
				t.Fatal(err)
			}
			salt := bytes.Repeat([]byte{0xa5}, 32)
			v, err := AppendVerity(ours, salt)
			if err != nil {
				t.Fatal(err)
			}
			out, err := exec.Command(tool, "format", "--no-superblock", "--hash=sha256", "--data-block-size=4096", "--hash-block-size=4096",
				"--salt="+hex.EncodeToString(salt), data, tree).CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			if !strings.Contains(string(out), hex.EncodeToString(v.Root[:])) {
				t.Errorf("root hash %x, veritysetup says\n%s", v.Root, out)
			}
			got, err := os.ReadFile(ours)
			if err != nil {
				t.Fatal(err)
			}
			want, err := os.ReadFile(tree)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got[v.Blocks*blockSize:], want) {
				t.Errorf("%d bytes of tree, not the %d of veritysetup", len(got)-int(v.Blocks*blockSize), len(want))
			}
		})
	}
}
