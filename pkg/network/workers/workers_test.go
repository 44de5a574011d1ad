package workers

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestWorkersAreAsWanted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var said []string
		say := func(text string) {
			mu.Lock()
			defer mu.Unlock()
			said = append(said, text)
		}
		s := New(func(ctx context.Context, key, settings string) {
			say("+" + key + settings)
			<-ctx.Done()
			say("-" + key + settings)
		})
		heard := func(want string) {
			t.Helper()
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			slices.Sort(said)
			if got := strings.Join(said, " "); got != want {
				t.Errorf("workers said %q, want %q", got, want)
			}
			said = nil
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- s.Run(ctx) }()
		s.Want(map[string]string{"a": "1", "b": "1"})
		heard("+a1 +b1")
		s.Want(map[string]string{"a": "1", "b": "2", "c": "1"})
		heard("+b2 +c1 -b1")
		s.Want(nil)
		heard("-a1 -b2 -c1")
		s.Want(map[string]string{"a": "1"})
		heard("+a1")
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		heard("-a1")
	})
}
