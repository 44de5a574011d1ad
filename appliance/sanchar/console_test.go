package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// stuck is a terminal that takes nothing until it is released.
type stuck struct {
	release chan struct{}
	text    bytes.Buffer
}

func (s *stuck) Write(p []byte) (int, error) {
	<-s.release
	return s.text.Write(p)
}

func TestATerminalThatStandsStillHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	w := &stuck{release: make(chan struct{})}
	path := filepath.Join(t.TempDir(), "log", "x.log")
	con, err := openConsole(w, path)
	if err != nil {
		t.Fatal(err)
	}
	const said = maxWaiting + 100
	for range said {
		con.say("mediad", "a line") // must not wait
	}
	close(w.release)
	if err := con.close(); err != nil {
		t.Fatal(err)
	}
	lost := 0
	if _, rest, ok := strings.Cut(w.text.String(), "sanchar | "); ok {
		if _, err := fmt.Sscanf(rest, "%d lines lost", &lost); err != nil {
			t.Error(err)
		}
	}
	if got := strings.Count(w.text.String(), "a line"); got+lost != said || lost < 90 {
		t.Errorf("%d lines written and %d lost, of %d", got, lost, said)
	}
	if data, err := os.ReadFile(path); err != nil || string(data) != w.text.String() {
		t.Errorf("the file differs from the terminal: %v", err)
	}
}

func TestTheLogDoesNotGrowForEver(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "x.log")
	con, err := openConsole(io.Discard, path)
	if err != nil {
		t.Fatal(err)
	}
	line := strings.Repeat("x", 64<<10)
	for i := range 3 * maxLogBytes / len(line) {
		con.say("switchd", line)
		for i%1000 == 0 && len(con.lines) > 500 {
			time.Sleep(time.Millisecond)
		}
	}
	if err := con.close(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{path, path + ".old"} {
		if st, err := os.Stat(name); err != nil || st.Size() > maxLogBytes || st.Size() == 0 {
			t.Errorf("%s: %v, %v", name, st.Size(), err)
		}
	}
}
