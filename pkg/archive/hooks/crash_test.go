package hooks

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/record"
)

// childDir makes the test binary the process that is killed.
const childDir = "HOOKS_TEST_DIR"

// child is archive and hooks of a folder: it makes the hook that the folder asks for, then stores
// messages and says so after each answer.
func child(dir string) {
	a, e, err := open(dir)
	if err != nil {
		panic(err)
	}
	go func() { _ = a.Run(context.Background()) }()
	go func() { _ = e.Run(context.Background()) }()
	if list, err := e.List(context.Background()); err != nil || len(list) == 0 {
		var s ctl.HookSpec
		data, err := os.ReadFile(filepath.Join(dir, "spec.json"))
		if err == nil {
			err = json.Unmarshal(data, &s)
		}
		if err != nil {
			panic(err)
		}
		_, secret, err := e.Add(context.Background(), s, "Owner")
		if err != nil {
			panic(err)
		}
		fmt.Println("secret", secret)
	}
	for {
		m := message("asha", "vikram", "text")
		if _, err := a.Store(context.Background(), []record.Envelope{envelope(m)}); err != nil {
			panic(err)
		}
		fmt.Println("stored", m.ID)
	}
}

// TestKilledAtAnyMomentNothingIsLost kills archive and hooks again and again while messages come and
// the target fails now and then: each message that was acknowledged comes to the target, in order, and
// what comes twice has the same id.
func TestKilledAtAnyMomentNothingIsLost(t *testing.T) {
	t.Parallel()
	g := newTarget(t)
	dir := t.TempDir()
	data, err := json.Marshal(g.spec("CRM"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "spec.json"), data, 0o600); err != nil {
		t.Fatal(err)
	}
	g.set(func() { g.secrets = []string{"whsec_"} })
	var acked []string
	for range 6 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), childDir+"="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		life := 20 + rand.IntN(80)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			var word, value string
			if n, _ := fmt.Sscan(lines.Text(), &word, &value); n != 2 {
				continue // the blow fell within a line
			}
			if word == "secret" {
				g.set(func() { g.secrets = []string{value} })
			} else if len(value) == 26 {
				acked = append(acked, value)
			}
			if life--; life == 0 {
				time.AfterFunc(rand.N(20*time.Millisecond), func() { _ = cmd.Process.Kill() })
			}
		}
		_ = cmd.Wait() // killed, as planned
	}
	r := &rig{t: t, dir: dir}
	r.run()
	t.Cleanup(func() { r.stop() })
	list, err := r.hooks.List(t.Context())
	if err != nil || len(list) != 1 {
		t.Fatalf("%+v %v", list, err)
	}
	r.health(list[0].ID, func(h *ctl.HookHealth) bool { return h.Waiting == 0 })
	g.mu.Lock()
	defer g.mu.Unlock()
	ids, again := map[string]string{}, 0
	var order []string
	for _, d := range g.got {
		switch id, known := ids[d.id]; {
		case !known:
			ids[d.id] = d.Data.Message.ID
			order = append(order, d.Data.Message.ID)
		case id != d.Data.Message.ID:
			t.Fatalf("%s names two messages", d.id)
		default:
			again++
		}
	}
	i := 0
	for _, id := range order { // what was not acknowledged any more may come in between
		if i < len(acked) && acked[i] == id {
			i++
		}
	}
	if i != len(acked) || len(acked) < 100 {
		t.Errorf("%d of %d acknowledged messages came in order, of %d", i, len(acked), len(order))
	}
	t.Logf("%d messages, %d came again", len(order), again)
}
