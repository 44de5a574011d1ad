package store

import (
	"bufio"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/coraltele/sanchar/pkg/platform/copies"
)

// killKey names the file that a program works on which is this test binary, started again to be killed.
const killKey = "STORE_TEST_KILL"

func TestMain(m *testing.M) {
	if path := os.Getenv(killKey); path != "" {
		if err := comeAndGo(path); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(onTrial(m.Run))
}

// onTrial runs tests as a version on trial.
func onTrial(run func() int) int {
	f, err := os.CreateTemp("", "trial-")
	if err == nil {
		err = errors.Join(f.Close(), os.Setenv(copies.Env, f.Name()))
	}
	if err != nil {
		panic(err)
	}
	defer os.Remove(f.Name())
	return run()
}

// comeAndGo lets a newer version come and go for ever. What the version that stays has written is told of
// once it is on disk.
func comeAndGo(path string) error {
	for n := uint64(1); ; n++ {
		for i, who := range [...]string{"own", "trial"} {
			key := fmt.Sprintf("%s-%d", who, n)
			db, err := Open(path, version(i+1))
			if err != nil {
				return err
			}
			if err := db.Update(func(tx *bbolt.Tx) error { return Put(tx.Bucket([]byte("users")), key, true) }); err != nil {
				return err
			}
			if err := db.Close(); err != nil {
				return err
			}
			if i == 0 {
				fmt.Println(key)
			}
		}
	}
}

func TestNothingOfTheVersionThatStaysIsLostToAKill(t *testing.T) {
	t.Parallel()
	const kills = 12
	for range kills {
		path := filepath.Join(t.TempDir(), "state.db")
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), killKey+"="+path)
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		var told []string
		lines := bufio.NewScanner(out)
		for left := 2 + rand.IntN(10); lines.Scan(); left-- {
			told = append(told, lines.Text())
			if left == 0 {
				time.AfterFunc(time.Duration(rand.IntN(20))*time.Millisecond, func() { _ = cmd.Process.Kill() }) // it runs for ever
			}
		}
		_ = cmd.Wait() // it was killed
		found := map[string]bool{}
		for _, u := range strings.Fields(users(t, path, version(1))) {
			found[u] = true
		}
		for _, u := range told {
			if !found[u] {
				t.Errorf("%s of %d is lost; beside the file: %s", u, len(told), beside(t, path))
			}
		}
		if len(told) < 2 {
			t.Error("it did nothing")
		}
	}
}
