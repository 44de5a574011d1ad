package switchd

import (
	"context"
	"log/slog"
	"net/http"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/media/turn"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/testkit/sipside"
)

// fakeMedia is a mediad that only hears who may relay.
func fakeMedia(t *testing.T, dir string) <-chan ctl.MediaReach {
	t.Helper()
	sock, err := ctl.Listen(filepath.Join(dir, "run", "media.sock"))
	if err != nil {
		t.Fatal(err)
	}
	heard := make(chan ctl.MediaReach, 100)
	mux := http.NewServeMux()
	ctl.Handle(mux, "PUT /v1/reach", func(_ *http.Request, in ctl.MediaReach) (ctl.MediaReached, error) {
		heard <- in
		return ctl.MediaReached{}, nil
	})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- sock.Serve(ctx, mux, slog.New(slog.DiscardHandler)) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return heard
}

// until waits for mediad to hear what is wanted.
func until(t *testing.T, heard <-chan ctl.MediaReach, wanted func(ctl.MediaReach) bool) ctl.MediaReach {
	t.Helper()
	for {
		select {
		case in := <-heard:
			if wanted(in) {
				return in
			}
		case <-time.After(wait):
			t.Fatal("mediad was not told")
		}
	}
}

func TestClientsReachEachOther(t *testing.T) {
	dir := t.TempDir()
	b := start(t, dir, sipside.Domain)
	ctx := t.Context()
	alice := b.add("alice")
	if _, err := b.client.ReachCredentials(ctx, ctl.ReachRequest{User: alice.ID}); !problem.Is(err, problem.Unavailable) {
		t.Errorf("while it is off: %v", err)
	}
	heard := fakeMedia(t, dir)
	until(t, heard, func(in ctl.MediaReach) bool { return !in.STUN && len(in.Secret) == 0 })
	policy, err := b.client.MediaPolicy(ctx)
	if err != nil {
		t.Fatal(err)
	}
	change := ctl.MediaPolicyChange{Policy: policy.MediaPolicy, Was: policy.Revision.Number, Who: "test"}
	change.Policy.STUN = "perhaps"
	if _, err := b.client.SetMediaPolicy(ctx, change); !problem.Is(err, problem.Invalid) {
		t.Errorf("perhaps: %v", err)
	}
	change.Policy.STUN, change.Policy.TURN = ctl.On, ctl.On
	if _, err := b.client.SetMediaPolicy(ctx, change); err != nil {
		t.Fatal(err)
	}
	told := until(t, heard, func(in ctl.MediaReach) bool { return in.STUN })
	if told.Realm != sipside.Domain || len(told.Secret) < ctl.MinReachSecret {
		t.Fatalf("told realm %q and %d bytes", told.Realm, len(told.Secret))
	}
	got, err := b.client.ReachCredentials(ctx, ctl.ReachRequest{User: alice.ID, Seconds: 3600})
	if err != nil {
		t.Fatal(err)
	}
	name, password := turn.Issue(told.Secret, "alice", got.Until)
	if got.Username != name || got.Password != password || time.Until(got.Until) > time.Hour || !slices.Equal(got.URIs, []string{"turn:" + sipside.Domain + ":3478?transport=udp"}) {
		t.Errorf("credentials %+v", got)
	}
	if _, err := b.client.ReachCredentials(ctx, ctl.ReachRequest{User: "nobody"}); !problem.Is(err, problem.Missing) {
		t.Errorf("of nobody: %v", err)
	}
	// A restart has the same secret, and tells it again.
	b.stop()
	start(t, dir, "")
	if again := until(t, heard, func(in ctl.MediaReach) bool { return in.STUN }); string(again.Secret) != string(told.Secret) {
		t.Error("another secret after a restart")
	}
}
