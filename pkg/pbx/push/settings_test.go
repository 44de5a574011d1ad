package push

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/platform/seal"
	"github.com/coraltele/sanchar/pkg/sip/pn"
)

func TestSettingsAreKeptSealedAndTellNoSecret(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	key, err := seal.Load(filepath.Join(dir, "seal.key"), false, nil)
	if err != nil {
		t.Fatal(err)
	}
	appleKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	open := func() (*Settings, *Pusher) {
		p := New(Config{Log: slog.New(slog.DiscardHandler)})
		s, err := OpenSettings(dir, key, p)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Close)
		return s, p
	}
	s, p := open()
	if s.Load() != (ctl.PushSettings{}) || len(p.senders) != 0 {
		t.Errorf("%+v", s.Load())
	}
	secret := string(pemOf(t, appleKey))
	bad := ctl.PushSettings{Hook: "ftp://x", APNS: ctl.PushKey{Secret: "x", KeyID: "1", Team: "2"}, FCM: ctl.PushKey{Secret: "{}"}}
	err = s.Save(bad)
	var paths []string
	for _, f := range problem.Of(err).Faults {
		paths = append(paths, f.Path)
	}
	if len(paths) != 5 || paths[0] != "hook" || paths[1] != "apns.key" || paths[4] != "fcm.account" || s.Load() != (ctl.PushSettings{}) {
		t.Errorf("%v %v", err, paths)
	}
	if err := s.Save(ctl.PushSettings{Hook: "https://push.example/?t=$token", APNS: ctl.PushKey{Secret: secret, KeyID: "KEY1234567", Team: "TEAM123456"}}); err != nil {
		t.Fatal(err)
	}
	shown := s.Load()
	if shown.APNS.Secret != "" || !shown.APNS.Set || shown.FCM.Set || len(p.senders) != 3 {
		t.Errorf("%+v", shown)
	}
	raw, err := os.ReadFile(filepath.Join(dir, settingsFile))
	if err != nil || bytes.Contains(raw, []byte("KEY1234567")) || bytes.Contains(raw, []byte("push.example")) {
		t.Errorf("%s %v", raw, err)
	}
	shown.APNS.Team = "TEAM654321"
	if err := s.Save(shown); err != nil { // without the secret: it stays
		t.Fatal(err)
	}
	s, p = open()
	if got := s.Load(); got != shown || p.senders[pn.APNSDev] == nil || p.senders[pn.FCM] != nil {
		t.Errorf("%+v after a restart, want %+v", got, shown)
	}
	if err := s.Save(ctl.PushSettings{}); err != nil || len(p.senders) != 0 || s.Load() != (ctl.PushSettings{}) {
		t.Errorf("%v %+v", err, s.Load())
	}
	if err := os.WriteFile(s.path, []byte("rubbish"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenSettings(dir, key, p); !errors.Is(err, seal.ErrFormat) {
		t.Errorf("%v", err)
	}
}
